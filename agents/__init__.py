"""RAG chains with verified citations, and tool-using agents, on LangChain and LangGraph."""

if __name__ != "llama_bedrock.agents":
    raise ImportError("import this package as llama_bedrock.agents, not as a top-level module")

from typing import TYPE_CHECKING

from llama_bedrock._lazy_names import lazy_names

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
_HOMES = {
    ".mcp": ["load_mcp_tools"],
    ".middleware": [
        "BudgetExceededError",
        "BudgetGuard",
        "ContextGuard",
        "InvalidCallGuard",
        "LoopGuard",
        "ToolResultGuard",
    ],
    ".rag.rag_agent": ["create_rag_agent", "read_answer", "search_tool"],
    ".rag.rag_chain": ["RagChain", "create_rag_chain"],
    ".tool_agent": ["agent_as_tool", "create_tool_agent"],
    "llama_bedrock.grounding.answers": ["Citation", "RagAnswer", "RagAnswerChunk"],
}

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

__getattr__, __dir__ = lazy_names(
    __name__,
    _HOMES,
    dict.fromkeys([".middleware", ".rag.rag_agent", ".tool_agent"], ("agents", "langgraph", "langchain")),
)
