"""HTTP on event loops: one exchange over connections of ours, with its deadlines."""

from __future__ import annotations

from urllib.parse import urlsplit

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.destination import ONE_PIECE_BYTES, Destination
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.exchange import MAX_ERROR_BYTES, HttpForm
from llama_bedrock.transport.http1 import Answer
from llama_bedrock.transport.loop_connections import Connection, Connections
from llama_bedrock.transport.loop_pools import LoopPools
from llama_bedrock.transport.loop_way import LoopExchange, LoopWay
from llama_bedrock.transport.signing import SigningClient
from llama_bedrock.transport.watchdog import DeadlinePassedError, Watchdog


class AsyncWay(LoopWay[Connections]):
    """Requests that botocore signs and this module sends."""

    def __init__(
        self,
        pools: LoopPools[Connections],
        signing: SigningClient,
        settings: TransportSettings,
        timeout: Timeout,
    ) -> None:
        super().__init__(pools, signing, settings, timeout)
        self._known: dict[tuple[str, str], Destination] = {}

    def exchange(self, context: CallContext, ends_at: float | None) -> AsyncExchange:
        return AsyncExchange(self, context, *self._bounds, ends_at)

    def destination(self, url: str) -> Destination:
        """Return the host of a URL."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Destination(url, self.signing)
        return known


class AsyncExchange(LoopExchange):
    """An exchange over a connection of the running loop.

    Args:
        way: Whose exchange it is.
        context: This and the rest as of any exchange.
    """

    def __init__(
        self,
        way: AsyncWay,
        context: CallContext,
        settings: TransportSettings,
        timeout: Timeout,
        ends_at: float | None,
    ) -> None:
        super().__init__(context, settings, timeout, ends_at)
        self._way = way
        self._held: tuple[Connections, Destination, Connection] | None = None
        self._answer: Answer | None = None

    async def send(self, form: HttpForm) -> None:
        started, timeout = self._loop.time(), self._timeout
        first_by = None if timeout.first_token is None else started + timeout.first_token
        try:
            connection = await self._request(first_by, *form)
            self._watchdog = Watchdog(self._loop, connection.wake, first_by, timeout.idle, self._ends_at)
            answer = self._answer = await connection.come(lambda: Answer(connection.inbox))
            self.status, self.headers = answer.status, answer.headers
            error = await self._read_error() if self.status >= 300 else b""
        except LlamaBedrockError:
            raise
        except DeadlinePassedError as passed:
            raise self._passed(passed.name) from None
        except Exception as failure:
            mapped = self.context.from_exception(failure)
            if mapped is None:
                raise
            raise mapped from failure
        if self.status >= 300:
            raise self.context.from_http(self.status, self.headers, error)

    async def _piece(self) -> bytes:
        assert self._held is not None
        assert self._answer is not None
        return b"" if self._answer.complete else await self._held[2].come(self._answer.read)

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        held, self._held = self._held, None
        if held is not None:
            connections, destination, connection = held
            reusable = self._answer is not None and self._answer.reusable
            connections.give_back(destination, connection, reusable=reusable)

    async def _request(
        self, first_by: float | None, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> Connection:
        """Send the request; return the connection that the answer comes from."""
        way, operation = self._way, self.context.operation
        signing = way.signing
        await self._freshen(signing)
        url = signing.url(operation, path)
        destination = way.destination(url)
        connections = await way.pools.of_loop(self._loop)
        connection = await connections.take(
            destination, self._timeout.connect, first_token=first_by, total=self._ends_at
        )
        self._held = connections, destination, connection
        signed = signing.sign(operation, method, url, headers, body)
        head = destination.head(method, url, signed, len(body))
        if len(body) <= ONE_PIECE_BYTES:
            connection.write(head + body)
        else:
            connection.write(head)
            connection.write(body)
        return connection

    async def _read_error(self) -> bytes:
        body = b""
        while len(body) < MAX_ERROR_BYTES and (piece := await self._piece()):
            body += piece
        return body[:MAX_ERROR_BYTES]
