"""Stores with known vectors: the embedding of a text is looked up or derived from it, never learned."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock.retrievers.store.faiss_store import FAISSStore


class SeededEmbeddings(Embeddings):
    """A random direction for every text, the same in every process; ``fail_on`` makes it raise."""

    def __init__(self, size: int = 16, model: str = "seeded-v1") -> None:
        self.size = size
        self.model = model
        self.fail_on: str | None = None
        self.batches: list[int] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(len(texts))
        if self.fail_on in texts:
            raise ConnectionError("the embedding service is down")
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.size).tolist()


@pytest.fixture
def embedding() -> SeededEmbeddings:
    return SeededEmbeddings()


@pytest.fixture
def new_embedding() -> Callable[..., SeededEmbeddings]:
    return SeededEmbeddings


@pytest.fixture
def make_store(embedding: SeededEmbeddings) -> Callable[..., FAISSStore]:
    """A store of n documents "text 0" … with ids "0" … and a few metadata fields."""

    def make(count: int, **settings: Any) -> FAISSStore:
        documents = [
            Document(
                page_content=f"text {n}",
                id=str(n),
                metadata={"n": n, "parity": "odd" if n % 2 else "even", "tags": [f"t{n % 3}", "all"]},
            )
            for n in range(count)
        ]
        return FAISSStore.from_documents(documents, embedding, **settings)

    return make
