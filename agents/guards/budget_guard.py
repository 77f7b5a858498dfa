"""Keep an agent within a budget of calls, tokens, money and time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, NotRequired

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    PrivateStateAttr,
    hook_config,
)
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.runtime import Runtime
from langgraph.types import Command
from typing_extensions import TypedDict

from llama_bedrock.agents.guards.agent_messages import pending_calls, refuse_calls
from llama_bedrock.agents.guards.summary_usage import SummaryUsage, since
from llama_bedrock.agents.rag.rag_prompt import unwrap
from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.usage import costs_at, list_price

_NOT_RUN = "Not run: the budget of this run is used up."


class BudgetSpent(TypedDict):
    """What a run has used: model calls, tokens, US dollars, and the time (Unix) it began.

    `summaries_before` is what `ContextGuard`'s summaries had used by then.
    """

    calls: int
    tokens: int
    usd: float
    started: float
    summaries_before: NotRequired[SummaryUsage]


class BudgetState(AgentState[Any]):
    """The agent's state with what was spent; kept with checkpoints, so a resumed run goes on counting."""

    budget_spent: NotRequired[Annotated[BudgetSpent, PrivateStateAttr]]
    summary_usage: NotRequired[Annotated[SummaryUsage, PrivateStateAttr]]


class BudgetExceededError(Exception):
    """A run has used up its budget (with ``exit_behavior="error"``).

    Attributes:
        spent: What was used.
    """

    def __init__(self, message: str, spent: BudgetSpent) -> None:
        super().__init__(message, spent)
        self.spent = spent

    def __str__(self) -> str:
        return str(self.args[0])


@refuses_wrong_kinds
class BudgetGuard(AgentMiddleware[BudgetState, Any, Any]):
    """Ends a run when its budget is used up.

    Checked before each model call and before tools are run, so no limit is exceeded by more than the one call
    that reaches it. The summaries of a `ContextGuard` count. Model calls inside tools (sub-agents) and of
    middleware of others (LangChain's `SummarizationMiddleware`) are not seen; `track_usage` counts those too.

    Nothing is kept on the instance: one BudgetGuard can serve any number of runs at the same time.
    """

    state_schema = BudgetState

    def __init__(
        self,
        *,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_usd: float | None = None,
        max_seconds: float | None = None,
        price: tuple[float, float] | None = None,
        scope: Literal["run", "thread"] = "run",
        exit_behavior: Literal["end", "error"] = "end",
    ) -> None:
        """Set the bounds: at least one.

        Args:
            max_calls: Model calls.
            max_tokens: Input and output tokens together.
            max_usd: US dollars, by the catalogue's on-demand prices.
            max_seconds: Seconds since the run began, waiting for people included.
            price: US dollars per million input and output tokens, for models without a list price (imported
                ones).
            scope: ``"run"`` counts from each message of the user, ``"thread"`` the whole conversation.
            exit_behavior: ``"end"`` closes the run with a message that says so, ``"error"`` raises.

        Raises:
            ValueError: No limit, a limit that is not positive, or an unknown option.
        """
        super().__init__()
        limits = {"calls": max_calls, "tokens": max_tokens, "usd": max_usd, "seconds": max_seconds}
        self.limits: dict[str, float] = {name: limit for name, limit in limits.items() if limit is not None}
        if not self.limits:
            raise ValueError("give at least one of max_calls, max_tokens, max_usd and max_seconds")
        for name, limit in self.limits.items():
            if limit <= 0:
                raise ValueError(f"max_{name} must be positive, not {limit}")
        if scope not in ("run", "thread") or exit_behavior not in ("end", "error"):
            raise ValueError('scope is "run" or "thread", exit_behavior is "end" or "error"')
        self.price = price
        self.scope = scope
        self.exit_behavior = exit_behavior

    def before_agent(self, state: BudgetState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Start counting."""
        if self.scope == "thread" and "budget_spent" in state:
            return None
        spent = BudgetSpent(calls=0, tokens=0, usd=0.0, started=time.time())
        if "summary_usage" in state:
            spent["summaries_before"] = state["summary_usage"]
        return {"budget_spent": spent}

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: BudgetState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """End the run instead of a call beyond the budget."""
        return self._end_if_used_up(self._with_summaries(state), [])

    @hook_config(can_jump_to=["end"])
    def after_model(self, state: BudgetState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """End the run instead of tools whose results could not be read any more."""
        calls = pending_calls(state["messages"])
        refused = refuse_calls(calls, _NOT_RUN, "budget_guard.stopped")
        return self._end_if_used_up(self._with_summaries(state), refused) if calls else None

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        price = self._price_of(request.model)
        return _counted(request, handler(request), price, own_price=self.price is not None)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ExtendedModelResponse[Any]:
        price = self._price_of(request.model)
        return _counted(request, await handler(request), price, own_price=self.price is not None)

    def _price_of(self, model: Any) -> tuple[float, float]:
        """US dollars per million input and output tokens; asked before a call, so that none is made
        unpriced.
        """
        if self.price is not None or "usd" not in self.limits:
            return self.price or (0.0, 0.0)
        bare = unwrap(model)
        prices = []
        for called in getattr(bare, "models", None) or [bare]:  # of a Spread or Escalate: any may answer
            name = str(getattr(called, "model", ""))
            price = list_price(name, getattr(called, "region_name", None)) or list_price(name, None)
            if price is None:
                raise ValueError(
                    f"the catalogue has no price for {name or 'this model'}; give "
                    "BudgetGuard(price=(input, output)), in US dollars per million tokens"
                )
            prices.append((float(price.input), float(price.output)))
        return max(prices)

    def _with_summaries(self, state: BudgetState) -> BudgetSpent:
        """What was spent, with the summaries that `ContextGuard` has asked for meanwhile."""
        spent = _spent(state)
        used = since(spent.get("summaries_before"), state.get("summary_usage"))
        dollars = used["usd"] if self.price is None else costs_at(self.price, used)["total_cost"]
        if self.price is None and used["unpriced_calls"] and "usd" in self.limits:
            raise ValueError(
                "the model that summarises does not tell what it costs; give BudgetGuard(price=(input, "
                "output)), in US dollars per million tokens"
            )
        return BudgetSpent(
            calls=spent["calls"] + used["calls"],
            tokens=spent["tokens"] + used["input_tokens"] + used["output_tokens"],
            usd=spent["usd"] + dollars,
            started=spent["started"],
        )

    def _end_if_used_up(self, spent: BudgetSpent, before: list[AnyMessage]) -> dict[str, Any] | None:
        used = {
            "calls": float(spent["calls"]),
            "tokens": float(spent["tokens"]),
            "usd": spent["usd"],
            "seconds": time.time() - spent["started"],
        }
        over = [name for name, limit in self.limits.items() if used[name] >= limit]
        if not over:
            return None
        what = ", ".join(
            f"{_amount(name, used[name])} of {_amount(name, self.limits[name])}" for name in over
        )
        text = f"I stopped because the budget of this run is used up: {what}."
        if self.exit_behavior == "error":
            raise BudgetExceededError(text, spent)
        return {"messages": [*before, AIMessage(text)], "jump_to": "end"}


def _counted(
    request: ModelRequest[Any], response: ModelResponse[Any], price: tuple[float, float], *, own_price: bool
) -> ExtendedModelResponse[Any]:
    spent = _spent(request.state)
    usages = [m.usage_metadata for m in response.result if isinstance(m, AIMessage) and m.usage_metadata]
    dollars = sum(_dollars(usage, price, own_price) for usage in usages)
    after = spent | {
        "calls": spent["calls"] + 1,
        "tokens": spent["tokens"] + sum(usage["total_tokens"] for usage in usages),
        "usd": spent["usd"] + dollars,
    }
    return ExtendedModelResponse(response, Command(update={"budget_spent": after}))


def _dollars(usage: Any, price: tuple[float, float], own_price: bool) -> float:
    """The cost of an answer: by the price that was given, else as the answer tells it (it knows which model
    and region answered), else by the price of the model that was asked.
    """
    told = None if own_price else usage.get("total_cost")
    return costs_at(price, usage)["total_cost"] if told is None else float(told)


def _spent(state: Any) -> BudgetSpent:
    spent: BudgetSpent | None = state.get("budget_spent")
    return spent or BudgetSpent(calls=0, tokens=0, usd=0.0, started=time.time())


def _amount(name: str, value: float) -> str:
    units = {"usd": f"${value:.4f}", "seconds": f"{value:.1f} s", "calls": f"{value:.0f} model calls"}
    return units.get(name, f"{value:,.0f} tokens")
