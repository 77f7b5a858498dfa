"""The checks of `llama-bedrock doctor`: each finds out one thing and says what it means."""

from __future__ import annotations

import importlib.util
import platform
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from rich.text import Text

    from llama_bedrock.catalog import ResolvedModel

State = Literal["ok", "note", "broken"]

_SECONDS = 3.0
_MARKS: dict[State, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "note": ("·", "yellow"),
    "broken": ("✗", "bold red"),
}
_EXTRAS = {
    "local": (
        ("faiss", "bm25s", "sklearn", "pypdf", "docx", "lxml", "openpyxl", "pptx"),
        "ask and index: retrieval with nothing to download",
    ),
    "aws": (("langchain_aws",), "Bedrock embeddings and rerank"),
    "agents": (("langchain", "langgraph"), "agents"),
    "vision": (("PIL",), "scaling images down"),
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes:
        name: What was checked.
        state: ``"ok"``; ``"note"``, worth knowing; or ``"broken"``, has to be mended.
        found: What is the case, and what to do where it is not good.
    """

    name: str
    state: State
    found: str

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-able values."""
        return asdict(self)

    def line(self) -> Text:
        """The result for a terminal."""
        from rich.text import Text

        mark, style = _MARKS[self.state]
        return Text.assemble((mark, style), f" {self.name:<12} ", (" ".join(self.found.split()), ""))


def run_checks(model: str | None, region: str | None, prompt_format: str | None = None) -> list[CheckResult]:
    """Run every check, in the order in which one needs the other."""
    return list(_checks(model, region, prompt_format))


def _checks(model: str | None, region: str | None, prompt_format: str | None) -> Iterator[CheckResult]:
    from llama_bedrock.cli.backend import DEFAULT_MODEL, endpoint_override

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
    reachable = _endpoint(endpoint)
    yield reachable
    if reachable.state == "ok" and credentials.state == "ok" and endpoint_override() is None and resolved:
        yield _lifecycle_at_aws(resolved, used_region)


def _python() -> CheckResult:
    from llama_bedrock.version import __version__

    found = f"{platform.python_version()} ({sys.executable}), llama-bedrock {__version__}"
    return CheckResult("python", "ok", found)


def _extras() -> Iterator[CheckResult]:
    for extra, (modules, use) in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            how = f'pip install "llama-bedrock[{extra}]"'
            yield CheckResult(f"[{extra}]", "note", f"not installed ({', '.join(missing)}); for {use}: {how}")
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
    return CheckResult("credentials", "ok", f"found ({found}); whether AWS accepts them shows the first call")


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
        return CheckResult("region", "note", str(missing_region())), None
    return CheckResult("region", "ok", str(region)), str(region)


def _model(
    model: str, region: str | None, prompt_format: Any
) -> tuple[ResolvedModel | None, list[CheckResult]]:
    from llama_bedrock.catalog import lifecycle_message, resolve_model

    try:
        resolved = resolve_model(model, region, prompt_format=prompt_format)
    except ValueError as error:
        return None, [CheckResult("model", "broken", str(error))]
    as_what = "" if resolved.model_id == model else f" (called as {resolved.model_id})"
    results = [CheckResult("model", "ok", f"{model}{as_what}, prompt format {resolved.prompt_format}")]
    if resolved.info is not None and (message := lifecycle_message(resolved.info)):
        results.append(CheckResult("lifecycle", "note", message))
    return resolved, results


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _endpoint(url: str) -> CheckResult:
    """Whether a connection to the endpoint opens; nothing is sent."""
    import ssl

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=_SECONDS) as connection:
            if parts.scheme == "https":
                with ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname):
                    pass
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        advice = "check the network, a proxy (HTTPS_PROXY is not tried here), and the region's name"
        return CheckResult("endpoint", "note", f"{url} cannot be reached directly: {why}; {advice}")
    return CheckResult("endpoint", "ok", f"{url} accepts connections")


def _lifecycle_at_aws(resolved: ResolvedModel, region: str) -> CheckResult:
    """Ask Bedrock's control plane for the model, by bedrock:GetFoundationModel and calls no model."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    if resolved.info is None:
        return CheckResult("access", "note", "an ARN that hides its model is not looked up")
    config = Config(connect_timeout=_SECONDS, read_timeout=_SECONDS * 2, retries={"total_max_attempts": 1})
    try:
        client = boto3.client("bedrock", region_name=region, config=config)
        answer = client.get_foundation_model(modelIdentifier=resolved.info.model_id)
    except (BotoCoreError, ClientError) as error:
        return CheckResult("access", "note", f"AWS does not tell about the model: {error}")
    state = answer["modelDetails"].get("modelLifecycle", {}).get("status", "unknown")
    return CheckResult("access", "ok", f"AWS knows the model in {region}; lifecycle {state}")
