"""What becomes of a turn in which a tool fails, as that of an MCP server does whose process has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import ModelError

if TYPE_CHECKING:
    from langchain.agents.middleware.types import AgentMiddleware
    from langchain_core.tools import BaseTool


def failure_middleware(tools: Sequence[BaseTool]) -> list[AgentMiddleware[Any, Any, Any]]:
    """LangChain's middleware that gives a failure of one of these tools to the model, as the call's result.

    Without it the turn would end there, and what the other tools have found would be lost with it. The
    faults of a model that a tool calls end the turn: they are Bedrock's, and the person can mend them.
    """
    if not tools:
        return []
    from langchain.agents.middleware import ToolRetryMiddleware

    names: list[BaseTool | str] = [tool.name for tool in tools]
    return [ToolRetryMiddleware(max_retries=0, tools=names, retry_on=_is_the_tools, on_failure=_said)]


def _is_the_tools(error: Exception) -> bool:
    from langgraph.errors import GraphBubbleUp

    return not isinstance(error, (GraphBubbleUp, ModelError))


def _said(error: Exception) -> str:
    kind, text = type(error).__name__, str(error)
    return f"The tool failed: {kind}: {text}" if text else f"The tool failed: {kind}"
