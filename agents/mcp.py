"""Tools of MCP servers, for synchronous and asynchronous agents."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, TypeVar

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
    client = require("langchain_mcp_adapters.client", "agents").MultiServerMCPClient(
        {name: dict(connection) for name, connection in servers.items()}
    )
    return [_callable_from_sync(tool) for tool in await client.get_tools()]


def load_mcp_tools_sync(servers: Connections) -> list[BaseTool]:
    """As :func:`load_mcp_tools`, for code without an event loop."""
    return _run(load_mcp_tools(servers))


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
