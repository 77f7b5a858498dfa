"""Locks on files that the operating system drops when their holder dies, however it dies."""

from __future__ import annotations

import os
import sys
import time
import weakref
from pathlib import Path

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
        OSError: The file system has no locks.
        FileNotFoundError: A shared lock's file is missing.
    """

    def __init__(self, path: Path, *, shared: bool = False, timeout: float = 0) -> None:
        flags = os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT
        descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
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
