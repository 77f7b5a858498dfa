"""What a search returns: the true nearest, with filters, on every kind of index, sync and async."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document

from llama_bedrock.retrievers.filters import gte
from llama_bedrock.retrievers.store import vector_index
from llama_bedrock.retrievers.store.faiss_store import FAISSStore
from llama_bedrock.retrievers.store.vector_index import VectorIndex

Make = Callable[..., FAISSStore]


def clustered(count: int, dimension: int = 32, seed: int = 0) -> np.ndarray:
    """Unit vectors around 64 centres: as real embeddings, and unlike noise, they have near neighbours."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((64, dimension))
    vectors = centres[rng.integers(0, 64, count)] + 0.7 * rng.standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def filled(vectors: np.ndarray, **settings: Any) -> FAISSStore:
    documents = [Document(page_content="", id=str(n), metadata={"n": n}) for n in range(len(vectors))]
    return FAISSStore.from_documents(documents, NoEmbedding(), vectors=vectors, **settings)


class NoEmbedding:
    def embed_query(self, text: str) -> list[float]:
        raise AssertionError("not needed")


def nearest(vectors: np.ndarray, query: np.ndarray, allowed: np.ndarray, k: int) -> list[str]:
    scores = np.where(allowed, vectors @ query, -np.inf)
    return [str(n) for n in np.argsort(-scores, kind="stable")[:k]]


def test_scores_are_cosines_and_nearest_comes_first(make_store: Make, embedding: Any) -> None:
    store = make_store(20)
    found = store.similarity_search_with_score("text 7", k=20)
    query = np.array(embedding.embed_query("text 7"))
    for document, score in found:
        vector = np.array(embedding.embed_query(document.page_content))
        cosine = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
        assert score == pytest.approx(cosine, abs=1e-5)
    assert found[0][0].id == "7"
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_inner_products_and_distances(make_store: Make, embedding: Any) -> None:
    query = np.array(embedding.embed_query("text 1"))
    for document, score in make_store(9, metric="inner_product").similarity_search_with_score("text 1", k=9):
        assert score == pytest.approx(query @ embedding.embed_query(document.page_content), abs=1e-4)
    distances = make_store(9, metric="l2").similarity_search_with_score("text 1", k=9)
    assert distances[0][0].id == "1"
    for document, score in distances:
        expected = np.linalg.norm(query - embedding.embed_query(document.page_content))
        assert score == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_relevance_is_between_0_and_1_and_keeps_the_order(make_store: Make, metric: str) -> None:
    store = make_store(200, metric=metric)
    found = store.similarity_search_with_relevance_scores("text 5", k=200)
    relevances = [relevance for _, relevance in found]
    assert all(0 <= relevance <= 1 for relevance in relevances)
    assert relevances == sorted(relevances, reverse=True)
    assert [d.id for d, _ in found] == [d.id for d in store.similarity_search("text 5", k=200)]
    assert len({relevance for relevance in relevances if relevance > 0}) > 50


def test_a_text_of_unknown_words_has_relevance_0_and_no_nan() -> None:
    store = FAISSStore.from_texts(["the llama eats grass", "the camel drinks water"])
    found = store.similarity_search_with_relevance_scores("zzz", k=2)
    assert [relevance for _, relevance in found] == [0, 0]


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "flat"},
        {"kind": "fastscan"},
        pytest.param({"kind": "hnsw"}, marks=pytest.mark.slow),  # building the graphs
        {"storage": "fp16"},
    ],
)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
def test_k_documents_come_back_and_a_selective_filter_is_exact(settings: Any, share: float) -> None:
    vectors = clustered(8000)
    store = filled(vectors, **settings)
    limit = int(len(vectors) * share)
    allowed = np.random.default_rng(1).permutation(len(vectors)) < limit
    chosen = [int(n) for n in np.flatnonzero(allowed)]
    store.add_documents(  # the same vectors again, now marked
        [Document(page_content="", id=str(n), metadata={"n": n, "marked": True}) for n in chosen],
        vectors=vectors[chosen],
    )
    queries = clustered(20, seed=5)
    hits = 0
    for query in queries:
        found = [d.id for d in store.similarity_search_by_vector(query, k=8, filter={"marked": True})]
        assert len(found) == 8
        expected = nearest(vectors, query, allowed, 8)
        hits += len(set(found) & set(expected))
        if share <= 0.01 and "storage" not in settings:
            assert found == expected
    assert hits / (8 * len(queries)) > 0.95


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "flat", "storage": "float32"},
        {"kind": "flat", "storage": "fp16"},
        {"kind": "flat", "storage": "sq8"},
        {"kind": "fastscan", "storage": "float32"},
        {"kind": "fastscan", "storage": "fp16"},
        {"kind": "fastscan", "storage": "sq8"},
        {"kind": "hnsw", "storage": "float32"},
        {"kind": "hnsw", "storage": "fp16"},
        {"kind": "hnsw", "storage": "sq8"},
    ],
)
def test_recall_of_every_kind_and_storage(settings: Any) -> None:
    vectors = clustered(8000)
    store = filled(vectors, **settings)
    assert store.kind == settings["kind"]
    everything = np.ones(len(vectors), bool)
    hits = 0
    for query in clustered(50, seed=3):
        found = {d.id for d in store.similarity_search_by_vector(query, k=10)}
        hits += len(found & set(nearest(vectors, query, everything, 10)))
    assert hits / 500 > 0.9


def test_auto_scans_codes_as_it_grows_and_flat_again_as_it_shrinks(monkeypatch: Any) -> None:
    monkeypatch.setattr(vector_index, "FLAT_LIMIT", 1000)
    vectors = clustered(2500)
    store = filled(vectors[:900])
    assert store.kind == "flat"
    store.add_documents(
        [Document(page_content="", id=str(n), metadata={"n": n}) for n in range(900, 2500)],
        vectors=vectors[900:],
    )
    assert store.kind == "fastscan"
    query = clustered(1, seed=4)[0]
    assert (
        store.similarity_search_by_vector(query, k=1)[0].id
        == nearest(vectors, query, vectors[:, 0] < 9, 1)[0]
    )
    store.delete(filter=gte("n", 600))
    assert store.kind == "fastscan"  # half the limit is not reached yet, in dead slots it is compacted
    store.delete(filter=gte("n", 400))
    assert store.kind == "flat"
    assert len(store) == 400
    assert len(store.similarity_search_by_vector(query, k=500)) == 400


@pytest.mark.parametrize("kind", ["flat", "fastscan", "hnsw"])
def test_deleted_documents_are_never_found_and_compaction_loses_nothing(kind: Any) -> None:
    vectors = clustered(6000)
    store = filled(vectors, kind=kind)
    rng = np.random.default_rng(2)
    alive = np.ones(len(vectors), bool)
    queries = clustered(5, seed=6)
    for _ in range(6):
        gone = rng.choice(np.flatnonzero(alive), 600, replace=False)
        alive[gone] = False
        store.delete([str(n) for n in gone])
        for query in queries:
            found = [d.id for d in store.similarity_search_by_vector(query, k=10)]
            assert len(found) == 10
            assert all(alive[int(n)] for n in found)
            assert len(set(found) & set(nearest(vectors, query, alive, 10))) >= 8
    collection = store._contents.collection
    assert collection.index is not None
    assert len(collection.index) < 6000  # the dead slots were dropped
    assert {d.metadata["n"] for d in store.documents()} == set(np.flatnonzero(alive).tolist())
    assert store.matching_ids({"n": {"$lt": 50}}) == {str(n) for n in np.flatnonzero(alive[:50])}


def test_every_document_can_be_asked_for(make_store: Make) -> None:
    store = make_store(300, kind="hnsw", ef_search=4)
    assert len(store.similarity_search("text 1", k=1000)) == 300
    store.delete([str(n) for n in range(50)])
    assert len(store.similarity_search("text 1", k=250)) == 250


def test_a_function_as_filter_is_called_with_each_metadata(make_store: Make) -> None:
    store = make_store(40)
    found = store.similarity_search("text 1", k=40, filter=lambda metadata: metadata["n"] % 10 == 3)
    assert {document.metadata["n"] for document in found} == {3, 13, 23, 33}


def test_filters_see_changes(make_store: Make) -> None:
    store = make_store(10)
    assert len(store.similarity_search("x", k=9, filter={"parity": "odd"})) == 5
    store.add_documents([Document(page_content="new", id="new", metadata={"parity": "odd"})])
    assert len(store.similarity_search("x", k=9, filter={"parity": "odd"})) == 6
    store.delete(["1", "3"])
    assert len(store.similarity_search("x", k=9, filter={"parity": "odd"})) == 4
    store.add_documents([Document(page_content="text 5", id="5", metadata={"parity": "neither"})])
    assert len(store.similarity_search("x", k=9, filter={"parity": "odd"})) == 3


def test_mmr_prefers_unlike_documents() -> None:
    vectors = np.array([[1, 0], [0.999, 0.01], [0.998, 0.02], [0.6, 0.8]], np.float32)
    store = filled(vectors)
    query = [1.0, 0.0]
    nearest_first = [d.id for d in store.max_marginal_relevance_search_by_vector(query, k=2, lambda_mult=1.0)]
    diverse = [d.id for d in store.max_marginal_relevance_search_by_vector(query, k=2, lambda_mult=0.1)]
    assert nearest_first == ["0", "1"]
    assert diverse == ["0", "3"]
    only = [d.id for d in store.max_marginal_relevance_search_by_vector(query, k=3, filter={"n": {"$lt": 2}})]
    assert sorted(only) == ["0", "1"]
    with pytest.raises(ValueError, match="lambda_mult"):
        store.max_marginal_relevance_search_by_vector(query, lambda_mult=2)


async def test_sync_and_async_give_the_same(make_store: Make) -> None:
    store = make_store(60)
    for filter_ in (None, {"parity": "even"}, lambda metadata: metadata["n"] < 9):
        arguments: dict[str, Any] = {"k": 7, "filter": filter_}
        assert store.similarity_search("text 8", **arguments) == await store.asimilarity_search(
            "text 8", **arguments
        )
        assert store.similarity_search_with_score(
            "a", **arguments
        ) == await store.asimilarity_search_with_score("a", **arguments)
        assert store.max_marginal_relevance_search(
            "a", **arguments
        ) == await store.amax_marginal_relevance_search("a", **arguments)
    relevant = store.similarity_search_with_relevance_scores("b", k=3, score_threshold=0.1)
    assert relevant == await store.asimilarity_search_with_relevance_scores("b", k=3, score_threshold=0.1)
    assert await store.aget_by_ids(["3", "x", "1"]) == store.get_by_ids(["3", "x", "1"])


async def test_concurrent_searches_become_batches_and_each_gets_its_own_answer(make_store: Make) -> None:
    store = make_store(200)
    sizes: list[int] = []
    search = store._contents.collection.search

    def counting(queries: Any, k: int, filter_: Any) -> Any:
        sizes.append(len(queries))
        return search(queries, k, filter_)

    store._contents.queue._search = counting
    answers = await asyncio.gather(
        *(
            store.asimilarity_search(f"text {n}", k=1 + n % 2, filter={"n": n} if n % 5 == 0 else None)
            for n in range(100)
        )
    )
    for n, found in enumerate(answers):
        assert found[0].id == str(n)
        assert len(found) == (1 if n % 5 == 0 else 1 + n % 2)
    assert sum(sizes) == 100
    assert max(sizes) > 10


async def test_a_search_that_fails_tells_its_caller_only(make_store: Make) -> None:
    store = make_store(10)
    good, bad, unknown = await asyncio.gather(
        store.asimilarity_search("text 1", k=1),
        store.asimilarity_search_by_vector([1.0, 2.0], k=1),
        store.asimilarity_search("text 1", filter={"n": {"$near": 1}}),
        return_exceptions=True,
    )
    assert isinstance(good, list)
    assert isinstance(bad, ValueError)
    assert "2 dimensions" in str(bad)
    assert isinstance(unknown, ValueError)
    assert (await store.asimilarity_search("text 2", k=1))[0].id == "2"


async def test_the_event_loop_runs_on_while_a_search_takes_long(make_store: Make) -> None:
    store = make_store(10)
    release = threading.Event()
    search = store._contents.collection.search

    def slow(*arguments: Any) -> Any:
        assert release.wait(10)
        return search(*arguments)

    store._contents.queue._search = slow
    waiting = asyncio.create_task(store.asimilarity_search("text 1", k=1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    release.set()
    assert (await waiting)[0].id == "1"


async def test_a_cancelled_search_disturbs_nobody(make_store: Make) -> None:
    store = make_store(50)
    tasks = [asyncio.create_task(store.asimilarity_search(f"text {n}", k=1)) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [found[0].id for found in results[1::2]] == [str(n) for n in range(1, 20, 2)]  # type: ignore[index]


def test_searches_in_many_threads_during_changes(make_store: Make, embedding: Any) -> None:
    store = make_store(400)
    errors: list[BaseException] = []
    stop = threading.Event()

    def search() -> None:
        try:
            while not stop.is_set():
                found = store.similarity_search("text 7", k=5, filter={"n": {"$lt": 400}})
                assert len(found) == 5
                assert len(store.similarity_search("text 7", k=3)) == 3
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(400, 900, 25):
        ids = [str(m) for m in range(n, n + 25)]
        store.add_texts([f"text {m}" for m in ids], [{"n": int(m)} for m in ids], ids=ids)
        store.delete(ids[::2])
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(store) == 400 + 20 * 12


def test_openmp_and_blas_settings_of_the_caller_are_left_alone(make_store: Make) -> None:
    store = make_store(100)
    faiss.omp_set_num_threads(2)
    before = faiss.cvar.distance_compute_blas_threshold
    store.similarity_search("text 1")
    store.similarity_search_batch([f"text {n}" for n in range(40)])
    assert faiss.omp_get_max_threads() == 2
    assert faiss.cvar.distance_compute_blas_threshold == before


def test_a_batch_answers_as_single_queries_do(make_store: Make) -> None:
    store = make_store(500)
    queries = [f"text {n}" for n in range(0, 500, 9)]
    for query, found in zip(queries, store.similarity_search_batch(queries, k=3), strict=True):
        single = store.similarity_search_with_score(query, k=3)
        assert [d.id for d, _ in found] == [d.id for d, _ in single]
        assert [s for _, s in found] == pytest.approx([s for _, s in single], abs=1e-5)
    assert store.similarity_search_batch([]) == []


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda store: store.similarity_search("a", k=0), ValueError, "positive integer"),
        (lambda store: store.similarity_search("a", k=2.0), ValueError, "k=2.0: it takes a whole number"),
        (lambda store: store.similarity_search("a", filters={}), TypeError, "filters"),
        (lambda store: store.similarity_search_by_vector([1.0]), ValueError, "another embedding model"),
        (lambda store: store.similarity_search_by_vector([float("nan")] * 16), ValueError, "NaN"),
        (
            lambda store: store.similarity_search("a", filter="n = 1"),
            TypeError,
            "a filter is a Filter, a dict or None",
        ),
        (lambda store: FAISSStore(kind="tree"), ValueError, "kind=.tree.: it takes one of .auto."),
        (lambda store: FAISSStore(metric="cos"), ValueError, "metric=.cos.: it takes one of .cosine."),
        (lambda store: FAISSStore(ef_search=0), ValueError, "ef_search"),
        (lambda store: FAISSStore(candidates="many"), ValueError, "candidates"),
        (lambda store: store.delete(["1"], filter={"n": 1}), ValueError, "or neither for all"),
        (lambda store: store.delete(["1"], id="1"), TypeError, "id"),
        (lambda store: store.vectors(["nobody"]), KeyError, "nobody"),
    ],
)
def test_mistakes_are_named(make_store: Make, call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(make_store(5))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["flat", "fastscan", "hnsw"])
def test_a_forked_process_searches_and_changes_a_store_of_its_own(make_store: Make, kind: Any) -> None:
    count = 1200 if kind == "fastscan" else 300
    store = make_store(count, kind=kind)
    assert store.kind == kind
    texts = [f"text {n}" for n in range(64)]
    store.similarity_search_batch(texts)
    asyncio.run(
        store.asimilarity_search("text 1")
    )  # there are worker threads now, which a fork does not copy
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(20)
            assert [found[0][0].id for found in store.similarity_search_batch(texts, k=1)] == [
                str(n) for n in range(64)
            ]
            assert asyncio.run(store.asimilarity_search("text 7", k=1))[0].id == "7"
            store.add_texts(["new"], ids=["new"])
            assert store.similarity_search("new", k=1)[0].id == "new"
            assert len(list(store.documents())) == count + 1
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(store.documents())) == len(store) == count
    store.add_texts(["mine"], ids=["mine"])
    assert store.similarity_search("mine", k=1)[0].id == "mine"


@pytest.mark.parametrize("kind", ["fastscan"])
def test_cells_and_codes_are_learnt_again_only_when_the_store_has_grown_or_shrunk_much(
    monkeypatch: Any, kind: Any
) -> None:
    vectors = clustered(6000)
    store = filled(vectors, kind=kind)
    rebuilt = VectorIndex.rebuilt
    calls: list[int] = []

    def counting(self: VectorIndex, *arguments: Any) -> VectorIndex:
        calls.append(len(self))
        return rebuilt(self, *arguments)

    monkeypatch.setattr(VectorIndex, "rebuilt", counting)
    for n in range(20):
        store.delete([str(n)])
    assert calls == []
    added = clustered(18_100, seed=8)
    store.add_documents([Document(page_content="") for _ in added], vectors=added)
    assert calls == [6000 + 18_100]
    assert store.kind == kind
