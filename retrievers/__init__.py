"""Local FAISS retrieval and Amazon Bedrock Knowledge Bases, for LangChain."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "llama_bedrock.retrievers":
    raise ImportError("import this package as llama_bedrock.retrievers, not as a top-level module")

if TYPE_CHECKING:
    from llama_bedrock.retrievers.bounded_embeddings import BoundedEmbeddings
    from llama_bedrock.retrievers.documents import FileProblem, load_documents
    from llama_bedrock.retrievers.embeddings import LSAEmbeddings, default_embeddings
    from llama_bedrock.retrievers.faiss_store import FAISSStore
    from llama_bedrock.retrievers.filters import Filter, parse_filter
    from llama_bedrock.retrievers.hybrid import HybridRetriever
    from llama_bedrock.retrievers.indexing import IndexReport, index_folder
    from llama_bedrock.retrievers.kb_ingest import KnowledgeBaseIngestor
    from llama_bedrock.retrievers.knowledge_base import KnowledgeBaseRetriever
    from llama_bedrock.retrievers.knowledge_base_qa import KnowledgeBaseQA
    from llama_bedrock.retrievers.migrate import migrate_to_qdrant
    from llama_bedrock.retrievers.multi_query import MultiQueryRetriever
    from llama_bedrock.retrievers.parent_document import ParentDocumentRetriever, split_with_parents
    from llama_bedrock.retrievers.rerank import BedrockReranker, RerankRetriever
    from llama_bedrock.retrievers.splitting import split_documents

__all__ = [
    "BedrockReranker",
    "BoundedEmbeddings",
    "FAISSStore",
    "FileProblem",
    "Filter",
    "HybridRetriever",
    "IndexReport",
    "KnowledgeBaseIngestor",
    "KnowledgeBaseQA",
    "KnowledgeBaseRetriever",
    "LSAEmbeddings",
    "MultiQueryRetriever",
    "ParentDocumentRetriever",
    "RerankRetriever",
    "default_embeddings",
    "index_folder",
    "load_documents",
    "migrate_to_qdrant",
    "parse_filter",
    "split_documents",
    "split_with_parents",
]

# Public name → module. Imported when first used: numpy, faiss and scikit-learn are heavy.
_MODULES = {
    "BedrockReranker": "rerank",
    "BoundedEmbeddings": "bounded_embeddings",
    "FAISSStore": "faiss_store",
    "FileProblem": "documents",
    "Filter": "filters",
    "HybridRetriever": "hybrid",
    "IndexReport": "indexing",
    "KnowledgeBaseIngestor": "kb_ingest",
    "KnowledgeBaseQA": "knowledge_base_qa",
    "KnowledgeBaseRetriever": "knowledge_base",
    "LSAEmbeddings": "embeddings",
    "MultiQueryRetriever": "multi_query",
    "ParentDocumentRetriever": "parent_document",
    "RerankRetriever": "rerank",
    "default_embeddings": "embeddings",
    "index_folder": "indexing",
    "load_documents": "documents",
    "migrate_to_qdrant": "migrate",
    "parse_filter": "filters",
    "split_documents": "splitting",
    "split_with_parents": "parent_document",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
