"""What belongs to an event loop: a pool of connections for each loop that a transport is used from."""

from __future__ import annotations

import asyncio
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, TypeVar


class LoopPool(ABC):
    """The connections of one loop."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether it is of no use any more."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    def discard(self) -> None:
        """Close the sockets of a loop that is closed: nothing can be awaited on it any more."""


PoolT = TypeVar("PoolT", bound=LoopPool)


class LoopPools(Generic[PoolT]):
    """The connection pools of one transport.

    A pool belongs to the loop it was made in, and one model may be used from several: a notebook's, a web
    server's, one for each test. Each pool is held by an async generator that the loop knows of: a loop
    that ends closes its generators (`asyncio.run` does so), and the generator closes the pool. So does
    dropping the transport while the loop runs. A loop that was closed without that is noticed at the next
    call.

    Args:
        make: Makes a pool, in its loop.
    """

    def __init__(self, make: Callable[[], PoolT]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._pools: dict[int, _Guarded[PoolT]] = {}
        weakref.finalize(self, _discard_all, self._pools)

    async def of_loop(self, loop: asyncio.AbstractEventLoop) -> PoolT:
        """Return the pool of the running loop."""
        held = self._pools.get(id(loop))
        if held is None or held.loop is not loop or held.pool.closed:
            held = await self._open(loop)
        return held.pool

    async def close(self) -> None:
        """Close the pool of the running loop; a later call opens another."""
        with self._lock:
            held = self._pools.pop(id(asyncio.get_running_loop()), None)
        if held is not None:
            await held.guard.aclose()

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _Guarded[PoolT]:
        held = _Guarded(loop, self._make())
        with self._lock:
            self._discard_closed()
            self._pools[id(loop)] = held
        await held.guard.__anext__()  # from now on the loop closes it
        return held

    def _discard_closed(self) -> None:
        for key, held in list(self._pools.items()):
            if held.loop.is_closed():
                del self._pools[key]
                held.pool.discard()


class _Guarded(Generic[PoolT]):
    """A pool and the generator that closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: PoolT) -> None:
        self.loop = loop
        self.pool = pool
        self.guard = _close_at_end(pool)


async def _close_at_end(pool: LoopPool) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await pool.close()


def _discard_all(pools: dict[int, _Guarded[Any]]) -> None:
    for held in pools.values():
        if held.loop.is_closed():
            held.pool.discard()


def close_socket(transport: Any) -> None:
    """Close the socket of a transport whose loop is closed."""
    lost = getattr(transport, "_call_connection_lost", None)  # asyncio's own transports
    if lost is not None:
        lost(None)
