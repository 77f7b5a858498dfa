"""Verifies claims by their words alone, which cannot weigh meaning: what they cannot show is left open.

The figures are in docs/rag.md, from benchmarks/grounding.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from llama_bedrock.grounding.claims import Claim, Verdict
from llama_bedrock.grounding.quotes import LONG, Found, Statement, read

# Chosen on claims of other sources than those that benchmarks/results/grounding.md reports.
_SUPPORTED = 0.64  # mean of the shares of a statement in one place and in all, that scores 0.5
# Share of it in a long passage, below which it is not from there where a number, quotation, code or two names
# stand nowhere; where one name does, which the passage may give another way.
_ABSENT, _STRANGE = 0.65, 0.4

Decision = tuple[bool | None, float, str]


class WordVerifier(Runnable[list[Claim], list[Verdict]]):
    """Verifies claims by their words alone: no model, no network, milliseconds.

    ``score`` says how much of the statement stands there: the mean of the shares of its content words and
    numbers in three neighbouring sentences and in the whole, halved where a number, quotation or code stands
    nowhere; from 0.5 on it is rather supported. ``supported`` is True for what was copied, word for word or
    nearly, with all its names and numbers, unless one side denies what the other says; False where a number
    stands nowhere but another of its kind does beside what else is said, and where names or a quotation, and
    many other words, stand nowhere in a long passage. None for all else.
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
    best = max(range(len(found)), key=lambda n: (found[n].whole, found[n].share, found[n].follows))
    is_long = sum(len(passage.text) for passage in passages) >= LONG
    supported, score, reason = _decide(statement, found, found[best], is_long)
    place = best if found[best].span else None
    return Verdict(supported, round(score, 3), place, found[best].span, reason, "words"), found


def _decide(statement: Statement, found: Sequence[Found], best: Found, is_long: bool) -> Decision:
    if best.whole:
        return True, 1.0, "copied word for word"
    count = len(statement.units)
    near = len(frozenset().union(*(f.near for f in found))) / count
    anywhere = len(frozenset().union(*(f.anywhere for f in found))) / count
    missing = frozenset.intersection(*(f.missing for f in found))
    unnamed = frozenset.intersection(*(f.unnamed for f in found))
    clashing = missing & frozenset().union(*(f.clashing for f in found))
    score = min(1.0, (near + anywhere) / 4 / _SUPPORTED) / (2 if missing else 1)
    what = "not in the passage: " + ", ".join(sorted(missing | unnamed)) if missing or unnamed else ""
    absent = _ABSENT if missing or len(unnamed) > 1 else _STRANGE
    if clashing or (what and is_long and anywhere < absent) or (missing and not anywhere and count > 1):
        return False, min(score, 0.49), f"{what}; there are others" if clashing else what
    if what:
        return None, score, what
    if best.denied:
        return None, score, "one of the two denies what the other says"
    if best.follows and not best.missing and not best.unnamed:
        return True, max(score, 0.5), "nearly word for word"
    return None, score, f"{anywhere:.0%} of its words stand there, which decides nothing"
