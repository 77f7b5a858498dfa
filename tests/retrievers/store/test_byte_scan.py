"""What is found by bytes is what a scan of all vectors finds, to the last bit, or nothing."""

import threading

import numpy as np
import pytest

from llama_bedrock.retrievers.store import byte_scan
from llama_bedrock.retrievers.store.vector_index import IndexSettings, VectorIndex, normalised

COUNT = 4_096
SETTINGS = IndexSettings(kind="flat")


def random(count, dimension=48, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)


def around_a_mean():
    return random(COUNT) + 3


def with_copies():
    vectors = random(COUNT)
    vectors[::7] = vectors[::7][:40].repeat(15, axis=0)[: len(vectors[::7])]
    return vectors


def of_few_numbers():
    return np.sign(random(COUNT))


def with_one_great_number():
    vectors = random(COUNT) * 0.01
    vectors[:, 5] += 1
    return vectors


def of_words():
    """Most numbers are 0, as in counts of words."""
    vectors = random(COUNT, 64)
    vectors[np.abs(vectors) < 2] = 0
    vectors[:, 0] += 0.01
    return vectors


DATA = [lambda: random(COUNT), around_a_mean, with_copies, of_few_numbers, with_one_great_number, of_words]


@pytest.fixture(autouse=True)
def _is_fast(monkeypatch):
    """On any processor: what is slow there is right all the same."""
    monkeypatch.setattr(byte_scan, "_is_fast", lambda: True)


def filled(vectors, **settings):
    index = VectorIndex(vectors.shape[1], IndexSettings(kind="flat", **settings))
    index.add(vectors)
    return index


def searched(index, queries, k):
    """One query after the other, with bytes and without."""
    ours = [index.search(query[None], k, None) for query in queries]
    theirs = [index._index.search(query[None], k) for query in queries]
    return ours, theirs


def prepared(index):
    index._bytes._searches = byte_scan._SEARCHES
    index.search(random(1, index.dimension), 1, None)
    assert index._bytes._rounded is not None


@pytest.mark.parametrize("make", DATA)
@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
@pytest.mark.parametrize("k", [1, 10, 50])
def test_it_finds_what_a_scan_of_all_finds(make, metric, k):
    vectors = make()
    queries = np.concatenate([random(30, vectors.shape[1], 1), vectors[::200], -vectors[:3]])
    if metric == "cosine":
        vectors, queries = normalised(vectors), normalised(queries)
    index = filled(vectors, metric=metric)
    prepared(index)
    for (scores, slots), (all_scores, all_slots) in zip(*searched(index, queries, k), strict=True):
        assert np.array_equal(scores, all_scores)
        assert np.array_equal(slots, all_slots)


def test_most_searches_of_random_vectors_need_no_scan_of_all():
    index = filled(normalised(random(COUNT)))
    prepared(index)
    queries = normalised(random(50, seed=2))
    found = [index._bytes.search(index._index, query[None], 10) for query in queries]
    assert sum(pair is not None for pair in found) >= 48


def test_what_the_bound_does_not_prove_is_not_answered():
    """Vectors as near to each other as what rounding loses: the best by their bytes are not the nearest."""
    vectors = normalised(random(1, 48) + random(COUNT) * 0.002)
    index = filled(vectors)
    prepared(index)
    query = normalised(random(1, 48) + random(1, seed=3) * 0.002)
    scan, rounded = index._bytes, index._bytes._rounded
    assert scan.search(index._index, query, 10) is None
    rounded._error = rounded._length = -1.0  # with no bound, the test below would fail
    _, wrong = scan.search(index._index, query, 10)
    assert not np.array_equal(wrong, index._index.search(query, 10)[1])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_some_queries_at_once(count):
    index = filled(normalised(random(COUNT)))
    prepared(index)
    queries = normalised(random(count, seed=4))
    scores, slots = index._bytes.search(index._index, queries, 5)
    assert scores.shape == slots.shape == (count, 5)
    assert np.array_equal(slots, index._index.search(queries, 5)[1])


def test_vectors_of_the_greatest_whole_numbers_do_not_overflow():
    vectors = np.where(random(COUNT, 1024) > 0, np.float32(1), np.float32(-1))
    vectors[77] = 1
    index = filled(vectors, metric="inner_product")
    prepared(index)
    scores, slots = index._bytes.search(index._index, np.ones((1, 1024), np.float32), 1)
    assert (scores.item(), slots.item()) == (1024, 77)


def test_a_vector_that_is_added_is_found_and_one_that_is_taken_back_is_not():
    vectors, query = normalised(random(COUNT)), normalised(random(1, seed=5))
    index = filled(vectors)
    prepared(index)
    index.add(query)
    prepared(index)
    assert index.search(query, 1, None)[1].item() == COUNT
    index.truncate(COUNT)
    prepared(index)
    assert np.array_equal(index.search(query, 9, None)[1], index._index.search(query, 9)[1])


def test_bytes_are_made_after_some_searches_only():
    index = filled(normalised(random(COUNT)))
    for query in normalised(random(byte_scan._SEARCHES, seed=6)):
        index.search(query[None], 3, None)
        assert index._bytes._rounded is None
    index.search(query[None], 3, None)
    assert index._bytes._rounded is not None


@pytest.mark.parametrize(
    ("count", "settings"),
    [(COUNT, {"metric": "l2"}), (COUNT, {"storage": "fp16"}), (1_000, {}), (COUNT, {"k": 300})],
)
def test_others_are_compared_one_by_one(count, settings):
    k = settings.pop("k", 3)
    index = filled(random(count), **settings)
    for query in random(byte_scan._SEARCHES + 5):
        index.search(query[None], k, None)
    assert index._bytes._rounded is None


def test_zeros_are_compared_one_by_one():
    index = filled(np.zeros((COUNT, 8), np.float32))
    prepared(index)
    assert index.search(random(1, 8), 3, None)[0].tolist() == [[0, 0, 0]]
    index = filled(normalised(random(COUNT)))
    prepared(index)
    prepared(index)
    assert index.search(np.zeros((1, 48), np.float32), 3, None)[0].tolist() == [[0, 0, 0]]


def test_threads_that_come_together():
    index = filled(normalised(random(COUNT)))
    queries = normalised(random(400, seed=7))
    expected = [index._index.search(query[None], 5)[1].tolist() for query in queries]
    found = [None] * len(queries)

    def search(first):
        for number in range(first, len(queries), 4):
            found[number] = index.search(queries[number][None], 5, None)[1].tolist()

    threads = [threading.Thread(target=search, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
    assert index._bytes._rounded is not None
