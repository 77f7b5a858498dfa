"""Connections of an event loop: opened, kept open, and read as their bytes come."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from llama_bedrock.transport.destination import KEEP_IDLE, Destination
from llama_bedrock.transport.http1 import Inbox, NotYetError
from llama_bedrock.transport.loop_pools import LoopPool, close_socket
from llama_bedrock.transport.signing import OncePerLoop
from llama_bedrock.transport.watchdog import DeadlinePassedError

Result = TypeVar("Result")
Address: TypeAlias = tuple[int, int, int, Any]  # family, kind, protocol and address of a socket

_MOST_UNREAD = 256 * 1024  # bytes that wait to be read before the server is made to wait
_KEEP_NAMES = 10.0  # seconds; AWS changes the addresses behind a name every minute
_NEXT_ADDRESS = 0.25  # seconds until the next address is tried besides: RFC 8305's "Happy Eyeballs"


class Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        inbox: What has come and is not read.
        lost: It cannot be used any more.
        idle_since: Loop time since when no call uses it; 0 while one does.
    """

    __slots__ = ("_loop", "_on_lost", "_paused", "_transport", "_waiter", "idle_since", "inbox", "lost")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], None]) -> None:
        self.inbox = Inbox()
        self.lost = False
        self.idle_since = 0.0
        self._loop = loop
        self._on_lost = on_lost
        self._transport: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    def write(self, data: bytes) -> None:
        """Send bytes; does not wait.

        Raises:
            ConnectionError: The other end has closed the connection.
        """
        if self._transport is None:
            raise self.inbox.failure or ConnectionResetError("the server closed the connection")
        self._transport.write(data)

    async def more(self) -> None:
        """Wait until more has come, or nothing more will."""
        if self.inbox.ended:
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._waiter = waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    async def come(self, read: Callable[[], Result]) -> Result:
        """Return what `read` reads from the inbox, once it has come.

        Raises:
            DeadlinePassedError: `wake` said so.
            OSError: The connection ended before, or what came is not HTTP.
        """
        if not self.inbox.has_data:
            await self.more()
        while True:
            try:
                return read()
            except NotYetError:
                await self.more()

    def rest(self, now: float) -> None:
        """Begin to be of no use to a call."""
        self.idle_since = now
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def wake(self, error: BaseException) -> None:
        """Have the one who reads, now or next, raise an error; the connection is closed."""
        self.inbox.ended, self.inbox.failure = True, error
        self._end(None)
        self.abort()

    async def go_through(self, destination: Destination) -> None:
        """Have the proxy open a tunnel, and go on with TLS.

        Raises:
            OSError: It refuses.
        """
        assert destination.tunnel is not None
        assert destination.tls is not None
        self.write(destination.tunnel)
        destination.check_tunnel((await self.come(self.inbox.read_head))[0])
        self._transport = await self._loop.start_tls(
            self._transport, self, destination.tls, server_hostname=destination.host
        )

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    def discard(self) -> None:
        """Close the socket of a loop that is closed."""
        self._waiter = None  # it cannot be woken any more
        close_socket(self._transport)

    # -- what asyncio calls --------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        inbox, waiter = self.inbox, self._waiter
        inbox.feed(data)
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(None)
        elif self.idle_since:  # the server talks out of turn
            self.abort()
        if len(inbox) > _MOST_UNREAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        self._end(exc)
        self._on_lost(self)

    def _end(self, failure: BaseException | None) -> None:
        self.lost = True
        if not self.inbox.ended:
            self.inbox.ended, self.inbox.failure = True, failure
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connections(LoopPool):
    """The connections of one transport in one loop.

    Args:
        most: How many calls may have one at a time; others wait.
    """

    def __init__(self, most: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._places = asyncio.Semaphore(most)
        self._open: set[Connection] = set()
        self._idle: dict[Destination, deque[Connection]] = {}
        self._names: dict[tuple[str, int], _Name] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def closed(self) -> bool:
        return self._closed

    async def close(self) -> None:
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)  # the loop closes the sockets

    def discard(self) -> None:
        self._closed = True
        for connection in list(self._open):
            connection.discard()

    async def take(self, destination: Destination, connect: float | None, **due: float | None) -> Connection:
        """Return a connection; the caller gives it back, whatever happens.

        Args:
            destination: Where to.
            connect: Seconds to open it in, once it is its turn.
            due: Loop times when it must be there, by the names of deadlines.

        Raises:
            DeadlinePassedError: It was not.
            OSError: It could not be opened.
        """
        if self._places.locked():
            await _in_time(self._places.acquire(), due)
        else:
            await self._places.acquire()
        try:
            connection = self._kept(destination)
            if connection is None:
                if connect is not None:
                    due["connect"] = self._loop.time() + connect
                connection = await _in_time(self._dial(destination), due)
        except BaseException:
            self._places.release()
            raise
        return connection

    def give_back(self, destination: Destination, connection: Connection, *, reusable: bool) -> None:
        """Keep a connection for another call, or close it."""
        self._places.release()
        if not reusable or connection.lost or self._closed:
            connection.abort()
            return
        connection.rest(self._loop.time())
        self._idle.setdefault(destination, deque()).append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(KEEP_IDLE, self._sweep)

    def _kept(self, destination: Destination) -> Connection | None:
        idle = self._idle.get(destination)
        while idle:
            connection = idle.pop()
            if not connection.lost and self._loop.time() - connection.idle_since < KEEP_IDLE:
                connection.idle_since = 0.0
                return connection
            connection.abort()
        return None

    def _sweep(self) -> None:
        """Close what nobody has used for long; of a burst of calls, most."""
        self._sweeping = None
        for idle in self._idle.values():
            while idle and self._loop.time() - idle[0].idle_since >= KEEP_IDLE:
                idle.popleft().abort()
        if any(self._idle.values()):
            self._sweeping = self._loop.call_later(KEEP_IDLE / 4, self._sweep)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection.idle_since:
            for idle in self._idle.values():
                with suppress(ValueError):
                    idle.remove(connection)

    async def _dial(self, destination: Destination) -> Connection:
        name = self._names.setdefault(destination.dialled, _Name(*destination.dialled))
        try:
            sock = await _connect(self._loop, await name.addresses(self._loop.time()))
        except OSError:
            name.forget()
            raise
        connection = Connection(self._loop, self._forget)
        tls = destination.tls if destination.tunnel is None else None
        try:
            await self._loop.create_connection(
                lambda: connection, sock=sock, ssl=tls, server_hostname=destination.host if tls else None
            )
            if destination.tunnel is not None:
                await connection.go_through(destination)
        except BaseException:
            connection.abort()
            sock.close()
            raise
        self._open.add(connection)
        return connection


async def _in_time(waiting: Coroutine[Any, Any, Result], due: Mapping[str, float | None]) -> Result:
    moments = sorted((moment, name) for name, moment in due.items() if moment is not None)
    try:
        async with asyncio.timeout_at(moments[0][0] if moments else None) as limit:
            return await waiting
    except TimeoutError:
        if limit.expired():
            raise DeadlinePassedError(moments[0][1]) from None
        raise  # the operating system's


class _Name:
    """The addresses of a host, looked up once for all who wait, and kept for a moment."""

    def __init__(self, host: str, port: int) -> None:
        self._asked = (host, port)
        self._known: list[Address] = []
        self._until = 0.0
        self._lookup = OncePerLoop()

    async def addresses(self, now: float) -> list[Address]:
        """Return them in the order in which they are to be tried.

        Raises:
            socket.gaierror: There are none.
        """
        if now >= self._until:
            try:
                self._known = self._look_up(socket.AI_NUMERICHOST)
            except socket.gaierror:  # not written as a number: it has to be asked for, which may take a while
                self._known = await self._lookup.run(self._look_up)
            self._until = now + _KEEP_NAMES
        return self._known

    def forget(self) -> None:
        """Look up again at the next call."""
        self._until = 0.0

    def _look_up(self, flags: int = 0) -> list[Address]:
        found = socket.getaddrinfo(*self._asked, type=socket.SOCK_STREAM, flags=flags)
        return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]


async def _connect(loop: asyncio.AbstractEventLoop, addresses: Sequence[Address]) -> socket.socket:
    """Connect to the first address that answers; the next is tried while one keeps silent."""
    if len(addresses) == 1:
        return await _connect_to(loop, addresses[0])
    left = deque(addresses)
    tries: list[asyncio.Task[socket.socket]] = []
    running: set[asyncio.Task[socket.socket]] = set()
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while winner is None and (left or running):
            if left:
                tries.append(loop.create_task(_connect_to(loop, left.popleft())))
                running.add(tries[-1])
            wait = _NEXT_ADDRESS if left else None
            done, running = await asyncio.wait(running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            winner = next((task for task in done if task.exception() is None), None)
    finally:
        for task in tries:
            if task is not winner:
                task.cancel()
                task.add_done_callback(_close_loser)
    return (winner or tries[0]).result()


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect_to(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    sock = socket.socket(*address[:3])
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await loop.sock_connect(sock, address[3])
    except BaseException:
        sock.close()
        raise
    return sock
