"""One timer for the deadlines of an exchange, not one for each piece of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llama_bedrock.transport.exchange import earlier


class DeadlinePassedError(Exception):
    """What a watchdog tells the reader; `name` is the deadline's in `Timeout`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Watchdog:
    """Wakes the reader of a body when a deadline has passed; one timer per body, not one per piece.

    Until the first piece has come, `heard` is None. From then on it is silence that counts, which may be due
    sooner than the first piece was: so the timer looks after each idle time at the latest.
    """

    __slots__ = ("_ends_at", "_first_by", "_handle", "_idle", "_loop", "_wake", "heard")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wake: Callable[[DeadlinePassedError], None],
        first_by: float | None,
        idle: float | None,
        ends_at: float | None,
    ) -> None:
        self.heard: float | None = None
        self._loop = loop
        self._wake = wake
        self._first_by = first_by
        self._idle = idle
        self._ends_at = ends_at
        self._handle: asyncio.TimerHandle | None = None
        self._look()

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        name, due = self._next()
        now = self._loop.time()
        if due is None or due > now:
            look_again = now + self._idle if self.heard is None and self._idle is not None else None
            at = earlier(due, look_again)
            self._handle = None if at is None else self._loop.call_at(at, self._look)
            return
        self._handle = None
        self._wake(DeadlinePassedError(name))

    def _next(self) -> tuple[str, float | None]:
        """Return the deadline that is due first, and when."""
        name, due = "first_token", self._first_by
        if self.heard is not None:
            name, due = "idle", None if self._idle is None else self.heard + self._idle
        if self._ends_at is not None and (due is None or self._ends_at < due):
            return "total", self._ends_at
        return name, due
