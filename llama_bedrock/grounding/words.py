"""Verifies claims by their words alone: what was copied, and what stands nowhere.

Words cannot weigh meaning: a paraphrase and an exchanged word look alike to them. So a claim is decided only
at the two ends, and the rest is left open. The figures are in docs/rag.md, from benchmarks/grounding.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from llama_bedrock.grounding.claims import Claim, Verdict
from llama_bedrock.grounding.quotes import Found, Statement, read

# Chosen on every other claim of a public sample (that of names: on all) and tried on further sources.
_ABSENT = 0.45  # share of its content words in the whole passage below which it is not from there
_ABSENT_WITH_NAME = 0.55  # the same, where one of its names stands nowhere either
_ABSENT_WITH_NUMBER = 0.65  # the same, where one of its numbers stands nowhere either
_NUMBER_COSTS, _NAME_COSTS = (
    0.25,
    0.15,
)  # what a missing number or name takes off the score; at most two of each


class WordVerifier(Runnable[list[Claim], list[Verdict]]):
    """Verifies claims by their words alone: no model, no network, milliseconds.

    ``score`` says how much of the statement stands in the passages: the mean of the share of its content
    words in three neighbouring sentences and the share of its words in runs of two or more, less what missing
    numbers and names cost. From 0.5 a claim is rather supported than not.

    ``supported`` is True for what was copied, word for word or nearly, with all its numbers, names, code and
    quotations, unless one side denies what the other says; False where most of the words, or a number and
    many words, stand nowhere; None for all in between.
    """

    def invoke(
        self, input: list[Claim], config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Verdict]:
        """The verdicts, one for each claim."""
        return self._call_with_config(self.verify, input, config)

    def verify(self, claims: Iterable[Claim]) -> list[Verdict]:
        """As `invoke`, without a run of its own in traces."""
        return [judge(claim)[0] for claim in claims]


def judge(claim: Claim) -> tuple[Verdict, list[Found]]:
    """The verdict on a claim, and what each of its passages holds of the statement."""
    statement, passages = read(claim.statement, claim.lead, claim.passages)
    found = [passage.look_for(statement) for passage in passages]
    if not statement.content or not found:
        reason = "it cites nothing" if statement.content else "it says nothing that could be looked for"
        return Verdict(None, 0.0, reason=reason, by="words"), found
    best = max(range(len(found)), key=lambda n: (found[n].whole, found[n].share, len(found[n].copied)))
    supported, score, reason = _decide(statement, found, found[best])
    place = best if found[best].span else None
    return Verdict(supported, round(score, 3), place, found[best].span, reason, "words"), found


def _decide(statement: Statement, found: Sequence[Found], best: Found) -> tuple[bool | None, float, str]:
    if best.whole:
        if best.denied:
            return False, 0.0, "the passage denies what was copied from it"
        return True, 1.0, "copied word for word"
    count = len(statement.content)
    near = len(frozenset().union(*(f.near for f in found))) / count
    anywhere = len(frozenset().union(*(f.anywhere for f in found))) / count
    copied = len(frozenset().union(*(f.copied for f in found))) / len(statement.words)
    missing = frozenset.intersection(*(f.missing for f in found))
    names = missing & set(statement.names.values())
    exact = missing - names
    costs = _NUMBER_COSTS * min(2, len(exact)) + _NAME_COSTS * min(2, len(names))
    score = min(1.0, max(0.0, (near + copied) / 2 - costs))
    what = "not in the passage: " + ", ".join(sorted(missing)) if missing else ""
    if anywhere < (_ABSENT_WITH_NUMBER if exact else _ABSENT_WITH_NAME if names else _ABSENT):
        return (
            False,
            min(score, 0.49),
            what or f"{1 - anywhere:.0%} of its words stand nowhere in the passage",
        )
    if best.denied and not what:
        return None, score, "one of the two denies what the other says"
    if best.follows and not best.missing:
        return True, max(score, 0.5), "nearly word for word"
    return None, score, what or "its words stand there in part, or in another order"
