"""`llama-bedrock serve`: Bedrock's wire protocol on this machine, for any AWS SDK."""

from __future__ import annotations

import os
import re
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from llama_bedrock.catalog.model_info import Lifecycle
    from llama_bedrock.local import Account, Guardrail, LocalBedrock
    from llama_bedrock.local.engines.interface import Engine

DEFAULT_PORT = 8719
KNOWLEDGE_BASE_ID = "LOCALKB001"
_ACCESS_KEY = "local"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    engine: Annotated[
        str, typer.Option("--engine", "-e", help="What answers: extractive, openai:URL#model or scripted.")
    ] = "extractive",
    openai_url: Annotated[
        str | None,
        typer.Option(
            "--openai-url", help="OpenAI-compatible server, such as http://localhost:11434/v1 (Ollama)."
        ),
    ] = None,
    openai_model: Annotated[
        str | None, typer.Option("--openai-model", help="Its name of the model. Default: the requested id.")
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option("--script", help="Answers for --engine scripted: a JSON list of texts, repeated."),
    ] = None,
    docs: Annotated[
        Path | None, typer.Option("--docs", help=f"Serve this folder as knowledge base {KNOWLEDGE_BASE_ID}.")
    ] = None,
    guardrail: Annotated[
        list[str] | None,
        typer.Option(
            "--guardrail",
            help="ID=THRESHOLD (0 to 0.99) of a guardrail with contextual grounding, by words; repeatable.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; only loopback is private.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="0 takes a free one.")
    ] = DEFAULT_PORT,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Name by which it may be called besides loopback's; repeatable."),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Accept any key instead of the one that is printed.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Folder that keeps jobs, models and deployments. Default: in memory."),
    ] = None,
    pace: Annotated[
        float, typer.Option("--pace", min=0, help="Seconds that a job stays in each of its states.")
    ] = 0.5,
    lifecycle: Annotated[
        list[str] | None,
        typer.Option(
            "--lifecycle",
            help="MODEL=active, legacy or ended: instead of what it is; Legacy models take no new jobs.",
        ),
    ] = None,
) -> None:
    """Serve Bedrock locally: models, guardrails, knowledge bases, and its control plane with jobs on S3.

    Prints the line that points any AWS SDK to it, and serves until Ctrl-C.
    """
    from llama_bedrock.cli.output import note

    with stop_signal() as stopped:
        key = None if no_auth else secrets.token_urlsafe(24)
        chosen = _engine(engine, openai_url, openai_model, script)
        names = [*(allow_host or ()), *([host] if host not in ("0.0.0.0", "::") else [])]
        account = _account(pace, lifecycle or [])
        server = _start(
            chosen,
            docs,
            host,
            port,
            key=key,
            allow_hosts=names,
            guardrails=_guardrails(guardrail or []),
            account=account,
            state=state,
        )
        try:
            _announce(server, key, with_knowledge_base=docs is not None)
            if host not in LOOPBACK:
                note(f"note: everyone who can reach {host} can use this endpoint")
            while not stopped.wait(1.0):  # with a bound, so that Ctrl-C gets through on every platform
                pass
        finally:
            server.stop()


def _engine(name: str, openai_url: str | None, openai_model: str | None, script: Path | None) -> Engine | str:
    """The engine that the options describe; options of another engine are mistakes."""
    for option, value, owner in (
        ("--openai-url", openai_url, "openai"),
        ("--openai-model", openai_model, "openai"),
        ("--script", script, "scripted"),
    ):
        if value is not None and name != owner:
            raise ValueError(f"{option} belongs to --engine {owner}")
    if name == "extractive" or name.startswith("openai:"):
        return name
    if name == "openai":
        if openai_url is None:
            raise ValueError("--engine openai needs --openai-url, such as http://localhost:11434/v1")
        return f"openai:{openai_url}" + (f"#{openai_model}" if openai_model else "")
    if name == "scripted":
        if script is None:
            raise ValueError("--engine scripted needs --script with a JSON list of answers")
        return _scripted(script)
    raise ValueError(f"no engine {name!r}; there are extractive, openai:URL#model and scripted")


def _guardrails(given: list[str]) -> dict[str, Guardrail]:
    """Guardrails with contextual grounding, by id.

    Raises:
        ValueError: One is no ID=THRESHOLD.
    """
    from llama_bedrock.local import Guardrail

    found = {}
    for one in given:
        name, _, threshold = one.partition("=")
        if not name or not re.fullmatch(r"0(?:\.\d{1,2})?", threshold):
            raise ValueError(f"--guardrail {one}: give ID=THRESHOLD with a threshold from 0 to 0.99")
        found[name] = Guardrail((), grounding_threshold=float(threshold))
    return found


def _account(pace: float, lifecycle: list[str]) -> Account:
    """The account of the endpoint.

    Raises:
        ValueError: A lifecycle is no MODEL=STATE.
    """
    from llama_bedrock.local import Account, ModelState

    models = {}
    for one in lifecycle:
        name, _, value = one.partition("=")
        models[name] = ModelState(lifecycle=cast("Lifecycle", value))
    return Account(pace=pace, models=models)


def _scripted(path: Path) -> Engine:
    import json

    from llama_bedrock.local.engines.scripted import ScriptedEngine

    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(answers, list) or not answers or not all(isinstance(text, str) for text in answers):
        raise ValueError(f"{path} holds no list of texts")
    return ScriptedEngine(answers, repeat=True)


def _start(
    engine: Engine | str,
    docs: Path | None,
    host: str,
    port: int,
    *,
    allow_hosts: list[str],
    key: str | None,
    guardrails: dict[str, Guardrail],
    account: Account,
    state: Path | None,
) -> LocalBedrock:
    from llama_bedrock.local import LocalBedrock

    knowledge_bases: dict[str, Any] = {}
    if docs is not None:
        from llama_bedrock.cli.kept_index import open_index, tell_about

        index = open_index(docs)
        tell_about(index)
        knowledge_bases[KNOWLEDGE_BASE_ID] = index.store
    server = LocalBedrock(
        engine,
        host=host,
        port=port,
        knowledge_bases=knowledge_bases,
        allow_hosts=allow_hosts,
        guardrails=guardrails,
        credentials=None if key is None else {_ACCESS_KEY: key},
        api_keys=None if key is None else {key},
        account=account,
        state=state,
    )
    try:
        return server.start()
    except OSError as error:
        # asyncio and socket add the address to the system's own words.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise OSError(f"cannot listen on {host}:{port}: {why}; choose another --port") from error


def _announce(server: LocalBedrock, key: str | None, *, with_knowledge_base: bool) -> None:
    """Print the line to paste into a shell; then what it is, for people.

    The line carries the key of this run, as credentials that every SDK can sign with.
    """
    import os

    from llama_bedrock.cli.backend import LOCAL_ENGINE, find_credentials
    from llama_bedrock.cli.output import note, write

    url = server.endpoint_url
    variables = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url, "AWS_ENDPOINT_URL_BEDROCK": url}
    if with_knowledge_base:
        variables["AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME"] = url
    has_credentials = find_credentials() is not None
    if key is not None or not has_credentials:  # SDKs sign every request, so they want some
        variables |= {"AWS_ACCESS_KEY_ID": _ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": key or "local"}
        # Only beside keys that AWS does not know: profiles that assume a role need the real service.
        variables |= dict.fromkeys(("AWS_ENDPOINT_URL_SERVICE_QUOTAS", "AWS_ENDPOINT_URL_STS"), url)
    if key is not None and os.environ.get("AWS_BEARER_TOKEN_BEDROCK"):  # it would go before the others
        variables["AWS_BEARER_TOKEN_BEDROCK"] = key
    if not has_credentials:
        variables |= dict.fromkeys(
            ("AWS_REGION", "AWS_DEFAULT_REGION"), "us-east-2"
        )  # boto3 reads the second
    write(f"export {' '.join(f'{name}={value}' for name, value in variables.items())}\n")
    name = server.engine.name
    what = f"{name} (no Llama)" if name == LOCAL_ENGINE else name
    note(f"{what} on {url}; Ctrl-C stops it")


@contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM sets; Ctrl-C stays a KeyboardInterrupt."""
    stopped = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, previous)
