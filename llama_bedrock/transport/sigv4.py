"""Signature Version 4 for requests without a query, byte for byte as botocore writes it, but sooner.

`SigningClient` has botocore sign first, and uses this only where both wrote the same. Source: IAM user guide,
"Create a signed AWS API request".
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Self
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = frozenset({"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})  # botocore's list
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Scope:
    """The region and service that signatures hold for.

    Args:
        region: As it is signed.
        service: As it is signed.
    """

    def __init__(self, region: str, service: str) -> None:
        self._region = region
        self._service = service
        self._key: tuple[str, str, bytes] = ("", "", b"")

    @classmethod
    def of(cls, authorization: str) -> Self | None:
        """Return the scope of a signed request by its header, None where it is signed another way."""
        _, found, rest = authorization.partition(f"{_ALGORITHM} Credential=")
        parts = rest.partition(",")[0].split("/")
        return cls(*parts[-3:-1]) if found and len(parts) >= 5 else None

    def sign(
        self, credentials: Any, method: str, url: str, headers: Mapping[str, str], body: bytes, moment: str
    ) -> dict[str, str]:
        """Return the headers with those that authenticate the request.

        Args:
            credentials: botocore's, frozen.
            method: HTTP method.
            url: Whole, without a query, its path percent-encoded.
            headers: All others.
            body: The body.
            moment: The time, as ``20261128T145900Z``.
        """
        token = {"X-Amz-Security-Token": credentials.token} if credentials.token else {}
        before, after, listed = _canonical(method, url, (*headers.items(), *token.items()))
        request = f"{before}{moment}{after}{sha256(body).hexdigest()}"
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(
            self._key_of(credentials.secret_key, moment[:8]), text.encode(), "sha256"
        ).hex()
        authorization = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={listed}, Signature={signature}"
        )
        return {**headers, "X-Amz-Date": moment, **token, "Authorization": authorization}

    def _key_of(self, secret: str, day: str) -> bytes:
        known_secret, known_day, key = self._key
        if (known_secret, known_day) != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, day, key)
        return key


@lru_cache(maxsize=64)
def _canonical(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[str, str, str]:
    """Return the canonical request before and after its time, up to the body's hash, and what it lists."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port == _DEFAULT_PORTS.get(parts.scheme):
        host = host.rpartition(":")[0] or host
    lower = [(name.lower(), " ".join(value.split())) for name, value in headers]
    named = {"host": host} | {name: value for name, value in lower if name not in _UNSIGNED}
    names = sorted({**named, "x-amz-date": ""})
    at = names.index("x-amz-date")
    lines = [f"{name}:{named[name]}\n" for name in names if name != "x-amz-date"]
    listed = ";".join(names)
    path = quote(parts.path or "/", safe="/~")
    before = "".join([f"{method}\n{path}\n\n", *lines[:at], "x-amz-date:"])
    return before, "".join(["\n", *lines[at:], f"\n{listed}\n"]), listed
