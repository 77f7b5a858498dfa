"""Local FAISS retrieval and Amazon Bedrock Knowledge Bases, for LangChain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_bedrock._lazy_names import lazy_names

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
    from llama_bedrock.retrievers.indexing.migrate_postgres import migrate_to_postgres
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
    "migrate_to_postgres",
    "migrate_to_qdrant",
    "parse_filter",
    "split_documents",
    "split_with_parents",
]

# Public name → module. Imported when first used: numpy and faiss are heavy.
_HOMES = {
    ".documents.load": ["FileProblem", "load_documents"],
    ".documents.split": ["split_documents"],
    ".embeddings.bounded": ["BoundedEmbeddings"],
    ".embeddings.cached": ["CachedEmbeddings"],
    ".embeddings.default_embeddings": ["default_embeddings"],
    ".embeddings.lsa": ["LSAEmbeddings"],
    ".filters": ["Filter", "parse_filter"],
    ".indexing.index_folder": ["IndexReport", "index_folder"],
    ".indexing.migrate": ["migrate_to_qdrant"],
    ".indexing.migrate_postgres": ["migrate_to_postgres"],
    ".knowledge_base.ingestor": ["KnowledgeBaseIngestor"],
    ".knowledge_base.question_answering": ["KnowledgeBaseQA"],
    ".knowledge_base.retriever": ["KnowledgeBaseRetriever"],
    ".search.hybrid": ["HybridRetriever"],
    ".search.multi_query": ["MultiQueryRetriever"],
    ".search.parent_document": ["ParentDocumentRetriever", "split_with_parents"],
    ".search.rerank": ["BedrockReranker", "RerankRetriever"],
    ".store.faiss_store": ["FAISSStore"],
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
