"""What every request passes: who may call, how much may be sent, the headers of all answers, the log line."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama_bedrock.app.app_state import AppState
from llama_bedrock.app.event_stream import CLIENT_GONE
from llama_bedrock.app.http_errors import NOTE_FAILURE, ApiError, failure
from llama_bedrock.browser_origins import foreign_name, foreign_page

logger = logging.getLogger("llama_bedrock.app")

_OPEN = frozenset({"/healthz", "/readyz"})  # for load balancers, which hold no key; they tell nothing
_FOR_PROGRAMS = ("/v1/", "/api/", "/mcp")
_REQUEST_ID = re.compile(r"[\w.-]{1,64}")

# pdf.js draws pages into blobs and reads fonts from data URLs; nothing comes from another server.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
# The worker in which pdf.js decodes pictures has a policy of its own, with WebAssembly; the page has none.
_WORKER_POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"
_WORKER = "/static/pdf.worker.js"
_HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Perimeter:
    """Middleware round the whole application.

    Args:
        app: The application.
        state: Its state.
    """

    def __init__(self, app: ASGIApp, state: AppState) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # there are none
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            await self._answer(_Exchange(scope, send), receive)

    async def _answer(self, exchange: _Exchange, receive: Receive) -> None:
        scope = exchange.scope
        NOTE_FAILURE.set(exchange.note)
        try:
            connection = HTTPConnection(scope)
            self._check_page(connection)
            answer = self._check_key(connection)
            if answer is not None:
                await answer(scope, receive, exchange.send)
            else:
                await self.app(scope, self._limited(connection, receive), exchange.send)
        except Exception as error:  # noqa: BLE001 - the last place that can answer it
            if isinstance(error, ClientDisconnect) or getattr(error, "status_code", None) == CLIENT_GONE:
                exchange.status = CLIENT_GONE
                return
            told = failure(error)
            if exchange.status is None:
                answer = JSONResponse(told.body(), told.status, headers=told.headers)
                await answer(scope, receive, exchange.send)
        finally:
            exchange.log()

    def _check_page(self, connection: HTTPConnection) -> None:
        """Refuse the pages of others, which a browser on this machine may show."""
        host = connection.headers.get("host", "")
        name = (
            None
            if "*" in self.state.allow_hosts
            else foreign_name(host, self.state.allow_hosts, any_address=True)
        )
        if name is not None:
            raise ApiError(
                403,
                f"this server may not be called as {name!r}: to allow it, start it with --allow-host {name}",
                code="host_not_allowed",
            )
        if (origin := foreign_page(connection.headers.getlist("origin"), host)) is not None:
            raise ApiError(403, f"requests of web pages from {origin!r} are refused", code="foreign_origin")

    def _check_key(self, connection: HTTPConnection) -> Response | None:
        """Refuse who has no key; an address with a key in it is answered with that address without it."""
        key, path = self.state.key, _path(connection.scope)
        if key is None or path in _OPEN:
            return None
        scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(bearer.strip(), key):
            return None
        cookie = f"llama_bedrock_{connection.url.port or connection.url.scheme}"
        token = hashlib.sha256(f"llama-bedrock page {key}".encode()).hexdigest()
        if _same(connection.cookies.get(cookie, ""), token):
            return None
        if _same(connection.query_params.get("key", ""), key):
            if path.startswith(_FOR_PROGRAMS) or connection.scope["method"] != "GET":
                return None
            # The key leaves the address bar, and with it the history and the Referer header.
            answer = RedirectResponse(_without_key(connection), 303)
            secure = connection.url.scheme == "https"
            answer.set_cookie(cookie, token, httponly=True, samesite="strict", secure=secure)
            return answer
        raise ApiError(
            401,
            "the key is missing or wrong: send the one that the server printed, or that of "
            "LLAMA_BEDROCK_KEY, as `Authorization: Bearer …`, or open the printed address",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _limited(self, connection: HTTPConnection, receive: Receive) -> Receive:
        limits = self.state.limits
        uploads = _path(connection.scope).startswith("/api/documents")
        most = limits.max_upload_bytes if uploads else limits.max_body_bytes
        too_much = ApiError(413, f"the request is larger than {most:,} bytes", code="request_too_large")
        announced = connection.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > most:
            raise too_much
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise too_much
            return message

        return limited


class _Exchange:
    """One request and its answer: its id, the headers that all answers have, and the line in the log."""

    def __init__(self, scope: Scope, send: Send) -> None:
        given = HTTPConnection(scope).headers.get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self.scope = scope
        self.path = _path(scope)  # now: a mount changes it on the way
        self.status: int | None = None
        self.facts: dict[str, Any] = {}
        self._send = send
        self._started = time.perf_counter()
        scope.setdefault("state", {})["request_id"] = self.id
        scope["state"]["log"] = self.facts  # what a route wants in the line: model, tokens

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            if self.path == _WORKER:
                headers["content-security-policy"] = _WORKER_POLICY
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.id
            # The files of the page change with the version: they are asked for again, and seldom sent.
            cached = "no-cache" if self.path.startswith("/static/") else "no-store"
            headers.setdefault("cache-control", cached)
        await self._send(message)

    def note(self, told: ApiError, error: BaseException) -> None:
        """Note a failure for the log, however late; one that nobody foresaw with its traceback."""
        self.facts["error"] = told.code
        if told.status == 500:
            logger.error(self._line(status=500), exc_info=error)

    def log(self) -> None:
        status = CLIENT_GONE if self.status is None else self.status
        logger.info(self._line(status=status, seconds=round(time.perf_counter() - self._started, 4)))

    def _line(self, **facts: Any) -> str:
        about = {"request_id": self.id, "method": self.scope["method"], "path": self.scope["path"]}
        return json.dumps({**about, **facts, **self.facts})


def _same(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode(), wanted.encode())


def _path(scope: Scope) -> str:
    """The path below where the application is mounted."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _without_key(connection: HTTPConnection) -> str:
    """The address as a path of this server, without the key."""
    rest = [pair for pair in parse_qsl(connection.url.query, keep_blank_values=True) if pair[0] != "key"]
    path = "/" + quote(connection.scope["path"].lstrip("/\\"))  # "//else.where/" would lead away
    return f"{path}?{urlencode(rest)}" if rest else path
