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

# Chosen on every other claim of a public sample and tried on the others and on further sources.
_SUPPORTED = 0.55  # share of its content words in three neighbouring sentences that makes a score of 0.5
# Share of its content words in the whole passage below which a claim is not from there: of any claim, of one
# with a name or quotation that stands nowhere, of one with such a number or code.
_ABSENT, _ABSENT_WITH_NAME, _ABSENT_WITH_NUMBER = 0.45, 0.55, 0.65


class WordVerifier(Runnable[list[Claim], list[Verdict]]):
    """Verifies claims by their words alone: no model, no network, milliseconds.

    ``score`` says how much of the statement stands in the passages: it grows with the share of its content
    words in three neighbouring sentences, and is halved where a number or code stands nowhere. From 0.5 a
    claim is rather supported than not.

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
    best = max(range(len(found)), key=lambda n: (found[n].whole, found[n].share, found[n].follows))
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
    missing = frozenset.intersection(*(f.missing for f in found))
    unnamed = frozenset.intersection(*(f.unnamed for f in found))
    score = min(1.0, near / _SUPPORTED / 2) / (2 if missing else 1)
    what = "not in the passage: " + ", ".join(sorted(missing | unnamed)) if missing or unnamed else ""
    if anywhere < (_ABSENT_WITH_NUMBER if missing else _ABSENT_WITH_NAME if unnamed else _ABSENT):
        reason = what or f"{1 - anywhere:.0%} of its words stand nowhere in the passage"
        return False, min(score, 0.49), reason
    if what:
        return None, score, what
    if best.denied:
        return None, score, "one of the two denies what the other says"
    if best.follows and not best.missing and not best.unnamed:
        return True, max(score, 0.5), "nearly word for word"
    return None, score, "its words stand there in part, or in another order"
