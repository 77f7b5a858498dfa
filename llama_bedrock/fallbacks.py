"""Which models and regions a call may go to, and when the next one is tried."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from llama_bedrock.errors import (
    BedrockConnectionError,
    BedrockModelNotReadyError,
    BedrockNotFoundError,
    BedrockThrottlingError,
    BedrockUnavailableError,
)

logger = logging.getLogger(__name__)


class Candidate:
    """A model in a region that may take the call.

    As a context manager it swallows an error that the next candidate may not have. Once `committed`, because
    part of the answer has been handed out, every error is the caller's.

    Args:
        model: Model id; None for that of the settings.
        region: AWS region; None for that of the settings.
        is_last: No other is asked after it.
    """

    def __init__(self, model: str | None, region: str | None, is_last: bool = True) -> None:
        self.model = model
        self.region = region
        self.committed = False
        self._is_last = is_last

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        passing = isinstance(error, _CAPACITY_OR_REGION) and not (self.committed or self._is_last)
        if passing:
            logger.warning("trying the next fallback after: %s", error)
        return passing


def candidates(model: str | None, models: Sequence[str], regions: Sequence[str]) -> Iterator[Candidate]:
    """Yield who may take a call, in order: every region of a model before the next model.

    The caller leaves the loop when one succeeds.
    """
    pairs = [(m, r) for m in (model, *models) for r in (None, *regions)]
    for number, (name, region) in enumerate(pairs, 1):
        yield Candidate(name, region, is_last=number == len(pairs))


# What another model or region may not have; a bad request would fail there as well.
_CAPACITY_OR_REGION = (
    BedrockThrottlingError,
    BedrockUnavailableError,
    BedrockModelNotReadyError,
    BedrockNotFoundError,
    BedrockConnectionError,
)
