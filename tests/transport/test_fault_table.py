"""Every fault of the local endpoint, by each way that a call may go, whole and streamed: the right error, in time."""

from dataclasses import dataclass, field

import pytest
from botocore.exceptions import ClientError

from llama_bedrock import errors as E
from llama_bedrock.local.faults import (
    ErrorResponse,
    ExceptionFrame,
    Fault,
    FlipByte,
    Hang,
    NotReady,
    Reset,
    SlowChunks,
    Truncate,
)
from llama_bedrock.transport.connection import Timeout

BEFORE = {
    "AccessDeniedException": E.BedrockAccessDeniedError,
    "ResourceNotFoundException": E.BedrockNotFoundError,
    "ThrottlingException": E.BedrockThrottlingError,
    "ModelTimeoutException": E.BedrockModelTimeoutError,
    "InternalServerException": E.BedrockServiceError,
    "ServiceUnavailableException": E.BedrockUnavailableError,
    "ValidationException": E.BedrockValidationError,
    "ServiceQuotaExceededException": E.BedrockQuotaExceededError,
    "ModelNotReadyException": E.BedrockModelNotReadyError,
    "ModelErrorException": E.BedrockModelError,
    "ModelStreamErrorException": E.BedrockModelStreamError,
    "ExpiredTokenException": E.BedrockAuthenticationError,
    "UnrecognizedClientException": E.BedrockAuthenticationError,
}
INSIDE = {
    "internalServerException": E.BedrockServiceError,
    "modelStreamErrorException": E.BedrockModelStreamError,
    "validationException": E.BedrockValidationError,
    "throttlingException": E.BedrockThrottlingError,
    "modelTimeoutException": E.BedrockModelTimeoutError,
    "serviceUnavailableException": E.BedrockUnavailableError,
}


@dataclass
class Scenario:
    """A fault and what has to come of it.

    `partial`: the text of the error must be this number of pieces long; None for whatever had come.
    """

    fault: Fault
    error: type[Exception]
    partial: int | None = 0
    deadline: str | None = None
    settings: dict = field(default_factory=dict)
    within: float = 5.0

    def call(self, mode, url, make_settings, make_request, streamed):
        quick = {"timeout": Timeout(first_token=0.25, idle=0.25)} if self.deadline else {}
        settings = make_settings(url, **{**quick, **self.settings})
        return mode.run(settings, make_request(), streamed)


BOTH = {
    **{f"{code}": Scenario(ErrorResponse(code, "as scripted"), cls) for code, cls in BEFORE.items()},
    "reset before the answer": Scenario(Reset(), E.BedrockConnectionError),
    "silence before the answer": Scenario(Hang(), E.BedrockTimeoutError, deadline="first_token"),
    "silence after the headers": Scenario(Hang(0), E.BedrockTimeoutError, deadline="first_token"),
    "silence, total deadline": Scenario(
        Hang(), E.BedrockTimeoutError, deadline="total", settings={"timeout": 0.25}
    ),
    "silence after the headers, total deadline": Scenario(
        Hang(0), E.BedrockTimeoutError, deadline="total", settings={"timeout": 0.25}
    ),
    "never ready": Scenario(
        NotReady(seconds=60),
        E.BedrockModelNotReadyError,
        settings={"model_ready_timeout": 0.2},
    ),
}
STREAMED = {
    **{
        f"{code} after {after} chunks": Scenario(
            ExceptionFrame(code, "as scripted", after_chunks=after), cls, partial=after
        )
        for code, cls in INSIDE.items()
        for after in (0, 2)
    },
    "unmodelled error frame": Scenario(
        ExceptionFrame("internalFailure", after_chunks=1, modelled=False), E.BedrockServiceError, partial=1
    ),
    "cut with proper end of body": Scenario(Truncate(300), E.BedrockStreamError, partial=None),
    "cut, connection closed": Scenario(Truncate(300, abrupt=True), E.BedrockStreamError, partial=None),
    "cut before the first frame": Scenario(Truncate(0), E.BedrockStreamError),
    "flipped byte in the prelude": Scenario(FlipByte(2), E.BedrockStreamError),
    "flipped byte in a payload": Scenario(FlipByte(150), E.BedrockStreamError),
    "reset inside the answer": Scenario(Reset(after_bytes=300), E.BedrockStreamError, partial=None),
    "silence inside the answer": Scenario(Hang(300), E.BedrockTimeoutError, partial=1, deadline="idle"),
    "slow chunks, total deadline": Scenario(
        SlowChunks(0.25), E.BedrockTimeoutError, partial=None, deadline="total", settings={"timeout": 0.6}
    ),
    "slow chunks, idle deadline": Scenario(
        SlowChunks(0.3),
        E.BedrockTimeoutError,
        partial=1,
        deadline="idle",
        settings={"timeout": Timeout(first_token=2, idle=0.1)},
    ),
}
WHOLE = {
    "cut body": Scenario(Truncate(10), E.BedrockStreamError),
    "cut body, connection closed": Scenario(Truncate(10, abrupt=True), E.BedrockStreamError),
    "reset inside the answer": Scenario(Reset(after_bytes=10), E.BedrockStreamError),
    "silence inside the answer": Scenario(Hang(10), E.BedrockTimeoutError, deadline="idle"),
}


def check(scenario, outcome, make_request):
    error = outcome.error
    assert type(error) is scenario.error, error
    assert isinstance(error, E.LlamaBedrockError)
    assert isinstance(error, ClientError) == isinstance(error, E.BedrockResponseError)
    assert error.model_id == make_request().model_id
    assert error.region == "us-east-2"
    assert outcome.seconds < scenario.within
    assert outcome.text == error.partial_text
    if scenario.partial is not None:
        assert len(outcome.chunks) == scenario.partial
    if scenario.deadline is not None:
        assert error.deadline == scenario.deadline
    if isinstance(error, E.BedrockResponseError):
        assert error.request_id
        assert error.response["Error"]["Code"]


@pytest.mark.parametrize("name", BOTH)
def test_fault_before_the_answer(name, way, streamed, faulty, make_settings, make_request):
    scenario = BOTH[name]
    server = faulty(scenario.fault)
    outcome = scenario.call(way, server.endpoint_url, make_settings, make_request, streamed)
    check(scenario, outcome, make_request)


@pytest.mark.parametrize("name", STREAMED)
def test_fault_inside_a_stream(name, way, faulty, make_settings, make_request):
    scenario = STREAMED[name]
    server = faulty(scenario.fault)
    outcome = scenario.call(way, server.endpoint_url, make_settings, make_request, True)
    check(scenario, outcome, make_request)


@pytest.mark.parametrize("name", WHOLE)
def test_fault_inside_a_whole_answer(name, way, faulty, make_settings, make_request):
    scenario = WHOLE[name]
    server = faulty(scenario.fault)
    outcome = scenario.call(way, server.endpoint_url, make_settings, make_request, False)
    check(scenario, outcome, make_request)


def test_no_fault_gives_the_answer_and_its_counts(way, streamed, faulty, make_settings, make_request, answer):
    server = faulty()
    outcome = way.run(make_settings(server.endpoint_url), make_request(), streamed)
    assert outcome.error is None
    assert outcome.text == answer
    last = outcome.chunks[-1]
    assert last.last
    assert last.stop_reason == "stop"
    assert last.prompt_tokens > 0
    assert last.output_tokens > 0
    assert last.metadata["request_id"]
    assert [chunk.last for chunk in outcome.chunks[:-1]] == [False] * (len(outcome.chunks) - 1)


def _recorded_length(server, make_settings, make_request, mode):
    """The length of a streamed answer's body, found by cutting ever later until the answer is whole."""
    low, high = 1, 4096
    while low < high:
        middle = (low + high) // 2
        server.faults = (Truncate(middle),)
        outcome = mode.run(make_settings(server.endpoint_url), make_request(), True)
        low, high = (low, middle) if outcome.error is None else (middle + 1, high)
    return low


def test_cut_at_any_byte_is_an_error_never_a_short_answer(mode, faulty, make_settings, make_request, answer):
    server = faulty()
    length = _recorded_length(server, make_settings, make_request, mode)
    assert length > 400
    for at in range(0, length, 7):
        server.faults = (Truncate(at),)
        outcome = mode.run(make_settings(server.endpoint_url), make_request(), True)
        assert type(outcome.error) is E.BedrockStreamError, at
        assert answer.startswith(outcome.text)
        assert outcome.error.partial_text == outcome.text


def test_flipped_byte_anywhere_is_an_error_never_another_answer(
    mode, faulty, make_settings, make_request, answer
):
    server = faulty()
    length = _recorded_length(server, make_settings, make_request, mode)
    server = faulty()
    for at in range(0, length, 5):
        server.faults = (FlipByte(at),)
        outcome = mode.run(make_settings(server.endpoint_url), make_request(), True)
        assert type(outcome.error) is E.BedrockStreamError, at
        assert answer.startswith(outcome.text)
