"""`EMFMetrics`: figures of calls and answers as CloudWatch metrics, by lines in the embedded metric format.

CloudWatch makes metrics of such lines where it finds them in a log, so nothing is sent and no permission is
needed. Format and limits: AWS, "Specification: Embedded metric format" (CloudWatch user guide, 2026).
Bedrock's own metrics (namespace ``AWS/Bedrock``) count calls, errors, throttles and tokens; what they do not
know is what is added here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.observability.reports import ATTEMPTS
from llama_bedrock.tracking import own_tags
from llama_bedrock.usage import ATTEMPTS_KEY, answered_calls, call_cost

MODEL, TAG = "ModelId", "Tag"
"""Dimensions that every call has, and every call with tags."""

MOST_DIMENSIONS = 30
_LONGEST_NAME, _LONGEST_VALUE = 250, 1024

UNITS = {
    "Calls": "Count",
    "Errors": "Count",
    "Abandoned": "Count",
    "CacheHits": "Count",
    "Retries": "Count",
    "Throttles": "Count",
    "Fallbacks": "Count",
    "InputTokens": "Count",
    "OutputTokens": "Count",
    "Cost": "None",
    "UnpricedCalls": "Count",
    "Latency": "Milliseconds",
    "TimeToFirstToken": "Milliseconds",
    "Answers": "Count",
    "NoAnswer": "Count",
    "GroundedFraction": "None",
    "UndecidedFraction": "None",
}
"""Metrics by name, with their units. ``Cost`` is in USD; the average of ``NoAnswer`` is its rate."""


@dataclass(slots=True)
class _Run:
    """A LangChain run that has not ended."""

    root: UUID
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None
    began: float = 0.0
    first_token: float | None = None
    writes_answer: bool = False


@refuses_wrong_kinds
class EMFMetrics(BaseCallbackHandler):
    """Callback handler that writes CloudWatch metrics of model calls and of answers about documents.

        metrics = EMFMetrics("Shop", {"Service": "search"})
        llm.invoke("What is a llama?", config={"callbacks": [metrics], "tags": ["help"]})

    Each call becomes one JSON line (one more for each further tag). Its metrics are summed up over all calls
    with the given dimensions, by ``ModelId``, and by ``ModelId`` and ``Tag``. For sync and async use.

    Args:
        namespace: CloudWatch namespace of the metrics.
        dimensions: Further dimensions: names with fixed values, or names of entries of the run's metadata
            (``config={"metadata": {"team": "sales"}}``), ``"unknown"`` where a run has none. CloudWatch bills
            each combination of values as metrics of its own.
        metrics: A ``Metrics`` of AWS Lambda Powertools, or whatever has ``add_metric(name, unit, value)``. It
            then gets every figure for its own dimensions; lines tell only of models and tags.
        stream: Where the lines go; None for standard output, as Lambda and the container agents want.

    Raises:
        ValueError: The namespace or a dimension is not one for CloudWatch.
    """

    run_inline = True  # in the event loop's own thread: no hand-over for each call

    def __init__(
        self,
        namespace: str,
        dimensions: Mapping[str, str] | Sequence[str] = (),
        *,
        metrics: Any = None,
        stream: TextIO | None = None,
    ) -> None:
        if not namespace.strip() or len(namespace) > 255 or namespace.startswith((":", "AWS/")):
            raise ValueError(
                f"namespace={namespace!r}: CloudWatch takes 1 to 255 characters, and neither ':' nor 'AWS/' "
                "at their beginning"
            )
        if metrics is not None and not callable(getattr(metrics, "add_metric", None)):
            raise ValueError(
                "metrics= wants an object with add_metric(name, unit, value), such as Powertools' Metrics"
            )
        super().__init__()
        self._namespace = namespace
        self._fixed = dict(dimensions) if isinstance(dimensions, Mapping) else dict.fromkeys(dimensions)
        _check_dimensions(self._fixed)
        self._metrics = metrics
        self._stream = stream
        self._runs: dict[UUID, _Run] = {}
        self._models: dict[UUID, str] = {}  # by outermost run: which model writes its answer
        self._told: dict[UUID, list[Any]] = {}  # by outermost run: the answers that were counted

    # -- LangChain's callbacks -----------------------------------------------------------------------------

    def on_chain_start(
        self,
        *_: Any,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note which run this one belongs to, and whose it is."""
        self._begin(run_id, parent_run_id, tags, metadata)

    on_tool_start = on_chain_start

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Count the answer, if the run has given one that was not counted for a run within it."""
        run = self._end(run_id)
        if run is None:
            return
        answer = outputs.get("answer") if isinstance(outputs, Mapping) else outputs
        told = self._told.get(run.root, [])
        if hasattr(answer, "grounded_fraction") and not any(answer is other for other in told):
            self._told[run.root] = [*told, answer]
            self._count_answer(answer, run)
        if run.root == run_id:
            self._forget(run_id)

    def on_chain_error(self, *_: Any, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._end(run_id)
        self._forget(run_id)

    def on_tool_end(self, *_: Any, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._end(run_id)
        self._forget(run_id)

    on_tool_error = on_tool_end

    def on_chat_model_start(
        self,
        *_: Any,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Note when the call began, and for whom."""
        run = self._begin(run_id, parent_run_id, tags, metadata)
        run.writes_answer = name == "Answer" or (metadata or {}).get("langgraph_node") == "model"

    on_llm_start = on_chat_model_start

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note when the first token came."""
        run = self._runs.get(run_id)
        if run is not None and run.first_token is None and token:
            run.first_token = time.perf_counter()

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Write the figures of the call."""
        run = self._end(run_id)
        if run is None:
            return
        for generation in (g for answers in response.generations for g in answers):
            message = getattr(generation, "message", None)
            told = getattr(message, "response_metadata", None) or generation.generation_info or {}
            usage = getattr(message, "usage_metadata", None) or told.get("usage_metadata")
            self._count_call(run, told, usage)
        self._forget(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Write the figures of a call that failed, or was left before its end."""
        run = self._end(run_id)
        if run is None:
            return
        counts = {name.capitalize(): getattr(error, name, 0) for name in ATTEMPTS}
        kind = "Errors" if isinstance(error, Exception) else "Abandoned"
        figures: dict[str, float] = {"Calls": 1, "Errors": 0, **counts, kind: 1}
        if before := answered_calls(vars(error)):  # they are billed all the same
            usages = [part["usage_metadata"] for part in before]
            tokens = {
                name: sum(usage[name] for usage in usages) for name in ("input_tokens", "output_tokens")
            }
            figures |= _tokens(tokens) | _cost(call_cost(tokens, {ATTEMPTS_KEY: before}))
        told = {"ErrorType": type(error).__name__, "RequestId": getattr(error, "request_id", None)}
        model, called = _model_of(run, {}), getattr(error, "model_id", None) or ""
        if called and not called.endswith(
            model
        ):  # not that model, nor a profile of it: another one of several
            model = called
        self._write(run, model, figures | _times(run), told)
        self._forget(run_id)

    # -- figures -------------------------------------------------------------------------------------------

    def _count_call(self, run: _Run, told: Mapping[str, Any], usage: Mapping[str, Any] | None) -> None:
        model = _model_of(run, told)
        if run.writes_answer or run.root not in self._models:
            self._models[run.root] = model
        cost = call_cost(usage, told)
        figures: dict[str, float] = {"Calls": 1, "Errors": 0, "CacheHits": int(bool(told.get("cache_hit")))}
        figures |= {name.capitalize(): told.get(name, 0) for name in ATTEMPTS}
        figures |= (_tokens(usage) if usage else {}) | _cost(cost)
        properties = {
            "RequestId": told.get("request_id"),
            "Region": told.get("region_name"),
            "StopReason": told.get("stop_reason"),
        }
        self._write(run, model, figures | _times(run), properties)

    def _count_answer(self, answer: Any, run: _Run) -> None:
        figures = {"Answers": 1, "NoAnswer": int(answer.no_answer)}
        if not answer.no_answer:  # of which nothing can be grounded
            figures |= {
                "GroundedFraction": answer.grounded_fraction,
                "UndecidedFraction": answer.undecided_fraction,
            }
        self._write(run, self._models.get(run.root, "none"), figures, {})

    def _write(
        self, run: _Run, model: str, figures: Mapping[str, float], properties: Mapping[str, Any]
    ) -> None:
        values = {name: self._value(name, fixed, run) for name, fixed in self._fixed.items()} | {MODEL: model}
        base = [*self._fixed]
        sets = [[*base, MODEL]]
        if self._metrics is None:
            sets.insert(0, base)
        else:
            for name, value in figures.items():
                self._metrics.add_metric(name=name, unit=UNITS[name], value=value)
        for tag in run.tags[:1]:
            values[TAG] = tag
            sets.append([*base, MODEL, TAG])
        self._line(sets, values, figures, properties)
        for tag in run.tags[1:]:
            self._line([[*base, MODEL, TAG]], values | {TAG: tag}, figures, {})

    def _value(self, name: str, fixed: str | None, run: _Run) -> str:
        return str((run.metadata or {}).get(name, "unknown")) if fixed is None else fixed

    def _line(
        self,
        sets: list[list[str]],
        values: Mapping[str, str],
        figures: Mapping[str, float],
        properties: Mapping[str, Any],
    ) -> None:
        directive = {
            "Namespace": self._namespace,
            "Dimensions": sets,
            "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in figures],
        }
        line = {
            "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]},
            **{name: value for name, value in properties.items() if value is not None},
            **{name: _as_dimension(value) for name, value in values.items()},
            **figures,
        }
        stream = sys.stdout if self._stream is None else self._stream
        stream.write(json.dumps(line) + "\n")  # in one piece: other threads write here, too
        stream.flush()

    # -- runs ----------------------------------------------------------------------------------------------

    def _begin(
        self,
        run_id: UUID,
        parent: UUID | None,
        tags: Sequence[str] | None,
        metadata: Mapping[str, Any] | None,
    ) -> _Run:
        above = self._runs.get(parent) if parent else None
        root = above.root if above else run_id
        run = self._runs[run_id] = _Run(root, own_tags(tags), metadata, time.perf_counter())
        return run

    def _end(self, run_id: UUID) -> _Run | None:
        return self._runs.pop(run_id, None)

    def _forget(self, run_id: UUID) -> None:
        self._models.pop(run_id, None)
        self._told.pop(run_id, None)


def _times(run: _Run) -> dict[str, float]:
    times = {"Latency": round((time.perf_counter() - run.began) * 1000, 3)}
    if run.first_token is not None:
        times["TimeToFirstToken"] = round((run.first_token - run.began) * 1000, 3)
    return times


def _tokens(usage: Mapping[str, Any]) -> dict[str, float]:
    return {"InputTokens": usage["input_tokens"], "OutputTokens": usage["output_tokens"]}


def _cost(cost: Mapping[str, float] | None) -> dict[str, float]:
    return {"UnpricedCalls": 1} if cost is None else {"Cost": cost["total_cost"]}


def _model_of(run: _Run, told: Mapping[str, Any]) -> str:
    return str(told.get("model_name") or (run.metadata or {}).get("ls_model_name") or "unknown")


def _check_dimensions(dimensions: Mapping[str, str | None]) -> None:
    most = MOST_DIMENSIONS - 2
    if len(dimensions) > most:
        raise ValueError(
            f"{len(dimensions)} dimensions: CloudWatch takes 30, {most} beside {MODEL} and {TAG}"
        )
    for name, value in dimensions.items():
        if not isinstance(name, str) or not _is_plain(name) or len(name) > _LONGEST_NAME:
            raise ValueError(
                f"dimension {name!r}: CloudWatch takes names of 1 to {_LONGEST_NAME} ASCII characters, "
                "not beginning with ':'"
            )
        if name in (MODEL, TAG, "_aws") or name in UNITS:
            raise ValueError(f"dimension {name!r}: this name is taken; choose another")
        if value is not None and (not isinstance(value, str) or not _is_plain(value)):
            raise ValueError(f"dimension {name!r}: its value must be ASCII text, not {value!r}")
        if value is not None and len(value) > _LONGEST_VALUE:
            raise ValueError(f"dimension {name!r}: its value has more than {_LONGEST_VALUE} characters")


def _is_plain(text: str) -> bool:
    return bool(text.strip()) and text.isascii() and text.isprintable() and not text.startswith(":")


def _as_dimension(value: str) -> str:
    """The text as CloudWatch takes it: ASCII without control characters, not empty, not too long."""
    plain = "".join(c if c.isprintable() else " " for c in value).encode("ascii", "backslashreplace").decode()
    return plain.strip().lstrip(":")[:_LONGEST_VALUE] or "unknown"
