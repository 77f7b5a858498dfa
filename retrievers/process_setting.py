"""Settings of the whole process that several threads want at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _nothing() -> None: ...


class ProcessSetting:
    """A setting of the whole process: the first of its users makes it, the last to leave takes it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._take_back: Callable[[], object] = _nothing

    @contextmanager
    def made_by(self, make: Callable[[], Callable[[], object]]) -> Iterator[None]:
        """Keep the setting for a block.

        Args:
            make: Makes it, and returns what takes it back.
        """
        with self._lock:
            if not self._users:
                self._take_back = make()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._take_back()
