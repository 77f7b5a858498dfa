"""A knowledge base of the local endpoint: any LangChain vector store, searched as Bedrock searches."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.local.runtime.frames import invalid

if TYPE_CHECKING:
    from langchain_core.vectorstores import VectorStore

    from llama_bedrock.retrievers.filters import Filter
    from llama_bedrock.retrievers.search.hybrid import HybridRetriever

Scored = tuple[Document, float | None]

_CHUNK_ID = "x-amz-bedrock-kb-chunk-id"
_SOURCE_URI = "x-amz-bedrock-kb-source-uri"
_OVERFETCH = 4


@refuses_wrong_kinds
@dataclass(slots=True)
class LocalKnowledgeBase:
    """A vector store served as a knowledge base.

    Attributes:
        store: Any LangChain vector store. Hybrid search needs a `FAISSStore`.
        data_source: Gives the documents of its data source when an ingestion job runs; None if it has none.
        split: Splits ingested documents; None keeps them whole.
    """

    store: VectorStore
    data_source: Callable[[], Iterable[Document]] | None = None
    split: Callable[[list[Document]], list[Document]] | None = None
    _hybrid: HybridRetriever | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def search(self, query: str, k: int, condition: Filter | None, *, hybrid: bool = False) -> list[Scored]:
        """The best k documents that satisfy the condition, best first, with their scores if there are any.

        Raises:
            ServiceError: Hybrid search of a store that has none.
        """
        if hybrid:
            return self._search_hybrid(query, k, condition)
        if condition is None:
            return self._search_store(query, k)
        if _is_faiss(self.store):
            return self._search_store(query, k, filter=condition)
        return self._search_and_filter(query, k, condition)

    def _search_store(self, query: str, k: int, **options: Any) -> list[Scored]:
        try:
            return list(self.store.similarity_search_with_relevance_scores(query, k, **options))
        except NotImplementedError:  # a store without scores in [0, 1]
            return [(document, None) for document in self.store.similarity_search(query, k, **options)]

    def _search_and_filter(self, query: str, k: int, condition: Filter) -> list[Scored]:
        """Stores have filters of their own: search deeper until k documents satisfy ours, or all are seen."""
        depth = k
        while True:
            found = self._search_store(query, depth)
            matching = [pair for pair in found if condition.matches(pair[0].metadata)]
            if len(matching) >= k or len(found) < depth:
                return matching[:k]
            depth *= _OVERFETCH

    def _search_hybrid(self, query: str, k: int, condition: Filter | None) -> list[Scored]:
        if not _is_faiss(self.store):
            raise invalid(
                "HYBRID search type is not supported for the vector store of this knowledge base. "
                "Use SEMANTIC."
            )
        from llama_bedrock.retrievers.search.hybrid import HybridRetriever

        with self._lock:
            if self._hybrid is None:
                self._hybrid = HybridRetriever(store=self.store)
        found = self._hybrid.invoke(query, k=k, filter=condition)
        return [(_without(document, _HYBRID_SCORES), document.metadata["score"]) for document in found]


_HYBRID_SCORES = frozenset({"score", "dense_score", "lexical_score"})


def as_knowledge_base(value: VectorStore | LocalKnowledgeBase) -> LocalKnowledgeBase:
    """A knowledge base from what a user gives for one."""
    return value if isinstance(value, LocalKnowledgeBase) else LocalKnowledgeBase(value)


def to_result(document: Document, score: float | None) -> dict[str, Any]:
    """A document in the shape of Retrieve's results."""
    source = document.metadata.get("source")
    metadata = {key: json_value(value) for key, value in document.metadata.items() if value is not None}
    if document.id is not None:
        metadata[_CHUNK_ID] = document.id
    if source is not None:
        metadata[_SOURCE_URI] = str(source)
    result: dict[str, Any] = {
        "content": {"type": "TEXT", "text": document.page_content},
        "location": location_of(str(source if source is not None else document.id or "unknown")),
        "metadata": metadata,
    }
    if score is not None and math.isfinite(score):
        result["score"] = float(score)
    if "document_id" in document.metadata:
        result["documentId"] = str(document.metadata["document_id"])
    return result


def location_of(source: str) -> dict[str, Any]:
    """The location that a source means: S3, web, or the id of a custom document."""
    if source.startswith("s3://"):
        return {"type": "S3", "s3Location": {"uri": source}}
    if source.startswith(("http://", "https://")):
        return {"type": "WEB", "webLocation": {"url": source}}
    return {"type": "CUSTOM", "customDocumentLocation": {"id": source}}


def json_value(value: Any) -> Any:
    """A metadata value as JSON can carry it: what it cannot becomes text."""
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [json_value(item) for item in value]
    return str(value)


def _is_faiss(store: VectorStore) -> bool:
    """Asked without importing faiss: where its module was never imported there is no such store."""
    module = sys.modules.get("llama_bedrock.retrievers.store.faiss_store")
    return module is not None and isinstance(store, module.FAISSStore)


def _without(document: Document, keys: frozenset[str]) -> Document:
    metadata = {key: value for key, value in document.metadata.items() if key not in keys}
    return Document(page_content=document.page_content, metadata=metadata, id=document.id)
