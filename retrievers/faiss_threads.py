"""FAISS's two process-wide speed settings, set around a call and put back after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from llama_bedrock._extras import require

_BLAS_BATCH = 8
"""From this many queries on, one matrix product is faster than as many scans."""
_PROCESS = os.getpid()
_blas_lock = threading.Lock()
_blas_users = 0
_blas_default = 0


@contextmanager
def openmp_threads(count: int) -> Iterator[None]:
    """Run FAISS with this many OpenMP threads, in this thread only (OpenMP keeps the number per thread).

    One query on a flat index is 2.2 times slower with two threads than with one: starting them costs more
    than they save. A batch or a build gains. A forked child gets one: there, GNU's OpenMP would wait for ever
    for the threads of its parent.
    """
    faiss = require("faiss", "local")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count if os.getpid() == _PROCESS else 1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def blas_for_small_batches(queries: int, dimension: int) -> Iterator[None]:
    """Let a batch use BLAS: FAISS's own threshold (queries × dimension ≥ 128,000) is far too high for it.

    With 32 queries on 100,000 × 384, a query falls from 3.3 to 0.8 ms. The threshold is global, so the first
    batch to come lowers it and the last to leave restores it.
    """
    if queries < _BLAS_BATCH:
        yield
        return
    global _blas_users, _blas_default
    cvar = require("faiss", "local").cvar
    with _blas_lock:
        if _blas_users == 0:
            _blas_default = cvar.distance_compute_blas_threshold
            # Older versions compare with the number of queries and are content with 20.
            cvar.distance_compute_blas_threshold = min(_blas_default, _BLAS_BATCH * dimension)
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                cvar.distance_compute_blas_threshold = _blas_default
