"""Where the answers come from: Bedrock, or a local endpoint of this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.session import Session

    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.local import LocalBedrock

DEFAULT_MODEL = "meta.llama3-3-70b-instruct-v1:0"
LOCAL_ENGINE = "local extractive engine"

_LOCAL_REGION = "us-east-2"
_METADATA_SERVICE = ("169.254.169.254", 80)
_METADATA_SECONDS = 0.3  # EC2 answers in milliseconds; everywhere else nobody does


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What the options of a command say about the model.

    Attributes:
        model: Model id or ARN; None for the default.
        region: AWS region; None for the one that AWS is set up with.
        local: True for the local engine, False for Bedrock, None for Bedrock where credentials are found.
        prompt_format: For ARNs that hide the model.
        settings: Further arguments of `ChatLlamaBedrock`.
        engine: What answers on this machine, as `load_engine` takes it; None for the extractive one.
        suggests: Whether a Llama that runs on this machine is named where nothing was chosen.
        in_process: Whether the extractive engine may answer without a server: only the model is called.
    """

    model: str | None = None
    region: str | None = None
    local: bool | None = None
    prompt_format: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    engine: str | None = None
    suggests: bool = False
    in_process: bool = False


@dataclass(frozen=True, slots=True)
class Backend:
    """A model that can be called.

    Attributes:
        llm: The chat model.
        is_local: True if this machine answers: the local engine, which is no Llama, or a server (`--engine`).
        name: For people: what answers.
        note: A line to show before the first answer; None if there is nothing to say.
        connect: Makes the chat model of another model id, answered from the same place.
    """

    llm: ChatLlamaBedrock
    is_local: bool
    name: str
    note: str | None
    connect: Callable[[str], ChatLlamaBedrock]


@contextmanager
def open_backend(choice: ModelChoice) -> Iterator[Backend]:
    """Make the model of a command callable while the block lasts.

    Without credentials and without a choice, an engine that picks sentences answers instead of a Llama: the
    same requests, signed and over a socket to a local endpoint, or handed over in this process.

    Raises:
        ValueError: The model is unknown, or cannot be called from the region.
    """
    if choice.engine and choice.local is False and not _from_environment(choice.engine):
        raise ValueError("--engine and --bedrock exclude each other")
    if choice.engine and choice.engine != "extractive" and choice.local is not False:
        with _engine_backend(choice, choice.engine) as backend:
            yield backend
        return
    choice = replace(choice, local=True) if choice.engine and choice.local is None else choice
    found = None if choice.local else find_credentials()
    if choice.local or (choice.local is None and found is None):
        with _local_backend(choice, asked_for=bool(choice.local)) as backend:
            yield backend
        return
    if found is None:
        raise no_credentials("use --local")
    from llama_bedrock.transport.connection import endpoint_override

    def connect(model: str | None) -> ChatLlamaBedrock:
        return _chat_model(_with_model(choice, model), region_name=choice.region)

    llm = connect(choice.model)
    endpoint = endpoint_override()
    where = f" at {endpoint}" if endpoint else ""
    yield Backend(llm, is_local=False, name=f"{llm.model}{where}", note=None, connect=connect)


@contextmanager
def _local_backend(choice: ModelChoice, *, asked_for: bool) -> Iterator[Backend]:
    found = "" if asked_for else "no AWS credentials found: "
    way = "leave --local out" if asked_for else "run `aws configure` or set AWS_BEARER_TOKEN_BEDROCK"
    note = f"{found}the {LOCAL_ENGINE} answers, which is no Llama but picks sentences. To use Bedrock, {way}."
    note = note[0].upper() + note[1:]
    if choice.suggests and not asked_for and choice.model is None:
        from llama_bedrock.cli.local_servers import noticed_server

        note += f"\n{other}" if (other := noticed_server()) else ""
    with ExitStack() as stack:
        if choice.in_process:
            at: Callable[[ModelChoice], ChatLlamaBedrock] = _in_process
        else:
            from llama_bedrock.local import LocalBedrock

            at = partial(_at, stack.enter_context(LocalBedrock()))

        def connect(model: str | None) -> ChatLlamaBedrock:
            return at(_with_model(choice, model))

        yield Backend(connect(choice.model), is_local=True, name=LOCAL_ENGINE, note=note, connect=connect)


@contextmanager
def _engine_backend(choice: ModelChoice, engine: str) -> Iterator[Backend]:
    """A server of the user's that completes raw prompts, behind a local endpoint.

    Raises:
        ValueError: The engine is none, or does not say which model is meant.
        OSError: The server cannot be reached.
    """
    from llama_bedrock.catalog import CATALOG
    from llama_bedrock.cli.local_servers import llama_of
    from llama_bedrock.local import LocalBedrock
    from llama_bedrock.local.engines import load_engine
    from llama_bedrock.local.engines.openai_compatible import checked_url

    kind, _, address = engine.partition(":")
    url, _, chosen = address.partition("#")
    if kind != "openai" or not url:
        load_engine(engine)  # says what there is
    try:
        url = checked_url(url)
        chosen = _offered(url, chosen)
    except ValueError as error:
        raise ValueError(f"--engine: {error}") from None
    except OSError as error:
        raise OSError(f"--engine: {url} cannot be reached ({error}). Is the server running?") from error
    known = llama_of(chosen)
    note = None
    if known is None and choice.model is None and choice.prompt_format is None:
        note = (
            f"{chosen!r} does not say which Llama it is: it is asked as Llama 3.3. --format says another one."
        )
    with ExitStack() as stack:

        def connect(model: str | None) -> ChatLlamaBedrock:
            """Models of the server by their names there; what is asked in Bedrock's words is its Llama."""
            of_bedrock = model if model in CATALOG else None
            name = chosen if model is None or of_bedrock else model
            server = stack.enter_context(LocalBedrock(f"openai:{url}#{name}"))
            asked = of_bedrock or _bedrock_id(choice, name)
            return _at(server, replace(choice, model=asked, prompt_format=None))

        yield Backend(connect(None), is_local=True, name=f"{chosen} at {url}", note=note, connect=connect)


def _offered(url: str, chosen: str) -> str:
    """The model of a server that is meant; that it does not run is told before documents are read."""
    from llama_bedrock.cli.local_servers import choose_model, models_of

    try:
        models = models_of(url)
    except ValueError:  # it may want a key for its list, or have none
        if not chosen:
            raise
        return chosen
    return chosen or choose_model(url, models)


def _bedrock_id(choice: ModelChoice, name: str) -> str:
    """The model of Bedrock that is prompted as this one of a server is."""
    from llama_bedrock.catalog import CATALOG
    from llama_bedrock.cli.local_servers import llama_of

    generation = choice.prompt_format or llama_of(name)
    if choice.model is not None or generation is None:
        return choice.model or DEFAULT_MODEL
    ids = [info.model_id for info in CATALOG.values() if info.generation == generation and not info.is_base]
    if not ids:
        known = dict.fromkeys(info.generation for info in CATALOG.values())
        raise ValueError(f"--format {generation}: there are {', '.join(known)}")
    return ids[0]


def _from_environment(engine: str) -> bool:
    return os.environ.get("LLAMA_BEDROCK_ENGINE") == engine


def _at(server: LocalBedrock, choice: ModelChoice) -> ChatLlamaBedrock:
    """The chat model of a choice, at an endpoint of this process."""
    from botocore.config import Config

    return _chat_model(
        choice,
        region_name=choice.region or _callable_region(choice),
        endpoint_url=server.endpoint_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(proxies={}),  # a proxy would not find this machine's loopback
    )


def _in_process(choice: ModelChoice) -> ChatLlamaBedrock:
    """The chat model of a choice, answered by the extractive engine without a server."""
    from llama_bedrock.local.engines import load_engine
    from llama_bedrock.local.in_process import InProcessClient

    region = choice.region or _callable_region(choice)
    client = InProcessClient(load_engine("extractive"), region)
    return _chat_model(choice, client=client, region_name=region, endpoint_url=client.meta.endpoint_url)


def _with_model(choice: ModelChoice, model: str | None) -> ModelChoice:
    """The same choice with another model; the prompt format was of the first one, unless it is the same."""
    return choice if model == choice.model else replace(choice, model=model, prompt_format=None)


def _chat_model(choice: ModelChoice, **settings: Any) -> ChatLlamaBedrock:
    from llama_bedrock import ChatLlamaBedrock

    fmt: Any = choice.prompt_format
    return ChatLlamaBedrock(
        model=choice.model or DEFAULT_MODEL, prompt_format=fmt, **dict(choice.settings), **settings
    )


def _callable_region(choice: ModelChoice) -> str:
    """A region in which the model can be called, so that the local endpoint gets a real request."""
    from llama_bedrock.catalog import resolve_model

    fmt: Any = choice.prompt_format
    resolved = resolve_model(choice.model or DEFAULT_MODEL, prompt_format=fmt)
    regions = resolved.info.regions if resolved.info else ()
    return resolved.region or (_LOCAL_REGION if _LOCAL_REGION in regions or not regions else regions[0])


def find_credentials() -> str | None:
    """Where AWS credentials come from, as botocore names it (``"env"``, ``"sso"``, …); None without any.

    A bearer key for Bedrock counts. Nothing is sent to AWS; only EC2's metadata service may be asked.
    """
    if source := bearer_key():
        return source
    credentials = credential_session().get_credentials()
    return None if credentials is None else str(credentials.method)


def bearer_key() -> str | None:
    """Name the bearer key for Bedrock of the environment; None if there is none."""
    return "bearer key of AWS_BEARER_TOKEN_BEDROCK" if os.environ.get("AWS_BEARER_TOKEN_BEDROCK") else None


def credential_session() -> Session:
    """A botocore session that finds credentials, and asks EC2's metadata service only where it answers."""
    import botocore.session

    session = botocore.session.Session()
    if not _metadata_service_answers():
        session.get_component("credential_provider").remove("iam-role")  # it would wait for seconds
    return session


def _metadata_service_answers() -> bool:
    """Whether this may be an EC2 machine with a role; where AWS's settings decide, botocore is left to it."""
    import socket

    if os.environ.get("AWS_EC2_METADATA_DISABLED") or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        return True
    try:
        socket.create_connection(_METADATA_SERVICE, timeout=_METADATA_SECONDS).close()
    except OSError:
        return False
    return True


def no_credentials(otherwise: str) -> Exception:
    """The error of a command that needs credentials.

    Args:
        otherwise: What to do without them.
    """
    from llama_bedrock.errors import BedrockCredentialsError

    return BedrockCredentialsError(
        "no AWS credentials found",
        hint="run `aws configure` or `aws sso login`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
        f"AWS_BEARER_TOKEN_BEDROCK, or {otherwise}",
    )
