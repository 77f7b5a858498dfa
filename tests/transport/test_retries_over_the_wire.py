"""Retries of both shells against the local endpoint: how often, when, and when not."""

import logging
import random

import pytest

from llama_bedrock import errors as E
from llama_bedrock.local import LocalBedrock
from llama_bedrock.local.faults import ErrorResponse, ExceptionFrame, Hang, NotReady, Reset, Truncate
from llama_bedrock.local.quotas import Quotas
from llama_bedrock.testing import ScriptedEngine
from llama_bedrock.transport.connection import Timeout


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """Jitter that happens to be small: what is tested here is the number of attempts."""
    monkeypatch.setattr(random, "random", lambda: 0.01)


@pytest.fixture
def run(way, streamed, make_settings, make_request):
    """Make one call; return its outcome and the number of requests the endpoint got."""

    def run(server, **changes):
        before = server.stats.requests
        outcome = way.run(make_settings(server.endpoint_url, **changes), make_request(), streamed)
        return outcome, server.stats.requests - before

    return run


PASSING = {
    "throttled": ErrorResponse("ThrottlingException"),
    "internal": ErrorResponse("InternalServerException"),
    "unavailable": ErrorResponse("ServiceUnavailableException"),
    "model timeout": ErrorResponse("ModelTimeoutException"),
    "model error": ErrorResponse("ModelErrorException"),
    "reset": Reset(),
    "silence": Hang(),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_passing_fault_is_tried_again(name, run, faulty, answer):
    quick = {"timeout": Timeout(first_token=0.4, idle=0.4)} if name == "silence" else {}
    outcome, requests = run(faulty(PASSING[name].first(1)), max_retries=2, **quick)
    assert outcome.error is None
    assert outcome.text == answer
    assert requests == 2


@pytest.mark.parametrize(
    "code",
    [
        "ValidationException",
        "AccessDeniedException",
        "ResourceNotFoundException",
        "ServiceQuotaExceededException",
        "ExpiredTokenException",
    ],
)
def test_a_fault_that_stays_is_not_tried_again(code, run, faulty):
    outcome, requests = run(faulty(ErrorResponse(code)), max_retries=3)
    assert outcome.error.is_retryable is False
    assert requests == 1


def test_the_number_of_retries_is_kept(run, faulty):
    outcome, requests = run(faulty(ErrorResponse("ThrottlingException")), max_retries=3)
    assert type(outcome.error) is E.BedrockThrottlingError
    assert requests == 4


@pytest.mark.parametrize("code", ["ModelTimeoutException", "ModelErrorException"])
def test_a_failing_model_is_tried_once_more_only(code, run, faulty):
    outcome, requests = run(faulty(ErrorResponse(code)), max_retries=4)
    assert outcome.error.response["Error"]["Code"] == code
    assert requests == 2


def test_a_model_that_fails_on_the_input_is_not_tried_again(run, faulty):
    fault = ErrorResponse("ModelErrorException", details={"originalStatusCode": 400})
    outcome, requests = run(faulty(fault), max_retries=4)
    assert outcome.error.response["originalStatusCode"] == 400
    assert requests == 1


@pytest.mark.parametrize("streamed", [False])
def test_retry_after_is_honoured(run, faulty, answer):
    fault = ErrorResponse("ThrottlingException", headers={"Retry-After": "1"})
    outcome, requests = run(faulty(fault.first(1)), max_retries=1)
    assert outcome.error is None
    assert outcome.text == answer
    assert requests == 2
    assert outcome.seconds >= 1.0


def test_a_wait_beyond_the_total_deadline_is_not_begun(run, faulty):
    fault = ErrorResponse("ThrottlingException", headers={"Retry-After": "30"})
    outcome, requests = run(faulty(fault), max_retries=4, timeout=1.0)
    assert type(outcome.error) is E.BedrockThrottlingError
    assert outcome.error.retry_after == 30
    assert requests == 1
    assert outcome.seconds < 5


@pytest.mark.parametrize("streamed", [True])
def test_the_total_deadline_bounds_all_attempts_together(run, faulty):
    timeout = Timeout(first_token=0.25, total=0.6)
    outcome, requests = run(faulty(Hang()), max_retries=20, timeout=timeout)
    assert isinstance(outcome.error, E.BedrockTimeoutError)
    assert 2 <= requests <= 3
    assert outcome.seconds < 5


@pytest.mark.parametrize("streamed", [False])
def test_a_model_that_wakes_up_is_waited_for_and_the_log_says_so(run, faulty, answer, caplog):
    with caplog.at_level(logging.WARNING, "llama_bedrock"):
        # Not counted among the retries, of which there are none.
        outcome, requests = run(faulty(NotReady(times=6)), max_retries=0, model_ready_timeout=10)
    assert outcome.text == answer
    assert requests == 7
    assert [record.message for record in caplog.records if "being loaded" in record.message] == [
        "the model meta.llama3-3-70b-instruct-v1:0 is being loaded; trying for up to 10 s"
    ]


@pytest.mark.parametrize("streamed", [True])
def test_a_model_that_does_not_wake_up_is_given_up_in_time(run, faulty):
    outcome, _ = run(faulty(NotReady(seconds=60)), max_retries=0, model_ready_timeout=0.4)
    assert type(outcome.error) is E.BedrockModelNotReadyError
    assert 0.3 < outcome.seconds < 5


def test_quota_of_the_endpoint_is_throttling(mode, streamed, make_settings, make_request):
    engine = ScriptedEngine(["yes"], repeat=True)
    with LocalBedrock(engine=engine, quotas=Quotas(requests_per_minute=1)) as server:
        settings = make_settings(server.endpoint_url)
        assert mode.run(settings, make_request(), streamed).text == "yes"
        error = mode.run(settings, make_request(), streamed).error
    assert type(error) is E.BedrockThrottlingError
    assert error.status_code == 429
    assert "Service Quotas" in error.hint


IN_STREAM = {
    "exception frame": ExceptionFrame("throttlingException", after_chunks=1),
    "cut": Truncate(300, abrupt=True),
    "reset": Reset(after_bytes=300),
    "silence": Hang(300),
}


@pytest.mark.parametrize("name", IN_STREAM)
def test_nothing_is_tried_again_once_text_was_handed_out(name, way, faulty, make_settings, make_request):
    server = faulty(IN_STREAM[name].first(1))
    before = server.stats.requests
    quick = {"timeout": Timeout(first_token=0.4, idle=0.4)} if name == "silence" else {}
    outcome = way.run(make_settings(server.endpoint_url, max_retries=4, **quick), make_request(), True)
    assert outcome.error is not None
    assert outcome.text
    assert outcome.error.partial_text == outcome.text
    assert server.stats.requests - before == 1


def test_an_exception_frame_before_any_text_is_tried_again(mode, faulty, make_settings, make_request, answer):
    server = faulty(ExceptionFrame("throttlingException").first(2))
    outcome = mode.run(make_settings(server.endpoint_url, max_retries=4), make_request(), True)
    assert outcome.text == answer


def test_retries_never_stack_on_botocores(faulty, make_settings, make_request, mode, monkeypatch):
    """Five attempts asked for in AWS's own way are five requests, not twenty-five."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    server = faulty(ErrorResponse("InternalServerException"))
    before = server.stats.requests
    settings = make_settings(server.endpoint_url, max_retries=None)
    assert isinstance(mode.run(settings, make_request(), False).error, E.BedrockServiceError)
    assert server.stats.requests - before == 5
