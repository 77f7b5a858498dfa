"""The body of a boto3 answer, read from its socket with deadlines and without botocore's decoder."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Generator
from json import dumps
from typing import Any

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.chunked import Dechunker
from llama_bedrock.transport.connection import Timeout
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.eventstream import encode_frame

_PIECE_BYTES = 65536


class BodyReader:
    """Reads one answer. Not for use by two threads at once.

    Args:
        response: boto3's response.
        body: The member of it that is the body.
        context: Which call it is, for errors.
        timeout: The caller's deadlines.
        started: Monotonic time when the request was sent.
        ends_at: Monotonic time when the whole call must be over; None for no such deadline.
    """

    def __init__(
        self,
        response: dict[str, Any],
        body: Any,
        context: CallContext,
        timeout: Timeout,
        started: float,
        ends_at: float | None,
    ) -> None:
        metadata = response["ResponseMetadata"]
        self.headers: dict[str, str] = metadata["HTTPHeaders"]
        self._context = context
        self._timeout = timeout
        self._ends_at = ends_at
        self._body = body
        # urllib3's response, below botocore's EventStream or StreamingBody.
        self._raw = getattr(self._body, "_raw_stream", None)
        self._socket = _socket_of(self._raw)
        self._pieces = self._iterate()
        self._waiting_since = started
        self._deadline = "first_token"
        self._limit = timeout.first_token
        self._socket_timeout: float | None = -1.0

    def read(self) -> bytes:
        """Return the next piece of the body as it came from the socket, empty at the end.

        Raises:
            BedrockTimeoutError: A deadline passed.
            BedrockStreamError: The connection broke.
        """
        self._set_socket_timeout()
        try:
            piece = next(self._pieces, b"")
        except LlamaBedrockError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        if self._deadline != "idle":
            self._deadline, self._limit = "idle", self._timeout.idle
        if self._ends_at is not None:
            self._check_total()
        return piece

    def read_all(self) -> bytes:
        """Return the whole body."""
        pieces = []
        while piece := self.read():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connection at once, unless the body was read to its end: then it is back in the pool."""
        self._pieces.close()
        self._body.close()

    def _iterate(self) -> Generator[bytes, None, None]:
        raw = self._raw
        if raw is None:
            return self._iterate_events()
        if not getattr(raw, "chunked", False):
            return self._iterate_unframed()
        file = getattr(getattr(raw, "_fp", None), "fp", None)
        if file is not None and hasattr(file, "read1") and hasattr(raw, "_original_response"):
            return self._iterate_chunked(file)
        pieces: Generator[bytes, None, None] = raw.stream()
        return pieces

    def _iterate_chunked(self, file: Any) -> Generator[bytes, None, None]:
        """Read below urllib3 and http.client, all that has come in one go; leave them as they would be."""
        raw: Any = self._raw
        dechunker = Dechunker()
        while not dechunker.done:
            data = file.read1(_PIECE_BYTES)
            if not data:
                raise ConnectionResetError("the connection was closed inside the body")
            piece = dechunker.feed(data)
            if piece:
                yield piece
        raw._original_response.close()
        raw.release_conn()

    def _iterate_unframed(self) -> Generator[bytes, None, None]:
        # `stream` would wait for a full buffer here.
        raw: Any = self._raw
        while piece := raw.read1(_PIECE_BYTES):
            yield piece

    def _set_socket_timeout(self) -> None:
        limit = self._limit
        if self._deadline == "first_token" and limit is not None:
            limit = max(0.001, self._waiting_since + limit - time.monotonic())
        if self._ends_at is not None:
            left = max(0.001, self._ends_at - time.monotonic())
            limit = left if limit is None else min(limit, left)
        if limit != self._socket_timeout and self._socket is not None:
            try:
                self._socket.settimeout(limit)
            except OSError:  # closed already, all of the body is in the buffer
                self._socket = None
            self._socket_timeout = limit

    def _check_total(self) -> None:
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            raise self._context.timed_out("total", self._timeout.total)

    def _failed(self, error: Exception) -> LlamaBedrockError:
        mapped = self._context.from_exception(error)
        if not isinstance(error, TimeoutError) and getattr(mapped, "deadline", None) is None:
            return self._context.broken_off(error)
        self._check_total()
        return self._context.timed_out(self._deadline, self._limit)

    def _iterate_events(self) -> Generator[bytes, None, None]:
        """Frame the events again that a wrapper of boto3's client has decoded; whole bodies pass as they
        are.
        """
        if hasattr(self._body, "read"):
            yield self._body.read()
            return
        for event in self._body:
            for name, fields in event.items():
                payload = dumps({"bytes": b64encode(fields["bytes"]).decode()} if name == "chunk" else fields)
                yield encode_frame({":message-type": "event", ":event-type": name}, payload.encode())


def _socket_of(raw: Any) -> Any:
    """Return the socket below a urllib3 response, None if it cannot be found.

    http.client lets go of the socket when the server says `Connection: close`; the file it reads from keeps
    it.
    """
    connection = getattr(raw, "connection", None)
    sock = getattr(connection, "sock", None)
    if sock is None:
        file = getattr(getattr(raw, "_fp", None), "fp", None)
        sock = getattr(getattr(file, "raw", None), "_sock", None)
    return sock
