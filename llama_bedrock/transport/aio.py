"""The asynchronous transport, over sockets of ours: no thread for a call or an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from llama_bedrock.transport import clients
from llama_bedrock.transport.async_http import AsyncWay
from llama_bedrock.transport.calls import AnswerStream, Calls
from llama_bedrock.transport.connection import TransportSettings
from llama_bedrock.transport.destination import Destination
from llama_bedrock.transport.exchange import OwnClient, Way
from llama_bedrock.transport.limiter import FREE, Slot
from llama_bedrock.transport.loop_connections import Connections
from llama_bedrock.transport.loop_pools import LoopPools
from llama_bedrock.transport.request import InvokeRequest
from llama_bedrock.transport.response import GenerationChunk
from llama_bedrock.transport.signing import OncePerLoop, SigningClient, signing_client
from llama_bedrock.transport.watched import aiohttp_is_watched


class AsyncTransport(Calls):
    """Calls Bedrock from event loops, with one connection pool for each loop.

    It may be used from several loops and threads. `async with` closes the running loop's pool; so does the
    end of a loop that `asyncio.run` runs.

    Args:
        settings: How to reach Bedrock. Nothing is read or opened before the first call.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__(settings)
        most = settings.max_connections
        self._pools = LoopPools(partial(Connections, most))
        self._sessions: LoopPools[Any] = LoopPools(partial(_session, most, self._timeout.connect))
        self._ways: dict[tuple[str, bool], Way] = {}
        self._making: dict[str, OncePerLoop] = {}

    async def __aenter__(self) -> AsyncTransport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the running loop's connections; a later call opens new ones."""
        await self._pools.close()
        await self._sessions.close()

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
        return _pieces(self.batches(request))

    def batches(self, request: InvokeRequest) -> AsyncGenerator[list[GenerationChunk], None]:
        """`stream`, but with a list of what came at once."""
        return _batches(lambda: self._stream(request))

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """`SyncTransport.call`, from an event loop; of services that speak JSON."""
        return await self._call(service, operation, arguments)

    def call_stream(
        self, service: str, operation: str, **arguments: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """`SyncTransport.call_stream`, from an event loop."""
        return _pieces(_batches(lambda: self._call_stream(service, operation, arguments)))

    async def _way(self, service: str) -> Way:
        if isinstance(self._settings.client, OwnClient):
            return self._settings.client.way(self._settings, self._timeout, in_loop=True)
        by_aiohttp = aiohttp_is_watched() is not None
        way = self._ways.get((service, by_aiohttp))
        if way is None:
            once = self._making.setdefault(service, OncePerLoop())
            signing = await once.run(lambda: signing_client(clients.boto_client(self._settings, service)))
            way = self._ways.get((service, by_aiohttp))  # calls that waited together share one
            if way is None:
                way = self._ways[service, by_aiohttp] = self._make_way(signing, by_aiohttp)
        return way

    def _make_way(self, signing: SigningClient, by_aiohttp: bool) -> Way:
        if by_aiohttp or Destination(signing.client.meta.endpoint_url, signing).has_tls_proxy:
            from llama_bedrock.transport.aiohttp_way import AiohttpWay

            return AiohttpWay(self._sessions, signing, self._settings, self._timeout)
        return AsyncWay(self._pools, signing, self._settings, self._timeout)

    async def _slot(self) -> Slot:
        limiter = self._settings.limiter
        return await limiter.acquire_async() if limiter is not None else FREE

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _session(most: int, connect: float | None) -> Any:
    from llama_bedrock.transport.aiohttp_way import AiohttpSession

    return AiohttpSession(most, connect)


async def _batches(begin: Callable[[], Awaitable[AnswerStream]]) -> AsyncGenerator[list[Any], None]:
    stream = await begin()
    try:
        yield stream.first[:1]
        if rest := stream.first[1:]:
            await asyncio.sleep(0)  # of a thousand streams, each gets its first piece before any goes on
            yield rest
        while not stream.done:
            yield await stream.more()
    finally:
        stream.close()


async def _pieces(batches: AsyncGenerator[list[Any], None]) -> AsyncGenerator[Any, None]:
    async with aclosing(batches):
        async for batch in batches:
            for piece in batch:
                yield piece
