"""The synchronous shell: a boto3 client sends, our decoder reads the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TypeVar

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport import clients
from llama_bedrock.transport.body import BodyReader
from llama_bedrock.transport.failures import CallContext
from llama_bedrock.transport.limiter import AdaptiveConcurrency, Slot
from llama_bedrock.transport.request import InvokeRequest
from llama_bedrock.transport.response import GenerationChunk, StreamParser, parse_body
from llama_bedrock.transport.retry import Attempt, attempts
from llama_bedrock.transport.settings import TransportSettings

Result = TypeVar("Result")


class SyncTransport:
    """Calls Bedrock from threads. Safe to share between them; equal settings share one boto3 client.

    Args:
        settings: How to reach Bedrock. Nothing is read or opened before the first call.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._timeout = clients.deadlines_of(settings)

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

        def send(attempt: Attempt, _: Slot | None) -> GenerationChunk:
            reader = self._open(client.invoke_model, arguments, context, attempt)
            with closing(reader):
                return parse_body(reader.read_all(), reader.headers, context)

        return self._with_retries(client, context, send)

    def stream(self, request: InvokeRequest) -> Iterator[GenerationChunk]:
        """Send a request and yield the answer as it comes; the last chunk has `last` set and no text.

        Nothing is sent before the first `next`. Closing the generator closes the connection.

        Raises:
            LlamaBedrockError: The call failed; once text has been yielded, without another attempt and with
                the
                text so far in `partial_text`.
            ValueError: The settings or the request cannot be sent.
        """
        client, context = self._prepare("InvokeModelWithResponseStream", request.model_id)
        arguments = request.boto_arguments()

        def send(attempt: Attempt, slot: Slot | None) -> _OpenStream:
            reader = self._open(client.invoke_model_with_response_stream, arguments, context, attempt)
            stream = _OpenStream(reader, StreamParser(reader.headers, context), slot)
            stream.start()
            return stream

        with closing(self._with_retries(client, context, send, keep_slot=True)) as stream:
            yield from stream

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
        """
        client, context = self._prepare(operation, None, service)
        method = getattr(client, operation)

        def send(attempt: Attempt, _: Slot | None) -> dict[str, Any]:
            result: dict[str, Any] = self._call_boto(method, arguments, context, attempt)
            return result

        return self._with_retries(client, context, send)

    def call_stream(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        """Call an operation that answers with events, such as `retrieve_and_generate_stream`.

        Args:
            service: boto3's name of the service.
            operation: boto3's name of the method.
            member: The member of the response that is the stream, such as `stream`.
            arguments: Keyword arguments of the method.

        Yields:
            First the response without its stream, then each event as a dict with one key.

        Raises:
            LlamaBedrockError: The call failed, before or inside the stream.
        """
        client, context = self._prepare(operation, None, service)
        method = getattr(client, operation)
        response = self._with_retries(
            client, context, lambda attempt, _: self._call_boto(method, arguments, context, attempt)
        )
        with closing(response.pop(member)) as events:
            yield response
            try:
                yield from events
            except Exception as error:
                raise _mapped(error, context) from error

    def close(self) -> None:
        """Do nothing: the client and its connections are shared with others of equal settings."""

    def _prepare(
        self, operation: str, model_id: str | None, service: str = clients.RUNTIME
    ) -> tuple[Any, CallContext]:
        client = clients.boto_client(self._settings, service)
        meta = client.meta
        name = meta.method_to_api_mapping.get(operation, operation)
        return client, CallContext(name, model_id, meta.region_name, meta.endpoint_url)

    def _with_retries(
        self,
        client: Any,
        context: CallContext,
        send: Callable[[Attempt, Slot | None], Result],
        keep_slot: bool = False,
    ) -> Result:
        limiter: AdaptiveConcurrency | None = self._settings.limiter
        series = attempts(clients.policy_of(self._settings, client), self._timeout.total)
        attempt = next(series)
        while True:
            if attempt.wait:
                time.sleep(attempt.wait)
            slot = limiter.acquire() if limiter is not None else None
            try:
                result = send(attempt, slot)
            except LlamaBedrockError as error:
                if slot is not None:
                    slot.release(error)
                attempt = series.send(error)
            except BaseException:
                if slot is not None:
                    slot.release()
                raise
            else:
                if slot is not None and not keep_slot:
                    slot.release()
                return result

    def _open(
        self, method: Callable[..., Any], arguments: dict[str, Any], context: CallContext, attempt: Attempt
    ) -> BodyReader:
        started = time.monotonic()
        response = self._call_boto(method, arguments, context, attempt)
        return BodyReader(response, context, self._timeout, started, attempt.ends_at)

    def _call_boto(
        self, method: Callable[..., Any], arguments: dict[str, Any], context: CallContext, attempt: Attempt
    ) -> Any:
        left = None
        if attempt.ends_at is not None:
            left = max(0.001, attempt.ends_at - time.monotonic())
            if self._timeout.first_token is not None:
                left = min(left, self._timeout.first_token)
        try:
            with clients.read_timeout(left):
                return method(**arguments)
        except Exception as error:
            mapped = _mapped(error, context)
            if attempt.ends_at is not None and time.monotonic() >= attempt.ends_at:
                mapped = context.timed_out("total", self._timeout.total)
            if mapped is error:
                raise
            raise mapped from error


class _OpenStream:
    """A stream whose first text has come."""

    def __init__(self, reader: BodyReader, parser: StreamParser, slot: Slot | None) -> None:
        self._reader = reader
        self._parser = parser
        self._slot = slot
        self._first: list[GenerationChunk] = []

    def start(self) -> None:
        """Read until there is text, or the answer is complete without any."""
        try:
            while not self._first:
                data = self._reader.read()
                if not data:
                    self._first = [self._end()]
                    return
                self._first = self._parser.feed(data)
                if self._parser.failure is not None and not self._first:
                    raise self._parser.failure
        except BaseException:
            self._reader.close()
            raise

    def __iter__(self) -> Iterator[GenerationChunk]:
        yield from self._first
        if self._first[-1].last:
            return
        parser, read = self._parser, self._reader.read
        try:
            while True:
                if parser.failure is not None:
                    raise parser.failure
                data = read()
                if not data:
                    break
                yield from parser.feed(data)
            yield self._end()
        except LlamaBedrockError as error:
            raise parser.broken(error) from error.__cause__

    def _end(self) -> GenerationChunk:
        last = self._parser.close()
        if last is None:
            assert self._parser.failure is not None
            raise self._parser.failure
        return last

    def close(self) -> None:
        self._reader.close()
        if self._slot is not None:
            self._slot.release()


def _mapped(error: Exception, context: CallContext) -> Exception:
    return context.from_exception(error) or error
