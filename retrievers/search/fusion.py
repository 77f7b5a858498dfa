"""Join two rankings of the same documents into one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Literal, TypeVar

Fusion = Literal["minmax", "rrf"]
Key = TypeVar("Key", int, str)
"""What names a document."""
RRF_K = 60  # Cormack, Clarke and Büttcher, SIGIR 2009


def fuse(
    rankings: Sequence[Mapping[Key, float]],
    weights: Sequence[float],
    method: Fusion = "minmax",
    k: int | None = None,
) -> list[tuple[Key, float]]:
    """Fuse rankings, best first; ties in order of id or key, so that they never depend on dictionary order.

    Args:
        rankings: For each side, id → score (higher is better). An id may be missing from a side.
        weights: One weight a side, not negative; a side of weight 0 is left out.
        method: ``"minmax"``: weighted sum of scores scaled to [0, 1] over each side's candidates, 0 where
            missing; ``"rrf"``: reciprocal rank fusion, weighted sum of 1 / (60 + rank).
        k: Only so many, the best; default: all.

    Raises:
        ValueError: Unknown method, or weights that cannot be.
    """
    if method not in ("minmax", "rrf"):
        raise ValueError(f'fusion must be "minmax" or "rrf", got {method!r}')
    if len(weights) != len(rankings) or any(weight < 0 for weight in weights) or not any(weights):
        raise ValueError(f"weights must be one number ≥ 0 a side, not all 0; got {list(weights)}")
    fused: dict[Key, float] = {}
    for scores, weight in zip(rankings, weights, strict=True):
        if not weight:
            continue
        weighted = (_min_max if method == "minmax" else _reciprocal_ranks)(scores, weight)
        if not fused:
            fused = weighted
            continue
        known = fused.get
        for identity, score in weighted.items():
            fused[identity] = known(identity, 0.0) + score
    # Floats are compared in a third of the time of pairs, and few are as great as the k-th.
    least = -math.inf if k is None or len(fused) <= k else nlargest(k, fused.values())[-1]
    best = sorted([(-score, identity) for identity, score in fused.items() if score >= least])
    return [(identity, -score) for score, identity in best[:k]]


def _min_max(scores: Mapping[Key, float], weight: float) -> dict[Key, float]:
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    if high == low:
        # One candidate, or all alike: they count fully if they matched at all.
        return dict.fromkeys(scores, float(weight) if high > 0 else 0.0)
    span = high - low
    return {identity: weight * ((score - low) / span) for identity, score in scores.items()}


def _reciprocal_ranks(scores: Mapping[Key, float], weight: float) -> dict[Key, float]:
    ranked = sorted((identity for identity in scores if scores[identity] > 0), key=lambda i: (-scores[i], i))
    return {identity: weight * (1 / (RRF_K + rank)) for rank, identity in enumerate(ranked, 1)}
