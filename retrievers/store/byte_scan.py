"""The exact nearest of vectors that are compared one by one, found by a byte for each number and proven.

A scan of all vectors takes the time in which memory gives them, so one of whole numbers from -127 to 127
takes a quarter of it. What rounding does to a product has a bound (Cauchy and Schwarz): with the rounded
query q' and vector x', |q·x - q'·x'| <= |q| |x - x'| + |q - q'| |x'|. The best by their bytes are compared
exactly, and where the bound leaves none of the others a chance, they are the nearest. Else every vector is
compared.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats, Slots, np

faiss = require("faiss", "local")

_SEARCHES = 50
"""Searches of the same vectors before their bytes are made: that takes as long as so many save."""
_LEAST, _FOR_EACH = 128, 4
"""Vectors compared exactly: at least so many, and so many for each that is wanted. With them, every search
was proven, among random vectors and those of LSA and MiniLM, for k from 4 to 100."""
_SHARE = 16
"""The others have to be so many times as many, or the bytes save nothing."""
_ROUNDED_AT_ONCE = 1_024
_GREATEST = 127


class ByteScan:
    """What is known of an index of float32 vectors that are compared by inner product.

    It is made anew when they change. Any number of threads may search.
    """

    def __init__(self) -> None:
        self._searches = 0
        self._lock = threading.Lock()
        self._rounded: _Rounded | None = None

    def search(self, exact: Any, queries: Floats, k: int) -> tuple[Floats, Slots] | None:
        """The k nearest of each query; None where that takes a scan of all vectors.

        Args:
            exact: The index.
            queries: A few, one a row.
            k: How many.
        """
        compared = max(_LEAST, _FOR_EACH * k)
        if compared * _SHARE > exact.ntotal or not _is_fast():
            return None
        self._searches += len(queries)
        if self._rounded is None:
            if self._searches <= _SEARCHES or not self._lock.acquire(blocking=False):
                return None
            try:  # a search that comes meanwhile does without
                self._rounded = _Rounded(exact)
            finally:
                self._lock.release()
        found = [self._rounded.search(exact, query[None], k, compared) for query in queries]
        proven = [pair for pair in found if pair is not None]
        if len(proven) < len(found):
            return None
        return np.vstack([scores for scores, _ in proven]), np.vstack([slots for _, slots in proven])


class _Rounded:
    """Vectors as whole numbers, and how far those are from them."""

    def __init__(self, exact: Any) -> None:
        blocks = range(0, exact.ntotal, _ROUNDED_AT_ONCE)
        sizes = [min(_ROUNDED_AT_ONCE, exact.ntotal - start) for start in blocks]
        greatest = max(
            float(np.abs(exact.reconstruct_n(*block)).max()) for block in zip(blocks, sizes, strict=True)
        )
        self._step = greatest / _GREATEST or 1.0
        self._error = self._length = 0.0
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._index = faiss.IndexScalarQuantizer(exact.d, kind, faiss.METRIC_INNER_PRODUCT)
        for block in zip(blocks, sizes, strict=True):
            vectors = exact.reconstruct_n(*block)
            rounded = np.rint(vectors / np.float32(self._step))
            self._index.add(rounded)
            rounded *= np.float32(self._step)
            self._length = max(self._length, _longest(rounded))
            self._error = max(self._error, _longest(vectors - rounded))

    def search(self, exact: Any, query: Floats, k: int, compared: int) -> tuple[Floats, Slots] | None:
        step = float(np.abs(query).max()) / _GREATEST
        if not step:
            return None
        rounded = np.rint(query / np.float32(step))
        likely, found = self._index.search(rounded, compared)
        slots = np.sort(found[0])  # as a scan comes to them, which decides between equal ones
        vectors = exact.reconstruct_batch(slots)
        scores, places = faiss.knn(query, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
        error = _longest(query) * self._error + _longest(query - rounded * np.float32(step)) * self._length
        # Float32 rounds each of the sums.
        error += exact.d * 2.0**-22 * _longest(query) * (self._length + self._error)
        if float(likely[0, -1]) * step * self._step + error >= float(scores[0, -1]):
            return None
        return scores, slots[places]


def _longest(vectors: Any) -> float:
    return math.sqrt(float(np.einsum("ij,ij->i", vectors, vectors).max()))


def _is_fast() -> bool:
    """Whether FAISS compares bytes in SIMD here: without, it takes four times as long as by floats."""
    return str(faiss.SIMDConfig.get_level_name()).startswith("AVX")
