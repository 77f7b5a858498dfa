"""The tools of `llama-bedrock agent`: Python functions, MCP servers, and which of them only read."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import shlex
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from llama_bedrock.app.conversations.tool_approval import READ_ONLY

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from llama_bedrock.agents.mcp import Connections, McpSession

_CONNECT_SECONDS = 120.0  # a server's first start may download it
_QUIET_SECONDS = 5.0  # until it is told which server is waited for


def load_python_tools(specs: Iterable[str]) -> list[BaseTool]:
    """The tools that ``module:name`` or ``file.py:name`` name.

    A name is a function with type hints and a docstring, a LangChain tool, or a list of them. A function with
    a true attribute ``read_only`` becomes a tool that only reads.

    Raises:
        ValueError: There is no such module or name, or it is no tool.
    """
    return [tool for spec in specs for tool in _as_tools(_named_object(spec), spec)]


def _named_object(spec: str) -> Any:
    where, separator, name = spec.rpartition(":")
    if not separator or not where or not name:
        raise ValueError(f"--tools wants module:function or file.py:function, not {spec!r}")
    value: Any = _module(where)
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise ValueError(f"--tools {spec}: there is no {name!r} in {where}") from None
    return value


def _module(where: str) -> ModuleType:
    if where.endswith(".py"):
        path = Path(where).resolve()
        if not path.is_file():
            raise ValueError(f"--tools {where}: there is no such file")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ValueError(f"--tools {where}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)  # where LangChain looks up the type hints
        spec.loader.exec_module(module)
        return module
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{where}.".startswith(f"{error.name}."):
            raise
        raise ValueError(f"--tools {where}: there is no module {error.name!r}") from None


def _as_tools(value: Any, spec: str) -> list[BaseTool]:
    from langchain_core.tools import BaseTool, tool

    if isinstance(value, BaseTool):
        return [value]
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in _as_tools(item, spec)]
    if not callable(value):
        raise ValueError(f"--tools {spec} is a {type(value).__name__}, not a function or a tool")
    try:
        made = tool(value)
    except (ValueError, TypeError, NameError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"--tools {spec} cannot be a tool: {reason}") from error
    if not isinstance(made, BaseTool):
        raise ValueError(f"--tools {spec} is a {type(value).__name__}, not a function or a tool")
    if getattr(value, "read_only", False) is True:
        made.metadata = {**(made.metadata or {}), READ_ONLY: True}
    return [made]


def mcp_connections(servers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Connections as `load_mcp_tools` takes them.

    Args:
        servers: A URL (streamable HTTP), or a command with its arguments (stdio).

    Raises:
        ValueError: A command is empty or has an open quote.
    """
    connections: dict[str, dict[str, Any]] = {}
    for number, server in enumerate(servers, start=1):
        if server.startswith(("http://", "https://")):
            connection: dict[str, Any] = {"transport": "streamable_http", "url": server}
        else:
            try:
                words = shlex.split(server, posix=os.name != "nt")
            except ValueError as error:
                raise ValueError(f"--mcp {server!r}: {error}") from None
            if not words:
                raise ValueError("--mcp wants a command with its arguments, or a URL")
            connection = {"transport": "stdio", "command": words[0], "args": words[1:]}
        connections[f"mcp{number}: {server}"] = connection
    return connections


@asynccontextmanager
async def mcp_sessions(servers: Sequence[str]) -> AsyncIterator[list[McpSession]]:
    """A session with each MCP server, that lasts as long as the block.

    Raises:
        ImportError: The extra ``agents`` is not installed.
        ConnectionError: A server does not start, does not answer, or offers a tool that cannot be offered on.
    """
    from llama_bedrock.cli.output import note

    connections = mcp_connections(servers)
    if not connections:
        yield []
        return
    ready: asyncio.Future[list[McpSession]] = asyncio.get_running_loop().create_future()
    closing = asyncio.Event()
    opened: list[McpSession] = []
    keeper = asyncio.create_task(_keep_sessions(connections, opened, ready, closing))
    try:
        await asyncio.wait((ready,), timeout=_QUIET_SECONDS)
        if not ready.done():
            note(f"Waiting for --mcp {servers[len(opened)]!r} to answer. Ctrl-C ends it.")
            await asyncio.wait((ready,), timeout=_CONNECT_SECONDS - _QUIET_SECONDS)
        if not ready.done():
            silent = servers[len(opened)]
            raise ConnectionError(
                f"--mcp {silent!r} does not work: it runs, but does not answer as an MCP server "
                f"({_CONNECT_SECONDS:.0f} s waited)"
            )
        yield await ready
    finally:
        closing.set()
        if not ready.done():  # it waits for a server, and would for ever
            keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def _keep_sessions(
    connections: Connections,
    opened: list[McpSession],
    ready: asyncio.Future[list[McpSession]],
    closing: asyncio.Event,
) -> None:
    """Open the sessions, and close them when asked: anyio wants both to happen in one task."""
    from llama_bedrock.agents.mcp import open_mcp_session
    from llama_bedrock.tools.spec import to_tool_specs

    name = ""
    try:
        async with AsyncExitStack() as stack:
            for name, connection in connections.items():
                session = await stack.enter_async_context(open_mcp_session(name, connection))
                to_tool_specs(session.tools)  # now, and not with each question
                opened.append(session)
            ready.set_result(opened)
            await closing.wait()
    except Exception as error:
        if ready.done():
            raise
        if isinstance(error, ImportError):
            ready.set_exception(error)
            return
        server = name.partition(": ")[2]
        ready.set_exception(ConnectionError(f"--mcp {server!r} does not work: {_innermost(error)}"))
    except asyncio.CancelledError:
        ready.cancel()
        raise


def _innermost(error: BaseException) -> str:
    """What went wrong: the first error of a group, whose own message tells only how many there are."""
    while inner := getattr(error, "exceptions", None):
        error = inner[0]
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename}"
    return str(error) or type(error).__name__
