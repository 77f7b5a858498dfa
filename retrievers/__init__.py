"""Local FAISS retrieval and Amazon Bedrock Knowledge Bases, for LangChain."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "llama_bedrock.retrievers":
    raise ImportError("import this package as llama_bedrock.retrievers, not as a top-level module")

if TYPE_CHECKING:
    from llama_bedrock.retrievers.documents.load import FileProblem, load_documents
    from llama_bedrock.retrievers.documents.split import split_documents
    from llama_bedrock.retrievers.embeddings.bounded import BoundedEmbeddings
    from llama_bedrock.retrievers.embeddings.cached import CachedEmbeddings
    from llama_bedrock.retrievers.embeddings.default_embeddings import default_embeddings
    from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings
    from llama_bedrock.retrievers.filters import Filter, parse_filter
    from llama_bedrock.retrievers.indexing.index_folder import IndexReport, index_folder
    from llama_bedrock.retrievers.indexing.migrate import migrate_to_qdrant
    from llama_bedrock.retrievers.knowledge_base.ingestor import KnowledgeBaseIngestor
    from llama_bedrock.retrievers.knowledge_base.question_answering import KnowledgeBaseQA
    from llama_bedrock.retrievers.knowledge_base.retriever import KnowledgeBaseRetriever
    from llama_bedrock.retrievers.search.hybrid import HybridRetriever
    from llama_bedrock.retrievers.search.multi_query import MultiQueryRetriever
    from llama_bedrock.retrievers.search.parent_document import ParentDocumentRetriever, split_with_parents
    from llama_bedrock.retrievers.search.rerank import BedrockReranker, RerankRetriever
    from llama_bedrock.retrievers.store.faiss_store import FAISSStore

__all__ = [
    "BedrockReranker",
    "BoundedEmbeddings",
    "CachedEmbeddings",
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
    "BedrockReranker": "search.rerank",
    "BoundedEmbeddings": "embeddings.bounded",
    "CachedEmbeddings": "embeddings.cached",
    "FAISSStore": "store.faiss_store",
    "FileProblem": "documents.load",
    "Filter": "filters",
    "HybridRetriever": "search.hybrid",
    "IndexReport": "indexing.index_folder",
    "KnowledgeBaseIngestor": "knowledge_base.ingestor",
    "KnowledgeBaseQA": "knowledge_base.question_answering",
    "KnowledgeBaseRetriever": "knowledge_base.retriever",
    "LSAEmbeddings": "embeddings.lsa",
    "MultiQueryRetriever": "search.multi_query",
    "ParentDocumentRetriever": "search.parent_document",
    "RerankRetriever": "search.rerank",
    "default_embeddings": "embeddings.default_embeddings",
    "index_folder": "indexing.index_folder",
    "load_documents": "documents.load",
    "migrate_to_qdrant": "indexing.migrate",
    "parse_filter": "filters",
    "split_documents": "documents.split",
    "split_with_parents": "search.parent_document",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
