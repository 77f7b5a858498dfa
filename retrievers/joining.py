"""When parts of something that grows are written again as one: of vectors, lexical index and manifest."""

from __future__ import annotations

from collections.abc import Sequence

MOST_PARTS = 6
"""Parts that a search goes through; each costs it some 30 µs."""
_SOON_JOINED = 1_000
"""Members from which on a part is joined with an older one that is no more than twice as large."""
MOST_DEAD = 0.25
"""Share of deleted members that has a saved part written again."""


def first_to_join(sizes: Sequence[int]) -> int:
    """Number of the part from which on they become one; the last one alone stays as it is.

    Every member is then written again only a few times, however many changes come: a part is joined when
    those after it have grown to its size, or to half of it, if that is much to search.
    """
    first, newer = len(sizes) - 1, sizes[-1] if sizes else 0
    while first > 0:
        least = 1 if len(sizes) > MOST_PARTS else 2 if newer >= _SOON_JOINED else 0
        is_too_many = len(sizes) > MOST_PARTS and first == len(sizes) - 1
        if not is_too_many and sizes[first - 1] > least * newer:
            break
        first -= 1
        newer += sizes[first]
    return max(first, 0)
