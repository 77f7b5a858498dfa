"""The stores that faiss_bench.py compares, each behind the calls of `System`.

A system is named in SYSTEMS and imports only its own package, so it can run in an interpreter of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

LISTED = 500_000
"""Up to how many vectors lists of floats are handed out; a million of them take 12 GB."""


class Precomputed(Embeddings):
    """Vectors that are known already, handed out as lists of floats, as every embedding model does."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.size = vectors.shape[1]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        rows = self.vectors[[int(text.split(" ", 1)[0]) for text in texts]]
        return list(rows) if len(self.vectors) > LISTED else rows.tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.vectors[int(text.split(" ", 1)[0])].tolist()


class System(Protocol):
    """A store under test."""

    filters_as: str
    """``dict`` (Mongo-like) or ``function`` of a document."""
    batches: bool
    """Whether several queries can be asked in one call."""

    def build(self, documents: list[Document], embedding: Embeddings) -> None:
        """Make the store, through the interface that users call."""

    def save(self, folder: Path) -> None:
        """Write it."""

    def load(self, folder: Path, embedding: Embeddings) -> None:
        """Open what was written."""

    def search(self, vector: list[float], k: int, filter_: Any = None) -> list[Document]:
        """The k nearest documents."""

    async def asearch(self, vector: list[float], k: int) -> list[Document]:
        """The same, awaited."""

    def delete(self, ids: list[str]) -> None:
        """Delete documents that exist."""


class Ours:
    """FAISSStore, with its defaults or another kind of index."""

    filters_as = "dict"
    batches = True

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def build(self, documents: list[Document], embedding: Embeddings) -> None:
        from llama_bedrock.retrievers import FAISSStore

        self.store = FAISSStore.from_documents(documents, embedding, **self.settings)

    def save(self, folder: Path) -> None:
        self.store.save(folder)

    def load(self, folder: Path, embedding: Embeddings) -> None:
        from llama_bedrock.retrievers import FAISSStore

        self.store = FAISSStore.load(folder, embedding)

    def search(self, vector: list[float], k: int, filter_: Any = None) -> list[Document]:
        return self.store.similarity_search_by_vector(vector, k=k, filter=filter_)

    async def asearch(self, vector: list[float], k: int) -> list[Document]:
        return await self.store.asimilarity_search_by_vector(vector, k=k)

    def batch(self, texts: list[str], k: int) -> None:
        self.store.similarity_search_batch(texts, k=k)

    def delete(self, ids: list[str]) -> None:
        self.store.delete(ids)


class Community:
    """langchain-community's FAISS, with its default (flat) index."""

    filters_as = "dict"
    batches = False

    def __init__(self, graph: bool = False) -> None:
        self.graph = graph
        self.fetch_k = 20

    def build(self, documents: list[Document], embedding: Embeddings) -> None:
        from langchain_community.vectorstores import FAISS

        if not self.graph:
            self.store = FAISS.from_documents(documents, embedding)
            return
        import faiss
        from langchain_community.docstore.in_memory import InMemoryDocstore

        index = faiss.IndexHNSWFlat(len(embedding.embed_query("0")), 32)
        index.hnsw.efSearch = 128
        self.store = FAISS(embedding, index, InMemoryDocstore(), {})
        self.store.add_documents(documents)

    def save(self, folder: Path) -> None:
        self.store.save_local(str(folder))

    def load(self, folder: Path, embedding: Embeddings) -> None:
        from langchain_community.vectorstores import FAISS

        # Written by this benchmark a moment ago.
        self.store = FAISS.load_local(str(folder), embedding, allow_dangerous_deserialization=True)

    def search(self, vector: list[float], k: int, filter_: Any = None) -> list[Document]:
        return self.store.similarity_search_by_vector(vector, k=k, filter=filter_, fetch_k=self.fetch_k)

    async def asearch(self, vector: list[float], k: int) -> list[Document]:
        return await self.store.asimilarity_search_by_vector(vector, k=k)

    def delete(self, ids: list[str]) -> None:
        self.store.delete(ids)


class InMemory:
    """langchain-core's InMemoryVectorStore."""

    filters_as = "function"
    batches = False

    def build(self, documents: list[Document], embedding: Embeddings) -> None:
        from langchain_core.vectorstores import InMemoryVectorStore

        self.embedding = embedding
        self.store = InMemoryVectorStore.from_documents(documents, embedding)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store.dump(str(folder / "store.json"))

    def load(self, folder: Path, embedding: Embeddings) -> None:
        from langchain_core.vectorstores import InMemoryVectorStore

        self.store = InMemoryVectorStore.load(str(folder / "store.json"), embedding)

    def search(self, vector: list[float], k: int, filter_: Any = None) -> list[Document]:
        found = self.store.similarity_search_with_score_by_vector(vector, k=k, filter=filter_)
        return [document for document, _ in found]

    async def asearch(self, vector: list[float], k: int) -> list[Document]:
        return await self.store.asimilarity_search_by_vector(vector, k=k)

    def delete(self, ids: list[str]) -> None:
        self.store.delete(ids)


SYSTEMS: dict[str, Any] = {
    "FAISSStore auto": lambda: Ours(),
    "FAISSStore flat": lambda: Ours(kind="flat"),
    "FAISSStore hnsw": lambda: Ours(kind="hnsw"),
    "FAISSStore hnsw sq8": lambda: Ours(kind="hnsw", storage="sq8"),
    "community FAISS flat": lambda: Community(),
    "community FAISS hnsw": lambda: Community(graph=True),
    "InMemoryVectorStore": lambda: InMemory(),
}
PACKAGE = {
    "FAISSStore": "llama_bedrock",
    "community": "langchain_community",
    "InMemoryVectorStore": "langchain_core",
}


def package_of(system: str) -> str:
    """The package a system needs."""
    return PACKAGE[system.split(" ")[0]]
