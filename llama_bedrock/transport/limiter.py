"""How many calls to have in flight, found by trying: more while all goes well, half when throttled.

The state is the process's: one limiter given to many models, threads and loops bounds them all together.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from llama_bedrock.argument_kinds import NotNegative, refuses_wrong_kinds
from llama_bedrock.errors import BedrockResponseError, BedrockThrottlingError, BedrockUnavailableError


@refuses_wrong_kinds
class AdaptiveConcurrency:
    """Bounds the calls in flight by what the service takes without throttling.

    The bound rises by one for each round of calls that succeed (additive increase) and halves when the
    service throttles (multiplicative decrease), at most once for the calls that were in flight together;
    until the first throttling it doubles each round, up to four times `initial`. After a throttled call
    nothing is sent for a while, longer each time in a row, since a quota fills up by the minute. Waiting
    calls go in the order they came.

    Args:
        initial: Calls in flight at first.
        minimum: Never fewer.
        maximum: Never more.
        patience: Seconds a call keeps trying while it is throttled; then `BedrockThrottlingError` is raised.
        longest_pause: Seconds of the longest pause after throttling.
        clock: Monotonic seconds, for tests.

    Raises:
        ValueError: The bounds are out of order.
    """

    def __init__(
        self,
        initial: int = 16,
        minimum: int = 1,
        maximum: int = 500,
        patience: NotNegative = 600.0,
        longest_pause: NotNegative = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 1 <= minimum <= initial <= maximum:
            raise ValueError(
                f"AdaptiveConcurrency: 1 <= minimum ({minimum}) <= initial ({initial}) <= maximum ({maximum})"
            )
        self.patience = patience
        self._arguments = (initial, minimum, maximum, patience, longest_pause)
        self._minimum = minimum
        self._maximum = maximum
        self._longest_pause = longest_pause
        self._clock = clock
        self._limit = float(initial)
        self._doubles_up_to = 4 * initial
        self._in_flight = 0
        self._cuts = 0
        self._row = 0
        self._resume_at = 0.0
        self._timer: threading.Timer | None = None
        self._waiting: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    def __copy__(self) -> AdaptiveConcurrency:
        return self  # a copy of a model still has the quota of the first

    def __deepcopy__(self, _: object) -> AdaptiveConcurrency:
        return self

    def __reduce__(self) -> tuple[type[AdaptiveConcurrency], tuple[float, ...]]:
        return type(self), self._arguments  # another process begins with a state of its own

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Calls that are in flight now."""
        return self._in_flight

    def acquire(self) -> Slot:
        """Wait for a place and take it; from a thread."""
        waiter = _ThreadWaiter()
        with self._lock:
            slot = self._try(waiter)
        if slot is not None:
            return slot
        try:
            waiter.event.wait()
        except BaseException:
            self._abandon(waiter)
            raise
        assert waiter.slot is not None
        return waiter.slot

    async def acquire_async(self) -> Slot:
        """Wait for a place and take it; from an event loop."""
        waiter = _TaskWaiter(asyncio.get_running_loop())
        with self._lock:
            slot = self._try(waiter)
        if slot is not None:
            return slot
        try:
            await waiter.future
        except BaseException:
            self._abandon(waiter)
            raise
        assert waiter.slot is not None
        return waiter.slot

    def _try(self, waiter: _Waiter) -> Slot | None:
        if not self._waiting and self._may_send():
            return self._take()
        self._waiting.append(waiter)
        self._wake_later()
        return None

    def _may_send(self) -> bool:
        return self._in_flight < int(self._limit) and self._clock() >= self._resume_at

    def _take(self) -> Slot:
        self._in_flight += 1
        return Slot(self, self._cuts)

    def _abandon(self, waiter: _Waiter) -> None:
        """A waiting call was cancelled: leave the queue, or pass on the place it was just given."""
        with self._lock:
            if waiter.slot is None:
                waiter.cancelled = True
                return
        waiter.slot.release(None, unused=True)

    def _release(self, slot: Slot, error: BaseException | None, unused: bool) -> None:
        with self._lock:
            self._in_flight -= 1
            if isinstance(error, (BedrockThrottlingError, BedrockUnavailableError)):
                self._slow_down(slot, error)
            elif error is None and not unused:
                self._row = 0
                step = 1.0 if self._limit < self._doubles_up_to else 1.0 / self._limit
                self._limit = min(float(self._maximum), self._limit + step)
            self._hand_out()

    def _slow_down(self, slot: Slot, error: BedrockResponseError) -> None:
        if slot.cuts != self._cuts:
            return  # it was sent before the last cut: that answer is already known
        self._cuts += 1
        self._doubles_up_to = 0
        self._row += 1
        self._limit = max(float(self._minimum), self._limit / 2)
        pause = min(self._longest_pause, 0.25 * 2.0 ** min(self._row, 10))
        self._resume_at = self._clock() + max(pause, error.retry_after or 0.0)

    def _hand_out(self) -> None:
        while self._waiting and self._may_send():
            waiter = self._waiting.popleft()
            if not waiter.cancelled:
                waiter.give(self._take())
        self._wake_later()

    def _wake_later(self) -> None:
        """Have the queue looked at when the pause is over; one timer, and only while calls wait."""
        left = self._resume_at - self._clock()
        if left <= 0 or not self._waiting or self._timer is not None:
            return
        self._timer = threading.Timer(left, self._pause_over)
        self._timer.daemon = True
        self._timer.start()

    def _pause_over(self) -> None:
        with self._lock:
            self._timer = None
            self._hand_out()


class Slot:
    """A place among the calls in flight; release it once.

    Args:
        limiter: Whose place it is; None for calls that nothing bounds.
        cuts: How often the limiter had cut its bound when the place was taken.
    """

    __slots__ = ("_limiter", "cuts")

    def __init__(self, limiter: AdaptiveConcurrency | None = None, cuts: int = 0) -> None:
        self._limiter = limiter
        self.cuts = cuts

    def release(self, error: BaseException | None = None, unused: bool = False) -> None:
        """Give the place back.

        Args:
            error: What the call failed with; throttling slows the limiter down.
            unused: The call tells nothing about the service.
        """
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter._release(self, error, unused)

    def forget(self) -> None:
        """Give the place back without a look at who waits; for the limiter itself, which holds its lock."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter._in_flight -= 1


FREE = Slot()


class _Waiter:
    """A call that waits for a place."""

    cancelled = False
    slot: Slot | None = None

    def give(self, slot: Slot) -> None:
        raise NotImplementedError


class _ThreadWaiter(_Waiter):
    def __init__(self) -> None:
        self.event = threading.Event()

    def give(self, slot: Slot) -> None:
        self.slot = slot
        self.event.set()


class _TaskWaiter(_Waiter):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()

    def give(self, slot: Slot) -> None:
        self.slot = slot
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop was closed while the call waited: nobody will use the place
            slot.forget()

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)
