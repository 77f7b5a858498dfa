"""Searching by short codes first: FAISS's ``IndexPQFastScan``, and an exact comparison of what it finds.

Every vector has a code of 4 bits for each of some groups of its dimensions (product quantization), a
sixteenth of its size. The codes of 32 vectors are compared with a query in a few SIMD instructions, so that
all codes are scanned in less time than a graph is walked, and no graph has to be built. The nearest by their
codes, the candidates, are then compared by their vectors. Sources: André, Kermarrec and Le Scouarnec, "Cache
locality is not enough" (VLDB 2015); Guo et al., "Accelerating large-scale inference" (ScaNN, ICML 2020).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats, Slots, np

faiss = require("faiss", "local")

if TYPE_CHECKING:
    from llama_bedrock.retrievers.store.slots import Selection


TRAINING_SAMPLE = 2_048
"""Vectors that the codes are learnt from: 128 for each of the 16 values of a group. Twice as many, FAISS's
own maximum, and twice the iterations take four times as long and find no more (recall@10 .997 for .9985 of
random vectors, 1.000 for 1.000 of others); but of codes of 4 dimensions they do (.81 for .78, and .9985 for
.9975), which get both."""
_FINE, _COARSE = (2, 3, 1), (4, 3, 5, 2, 1)
"""Dimensions of a group; the first that divides a vector's length is taken. With 2, 320 candidates hold
1.00 of the ten nearest among 100,000 vectors of LSA and MiniLM, .98 and more of random ones, whether around a
mean or not."""
_COARSE_FROM = 250_000
"""From here on, codes should be short enough for a processor's cache: at 1,000,000 × 384 a scan takes 1.5 ms
with groups of 4, 5.5 ms with groups of 2."""
_SHORT = 128
"""Vectors shorter than this have a group for each dimension, or else too few of them."""
_ITERATIONS = 5
_PROBES, _NEAREST = 64, 10
"""Queries on the sample, and neighbours of each, that tell which comparison of codes finds more of them."""
_CLEARLY = 1.05
_SPARE = 1.25
"""Candidates taken, for each that is needed, where a filter leaves only a share of them."""
_CODES_SCANNED = 40
"""Codes that are scanned in the time of one vector that is compared: 2 and 80 ns at 384 dimensions. To take a
candidate and see whether it is selected costs 100 ns."""


def new_index(dimension: int, metric: int, exact: Any, count: int) -> Any:
    """An untrained index of codes over an index of vectors, which it owns from now on.

    Args:
        dimension: Length of a vector.
        metric: How FAISS compares them.
        exact: An empty index that keeps vectors.
        count: About how many vectors there will be.
    """
    codes = faiss.IndexPQFastScan(dimension, groups(dimension, count), 4, metric)
    codes.pq.cp.niter = _ITERATIONS * _effort(count)
    index = faiss.IndexRefine(codes, exact)
    for part in (codes, exact):
        part.this.disown()
    index.own_fields = index.own_refine_index = True
    return index


def train(index: Any, sample: Floats, *, unit: bool) -> None:
    """Learn codes, and with vectors of unit length also how to compare a query with them.

    Of unit vectors, the nearest by inner product and by distance are the same; by their codes they are not.
    The error of a code tells in an inner product with the whole query, and in a distance with the difference
    only. So a distance is better where vectors lie close together or around a common mean (recall@10 .95
    instead of .22), as embeddings do, and an inner product where they point anywhere (.99 instead of .95):
    it is chosen where it finds clearly more of the nearest in the sample.
    """
    index.train(sample)
    if not unit:
        return
    codes = faiss.downcast_index(index.base_index)
    probes = sample[:: max(1, len(sample) // _PROBES)]
    _, nearest = faiss.knn(probes, sample, _NEAREST, metric=faiss.METRIC_INNER_PRODUCT)
    codes.add(sample)
    shares = []
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        codes.metric_type = metric
        _, found = codes.search(probes, 2 * _NEAREST)
        shares.append((nearest[:, :, None] == found[:, None, :]).mean())
    codes.reset()
    if shares[1] < _CLEARLY * shares[0]:
        codes.metric_type = faiss.METRIC_L2


def sample_size(count: int) -> int:
    """How many vectors the codes of about this many are learnt from."""
    return TRAINING_SAMPLE * _effort(count)


def _effort(count: int) -> int:
    return 1 if count < _COARSE_FROM else 2


def take_over(index: Any, other: Any) -> None:
    """Have an empty index use the codes that another one of the same structure has learnt."""
    take_codes_over(faiss.downcast_index(index.base_index), faiss.downcast_index(other.base_index))
    exact, known = exact_part(index), exact_part(other)
    if not exact.is_trained:
        faiss.copy_array_to_vector(faiss.vector_to_array(known.sq.trained), exact.sq.trained)
    exact.is_trained = index.is_trained = True


def take_codes_over(codes: Any, learnt: Any) -> None:
    """As `take_over`, of the indexes of codes alone."""
    faiss.copy_array_to_vector(faiss.vector_to_array(learnt.pq.centroids), codes.pq.centroids)
    codes.metric_type = learnt.metric_type
    codes.is_trained = True


def groups(dimension: int, count: int) -> int:
    """Groups of dimensions that have a code, for vectors of this length and about this number of them."""
    sizes = _FINE if count < _COARSE_FROM else _COARSE
    size = next(size for size in sizes if dimension % size == 0) if dimension >= _SHORT else 1
    return dimension // size


def exact_part(index: Any) -> Any:
    """The index that holds the vectors."""
    return faiss.downcast_index(index.refine_index)


def search(index: Any, queries: Floats, k: int, candidates: int) -> tuple[Floats, Slots]:
    """The k nearest of the candidates, for each query."""
    scores, slots = index.search(queries, k, params=_parameters(k, candidates))
    return scores, slots


@lru_cache(64)
def _parameters(k: int, candidates: int) -> Any:
    # k_factor is a float32: half a candidate more keeps the product from being rounded down.
    return faiss.IndexRefineSearchParameters(k_factor=(candidates + 0.5) / k)


def search_selected(
    index: Any, queries: Floats, k: int, candidates: int, selection: Selection
) -> tuple[Floats, Slots] | None:
    """The k nearest selected vectors, for each query; None where too few selected ones are candidates.

    The codes know no selection, so more of them are taken. Those that are selected are the nearest selected
    ones by their codes, whatever the filter has to do with the query; their number tells whether they are
    enough.
    """
    needed = min(candidates, selection.count)
    taken = _taken(index.ntotal, candidates, selection)
    _, found = faiss.downcast_index(index.base_index).search(queries, taken)
    chosen = selection.holds(found)
    if taken < index.ntotal and np.min(chosen.sum(axis=1)) < max(k, needed / 2):
        return None
    exact = exact_part(index)
    selected = [row[mask] for row, mask in zip(found, chosen, strict=True)]
    results = [nearest(exact, query[None], slots, k) for query, slots in zip(queries, selected, strict=True)]
    slots = [slots[places] for slots, (_, places) in zip(selected, results, strict=True)]
    return np.vstack([scores for scores, _ in results]), np.vstack(slots)


def compares_all(count: int, candidates: int, selection: Selection) -> bool:
    """Whether to compare with every selected vector costs less than `search_selected`."""
    return selection.count <= count / _CODES_SCANNED + 1.25 * _taken(count, candidates, selection)


def _taken(count: int, candidates: int, selection: Selection) -> int:
    return min(count, math.ceil(_SPARE * candidates * count / max(selection.count, 1)))


def nearest(exact: Any, query: Floats, slots: Slots, k: int) -> tuple[Floats, Slots]:
    """Scores of the k nearest of the vectors in some slots, and their places among them."""
    vectors = exact.reconstruct_batch(np.ascontiguousarray(slots))
    scores, places = faiss.knn(query, vectors, min(k, len(slots)), metric=exact.metric_type)
    return scores[0], places[0]
