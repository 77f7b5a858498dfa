"""`track_usage`: what the calls of a block of code used and cost; and what an imported model costs."""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID
from weakref import WeakSet

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.usage import answered_calls, call_cost, costs_at

WINDOW_SECONDS = 300.0
"""Bedrock bills the copies of an imported model in windows of five minutes from the first call on (user
guide, "Calculate the cost of running a custom model", 2026)."""

_MOST_RUNS = 10_000
_LANGCHAIN_TAGS = ("seq:step:", "map:key:", "langsmith:", "lc_")  # set by LangChain itself, not by people


def own_tags(tags: Sequence[str] | None) -> tuple[str, ...]:
    """The tags of a run that people have given, each once."""
    return tuple(dict.fromkeys(tag for tag in tags or () if not tag.startswith(_LANGCHAIN_TAGS)))


@dataclass(slots=True)
class UsageTotals:
    """What some calls used together.

    Attributes:
        calls: Answers that a model gave.
        cached_calls: Answers out of LangChain's cache; their tokens are not counted, they cost nothing.
        failed_calls: Calls that raised, or streams that were left; the service tells no tokens of them. The
            small model's answer, where an `Escalate` failed after it, counts among `calls`.
        unpriced_calls: Calls of `calls` whose price is not known.
        input_tokens: Of `calls`.
        output_tokens: Of `calls`.
        input_cost: USD, of the calls whose price is known.
        output_cost: USD, of the calls whose price is known.
        seconds: Time spent in the calls; those at the same time count each.
        windows: Windows of five minutes in which a call began or ran, as an imported model is billed.
    """

    calls: int = 0
    cached_calls: int = 0
    failed_calls: int = 0
    unpriced_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_cost: float = 0.0
    output_cost: float = 0.0
    seconds: float = 0.0
    windows: int = 0
    _window_end: float = field(default=-math.inf, repr=False)

    @property
    def total_tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    @property
    def total_cost(self) -> float | None:
        """USD of the calls whose price is known; None if no price is. `unpriced_calls` tells of others."""
        priced = self.calls - self.unpriced_calls + self.cached_calls
        return self.input_cost + self.output_cost if priced or not self.calls else None

    def to_dict(self) -> dict[str, Any]:
        """The totals as JSON-able values; costs are left out where no price is known."""
        names = ["calls", "cached_calls", "failed_calls", "unpriced_calls", "input_tokens", "output_tokens"]
        told: dict[str, Any] = {name: getattr(self, name) for name in names}
        told |= {
            "total_tokens": self.total_tokens,
            "seconds": round(self.seconds, 3),
            "windows": self.windows,
        }
        if (total := self.total_cost) is not None:
            told |= {"input_cost": self.input_cost, "output_cost": self.output_cost, "total_cost": total}
        return told

    def _add(self, call: _Call) -> None:
        if call.cost is not None and call.is_cached:
            self.cached_calls += 1
            return
        self.calls += 1
        self.input_tokens += call.usage["input_tokens"]
        self.output_tokens += call.usage["output_tokens"]
        self.seconds += call.end - call.start
        if call.start >= self._window_end:
            self.windows += 1
            self._window_end = call.start + WINDOW_SECONDS
        more = math.ceil(max(0.0, call.end - self._window_end) / WINDOW_SECONDS)
        self.windows += more
        self._window_end += more * WINDOW_SECONDS
        if call.cost is None:
            self.unpriced_calls += 1
        else:
            self.input_cost += call.cost["input_cost"]
            self.output_cost += call.cost["output_cost"]


@dataclass(frozen=True, slots=True)
class _Call:
    """One answer; `start` and `end` are seconds of the monotonic clock."""

    usage: Mapping[str, int]
    cost: dict[str, float] | None
    is_cached: bool
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Begun:
    """A call that has no answer yet."""

    start: float
    run: UUID
    tags: tuple[str, ...]


class UsageTracker(BaseCallbackHandler):
    """Adds up what calls use. `track_usage` makes it; it may also be given as a callback handler.

    Attributes:
        total: All calls.
        by_model: By model id as it was called.
        by_run: By id of the outermost LangChain run (a chain's, an agent's, or the call's own), as text; the
            latest 10,000.
        by_tag: By the tags of ``config={"tags": […]}``; a call counts for each of its tags.
    """

    run_inline = True  # in the event loop's own thread: no hand-over for each call

    def __init__(
        self,
        *,
        prices: Mapping[str, tuple[float, float]] | None = None,
        outer: UsageTracker | None = None,
    ) -> None:
        """Start with nothing.

        Args:
            prices: Model id or ARN → USD per 1,000,000 input and output tokens, for models without a list
                price, or with one of your own.
            outer: Another tracker, which gets the same calls.
        """
        super().__init__()
        self.total = UsageTotals()
        self.by_model: dict[str, UsageTotals] = {}
        self.by_run: dict[str, UsageTotals] = {}
        self.by_tag: dict[str, UsageTotals] = {}
        self._prices = dict(prices or {})
        self._outer = outer
        self._lock = threading.Lock()
        self._begun: dict[UUID, _Begun] = {}
        self._roots: dict[UUID, UUID] = {}
        self._older_threads = WeakSet(threading.enumerate())

    def __repr__(self) -> str:
        return f"<usage {self.total.to_dict()}>"

    def __getattr__(self, name: str) -> Any:
        if name in UsageTotals.__dataclass_fields__ or name in ("total_tokens", "total_cost"):
            return getattr(self.__dict__["total"], name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def to_dict(self) -> dict[str, Any]:
        """All totals as JSON-able values."""
        parts = {"by_model": self.by_model, "by_run": self.by_run, "by_tag": self.by_tag}
        with self._lock:
            told = {name: {key: total.to_dict() for key, total in p.items()} for name, p in parts.items()}
            return {**self.total.to_dict(), **told}

    def add(self, message: AIMessage, *, batch: bool = False, tags: Sequence[str] = ()) -> None:
        """Count an answer that came another way, such as out of a batch job.

        Args:
            message: The answer, as our models give it.
            batch: Whether the price of batch inference holds.
            tags: Tags to count it under.
        """
        now = time.monotonic()
        begun = _Begun(now, UUID(int=0), tuple(tags))
        self._count(cast("Any", message.usage_metadata), message.response_metadata, begun, batch=batch)

    # -- LangChain's callbacks -----------------------------------------------------------------------------

    def on_chain_start(self, *_: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Remember which run this one belongs to."""
        self._enter(run_id, parent_run_id)

    def on_tool_start(self, *_: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Remember which run this one belongs to."""
        self._enter(run_id, parent_run_id)

    def on_chain_end(self, *_: Any, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._leave(run_id)

    on_chain_error = on_tool_end = on_tool_error = on_chain_end

    def on_chat_model_start(
        self,
        *_: Any,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note when the call began, and for whom."""
        kept = own_tags(tags)
        with self._lock:
            root = self._roots.get(parent_run_id, parent_run_id) if parent_run_id else run_id
            self._begun.setdefault(run_id, _Begun(time.monotonic(), root, kept))
        if self._outer is not None:
            self._outer.on_chat_model_start(run_id=run_id, parent_run_id=parent_run_id, tags=tags)

    on_llm_start = on_chat_model_start

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Count the call."""
        with self._lock:
            begun = self._begun.pop(run_id, None)
        if begun is not None:
            for answers in response.generations:
                for generation in answers:
                    message = getattr(generation, "message", None)
                    told = getattr(message, "response_metadata", None) or generation.generation_info or {}
                    usage = getattr(message, "usage_metadata", None) or told.get("usage_metadata")
                    self._count(usage, told, begun)
        if self._outer is not None:
            self._outer.on_llm_end(response, run_id=run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Count a call that failed, and the answers that it took before."""
        with self._lock:
            if begun := self._begun.pop(run_id, None):
                for totals in (self.total, self._of(self.by_run, str(begun.run))):
                    totals.failed_calls += 1
        if begun is not None:
            for part in answered_calls(vars(error)):
                self._count(part["usage_metadata"], part, begun)
        if self._outer is not None:
            self._outer.on_llm_error(error, run_id=run_id)

    def _enter(self, run_id: UUID, parent: UUID | None) -> None:
        with self._lock:
            self._roots[run_id] = self._roots.get(parent, parent) if parent else run_id
        if self._outer is not None:
            self._outer._enter(run_id, parent)

    def _leave(self, run_id: UUID) -> None:
        with self._lock:
            self._roots.pop(run_id, None)
        if self._outer is not None:
            self._outer._leave(run_id)

    def _count(
        self,
        usage: Mapping[str, Any] | None,
        told: Mapping[str, Any],
        begun: _Begun,
        *,
        batch: bool = False,
    ) -> None:
        if not usage:
            return
        is_cached = usage.get("total_cost") == 0
        if not is_cached and (parts := answered_calls(told)):
            for part in parts:
                self._count(part["usage_metadata"], part, begun, batch=batch)
            return
        model = str(told.get("model_name") or "unknown")
        cost = call_cost(usage, told, batch=batch)
        if not is_cached and model in self._prices:
            cost = costs_at(self._prices[model], usage)
        call = _Call(usage, cost, is_cached, begun.start, time.monotonic())
        with self._lock:
            self.total._add(call)
            self._of(self.by_model, model)._add(call)
            self._of(self.by_run, str(begun.run))._add(call)
            for tag in begun.tags:
                self._of(self.by_tag, tag)._add(call)

    def _of(self, totals: dict[str, UsageTotals], key: str) -> UsageTotals:
        if key not in totals:
            totals[key] = UsageTotals()
            if totals is self.by_run and len(totals) > _MOST_RUNS:
                del totals[next(iter(totals))]
        return totals[key]


_tracker: ContextVar[UsageTracker | None] = ContextVar("llama_bedrock_usage", default=None)
_open: list[UsageTracker] = []  # those that have no outer one


class _Current:
    """Stands where LangChain looks for a ContextVar: also finds the tracker for threads that hold none.

    A thread does not inherit the context of the one that starts it (before Python 3.14), so a plain thread
    pool would go uncounted.
    """

    def get(self) -> UsageTracker | None:
        own = _tracker.get()
        if own is not None or not _open:
            return own
        thread = threading.current_thread()
        over = [tracker for tracker in _open if thread not in tracker._older_threads]
        if len(over) > 1:
            warnings.warn(
                "a thread began while several track_usage() blocks were open, so its calls are counted in "
                "none of them; start it by contextvars.copy_context().run, or pass the tracker as a callback",
                stacklevel=2,
            )
        return over[0] if len(over) == 1 else None


register_configure_hook(cast("Any", _Current()), inheritable=True)


@refuses_wrong_kinds
@contextmanager
def track_usage(*, prices: Mapping[str, tuple[float, float]] | None = None) -> Iterator[UsageTracker]:
    """Add up the tokens and the cost of every model call in a block.

    Counted are calls of any LangChain model in this thread or task, in the tasks and threads that it starts,
    and in what LangChain starts for it (`batch`, `RunnableParallel`, agents). Threads that ran before the
    block count if they are handed the context, or the tracker as a callback. Blocks may be nested: the outer
    one counts what the inner one does.

    Example:
        ```python
        with track_usage() as usage:
            llm.invoke("What is a llama?", config={"tags": ["search"]})
        print(usage.total_cost, usage.by_model, usage.by_tag["search"].total_tokens)
        ```

    Args:
        prices: Model id or ARN → USD per 1,000,000 input and output tokens, where the catalogue has no price.
    """
    outer = _tracker.get()
    tracker = UsageTracker(prices=prices, outer=outer)
    token = _tracker.set(tracker)
    if outer is None:
        _open.append(tracker)
    try:
        yield tracker
    finally:
        if outer is None:
            _open.remove(tracker)
        try:
            _tracker.reset(token)
        except ValueError:  # a generator that another context goes on with
            _tracker.set(outer)


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class ImportedModelCost:
    """What a model of Custom Model Import costs to run: units and minutes, not tokens. Storage is extra.

    AWS's user guide prints the formula with "windows / 60"; by its own words ("billing rate per CMU per min")
    a window is five minutes at that rate, which is what is computed here.

    Args:
        units: Custom model units of one copy: ``customModelUnits.customModelUnitsPerModelCopy`` of
            GetImportedModel.
        price: USD per unit and minute, from AWS's price list for the units' version and the Region.
        copies: Copies that Bedrock runs at a time; it adds some under load (CloudWatch: ModelCopy).
    """

    units: int
    price: float
    copies: int = 1

    def __post_init__(self) -> None:
        if self.units < 1 or self.copies < 1 or not self.price > 0:
            raise ValueError(
                f"units={self.units}, price={self.price}, copies={self.copies}: all must be positive"
            )

    @property
    def per_window(self) -> float:
        """USD of five minutes, the least that is billed."""
        return self.units * self.copies * self.price * WINDOW_SECONDS / 60

    def cost(self, used: float | UsageTotals | UsageTracker) -> float:
        """USD of a time without a pause, or of calls that were tracked.

        Args:
            used: Seconds from the first call to the last, or what `track_usage` counted: its ``by_model`` of
                the model's ARN (or the tracker, if no other model was called).
        """
        if isinstance(used, UsageTracker):
            used = used.total
        if isinstance(used, UsageTotals):
            return used.windows * self.per_window
        if used < 0:
            raise ValueError(f"{used} seconds: a time is not negative")
        return math.ceil(used / WINDOW_SECONDS) * self.per_window

    def per_million_tokens(self, used: UsageTotals) -> float | None:
        """USD per 1,000,000 tokens at the load that was tracked; None if there were none."""
        return self.cost(used) * 1_000_000 / used.total_tokens if used.total_tokens else None
