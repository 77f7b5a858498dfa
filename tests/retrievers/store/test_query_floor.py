"""What a query costs beside FAISS's own scan of the same vectors; run by `make floors`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from llama_bedrock.retrievers import FAISSStore

pytestmark = [pytest.mark.floor, pytest.mark.timeout(600)]

COUNT, DIMENSION, K = 16_000, 384, 10


def vectors(count: int, seed: int) -> Any:
    made = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def cpu_seconds(search: Callable[[Any], object], queries: Any) -> float:
    took = []
    for query in queries:
        started = time.thread_time()
        search(query)
        took.append(time.thread_time() - started)
    return statistics.median(took)


def test_a_query_of_a_flat_store_takes_less_than_a_scan_of_all_its_vectors() -> None:
    """Documents and all: .6 was measured where the scan alone had taken most of it before (1.2)."""
    given, queries = vectors(COUNT, 1), vectors(200, 2)
    documents = [Document(f"text {number}", id=str(number)) for number in range(COUNT)]
    embedding = DeterministicFakeEmbedding(size=DIMENSION)
    store = FAISSStore.from_documents(documents, embedding, vectors=given, kind="flat")
    scan = faiss.IndexFlatIP(DIMENSION)
    scan.add(given)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        ratios = []
        for _ in range(5):
            theirs = cpu_seconds(lambda query: scan.search(query[None], K), queries)
            ours = cpu_seconds(lambda query: store.similarity_search_by_vector(query, k=K), queries)
            ratios.append(ours / theirs)
    finally:
        faiss.omp_set_num_threads(before)
    assert min(ratios[1:]) < 0.9, ratios
