"""Asynchronous calls that aiohttp sends: where something watches it, or the proxy is reached by TLS.

Instrumentations and recorders of HTTP wrap functions of aiohttp; none would see a call over sockets of ours.
"""

from __future__ import annotations

import asyncio
from asyncio import timeout_at
from typing import TYPE_CHECKING, Any

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.exchange import MAX_ERROR_BYTES, HttpForm, earlier
from llama_bedrock.transport.loop_pools import LoopPool, close_socket
from llama_bedrock.transport.loop_way import LoopExchange, LoopWay
from llama_bedrock.transport.watchdog import DeadlinePassedError, Watchdog

if TYPE_CHECKING:
    from aiohttp import ClientResponse


class AiohttpSession(LoopPool):
    """aiohttp's session of one loop.

    Args:
        max_connections: Bound of the pool; a call beyond it waits for a connection.
        connect: Seconds until a connection is open; None for no deadline.
    """

    def __init__(self, max_connections: int, connect: float | None) -> None:
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        self.http = ClientSession(
            connector=TCPConnector(limit=max_connections, keepalive_timeout=60),
            timeout=ClientTimeout(total=None, sock_connect=connect),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )

    @property
    def closed(self) -> bool:
        return self.http.closed

    async def close(self) -> None:
        await self.http.close()

    def discard(self) -> None:
        connector: Any = self.http.connector
        self.http.detach()
        idle = getattr(connector, "_conns", {})
        busy: set[Any] = getattr(connector, "_acquired", set())
        for protocol in [*busy, *(protocol for pooled in idle.values() for protocol, _ in pooled)]:
            close_socket(getattr(protocol, "transport", None))
        idle.clear()
        busy.clear()


class AiohttpWay(LoopWay[AiohttpSession]):
    """Requests that botocore signs and aiohttp sends."""

    def exchange(self, context: CallContext, ends_at: float | None) -> AiohttpExchange:
        return AiohttpExchange(self, context, *self._bounds, ends_at)


class AiohttpExchange(LoopExchange):
    """An exchange over aiohttp.

    Args:
        way: Whose exchange it is.
        context: This and the rest as of any exchange.
    """

    def __init__(
        self,
        way: AiohttpWay,
        context: CallContext,
        settings: TransportSettings,
        timeout: Timeout,
        ends_at: float | None,
    ) -> None:
        super().__init__(context, settings, timeout, ends_at)
        self._way = way
        self._response: ClientResponse | None = None

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
        self._watchdog = Watchdog(self._loop, self._wake, first_by, self._timeout.idle, self._ends_at)

    async def _piece(self) -> bytes:
        assert self._response is not None
        return await self._response.content.readany()

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._response is not None:
            self._response.close()

    async def _request(
        self, method: str, path: str, headers: dict[str, str], payload: bytes
    ) -> ClientResponse:
        from yarl import URL

        signing, operation = self._way.signing, self.context.operation
        await self._freshen(signing)
        url = signing.url(operation, path)
        proxy, proxy_headers = signing.proxy(url)
        session = (await self._way.pools.of_loop(self._loop)).http
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

    def _wake(self, passed: DeadlinePassedError) -> None:
        assert self._response is not None
        content: Any = self._response.content
        content.set_exception(passed)
        self._response.close()


async def _read_error(response: ClientResponse) -> bytes:
    body = b""
    while len(body) < MAX_ERROR_BYTES and (piece := await response.content.read(MAX_ERROR_BYTES - len(body))):
        body += piece
    return body
