"""Which models and regions a call may go to, when the next one is tried, and what became of the call."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from llama_bedrock.errors import (
    BedrockConnectionError,
    BedrockModelNotReadyError,
    BedrockNotFoundError,
    BedrockThrottlingError,
    BedrockUnavailableError,
    LlamaBedrockError,
    described,
)
from llama_bedrock.observability.reports import ATTEMPTS, is_watched, report_call

if TYPE_CHECKING:
    from llama_bedrock.assembler import ResponseAssembler

logger = logging.getLogger(__name__)


class Candidate:
    """A model in a region that may take the call.

    As a context manager it swallows an error that the next candidate may not have, and reports what else
    became of the call. Once `committed`, because part of the answer has been handed out, every error is the
    caller's.

    Args:
        model: Model id; None for that of the settings.
        region: AWS region; None for that of the settings.
        is_last: No other is asked after it.
        tried: What the candidates before it came to: ``fallbacks``, ``retries``, ``throttles``.
        run_manager: LangChain's, of the run that the call is.
        ends_by: Monotonic time by which the call must be over, whoever takes it; None for no such deadline.
    """

    def __init__(
        self,
        model: str | None,
        region: str | None,
        is_last: bool = True,
        tried: Mapping[str, int] | None = None,
        run_manager: Any = None,
        ends_by: float | None = None,
    ) -> None:
        self.ends_by = ends_by
        self.model = model
        self.region = region
        self.committed = False
        self.tried = tried or {}
        self._assembler: ResponseAssembler | None = None
        self._is_last = is_last
        self._run_manager = run_manager
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        is_over = self.ends_by is not None and time.monotonic() >= self.ends_by
        if isinstance(error, _CAPACITY_OR_REGION) and not (self.committed or self._is_last or is_over):
            logger.warning("trying the next fallback after: %s", error, extra=described(error))
            self.tried = self._tried_with(error) | {"fallbacks": self.tried.get("fallbacks", 0) + 1}
            return True
        if self.tried and isinstance(error, LlamaBedrockError):
            counts = self._tried_with(error)
            error.retries, error.throttles = counts["retries"], counts["throttles"]
            error.fallbacks = self.tried["fallbacks"]
        if is_watched(self._run_manager):
            self._report(error)
        return False

    def reads_with(self, assembler: ResponseAssembler) -> None:
        """Take the reader of the answer; it tells what the candidates before this one came to."""
        self._assembler = assembler
        assembler.add_attempts(self.tried)

    def _tried_with(self, error: LlamaBedrockError) -> dict[str, int]:
        return {
            "retries": self.tried.get("retries", 0) + error.retries,
            "throttles": self.tried.get("throttles", 0) + error.throttles,
        }

    def _report(self, error: BaseException | None) -> None:
        assembler = self._assembler
        if assembler is None:  # the call was not even prepared
            return
        metadata, usage = assembler.known()
        if isinstance(error, LlamaBedrockError):
            metadata = {**metadata, **{name: getattr(error, name) for name in ATTEMPTS}}
        report_call(
            metadata,
            usage,
            error=error,
            seconds=time.perf_counter() - self._began,
            content=(assembler.prompt, assembler.text),
            run_manager=self._run_manager,
        )


def candidates(
    model: str | None,
    models: Sequence[str],
    regions: Sequence[str],
    run_manager: Any = None,
    ends_by: float | None = None,
) -> Iterator[Candidate]:
    """Yield who may take a call, in order: every region of a model before the next model.

    The caller leaves the loop when one succeeds.
    """
    pairs = [(m, r) for m in (model, *models) for r in (None, *regions)]
    tried: Mapping[str, int] = {}
    for number, (name, region) in enumerate(pairs, 1):
        candidate = Candidate(name, region, number == len(pairs), tried, run_manager, ends_by)
        yield candidate
        tried = candidate.tried


# What another model or region may not have; a bad request would fail there as well.
_CAPACITY_OR_REGION = (
    BedrockThrottlingError,
    BedrockUnavailableError,
    BedrockModelNotReadyError,
    BedrockNotFoundError,
    BedrockConnectionError,
)
