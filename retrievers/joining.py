"""When parts of something that grows are written again as one: of vectors, lexical index and manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MOST_PARTS = 6
"""Small parts beside each other, each of which is some files to open."""
_SOON_JOINED = 1_000
"""Members from which on a part is joined with an older one that is no more than twice as large."""
MOST_JOINED = 16_384
"""Members that a save writes again beside what changed, a quarter of a second's work: a part that has half
as many stays as it is until all parts are joined, when somebody asks for it."""
_MOST_LARGE = 16
"""Large parts; beyond, a save joins those that came after the largest, however long it takes."""
_MOST_DEAD = 0.25
"""Share of deleted members that has a part written again, if that is soon done."""
_FEW_DEAD = 128
"""Deleted members that are not worth writing a part again."""
_MOST_WASTE = 0.4
"""Deleted members for each living one, in all parts, from which on large ones are written again too, however
long it takes: so that a store takes no more than half as much room again as a new one."""


class Group(NamedTuple):
    """Neighbouring parts that become one.

    Attributes:
        first: The number of the first of them.
        end: The number of the part after the last of them.
        is_written: Whether they are written again, without what is deleted; a single part may stay.
    """

    first: int
    end: int
    is_written: bool


def first_to_join(sizes: Sequence[int]) -> int:
    """Number of the part from which on they become one; the last one alone stays as it is.

    Every member is then written again only a few times, however many changes come: a part is joined when
    those after it have grown to its size, or to half of it, if that is much to search.
    """
    last = len(sizes) - 1
    least, total = last, sizes[-1] if sizes else 0
    while least > 0 and total + sizes[least - 1] <= MOST_JOINED:
        least -= 1
        total += sizes[least]
    if least > _MOST_LARGE:
        return max(range(len(sizes)), key=sizes.__getitem__) + 1
    first, newer, is_crowded = last, sizes[-1] if sizes else 0, last - least >= MOST_PARTS
    while first > least:
        times = 1 if is_crowded else 2 if newer >= _SOON_JOINED else 0
        if not (is_crowded and first == last) and sizes[first - 1] > times * newer:
            break
        first -= 1
        newer += sizes[first]
    return max(first, 0)


def grouped(sizes: Sequence[int], dead: Sequence[int]) -> list[Group]:
    """All parts, in groups that become one part each.

    Args:
        sizes: Members of each part that are not deleted.
        dead: Those that are.
    """
    if not sizes:
        return []
    first = first_to_join(sizes)
    alone = list(range(len(sizes) if first == len(sizes) - 1 else first))
    shares = {n: dead[n] / max(sizes[n] + dead[n], 1) for n in alone}
    written = {n for n in alone if sizes[n] <= MOST_JOINED and shares[n] > _MOST_DEAD and dead[n] > _FEW_DEAD}
    left = sum(dead[n] for n in alone if n not in written)
    for number in sorted(set(alone) - written, key=shares.__getitem__, reverse=True):
        if left > _MOST_WASTE * sum(sizes):
            written.add(number)
            left -= dead[number]
    groups = [Group(number, number + 1, number in written) for number in alone]
    return groups if len(alone) == len(sizes) else [*groups, Group(first, len(sizes), True)]
