"""How many cores this process may use."""

from __future__ import annotations

import os

_MOST = 8


def cores() -> int:
    """Cores this process may use, up to 8."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, _MOST)
