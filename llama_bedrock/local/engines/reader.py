"""Answers to a question out of passages: the sentences that fit it best, or none.

Nothing is generated. A sentence is scored by the weighted words of the question it holds itself, finds in the
headings above it, or has beside it; what the question asks for (a number, a time, a reason, a list …) counts
as well. Where the best place holds too little of the question, there is no answer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from llama_bedrock.local.engines.lexicon import STOP_WORDS, specificity, stem, synonyms, terms, words
from llama_bedrock.local.engines.question import Question
from llama_bedrock.local.engines.sentences import Unit, split_units
from llama_bedrock.prompts.passages import Passage

ANSWERABLE = 0.5
"""Share of the question's weight that the best place must hold."""

_SYNONYM = 0.7
_RELATED = 0.6
_FROM_HEADING = 0.6
_FROM_NEIGHBOUR = 0.4
_MAX_WORDS = 130
_MARK = re.compile(r"\s?\[\d+(?:,\s*\d+)*\]")


@dataclass(slots=True)
class Candidate:
    """A unit of a passage, with what is needed to score it."""

    passage: Passage
    unit: Unit
    at: int
    own: frozenset[str]
    context: frozenset[str]
    score: float = 0.0
    coverage: float = 0.0


@dataclass(slots=True)
class Statement:
    """A sentence of the answer and the number of the passage it is from."""

    text: str
    number: int
    is_code: bool = False


@dataclass(slots=True)
class _Reading:
    question: Question
    candidates: list[Candidate]
    weights: dict[str, float] = field(default_factory=dict)


def answer(question: str, passages: Sequence[Passage]) -> list[Statement]:
    """Find the statements that answer a question.

    Returns:
        Statements in reading order; none where the passages do not hold the answer.
    """
    asked = Question.read(question)
    candidates = [c for passage in passages for c in _candidates(passage)]
    reading = _Reading(asked, candidates)
    reading.weights = _weights(asked, candidates)
    if not candidates or not reading.weights:
        return []
    for candidate in candidates:
        _score(candidate, reading)
    if not _is_answerable(reading):
        return []
    return _statements(_chosen(reading), reading)


def _candidates(passage: Passage) -> list[Candidate]:
    units = split_units(passage.text)
    title = frozenset(terms(passage.title or ""))
    own = [frozenset(terms(unit.text)) for unit in units]
    return [
        Candidate(passage, unit, at, own[at], title | frozenset(terms(unit.heading)))
        for at, unit in enumerate(units)
    ]


def _weights(question: Question, candidates: Sequence[Candidate]) -> dict[str, float]:
    """What each term of the question counts: more where it is specific, and rare in the passages."""
    total = len(candidates)
    frequency = Counter(term for candidate in candidates for term in candidate.own | candidate.context)
    weights = {}
    for term in question.terms:
        rarity = math.log(1 + (total - frequency[term] + 0.5) / (frequency[term] + 0.5)) / math.log(
            2 * total + 2
        )
        weights[term] = specificity(term, is_name=term in question.names) * (0.4 + 0.6 * rarity)
    return weights


def _found(term: str, there: frozenset[str]) -> float:
    """How far a term of the question is in a set of terms: 1 itself, less for a synonym or a related form."""
    if term in there:
        return 1.0
    if synonyms(term) & there:
        return _SYNONYM
    if len(term) >= 5 and any(_is_related(term, other) for other in there):
        return _RELATED
    return 0.0


def _is_related(term: str, other: str) -> bool:
    shared = 0
    for a, b in zip(term, other, strict=False):
        if a != b:
            break
        shared += 1
    return shared >= 5 and shared >= 0.7 * max(len(term), len(other))


def _score(candidate: Candidate, reading: _Reading) -> None:
    neighbours = frozenset[str]().union(*(other.own for other in _beside(candidate, reading)))
    own = reached = 0.0
    for term, weight in reading.weights.items():
        here = _found(term, candidate.own)
        own += weight * here
        reached += weight * max(
            here,
            _FROM_HEADING * _found(term, candidate.context),
            _FROM_NEIGHBOUR * _found(term, neighbours),
        )
    total = sum(reading.weights.values())
    candidate.coverage = reached / total
    candidate.score = (0.5 * own + 0.5 * reached) / total
    candidate.score *= _quality(candidate, reading.question)
    candidate.score += 0.15 * reading.question.fits(candidate.unit.text) * min(1.0, 2 * candidate.coverage)


def _beside(candidate: Candidate, reading: _Reading) -> list[Candidate]:
    """The units before and after it in its passage, and the line that introduces its list."""
    mine = [c for c in reading.candidates if c.passage is candidate.passage]
    near = [c for c in mine if abs(c.at - candidate.at) == 1]
    lead = _lead(candidate, mine)
    return near if lead is None or lead in near else [*near, lead]


def _lead(candidate: Candidate, mine: Sequence[Candidate]) -> Candidate | None:
    if candidate.unit.kind not in ("item", "row", "code"):
        return None
    first = next(c for c in mine if c.unit.block == candidate.unit.block)
    return mine[first.at - 1] if first.at else None


def _quality(candidate: Candidate, question: Question) -> float:
    """What the shape of a unit says about its worth as an answer, 0 to 1."""
    text = candidate.unit.text
    if candidate.unit.kind == "heading":
        return 0.2
    if text.endswith("?"):
        return 0.3
    length = len(words(text))
    new = candidate.own - set(question.terms)
    quality = 1.0
    if len(new) < 2 and candidate.unit.kind != "row":
        quality *= 0.6
    if length < 4 and candidate.unit.kind == "prose":
        quality *= 0.6
    if length > 60:
        quality *= 60 / length
    if candidate.unit.kind == "code" and not question.wants_code:
        quality *= 0.5
    return quality


def _is_answerable(reading: _Reading) -> bool:
    best = max(candidate.coverage for candidate in reading.candidates)
    everything = frozenset[str]().union(*(c.own | c.context for c in reading.candidates))
    missing = [name for name in reading.question.names if not _found(name, everything)]
    return best >= ANSWERABLE + (0.25 if missing else 0.0)


def _chosen(reading: _Reading) -> list[Candidate]:
    """The best unit, and others as long as they are near it in score and say something new."""
    ranked = sorted(reading.candidates, key=lambda c: -c.score)
    best = ranked[0]
    chosen = [best]
    said = set(best.own)
    for candidate in ranked[1:]:
        if len(chosen) >= reading.question.statements or candidate.score < 0.75 * best.score:
            break
        new = candidate.own - said
        if len(new) < 0.4 * max(1, len(candidate.own)):
            continue
        chosen.append(candidate)
        said |= candidate.own
    return chosen


def _statements(chosen: Sequence[Candidate], reading: _Reading) -> list[Statement]:
    order = {id(candidate): at for at, candidate in enumerate(reading.candidates)}
    statements: list[Statement] = []
    seen: set[str] = set()
    for candidate in sorted(chosen, key=lambda c: order[id(c)]):
        for unit in _with_list(candidate, reading):
            text = _MARK.sub("", unit.text).strip()
            if text and text not in seen:
                seen.add(text)
                statements.append(Statement(text, candidate.passage.number, unit.kind == "code"))
    return statements


def _with_list(candidate: Candidate, reading: _Reading) -> list[Unit]:
    """A unit, with what it introduces when it ends in a colon."""
    if not candidate.unit.text.endswith(":"):
        return [candidate.unit]
    mine = [c for c in reading.candidates if c.passage is candidate.passage]
    following = [c.unit for c in mine[candidate.at + 1 :]]
    block = [unit for unit in following if following and unit.block == following[0].block]
    kept: list[Unit] = []
    length = 0
    for unit in block:
        length += len(unit.text.split())
        if length > _MAX_WORDS:
            break
        kept.append(unit)
    return [candidate.unit, *kept]


__all__ = ["ANSWERABLE", "STOP_WORDS", "Statement", "answer", "stem"]
