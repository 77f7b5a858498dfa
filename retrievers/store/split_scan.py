"""One query among many codes, scanned by two cores.

A search by codes takes most of its time to scan them, and FAISS does that for one query in one thread. So a
second thread scans half of them. The halves are copies: a sixteenth of the vectors' memory more, or half of
that from 250,000 vectors on. What is compared exactly afterwards is what one scan of all codes names.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats, Slots, np
from llama_bedrock.retrievers.cores import cores
from llama_bedrock.retrievers.store import fast_scan
from llama_bedrock.retrievers.store.faiss_threads import in_two_threads, searches_alone

faiss = require("faiss", "local")

_LEAST = 96_000
"""Codes, at least. At 100,000 × 384 a query takes .87 of the time so, and a third more of the processor; at
1,000,000 .65 to .75, and no more of it."""
_PER_CANDIDATE = 100
"""Codes for each candidate: both halves look for all of them."""
_SEARCHES = 50
"""Searches of the same codes before they are copied: that takes about as long as so many save."""
_SHARE = 0.55
"""Of the candidates, those that the thread of a half compares: more of them are seldom in one half."""


class SplitScan:
    """The halves of the codes of an index. It is made anew when they change."""

    def __init__(self) -> None:
        self._searches = 0
        self._halves: list[_Half] = []

    def search(self, index: Any, query: Floats, k: int, candidates: int) -> tuple[Floats, Slots] | None:
        """The k nearest of the candidates; None where one core does it as well, or the other one is busy.

        Args:
            index: An index of codes over one of float32 vectors.
            query: One row.
            k: How many.
            candidates: Vectors to compare.
        """
        if not searches_alone() or index.ntotal < max(_LEAST, _PER_CANDIDATE * candidates):
            return None
        self._searches += 1
        if not self._halves and self._searches > _SEARCHES and cores() > 1:
            self._halves = _halves(index)
        if not (halves := self._halves):
            return None
        asked = query, candidates, math.ceil(candidates * _SHARE)
        first, second = in_two_threads(lambda: halves[0].search(*asked), lambda: halves[1].search(*asked))
        if first is None or second is None:
            return None
        return _best(halves[0].exact, (first, second), query, k, candidates)


class _Found(NamedTuple):
    """What is found in a half.

    Attributes:
        distances: Of the candidates by their codes, nearest first; less is nearer.
        slots: The candidates.
        scores: Of the first of them by their vectors.
    """

    distances: Floats
    slots: Slots
    scores: Floats


class _Half:
    """A copy of some codes of an index, as an index."""

    def __init__(self, whole: Any, codes: Any, first: int, count: int) -> None:
        self._whole = whole  # whose vectors are compared
        self._first = first
        self.exact = fast_scan.exact_part(whole)
        self._codes = faiss.IndexPQFastScan(codes.d, codes.pq.M, codes.pq.nbits, codes.metric_type, codes.bbs)
        fast_scan.take_codes_over(self._codes, codes)
        self._codes.ntotal = count
        self._codes.ntotal2 = math.ceil(count / codes.bbs) * codes.bbs
        stride = codes.get_block_stride()
        begin, size = (number // codes.bbs * stride for number in (first, self._codes.ntotal2))
        self._codes.codes.resize(size)
        _bytes(self._codes)[:] = _bytes(codes)[begin : begin + size]

    def search(self, query: Floats, candidates: int, compared: int) -> _Found | None:
        """The candidates, the first of them compared; None where numbers are too great for codes to tell."""
        distances, slots = self._codes.search(query, candidates)
        if slots[0, -1] < 0:
            return None
        if self._codes.metric_type != faiss.METRIC_L2:
            np.negative(distances, out=distances)
        slots += self._first
        return _Found(distances[0], slots[0], _scores(self.exact, query, slots[0, :compared]))


def _best(
    exact: Any, found: tuple[_Found, _Found], query: Floats, k: int, candidates: int
) -> tuple[Floats, Slots]:
    """The nearest of the candidates of both halves, after those that were not compared are."""
    first, second = (half.distances for half in found)
    # How many of them the first half has: where one row ends, read from its end, the other goes on.
    own = int(np.count_nonzero(first <= second[::-1]))
    slots, scores = [], []
    for half, count in zip(found, (own, candidates - own), strict=True):
        slots.append(half.slots[:count])
        scores.append(half.scores[:count])
        if count > len(half.scores):
            scores.append(_scores(exact, query, half.slots[len(half.scores) : count]))
    all_slots, all_scores = np.concatenate(slots), np.concatenate(scores)
    is_less = exact.metric_type == faiss.METRIC_L2
    place = k - 1 if is_less else len(all_scores) - k
    limit = np.partition(all_scores, place)[place]
    nearest = np.flatnonzero(all_scores <= limit if is_less else all_scores >= limit)
    # Equal ones as FAISS has them: by their slots, which fall where scores do.
    order = np.lexsort((all_slots[nearest], all_scores[nearest]))
    nearest = nearest[order if is_less else order[::-1]][:k]
    return all_scores[None, nearest], all_slots[None, nearest]


def _scores(exact: Any, query: Floats, slots: Slots) -> Floats:
    scores = np.empty(len(slots), np.float32)
    exact.compute_distance_subset(
        1, faiss.swig_ptr(query), len(slots), faiss.swig_ptr(scores), faiss.swig_ptr(slots)
    )
    return scores


def _halves(index: Any) -> list[_Half]:
    codes = faiss.downcast_index(index.base_index)
    middle = index.ntotal // 2 // codes.bbs * codes.bbs
    return [_Half(index, codes, 0, middle), _Half(index, codes, middle, index.ntotal - middle)]


def _bytes(codes: Any) -> Any:
    return faiss.rev_swig_ptr(codes.codes.get(), codes.codes.size())
