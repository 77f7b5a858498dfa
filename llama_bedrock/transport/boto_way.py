"""Calls that botocore itself sends, and when it has to.

A client or a `Config` of the caller's own may do what only botocore knows: hooks, signers, proxies of any
kind. And what watches AWS calls wraps functions of botocore or of what is below it, or hooks into its events:
instrumentations, recorders of HTTP, stubs. None of them would see a call that does not pass there.
"""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from collections.abc import Iterator
from contextvars import ContextVar
from json import dumps
from typing import TYPE_CHECKING, Any

from llama_bedrock.errors import BedrockTimeoutError
from llama_bedrock.transport import clients
from llama_bedrock.transport.connection import Timeout, TransportSettings, without_password
from llama_bedrock.transport.error_mapping import CallContext, caller_mistake
from llama_bedrock.transport.eventstream import encode_frame
from llama_bedrock.transport.exchange import BotoForm, Outgoing, Way, earlier
from llama_bedrock.transport.http1 import Answer, Channel
from llama_bedrock.transport.signing import foreign_hook, header_text, is_own, signing_client
from llama_bedrock.transport.sync_http import Origins, SocketExchange, origins_of
from llama_bedrock.transport.watched import Places

if TYPE_CHECKING:
    from llama_bedrock.transport.json_operations import JsonOperation

logger = logging.getLogger(__name__)

_PIECE_BYTES = 65536


class BotoWay(Way):
    """Requests that a boto3 client sends.

    Args:
        client: The client.
        settings: What it was made from, or what holds it.
        timeout: The deadlines of a call.
    """

    def __init__(self, client: Any, settings: TransportSettings, timeout: Timeout) -> None:
        self.client = client
        self.region, self.endpoint_url = client.meta.region_name, client.meta.endpoint_url
        self.policy = clients.policy_of(settings, client)
        self._rest = (settings, timeout)
        self._origins: Origins | None = None
        self._always = _why_always(client, settings)
        self._logged: str | None = None
        if client is not settings.client and _speaks_json(client):
            self._origins = origins_of(signing_client(client))
            if self._origins.of(self.endpoint_url).has_tls_proxy:
                self._origins, self._always = None, self._always or "the proxy is reached by TLS"

    def form(self, outgoing: Outgoing) -> BotoForm:
        return outgoing.as_boto()

    def exchange(self, context: CallContext, ends_at: float | None) -> BotoExchange:
        origins = None if _HTTP.wrapped() else self._origins
        return BotoExchange(self.client, origins, context, *self._rest, ends_at)

    def is_needed(self) -> bool:
        """Whether a call has to go this way; why is logged once."""
        why = self._always or _BOTOCORE.wrapped() or _HTTP.wrapped()
        if why is not None and why != self._logged:
            logger.info("calls go through botocore: %s", why)
            self._logged = why
        return why is not None


_BOTOCORE = Places(
    ("botocore.client", "BaseClient", "_make_api_call _make_request _convert_to_request_dict"),
    ("botocore.endpoint", "Endpoint", "make_request create_request prepare_request _send_request _send"),
    ("botocore.signers", "RequestSigner", "handler"),
    ("botocore.awsrequest", "AWSRequest", "__init__ prepare"),
)
_HTTP = Places(
    ("botocore.httpsession", "URLLib3Session", "send"),
    ("botocore.awsrequest", "AWSHTTPConnection", "request _send_request"),
    ("botocore.awsrequest", "AWSHTTPSConnection", ""),
    ("urllib3.connectionpool", "HTTPConnectionPool", "urlopen _make_request"),
    ("urllib3.connection", "HTTPConnection", "request connect"),
    ("http.client", "HTTPConnection", "request send connect getresponse"),
)


def _why_always(client: Any, settings: TransportSettings) -> str | None:
    """Return what about a client itself makes it the one to send; None for nothing."""
    if client is settings.client:
        return "client= is given"
    if settings.config is not None:
        return "config= is given"
    if not _speaks_json(client):
        return "the service does not speak JSON"
    for name in client.meta.method_to_api_mapping:
        method = getattr(type(client), name, None)
        if name in vars(client) or not (method is None or is_own(method)):
            return f"the client's method {name} is wrapped"
    return foreign_hook(client)


def _speaks_json(client: Any) -> bool:
    return "json" in client.meta.service_model.resolved_protocol


class BotoExchange(SocketExchange):
    """An exchange that botocore makes, over this package's sockets where it can: their deadlines are exact.

    Args:
        client: A boto3 client.
        origins: This package's connections; None to leave the client its own.
        rest: As for any exchange.
    """

    def __init__(self, client: Any, origins: Origins | None, *rest: Any) -> None:
        super().__init__(origins, *rest)
        self._client = client
        self._below = SocketExchange(origins, *rest) if origins is not None else None
        self._response: dict[str, Any] = {}
        self._body: Any = None
        self._reads_below = False

    async def send(self, form: Any) -> None:
        name, arguments, member = form
        started = time.monotonic()
        method = getattr(self._client, name)
        if self._below is not None:
            _replace_send(self._client._endpoint.http_session)
        token = _sockets.set(self._below)
        try:
            response = method(**arguments)
        except Exception as error:
            mapped = self.context.from_exception(error) or caller_mistake(error)
            if isinstance(mapped, BedrockTimeoutError) and self._is_over():
                mapped = self.context.timed_out("total", self._timeout.total)
            if mapped is None or mapped is error:
                raise
            url = self._client.meta.endpoint_url
            # botocore's error tells the whole address.
            raise mapped from (error if without_password(url) == url else None)
        finally:
            _sockets.reset(token)
        self._response = response
        self.status = 200
        self.headers = response["ResponseMetadata"]["HTTPHeaders"]
        if member is not None and member in response:
            self._first_by = (
                None if self._timeout.first_token is None else started + self._timeout.first_token
            )
            self._begin_body(response.pop(member))

    def _begin_body(self, body: Any) -> None:
        self._body = body
        # Not below a class of others: those of instrumentations have read the whole answer, and give it again
        # through their API alone.
        raw = getattr(body, "_raw_stream", None) if type(body).__module__.startswith("botocore.") else None
        self._reads_below = isinstance(raw, _RawBody)
        self._channel = channel = Channel(None) if self._reads_below else _bound_reads(raw)
        channel.due = earlier(self._first_by, self._ends_at)
        if not self._reads_below:
            self._answer = _BotoAnswer(channel, _events_again(body) if raw is None else _pieces_of(raw))

    async def read(self) -> bytes:
        return (
            self._below.read_piece() if self._reads_below and self._below is not None else self.read_piece()
        )

    async def decoded(self, coding: JsonOperation, whole: bool) -> dict[str, Any]:
        return self._response

    def close(self) -> None:
        self._channel = None  # its owner is the client
        if self._body is not None:
            self._body.close()
        if self._below is not None:
            self._below.close()

    def _is_over(self) -> bool:
        return self._ends_at is not None and time.monotonic() >= self._ends_at


class _BotoAnswer(Answer):
    """What a client of the caller's own, or a wrapper, gives of an answer."""

    def __init__(self, channel: Channel, pieces: Iterator[bytes]) -> None:
        self.channel = channel
        self._pieces = pieces

    def read(self) -> bytes:
        self.channel.seconds_left()
        try:
            return next(self._pieces, b"")
        except Exception as error:
            if type(error).__name__ == "ReadTimeoutError":  # urllib3's, and botocore's
                raise TimeoutError from error
            raise


def _pieces_of(raw: Any) -> Iterator[bytes]:
    """Return the pieces of urllib3's answer as they come."""
    # In chunks `stream` gives what has come; else it would wait for a full buffer.
    if getattr(raw, "chunked", False):
        yield from raw.stream()
    else:
        while piece := raw.read1(_PIECE_BYTES):
            yield piece


class _BoundedSocket:
    """A socket whose reads end with a channel's deadline, in the place of the one that http.client reads."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.channel = Channel(sock)

    def recv_into(self, *arguments: Any) -> int:
        """Read, within what is left of the time."""
        self.channel.settimeout()
        count: int = self._sock.recv_into(*arguments)
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _bound_reads(raw: Any) -> Channel:
    """Return a channel whose deadline bounds the reads of urllib3's answer, where its socket can be found."""
    # Below the file that http.client reads from: it lets go of the connection when the server says `close`.
    file: Any = getattr(getattr(getattr(raw, "_fp", None), "fp", None), "raw", None)
    if getattr(file, "_sock", None) is None:
        return Channel(None)
    file._sock = bounded = _BoundedSocket(file._sock)
    return bounded.channel


def _events_again(body: Any) -> Iterator[bytes]:
    """Frame the events again that a wrapper of boto3's client has decoded; whole bodies pass as they are."""
    if hasattr(body, "read"):
        yield body.read()
        return
    for event in body:
        for name, fields in event.items():
            payload = dumps({"bytes": b64encode(fields["bytes"]).decode()} if name == "chunk" else fields)
            yield encode_frame({":message-type": "event", ":event-type": name}, payload.encode())


# The exchange of the call that botocore is making in this thread.
_sockets: ContextVar[SocketExchange | None] = ContextVar("_sockets", default=None)


def _replace_send(http_session: Any) -> None:
    """Have botocore's HTTP session send the calls of this module through their sockets."""
    if "send" in vars(http_session):
        return

    def send(request: Any) -> Any:
        exchange = _sockets.get()
        if exchange is None:
            return type(http_session).send(http_session, request)  # which may have been wrapped meanwhile
        from botocore.awsrequest import AWSResponse

        headers = {name: header_text(value) for name, value in request.headers.items()}
        body = request.body or b""
        exchange.request(
            request.method, request.url, headers, body.encode() if isinstance(body, str) else body
        )
        raw = _RawBody(exchange)
        response = AWSResponse(request.url, exchange.status, exchange.headers, raw)
        if not request.stream_output or exchange.status >= 300:
            response.content  # noqa: B018  # reads it
        return response

    http_session.send = send


class _RawBody:
    """An answer's body with what botocore asks of urllib3's."""

    def __init__(self, exchange: SocketExchange) -> None:
        self._exchange = exchange
        self._held = b""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """Yield the pieces as they come."""
        while piece := self._exchange.read_piece():
            yield piece

    def read(self, amt: int | None = None, **_: Any) -> bytes:
        """Return the rest, or up to some bytes of it."""
        while amt is None or len(self._held) < amt:
            piece = self._exchange.read_piece()
            if not piece:
                break
            self._held += piece
        end = len(self._held) if amt is None else amt
        data, self._held = self._held[:end], self._held[end:]
        return data

    def readable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        self._exchange.close()
