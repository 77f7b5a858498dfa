"""Token counts of a call, and what they cost.

LangChain adds up usage of whole numbers only (`add_usage`, and with it `UsageMetadataCallbackHandler`, raise
on a float), while checkpoints and LangSmith keep exact floats only, no subclass of one. So callbacks and
caches get the counts alone, and the message that the caller gets also holds its cost, in a dict that lets
LangChain merge the chunks of an answer (`PricedUsage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from llama_bedrock.catalog import resolve_model
from llama_bedrock.tokens import estimate_image_tokens, estimate_tokens

if TYPE_CHECKING:
    from typing import TypeVar

    from langchain_core.messages import AIMessage
    from langchain_core.messages.ai import UsageMetadata

    from llama_bedrock.catalog import ModelInfo
    from llama_bedrock.catalog.model_info import Price

    MessageT = TypeVar("MessageT", bound=AIMessage)

__all__ = [
    "call_cost",
    "cost_usd",
    "costs_at",
    "estimate_image_tokens",
    "estimate_tokens",
    "list_price",
    "sum_usage",
    "usage_metadata",
    "with_cost",
]

ATTEMPTS_KEY = "attempts"
"""Key in `response_metadata`: the calls that an answer took, in order, if there were several. Each tells
``model_name`` and ``region_name``, and its ``usage_metadata`` or, where it failed, ``error``."""

COST_KEYS = ("input_cost", "output_cost", "total_cost")
"""Entries of a message's `usage_metadata` beside the counts, in USD."""


def usage_metadata(prompt_tokens: int, output_tokens: int) -> UsageMetadata:
    """Token counts as LangChain carries them on a message."""
    return {
        "input_tokens": prompt_tokens,
        "output_tokens": output_tokens,
        "total_tokens": prompt_tokens + output_tokens,
    }


class PricedUsage(dict[str, Any]):
    """Usage with costs, to which LangChain can add usage without.

    The chunks of a stream are merged at once by chains, as ``chunks[0] + chunks[1:]``. LangChain then begins
    with zeros and adds only values that are an ``int``; it asks for each by ``get(key, 0)``. There, and only
    there, a cost says that it is one. What is added up holds plain floats again.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """As of any dict; a cost asked for with 0 as default may be added to whole numbers."""
        value = super().get(key, default)
        return (
            _Addable(value) if key in COST_KEYS and type(default) is int and type(value) is float else value
        )


class _Addable(float):
    """A float that ``isinstance(…, int)`` accepts; sums of it are plain floats."""

    __slots__ = ()

    def __add__(self, other: float) -> float:
        return float.__add__(self, other)

    __radd__ = __add__

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # read by isinstance
        return int

    def __reduce__(self) -> tuple[type, tuple[float]]:
        return float, (float(self),)


def sum_usage(left: UsageMetadata | None, right: UsageMetadata | None) -> UsageMetadata | None:
    """Tokens of two calls together, with their cost where both tell one.

    LangChain's own sum takes whole numbers only.
    """
    from langchain_core.messages.ai import add_usage

    if not left or not right:
        return left or right
    sides: list[dict[str, Any]] = [dict(left), dict(right)]
    costs = [{key: side.pop(key) for key in COST_KEYS if key in side} for side in sides]
    total = add_usage(cast("UsageMetadata", sides[0]), cast("UsageMetadata", sides[1]))
    shared = {key: costs[0][key] + costs[1][key] for key in COST_KEYS if key in costs[0] and key in costs[1]}
    return cast("UsageMetadata", {**total, **shared})


@lru_cache(maxsize=256)
def list_price(model: str, region: str | None, *, batch: bool = False) -> Price | None:
    """The catalogue's price of a model.

    Args:
        model: Model id, profile id or ARN.
        region: Region the call is made from; None for the reference price.
        batch: True for a record of a batch inference job.

    Returns:
        The price; None for what the catalogue has none for: imported and customised models, models of others.
    """
    try:
        info = resolve_model(model).info
    except ValueError:
        return None
    return None if info is None else info.price_in(region, batch=batch)


def call_cost(
    usage: Mapping[str, Any] | None, told: Mapping[str, Any], *, batch: bool = False
) -> dict[str, float] | None:
    """What a call cost: ``input_cost``, ``output_cost`` and ``total_cost`` in USD.

    Args:
        usage: `AIMessage.usage_metadata`.
        told: `AIMessage.response_metadata`, which names the model and the region that answered.
        batch: True for a record of a batch inference job.

    Returns:
        The costs; zeros for an answer out of LangChain's cache; None where the catalogue knows no price.
    """
    if not usage:
        return None
    if usage.get("total_cost") == 0:  # LangChain's mark of an answer that came out of a cache
        return dict.fromkeys(COST_KEYS, 0.0)
    if parts := answered_calls(told):
        costs = [call_cost(part["usage_metadata"], part, batch=batch) for part in parts]
        if any(cost is None for cost in costs):
            return None
        return {key: sum(cost[key] for cost in costs if cost is not None) for key in COST_KEYS}
    if told.get("latency") == "optimized":  # is billed at prices of its own, which the catalogue lacks
        return None
    price = list_price(str(told.get("model_name")), told.get("region_name"), batch=batch)
    return None if price is None else costs_at((price.input, price.output), usage)


def answered_calls(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answers that an answer is made of, as `ATTEMPTS_KEY` tells; empty where it is one model's own."""
    return [part for part in told.get(ATTEMPTS_KEY) or () if part.get("usage_metadata")]


def calls_of(message: AIMessage) -> list[dict[str, Any]]:
    """What `ATTEMPTS_KEY` tells of an answer: the calls that it took, itself if it is one."""
    told = message.response_metadata
    kept = {key: told[key] for key in ("model_name", "region_name", "latency") if key in told}
    return list(told.get(ATTEMPTS_KEY) or ()) or [
        {**kept, "usage_metadata": dict(message.usage_metadata or {})}
    ]


def with_calls_before(answer: MessageT, *earlier: AIMessage) -> MessageT:
    """The answer with what it took besides: its usage is the sum, and `ATTEMPTS_KEY` tells of each call."""
    usage, calls = answer.usage_metadata, calls_of(answer)
    for message in reversed(earlier):
        usage, calls = sum_usage(message.usage_metadata, usage), [*calls_of(message), *calls]
    told = {**answer.response_metadata, ATTEMPTS_KEY: calls}
    return answer.model_copy(update={"response_metadata": told, "usage_metadata": usage})


def costs_at(price: tuple[float, float], usage: Mapping[str, Any]) -> dict[str, float]:
    """``input_cost``, ``output_cost`` and ``total_cost`` in USD of tokens at a price.

    Args:
        price: USD per 1,000,000 input tokens, and output tokens.
        usage: Holds ``input_tokens`` and ``output_tokens``.
    """
    into = usage["input_tokens"] * price[0] / 1_000_000
    out = usage["output_tokens"] * price[1] / 1_000_000
    return {"input_cost": into, "output_cost": out, "total_cost": into + out}


def with_cost(message: MessageT, *, batch: bool = False) -> MessageT:
    """The message with its cost in `usage_metadata`; the same message where none is known.

    Args:
        message: An answer of ours.
        batch: True for a record of a batch inference job.
    """
    usage = cast("dict[str, Any] | None", message.usage_metadata)
    costs = call_cost(usage, message.response_metadata, batch=batch)
    if costs is None:
        return message
    return message.model_copy(update={"usage_metadata": PricedUsage({**(usage or {}), **costs})})


def cost_usd(
    info: ModelInfo, usage: UsageMetadata, region: str | None = None, *, batch: bool = False
) -> float | None:
    """What a call costs by the catalogue's prices.

    Args:
        info: The model; see `ResolvedModel.info`.
        usage: Tokens of the call, such as `AIMessage.usage_metadata`.
        region: Region the call was made from; None for the reference price.
        batch: True for a record of a batch inference job.

    Returns:
        USD; None where the catalogue knows no price for the region (prices are not guessed).
    """
    price = info.price_in(region, batch=batch)
    if price is None:
        return None
    return costs_at((price.input, price.output), usage)["total_cost"]
