"""Python's garbage collector, which comes less often while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager

from llama_bedrock.retrievers.process_setting import ProcessSetting

_THRESHOLD = 20_000
"""New objects between two collections, where Python has 700: what is dropped meanwhile takes megabytes."""
_setting = ProcessSetting()


def rare_collections() -> AbstractContextManager[None]:
    """Have collections come less often, in the whole process; the last to leave puts back what there was.

    The documents of a folder are in no cycles, and Python goes through them again and again as they grow in
    number: a tenth of the CPU of a first index. Thresholds that are as high, or none (`gc.disable`), stay.
    """
    return _setting.made_by(_raise_threshold)


def _raise_threshold() -> Callable[[], None]:
    before = gc.get_threshold()
    is_raised = 0 < before[0] < _THRESHOLD
    if is_raised:
        gc.set_threshold(_THRESHOLD, *before[1:])

    def put_back() -> None:
        if is_raised and gc.get_threshold()[0] == _THRESHOLD:  # else somebody has set another meanwhile
            gc.set_threshold(*before)

    return put_back
