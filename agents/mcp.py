"""Tools of MCP servers, for synchronous and asynchronous agents.

Through ``langchain.mcp`` where it can be imported (LangChain 1.5 with FastMCP 4), else through
langchain-mcp-adapters. One environment holds only one of them: the first needs mcp 2, the other mcp 1.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TextIO, TypeVar

from langchain_core._api import suppress_langchain_beta_warning
from langchain_core.tools import BaseTool, StructuredTool

from llama_bedrock._extras import install_command
from llama_bedrock.argument_kinds import refuses_wrong_kinds

T = TypeVar("T")
Connection = Mapping[str, Any]
Connections = Mapping[str, Connection]

_TRANSPORTS = {
    "stdio": ("StdioTransport", {"command", "args", "env", "cwd"}),
    "streamable_http": ("StreamableHttpTransport", {"url", "headers", "auth", "sse_read_timeout", "timeout"}),
    "sse": ("SSETransport", {"url", "headers", "auth", "sse_read_timeout", "timeout"}),
}
"""FastMCP's transport of each kind, and what of a connection for langchain-mcp-adapters it can take."""

_VARIABLE = re.compile(r"\$\{(?:env:)?(\w+)(?::-([^}]*))?\}")
"""A variable as MCP clients write it: ``${NAME}``, ``${env:NAME}``, ``${NAME:-default}``."""


@dataclass(frozen=True, slots=True)
class McpSession:
    """One session with an MCP server.

    Attributes:
        name: Of the server.
        tools: What it offers.
        ping: Asks whether it is still there; raises if it is not.
    """

    name: str
    tools: tuple[BaseTool, ...]
    ping: Callable[[], Awaitable[Any]]


@refuses_wrong_kinds
async def load_mcp_tools(servers: Connections) -> list[BaseTool]:
    """The tools of MCP servers; each call of one opens a session of its own.

    They can be called from synchronous code, too: the call then runs on a background event loop.

    Args:
        servers: Connections by name: ``{"transport": "stdio", "command": …, "args": […]}`` or
            ``{"transport": "streamable_http", "url": …}``. In ``env``, ``headers`` and ``url``, ``${NAME}``
            is a variable of this process, and ``${NAME:-default}`` one that may be missing.

    Raises:
        ImportError: Neither ``langchain.mcp`` nor langchain-mcp-adapters can be imported.
        ValueError: ``langchain.mcp`` has no such transport, or no such option of it; or a variable is named
            that is not set.
    """
    servers = {name: _with_variables(name, connection) for name, connection in servers.items()}
    with _usable_stderr():
        if (adapter := _langchain_adapter()) is not None:
            listed = [await _beside(adapter(_client(*server)).list_tools()) for server in servers.items()]
            tools = [_on_one_loop(_flat(tool)) for found in listed for tool in found]
        else:
            tools = await _adapters("client").MultiServerMCPClient(servers).get_tools()
    return [_callable_from_sync(tool) for tool in tools]


def load_mcp_tools_sync(servers: Connections) -> list[BaseTool]:
    """As :func:`load_mcp_tools`, for code without an event loop."""
    return _run(load_mcp_tools(servers))


@asynccontextmanager
async def open_mcp_session(name: str, connection: Connection) -> AsyncIterator[McpSession]:
    """One session with an MCP server, that lasts as long as the block.

    Raises:
        ImportError, ValueError: As :func:`load_mcp_tools`.
    """
    connection = _with_variables(name, connection)
    if (adapter := _langchain_adapter()) is not None:
        async with adapter(_client(name, connection)) as opened:
            # The adapter connects a copy of the client, so that the client's own `ping` has no connection.
            yield McpSession(name, tuple(map(_flat, await opened.list_tools())), opened.list_tools)
        return
    client = _adapters("client").MultiServerMCPClient({name: connection})
    async with client.session(name) as session:
        yield McpSession(name, tuple(await _adapters("tools").load_mcp_tools(session)), session.send_ping)


@functools.cache
def _langchain_adapter() -> Any:
    """`langchain.mcp.MCPAdapter`, None where LangChain or FastMCP is too old or missing."""
    try:
        with suppress_langchain_beta_warning(), _usable_stderr():
            return importlib.import_module("langchain.mcp").MCPAdapter
    except ImportError:
        return None


def _adapters(module: str) -> Any:
    try:
        with _usable_stderr():
            return importlib.import_module(f"langchain_mcp_adapters.{module}")
    except ImportError as error:
        raise ImportError(
            f"MCP servers need the extra mcp, or LangChain 1.5 with its own: {error}\n"
            f'{install_command("agents", "mcp")} or {install_command("agents")} "langchain[mcp]"'
        ) from error


def _client(name: str, connection: Connection) -> Any:
    """Make FastMCP's client of a connection as langchain-mcp-adapters takes it."""
    from fastmcp.client import Client, transports

    options = dict(connection)
    kind = str(options.pop("transport", "stdio" if "command" in options else "streamable_http"))
    kind = {"http": "streamable_http", "streamable-http": "streamable_http"}.get(kind, kind)
    if kind not in _TRANSPORTS:
        raise ValueError(f"MCP server {name!r}: transport={kind!r}; give {', '.join(_TRANSPORTS)}")
    class_name, known = _TRANSPORTS[kind]
    if unknown := options.keys() - known:
        raise ValueError(
            f"MCP server {name!r}: langchain.mcp takes no {', '.join(sorted(unknown))} for {kind}; "
            f"it takes {', '.join(sorted(known))}"
        )
    timeout = options.pop("timeout", None)
    if kind == "stdio":
        # A process that is kept would belong to the event loop of the first call.
        options |= {"args": list(options.get("args") or ()), "keep_alive": False, "log_file": _stderr()}
        options["env"] = dict(options.get("env") or {})
        options["cwd"] = str(options["cwd"]) if options.get("cwd") else None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    return Client(getattr(transports, class_name)(**options), timeout=seconds)


def _with_variables(name: str, connection: Connection) -> dict[str, Any]:
    """Put variables of this process into what a server is started with or told; ``args`` are the program's.

    Raises:
        ValueError: One is not set: the server would get the text ``${TOKEN}`` for its token.
    """
    found = dict(connection)
    for option in ("env", "headers"):
        if values := found.get(option):
            found[option] = {key: _expanded(name, f"{option} {key}", value) for key, value in values.items()}
    if "url" in found:
        found["url"] = _expanded(name, "url", found["url"])
    return found


def _expanded(name: str, what: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value

    def of(match: re.Match[str]) -> str:
        variable, default = match.groups()
        if (found := os.environ.get(variable, default)) is None:
            raise ValueError(f"MCP server {name!r}: {what} needs the variable {variable}: it is not set")
        return found

    expanded = _VARIABLE.sub(of, value)
    if unknown := re.search(r"\$\{[^}]*\}?", _VARIABLE.sub("", value)):
        raise ValueError(
            f"MCP server {name!r}: {what} has {unknown[0]}, which is no variable: "
            "give ${NAME} or ${NAME:-default}"
        )
    return expanded


def _flat(tool: BaseTool) -> BaseTool:
    """Put MCP's annotations where langchain-mcp-adapters puts them: ``readOnlyHint`` in the metadata."""
    said = ((tool.metadata or {}).get("mcp") or {}).get("tool", {}).get("annotations") or {}
    hints = {re.sub(r"_(\w)", lambda match: match[1].upper(), key): value for key, value in said.items()}
    return tool.model_copy(update={"metadata": {**(tool.metadata or {}), **hints}})


@contextmanager
def _usable_stderr() -> Iterator[None]:
    """Let servers be started where ``sys.stderr`` has no file descriptor.

    What mcp sees when it is first imported, it binds for good as where the servers that it starts write to.
    In a notebook, below a WSGI server or in a captured test that may be an object with which no process can
    be started.
    """
    if "mcp.client.stdio" in sys.modules:
        yield
        return
    with redirect_stderr(_stderr()):
        yield


@functools.cache
def _stderr() -> TextIO:
    """The process's own stderr, or nothing: what a process can be started with."""
    stream = sys.__stderr__
    try:
        if stream is not None and stream.fileno() >= 0:
            return stream
    except (OSError, ValueError):
        pass
    return open(os.devnull, "w")  # as long as the process may start servers


def _on_one_loop(tool: BaseTool) -> BaseTool:
    """Let a tool run on the background loop only: FastMCP clients called from two loops hang."""
    coroutine = tool.coroutine if isinstance(tool, StructuredTool) else None
    if coroutine is None:
        return tool

    async def call(**arguments: Any) -> Any:
        return await _beside(coroutine(**arguments))

    return tool.model_copy(update={"coroutine": call})


def _callable_from_sync(tool: BaseTool) -> BaseTool:
    coroutine = tool.coroutine if isinstance(tool, StructuredTool) else None
    if not isinstance(tool, StructuredTool) or coroutine is None or tool.func is not None:
        return tool

    def call(**arguments: Any) -> Any:
        return _run(_finish(coroutine(**arguments)))

    return tool.model_copy(update={"func": call})


async def _finish(result: Awaitable[T]) -> T:
    return await result


class _Loop:
    """One event loop in a daemon thread, started when first needed and shared by all calls."""

    _lock = threading.Lock()
    _loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def get(cls) -> asyncio.AbstractEventLoop:
        with cls._lock:
            if cls._loop is None:
                cls._loop = asyncio.new_event_loop()
                threading.Thread(target=cls._loop.run_forever, name="llama-bedrock-mcp", daemon=True).start()
            return cls._loop


async def _beside(result: Awaitable[T]) -> T:
    """Wait for what is done on the background loop; a cancellation reaches it."""
    if asyncio.get_running_loop() is _Loop.get():
        return await result
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_finish(result), _Loop.get()))


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, _Loop.get()).result()
