"""One aiohttp session for each event loop, opened when first needed and closed with its loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import ClientSession


class LoopPools:
    """The connection pools of one transport.

    A session belongs to the loop it was made in, and one model may be used from several: a notebook's, a web
    server's, one for each test. Each session is held by an async generator that the loop knows of: a loop
    that ends closes its generators (`asyncio.run` does so), and the generator closes the session. So does
    dropping the transport while the loop runs. A loop that was closed without that is noticed at the next
    call.

    Args:
        max_connections: Bound of each pool; a call beyond it waits for a connection.
        connect: Seconds until a connection is open; None for no deadline.
    """

    def __init__(self, max_connections: int, connect: float | None) -> None:
        self._max_connections = max_connections
        self._connect = connect
        self._lock = threading.Lock()
        self._pools: dict[int, _Pool] = {}
        weakref.finalize(self, _discard_all, self._pools)

    async def session(self) -> ClientSession:
        """Return the session of the running loop."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(id(loop))
        if pool is None or pool.session.closed or pool.loop is not loop:
            pool = await self._open(loop)
        return pool.session

    async def close(self) -> None:
        """Close the session of the running loop; a later call opens another."""
        with self._lock:
            pool = self._pools.pop(id(asyncio.get_running_loop()), None)
        if pool is not None:
            await pool.guard.aclose()

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _Pool:
        session = _make_session(self._max_connections, self._connect)
        pool = _Pool(loop, session)
        with self._lock:
            self._discard_closed()
            self._pools[id(loop)] = pool
        await pool.guard.__anext__()  # from now on the loop closes it
        return pool

    def _discard_closed(self) -> None:
        for key, pool in list(self._pools.items()):
            if pool.loop.is_closed():
                del self._pools[key]
                pool.discard()


class _Pool:
    """A session and the generator that closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, session: ClientSession) -> None:
        self.loop = loop
        self.session = session
        self.guard = _close_at_end(session)

    def discard(self) -> None:
        """Close the sockets of a loop that is closed: nothing can be awaited on it any more."""
        connector: Any = self.session.connector
        self.session.detach()
        idle = getattr(connector, "_conns", {})
        busy: set[Any] = getattr(connector, "_acquired", set())
        for protocol in [*busy, *(protocol for pooled in idle.values() for protocol, _ in pooled)]:
            _close_socket(getattr(protocol, "transport", None))
        idle.clear()
        busy.clear()


async def _close_at_end(session: ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await session.close()


def _make_session(max_connections: int, connect: float | None) -> ClientSession:
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

    return ClientSession(
        connector=TCPConnector(limit=max_connections, keepalive_timeout=60),
        timeout=ClientTimeout(total=None, sock_connect=connect),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
    )


def _close_socket(transport: Any) -> None:
    lost = getattr(transport, "_call_connection_lost", None)  # asyncio's own transports
    if lost is not None:
        lost(None)


def _discard_all(pools: dict[int, _Pool]) -> None:
    for pool in pools.values():
        if pool.loop.is_closed():
            pool.discard()
