"""Codes that two cores scan: the answers of one scan of all, whatever happens to the second thread."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_bedrock.retrievers.store import faiss_threads, split_scan
from llama_bedrock.retrievers.store.vector_index import IndexSettings, Structure, VectorIndex, normalised

COUNT, DIMENSION = 6_011, 32


@pytest.fixture(autouse=True)
def _second_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_scan, "_LEAST", 5_000)
    monkeypatch.setattr(split_scan, "_PER_CANDIDATE", 2)
    monkeypatch.setattr(split_scan, "cores", lambda: 2)
    monkeypatch.setattr(split_scan, "_SEARCHES", 0)
    monkeypatch.setattr(split_scan, "searches_alone", lambda: True)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)


def filled(vectors: np.ndarray, **settings: Any) -> VectorIndex:
    given = IndexSettings(kind="fastscan", **settings)
    first = VectorIndex(DIMENSION, given, Structure("flat", "float32"))
    first.add(vectors)
    return first.rebuilt(np.ones(len(vectors), bool), given.structure(len(vectors)))


def nearest(index: VectorIndex, query: np.ndarray, k: int = 10) -> tuple[list[int], list[float]]:
    scores, slots = index.search(query[None], k, None)
    return slots[0].tolist(), scores[0].tolist()


def all_nearest(index: VectorIndex, queries: np.ndarray, k: int = 10) -> list[tuple[list[int], list[float]]]:
    return [nearest(index, query, k) for query in queries]


def in_noise(vectors: np.ndarray) -> np.ndarray:
    return vectors


def around_a_mean(vectors: np.ndarray) -> np.ndarray:
    return vectors + 2


def in_order(vectors: np.ndarray) -> np.ndarray:
    """What is near a query lies in one half."""
    vectors[:, 0] = np.linspace(-8, 8, len(vectors))
    return vectors


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
@pytest.mark.parametrize("kind", [in_noise, around_a_mean, in_order])
def test_answers_are_those_of_one_scan(metric: Any, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = kind(noise(COUNT)), kind(noise(40, 1))
    if metric == "cosine":
        vectors, queries = normalised(vectors), normalised(queries)
    index = filled(vectors, metric=metric)
    split = [all_nearest(index, queries, k) for k in (1, 10, 100)]
    assert len(index._split._halves) == 2
    monkeypatch.setattr(split_scan, "_LEAST", 10**9)
    assert split == [all_nearest(index, queries, k) for k in (1, 10, 100)]


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_copies_come_in_the_order_of_one_scan(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    half, queries = noise(COUNT // 2), noise(20, 1)
    if metric == "cosine":
        half, queries = normalised(half), normalised(queries)
    index = filled(np.concatenate([half, half]), metric=metric)
    split = all_nearest(index, queries, 12)
    monkeypatch.setattr(split_scan, "_LEAST", 10**9)
    assert split == all_nearest(index, queries, 12)
    slots = np.array([slots for slots, _ in split]) % len(half)
    assert (slots[:, ::2] == slots[:, 1::2]).all()


@pytest.mark.parametrize("storage", ["fp16", "sq8"])
def test_vectors_that_are_stored_in_another_way_are_scanned_at_once(storage: Any) -> None:
    index = filled(noise(COUNT), storage=storage)
    nearest(index, noise(1, 1)[0])
    assert not index._split._halves


def test_what_is_added_is_found() -> None:
    index = filled(noise(COUNT), metric="inner_product")
    query = noise(1, 1)[0]
    before, _ = nearest(index, query)
    index.add(np.stack([query * 5, query * 4]))
    assert nearest(index, query)[0] == [COUNT, COUNT + 1, *before[:8]]
    assert len(index._split._halves) == 2
    index.add(noise(3_000, 2))
    assert nearest(index, query)[0][:2] == [COUNT, COUNT + 1]


def test_the_codes_outlive_their_halves_and_the_halves_their_index() -> None:
    index, queries = filled(noise(COUNT)), noise(20, 1)
    expected = all_nearest(index, queries)
    for _ in range(20):
        index._split = split_scan.SplitScan()
        assert all_nearest(index, queries) == expected
    halves = index._split._halves
    candidates = halves[1].search(queries[:1], 50, 50)
    del index
    again = halves[1].search(queries[:1], 50, 50)
    assert [a.tolist() for a in candidates] == [b.tolist() for b in again]


def test_other_searches_keep_a_search_in_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_scan, "searches_alone", faiss_threads.searches_alone)
    index, query = filled(noise(COUNT)), noise(1, 1)[0]
    found: list[Any] = []

    def other(part: np.ndarray) -> tuple[Any, Any]:
        found.append(nearest(index, query))
        return part, part

    faiss_threads.search_in_parts(other, query[None])
    [expected] = found
    assert not index._split._halves
    monkeypatch.setattr(faiss_threads, "_APART", 1_000.0)
    assert nearest(index, query) == expected
    assert not index._split._halves
    monkeypatch.setattr(faiss_threads, "_APART", 0.0)
    assert nearest(index, query) == nearest(index, query) == expected
    assert index._split._halves


def test_codes_are_copied_once_they_were_searched_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_scan, "_SEARCHES", 3)
    index, query = filled(noise(COUNT)), noise(1, 1)[0]
    for _ in range(2):
        for number in range(4):
            assert not index._split._halves
            nearest(index, query)
            assert bool(index._split._halves) == (number == 3)
        index.add(noise(1, 2))


def test_threads_that_search_at_once_find_the_same() -> None:
    index, queries = filled(noise(COUNT)), noise(60, 1)
    expected = all_nearest(index, queries)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(all_nearest(index, queries))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 6


def test_one_core_scans_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    index, query = filled(noise(COUNT)), noise(1, 1)[0]
    expected = nearest(index, query)
    assert index._split._halves
    index._split = split_scan.SplitScan()
    monkeypatch.setattr(split_scan, "cores", lambda: 1)
    assert nearest(index, query) == expected
    assert not index._split._halves


def test_what_the_second_thread_has_not_begun_is_done_by_the_first() -> None:
    begun = threading.Event()
    held = threading.Event()
    faiss_threads._second_thread().put(lambda: (begun.set(), held.wait(60)))
    assert begun.wait(60)
    here = threading.get_ident
    try:
        assert faiss_threads.in_two_threads(here, here) == (here(), here())
    finally:
        held.set()
    mine, other = faiss_threads.in_two_threads(lambda: (time.sleep(1), here())[1], here)
    assert mine == here() != other


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_either_thread_is_that_of_the_search(failing: int) -> None:
    def fail() -> int:
        raise RuntimeError("no memory")

    work = [lambda: 1, lambda: 2]
    work[failing] = fail
    with pytest.raises(RuntimeError, match="no memory"):
        faiss_threads.in_two_threads(work[0], work[1])
    assert faiss_threads.in_two_threads(lambda: 1, lambda: 2) == (1, 2)


@pytest.mark.parametrize("size", [1e-38, 1e19, 1e38])
def test_numbers_of_any_size_are_told_as_by_one_scan(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    index, query = filled(noise(COUNT), metric="inner_product"), noise(1, 1)[0] * np.float32(size)
    split = nearest(index, query)
    monkeypatch.setattr(split_scan, "_LEAST", 10**9)
    assert split == nearest(index, query)


def test_without_a_thread_the_search_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(faiss_threads, "_queues", {})
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert faiss_threads.in_two_threads(lambda: 1, lambda: 2) == (1, 2)
    assert not faiss_threads._queues


def test_searches_that_begin_at_once_share_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_threads, "_queues", {})
    together = threading.Barrier(8)

    def begin() -> None:
        together.wait(60)
        found.append(faiss_threads._second_thread())

    found: list[Any] = []
    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


FORKED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_split_scan import *
split_scan._LEAST, split_scan._PER_CANDIDATE, split_scan.cores = 5_000, 2, lambda: 2
split_scan.searches_alone, split_scan._SEARCHES = lambda: True, 0
index, queries = filled(noise(COUNT)), noise(60, 1)
expected = all_nearest(index, queries)
assert index._split._halves
child = os.fork()
assert all_nearest(index, queries) == expected
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_process_has_a_second_thread_of_its_own() -> None:
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, here], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
