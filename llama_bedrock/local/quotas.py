"""Account quotas as Bedrock counts them: requests and tokens a minute, per model."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.local.runtime.frames import ServiceError


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits for every model of the endpoint.

    Attributes:
        requests_per_minute: Admitted requests; None is no limit.
        tokens_per_minute: Input tokens plus ``max_gen_len`` are reserved when a request is admitted; what was
            not generated is given back when it ends. None is no limit.
        minute: Length of the sliding window in seconds, so that simulations need not take minutes.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    minute: float = 60.0

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}; None means no limit")
        if self.minute <= 0:
            raise ValueError(f"minute is a length in seconds and must be positive, not {self.minute}")


@dataclass(slots=True)
class Reservation:
    """Tokens held by one admitted request; `settle` replaces the guess with what was used."""

    at: float
    tokens: int
    _window: _Window | None = field(default=None, repr=False)

    def settle(self, tokens: int) -> None:
        """Set the tokens really used (input and output)."""
        if self._window is not None:
            self._window.tokens += tokens - self.tokens
            self._window = None
        self.tokens = tokens


@dataclass(slots=True)
class _Window:
    """What one model admitted in the last minute, oldest first, and the sum of its tokens."""

    admitted: deque[Reservation] = field(default_factory=deque)
    tokens: int = 0


class QuotaMeter:
    """Admits requests within `Quotas`; one server has one."""

    def __init__(self, quotas: Quotas, clock: Callable[[], float] = time.monotonic) -> None:
        self._quotas = quotas
        self._clock = clock
        self._windows: defaultdict[str, _Window] = defaultdict(_Window)

    @property
    def quotas(self) -> Quotas:
        """The limits."""
        return self._quotas

    def admit(self, model_id: str, tokens: int) -> Reservation:
        """Reserve a request and its tokens.

        Args:
            model_id: The model whose quota is used.
            tokens: Input tokens plus ``max_gen_len``.

        Raises:
            ServiceError: ``ThrottlingException``; refused requests use up nothing.
        """
        now = self._clock()
        window = self._windows[model_id]
        while window.admitted and window.admitted[0].at <= now - self._quotas.minute:
            gone = window.admitted.popleft()
            window.tokens -= gone.tokens
            gone._window = None
        requests, limit = self._quotas.requests_per_minute, self._quotas.tokens_per_minute
        if requests is not None and len(window.admitted) >= requests:
            raise ServiceError("ThrottlingException", "Too many requests, please wait before trying again.")
        if limit is not None and window.tokens + tokens > limit:
            raise ServiceError("ThrottlingException", "Too many tokens, please wait before trying again.")
        reservation = Reservation(now, tokens, window)
        window.admitted.append(reservation)
        window.tokens += tokens
        return reservation
