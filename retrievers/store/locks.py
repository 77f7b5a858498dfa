"""Locks: of files, which the system drops when their holder dies, and of many readers or one writer."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llama_bedrock.retrievers.store.private_files import open_file

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, shared: bool) -> None:
        # Windows has no shared byte-range lock here: readers do not lock, an open file cannot be deleted
        # anyway.
        if not shared:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


class FileLock:
    """A lock on one file, held from construction until `release` or until nobody refers to it.

    Args:
        path: The file; made if it is missing and the lock is not shared.
        shared: Together with other shared holders, or alone.
        timeout: Seconds to wait for it; 0 tries once.

    Raises:
        BlockingIOError: Others hold it.
        ForeignFileError: It is a link or a pipe.
        OSError: The file system has no locks.
        FileNotFoundError: A shared lock's file is missing.
    """

    def __init__(self, path: Path, *, shared: bool = False, timeout: float = 0) -> None:
        descriptor = open_file(path, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT)
        self._finalizer = weakref.finalize(self, os.close, descriptor)
        deadline = time.monotonic() + timeout
        while True:
            try:
                _lock(descriptor, shared=shared)
                return
            except (BlockingIOError, PermissionError) as error:  # the second one is Windows's word for it
                if time.monotonic() >= deadline:
                    self.release()
                    raise BlockingIOError(f"{path} is locked by another process") from error
                time.sleep(0.05)
            except OSError:
                self.release()
                raise

    def release(self) -> None:
        """Give it back; a second time does nothing."""
        self._finalizer()


class ReadWriteLock:
    """Searches share it; a change has it alone. A waiting writer goes before new readers. Not re-entrant."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._condition = threading.Condition(self._mutex)
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold it together with other readers."""
        with self._mutex:
            while self._writing or self._writers_waiting:
                self._condition.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._mutex:
                self._readers -= 1
                if self._readers == 0:
                    self._condition.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Hold it alone."""
        with self._condition:
            self._writers_waiting += 1
            try:
                while self._writing or self._readers:
                    self._condition.wait()
                self._writing = True
            finally:
                self._writers_waiting -= 1
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._condition.notify_all()
