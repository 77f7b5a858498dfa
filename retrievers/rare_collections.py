"""Python's garbage collector, which comes less often while much is made that stays."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLD = 20_000
"""New objects between two collections, where Python has 700: what is dropped meanwhile takes megabytes."""
_lock = threading.Lock()
_users = 0
_before: tuple[int, int, int] | None = None


@contextmanager
def rare_collections() -> Iterator[None]:
    """Have collections come less often, in the whole process; the last to leave puts back what there was.

    The documents of a folder are in no cycles, and Python goes through them again and again as they grow in
    number: a tenth of the CPU of a first index. Thresholds that are as high, or none (`gc.disable`), stay.
    """
    global _users, _before
    with _lock:
        first, *others = gc.get_threshold()
        if not _users and 0 < first < _THRESHOLD:
            _before = (first, others[0], others[1])
            gc.set_threshold(_THRESHOLD, *others)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _before is not None:
                if gc.get_threshold()[0] == _THRESHOLD:  # else somebody has set another meanwhile
                    gc.set_threshold(*_before)
                _before = None
