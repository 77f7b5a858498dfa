"""Which of several targets the next call goes to, by the health that each has shown; no I/O.

A throttled target is left alone for a while, then gets one call, and twice as many each quarter of a second
while it takes them: waiting calls never rush at it together. A target that fails again and again is left out
(its circuit is open) until a single call, the probe, succeeds.
"""

from __future__ import annotations

import copy
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from llama_bedrock.errors import (
    BedrockAccessDeniedError,
    BedrockAuthenticationError,
    BedrockCredentialsError,
    BedrockNotFoundError,
    BedrockResponseError,
    BedrockThrottlingError,
    LlamaBedrockError,
)

logger = logging.getLogger(__name__)

Circuit = Literal["closed", "open", "half-open"]

RAMP_SECONDS = 0.25
"""Time in which the calls that a target gets after a pause double."""

_RAMP_ENDS = 256  # calls after a pause: that many a few seconds in are no rush
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0
_RECOVERY_SECONDS = 60.0  # a whole share grows back in the minute that quotas are counted over
_SMALLEST_SHARE = 1 / 64
_FIRST_OPEN = 1.0
_LONGEST_OPEN = 60.0

# Waiting does not mend these; another account or region may well answer.
_HOPELESS = (
    BedrockAccessDeniedError,
    BedrockAuthenticationError,
    BedrockCredentialsError,
    BedrockNotFoundError,
)


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """What a target of a `Spread` has shown so far, in this process.

    Attributes:
        model: Its model id or ARN.
        region_name: Its region; None where AWS's settings decide.
        circuit: ``"closed"``: it is called; ``"open"``: it is left out; ``"half-open"``: one call tries it.
        share: 1 for a target that was never throttled; each throttling or fault halves it, a minute restores
            it.
        in_flight: Calls that it is working on.
        calls: Calls it was sent.
        throttled: Calls that were refused for want of quota.
        faults: Calls that failed in another way that is the target's.
        paused_for: Seconds for which it gets no call.
    """

    model: str
    region_name: str | None
    circuit: Circuit
    share: float
    in_flight: int
    calls: int
    throttled: int
    faults: int
    paused_for: float


class Lane:
    """The way to one target. Whoever uses it holds the lock of its `Lanes`."""

    def __init__(self, number: int, weight: float | None, faults_to_open: int) -> None:
        self.number = number
        self.in_flight = self.calls = self.throttled = self.faults = 0
        self.error: LlamaBedrockError | None = None  # of its last pause or opening
        self._weight = weight
        self._faults_to_open = faults_to_open
        self._passed = 0.0  # by weights: calls so far, each divided by the weight
        self._share, self._share_at = 1.0, 0.0
        self._epoch = 0  # grows with each pause and each opening: later news of earlier calls is old
        self._row = 0  # pauses in a row
        self._resume_at = -math.inf
        self._ramped: int | None = None  # calls since the last pause, until there were many
        self._faults_in_row = 0
        self._opened = 0  # times in a row; above 0 the circuit is not closed
        self._probing = False
        self._promised: list[float] = []  # times at which waiting calls may go, of which some are over

    def share(self, now: float) -> float:
        """How much it is preferred, 0 to 1."""
        return min(1.0, self._share + (now - self._share_at) / _RECOVERY_SECONDS)

    def circuit(self, now: float) -> Circuit:
        """Whether it is called."""
        if not self._opened:
            return "closed"
        return "half-open" if self._probing or now >= self._resume_at else "open"

    def free_at(self, now: float) -> float:
        """When it may get the next call, behind those that wait; infinity while a probe is under way."""
        if self._opened:
            return math.inf if self._probing else self._resume_at
        if self._ramped is None:
            return self._resume_at
        self._promised = [at for at in self._promised if at > now]
        return self._resume_at + RAMP_SECONDS * math.log2(self._ramped + len(self._promised) + 1)

    def promise(self, at: float) -> int:
        """Have a call wait for its turn; returns the epoch in which the promise holds."""
        self._promised.append(at)
        return self._epoch

    def keeps(self, epoch: int) -> bool:
        """Whether what was promised in an epoch holds."""
        return epoch == self._epoch

    def cost(self, now: float) -> tuple[float, ...]:
        """How little the next call should go here: the lowest of all lanes gets it."""
        if self._opened:
            return (-1.0,)  # a probe that is due: the sooner it is made, the sooner the target is back
        if self._weight is not None:
            return (self._passed + 1 / self._weight,)
        return (self.in_flight + 1) / self.share(now), self.calls

    def catch_up(self, passed: float) -> None:
        """Forget the calls that it could not get, by weights: it need not have them now."""
        self._passed = max(self._passed, passed)

    def take(self) -> tuple[int, bool]:
        """Send a call; returns its epoch and whether it is a probe."""
        self.in_flight += 1
        self.calls += 1
        self._passed += 1 / (self._weight or 1.0)
        if self._opened:
            self._probing = True
            return self._epoch, True
        if self._ramped is not None:
            self._ramped = self._ramped + 1 if self._ramped < _RAMP_ENDS else None
        return self._epoch, False

    @property
    def passed(self) -> float:
        """Calls so far, each divided by the weight."""
        return self._passed

    def succeeded(self, epoch: int, *, probe: bool) -> None:
        """A call was admitted."""
        if epoch == self._epoch:
            self._row = self._faults_in_row = 0
        if probe:
            self._probing, self._opened, self._ramped = False, 0, 1

    def failed(self, error: LlamaBedrockError, epoch: int, now: float, *, probe: bool) -> None:
        """A call failed in a way that is the target's."""
        throttled = isinstance(error, BedrockThrottlingError)
        self.throttled += throttled
        self.faults += not throttled
        if probe:
            self._probing = False
        if probe and throttled:  # it is alive
            self._opened = 0
            self._pause(error, now)
        elif probe:
            self._open(error, now)
        elif epoch != self._epoch:
            return  # it was sent before the last pause: that answer is already known
        elif throttled:
            self._pause(error, now)
        else:
            self._fault(error, now)

    def unused(self, *, probe: bool) -> None:
        """A call ended that tells nothing about the target."""
        if probe:
            self._probing = False

    def _pause(self, error: LlamaBedrockError, now: float) -> None:
        admitted = self._ramped is None or self._ramped > 2  # some were sent well before this one
        self._row = 1 if admitted else self._row + 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._row - 1, 10))
        asked = error.retry_after if isinstance(error, BedrockResponseError) else None
        self._begin_anew(error, now, max(pause, asked or 0.0))
        self._ramped = 0

    def _fault(self, error: LlamaBedrockError, now: float) -> None:
        self._halve(now)
        self._faults_in_row += 1
        if isinstance(error, _HOPELESS) or self._faults_in_row >= self._faults_to_open:
            self._open(error, now)

    def _open(self, error: LlamaBedrockError, now: float) -> None:
        self._opened += 1
        seconds = min(_LONGEST_OPEN, _FIRST_OPEN * 2.0 ** min(self._opened - 1, 10))
        logger.warning("target %d is left out for %.0f s, after: %s", self.number, seconds, error)
        self._begin_anew(error, now, seconds)

    def _begin_anew(self, error: LlamaBedrockError, now: float, pause: float) -> None:
        self.error = copy.copy(error)  # the caller's gets notes of its call, and holds its frames
        self._epoch += 1
        self._promised.clear()
        self._resume_at = now + pause
        self._halve(now)

    def _halve(self, now: float) -> None:
        self._share, self._share_at = max(_SMALLEST_SHARE, self.share(now) / 2), now


class LaneTurn:
    """A call's turn at a target; as a context manager it tells the target's health how the call went.

    It swallows an error that another target may not have. Once `committed`, because part of the answer has
    been handed out, every error is the caller's.

    Args:
        lanes: Where the turn is from.
        lane: The lane.
        wait: Seconds until it may be used.
        epoch: In which that holds.
    """

    def __init__(self, lanes: Lanes, lane: Lane, wait: float = 0.0, epoch: int = 0) -> None:
        self.number = lane.number
        self.wait = wait
        self.error: LlamaBedrockError | None = None
        self._lanes = lanes
        self._lane = lane
        self._epoch = epoch
        self._probe = False
        self._told = False
        self.begun = False
        self.committed = False

    def begin(self) -> bool:
        """Take the place, if that is still to be done; False if the target was paused meanwhile."""
        if not self.begun:
            with self._lanes.lock:
                if self._lane.keeps(self._epoch):
                    self.take()
                else:
                    self.error = self.why_waiting()
        return self.begun

    def take(self) -> None:
        """Take the place; for who holds the lock."""
        self._epoch, self._probe = self._lane.take()
        self.begun = True

    def why_waiting(self) -> LlamaBedrockError:
        """A copy of the error that the target is paused for."""
        assert self._lane.error is not None
        return copy.copy(self._lane.error)

    def commit(self) -> None:
        """Part of the answer is there: the target works, and the call stays with it."""
        self.committed = True
        self._tell(None)

    def __enter__(self) -> LaneTurn:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        ours = error if isinstance(error, LlamaBedrockError) and is_of_target(error) else None
        with self._lanes.lock:
            self._lane.in_flight -= 1
        if error is None or ours is not None:
            self._tell(ours)
        elif not self._told:
            with self._lanes.lock:
                self._lane.unused(probe=self._probe)
        self.error = ours
        return ours is not None and not self.committed and getattr(ours, "deadline", None) != "total"

    def _tell(self, error: LlamaBedrockError | None) -> None:
        probe, self._told = self._probe and not self._told, True
        with self._lanes.lock:
            if error is None:
                self._lane.succeeded(self._epoch, probe=probe)
            else:
                self._lane.failed(error, self._epoch, self._lanes.clock(), probe=probe)


class Lanes:
    """The ways to all targets. Threads, tasks and event loops may share them.

    Args:
        weights: One for each target, to share calls out by; None for health alone.
        count: Number of targets.
        faults_to_open: Faults in a row that open a circuit.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        weights: Sequence[float] | None,
        count: int,
        faults_to_open: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self._lanes = [
            Lane(number, weights[number] if weights else None, faults_to_open) for number in range(count)
        ]

    def free(self, without: Collection[int] = ()) -> LaneTurn | None:
        """The turn at the best target that may be called now, begun; None if there is none.

        Args:
            without: Numbers of targets that are not asked.
        """
        now = self.clock()
        with self.lock:
            free = [lane for lane in self._lanes if lane.free_at(now) <= now]
            asked = [lane for lane in free if lane.number not in without]
            if not asked:
                return None
            lane = min(asked, key=lambda lane: lane.cost(now))
            for other in self._lanes:
                if other not in free:
                    other.catch_up(lane.passed)
            turn = LaneTurn(self, lane)
            turn.take()
            return turn

    def soonest(self, without: Collection[int] = ()) -> LaneTurn | None:
        """The turn at the target that may be called soonest, to be waited for; None while all circuits are
        open.

        Args:
            without: Numbers of targets that are not asked.
        """
        now = self.clock()
        with self.lock:
            closed = [
                lane for lane in self._lanes if lane.number not in without and lane.circuit(now) == "closed"
            ]
            if not closed:
                return None
            at, lane = min(((lane.free_at(now), lane) for lane in closed), key=lambda pair: pair[0])
            return LaneTurn(self, lane, max(0.0, at - now), lane.promise(at))

    def why_none(self) -> LlamaBedrockError:
        """A copy of an error that opened a circuit, for a call that no target can take: one that waiting may
        mend, if there is such a one.
        """
        with self.lock:
            errors = [lane.error for lane in self._lanes if lane.error is not None]
        return copy.copy(next((error for error in errors if error.is_retryable), errors[0]))

    def health(self, names: Sequence[tuple[str, str | None]]) -> tuple[TargetHealth, ...]:
        """What each target has shown.

        Args:
            names: Model and region of each.
        """
        now = self.clock()
        with self.lock:
            return tuple(
                TargetHealth(
                    model=model,
                    region_name=region,
                    circuit=lane.circuit(now),
                    share=round(lane.share(now), 3),
                    in_flight=lane.in_flight,
                    calls=lane.calls,
                    throttled=lane.throttled,
                    faults=lane.faults,
                    paused_for=round(max(0.0, lane._resume_at - now), 3),
                )
                for lane, (model, region) in zip(self._lanes, names, strict=True)
            )


def is_of_target(error: LlamaBedrockError) -> bool:
    """Whether another target may answer where one has failed so; a bad request fails everywhere."""
    return isinstance(error, (*_HOPELESS, BedrockThrottlingError)) or error.is_retryable
