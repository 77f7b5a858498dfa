"""Authentication of a request: a signature or a bearer key must be there, and right where secrets are known.

Signature Version 4 as AWS describes it in "Signature Version 4 signing process": the canonical request is
built again from what arrived and compared with the signature in the ``Authorization`` header.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from llama_bedrock.browser_origins import foreign_name, foreign_page
from llama_bedrock.local.control_plane.account import utc_now
from llama_bedrock.local.runtime.frames import ServiceError
from llama_bedrock.local.runtime.served_call import Caller

if TYPE_CHECKING:
    from aiohttp import web

_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)/"
    r"(?P<service>[^/,\s]+)/aws4_request,\s*SignedHeaders=(?P<headers>[a-z0-9;._-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_MAX_SKEW_SECONDS = 300


class Authenticator:
    """Checks the ``Authorization`` header as AWS's front end does.

    Args:
        credentials: Secret access key by access key id. If given, signatures are verified; if not, a
            well-formed one is enough.
        api_keys: Accepted bearer keys. If None, any key that is not empty; with credentials, none.
        clock: The time, against which the age of signatures is measured.
    """

    def __init__(
        self,
        credentials: Mapping[str, str] | None = None,
        api_keys: Collection[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._clock = clock
        self._secrets = None if credentials is None else dict(credentials)
        if api_keys is None and credentials is not None:
            api_keys = ()
        self._api_keys = None if api_keys is None else frozenset(api_keys)

    def check_claim(self, request: web.BaseRequest) -> None:
        """Refuse what the headers alone show to be wrong, before the body is read.

        Raises:
            ServiceError: As in `check`.
        """
        header = request.headers.get("Authorization", "").strip()
        match = _SIGNATURE.fullmatch(header)
        if match is None:
            self.check(request, b"")
        elif self._secrets is not None and match["key"] not in self._secrets:
            raise _unknown_key()

    def check(self, request: web.BaseRequest, body: bytes) -> Caller:
        """Identify the caller.

        Raises:
            ServiceError: No, malformed or wrong authentication; always HTTP 403.
        """
        header = request.headers.get("Authorization", "").strip()
        if not header:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer":
            return self._check_bearer(token.strip())
        match = _SIGNATURE.fullmatch(header)
        if match is None:
            raise ServiceError(
                "IncompleteSignatureException",
                "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
            )
        if self._secrets is not None:
            self._check_signature(request, body, match)
        return Caller(match["key"], match["region"])

    def _check_bearer(self, token: str) -> Caller:
        if not token or (self._api_keys is not None and token not in self._api_keys):
            raise ServiceError(
                "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid."
            )
        return Caller()

    def _check_signature(self, request: web.BaseRequest, body: bytes, claim: re.Match[str]) -> None:
        secret = (self._secrets or {}).get(claim["key"])
        if secret is None:
            raise _unknown_key()
        stamp = request.headers.get("X-Amz-Date", "")
        _check_age(stamp, self._clock())
        text = "\n".join(_canonical_request(request, body, claim["headers"].split(";")))
        scope = f"{claim['date']}/{claim['region']}/{claim['service']}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(text.encode()).hexdigest()}"
        key = f"AWS4{secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        expected = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        if not hmac.compare_digest(expected, claim["signature"]):
            raise ServiceError(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your "
                "AWS Secret Access Key and signing method. Consult the service documentation for details.",
            )


def _unknown_key() -> ServiceError:
    return ServiceError(
        "UnrecognizedClientException", "The security token included in the request is invalid."
    )


def check_origin(request: web.BaseRequest, allowed: Collection[str]) -> None:
    """Refuse what a web page of somebody else can make a browser send, also by rebinding a name to loopback.

    Args:
        request: The request.
        allowed: Host names that are accepted besides loopback.

    Raises:
        ServiceError: ``AccessDeniedException``.
    """
    header = request.headers.get("Host", "")
    # The target of a request may be a whole URL, which then says whom it is for.
    host = foreign_name(header, allowed)
    if host is None and request.host != header:
        host = foreign_name(request.host, allowed)
    if host is not None:
        raise ServiceError(
            "AccessDeniedException",
            f"The endpoint may not be called as {host!r}: to allow it, start it with --allow-host {host}.",
        )
    if (origin := foreign_page(request.headers.getall("Origin", []), header)) is not None:
        raise ServiceError("AccessDeniedException", f"Requests of web pages from {origin!r} are refused.")


def _check_age(stamp: str, now: datetime) -> None:
    """Refuse a signature made more than five minutes ago or ahead."""
    try:
        made = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ServiceError(
            "IncompleteSignatureException",
            f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.",
        ) from None
    if abs((now - made).total_seconds()) > _MAX_SKEW_SECONDS:
        raise ServiceError(
            "InvalidSignatureException",
            f"Signature expired: {stamp} is not within 5 min of {now:%Y%m%dT%H%M%SZ}",
        )


def _canonical_request(request: web.BaseRequest, body: bytes, signed: list[str]) -> list[str]:
    path, _, query = request.raw_path.partition("?")
    pairs = sorted(pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair)
    headers = [f"{name}:{','.join(_clean(v) for v in request.headers.getall(name, []))}" for name in signed]
    payload = request.headers.get("X-Amz-Content-SHA256") or hashlib.sha256(body).hexdigest()
    # The path is quoted once more than on the wire, for every service but S3.
    return [request.method, quote(path, safe="/~"), "&".join(pairs), *headers, "", ";".join(signed), payload]


def _clean(value: str) -> str:
    return " ".join(value.split())
