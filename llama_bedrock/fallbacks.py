"""Which models and regions a call may go to, and when the next one is tried."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from llama_bedrock.errors import (
    BedrockConnectionError,
    BedrockModelNotReadyError,
    BedrockNotFoundError,
    BedrockThrottlingError,
    BedrockUnavailableError,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A model in a region; None stands for the settings' own."""

    model: str | None = None
    region: str | None = None


def targets(models: Sequence[str], regions: Sequence[str], model: str | None = None) -> list[Target]:
    """List the targets in the order they are tried: every region of a model before the next model."""
    return [Target(m, r) for m in (model, *models) for r in (None, *regions)]


def is_capacity_or_region(error: BaseException) -> bool:
    """True for failures another model or region may not have; a bad request would fail there as well."""
    return isinstance(
        error,
        (
            BedrockThrottlingError,
            BedrockUnavailableError,
            BedrockModelNotReadyError,
            BedrockNotFoundError,
            BedrockConnectionError,
        ),
    )


class Attempt:
    """One try at one target; as a context manager it swallows an error that the next target may not have.

    Once `committed`, because part of the answer has been handed out, every error is the caller's.
    """

    def __init__(self, target: Target, more: bool, may_fail_over: Callable[[BaseException], bool]) -> None:
        self.target = target
        self.committed = False
        self._more = more
        self._may_fail_over = may_fail_over

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        passing = error is not None and self._more and not self.committed and self._may_fail_over(error)
        if passing:
            logger.warning("trying the next fallback after: %s", error)
        return passing


def attempts(where: Sequence[Target], may_fail_over: Callable[[BaseException], bool]) -> Iterator[Attempt]:
    """Yield an attempt a target; the caller leaves the loop when one succeeds."""
    for number, target in enumerate(where, 1):
        yield Attempt(target, number < len(where), may_fail_over)
