"""What summaries of a conversation used: written by the guard that makes them, for the one that counts."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage
from typing_extensions import TypedDict


class SummaryUsage(TypedDict):
    """What the summaries of a conversation used so far.

    Tokens and US dollars are of all calls; `unpriced_calls` are those that do not tell what they cost.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    usd: float
    unpriced_calls: int


NOTHING = SummaryUsage(calls=0, input_tokens=0, output_tokens=0, usd=0.0, unpriced_calls=0)


def with_replies(before: SummaryUsage | None, replies: Sequence[AIMessage]) -> SummaryUsage:
    """What was used after these answers of a model that summarises."""
    used = SummaryUsage(**(before or NOTHING))
    for reply in replies:
        usage = reply.usage_metadata
        cost = usage.get("total_cost") if usage else None
        used["calls"] += 1
        used["input_tokens"] += usage["input_tokens"] if usage else 0
        used["output_tokens"] += usage["output_tokens"] if usage else 0
        used["usd"] += float(str(cost or 0.0))
        used["unpriced_calls"] += cost is None
    return used


def since(before: SummaryUsage | None, now: SummaryUsage | None) -> SummaryUsage:
    """What was used between two moments of a conversation."""
    then, used = before or NOTHING, now or NOTHING
    return SummaryUsage(
        calls=used["calls"] - then["calls"],
        input_tokens=used["input_tokens"] - then["input_tokens"],
        output_tokens=used["output_tokens"] - then["output_tokens"],
        usd=used["usd"] - then["usd"],
        unpriced_calls=used["unpriced_calls"] - then["unpriced_calls"],
    )
