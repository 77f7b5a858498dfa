"""How many cores this process may use, and who uses them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_bedrock._extras import require

_MOST = 8
_lock = threading.Lock()
_users = 0
_limits: Any = None


def cores() -> int:
    """Cores this process may use, up to 8."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, _MOST)


@contextmanager
def one_thread_in_blas() -> Iterator[None]:
    """Have BLAS, in the whole process, do its work in the thread that asks for it.

    Its own threads meet after every small step and spin until the last one comes: beside other work, an
    orthonormal basis took ten times as long by two of them as by one. The last to leave puts them back.
    """
    global _users, _limits
    control = require("threadpoolctl", "local")
    with _lock:
        if not _users:
            _limits = control.threadpool_limits(1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _limits.restore_original_limits()
