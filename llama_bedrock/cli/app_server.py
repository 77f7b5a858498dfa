"""What `ui` and `api` share: the application from the options, and the server until it is told to stop."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import AnswerOptions, MaxTokens, Passages

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from starlette.applications import Starlette

    from llama_bedrock.app import FolderIndex, ModelDirectory
    from llama_bedrock.cli.backend import Backend

DEFAULT_PORT = 8720

Paths = Annotated[
    list[Path] | None, typer.Argument(metavar="PATH", help="Files and folders with the documents.")
]
Port = Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0 takes a free one.")]
Host = Annotated[
    str, typer.Option("--host", help="Address to listen on; other than loopback it needs a --key.")
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", help="Name by which it may be called besides loopback's; repeatable."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="LLAMA_BEDROCK_KEY", help="What every request must show. Default: a new one each run."
    ),
]
Alias = Annotated[
    list[str] | None,
    typer.Option("--alias", help="NAME=ARN of an imported model, ARN@llama3.3 if it hides it; repeatable."),
]


@dataclass(frozen=True, kw_only=True)
class ServerPlan(AnswerOptions):
    """What the options say, and what is served.

    Attributes:
        tools: Python tools of the page's agent.
        mcp: MCP servers of the page's agent.
        page: Whether the page is served.
        conversations: PostgreSQL database of the page's conversations; None for the user's file.
    """

    paths: Paths = None
    port: Port = DEFAULT_PORT
    host: Host = "127.0.0.1"
    allow_host: AllowHost = None
    key: Key = None
    alias: Alias = None
    k: Passages = 6
    max_tokens: MaxTokens = 2048
    tools: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    page: bool = True
    conversations: str | None = None


def run_server(plan: ServerPlan, announce: Callable[[str, str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        plan: What the options say.
        announce: Told the address, and the key, when requests are taken.

    Raises:
        ValueError: The options do not fit together.
        OSError: The address cannot be listened on.
    """
    import asyncio

    from llama_bedrock._extras import require
    from llama_bedrock.cli.serve import LOOPBACK, stop_signal

    for package in ("starlette", "uvicorn"):
        require(package, "ui")
    if plan.host not in LOOPBACK and not plan.key:
        raise ValueError(
            f"--host {plan.host} lets other machines in: set a key of your own, in LLAMA_BEDROCK_KEY or --key"
        )
    plan.check_verifier()
    aliases = read_aliases(plan.alias or ())
    with stop_signal(), plan.open_backend(max_tokens=plan.max_tokens) as backend:
        asyncio.run(_serve(plan, backend, aliases, announce))


def shown_key(plan: ServerPlan, key: str) -> str:
    """The key as it is printed: where other machines call, what is printed is kept in logs."""
    from llama_bedrock.cli.serve import LOOPBACK

    return key if plan.host in LOOPBACK else "$LLAMA_BEDROCK_KEY"


def read_aliases(given: Sequence[str]) -> dict[str, str]:
    """The names of models.

    Raises:
        ValueError: One is not ``NAME=ARN``.
    """
    pairs = [text.partition("=") for text in given]
    for name, _, target in pairs:
        if not name.strip() or not target.strip():
            raise ValueError(f"--alias wants NAME=ARN, such as support=arn:aws:bedrock:…, not {name!r}")
    return {name.strip(): target.strip() for name, _, target in pairs}


def folder_index(
    paths: Sequence[Path], backend: Backend, *, k: int, embeddings: str, region: str | None
) -> FolderIndex:
    """The index of the documents, the one that `ask` and `chat` use; made when it is first searched.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: There is no such choice of embeddings.
    """
    from llama_bedrock.app import FolderIndex
    from llama_bedrock.cli.kept_index import choose_embeddings, open_index
    from llama_bedrock.retrievers.documents.load import check_path
    from llama_bedrock.transport.connection import endpoint_override

    for path in paths:
        check_path(path)
    kind = choose_embeddings(embeddings, is_local=backend.is_local, endpoint=endpoint_override())
    what = (
        paths[0] if len(paths) == 1 else tuple(paths)
    )  # as `ask PATH` gives it, so that both share one index

    def opened(progress: Callable[[str, int, int], None]) -> Any:
        return open_index(what, embeddings=kind, region=region, progress=progress)

    return FolderIndex(tuple(paths), opened, k=k)


async def _serve(
    plan: ServerPlan, backend: Backend, aliases: dict[str, str], announce: Callable[[str, str], None]
) -> None:
    from contextlib import AsyncExitStack

    from llama_bedrock.app import ModelDirectory
    from llama_bedrock.app.serving import AppServer, listen

    directory = ModelDirectory(backend.llm, aliases)
    listening = listen(plan.host, plan.port)
    with listening:
        async with AsyncExitStack() as stack:
            app = await _application(plan, backend, directory, stack)
            host = f"[{plan.host}]" if ":" in plan.host else plan.host
            address = f"http://{host}:{listening.getsockname()[1]}"
            await AppServer(app, partial(announce, address, app.state.llama.key)).serve([listening])


async def _application(
    plan: ServerPlan, backend: Backend, directory: ModelDirectory, stack: AsyncExitStack
) -> Starlette:
    from llama_bedrock.app import create_app
    from llama_bedrock.cli.session.agent_tools import load_python_tools, mcp_sessions
    from llama_bedrock.cli.session.threads import open_memory
    from llama_bedrock.tools.spec import with_names_of_their_own

    tools = load_python_tools(plan.tools)
    sessions = await stack.enter_async_context(mcp_sessions(plan.mcp))
    with_names_of_their_own([*tools, *(tool for session in sessions for tool in session.tools)])
    memory = None
    if plan.page and (plan.conversations or (find_spec("langgraph") and find_spec("aiosqlite"))):
        memory = await stack.enter_async_context(open_memory(saved=True, address=plan.conversations))
    return create_app(
        directory,
        retriever=folder_index(plan.paths, backend, k=plan.k, embeddings=plan.embeddings, region=plan.region)
        if plan.paths
        else None,
        verifier=plan.open_verifier(backend),
        tools=tools,
        mcp_sessions=sessions,
        checkpointer=memory,
        key=plan.key,
        allow_hosts=[*(plan.allow_host or ()), plan.host],
        page=plan.page,
    )


def log_requests() -> None:
    """Write the application's log, one JSON object a line, to stderr."""
    from llama_bedrock.app.perimeter import logger

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
