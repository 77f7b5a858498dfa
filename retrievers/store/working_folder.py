"""Temporary folders of which nothing stays, however their process ends: the next one to start clears them."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path

from llama_bedrock.retrievers.store.locks import FileLock
from llama_bedrock.retrievers.store.private_files import ForeignFileError, is_real_folder

_PREFIX = "llama-bedrock-"
_LOCK = "in-use.lock"
_cleared: set[str] = set()
_clearing = threading.Lock()


class WorkingFolder:
    """A folder for the owner alone, deleted with `delete`, at the end, or by the next process.

    Attributes:
        path: Where it is.
    """

    def __init__(self) -> None:
        place = tempfile.gettempdir()
        with _clearing:
            if place not in _cleared:
                _cleared.add(place)
                _delete_abandoned(Path(place))
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            # Between the two steps it may be taken for abandoned: then there is another.
            with suppress(BlockingIOError, FileNotFoundError):
                lock = FileLock(self.path / _LOCK)
                if (self.path / _LOCK).exists():
                    break
        self._finalizer = weakref.finalize(self, _delete, self.path, lock, os.getpid())

    def delete(self) -> None:
        """Delete it; a second time does nothing."""
        self._finalizer()


def _delete(path: Path, lock: FileLock, owner: int) -> None:
    if os.getpid() == owner:  # a forked child must not take its parent's files away
        shutil.rmtree(path, ignore_errors=True)
        lock.release()


def _delete_abandoned(place: Path) -> None:
    """Delete what killed processes of this user left; their locks died with them."""
    for path in place.glob(f"{_PREFIX}*"):
        with suppress(OSError, ForeignFileError):
            if is_real_folder(path) and _is_ours(path) and (path / _LOCK).exists():
                lock = FileLock(path / _LOCK)
                shutil.rmtree(path, ignore_errors=True)
                lock.release()


def _is_ours(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
