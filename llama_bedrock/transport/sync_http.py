"""HTTP in threads: connections kept open, proxies, TLS, and one exchange with its deadlines."""

from __future__ import annotations

import os
import socket
import time
import weakref
from collections import deque
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from urllib3.util import wait_for_read

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport import clients
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.destination import KEEP_IDLE, ONE_PIECE_BYTES, Destination
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.exchange import MAX_ERROR_BYTES, Exchange, HttpForm, Outgoing, Way, earlier
from llama_bedrock.transport.http1 import Answer, Channel
from llama_bedrock.transport.signing import SigningClient, signing_client


class Origin(Destination):
    """The open connections to one host, of threads.

    Args:
        url: A URL of the host.
        signing: Says which proxy leads there, and whom to trust.
    """

    def __init__(self, url: str, signing: SigningClient) -> None:
        super().__init__(url, signing)
        self._most_idle = signing.config.max_pool_connections
        self._idle: deque[Channel] = deque()
        self._process = os.getpid()
        weakref.finalize(self, _close_all, self._idle)

    def take(self) -> Channel | None:
        """Return a connection that is open and idle, if there is one."""
        if self._process != os.getpid():  # a fork's copies are connections of its parent
            _close_all(self._idle)
            self._process = os.getpid()
        while self._idle:
            try:
                channel = self._idle.pop()
            except IndexError:  # another thread took it
                break
            # Something to read means the server has closed it, or talks out of turn.
            if time.monotonic() - channel.idle_since < KEEP_IDLE and not wait_for_read(channel.sock, 0.0):
                return channel
            channel.sock.close()
        return None

    def give_back(self, channel: Channel) -> None:
        """Keep a connection for the next request."""
        channel.idle_since = time.monotonic()
        self._idle.append(channel)
        if len(self._idle) > self._most_idle:
            self._idle.popleft().sock.close()

    def connect(self, due: float | None) -> Channel:
        """Open a connection, through the proxy and TLS handshake where there are.

        Raises:
            TimeoutError: It was not open when the time was over.
            OSError: It could not be opened.
        """
        channel = _dial(*self.dialled, due)
        try:
            if self.tunnel is not None:
                channel.send(self.tunnel)
                self.check_tunnel(channel.read_head()[0])
            if self.tls is not None:
                channel.settimeout()  # the handshake's, as a whole
                channel.sock = self.tls.wrap_socket(channel.sock, server_hostname=self.host)
        except BaseException:
            channel.sock.close()
            raise
        return channel


def _close_all(idle: deque[Channel]) -> None:
    while idle:
        idle.pop().sock.close()


def _dial(host: str, port: int, due: float | None) -> Channel:
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        channel = Channel(sock)
        channel.due = due
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            channel.settimeout()
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return channel
    raise failure or OSError(f"no address of {host}")


class Origins:
    """The hosts that requests signed by one client go to."""

    def __init__(self, signing: SigningClient) -> None:
        self.signing = signing
        self._known: dict[tuple[str, str], Origin] = {}

    def of(self, url: str) -> Origin:
        """Return the host of a URL."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        if key not in self._known:
            self._known[key] = Origin(url, self.signing)
        return self._known[key]


@lru_cache(maxsize=64)
def origins_of(signing: SigningClient) -> Origins:
    """Return the connections of a client: equal settings share them."""
    return Origins(signing)


class SocketExchange(Exchange):
    """An exchange over a socket, in the thread that calls."""

    def __init__(
        self,
        origins: Origins | None,
        context: CallContext,
        settings: TransportSettings,
        timeout: Timeout,
        ends_at: float | None,
    ) -> None:
        super().__init__(context, settings, timeout, ends_at)
        self._origins = origins
        self._origin: Origin | None = None
        self._channel: Channel | None = None
        self._answer: Answer | None = None
        self._first_by: float | None = None
        self._phase = "first_token"

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> None:
        """Send a request and wait for the head of its answer, whatever its status.

        Raises:
            LlamaBedrockError: There was none, or a deadline passed.
        """
        timeout, started = self._timeout, time.monotonic()
        self._first_by = None if timeout.first_token is None else started + timeout.first_token
        try:
            assert self._origins is not None
            origin = self._origin = self._origins.of(url)
            head = origin.head(method, url, headers, len(body))
            channel = origin.take()
            if channel is None:
                self._phase = "connect"
                connected_by = None if timeout.connect is None else started + timeout.connect
                channel = origin.connect(earlier(connected_by, self._first_by, self._ends_at))
                self._phase = "first_token"
            self._channel = channel
            channel.due = earlier(self._first_by, self._ends_at)
            if len(body) <= ONE_PIECE_BYTES:
                channel.send(head + body)
            else:
                channel.send(head)
                channel.send(body)
            answer = self._answer = Answer(channel)
        except TimeoutError as error:
            raise self._passed() from error
        except OSError as error:
            mapped = self.context.from_exception(error)
            raise mapped or error from error
        self.status, self.headers = answer.status, answer.headers
        if answer.status >= 300:
            self._left = min(self._left, MAX_ERROR_BYTES)

    def read_piece(self) -> bytes:
        """Return what has come of the body, empty at its end; of an error's body, the first megabyte."""
        answer, channel = self._answer, self._channel
        assert answer is not None
        assert channel is not None
        if self._phase == "idle" and self._timeout.idle is not None:
            channel.due = earlier(time.monotonic() + self._timeout.idle, self._ends_at)
        try:
            piece = answer.read()
        except TimeoutError as error:
            raise self._passed() from error
        except LlamaBedrockError:
            raise
        except Exception as error:
            raise self.context.broken_off(error) from error
        if self._phase != "idle" and self.status < 300:
            self._phase, channel.due = "idle", self._ends_at
        if self.status < 300:
            return self._count(piece)
        piece = piece[: int(self._left)]
        self._left -= len(piece)
        return piece

    async def send(self, form: Any) -> None:
        assert self._origins is not None
        method, path, headers, body = form
        signing, operation = self._origins.signing, self.context.operation
        try:
            if signing.renewal_is_due():
                signing.renew()
        except Exception as error:
            raise self.context.no_credentials(error) from error
        try:
            url = signing.url(operation, path)
            headers = signing.sign(operation, method, url, headers, body)
        except Exception as error:
            mapped = self.context.from_exception(error)
            raise mapped or error from error
        self.request(method, url, headers, body)
        if self.status >= 300:
            raise self.context.from_http(self.status, self.headers, await self.read_all())

    async def read(self) -> bytes:
        return self.read_piece()

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        if self._answer is not None and self._answer.reusable and self._origin is not None:
            self._origin.give_back(channel)
        else:
            channel.sock.close()

    def _passed(self) -> LlamaBedrockError:
        name = self._phase
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            name = "total"
        elif name == "connect" and self._first_by is not None and time.monotonic() >= self._first_by:
            name = "first_token"
        return self.context.timed_out(name, getattr(self._timeout, name))


class DirectWay(Way):
    """Requests that botocore signs and this module sends.

    Args:
        client: A boto3 client of the service.
        settings: How to reach it.
        timeout: The deadlines of a call.
    """

    def __init__(self, client: Any, settings: TransportSettings, timeout: Timeout) -> None:
        self.client = client
        self.region, self.endpoint_url = client.meta.region_name, client.meta.endpoint_url
        self.policy = clients.policy_of(settings, client)
        self._origins = origins_of(signing_client(client))
        self._rest = (settings, timeout)

    def form(self, outgoing: Outgoing) -> HttpForm:
        return outgoing.as_http()

    def exchange(self, context: CallContext, ends_at: float | None) -> SocketExchange:
        return SocketExchange(self._origins, context, *self._rest, ends_at)
