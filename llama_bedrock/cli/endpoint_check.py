"""The checks of `llama-bedrock doctor` that open a connection to Bedrock, as calls do, and ask the time."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from llama_bedrock.cli.check_result import CheckResult, State

_SECONDS = 3.0
_MOST_SKEW = 300.0  # seconds that AWS lets a signature's time be off
_VARIABLES = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL")
_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
_NAMES = "check the region's name, DNS, and a VPC endpoint's private DNS"


def checks_of_endpoint(region: str, *, needed: bool) -> Iterator[CheckResult]:
    """Open a connection through the proxy and TLS where there are, and ask for the time. Nothing is signed.

    Args:
        region: AWS region.
        needed: Whether it is a fault if that fails: without credentials nobody needs the endpoint.
    """
    fault: State = "broken" if needed else "note"
    try:
        endpoint = _Endpoint(region)
    except Exception as error:  # noqa: BLE001 - settings of AWS raise whatever their reader runs into
        yield CheckResult("endpoint", fault, _setting_at_fault(error))
        return
    if endpoint.unknown_way:
        yield CheckResult("endpoint", "note", f"{endpoint.name} {endpoint.by}: not tried directly")
        return
    try:
        told = endpoint.date()
    except OSError as error:
        yield CheckResult("endpoint", fault, endpoint.why(error))
        return
    yield CheckResult("endpoint", "ok", f"{endpoint.name}{endpoint.by} accepts connections")
    if told and (result := _clock(told)):
        yield result


class _Endpoint:
    """Where calls go, by botocore's settings, and whom they trust."""

    def __init__(self, region: str) -> None:
        import botocore.session

        from llama_bedrock.transport.connection import without_password
        from llama_bedrock.transport.signing import SigningClient
        from llama_bedrock.transport.sync_http import Origin

        client = botocore.session.Session().create_client(
            "bedrock-runtime", region, aws_access_key_id="none", aws_secret_access_key="none"
        )
        self.url = str(client.meta.endpoint_url)
        self.name = without_password(self.url).rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"Invalid endpoint: {self.name}")
        _ = parts.port  # ValueError if it is none
        signing = SigningClient(client)
        self._origin = Origin(self.url, signing)
        proxy = signing.proxy(self.url)[0]
        self._proxy = urlsplit(proxy).netloc.rpartition("@")[2] if proxy else None
        self.by = f" by the proxy {self._proxy}" if self._proxy else ""
        self.unknown_way = self._origin.has_tls_proxy

    def date(self) -> str | None:
        """What the endpoint says is the time.

        Raises:
            OSError: There is no way to it, or what is there does not speak HTTP.
        """
        from llama_bedrock.transport.http1 import DamagedHttpError

        channel = self._origin.connect(time.monotonic() + _SECONDS)
        try:
            channel.due = time.monotonic() + _SECONDS
            channel.send(self._origin.head("GET", self.url, {"Connection": "close"}, 0))
            return channel.read_head()[2].get("date")
        except TimeoutError:
            raise DumbEndpointError("accepts connections, but does not answer") from None
        except ConnectionError as error:
            raise DamagedHttpError("it closes the connection") from error
        finally:
            channel.sock.close()

    def why(self, error: OSError) -> str:
        """What a failure on the way means, and what to do."""
        from llama_bedrock.transport.http1 import DamagedHttpError

        at = f"the proxy {self._proxy}" if self._proxy else self.name
        if isinstance(error, DumbEndpointError):
            return f"{self.name}{self.by} {error}: check the address, and what stands between"
        if isinstance(error, socket.gaierror):
            host = self._proxy or urlsplit(self.url).hostname
            advice = "check HTTPS_PROXY and HTTP_PROXY" if self._proxy else _NAMES
            return f"no address for {host}: {error.strerror}; {advice}"
        if isinstance(error, ssl.SSLCertVerificationError):
            advice = f"set {_BUNDLES[0]} to the file of the CA that signed it (a proxy may have put its own)"
            return f"the certificate of {self.name} is not trusted: {error.verify_message}; {advice}"
        if isinstance(error, ssl.SSLError):
            reason = (error.reason or str(error)).lower().replace("_", " ")
            return f"{self.name}{self.by} does not speak TLS ({reason}): is it an http:// address?"
        if "the proxy answers" in str(error):
            advice = "check what it lets through"
            if " 407 " in str(error):
                advice = "give it a name and a password: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT"
            return f"{error}; {advice} (proxy {self._proxy})"
        if isinstance(error, DamagedHttpError):
            return f"{self.name}{self.by} does not speak HTTP ({error}): is it an https:// address?"
        why = error.strerror or str(error) or type(error).__name__
        advice = "check the network, whether it wants a proxy (HTTPS_PROXY), and the region's name"
        if self._proxy:
            advice = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
        return f"{at} cannot be reached: {why}; {advice}"


class DumbEndpointError(OSError):
    """Somebody takes the connection and says nothing."""


def _setting_at_fault(error: Exception) -> str:
    """Which setting it is that makes no connection possible, and how it should be."""
    if isinstance(error, OSError):
        bundle = next(
            (f"{name}={os.environ[name]}" for name in _BUNDLES if os.environ.get(name)), "ca_bundle"
        )
        why = error.strerror or str(error)
        return (
            f"no certificates to trust can be read of {bundle}: {why}; name a file in PEM form, or unset it"
        )
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and ("endpoint" in text.lower() or "port" in text.lower()):
        from llama_bedrock.transport.connection import without_password

        name = next((name for name in _VARIABLES if os.environ.get(name)), "endpoint_url of ~/.aws/config")
        url = without_password(os.environ.get(name, ""))
        return f"{name} is no address{f' ({url})' if url else ''}: write https://HOST or http://HOST:PORT"
    return f"not to be known: {text}"


def _clock(told: str) -> CheckResult | None:
    """Compare this machine's clock with the endpoint's; None if what it tells is no time."""
    try:
        theirs = parsedate_to_datetime(told)
    except ValueError:
        return None
    off = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
    if abs(off) < _MOST_SKEW:
        return CheckResult("clock", "ok", f"within {max(1, abs(off)):.0f} s of AWS's")
    way = "fast" if off > 0 else "slow"
    return CheckResult(
        "clock", "broken", f"{abs(off) / 60:.0f} minutes {way}: AWS refuses such signatures; set it by NTP"
    )
