"""RAG chains with verified citations, and tool-using agents, on LangChain and LangGraph."""

if __name__ != "llama_bedrock.agents":
    raise ImportError("import this package as llama_bedrock.agents, not as a top-level module")

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llama_bedrock._extras import require

if TYPE_CHECKING:
    from llama_bedrock.agents.mcp import load_mcp_tools
    from llama_bedrock.agents.middleware import (
        BudgetExceededError,
        BudgetGuard,
        ContextGuard,
        InvalidCallGuard,
        LoopGuard,
        ToolResultGuard,
    )
    from llama_bedrock.agents.rag.rag_agent import create_rag_agent, read_answer, search_tool
    from llama_bedrock.agents.rag.rag_chain import RagChain, create_rag_chain
    from llama_bedrock.agents.tool_agent import agent_as_tool, create_tool_agent
    from llama_bedrock.grounding.answers import Citation, RagAnswer, RagAnswerChunk

# Each name is imported when it is first used: create_rag_chain needs no more than langchain-core, the agents
# and their middleware need the extra "agents".
_AGENTS = "llama_bedrock.agents."
_HOME = {
    "BudgetExceededError": _AGENTS + "middleware",
    "BudgetGuard": _AGENTS + "middleware",
    "Citation": "llama_bedrock.grounding.answers",
    "ContextGuard": _AGENTS + "middleware",
    "InvalidCallGuard": _AGENTS + "middleware",
    "LoopGuard": _AGENTS + "middleware",
    "RagAnswer": "llama_bedrock.grounding.answers",
    "RagAnswerChunk": "llama_bedrock.grounding.answers",
    "RagChain": _AGENTS + "rag.rag_chain",
    "ToolResultGuard": _AGENTS + "middleware",
    "agent_as_tool": _AGENTS + "tool_agent",
    "create_rag_agent": _AGENTS + "rag.rag_agent",
    "create_rag_chain": _AGENTS + "rag.rag_chain",
    "create_tool_agent": _AGENTS + "tool_agent",
    "load_mcp_tools": _AGENTS + "mcp",
    "read_answer": _AGENTS + "rag.rag_agent",
    "search_tool": _AGENTS + "rag.rag_agent",
}
_NEED_LANGCHAIN = {_AGENTS + name for name in ("middleware", "rag.rag_agent", "tool_agent")}

__all__ = [
    "BudgetExceededError",
    "BudgetGuard",
    "Citation",
    "ContextGuard",
    "InvalidCallGuard",
    "LoopGuard",
    "RagAnswer",
    "RagAnswerChunk",
    "RagChain",
    "ToolResultGuard",
    "agent_as_tool",
    "create_rag_agent",
    "create_rag_chain",
    "create_tool_agent",
    "load_mcp_tools",
    "read_answer",
    "search_tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    if home in _NEED_LANGCHAIN:
        for package in ("langgraph", "langchain"):
            require(package, "agents")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
