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
from llama_bedrock.transport.clients import policy_of
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.exchange import MAX_ERROR_BYTES, Exchange, HttpForm, Outgoing, Way, earlier
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


class AsyncWay(Way):
    """Requests that botocore signs and aiohttp sends.

    Args:
        pools: The connections.
        signing: Where to send and how to sign.
        settings: How to reach the service.
        timeout: The deadlines of a call.
    """

    def __init__(
        self, pools: LoopPools, signing: SigningClient, settings: TransportSettings, timeout: Timeout
    ) -> None:
        self.client = signing.client
        self.region, self.endpoint_url = signing.region, signing.client.meta.endpoint_url
        self.policy = policy_of(settings, signing.client)
        self._sender = (pools, signing)
        self._bounds = (settings, timeout)

    def form(self, outgoing: Outgoing) -> HttpForm:
        return outgoing.as_http()

    def exchange(self, context: CallContext, ends_at: float | None) -> HttpExchange:
        return HttpExchange(*self._sender, context, *self._bounds, ends_at)


class HttpExchange(Exchange):
    """An exchange over aiohttp.

    Args:
        pools: The connections.
        signing: Where to send and how to sign.
        context: This and the rest as of any exchange.
    """

    def __init__(
        self,
        pools: LoopPools,
        signing: SigningClient,
        context: CallContext,
        settings: TransportSettings,
        timeout: Timeout,
        ends_at: float | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # Loops may count their time from elsewhere than time.monotonic does.
        ends_at = None if ends_at is None else self._loop.time() + ends_at - time.monotonic()
        super().__init__(context, settings, timeout, ends_at)
        self._pools = pools
        self._signing = signing
        self._response: ClientResponse | None = None
        self._watchdog: _Watchdog | None = None

    async def send(self, form: HttpForm) -> None:
        started = self._loop.time()
        first_token = self._timeout.first_token
        first_by = None if first_token is None else started + first_token
        try:
            async with timeout_at(earlier(first_by, self._ends_at)):
                self._response = response = await self._request(*form)
                self.status = response.status
                self.headers = {name.lower(): value for name, value in response.headers.items()}
                if response.status >= 300:
                    body = await _read_error(response)
                    raise self.context.from_http(response.status, self.headers, body)
        except LlamaBedrockError:
            raise
        except Exception as error:
            if type(error) is asyncio.TimeoutError:  # timeout_at's; aiohttp's own are subclasses
                is_total = first_by is None or (self._ends_at is not None and self._ends_at <= first_by)
                raise self._passed("total" if is_total else "first_token") from error
            mapped = self.context.from_exception(error)
            if mapped is None:
                raise
            raise mapped from error
        self._watchdog = _Watchdog(self._loop, response, first_by, self._timeout.idle, self._ends_at)

    async def read(self) -> bytes:
        watchdog, response = self._watchdog, self._response
        assert watchdog is not None
        assert response is not None
        try:
            data = await response.content.readany()
        except _DeadlinePassed as error:
            raise self._passed(error.name) from None
        except Exception as error:
            raise self.context.broken_off(error) from error
        watchdog.heard = self._loop.time()
        return self._count(data)

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._response is not None:
            self._response.close()

    async def _request(
        self, method: str, path: str, headers: dict[str, str], payload: bytes
    ) -> ClientResponse:
        from yarl import URL

        signing, operation = self._signing, self.context.operation
        try:
            await signing.fresh_credentials()
        except Exception as error:
            raise self.context.no_credentials(error) from error
        url = signing.url(operation, path)
        proxy, proxy_headers = signing.proxy(url)
        session = await self._pools.session()
        return await session.request(
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
        return self.context.timed_out(name, getattr(self._timeout, name))


class _DeadlinePassed(Exception):  # a message from the watchdog to the reader
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Watchdog:
    """Wakes the reader of a body when a deadline has passed; one timer per body, not one per piece.

    Until the first piece has come, `heard` is None. From then on it is silence that counts, which may be due
    sooner than the first piece was: so the timer looks after each idle time at the latest.
    """

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

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        name, due = self._next()
        now = self._loop.time()
        if due is None or due > now:
            look_again = now + self._idle if self.heard is None and self._idle is not None else None
            wake = earlier(due, look_again)
            self._handle = None if wake is None else self._loop.call_at(wake, self._look)
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
