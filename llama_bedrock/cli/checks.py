"""The checks of `llama-bedrock doctor`: each finds out one thing and says what it means."""

from __future__ import annotations

import importlib.util
import platform
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llama_bedrock._extras import install_command
from llama_bedrock.cli.check_result import CheckResult, State
from llama_bedrock.cli.exit_codes import one_line

if TYPE_CHECKING:
    from llama_bedrock.catalog import ResolvedModel

_SECONDS = 3.0
_OF_AWS = "who you are, model access, live lifecycle, quotas and whether a call succeeds"
_EXTRAS = {
    "local": (
        ("faiss", "scipy", "pypdf", "docx", "lxml", "openpyxl", "pptx"),
        "ask and index: retrieval with nothing to download",
    ),
    "aws": (("langchain_aws",), "Bedrock embeddings and rerank"),
    "agents": (("langchain", "langgraph"), "agents"),
    "vision": (("PIL",), "scaling images down"),
}


def run_checks(
    model: str | None, region: str | None, prompt_format: str | None = None, *, call: bool = True
) -> list[CheckResult]:
    """Run every check, in the order in which one needs the other.

    Args:
        model: Model id or ARN; None for the default.
        region: AWS region; None for the one that AWS is set up with.
        prompt_format: For an ARN that hides the model.
        call: Whether the model may be called once, for one token.
    """
    return list(_checks(model, region, prompt_format, call))


def _checks(
    model: str | None, region: str | None, prompt_format: str | None, call: bool
) -> Iterator[CheckResult]:
    from llama_bedrock.cli.aws_checks import AskedAccount, checks_of_aws, clock
    from llama_bedrock.cli.backend import DEFAULT_MODEL
    from llama_bedrock.transport.connection import endpoint_override

    yield _python()
    yield from _extras()
    yield _cache()
    credentials = _credentials()
    yield credentials
    place, used_region = _region(region)
    yield place
    resolved, about_model = _model(model or DEFAULT_MODEL, used_region, prompt_format)
    yield from about_model
    if used_region is None:
        return
    endpoint = endpoint_override() or f"https://bedrock-runtime.{used_region}.{_suffix(used_region)}"
    reachable = _endpoint(endpoint, needed=credentials.state == "ok")
    yield reachable
    if reachable.state == "ok" and (time := clock(endpoint)):
        yield time
    if credentials.state != "ok":
        yield CheckResult("aws", "note", f"cannot be known without credentials: {_OF_AWS}")
    elif reachable.state == "broken":
        yield CheckResult("aws", "note", f"cannot be known without the endpoint: {_OF_AWS}")
    else:
        has_keys = not credentials.found.startswith("found (bearer")
        yield from checks_of_aws(resolved, AskedAccount(used_region, has_keys), call=call)


def _python() -> CheckResult:
    from llama_bedrock.version import __version__

    found = f"{platform.python_version()} ({sys.executable}), llama-bedrock {__version__}"
    return CheckResult("python", "ok", found)


def _extras() -> Iterator[CheckResult]:
    for extra, (modules, use) in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            how = f"not installed ({', '.join(missing)}); for {use}: {install_command(extra)}"
            yield CheckResult(f"[{extra}]", "note", how)
        else:
            yield CheckResult(f"[{extra}]", "ok", use)


def _cache() -> CheckResult:
    from llama_bedrock.cli.user_folders import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        advice = "set XDG_CACHE_HOME to a folder that is"
        return CheckResult("cache", "broken", f"{folder} is not writable ({error.strerror}); {advice}")
    return CheckResult("cache", "ok", f"indexes are kept in {folder}")


def _credentials() -> CheckResult:
    from llama_bedrock.cli.backend import find_credentials

    try:
        found = find_credentials()
    except Exception as error:  # noqa: BLE001 - a broken profile raises whatever its provider runs into
        return CheckResult("credentials", "broken", f"{error}; mend ~/.aws or unset AWS_PROFILE")
    if found is None:
        advice = (
            "the local engine answers; for Bedrock: aws configure, aws sso login or AWS_BEARER_TOKEN_BEDROCK"
        )
        return CheckResult("credentials", "note", f"none found, so {advice}")
    from llama_bedrock.cli.aws_checks import validity

    until = "" if found.startswith("bearer") else validity()
    if until == "expired":
        return CheckResult(
            "credentials", "broken", f"found ({found}), but expired: aws sso login, or renew them"
        )
    return CheckResult("credentials", "ok", f"found ({found})" + (f", {until}" if until else ""))


def _region(given: str | None) -> tuple[CheckResult, str | None]:
    import botocore.exceptions
    import botocore.session

    from llama_bedrock.transport.connection import TransportSettings, missing_region

    try:
        region = TransportSettings(
            region_name=given
        ).region() or botocore.session.Session().get_config_variable("region")
    except botocore.exceptions.BotoCoreError as error:
        return CheckResult("region", "broken", str(error)), None
    if not region:
        return CheckResult("region", "note", one_line(missing_region())), None
    return CheckResult("region", "ok", str(region)), str(region)


def _model(
    model: str, region: str | None, prompt_format: Any
) -> tuple[ResolvedModel | None, list[CheckResult]]:
    from llama_bedrock.catalog import lifecycle_message, resolve_model
    from llama_bedrock.transport.connection import endpoint_override, is_loopback

    try:
        resolved = resolve_model(model, region, prompt_format=prompt_format)
    except ValueError as error:
        return None, [CheckResult("model", "broken", str(error))]
    as_what = "" if resolved.model_id == model else f" (called as {resolved.model_id})"
    results = [CheckResult("model", "ok", f"{model}{as_what}, prompt format {resolved.prompt_format}")]
    if resolved.info is not None and (message := lifecycle_message(resolved.info)):
        results += [] if is_loopback(endpoint_override()) else [CheckResult("lifecycle", "note", message)]
    return resolved, results


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _endpoint(url: str, *, needed: bool) -> CheckResult:
    """Whether a connection to the endpoint opens; nothing is sent. Without credentials nobody needs it."""
    import ssl

    from botocore.utils import get_environ_proxies

    if proxies := get_environ_proxies(url):
        proxy = urlsplit(next(iter(proxies.values()))).netloc.rpartition("@")[2]
        return CheckResult("endpoint", "note", f"{url} by the proxy {proxy}: not tried directly")
    fault: State = "broken" if needed else "note"
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.getaddrinfo(parts.hostname or "", port)
    except OSError as error:
        advice = "check the region's name, DNS, and a VPC endpoint's private DNS"
        return CheckResult("endpoint", fault, f"no address for {parts.hostname}: {error.strerror}; {advice}")
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=_SECONDS) as connection:
            if parts.scheme == "https":
                with ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname):
                    pass
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        advice = "check the network, whether it wants a proxy (HTTPS_PROXY), and the region's name"
        return CheckResult("endpoint", fault, f"{url} cannot be reached: {why}; {advice}")
    return CheckResult("endpoint", "ok", f"{url} accepts connections")
