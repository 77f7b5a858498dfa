"""The checks of `llama-bedrock doctor`: each finds out one thing and says what it means."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from llama_bedrock._extras import install_command
from llama_bedrock.cli.check_result import CheckResult, State
from llama_bedrock.cli.exit_codes import one_line

if TYPE_CHECKING:
    from llama_bedrock.catalog import ResolvedModel

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
    from llama_bedrock.cli.aws_checks import AskedAccount, checks_of_aws
    from llama_bedrock.cli.backend import DEFAULT_MODEL, bearer_key
    from llama_bedrock.cli.credentials_check import check_credentials
    from llama_bedrock.cli.endpoint_check import checks_of_endpoint
    from llama_bedrock.transport.connection import TransportSettings

    yield _python()
    yield from _extras()
    yield _cache()
    credentials = check_credentials(TransportSettings(region_name=region).region())
    yield credentials
    place, used_region = _region(region, needed=credentials.state == "ok")
    yield place
    resolved, about_model = _model(model or DEFAULT_MODEL, used_region, prompt_format)
    yield from about_model
    if used_region is None:
        return
    reachable = None
    for result in checks_of_endpoint(used_region, needed=credentials.state == "ok"):
        reachable = reachable or result
        yield result
    if credentials.state != "ok":
        yield CheckResult("aws", "note", f"cannot be known without credentials: {_OF_AWS}")
    elif reachable is not None and reachable.state == "broken":
        yield CheckResult("aws", "note", f"cannot be known without the endpoint: {_OF_AWS}")
    else:
        yield from checks_of_aws(resolved, AskedAccount(used_region, not bearer_key()), call=call)


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


def _region(given: str | None, *, needed: bool) -> tuple[CheckResult, str | None]:
    import botocore.exceptions
    import botocore.session
    from botocore.utils import validate_region_name

    from llama_bedrock.transport.connection import TransportSettings, missing_region

    session = botocore.session.Session()
    try:
        region = TransportSettings(region_name=given).region() or session.get_config_variable("region")
        if not region:
            fault: State = "broken" if needed else "note"
            return CheckResult("region", fault, one_line(missing_region())), None
        validate_region_name(region)
    except botocore.exceptions.InvalidRegionError:
        return CheckResult("region", "broken", f"{region!r} is no name of a Region{_meant(region)}"), None
    except botocore.exceptions.BotoCoreError as error:
        return CheckResult("region", "broken", f"not to be known: {error}"), None
    if region in _known_regions():
        return CheckResult("region", "ok", str(region)), str(region)
    unknown = f"{region}, which is none that botocore knows{_meant(region)}"
    return CheckResult("region", "note", unknown), str(region)


@cache
def _known_regions() -> frozenset[str]:
    from botocore.loaders import create_loader

    partitions = create_loader().load_data("endpoints")["partitions"]
    return frozenset(region for partition in partitions for region in partition["regions"])


def _meant(region: str) -> str:
    from difflib import get_close_matches

    plain = "-".join(region.strip(" \"'").lower().split())
    known = sorted(_known_regions())
    near = [plain] if plain in known else get_close_matches(plain, known, n=3, cutoff=0.7)
    return f": {' or '.join(near)}?" if near else ", which are like us-east-2"


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
