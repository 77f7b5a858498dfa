"""The asynchronous shell: aiohttp sends what botocore has signed. No thread for a call or an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport import clients
from llama_bedrock.transport.async_http import HttpExchange, LoopPools
from llama_bedrock.transport.connection import TransportSettings
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.json_operations import JsonOperation
from llama_bedrock.transport.limiter import FREE, Slot
from llama_bedrock.transport.request import InvokeRequest
from llama_bedrock.transport.response import GenerationChunk, StreamParser, parse_body
from llama_bedrock.transport.retry import attempts
from llama_bedrock.transport.signing import OncePerLoop, SigningClient, signing_client

Result = TypeVar("Result")


class AsyncTransport:
    """Calls Bedrock from event loops, with one connection pool for each loop.

    It may be used from several loops and threads. `async with` closes the running loop's pool; so does the
    end of a loop that `asyncio.run` runs.

    Args:
        settings: How to reach Bedrock. Nothing is read or opened before the first call.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._timeout = clients.deadlines_of(settings)
        self._pools = LoopPools(settings.max_connections, self._timeout.connect)
        self._signing: dict[str, SigningClient] = {}
        self._making: dict[str, OncePerLoop] = {}

    def __reduce__(self) -> tuple[type[AsyncTransport], tuple[TransportSettings]]:
        return type(self), (self._settings,)  # clients and pools are made anew where it is unpickled

    async def __aenter__(self) -> AsyncTransport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the running loop's connections; a later call opens new ones."""
        await self._pools.close()

    async def region(self) -> str:
        """Return the region calls go to.

        Raises:
            ValueError: None is set.
        """
        if self._settings.client is None and (known := self._settings.region()):
            return known
        return await asyncio.to_thread(clients.region_of, self._settings)

    async def invoke(self, request: InvokeRequest) -> GenerationChunk:
        """Send a request and return the whole answer.

        Raises:
            LlamaBedrockError: The call failed, after retries where they make sense.
            ValueError: The settings or the request cannot be sent.
        """
        signing = await self._signing_client(clients.RUNTIME)
        context = signing.context("InvokeModel", request.model_id)
        path, headers, payload = request.path(), request.headers(), request.payload

        async def send(exchange: HttpExchange) -> GenerationChunk:
            try:
                await exchange.send(request.method, path, headers, payload)
                return parse_body(await exchange.read_all(), exchange.headers, context)
            finally:
                exchange.close()

        result, slot = await self._with_retries(signing, context, send)
        slot.release()
        return result

    async def stream(self, request: InvokeRequest) -> AsyncGenerator[GenerationChunk, None]:
        """Send a request and yield the answer as it comes; the last chunk has `last` set and no text.

        Nothing is sent before the first `anext`. Closing the generator, or cancelling the task that awaits
        it, closes the connection.

        Raises:
            LlamaBedrockError: The call failed; once text has been yielded, without another attempt and with
                the text so far in `partial_text`.
            ValueError: The settings or the request cannot be sent.
        """
        signing = await self._signing_client(clients.RUNTIME)
        context = signing.context("InvokeModelWithResponseStream", request.model_id)
        path, headers, payload = request.path(stream=True), request.headers(stream=True), request.payload

        async def send(exchange: HttpExchange) -> _AsyncStream:
            try:
                await exchange.send(request.method, path, headers, payload)
                stream = _AsyncStream(exchange, StreamParser(exchange.headers, context))
                await stream.start()
            except BaseException:
                exchange.close()
                raise
            return stream

        stream, slot = await self._with_retries(signing, context, send)
        try:
            for chunk in stream.first:
                yield chunk
            while not stream.done:
                for chunk in await stream.more():
                    yield chunk
        except LlamaBedrockError as error:
            slot.release(error)
            raise
        finally:
            stream.close()
            slot.release()

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
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
        signing = await self._signing_client(service)
        coding = JsonOperation(signing.client, operation)
        context = signing.context(coding.name, None)
        request = coding.encode(arguments)

        async def send(exchange: HttpExchange) -> dict[str, Any]:
            try:
                await exchange.send(*request)
                body = await exchange.read_all()
                return coding.decode(exchange.status, exchange.headers, body, context)
            finally:
                exchange.close()

        result, slot = await self._with_retries(signing, context, send)
        slot.release()
        return result

    async def call_stream(
        self, service: str, operation: str, **arguments: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
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
        signing = await self._signing_client(service)
        coding = JsonOperation(signing.client, operation)
        context = signing.context(coding.name, None)
        request = coding.encode(arguments)

        async def send(exchange: HttpExchange) -> HttpExchange:
            try:
                await exchange.send(*request)
            except BaseException:
                exchange.close()
                raise
            return exchange

        exchange, slot = await self._with_retries(signing, context, send)
        try:
            parser = coding.events(exchange.headers, context)
            yield coding.decode(exchange.status, exchange.headers, b"", context)
            while data := await exchange.read():
                for event in parser.feed(data):
                    yield event
                if parser.failure is not None:
                    raise parser.failure
            parser.close()
            if parser.failure is not None:
                raise parser.failure
        finally:
            exchange.close()
            slot.release()

    async def _signing_client(self, service: str) -> SigningClient:
        signing = self._signing.get(service)
        if signing is None:
            once = self._making.setdefault(service, OncePerLoop())
            signing = await once.run(lambda: signing_client(clients.boto_client(self._settings, service)))
            self._signing[service] = signing
        return signing

    async def _with_retries(
        self, signing: SigningClient, context: CallContext, send: Callable[[HttpExchange], Awaitable[Result]]
    ) -> tuple[Result, Slot]:
        """Send until it succeeds or is final; return the result and the place among the calls in flight."""
        limiter = self._settings.limiter
        slot = await limiter.acquire_async() if limiter is not None else FREE
        # The caller's time begins here: a queue before the limiter is of the caller's own making.
        series = attempts(clients.policy_of(self._settings, signing.client), self._timeout.total)
        attempt = next(series)
        while True:
            try:
                session = await self._pools.session()
                settings, ends_at = self._settings, attempt.ends_at
                exchange = HttpExchange(session, signing, context, settings, self._timeout, ends_at)
                return await send(exchange), slot
            except LlamaBedrockError as error:
                slot.release(error)
                attempt = series.send(error)
            except BaseException:
                slot.release(unused=True)
                raise
            await asyncio.sleep(attempt.wait)
            slot = await limiter.acquire_async() if limiter is not None else FREE


class _AsyncStream:
    """A stream whose first text has come."""

    def __init__(self, exchange: HttpExchange, parser: StreamParser) -> None:
        self.first: list[GenerationChunk] = []
        self._exchange = exchange
        self._parser = parser

    @property
    def done(self) -> bool:
        """Whether the last chunk has come."""
        return self._parser.done

    async def start(self) -> None:
        """Read until there is text, or the answer is complete without any."""
        while not self.first:
            self.first = await self.more()

    async def more(self) -> list[GenerationChunk]:
        """Read on; return what came, which may be no chunk at all."""
        parser = self._parser
        if parser.failure is not None:
            raise parser.failure
        try:
            data = await self._exchange.read()
        except LlamaBedrockError as error:
            parser.broken(error)
            raise
        return parser.take(data)

    def close(self) -> None:
        self._exchange.close()
