"""What faiss_bench.py measures of one store, in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from faiss_systems import SYSTEMS, Precomputed
from langchain_core.documents import Document

K = 10
BUCKETS = 1000
SHARES = {"0.1 %": 1, "1 %": 10, "10 %": 100, "50 %": 500}
"""Selectivity of a filter, and how many of the thousand buckets it takes."""


def measure(
    system: str, corpus: np.ndarray, queries: np.ndarray, folder: Path, budget: float
) -> dict[str, Any]:
    """Build, save, open and search one store.

    Args:
        system: Its name in SYSTEMS.
        corpus: The vectors, of unit length, one per row.
        queries: Query vectors.
        folder: Where to save it.
        budget: Seconds that one measurement may take: slow stores answer fewer queries.
    """
    store, embedding = SYSTEMS[system](), Precomputed(corpus)
    buckets = np.random.default_rng(1).integers(0, BUCKETS, len(corpus))
    documents = [_document(n, int(bucket)) for n, bucket in enumerate(buckets)]
    _import(system)
    gc.collect()
    before = _own_memory()
    facts: dict[str, Any] = {"build_s": _seconds(lambda: store.build(documents, embedding))}
    gc.collect()
    facts["memory_of_vectors"] = (_own_memory() - before) / corpus.nbytes
    facts["save_s"] = _seconds(lambda: store.save(folder))
    facts["load_s"] = min(_seconds(lambda: store.load(folder, embedding)) for _ in range(3))
    vectors = queries.tolist()
    exact = _exact(corpus, queries, None)
    gc.collect()
    gc.freeze()  # or p99 would be that of Python's collector, going through the benchmark's own documents
    facts["single"] = _latency(lambda n: store.search(vectors[n], K), len(vectors), budget)
    facts["recall"] = _recall(lambda n: store.search(vectors[n], K), exact, budget)
    facts["batch_ms"] = {str(size): _batches(store, queries, vectors, size, budget) for size in (32, 256)}
    facts["async_1"] = asyncio.run(_clients(store, vectors, 1, budget))
    facts["async_64"] = asyncio.run(_clients(store, vectors, 64, budget))
    facts["filters"] = _filters(store, corpus, queries, buckets, budget)
    victims = itertools.count()  # a store may refuse to delete what is gone
    try:
        facts["delete_ms"] = _latency(lambda _: store.delete([f"id-{next(victims)}"]), 50, budget)["p50_ms"]
    except RuntimeError:  # community's store cannot delete from a graph
        facts["delete_ms"] = None
    return facts


def measure_opened(system: str, corpus: np.ndarray, queries: np.ndarray, folder: Path) -> dict[str, Any]:
    """Open a saved store in a fresh process, and search it: time, and memory that is not shared."""
    store, embedding = SYSTEMS[system](), Precomputed(corpus[:0].reshape(0, corpus.shape[1]))
    _import(system)
    gc.collect()
    before = _own_memory()
    seconds = _seconds(lambda: store.load(folder, embedding))
    first = _seconds(lambda: store.search(queries[0].tolist(), K))
    for query in queries[:20]:
        store.search(query.tolist(), K)
    gc.collect()
    own = (_own_memory() - before) / corpus.nbytes
    return {"open_s": seconds, "first_query_ms": first * 1e3, "own_memory_of_vectors": own}


def _own_memory() -> int:
    """Resident memory without the pages of files, which processes share."""
    info = psutil.Process().memory_info()
    return info.rss - getattr(info, "shared", 0)


def _import(system: str) -> None:
    """Imports are no part of building or opening a store."""
    import faiss  # noqa: F401

    if system.startswith("FAISSStore"):
        import llama_bedrock.retrievers.store.faiss_store  # noqa: F401
    elif system.startswith("community"):
        import langchain_community.vectorstores.faiss  # noqa: F401


def _document(number: int, bucket: int) -> Document:
    metadata = {"bucket": bucket, "source": f"folder/{number // 20}.md", "page": number % 20, "lang": "en"}
    text = f"{number} " + "where the text of a passage of usual length would stand " * 7
    return Document(page_content=text, metadata=metadata, id=f"id-{number}")


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _latency(call: Callable[[int], object], count: int, budget: float) -> dict[str, float]:
    """p50 and p99 of calls with 0 … count-1, as many as the budget of seconds allows (but 5)."""
    call(0)
    times: list[float] = []
    end = time.perf_counter() + budget
    for number in range(count):
        times.append(_seconds(lambda number=number: call(number)) * 1e3)
        if time.perf_counter() > end and len(times) >= 5:
            break
    p99 = float(np.percentile(times, 99))
    return {
        "p50_ms": statistics.median(times),
        "p99_ms": p99,
        "qps": 1e3 * len(times) / sum(times),
        "calls": len(times),
    }


def _exact(corpus: np.ndarray, queries: np.ndarray, allowed: np.ndarray | None) -> list[set[int]]:
    nearest = []
    rows = np.arange(len(corpus)) if allowed is None else np.flatnonzero(allowed)
    vectors = corpus if allowed is None else corpus[rows]
    for query in queries:
        scores = vectors @ query
        best = np.argpartition(-scores, min(K, len(rows) - 1))[:K]
        nearest.append({int(row) for row in rows[best]})
    return nearest


def _recall(call: Callable[[int], list[Document]], exact: list[set[int]], budget: float) -> float:
    shares, end = [], time.perf_counter() + budget
    for number, expected in enumerate(exact):
        found = {int(document.page_content.split(" ", 1)[0]) for document in call(number)}
        shares.append(len(found & expected) / len(expected))
        if time.perf_counter() > end:
            break
    return statistics.mean(shares)


def _batches(store: Any, queries: np.ndarray, vectors: list[list[float]], size: int, budget: float) -> float:
    """Milliseconds a query, in batches; one by one where the store knows no batches."""
    if not store.batches:
        return _latency(lambda n: store.search(vectors[n % len(vectors)], K), size, budget)["p50_ms"]
    embedding = Precomputed(queries)
    store.store._contents.embedding = embedding
    texts = [f"{n % len(queries)} " for n in range(size)]
    return _latency(lambda _: store.batch(texts, K), 10, budget)["p50_ms"] / size


async def _clients(store: Any, vectors: list[list[float]], clients: int, budget: float) -> dict[str, float]:
    """Clients that each ask one query after the other, in one event loop."""
    times: list[float] = []
    start = time.perf_counter()

    async def client(first: int) -> None:
        for number in range(30):
            asked = time.perf_counter()
            await store.asearch(vectors[(first * 31 + number) % len(vectors)], K)
            times.append((time.perf_counter() - asked) * 1e3)
            if time.perf_counter() - start > budget:
                break

    await store.asearch(vectors[0], K)
    start = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    took = time.perf_counter() - start
    return {
        "p50_ms": statistics.median(times),
        "p99_ms": float(np.percentile(times, 99)),
        "qps": len(times) / took,
    }


def _filters(
    store: Any, corpus: np.ndarray, queries: np.ndarray, buckets: np.ndarray, budget: float
) -> dict[str, dict[str, float]]:
    results = {}
    for name, width in SHARES.items():
        allowed = (buckets >= 100) & (buckets < 100 + width)
        exact = _exact(corpus, queries[:50], allowed)
        repeated = _filter(store, 100, width)
        if hasattr(store, "fetch_k"):
            store.fetch_k = 20
            with_default = statistics.mean(len(store.search(q.tolist(), K, repeated)) for q in queries[:5])
            store.fetch_k = len(corpus)  # so that k documents come back, as from the others
        else:
            with_default = float(K)
        again = _latency(lambda n, f=repeated: store.search(queries[n].tolist(), K, f), len(queries), budget)
        new = _latency(
            lambda n, w=width: store.search(queries[n].tolist(), K, _filter(store, n % (BUCKETS - w), w)),
            50,
            budget,
        )
        found = statistics.mean(len(store.search(q.tolist(), K, repeated)) for q in queries[:5])
        results[name] = {
            "p50_ms": again["p50_ms"],
            "p99_ms": again["p99_ms"],
            "new_filter_p50_ms": new["p50_ms"],
            "found": found,
            "found_by_default": with_default,
            "recall": _recall(lambda n, f=repeated: store.search(queries[n].tolist(), K, f), exact, budget),
        }
    return results


def _filter(store: Any, first: int, width: int) -> Any:
    if store.filters_as == "function":
        return lambda document: first <= document.metadata["bucket"] < first + width
    if width == 1:
        return {"bucket": first}
    return {"$and": [{"bucket": {"$gte": first}}, {"bucket": {"$lt": first + width}}]}
