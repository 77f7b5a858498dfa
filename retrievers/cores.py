"""How many cores this process may use, and who uses them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager

from llama_bedrock._extras import require
from llama_bedrock.retrievers.process_setting import ProcessSetting

_MOST = 8
_setting = ProcessSetting()


def cores() -> int:
    """Cores this process may use, up to 8."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, _MOST)


def one_thread_in_blas() -> AbstractContextManager[None]:
    """Have BLAS, in the whole process, do its work in the thread that asks for it.

    Its own threads meet after every small step and spin until the last one comes: beside other work, an
    orthonormal basis took ten times as long by two of them as by one. The last to leave puts them back.
    """
    return _setting.made_by(_limit_blas)


def _limit_blas() -> Callable[[], object]:
    limits = require("threadpoolctl", "local").threadpool_limits(1, user_api="blas")
    return limits.restore_original_limits  # type: ignore[no-any-return]
