"""When to try again: one generator that both shells drive, with no clock or network of its own.

The shell sends; when that fails it gives the error to the generator, which either says how long to wait
before the next attempt or raises the error. Nothing is tried again once the caller has got text: the shells
see to that.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from llama_bedrock.errors import (
    BedrockModelError,
    BedrockModelNotReadyError,
    BedrockModelTimeoutError,
    BedrockResponseError,
    BedrockThrottlingError,
    BedrockTimeoutError,
    LlamaBedrockError,
    described,
)

logger = logging.getLogger(__name__)

# AWS says "retry" of neither a model's timeout nor a model's failure: one more try is fair, a series is not.
_ONCE = (BedrockModelTimeoutError, BedrockModelError)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try.

    Args:
        max_retries: Attempts after the first, not counting those that wait for a model to be ready.
        model_ready_timeout: Seconds to go on while the model answers `ModelNotReadyException`.
        throttle_patience: Seconds to go on while throttled, without counting the attempts. For calls behind
            an `AdaptiveConcurrency`, which itself says when to try again.
        first_wait: Upper bound of the wait before the first retry, in seconds; it doubles each time.
        longest_wait: Upper bound of every wait, in seconds.
    """

    max_retries: int = 4
    model_ready_timeout: float = 300.0
    throttle_patience: float = 0.0
    first_wait: float = 1.0
    longest_wait: float = 20.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the shell is to do next.

    Args:
        number: 1 for the first attempt.
        wait: Seconds to wait before it.
        ends_at: Time on the clock when the whole call must be over; None for no such deadline.
    """

    number: int
    wait: float
    ends_at: float | None


def attempts(
    policy: RetryPolicy,
    total: float | None = None,
    *,
    ends_by: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    fraction: Callable[[], float] | None = None,
) -> Generator[Attempt, LlamaBedrockError, None]:
    """Yield attempts; each `send` of an error yields the next attempt, or raises the error if it was the
    last.

    Args:
        policy: How often and how long.
        total: Seconds for the whole call. An error is raised at once when the wait would outlast them.
        ends_by: Monotonic time by which it must be over besides, for a call that is part of another.
        clock: Monotonic seconds.
        fraction: A random number from 0 to 1: each wait is that part of its bound ("full jitter").
    """
    bounds = [bound for bound in (ends_by, None if total is None else clock() + total) if bound is not None]
    ends_at = min(bounds, default=None)
    error = yield Attempt(1, 0.0, ends_at)
    state = _State(policy, clock, fraction or random.random)
    number = 1
    while True:
        next_wait = state.wait_after(error)
        if next_wait is None or (ends_at is not None and clock() + next_wait >= ends_at):
            raise error
        number += 1
        wait = next_wait
        # A model that is being loaded, or a quota that a batch works at, fails as often as it is asked.
        level = logging.WARNING if state.retries else logging.INFO
        told = {"attempt": number, "wait_seconds": wait, **described(error)}
        logger.log(level, "attempt %d in %.1f s, after: %s", number, wait, error, extra=told)
        error = yield Attempt(number, wait, ends_at)


class _State:
    """What a series of attempts has come to."""

    def __init__(
        self, policy: RetryPolicy, clock: Callable[[], float], fraction: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._fraction = fraction
        self.retries = 0
        self._not_ready = 0
        self._not_ready_since: float | None = None
        self._throttled_since: float | None = None
        self._tried_once: set[type] = set()

    def wait_after(self, error: LlamaBedrockError) -> float | None:
        """Return the seconds to wait, None when the error is final."""
        if not error.is_retryable:
            return None
        if isinstance(error, BedrockModelNotReadyError):
            return self._wait_until_ready(error)
        if isinstance(error, BedrockTimeoutError) and error.deadline == "total":
            return None
        if isinstance(error, BedrockThrottlingError) and self._policy.throttle_patience:
            return self._wait_for_quota()
        if isinstance(error, _ONCE):
            if type(error) in self._tried_once:
                return None
            self._tried_once.add(type(error))
        if self.retries >= self._policy.max_retries:
            return None
        self.retries += 1
        return self._backoff(self.retries, error)

    def _wait_until_ready(self, error: BedrockModelNotReadyError) -> float | None:
        now = self._clock()
        if self._not_ready_since is None:
            self._not_ready_since = now
            logger.warning(
                "the model %s is being loaded; trying for up to %.0f s",
                error.model_id,
                self._policy.model_ready_timeout,
            )
        self._not_ready += 1
        wait = self._backoff(self._not_ready, error)
        left = self._not_ready_since + self._policy.model_ready_timeout - now
        # The last attempt is made at the end of the time, not a wait before it.
        return min(wait, left) if left > 0 else None

    def _wait_for_quota(self) -> float | None:
        now = self._clock()
        if self._throttled_since is None:
            self._throttled_since = now
        # The limiter holds the next attempt back for as long as it takes: no wait of our own on top.
        return 0.0 if now - self._throttled_since < self._policy.throttle_patience else None

    def _backoff(self, retry: int, error: LlamaBedrockError) -> float:
        bound = min(self._policy.longest_wait, self._policy.first_wait * 2.0 ** (min(retry, 32) - 1))
        wait = bound * self._fraction()
        asked = error.retry_after if isinstance(error, BedrockResponseError) else None
        return max(wait, asked) if asked is not None else wait
