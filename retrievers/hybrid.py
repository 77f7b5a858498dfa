"""Hybrid retrieval: BM25 and vectors, fused."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, Field, PrivateAttr

from llama_bedrock.retrievers.fusion import Fusion, fuse
from llama_bedrock.retrievers.lexical import BM25Index, LexicalIndex


class HybridRetriever(BaseRetriever):
    """Finds documents by their words (BM25) and by their vectors, and fuses the two rankings.

    The documents returned carry ``score`` (fused), ``dense_score`` and ``lexical_score`` (``None`` where that side did not
    find them) in their metadata.

        retriever = HybridRetriever(store=store, k=4)
        retriever.invoke("What is the context window?", k=8, alpha=0.7, filter={"source": "guide.md"})

    Args:
        store: Where the vectors are: a FAISSStore, or any LangChain vector store (then give ``documents`` too).
        k: How many documents to return; per call: ``invoke(query, k=…)``.
        alpha: Weight of the dense side, 0 to 1; the lexical side has the rest. Per call too.
        fusion: ``"minmax"`` or ``"rrf"``. Per call too.
        filter: Metadata filter, as the store takes it. Per call too.
        candidates: How many documents each side brings; at least k. Per call too.
        documents: The texts for the lexical side, where the store cannot list its own. Each needs an ``id`` the store
            knows it by, or a text of its own.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: VectorStore
    k: int = Field(default=4, ge=1)
    alpha: float = Field(default=0.5, ge=0, le=1)
    fusion: Fusion = "minmax"
    filter: Any = None
    candidates: int = Field(default=100, ge=1)
    documents: Sequence[Document] | None = None

    _lexical: LexicalIndex | None = PrivateAttr(default=None)
    _texts: dict[str, Document] = PrivateAttr(default_factory=dict)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        call = self._call(kwargs)
        dense = self.store.similarity_search_with_score(query, k=call["candidates"], **call["dense"])
        return self._fused(query, dense, call)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        call = self._call(kwargs)
        dense = await self.store.asimilarity_search_with_score(query, k=call["candidates"], **call["dense"])
        return self._fused(query, dense, call)

    def _call(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        known = ("k", "alpha", "fusion", "filter", "candidates")
        unknown = set(kwargs) - set(known)
        if unknown:
            raise ValueError(
                f"unknown options for HybridRetriever: {sorted(unknown)}; it takes {', '.join(known)}"
            )
        call = {name: kwargs.get(name, getattr(self, name)) for name in known}
        if not isinstance(call["k"], int) or call["k"] < 1:
            raise ValueError(f"k must be a positive integer, got {call['k']!r}")
        if not 0 <= call["alpha"] <= 1:
            raise ValueError(f"alpha must be between 0 and 1, got {call['alpha']!r}")
        call["candidates"] = max(call["candidates"], call["k"])
        call["dense"] = {} if call["filter"] is None else {"filter": call["filter"]}
        return call

    def _fused(self, query: str, found: list[tuple[Document, float]], call: dict[str, Any]) -> list[Document]:
        documents = {_key(document): document for document, _ in found}
        dense = _as_similarities(found)
        allowed = None if call["filter"] is None else documents.keys()
        lexical = self._lexical_index().search(query, call["candidates"], allowed=allowed)
        ranked = fuse([dense, lexical], [call["alpha"], 1 - call["alpha"]], call["fusion"])
        return [
            self._result(documents.get(key) or self._texts[key], score, dense.get(key), lexical.get(key))
            for key, score in ranked[: call["k"]]
        ]

    @staticmethod
    def _result(document: Document, score: float, dense: float | None, lexical: float | None) -> Document:
        scores = {"score": score, "dense_score": dense, "lexical_score": lexical}
        return Document(
            page_content=document.page_content, id=document.id, metadata={**document.metadata, **scores}
        )

    def _lexical_index(self) -> LexicalIndex:
        with self._lock:
            if self._lexical is None:
                self._texts = {_key(document): document for document in self._all_documents()}
                lexical = BM25Index()
                lexical.add({key: document.page_content for key, document in self._texts.items()})
                self._lexical = lexical
            return self._lexical

    def _all_documents(self) -> Iterable[Document]:
        if self.documents is not None:
            return self.documents
        listing = getattr(self.store, "iter_documents", None)
        if listing is None:
            raise ValueError(
                f"{type(self.store).__name__} cannot list its documents: "
                "give them to HybridRetriever(documents=…) for the lexical side"
            )
        documents: Iterable[Document] = listing()
        return documents


def _key(document: Document) -> str:
    return document.id if document.id is not None else document.page_content


def _as_similarities(found: list[tuple[Document, float]]) -> dict[str, float]:
    """Scores where higher is better: stores that give distances list them in rising order."""
    sign = -1.0 if found and found[0][1] < found[-1][1] else 1.0
    scores: Mapping[str, float] = {_key(document): sign * float(score) for document, score in reversed(found)}
    return dict(scores)
