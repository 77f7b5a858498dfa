"""Every fault of the local endpoint, as a client of OpenAI sees it: status and code, or an event in the stream."""

import json
import warnings

import httpx
import pytest

from llama_bedrock import ChatLlamaBedrock, Timeout
from llama_bedrock.app import create_app
from llama_bedrock.errors import _CLASSES
from llama_bedrock.local import (
    ErrorResponse,
    ExceptionFrame,
    FlipByte,
    Hang,
    LocalBedrock,
    NotReady,
    Reset,
    SlowChunks,
    Truncate,
)
from llama_bedrock.testing import ScriptedEngine
from tests.app.conftest import KEY, running

pytestmark = pytest.mark.slow

BODY = {"messages": [{"role": "user", "content": "Hello"}]}
PIECES = ["It ", "is ", "dry ", "in ", "Oruro."]

# Before the first byte: what Bedrock says, and what the client gets, streamed or not.
ANSWERS = {
    "ThrottlingException": (429, "rate_limit_exceeded"),
    "ServiceQuotaExceededException": (429, "insufficient_quota"),
    "ValidationException": (400, "invalid_request"),
    "AccessDeniedException": (403, "model_access_denied"),
    "UnrecognizedClientException": (401, "bedrock_credentials"),
    "ExpiredTokenException": (401, "bedrock_credentials"),
    "ResourceNotFoundException": (404, "model_not_found"),
    "ModelNotReadyException": (503, "model_not_ready"),
    "ModelErrorException": (502, "model_error"),
    "ModelTimeoutException": (504, "timeout"),
    "InternalServerException": (502, "model_error"),
    "ServiceUnavailableException": (503, "service_unavailable"),
}


@pytest.fixture
def answers():
    """Function: a fault → the answers of the application, whole and streamed."""

    def ask(fault, *, timeout=None):
        with LocalBedrock(ScriptedEngine([PIECES], repeat=True), faults=[fault]) as server:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                llm = ChatLlamaBedrock(
                    model="meta.llama3-3-70b-instruct-v1:0",
                    region_name="us-west-2",
                    endpoint_url=server.endpoint_url,
                    api_key="test",
                    max_retries=0,
                    model_ready_timeout=0,
                    timeout=timeout,
                )
            with (
                running(create_app(llm, key=KEY, page=False)) as address,
                httpx.Client(base_url=address, trust_env=False, timeout=30) as http,
            ):
                headers = {"Authorization": f"Bearer {KEY}"}
                for stream in (False, True):
                    yield http.post("/v1/chat/completions", json={**BODY, "stream": stream}, headers=headers)

    return ask


@pytest.mark.parametrize("code", ANSWERS)
def test_an_error_instead_of_an_answer(answers, code):
    status, name = ANSWERS[code]
    for answer in answers(ErrorResponse(code, "It went wrong.", headers={"Retry-After": "3"})):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, name)
        assert "It went wrong." in error["message"]
        assert error["type"]
        if status == 429:
            assert answer.headers["retry-after"] == "3"


def test_the_table_holds_every_code_of_bedrock_runtime():
    import botocore.session

    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    shapes = {
        shape.name
        for name in ("InvokeModel", "InvokeModelWithResponseStream")
        for shape in model.operation_model(name).error_shapes
    }
    assert shapes - {"ModelStreamErrorException"} <= set(ANSWERS)
    assert {name.lower() for name in ANSWERS} <= set(_CLASSES)


def ended_in(answer):
    """The last event of a stream, which must be an error; nothing may claim that the answer is whole."""
    assert answer.status_code == 200
    assert "[DONE]" not in answer.text
    assert '"finish_reason":"stop"' not in answer.text
    return json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))["error"]


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        (ExceptionFrame("modelStreamErrorException", after_chunks=2), ("model_error",)),
        (ExceptionFrame("throttlingException", after_chunks=2), ("rate_limit_exceeded",)),
        (ExceptionFrame("modelTimeoutException", after_chunks=2), ("timeout",)),
        (ExceptionFrame("internalServerException", after_chunks=2), ("model_error",)),
        (ExceptionFrame("serviceUnavailableException", after_chunks=2), ("service_unavailable",)),
        (ExceptionFrame("validationException", after_chunks=2), ("invalid_request",)),
        (ExceptionFrame("someException", after_chunks=2, modelled=False), ("model_error",)),
        (Truncate(after_bytes=500), ("model_error",)),
        (Truncate(after_bytes=500, abrupt=True), ("model_error", "connection_error")),
        (FlipByte(at_byte=500), ("model_error",)),
        (Reset(after_bytes=500), ("model_error", "connection_error")),
        (Hang(after_bytes=500), ("timeout",)),
    ],
    ids=str,
)
def test_a_fault_in_the_middle_of_a_stream(answers, fault, codes):
    timeout = Timeout(idle=0.3) if isinstance(fault, Hang) else None
    *_, streamed = answers(fault, timeout=timeout)
    assert ended_in(streamed)["code"] in codes


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Reset(), 502, "connection_error"),
        (Hang(), 504, "timeout"),
        (NotReady(times=9), 503, "model_not_ready"),
        (SlowChunks(0.01), 200, None),
    ],
    ids=str,
)
def test_a_fault_before_the_answer(answers, fault, status, code):
    for answer in answers(fault, timeout=Timeout(first_token=0.5)):
        assert answer.status_code == status
        if code:
            assert answer.json()["error"]["code"] == code
            assert ("retry-after" in answer.headers) == (status == 503)


def test_a_server_that_cannot_be_reached_is_a_bad_gateway():
    llm = ChatLlamaBedrock(
        model="meta.llama3-3-70b-instruct-v1:0", region_name="us-west-2", endpoint_url="http://127.0.0.1:9",
        api_key="test", max_retries=0,
    )  # fmt: skip
    with running(create_app(llm, key=KEY, page=False)) as address:
        answer = httpx.post(
            f"{address}/v1/chat/completions",
            json=BODY,
            headers={"Authorization": f"Bearer {KEY}"},
            trust_env=False,
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "connection_error")
