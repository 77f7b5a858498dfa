"""Servers that mean harm: answers without end, bytes that dribble, JSON without bottom. Each is one error, soon."""

import contextlib
import socket
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest

from llama_bedrock.errors import BedrockResponseError, BedrockStreamError, BedrockTimeoutError
from llama_bedrock.transport.connection import Timeout
from llama_bedrock.transport.eventstream import encode_frame

DEEP = b'{"generation":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
DEEP_EVENT = encode_frame(
    {":message-type": "event", ":event-type": "chunk"}, b'{"bytes":"' + b64encode(DEEP) + b'"}'
)


def head(status, *headers):
    return b"\r\n".join([b"HTTP/1.1 %s" % status, *headers, b"", b""])


def whole(status, body, *headers):
    return [head(status, b"Content-Length: %d" % len(body), *headers) + body]


def dribble(start, piece, rest=b""):
    """Send a byte now and then, for ever."""
    yield start
    for _ in range(200):
        yield piece
        time.sleep(0.1)
    yield rest


def endless(start, piece):
    yield start
    while True:
        yield piece


@contextlib.contextmanager
def hostile(answer, *, listens=True):
    """A server that sends what `answer()` yields to whoever connects; with `listens`, after the request."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent = [0]

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

    def speak(connection):
        # The whole request is read: a connection closed on unread bytes is reset.
        with connection, connection.makefile("rb") as request, contextlib.suppress(OSError):
            length = 0
            while listens and (line := request.readline().strip()):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            request.read(length)
            for piece in answer():
                connection.sendall(piece)
                sent[0] += len(piece)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", sent
    finally:
        listener.close()


DRIBBLES = {
    "the status line": lambda: dribble(b"HTTP/1.1 200 ", b"O"),
    "headers": lambda: dribble(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "one header": lambda: dribble(b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "the body of an error": lambda: dribble(head(b"400 Bad", b"Content-Length: 99999"), b" "),
    "the length of a chunk": lambda: dribble(head(b"200 OK", b"Transfer-Encoding: chunked"), b"0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("deadline", [{"total": 0.5, "idle": None}, {"first_token": 0.5}])
def test_a_deadline_holds_while_bytes_dribble(deadline, way, streamed, make_settings, make_request):
    def call(what):
        with hostile(DRIBBLES[what]) as (url, _):
            settings = make_settings(url, timeout=Timeout(**{"first_token": 30.0, **deadline}))
            return way.run(settings, make_request(), streamed)

    # What comes before the body is read by the caller's own client.
    dribbles = ["the length of a chunk"] if way.name == "client" else list(DRIBBLES)
    with ThreadPoolExecutor() as pool:  # all of them wait
        for what, outcome in zip(dribbles, pool.map(call, dribbles), strict=True):
            assert isinstance(outcome.error, BedrockTimeoutError), (what, outcome.error)
            assert outcome.error.deadline == next(iter(deadline)), what
            assert outcome.seconds < 5, what


@pytest.mark.parametrize("deadline", ["total", "connect"])
def test_a_deadline_holds_while_a_tls_handshake_dribbles(
    deadline, mode, streamed, make_settings, make_request
):
    record = lambda: dribble(b"\x16\x03\x03\x3f\xff", b"\0")  # noqa: E731  # of 16,383 bytes, which never come
    with hostile(record, listens=False) as (url, _):
        settings = make_settings(url.replace("http:", "https:"), timeout=Timeout(**{deadline: 0.5}))
        outcome = mode.run(settings, make_request(), streamed)
    assert isinstance(outcome.error, BedrockTimeoutError), outcome.error
    assert outcome.seconds < 5


def test_a_short_timeout_for_the_whole_call_is_kept(mode, streamed, make_settings, make_request):
    """As a user gives it: `timeout=` in seconds."""
    with hostile(DRIBBLES["headers"]) as (url, _):
        outcome = mode.run(make_settings(url, timeout=0.5), make_request(), streamed)
    assert isinstance(outcome.error, BedrockTimeoutError)
    assert outcome.error.deadline == "total"
    assert outcome.seconds < 5


@pytest.mark.parametrize("framing", ["chunked", "without a length"])
def test_the_body_of_an_error_is_read_up_to_a_megabyte(framing, mode, streamed, make_settings, make_request):
    chunked = framing == "chunked"
    start = head(b"400 Bad", *([b"Transfer-Encoding: chunked"] if chunked else []))
    piece = b"x" * 65536
    body = b"10000\r\n" + piece + b"\r\n" if chunked else piece
    with hostile(lambda: endless(start, body)) as (url, sent):
        outcome = mode.run(make_settings(url, timeout=20), make_request(), streamed)
    assert isinstance(outcome.error, BedrockResponseError), outcome.error
    assert outcome.error.status_code == 400
    assert len(str(outcome.error)) < 2_000_000
    assert sent[0] < 40_000_000  # what the sockets' buffers took beside


@pytest.mark.parametrize("framing", ["chunked", "without a length"])
def test_an_answer_without_end_is_read_up_to_the_limit(framing, mode, streamed, make_settings, make_request):
    chunked = framing == "chunked"
    start = head(b"200 OK", *([b"Transfer-Encoding: chunked"] if chunked else []))
    event = b'{"bytes":"' + b64encode(b'{"generation":"' + b"x" * 9000 + b'"}') + b'"}'
    piece = encode_frame({":message-type": "event", ":event-type": "chunk"}, event)
    body = b"%x\r\n" % len(piece) + piece + b"\r\n" if chunked else piece
    with hostile(lambda: endless(start, body)) as (url, sent):
        outcome = mode.run(make_settings(url, timeout=20, max_response_mb=2), make_request(), streamed)
    assert isinstance(outcome.error, BedrockStreamError), outcome.error
    assert "longer than max_response_mb=2" in str(outcome.error)
    assert not outcome.error.is_retryable
    assert 1_500_000 < sent[0] < 40_000_000


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad"])
def test_json_without_bottom_is_an_error(status, mode, streamed, make_settings, make_request):
    body = DEEP_EVENT if streamed and status.startswith(b"2") else DEEP
    with hostile(lambda: whole(status, body)) as (url, _):
        outcome = mode.run(make_settings(url, timeout=20), make_request(), streamed)
    kind = BedrockStreamError if status.startswith(b"2") else BedrockResponseError
    assert isinstance(outcome.error, kind), outcome.error
    assert len(str(outcome.error)) < 2000


@pytest.mark.parametrize(
    "url", ["http://user:geheim@127.0.0.1:9", "https://user:geheim@no-such-host.invalid"]
)
def test_a_password_in_the_endpoint_is_shown_nowhere(
    url, mode, streamed, make_settings, make_request, caplog
):
    settings = make_settings(url)
    with caplog.at_level("DEBUG", logger="llama_bedrock"):
        outcome = mode.run(settings, make_request(), streamed)
    assert outcome.error is not None
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("llama_bedrock")]
    assert "geheim" not in f"{outcome.error} {outcome.error!r} {settings!r} {logged}"
