"""Codes of vectors name the candidates: what is found, however hard the vectors, the filter or the dimension."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock.retrievers.filters import gte
from llama_bedrock.retrievers.store import fast_scan, vector_index
from llama_bedrock.retrievers.store.faiss_store import FAISSStore
from llama_bedrock.retrievers.store.vector_index import VectorIndex

pytestmark = pytest.mark.slow

Make = Callable[..., FAISSStore]


class NoEmbedding(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("not needed")

    def embed_query(self, text: str) -> list[float]:
        raise AssertionError("not needed")


def noise(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Directions without any structure that codes could use: the hardest case."""
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def filled(vectors: np.ndarray, **settings: Any) -> FAISSStore:
    documents = [Document(page_content="", id=str(n), metadata={"n": n}) for n in range(len(vectors))]
    return FAISSStore.from_documents(documents, NoEmbedding(), vectors=vectors, kind="fastscan", **settings)


def scores(vectors: np.ndarray, query: np.ndarray, metric: str) -> np.ndarray:
    """Greater is nearer."""
    if metric == "l2":
        return -np.linalg.norm(vectors - query, axis=1)
    if metric == "cosine":
        return vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    return vectors @ query


def recall(
    store: FAISSStore,
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int = 10,
    allowed: np.ndarray | None = None,
    filter_: Any = None,
) -> float:
    shares = []
    for query in queries:
        all_scores = scores(vectors, query, store.metric)
        if allowed is not None:
            all_scores = np.where(allowed, all_scores, -np.inf)
        expected = {str(n) for n in np.argsort(-all_scores)[:k]}
        found = [d.id for d in store.similarity_search_by_vector(query, k=k, filter=filter_)]
        assert len(set(found)) == k
        shares.append(len(expected & set(found)) / k)
    return float(np.mean(shares))


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
@pytest.mark.parametrize("dimension", [3, 64, 129, 257, pytest.param(1536, marks=pytest.mark.slow)])
def test_the_nearest_are_found_in_noise_of_any_dimension(metric: Any, dimension: int) -> None:
    vectors, queries = noise(3000, dimension), noise(20, dimension, seed=1)
    store = filled(vectors, metric=metric)
    assert store.kind == "fastscan"
    assert recall(store, vectors, queries) > 0.97


@pytest.mark.parametrize(
    ("mean", "metric"), [(0.0, faiss.METRIC_INNER_PRODUCT), (1.0, faiss.METRIC_L2), (4.0, faiss.METRIC_L2)]
)
def test_codes_are_compared_as_suits_the_vectors(mean: float, metric: int, tmp_path: Path) -> None:
    """Embeddings often share a large mean, which an inner product with their codes does not see through."""
    vectors, queries = noise(6000, 128) + mean, noise(20, 128, seed=1) + mean
    filled(vectors).save(tmp_path)
    store = FAISSStore.load(tmp_path, NoEmbedding())
    index = store._contents.collection.index
    assert index is not None
    assert faiss.downcast_index(index._index.base_index).metric_type == metric
    assert recall(store, vectors, queries) > 0.97


@pytest.mark.parametrize("k", [1, 100, 1000, 2999])
def test_any_number_can_be_asked_for(k: int) -> None:
    vectors = noise(3000, 48)
    assert recall(filled(vectors), vectors, noise(5, 48, seed=1), k) > 0.97


def test_more_candidates_find_more() -> None:
    vectors, queries = noise(8000, 384), noise(30, 384, seed=1)
    few = recall(filled(vectors, candidates=10), vectors, queries)
    many = recall(filled(vectors, candidates=2000), vectors, queries)
    assert few < 0.9 < 0.99 < many


def test_scores_are_those_of_the_vectors_and_not_of_the_codes() -> None:
    vectors, query = noise(2000, 32), noise(1, 32, seed=1)[0]
    exact = scores(vectors, query, "cosine")
    for document, score in filled(vectors).similarity_search_with_score_by_vector(query, k=20):
        assert score == pytest.approx(exact[document.metadata["n"]], abs=1e-5)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_filter_finds_the_nearest_that_match(share: float) -> None:
    vectors = noise(12_000, 32)
    store = filled(vectors, candidates=64)
    first = int(len(vectors) * (1 - share))
    allowed = np.arange(len(vectors)) >= first
    found = recall(store, vectors, noise(20, 32, seed=1), 5, allowed, gte("n", first))
    assert found > 0.97


def test_a_filter_that_excludes_what_is_near_is_answered_exactly() -> None:
    """Half of the documents match, and none of them is anywhere near the query: no candidate matches."""
    near, far = noise(6000, 32) * 0.1 + 1, noise(6000, 32) * 0.1 - 1
    vectors = np.vstack([near, far]).astype(np.float32)
    store = filled(vectors)
    allowed = np.arange(len(vectors)) >= 6000
    assert recall(store, vectors, noise(10, 32, seed=1) * 0.1 + 1, 10, allowed, gte("n", 6000)) == 1.0


def test_filtered_batches_answer_as_single_queries_do(make_store: Make) -> None:
    store = make_store(3000, kind="fastscan", candidates=64)
    queries = [f"text {n}" for n in range(0, 3000, 100)]
    batches = store.similarity_search_batch(queries, k=3, filter={"parity": "even"})
    for query, found in zip(queries, batches, strict=True):
        single = store.similarity_search(query, k=3, filter={"parity": "even"})
        assert [d.id for d, _ in found] == [d.id for d in single]
        assert found[0][0].page_content == query


def test_few_dead_slots_are_dropped_and_many_are_compacted() -> None:
    vectors, queries = noise(4000, 32), noise(10, 32, seed=1)
    store = filled(vectors)
    alive = np.ones(len(vectors), bool)
    for query in queries:  # the nearest ones go, so that dead slots are what is found first
        gone = [d.metadata["n"] for d in store.similarity_search_by_vector(query, k=60)]
        alive[gone] = False
        store.delete([str(n) for n in gone])
        assert recall(store, vectors, queries, 10, alive) > 0.97
    index = store._contents.collection.index
    assert index is not None
    assert alive.sum() <= len(index) < 4000


@pytest.mark.parametrize("filter_", [None, gte("n", 600)])
def test_what_is_being_added_is_not_found_yet(filter_: Any) -> None:
    vectors, query = noise(3000, 32), noise(1, 32, seed=1)[0]
    store = filled(vectors, candidates=64)
    before = store.similarity_search_by_vector(query, k=5, filter=filter_)
    index = store._contents.collection.index
    assert index is not None
    index.add(np.tile(query, (40, 1)))  # as a change does that is not committed yet
    assert store.similarity_search_by_vector(query, k=5, filter=filter_) == before


@pytest.mark.parametrize(
    ("dimension", "fine", "coarse"),
    [
        (8, 8, 8),
        (100, 100, 100),
        (129, 43, 43),
        (257, 257, 257),
        (384, 192, 96),
        (1024, 512, 256),
        (3070, 1535, 614),
    ],
)
def test_groups_divide_the_dimension(dimension: int, fine: int, coarse: int) -> None:
    assert fast_scan.groups(dimension, 100_000) == fine
    assert fast_scan.groups(dimension, 1_000_000) == coarse


def test_a_new_store_learns_its_codes_once_of_all_documents(
    monkeypatch: pytest.MonkeyPatch, embedding: Any
) -> None:
    from llama_bedrock.retrievers.store import faiss_store

    monkeypatch.setattr(faiss_store, "ADDED_AT_ONCE", 600)
    texts = [f"text {number}" for number in range(1800)]
    store = FAISSStore.from_texts(texts, embedding, kind="fastscan")
    [part] = store._contents.collection.parts
    assert part.index is not None
    assert (part.index.structure.kind, part.index.structure.trained_on) == ("fastscan", 1800)
    store.add_texts([f"later {number}" for number in range(10)])
    for text in ("text 0", "text 1799", "later 5"):
        assert store.similarity_search(text, k=1)[0].page_content == text


def test_a_graph_saved_by_auto_before_it_knew_codes_is_read_and_replaced_by_the_next_change(
    make_store: Make, embedding: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(vector_index, "FLAT_LIMIT", 1000)
    make_store(1500, kind="hnsw").save(tmp_path)
    [manifest] = tmp_path.glob("generation-*/manifest.json")
    facts = json.loads(manifest.read_text())
    facts["settings"] = {
        name: "auto" if name == "kind" else value
        for name, value in facts["settings"].items()
        if name != "candidates"
    }
    manifest.write_text(json.dumps(facts))
    pointer = json.loads((tmp_path / "CURRENT").read_text())
    pointer["sha256"] = hashlib.sha256(manifest.read_bytes()).hexdigest()
    (tmp_path / "CURRENT").write_text(json.dumps(pointer))
    store = FAISSStore.load(tmp_path, embedding)
    assert store.kind == "hnsw"
    assert store.similarity_search("text 77", k=1)[0].id == "77"
    store.delete(["3"])
    assert store.kind == "fastscan"
    assert store.similarity_search("text 77", k=1)[0].id == "77"
    assert len(store) == 1499


def test_the_file_holds_codes_and_vectors_and_is_mapped(make_store: Make, tmp_path: Path) -> None:
    make_store(2000, kind="fastscan").save(tmp_path)
    [path] = tmp_path.glob("generation-*/vectors.faiss")
    saved = faiss.read_index(str(path))
    assert type(faiss.downcast_index(saved.base_index)) is faiss.IndexPQFastScan
    assert saved.refine_index.ntotal == saved.ntotal == 2000
    assert 2000 * 16 * 4 < path.stat().st_size < 2000 * 16 * 4 * 1.2
    store = FAISSStore.load(tmp_path, NoEmbedding(), embedding_id="seeded-v1(size=16)", verify=False)
    index = store._contents.collection.index
    assert isinstance(index, VectorIndex)
