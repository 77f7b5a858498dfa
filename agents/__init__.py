"""RAG chains with verified citations, and tool-using agents, on LangChain and LangGraph."""

if __name__ != "llama_bedrock.agents":
    raise ImportError("import this package as llama_bedrock.agents, not as a top-level module")

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_bedrock.agents.rag_chain import RagChain, create_rag_chain
    from llama_bedrock.retrievers.answer import Citation, RagAnswer, RagAnswerChunk

# Each name is imported when it is first used: create_rag_chain needs no more than langchain-core.
_HOME = {
    "Citation": "llama_bedrock.retrievers.answer",
    "RagAnswer": "llama_bedrock.retrievers.answer",
    "RagAnswerChunk": "llama_bedrock.retrievers.answer",
    "RagChain": "llama_bedrock.agents.rag_chain",
    "create_rag_chain": "llama_bedrock.agents.rag_chain",
}

__all__ = ["Citation", "RagAnswer", "RagAnswerChunk", "RagChain", "create_rag_chain"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
