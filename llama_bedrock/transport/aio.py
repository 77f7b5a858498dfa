"""The asynchronous transport: aiohttp sends what botocore has signed. No thread for a call or an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from llama_bedrock.transport import clients
from llama_bedrock.transport.async_http import AsyncWay, LoopPools
from llama_bedrock.transport.calls import AnswerStream, Calls
from llama_bedrock.transport.connection import TransportSettings
from llama_bedrock.transport.exchange import OwnClient, Way
from llama_bedrock.transport.limiter import FREE, Slot
from llama_bedrock.transport.request import InvokeRequest
from llama_bedrock.transport.response import GenerationChunk
from llama_bedrock.transport.signing import OncePerLoop, signing_client


class AsyncTransport(Calls):
    """Calls Bedrock from event loops, with one connection pool for each loop.

    It may be used from several loops and threads. `async with` closes the running loop's pool; so does the
    end of a loop that `asyncio.run` runs.

    Args:
        settings: How to reach Bedrock. Nothing is read or opened before the first call.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__(settings)
        self._pools = LoopPools(settings.max_connections, self._timeout.connect)
        self._ways: dict[str, AsyncWay] = {}
        self._making: dict[str, OncePerLoop] = {}

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
        """`SyncTransport.invoke`, from an event loop."""
        return await self._invoke(request)

    def stream(self, request: InvokeRequest) -> AsyncGenerator[GenerationChunk, None]:
        """`SyncTransport.stream`, from an event loop.

        Closing the generator, or cancelling the task that awaits it, closes the connection.
        """
        return _pieces(lambda: self._stream(request))

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """`SyncTransport.call`, from an event loop; of services that speak JSON."""
        return await self._call(service, operation, arguments)

    def call_stream(
        self, service: str, operation: str, **arguments: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """`SyncTransport.call_stream`, from an event loop."""
        return _pieces(lambda: self._call_stream(service, operation, arguments))

    async def _way(self, service: str) -> Way:
        if isinstance(self._settings.client, OwnClient):
            return self._settings.client.way(self._settings, self._timeout, in_loop=True)
        way = self._ways.get(service)
        if way is None:
            once = self._making.setdefault(service, OncePerLoop())
            signing = await once.run(lambda: signing_client(clients.boto_client(self._settings, service)))
            way = self._ways[service] = AsyncWay(self._pools, signing, self._settings, self._timeout)
        return way

    async def _slot(self) -> Slot:
        limiter = self._settings.limiter
        return await limiter.acquire_async() if limiter is not None else FREE

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _pieces(begin: Callable[[], Awaitable[AnswerStream]]) -> AsyncGenerator[Any, None]:
    stream = await begin()
    try:
        for piece in stream.first:
            yield piece
        while not stream.done:
            for piece in await stream.more():
                yield piece
    finally:
        stream.close()
