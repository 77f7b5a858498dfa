"""HTTP on event loops, by aiohttp: a connection pool per loop, and one exchange with its deadlines."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from asyncio import timeout_at
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.deadlines import MAX_ERROR_BYTES
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.signing import SigningClient

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession


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


class HttpExchange:
    """Sends one request and reads its answer; `close` when done, whatever happened.

    Args:
        session: The running loop's session.
        signing: Where to send and how to sign.
        context: Which call it is, for errors.
        settings: How long an answer may be.
        timeout: The caller's deadlines.
        ends_at: Monotonic time when the whole call must be over; None for no such deadline.
    """

    def __init__(
        self,
        session: ClientSession,
        signing: SigningClient,
        context: CallContext,
        settings: TransportSettings,
        timeout: Timeout,
        ends_at: float | None,
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._session = session
        self._signing = signing
        self._context = context
        self._timeout = timeout
        self._max_mb = settings.max_response_mb
        self._left = settings.max_response_bytes
        self._loop = asyncio.get_running_loop()
        # Loops may count their time from elsewhere than time.monotonic does.
        self._ends_at = None if ends_at is None else self._loop.time() + ends_at - time.monotonic()
        self._response: ClientResponse | None = None
        self._watchdog: _Watchdog | None = None

    async def send(self, method: str, path: str, headers: dict[str, str], payload: bytes) -> None:
        """Send the request and wait for the head of the answer.

        Raises:
            LlamaBedrockError: There was none, it is an error, or a deadline passed.
        """
        started = self._loop.time()
        first_by = _earlier(started, self._timeout.first_token, None)
        try:
            async with timeout_at(_earlier(started, self._timeout.first_token, self._ends_at)):
                self._response = response = await self._request(method, path, headers, payload)
                self.status = response.status
                self.headers = {name.lower(): value for name, value in response.headers.items()}
                if response.status >= 300:
                    raise self._context.from_http(response.status, self.headers, await _read_error(response))
        except LlamaBedrockError:
            raise
        except Exception as error:
            if type(error) is asyncio.TimeoutError:  # timeout_at's; aiohttp's own are subclasses
                is_total = first_by is None or (self._ends_at is not None and self._ends_at <= first_by)
                raise self._passed("total" if is_total else "first_token") from error
            mapped = self._context.from_exception(error)
            if mapped is None:
                raise
            raise mapped from error
        self._watchdog = _Watchdog(self._loop, response, first_by, self._timeout.idle, self._ends_at)

    async def read(self) -> bytes:
        """Return what has come of the body since the last call, empty at its end.

        Raises:
            BedrockTimeoutError: A deadline passed.
            BedrockStreamError: The connection broke.
        """
        watchdog, response = self._watchdog, self._response
        assert watchdog is not None
        assert response is not None
        try:
            data = await response.content.readany()
        except _DeadlinePassed as error:
            raise self._passed(error.name) from None
        except Exception as error:
            raise self._context.broken_off(error) from error
        if watchdog.heard is None:
            watchdog.hear_first()
        else:
            watchdog.heard = self._loop.time()
        self._left -= len(data)
        if self._left < 0:
            raise self._context.too_long(self._max_mb)
        return data

    async def read_all(self) -> bytes:
        """Return the whole body."""
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connection at once, unless the body was read to its end: then it is back in the pool."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._response is not None:
            self._response.close()

    async def _request(
        self, method: str, path: str, headers: dict[str, str], payload: bytes
    ) -> ClientResponse:
        from yarl import URL

        signing, operation = self._signing, self._context.operation
        try:
            await signing.fresh_credentials()
        except Exception as error:
            raise self._context.no_credentials(error) from error
        url = signing.url(operation, path)
        proxy, proxy_headers = signing.proxy(url)
        return await self._session.request(
            method,
            URL(url, encoded=True),  # as it was signed
            data=payload,
            headers=signing.sign(operation, method, url, headers, payload),
            allow_redirects=False,
            ssl=signing.ssl_context if signing.ssl_context is not None else True,
            proxy=proxy,
            proxy_headers=proxy_headers or None,
        )

    def _passed(self, name: str) -> LlamaBedrockError:
        return self._context.timed_out(name, getattr(self._timeout, name))


class _DeadlinePassed(Exception):  # a message from the watchdog to the reader
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Watchdog:
    """Wakes the reader of a body when a deadline has passed; one timer per body, not one per piece."""

    __slots__ = ("_ends_at", "_first_by", "_handle", "_idle", "_loop", "_response", "heard")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        response: ClientResponse,
        first_by: float | None,
        idle: float | None,
        ends_at: float | None,
    ) -> None:
        self.heard: float | None = None
        self._loop = loop
        self._response = response
        self._first_by = first_by
        self._idle = idle
        self._ends_at = ends_at
        self._handle: asyncio.TimerHandle | None = None
        self._look()

    def hear_first(self) -> None:
        """From now on it is silence that counts, which may be due sooner than the first piece was."""
        self.heard = self._loop.time()
        self.cancel()
        self._look()

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        name, due = self._next()
        if due is None:
            return
        if due > self._loop.time():
            self._handle = self._loop.call_at(due, self._look)
            return
        self._handle = None
        content: Any = self._response.content
        content.set_exception(_DeadlinePassed(name))
        self._response.close()

    def _next(self) -> tuple[str, float | None]:
        """Return the deadline that is due first, and when."""
        name, due = "first_token", self._first_by
        if self.heard is not None:
            name, due = "idle", None if self._idle is None else self.heard + self._idle
        if self._ends_at is not None and (due is None or self._ends_at < due):
            return "total", self._ends_at
        return name, due


async def _read_error(response: ClientResponse) -> bytes:
    body = b""
    while len(body) < MAX_ERROR_BYTES and (piece := await response.content.read(MAX_ERROR_BYTES - len(body))):
        body += piece
    return body


def _earlier(started: float, seconds: float | None, ends_at: float | None) -> float | None:
    due = None if seconds is None else started + seconds
    if due is None or ends_at is None:
        return ends_at if due is None else due
    return min(due, ends_at)
