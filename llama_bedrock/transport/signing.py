"""What this package takes from a boto3 client: where to send, how to sign, and boto3's own JSON coding."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import FunctionType, MethodType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from llama_bedrock.transport.sigv4 import Scope

Result = TypeVar("Result")

# A refresh that fails while the credentials are still good is tried again no sooner than this, in seconds.
_REFRESH_AGAIN = 10.0


class SigningClient:
    """A boto3 client, as seen by what sends without it. Making one reads files and loads certificates."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.region: str = client.meta.region_name
        self.config: Any = client.meta.config
        self.credentials: Any = client._get_credentials()
        self._signer = client._request_signer
        self._endpoints: dict[str, tuple[str, dict[str, Any]]] = {}
        http = client._endpoint.http_session
        self._verify = http._verify
        self._proxy_config = http._proxy_config
        self.ssl_context = self._make_ssl_context()
        creator = getattr(client, "_user_agent_creator", None)
        self._agent = str(creator.to_string() if creator is not None else self.config.user_agent)
        self._scopes: dict[str, Scope | None] = {}
        self._refresh = OncePerLoop()
        self._refresh_failed_at = -_REFRESH_AGAIN

    def url(self, operation: str, path: str) -> str:
        """Return the URL of an operation; `path` begins with a slash and is percent-encoded."""
        base, _ = self._endpoint(operation)
        return base.rstrip("/") + path

    def proxy(self, url: str) -> tuple[str | None, dict[str, str]]:
        """Return the proxy for a URL and the headers the proxy wants."""
        proxy = self._proxy_config.proxy_url_for(url)
        return proxy, self._proxy_config.proxy_headers_for(proxy) if proxy else {}

    def sign(
        self, operation: str, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        """Return all headers of a request, those of authentication included. Does not block.

        Credentials that have to be renewed are renewed before: `renewal_is_due`.
        """
        scope = self._scopes.get(operation)
        if scope is not None and "?" not in url:
            named = {**headers, "User-Agent": self._agent}
            return scope.sign(self._frozen(), method, url, named, body, _moment(_now()))
        signed = self._sign_by_botocore(operation, method, url, headers, body)
        if operation not in self._scopes and "?" not in url:
            self._scopes[operation] = self._scope_of(signed, method, url, headers, body)
        return signed

    def _sign_by_botocore(
        self, operation: str, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method=method, url=url, headers=headers, data=body)
        request.headers["User-Agent"] = self._agent
        request.context = self._signing_context(operation)
        self._signer.sign(operation, request)
        return {name: header_text(value) for name, value in request.headers.items()}

    def _scope_of(
        self, signed: dict[str, str], method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Scope | None:
        """Return the scope to sign by from now on; None where botocore does more than that."""
        scope = Scope.of(signed.get("Authorization", ""))
        if scope is None or self.credentials is None or foreign_hook(self.client) is not None:
            return None
        named = {**headers, "User-Agent": self._agent}
        ours = scope.sign(self._frozen(), method, url, named, body, signed.get("X-Amz-Date", ""))
        return scope if ours == signed else None

    def _frozen(self) -> Any:
        """Return the credentials without having them renewed."""
        if hasattr(self.credentials, "refresh_needed"):
            return self.credentials._frozen_credentials
        return self.credentials.get_frozen_credentials()

    def renewal_is_due(self) -> bool:
        """Whether the credentials have to be renewed, or should be and the last try is a while ago."""
        credentials = self.credentials
        needed = getattr(credentials, "refresh_needed", None)
        if needed is None or not needed():
            return False
        urgent: bool = needed(credentials._mandatory_refresh_timeout)
        return urgent or time.monotonic() - self._refresh_failed_at >= _REFRESH_AGAIN

    def renew(self) -> None:
        """Renew the credentials; it blocks, and of several threads one does it."""
        self.credentials.get_frozen_credentials()
        if self.credentials.refresh_needed():
            self._refresh_failed_at = time.monotonic()

    async def fresh_credentials(self) -> None:
        """Have the credentials renewed in a thread if it is time; once, however many calls wait for it."""
        if self.renewal_is_due():
            await self._refresh.run(self.renew)

    def _endpoint(self, operation: str) -> tuple[str, dict[str, Any]]:
        """Resolve an operation's endpoint once: for these services it depends on nothing in the request."""
        known = self._endpoints.get(operation)
        if known is None:
            client = self.client
            model = client.meta.service_model.operation_model(operation)
            context: dict[str, Any] = {
                "client_region": self.region,
                "client_config": self.config,
                "has_streaming_input": False,
                "auth_type": model.resolved_auth_type,
                "unsigned_payload": model.unsigned_payload,
                "auth_options": client.meta.service_model.metadata.get("auth"),
            }
            url, _, _ = client._resolve_endpoint_ruleset(model, {}, context)
            known = self._endpoints[operation] = (url, context)
        return known

    def _signing_context(self, operation: str) -> dict[str, Any]:
        _, resolved = self._endpoint(operation)
        context = dict(resolved)
        if self.credentials is not None and hasattr(self.credentials, "refresh_needed"):
            # The signer would refresh in this thread; hand it what fresh_credentials left.
            context["signing"] = {
                **context.get("signing", {}),
                "request_credentials": _Frozen(self._frozen()),
            }
        return context

    def _make_ssl_context(self) -> ssl.SSLContext | None:
        if urlsplit(self.client.meta.endpoint_url).scheme != "https":
            return None
        from botocore.httpsession import get_cert_path

        if self._verify is False:
            context = ssl._create_unverified_context()  # the caller's configuration says so
        else:
            context = ssl.create_default_context(cafile=get_cert_path(self._verify))
        cert = self.config.client_cert
        if cert is not None:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
        settings = self.config.proxies_config or {}
        if settings.get("proxy_ca_bundle"):
            context.load_verify_locations(cafile=settings["proxy_ca_bundle"])
        return context


@lru_cache(maxsize=64)
def signing_client(client: Any) -> SigningClient:
    """Return the signing of a client; the certificates are loaded once."""
    return SigningClient(client)


def _now() -> datetime:
    from botocore import auth

    clock = getattr(auth, "get_current_datetime", None)  # botocore's own, of 1.40 and later
    now: datetime = clock() if clock is not None else datetime.now(UTC)
    return now


def _moment(now: datetime) -> str:
    """Return a time as AWS writes it; `strftime` asks the system for its time zone first."""
    day = f"{now.year:04}{now.month:02}{now.day:02}"
    return f"{day}T{now.hour:02}{now.minute:02}{now.second:02}Z"


class OncePerLoop:
    """Runs a blocking function in a thread, once for all calls of a loop that wait for it."""

    def __init__(self) -> None:
        self._running: dict[asyncio.AbstractEventLoop, asyncio.Future[Any]] = {}

    async def run(self, function: Callable[[], Result]) -> Result:
        """Return the function's result, or raise what it raises."""
        loop = asyncio.get_running_loop()
        running = self._running.get(loop)
        if running is None:
            running = self._running[loop] = asyncio.ensure_future(asyncio.to_thread(function))
            running.add_done_callback(self._done)
        # Shielded: a call that is cancelled leaves the work to the others.
        result: Result = await asyncio.shield(running)
        return result

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._running.pop(future.get_loop(), None)
        if not future.cancelled():
            future.exception()  # looked at, so that nothing is logged when nobody waits any more


class _Frozen:
    """Credentials that are what they are: botocore's signer asks any credentials to freeze themselves."""

    def __init__(self, frozen: Any) -> None:
        self._frozen = frozen

    def get_frozen_credentials(self) -> Any:
        return self._frozen


def header_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


_OWN = frozenset({"botocore", "boto3", "urllib3", "http", "aiohttp", "llama_bedrock"})
_EVENTS = (
    "provide-client-params", "before-parameter-build", "before-endpoint-resolution", "before-call",
    "request-created", "choose-signer", "before-sign", "before-send", "response-received", "needs-retry",
    "before-parse", "after-call", "after-call-error",
)  # fmt: skip


def is_own(function: Any) -> bool:
    """Whether a function is one of botocore, of what is below it, or of this package."""
    # Not by `__module__`, which wrappers copy; and wrapt's are in everything but their type what they wrap.
    if isinstance(function, partial):
        function = function.func
    if type(function) is MethodType:
        function = function.__func__
    is_function = type(function) is FunctionType
    module = function.__globals__["__name__"] if is_function else type(function).__module__
    return str(module).partition(".")[0] in _OWN


def foreign_hook(client: Any) -> str | None:
    """Return what hook of others a client's calls would pass, None for none."""
    events: Any = getattr(client.meta.events, "_emitter", client.meta.events)
    service = client.meta.service_model.service_id.hyphenize()
    for event in _EVENTS:
        for operation in ("InvokeModel", "InvokeModelWithResponseStream"):
            for handler in events._handlers.prefix_search(f"{event}.{service}.{operation}"):
                if not is_own(handler):
                    return f"{handler!r} is registered for {event}"
    return None
