"""What a call does, written once for both shells: slots, attempts, parsing, and what is left behind: nothing.

The code is asynchronous. In the synchronous shell nothing that it awaits ever waits in the loop's sense: each
coroutine runs to its end at its first step (`run`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport import clients
from llama_bedrock.transport.connection import TransportSettings
from llama_bedrock.transport.error_mapping import CallContext, forget_variables
from llama_bedrock.transport.exchange import Exchange, Outgoing, Way
from llama_bedrock.transport.json_operations import JsonOperation
from llama_bedrock.transport.limiter import Slot
from llama_bedrock.transport.request import InvokeRequest
from llama_bedrock.transport.response import EventReader, GenerationChunk, StreamParser, parse_body
from llama_bedrock.transport.retry import attempts

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine that never waits; return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("a synchronous call waited for a loop")


class AnswerStream:
    """A streamed answer of which the first piece has come.

    Args:
        exchange: Where it comes from.
        parser: Reads it.
        slot: The call's place among those in flight.
    """

    __slots__ = ("_exchange", "_parser", "_slot", "first")

    def __init__(self, exchange: Exchange, parser: EventReader, slot: Slot) -> None:
        self.first: list[Any] = []
        self._exchange = exchange
        self._parser = parser
        self._slot = slot

    @property
    def done(self) -> bool:
        """Whether the last piece has come."""
        return self._parser.done

    async def start(self) -> AnswerStream:
        """Read until there is text, or the answer is complete without any."""
        while not self.first:
            self.first = await self._more()
        return self

    async def more(self) -> list[Any]:
        """Read on; return what came, which may be nothing at all."""
        try:
            return await self._more()
        except LlamaBedrockError as error:
            self._slot.release(error)
            raise

    async def _more(self) -> list[Any]:
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
        """Close the connection at once, unless the answer was read to its end."""
        self._exchange.close()
        self._slot.release()


class Calls(ABC):
    """What both transports do.

    Args:
        settings: How to reach Bedrock. Nothing is read or opened before the first call.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._timeout = clients.deadlines_of(settings)

    def __reduce__(self) -> tuple[type[Any], tuple[TransportSettings]]:
        return type(self), (self._settings,)  # clients and pools are made anew where it is unpickled

    @abstractmethod
    async def _way(self, service: str) -> Way:
        """Return how requests to a service are sent."""

    @abstractmethod
    async def _slot(self) -> Slot:
        """Wait for a place among the calls in flight."""

    @abstractmethod
    async def _sleep(self, seconds: float) -> None:
        """Wait before another attempt."""

    async def _invoke(self, request: InvokeRequest) -> GenerationChunk:
        async def whole(exchange: Exchange, slot: Slot) -> GenerationChunk:
            chunk = parse_body(await exchange.read_all(), exchange.headers, exchange.context)
            exchange.close()
            slot.release()
            return chunk

        return await self._send(await self._way(clients.RUNTIME), request.outgoing(), whole)

    async def _stream(self, request: InvokeRequest) -> AnswerStream:
        async def begun(exchange: Exchange, slot: Slot) -> AnswerStream:
            return await AnswerStream(
                exchange, StreamParser(exchange.headers, exchange.context), slot
            ).start()

        return await self._send(await self._way(clients.RUNTIME), request.outgoing(stream=True), begun)

    async def _call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        async def whole(exchange: Exchange, slot: Slot) -> dict[str, Any]:
            answer = await exchange.decoded(coding, whole=True)
            exchange.close()
            slot.release()
            return answer

        way = await self._way(service)
        coding = JsonOperation(way.client, operation)
        return await self._send(way, coding.outgoing(arguments), whole)

    async def _call_stream(self, service: str, operation: str, arguments: Mapping[str, Any]) -> AnswerStream:
        async def begun(exchange: Exchange, slot: Slot) -> AnswerStream:
            stream = AnswerStream(exchange, coding.events(exchange.headers, exchange.context), slot)
            stream.first = [await exchange.decoded(coding, whole=False)]
            return stream

        way = await self._way(service)
        coding = JsonOperation(way.client, operation)
        return await self._send(way, coding.outgoing(arguments), begun)

    async def _send(
        self, way: Way, outgoing: Outgoing, finish: Callable[[Exchange, Slot], Awaitable[Result]]
    ) -> Result:
        """Send until it succeeds or is final; return what `finish` makes of the answer."""
        form = way.form(outgoing)
        context = CallContext(outgoing.operation, outgoing.model_id, way.region, way.endpoint_url)
        slot = await self._slot()
        # The caller's time begins here: a queue before the limiter is of the caller's own making.
        series = attempts(way.policy, self._timeout.total, ends_by=outgoing.ends_by)
        attempt = next(series)
        while True:
            exchange = way.exchange(context, attempt.ends_at)
            try:
                await exchange.send(form)
                return await finish(exchange, slot)
            except LlamaBedrockError as error:
                forget_variables(error)
                exchange.close()
                slot.release(error)
                context.ended_by(error)
                attempt = series.send(error)
                context = context.after(error)
            except BaseException as error:
                forget_variables(error)
                exchange.close()
                slot.release(unused=True)
                raise
            await self._sleep(attempt.wait)
            slot = await self._slot()
