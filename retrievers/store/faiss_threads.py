"""Threads and FAISS's process-wide speed settings, chosen for a call and put back after it."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue
from time import perf_counter
from typing import TypeVar

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats, Slots, np
from llama_bedrock.retrievers.cores import cores
from llama_bedrock.retrievers.process_setting import ProcessSetting

faiss = require("faiss", "local")

Found = TypeVar("Found")
BLAS_BATCH = 8
"""From this many queries on, one matrix product is faster than as many scans."""
_PROCESS = os.getpid()
_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}
_queues: dict[int, SimpleQueue[Callable[[], object]]] = {}
_setting = ProcessSetting()
_APART = 0.25
"""Seconds without two searches at once that tell that there are not several threads that search."""
_searches: list[None] = []
"""One for each that runs now."""
_company = -math.inf
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_searches.clear)


@contextmanager
def openmp_threads(count: int) -> Iterator[None]:
    """Run FAISS with this many OpenMP threads, in this thread only (OpenMP keeps the number per thread).

    Builds gain by all cores. One query on a flat index is 2.2 times slower with two threads than with one:
    starting them costs more than they save. A forked child gets one: there, GNU's OpenMP would wait for ever
    for the threads of its parent.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count if os.getpid() == _PROCESS else 1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def search_in_parts(
    search: Callable[[Floats], tuple[Floats, Slots]], queries: Floats
) -> tuple[Floats, Slots]:
    """Search for many queries, a part of them in each core, with no thread waiting for another.

    OpenMP's own threads meet after every block of vectors, and spin until the last one comes: on a machine
    with other work, that made a batch 6 times slower than one thread is.
    """
    global _company
    _searches.append(None)
    if len(_searches) > 1:
        _company = perf_counter()
    try:
        return _search_in_parts(search, queries)
    finally:
        _searches.pop()


def _search_in_parts(
    search: Callable[[Floats], tuple[Floats, Slots]], queries: Floats
) -> tuple[Floats, Slots]:
    if len(queries) < BLAS_BATCH:
        return _search_alone(search, queries)
    parts = min(cores(), len(queries) // BLAS_BATCH)
    with blas_for_small_batches(len(queries), queries.shape[1]):
        if parts < 2:
            return _search_alone(search, queries)
        first, *others = np.array_split(queries, parts)
        futures = [_pool().submit(_search_alone, search, other) for other in others]
        found = [_search_alone(search, first), *(future.result() for future in futures)]
        return np.concatenate([scores for scores, _ in found]), np.concatenate([slots for _, slots in found])


def _search_alone(search: Callable[[Floats], tuple[Floats, Slots]], queries: Floats) -> tuple[Floats, Slots]:
    with openmp_threads(1):
        return search(queries)


def searches_alone() -> bool:
    """Whether this search, and those before it, had the cores to themselves."""
    return len(_searches) == 1 and perf_counter() - _company > _APART


def in_two_threads(first: Callable[[], Found], second: Callable[[], Found]) -> tuple[Found, Found]:
    """Two short pieces of work with FAISS, the second in a thread that waits for it.

    To hand it over takes 15 to 50 µs (an executor takes 150), or milliseconds where the other core sleeps or
    has other work: what that thread has not begun when the first piece is done is done here.
    """
    answers: SimpleQueue[Found | BaseException] = SimpleQueue()
    unclaimed = threading.Lock()

    def serve() -> None:
        if unclaimed.acquire(blocking=False):
            answers.put(_answer(second))

    try:
        _second_thread().put(serve)
    except RuntimeError:  # no thread can start any more
        return first(), second()
    try:
        found = first()
    finally:
        is_here = unclaimed.acquire(blocking=False)
        answer = None if is_here else answers.get()  # who changes the index must find nobody reading it
    if isinstance(answer, BaseException):
        raise answer
    return found, second() if is_here else answer  # type: ignore[return-value]


def _answer(work: Callable[[], Found]) -> Found | BaseException:
    try:
        return work()
    except BaseException as error:  # noqa: BLE001  # handed to the one who waits
        return error


def _second_thread() -> SimpleQueue[Callable[[], object]]:
    """What gives work to the thread; that of a parent is not there after a fork."""
    if (known := _queues.get(os.getpid())) is not None:
        return known
    with _lock:
        if os.getpid() not in _queues:
            queue: SimpleQueue[Callable[[], object]] = SimpleQueue()
            threading.Thread(target=_serve, args=(queue,), name="faiss-second", daemon=True).start()
            _queues.clear()
            _queues[os.getpid()] = queue
        return _queues[os.getpid()]


def _serve(queue: SimpleQueue[Callable[[], object]]) -> None:
    faiss.omp_set_num_threads(1)
    while True:
        queue.get()()


def _pool() -> ThreadPoolExecutor:
    """The threads of this process; those of a parent are not there after a fork."""
    with _lock:
        if os.getpid() not in _pools:
            _pools.clear()
            _pools[os.getpid()] = ThreadPoolExecutor(cores(), thread_name_prefix="faiss-batch")
        return _pools[os.getpid()]


def blas_for_small_batches(queries: int, dimension: int) -> AbstractContextManager[None]:
    """Let a batch use BLAS: FAISS's own threshold (queries × dimension ≥ 128,000) is far too high for it.

    With 32 queries on 100,000 × 384, a query falls from 6.1 to 1.0 ms. The threshold is global, so the first
    batch to come lowers it and the last to leave restores it.
    """
    return _setting.made_by(lambda: _lower_threshold(dimension))


def _lower_threshold(dimension: int) -> Callable[[], None]:
    before = faiss.cvar.distance_compute_blas_threshold
    # Older versions compare with the number of queries and are content with 20.
    faiss.cvar.distance_compute_blas_threshold = min(before, BLAS_BATCH * dimension)

    def put_back() -> None:
        faiss.cvar.distance_compute_blas_threshold = before

    return put_back
