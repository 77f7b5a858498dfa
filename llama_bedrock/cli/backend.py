"""Where the answers come from: Bedrock, or a local endpoint of this process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_bedrock import ChatLlamaBedrock

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
    """

    model: str | None = None
    region: str | None = None
    local: bool | None = None
    prompt_format: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Backend:
    """A model that can be called.

    Attributes:
        llm: The chat model.
        is_local: True if the local engine answers, which is no Llama.
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

    Without credentials and without a choice, a local endpoint is started: the same requests, signed and over
    a socket, answered by an engine that picks sentences instead of a Llama.

    Raises:
        ValueError: The model is unknown, or cannot be called from the region.
    """
    found = None if choice.local else find_credentials()
    if choice.local or (choice.local is None and found is None):
        with _local_backend(choice, asked_for=bool(choice.local)) as backend:
            yield backend
        return
    if found is None:
        raise no_credentials("use --local")

    def connect(model: str | None) -> ChatLlamaBedrock:
        return _chat_model(_with_model(choice, model), region_name=choice.region)

    llm = connect(choice.model)
    endpoint = endpoint_override()
    where = f" at {endpoint}" if endpoint else ""
    yield Backend(llm, is_local=False, name=f"{llm.model}{where}", note=None, connect=connect)


@contextmanager
def _local_backend(choice: ModelChoice, *, asked_for: bool) -> Iterator[Backend]:
    from botocore.config import Config

    from llama_bedrock.catalog import LlamaLifecycleWarning
    from llama_bedrock.local import LocalBedrock

    found = "" if asked_for else "no AWS credentials found: "
    way = "leave --local out" if asked_for else "run `aws configure` or set AWS_BEARER_TOKEN_BEDROCK"
    note = f"{found}the {LOCAL_ENGINE} answers, which is no Llama but picks sentences. To use Bedrock, {way}."
    note = note[0].upper() + note[1:]
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", LlamaLifecycleWarning)  # nothing of Bedrock is called
        server = stack.enter_context(LocalBedrock())

        def connect(model: str | None) -> ChatLlamaBedrock:
            chosen = _with_model(choice, model)
            return _chat_model(
                chosen,
                region_name=choice.region or _callable_region(chosen),
                endpoint_url=server.endpoint_url,
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(proxies={}),  # a proxy would not find this machine's loopback
            )

        yield Backend(connect(choice.model), is_local=True, name=LOCAL_ENGINE, note=note, connect=connect)


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
    if os.environ.get("AWS_BEARER_TOKEN_BEDROCK"):
        return "bearer key of AWS_BEARER_TOKEN_BEDROCK"
    import botocore.session

    session = botocore.session.Session()
    if not _metadata_service_answers():
        session.get_component("credential_provider").remove("iam-role")  # it would wait for seconds
    credentials = session.get_credentials()
    return None if credentials is None else str(credentials.method)


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


def endpoint_override() -> str | None:
    """The endpoint that AWS's environment variables put in Bedrock's place, if they do."""
    return os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME") or os.environ.get("AWS_ENDPOINT_URL") or None


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
