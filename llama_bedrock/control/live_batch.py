"""A file of prompts answered by live calls, which survives the end of the process at any moment."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence
from pydantic import BaseModel

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.control.answer_log import AnswerLog, fingerprint
from llama_bedrock.control.prompt_file import PromptRecord, as_input, read_prompt_file
from llama_bedrock.errors import (
    BedrockAccessDeniedError,
    BedrockAuthenticationError,
    BedrockCredentialsError,
    BedrockNotFoundError,
    BedrockThrottlingError,
)
from llama_bedrock.routing.escalate import Escalate
from llama_bedrock.routing.routed_chat_model import RoutedChatModel
from llama_bedrock.routing.spread import Spread
from llama_bedrock.settings import BedrockLlama
from llama_bedrock.transport.limiter import AdaptiveConcurrency

# What every other record would fail with too: the run ends, and goes on when it is mended.
_FATAL = (
    BedrockAccessDeniedError,
    BedrockAuthenticationError,
    BedrockCredentialsError,
    BedrockNotFoundError,
    BedrockThrottlingError,  # only after the limiter's patience, which is hours here
)
_PATIENCE = 6 * 3600.0
_LONGEST_PAUSE = 0.5  # of a minute of quota, what may stay unused: a hundredth


@dataclass(slots=True)
class BatchProgress:
    """How far a run is, or how it ended.

    Attributes:
        records: Records of the input seen so far; at the end all.
        answered: Records with an answer, those of earlier runs included.
        failed: Records with an error, likewise.
        input_tokens: Tokens of the prompts, by the service's count.
        output_tokens: Tokens of the answers.
        usd: Cost by the catalogue's prices; None where a price is not known.
        seconds: Seconds of this run.
        rate: Records finished in a second of this run.
        stopped: None, or why the run ended before the file did: ``"budget"``.
    """

    records: int = 0
    answered: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    rate: float = 0.0
    stopped: str | None = None


@refuses_wrong_kinds
async def abatch_file(
    model: Runnable[Any, Any],
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    field: str | None = None,
    max_in_flight: int = 256,
    max_usd: float | None = None,
    ordered: bool = True,
    retry_failed: bool = False,
    restart: bool = False,
    on_progress: Callable[[BatchProgress], None] | None = None,
) -> BatchProgress:
    """Answer every record of a file, and write the answers as JSONL.

    Each answer is on disk before the next thing happens: when the process ends, however it does, the next
    run with the same arguments asks only for what was in flight. A record that fails has its error in the
    output; what would fail for all (credentials, access, a wrong model) ends the run instead, and nothing is
    lost. A model without a `limiter` of its own gets one that finds out what the quota allows.

    A record is a JSON string, a list of messages (``{"role": …, "content": …}``), or an object with
    ``"messages"`` or one of ``"prompt"``, ``"input"``, ``"question"``, ``"text"``; its ``"id"`` comes back.
    A chain gets the whole object, as a prompt template wants it.

    Args:
        model: A model, one with tools or a schema, or a chain.
        source: A ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet`` file (the last needs pyarrow).
        output: The file of answers; it appears, whole, when the run is done. Until then they are in
            ``OUTPUT.unfinished``.
        field: Name of the member or column that is the prompt.
        max_in_flight: Records worked on at a time, at most; the limiter has fewer of them called.
        max_usd: No call begins that could bring the cost above so many US dollars, by the average so far.
        ordered: Write in the order of the input; False as they finished.
        retry_failed: Ask again for the records that failed in an earlier run.
        restart: Drop what an earlier run has finished.
        on_progress: Called at most ten times a second, and at the end.

    Returns:
        What was done. With ``stopped="budget"`` there is no output yet: a run with a higher budget goes on.

    Raises:
        BlockingIOError: Another process works on the same output.
        ValueError: An option is wrong, the model has no price though a budget is set, or what is finished is
            another run's.
        OSError: A file cannot be read or written.
        LlamaBedrockError: What would fail for every record.
    """
    if max_in_flight < 1:
        raise ValueError(f"max_in_flight must be at least 1, not {max_in_flight}")
    if max_usd is not None and not max_usd > 0:
        raise ValueError(f"max_usd must be positive, not {max_usd}")
    source, output = Path(source), Path(output)
    if source.resolve() == output.resolve():
        raise ValueError(f"{output} is the input; give the answers a file of their own")
    run = {"input": fingerprint(source), "model": _model_digest(model), "field": field}
    log = AnswerLog(output, run, restart=restart)
    try:
        batch = _LiveBatch(with_limiter(model), log, field, max_usd, on_progress)
        batch.resume(retry_failed)
        await batch.run(read_prompt_file(source), max_in_flight)
        if batch.progress.stopped is None:
            log.publish(ordered=ordered)
        batch.report(final=True)
        return batch.progress
    finally:
        log.close()


class _LiveBatch:
    def __init__(
        self,
        model: Runnable[Any, Any],
        log: AnswerLog,
        field: str | None,
        max_usd: float | None,
        on_progress: Callable[[BatchProgress], None] | None,
    ) -> None:
        self._model = model
        self._takes_messages = isinstance(_innermost(model), BaseLanguageModel)
        self._log = log
        self._field = field
        self._max_usd = max_usd
        self._on_progress = on_progress
        self._started = self._reported = time.monotonic()
        self._here = 0  # finished in this run
        self._in_flight = 0
        self._priced = 0
        self._settled = asyncio.Event()
        self.progress = BatchProgress()

    def resume(self, retry_failed: bool) -> None:
        for record in self._log.finished():
            if retry_failed and "error" in record:
                self._log.forget(record["index"])
            else:
                self._count(record)

    async def run(self, records: Iterator[PromptRecord], max_in_flight: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(max_in_flight):
                    group.create_task(self._work(records))
        except ExceptionGroup as errors:  # one worker's error cancels the others
            raise errors.exceptions[0] from None

    async def _work(self, records: Iterator[PromptRecord]) -> None:
        for record in records:  # shared by all workers: nothing is awaited between two of them
            self.progress.records = max(self.progress.records, record.index + 1)
            if record.index in self._log:
                continue
            if self._max_usd is not None and not await self._may_begin(self._max_usd):
                self.progress.stopped = "budget"
                return
            self._in_flight += 1
            try:
                finished = await self._answer(record)
                self._log.add(finished)
                self._here += 1
                self._count(finished)
            finally:
                self._in_flight -= 1
                self._settled.set()
            self.report()

    async def _answer(self, record: PromptRecord) -> dict[str, Any]:
        head: dict[str, Any] = {"index": record.index}
        if record.id is not None:
            head["id"] = record.id
        try:
            if record.error is not None:
                raise ValueError(record.error)
            whole = not self._takes_messages and self._field is None and isinstance(record.value, dict)
            answer = await self._model.ainvoke(record.value if whole else as_input(record.value, self._field))
        except _FATAL:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this record's, and is written down
            return {
                **head,
                "error": {"type": type(error).__name__, "message": str(error), "line": record.line},
            }
        return {**head, **answer_fields(answer)}

    async def _may_begin(self, max_usd: float) -> bool:
        """Wait until it is known whether one more call is within the budget."""
        while True:
            spent = self.progress.usd
            if spent is None:
                raise ValueError("max_usd is set, but the catalogue has no price for an answer of this model")
            average = spent / self._priced if self._priced else 0.0
            # The first call alone, since nothing is known of its cost.
            if self._priced and spent + (self._in_flight + 1) * average <= max_usd:
                return True
            if not self._in_flight:
                return not self._priced
            self._settled.clear()
            await self._settled.wait()

    def _count(self, record: dict[str, Any]) -> None:
        progress = self.progress
        if "error" in record:
            progress.failed += 1
            return
        progress.answered += 1
        usage = record.get("usage") or {}
        progress.input_tokens += usage.get("input_tokens", 0)
        progress.output_tokens += usage.get("output_tokens", 0)
        cost = usage.get("total_cost")
        if cost is None or progress.usd is None:
            progress.usd = None
        else:
            progress.usd += cost
            self._priced += 1

    def report(self, final: bool = False) -> None:
        now = time.monotonic()
        if not final and now - self._reported < 0.1:
            return
        self._reported = now
        self.progress.seconds = now - self._started
        self.progress.rate = self._here / self.progress.seconds if self.progress.seconds else 0.0
        if self._on_progress is not None:
            self._on_progress(self.progress)


def answer_fields(answer: Any) -> dict[str, Any]:
    """Write an answer as JSON: a message's text, calls and usage, or any other object as ``"output"``."""
    if isinstance(answer, AIMessage):
        metadata = answer.response_metadata
        optional = {
            "tool_calls": answer.tool_calls,
            "invalid_tool_calls": answer.invalid_tool_calls,
            "usage": answer.usage_metadata,
            "stop_reason": metadata.get("stop_reason"),
            "model": metadata.get("model_name"),
            "cache_hit": metadata.get("cache_hit"),
        }
        return {"text": answer.text, **{name: value for name, value in optional.items() if value}}
    if isinstance(answer, BaseModel):
        return {"output": answer.model_dump(mode="json")}
    return {"output": answer if isinstance(answer, str | int | float | list | dict | None) else str(answer)}


def with_limiter(model: Runnable[Any, Any], limiter: AdaptiveConcurrency | None = None) -> Runnable[Any, Any]:
    """Give the models of a runnable that have no limiter one in common; others stay as they are.

    Args:
        model: The runnable.
        limiter: The limiter. Default: one for long runs.
    """
    limiter = limiter or AdaptiveConcurrency(minimum=4, patience=_PATIENCE, longest_pause=_LONGEST_PAUSE)

    def limited(part: Any) -> Any:
        if isinstance(part, BedrockLlama):
            return part if part.limiter is not None else part.model_copy(update={"limiter": limiter})
        if isinstance(part, Spread):  # finds out by itself what its targets take
            return part.model_copy(update={"patience": max(part.patience, _PATIENCE)})
        if isinstance(part, Escalate):
            return part.model_copy(update={"small": limited(part.small), "large": limited(part.large)})
        if isinstance(part, RunnableBinding):
            return part.model_copy(update={"bound": limited(part.bound)})
        if isinstance(part, RunnableSequence):
            return RunnableSequence(*[limited(step) for step in part.steps], name=part.name)
        return part

    found: Runnable[Any, Any] = limited(model)
    return found


def _innermost(model: Runnable[Any, Any]) -> Runnable[Any, Any]:
    while isinstance(model, RunnableBinding):
        model = model.bound
    return model


def _model_digest(model: Runnable[Any, Any]) -> str:
    """Tell models, bound arguments and chains apart by what changes their answers."""

    def described(part: Any) -> Any:
        if isinstance(part, BedrockLlama):
            return sorted((name, str(value)) for name, value in part._answer_settings().items())
        if isinstance(part, RoutedChatModel):
            members = [described(member) for member in part._members()]
            return [type(part).__name__, members, str(getattr(part, "when", ""))]
        if isinstance(part, RunnableBinding):
            return [described(part.bound), sorted((name, str(value)) for name, value in part.kwargs.items())]
        if isinstance(part, RunnableSequence):
            return [described(step) for step in part.steps]
        if isinstance(part, BaseMessage):
            return str(part)
        messages = getattr(part, "messages", None) or getattr(part, "template", None)  # a prompt template
        return [type(part).__name__, str(messages or "")]

    told = re.sub(r" at 0x[0-9a-f]+", "", repr(described(model)))  # addresses differ from run to run
    return hashlib.sha256(told.encode()).hexdigest()[:32]
