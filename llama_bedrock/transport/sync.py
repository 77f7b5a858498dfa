"""The synchronous shell: a boto3 client sends, our decoder reads the answer."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Generator
from contextlib import closing
from json import dumps
from typing import Any, TypeVar

from llama_bedrock.errors import BedrockResponseError, BedrockTimeoutError, LlamaBedrockError
from llama_bedrock.transport import clients
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.deadlines import ExchangeBounds, bounded
from llama_bedrock.transport.error_mapping import CallContext, caller_mistake
from llama_bedrock.transport.eventstream import encode_frame
from llama_bedrock.transport.json_operations import JsonOperation
from llama_bedrock.transport.limiter import FREE, Slot
from llama_bedrock.transport.request import InvokeRequest
from llama_bedrock.transport.response import GenerationChunk, StreamParser, parse_body
from llama_bedrock.transport.retry import Attempt, attempts

Result = TypeVar("Result")

_PIECE_BYTES = 65536


class SyncTransport:
    """Calls Bedrock from threads. Safe to share between them; equal settings share one boto3 client.

    Args:
        settings: How to reach Bedrock. Nothing is read or opened before the first call.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._timeout = clients.deadlines_of(settings)
        self._clients: dict[str, Any] = {}

    def __reduce__(self) -> tuple[type[SyncTransport], tuple[TransportSettings]]:
        return type(self), (self._settings,)  # clients are made anew where it is unpickled

    @property
    def region(self) -> str:
        """The region calls go to.

        Raises:
            ValueError: None is set.
        """
        return clients.region_of(self._settings)

    def invoke(self, request: InvokeRequest) -> GenerationChunk:
        """Send a request and return the whole answer.

        Raises:
            LlamaBedrockError: The call failed, after retries where they make sense.
            ValueError: The settings or the request cannot be sent.
        """
        client, context = self._prepare("InvokeModel", request.model_id)
        arguments = request.boto_arguments()

        def send(attempt: Attempt) -> GenerationChunk:
            reader = self._open(client.invoke_model, arguments, context, attempt)
            with closing(reader):
                return parse_body(reader.read_all(), reader.headers, context)

        chunk, slot = self._with_retries(client, context, send)
        slot.release()
        return chunk

    def stream(self, request: InvokeRequest) -> Generator[GenerationChunk, None, None]:
        """Send a request and yield the answer as it comes; the last chunk has `last` set and no text.

        Nothing is sent before the first `next`. Closing the generator closes the connection.

        Raises:
            LlamaBedrockError: The call failed; once text has been yielded, without another attempt and with
                the text so far in `partial_text`.
            ValueError: The settings or the request cannot be sent.
        """
        client, context = self._prepare("InvokeModelWithResponseStream", request.model_id)
        arguments = request.boto_arguments()

        def send(attempt: Attempt) -> _SyncStream:
            reader = self._open(client.invoke_model_with_response_stream, arguments, context, attempt)
            stream = _SyncStream(reader, StreamParser(reader.headers, context))
            stream.start()
            return stream

        stream, slot = self._with_retries(client, context, send)
        try:
            yield from stream.first
            while not stream.done:
                yield from stream.more()
        except LlamaBedrockError as error:
            slot.release(error)
            raise
        finally:
            stream.close()
            slot.release()

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call a JSON operation of another service, such as `retrieve` of `bedrock-agent-runtime`.

        Args:
            service: boto3's name of the service.
            operation: boto3's name of the method.
            arguments: Its keyword arguments.

        Returns:
            boto3's response.

        Raises:
            LlamaBedrockError: The call failed, after retries where they make sense.
            ValueError: The settings or the arguments cannot be sent.
        """
        client, context = self._prepare(operation, None, service)
        method = getattr(client, operation)

        def send(attempt: Attempt) -> dict[str, Any]:
            result: dict[str, Any] = self._call_boto(method, arguments, context, attempt)
            return result

        response, slot = self._with_retries(client, context, send)
        slot.release()
        return response

    def call_stream(
        self, service: str, operation: str, **arguments: Any
    ) -> Generator[dict[str, Any], None, None]:
        """Call an operation that answers with events, such as `retrieve_and_generate_stream`.

        Args:
            service: boto3's name of the service.
            operation: boto3's name of the method.
            arguments: Its keyword arguments.

        Yields:
            First boto3's response without its stream, then each event as a dict with one key.

        Raises:
            LlamaBedrockError: The call failed, before or inside the stream.
            ValueError: The settings or the arguments cannot be sent.
        """
        client, context = self._prepare(operation, None, service)
        coding = JsonOperation(client, operation)
        method, member = getattr(client, operation), str(coding.stream_member)

        def send(attempt: Attempt) -> tuple[dict[str, Any], BodyReader]:
            started = time.monotonic()
            response = self._call_boto(method, arguments, context, attempt)
            stream = response.pop(member)
            return response, BodyReader(
                response, stream, context, self._settings, self._timeout, started, attempt.ends_at
            )

        (response, reader), slot = self._with_retries(client, context, send)
        try:
            yield response
            parser = coding.events(reader.headers, context)
            while data := reader.read():
                yield from parser.feed(data)
                if parser.failure is not None:
                    raise parser.failure
            parser.close()
            if parser.failure is not None:
                raise parser.failure
        finally:
            reader.close()
            slot.release()

    def close(self) -> None:
        """Do nothing: the client and its connections are shared with others of equal settings."""

    def _prepare(
        self, operation: str, model_id: str | None, service: str = clients.RUNTIME
    ) -> tuple[Any, CallContext]:
        client = self._clients.get(service)
        if client is None:
            client = self._clients[service] = clients.boto_client(self._settings, service)
        meta = client.meta
        name = meta.method_to_api_mapping.get(operation, operation)
        return client, CallContext(name, model_id, meta.region_name, meta.endpoint_url)

    def _with_retries(
        self, client: Any, context: CallContext, send: Callable[[Attempt], Result]
    ) -> tuple[Result, Slot]:
        """Send until it succeeds or is final; return the result and the place among the calls in flight."""
        limiter = self._settings.limiter
        slot = limiter.acquire() if limiter is not None else FREE
        # The caller's time begins here: a queue before the limiter is of the caller's own making.
        series = attempts(clients.policy_of(self._settings, client), self._timeout.total)
        attempt = next(series)
        while True:
            try:
                return send(attempt), slot
            except LlamaBedrockError as error:
                slot.release(error)
                attempt = series.send(error)
            except BaseException:
                slot.release(unused=True)
                raise
            time.sleep(attempt.wait)
            slot = limiter.acquire() if limiter is not None else FREE

    def _open(
        self, method: Callable[..., Any], arguments: dict[str, Any], context: CallContext, attempt: Attempt
    ) -> BodyReader:
        started = time.monotonic()
        response = self._call_boto(method, arguments, context, attempt)
        return BodyReader(
            response, response["body"], context, self._settings, self._timeout, started, attempt.ends_at
        )

    def _call_boto(
        self, method: Callable[..., Any], arguments: dict[str, Any], context: CallContext, attempt: Attempt
    ) -> Any:
        timeout, ends_at = self._timeout, attempt.ends_at
        connect, first_token = timeout.connect, timeout.first_token
        now = time.monotonic()
        if ends_at is not None:
            left = max(0.001, ends_at - now)
            connect, first_token = _shorter(connect, left), _shorter(first_token, left)
        # The head must be there in time, and so must an answer that is no stream: not only each piece of it.
        due = None if first_token is None else now + first_token
        bounds = ExchangeBounds(connect, first_token, due, self._settings.max_response_bytes)
        try:
            with bounded(bounds):
                response = method(**arguments)
            if bounds.passed:  # http.client takes a connection shut between two headers for their end
                for body in (value for value in response.values() if hasattr(value, "close")):
                    body.close()
                raise TimeoutError
            return response
        except Exception as error:
            if bounds.too_long:
                raise context.too_long(self._settings.max_response_mb) from error
            if bounds.passed:
                mapped: Exception | None = context.timed_out("first_token")
            else:
                mapped = context.from_exception(error) or caller_mistake(error)
            if mapped is None or mapped is error:
                raise
            if isinstance(mapped, BedrockTimeoutError) and not isinstance(mapped, BedrockResponseError):
                name = mapped.deadline or "first_token"
                cut_short = (connect if name == "connect" else first_token) != getattr(timeout, name)
                name = "total" if cut_short else name
                mapped = context.timed_out(name, getattr(timeout, name))
            raise mapped from error


class _SyncStream:
    """A stream whose first text has come."""

    def __init__(self, reader: BodyReader, parser: StreamParser) -> None:
        self.first: list[GenerationChunk] = []
        self._reader = reader
        self._parser = parser

    @property
    def done(self) -> bool:
        """Whether the last chunk has come."""
        return self._parser.done

    def start(self) -> None:
        """Read until there is text, or the answer is complete without any."""
        try:
            while not self.first:
                self.first = self.more()
        except BaseException:
            self.close()
            raise

    def more(self) -> list[GenerationChunk]:
        """Read on; return what came, which may be no chunk at all."""
        parser = self._parser
        if parser.failure is not None:
            raise parser.failure
        try:
            data = self._reader.read()
        except LlamaBedrockError as error:
            parser.broken(error)
            raise
        return parser.take(data)

    def close(self) -> None:
        self._reader.close()


class BodyReader:
    """Reads one answer. Not for use by two threads at once.

    Args:
        response: boto3's response.
        body: The member of it that is the body.
        context: Which call it is, for errors.
        settings: How long an answer may be.
        timeout: The caller's deadlines.
        started: Monotonic time when the request was sent.
        ends_at: Monotonic time when the whole call must be over; None for no such deadline.
    """

    def __init__(
        self,
        response: dict[str, Any],
        body: Any,
        context: CallContext,
        settings: TransportSettings,
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
        # urllib3's response, below botocore's own body. Not below a subclass: those of instrumentations have
        # read the whole answer, and give it again through their API alone.
        own = type(body).__module__.startswith("botocore.")
        self._raw = getattr(body, "_raw_stream", None) if own else None
        self._socket = _socket_of(self._raw)
        self._pieces = self._iterate()
        self._waiting_since = started
        self._deadline = "first_token"
        self._limit = timeout.first_token
        self._socket_timeout: float | None = -1.0
        self._max_mb = settings.max_response_mb
        self._left = settings.max_response_bytes
        due = None if self._limit is None else started + self._limit
        self._bounds = self._keep_time(
            ends_at if due is None else due if ends_at is None else min(due, ends_at)
        )

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
        if self._bounds.passed:
            raise self._late()
        if self._deadline != "idle":
            self._deadline, self._limit = "idle", self._timeout.idle
            self._bounds.stop()
            self._bounds = self._keep_time(self._ends_at)
        if self._ends_at is not None:
            self._check_total()
        self._left -= len(piece)
        if self._left < 0:
            raise self._context.too_long(self._max_mb)
        return piece

    def read_all(self) -> bytes:
        """Return the whole body."""
        pieces = []
        while piece := self.read():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connection at once, unless the body was read to its end: then it is back in the pool."""
        self._bounds.stop()
        self._pieces.close()
        self._body.close()

    def _keep_time(self, ends_at: float | None) -> ExchangeBounds:
        bounds = ExchangeBounds(None, None, ends_at, self._left)
        bounds.watch(self._socket)
        bounds.start()
        return bounds

    def _late(self) -> LlamaBedrockError:
        self._check_total()
        return self._context.timed_out(self._deadline, self._limit)

    def _iterate(self) -> Generator[bytes, None, None]:
        raw = self._raw
        if raw is None:
            return self._iterate_events()
        # In chunks `stream` gives what has come; else it would wait for a full buffer.
        # The class's own: `bound_session` counts what botocore reads, here it is counted in `read`.
        return type(raw).stream(raw) if getattr(raw, "chunked", False) else self._iterate_unframed()

    def _iterate_unframed(self) -> Generator[bytes, None, None]:
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
        if self._bounds.passed:
            return self._late()
        mapped = self._context.from_exception(error)
        if not isinstance(error, TimeoutError) and getattr(mapped, "deadline", None) is None:
            return self._context.broken_off(error)
        return self._late()

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


def _shorter(seconds: float | None, left: float) -> float:
    return left if seconds is None else min(seconds, left)
