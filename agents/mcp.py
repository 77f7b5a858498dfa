"""Tools of MCP servers, for synchronous and asynchronous agents."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Coroutine, Mapping
from contextlib import redirect_stderr
from types import ModuleType
from typing import Any, TextIO, TypeVar

from langchain_core.tools import BaseTool, StructuredTool

from llama_bedrock._extras import require

T = TypeVar("T")
Connections = Mapping[str, Mapping[str, Any]]


async def load_mcp_tools(servers: Connections) -> list[BaseTool]:
    """The tools of MCP servers, through langchain-mcp-adapters.

    They can be called from synchronous code, too: the call then runs on a background event loop.

    Args:
        servers: Connections by name: ``{"transport": "stdio", "command": …, "args": […]}`` or
            ``{"transport": "streamable_http", "url": …}``.

    Raises:
        ImportError: The extra ``agents`` is not installed.
    """
    client = mcp_adapters("client").MultiServerMCPClient(
        {name: dict(connection) for name, connection in servers.items()}
    )
    return [_callable_from_sync(tool) for tool in await client.get_tools()]


def load_mcp_tools_sync(servers: Connections) -> list[BaseTool]:
    """As :func:`load_mcp_tools`, for code without an event loop."""
    return _run(load_mcp_tools(servers))


def mcp_adapters(module: str) -> ModuleType:
    """A module of langchain-mcp-adapters, imported so that it can start servers.

    When ``mcp`` is imported it binds ``sys.stderr`` for good as where the servers that it starts write to.
    In a notebook, below a WSGI server or in a captured test that may be an object without a file descriptor,
    with which no process can be started. The first import therefore sees the process's own stderr.

    Args:
        module: Its name within the package: ``"client"``, ``"tools"``.

    Raises:
        ImportError: The extra ``agents`` is not installed.
    """
    name = f"langchain_mcp_adapters.{module}"
    if "mcp.client.stdio" in sys.modules:
        return require(name, "agents")
    stream = sys.__stderr__
    if stream is None or not _has_descriptor(stream):
        stream = open(os.devnull, "w")  # noqa: SIM115 - as long as the process may start servers
    with redirect_stderr(stream):
        return require(name, "agents")


def _has_descriptor(stream: TextIO) -> bool:
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return True


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


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, _Loop.get()).result()
