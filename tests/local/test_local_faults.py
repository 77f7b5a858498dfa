"""Every fault of the endpoint, as boto3 meets it."""

import time

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EventStreamError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import ReadTimeoutError as StreamReadTimeout

from llama_bedrock.local import (
    ErrorResponse,
    ExceptionFrame,
    FlipByte,
    Hang,
    NotReady,
    Reset,
    SlowChunks,
    Truncate,
)
from llama_bedrock.local.faults import FaultPlan, FaultTarget
from llama_bedrock.local.runtime.frames import STATUS

TEXT = "Hello world!"


def collect(chunks, texts):
    for chunk in chunks:
        texts.append(chunk["generation"])


def read(bedrock):
    return "".join(chunk["generation"] for chunk in bedrock.stream())


@pytest.mark.parametrize("code", sorted(STATUS))
def test_any_error_can_come_instead_of_a_response(server, bedrock, code):
    server.faults = [
        ErrorResponse(code, "it is so", headers={"Retry-After": "7"}, details={"resourceName": "r"})
    ]
    for call in (bedrock.invoke, lambda: list(bedrock.stream())):
        with pytest.raises(ClientError) as caught:
            call()
        response = caught.value.response
        assert (response["Error"]["Code"], response["Error"]["Message"]) == (code, "it is so")
        assert response["ResponseMetadata"]["HTTPStatusCode"] == STATUS[code]
        assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"


def test_an_error_without_text_has_bedrocks_own(server, bedrock):
    server.faults = [ErrorResponse("ThrottlingException")]
    with pytest.raises(ClientError, match="Too many requests, please wait before trying again"):
        bedrock.invoke()


def test_members_of_an_error_shape_arrive(server, bedrock):
    server.faults = [
        ErrorResponse("ModelErrorException", details={"originalStatusCode": 500, "resourceName": "r"})
    ]
    with pytest.raises(ClientError) as caught:
        bedrock.invoke()
    assert caught.value.response["originalStatusCode"] == 500


@pytest.mark.parametrize(
    "code",
    [
        "internalServerException",
        "modelStreamErrorException",
        "validationException",
        "throttlingException",
        "modelTimeoutException",
        "serviceUnavailableException",
    ],
)
def test_every_modelled_exception_can_come_inside_the_stream(server, bedrock, code):
    server.faults = [ExceptionFrame(code[0].upper() + code[1:], "broke", after_chunks=2)]
    with pytest.raises(EventStreamError) as caught:
        read(bedrock)
    assert caught.value.response["Error"] == {"Code": code, "Message": "broke"}


def test_chunks_before_an_exception_frame_arrive(server, bedrock):
    server.faults = [ExceptionFrame("throttlingException", after_chunks=2)]
    texts = []
    with pytest.raises(EventStreamError):
        collect(bedrock.stream(), texts)
    assert texts == ["Hel", "lo"]


def test_an_exception_frame_is_an_error_response_where_nothing_streams(server, bedrock):
    server.faults = [ExceptionFrame("throttlingException")]
    with pytest.raises(ClientError) as caught:
        bedrock.invoke()
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"


def test_an_unmodelled_error_frame_can_come_inside_the_stream(server, bedrock):
    server.faults = [ExceptionFrame("InternalError", "oops", after_chunks=1, modelled=False)]
    with pytest.raises(EventStreamError) as caught:
        list(bedrock.stream())
    assert caught.value.response["Error"] == {"Code": "InternalError", "Message": "oops"}


def test_a_properly_ended_but_short_stream_reads_short(server, bedrock):
    server.faults = [Truncate(after_bytes=250)]
    assert TEXT.startswith(read(bedrock))
    assert len(read(bedrock)) < len(TEXT)


def test_a_connection_closed_in_the_middle_breaks_the_read(server, bedrock):
    server.faults = [Truncate(after_bytes=250, abrupt=True)]
    with pytest.raises(ProtocolError):
        read(bedrock)
    server.faults = [Truncate(after_bytes=50)]
    with pytest.raises(ResponseStreamingError):
        bedrock.invoke()


def test_every_flipped_byte_of_the_stream_is_noticed(server, bedrock):
    for position in (0, 7, 9, 20, 80, 150, 200, 260):
        server.faults = [FlipByte(position)]
        with pytest.raises(ChecksumMismatch):
            read(bedrock)


def test_a_reset_comes_before_the_response_or_within(server, bedrock):
    server.faults = [Reset()]
    with pytest.raises(ConnectionClosedError):
        bedrock.invoke()
    server.faults = [Reset(after_bytes=0)]
    with pytest.raises((ProtocolError, ConnectionClosedError)):
        read(bedrock)
    server.faults = [Reset(after_bytes=200)]
    with pytest.raises(ProtocolError, match="reset"):
        read(bedrock)


@pytest.mark.parametrize("fault", [Hang(), Hang(after_bytes=0), Hang(after_bytes=200)])
def test_a_hang_lasts_until_the_client_gives_up(server, connect, fault):
    server.faults = [fault]
    bedrock = connect(server, read_timeout=0.3)
    with pytest.raises((ReadTimeoutError, StreamReadTimeout)):
        read(bedrock)
    deadline = time.monotonic() + 5
    while server.stats.active and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.stats.active == 0


def test_a_short_hang_goes_on(server, bedrock):
    server.faults = [Hang(seconds=0.1), Hang(after_bytes=100, seconds=0.1)]
    started = time.monotonic()
    assert read(bedrock) == TEXT
    assert time.monotonic() - started >= 0.2


def test_slow_chunks_come_late_but_whole(server, bedrock):
    server.faults = [SlowChunks(0.05)]
    started = time.monotonic()
    assert read(bedrock) == TEXT
    assert time.monotonic() - started >= 0.25  # four pieces and the last frame


def test_several_faults_strike_one_request_together(server, bedrock):
    server.faults = [SlowChunks(0.02), ExceptionFrame("throttlingException", after_chunks=3)]
    started = time.monotonic()
    with pytest.raises(EventStreamError):
        read(bedrock)
    assert time.monotonic() - started >= 0.06


def test_a_model_wakes_after_the_given_number_of_requests(server, bedrock):
    server.faults = [NotReady(times=2)]
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            bedrock.invoke()
        assert caught.value.response["Error"]["Code"] == "ModelNotReadyException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert bedrock.invoke()[0]["generation"] == TEXT


def test_faults_pick_their_requests_by_number_and_predicate(server, bedrock):
    server.faults = [
        ErrorResponse("ThrottlingException").first(1),
        ErrorResponse("InternalServerException").nth(3),
        ErrorResponse("AccessDeniedException").when(lambda target: target.body["prompt"] == "secret"),
    ]
    seen = []
    for prompt in ("a", "b", "c", "secret", "d"):
        try:
            seen.append(bedrock.invoke({"prompt": prompt})[0]["generation"])
        except ClientError as error:
            seen.append(error.response["Error"]["Code"])
    assert seen == ["ThrottlingException", TEXT, "InternalServerException", "AccessDeniedException", TEXT]


def test_numbers_count_the_requests_that_the_predicate_accepts():
    plan = FaultPlan([ErrorResponse("X").when(lambda target: target.resource == "a").nth(2)])
    hits = [bool(plan.strike(FaultTarget("InvokeModel", resource, {}))) for resource in "abbaa"]
    assert hits == [False, False, False, True, False]


def test_a_model_wakes_after_the_given_time_from_its_first_request():
    now = [100.0]
    plan = FaultPlan([NotReady(seconds=30)], clock=lambda: now[0])
    asleep = []
    for now[0] in (100.0, 129.0, 130.0, 500.0):
        asleep.append(bool(plan.strike(FaultTarget("InvokeModel", "m", {}))))
    assert asleep == [True, True, False, False]


def test_a_model_that_never_wakes_is_refused():
    with pytest.raises(ValueError, match="seconds= or times="):
        NotReady()
