"""Answers to a question out of passages: the sentences that fit it best, or none.

Nothing is generated. First the passage that covers most of the question is found: its words, weighted by how
much they say, in the passage as a whole and in its best run of sentences, and a little by its rank, for the
retriever knows more than the words. Then its sentences are ranked by the words of the question they hold
themselves, find in the headings above them or have beside them, and by what the question asks for (a number,
a time, a reason …). Where the best passage covers too little of the question there is no answer.

The numbers below were set on one half of the questions of a documentation corpus (cookbook-docs, 100
questions) and checked on the other. Of the best four passages of BM25 and LSA, the answers cite relevant
documents only for 78 % and 68 % of the questions, and hold at least half of the words of the reference
answer for 46 % and 54 %. Without the relevant documents there is still an answer to 70 % of the
questions: what is left in that corpus is about the same things, and words alone do not tell it apart.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llama_bedrock.local.engines.lexicon import specificity, terms, words
from llama_bedrock.local.engines.matching import Matcher
from llama_bedrock.local.engines.question import Question
from llama_bedrock.local.engines.sentences import Unit, split_units
from llama_bedrock.prompts.passages import Passage

_FROM_HEADING = 0.6  # what a term counts that stands in the heading, and so on
_FROM_NEIGHBOUR = 0.4
_WINDOW = 4  # units of the best run
_RANK_PRIOR = (0.15, 0.1, 0.05)
_SAME_SOURCE = 0.92  # share of the best passage's score that another one needs to be used, too
_OTHER_SOURCE = 1.0
_PART = 0.75  # share of a part of the question that another passage must cover
_PART_GAIN = 0.25  # and by how much more than the best one
_MOST_UNITS = 200  # that are looked at for an answer
_NEXT_TO_CHOSEN = 0.4  # share of the best unit's score that a unit gains beside a chosen one
_POINTER = re.compile(
    r"(?:learn more|read (?:more|our|the)|see |for more|for (?:further )?details|check out|visit |click here|"
    r"get started|sign up|your feedback|thank)",
    re.IGNORECASE,
)
"""Sentences that send the reader elsewhere."""
_URL = re.compile(r"https?://\S+")
_OF_CODE = frozenset(terms("command snippet syntax"))
"""What a block of code is, without saying so."""
_MARK = re.compile(r"\s?\[\d+(?:,\s*\d+)*\]")


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of the answer and the number of the passage it is from.

    Attributes:
        text: As it stands there.
        number: Of the passage.
        is_code: It is a block of code.
        is_line: It is a list item or a table row, which has a line of its own.
    """

    text: str
    number: int
    is_code: bool = False
    is_line: bool = False


@dataclass(slots=True)
class _Candidate:
    """A unit of a passage, with what is needed to score it."""

    unit: Unit
    own: frozenset[str]
    context: frozenset[str]
    length: int
    score: float = 0.0


@dataclass(slots=True)
class _Source:
    """A passage and its units."""

    passage: Passage
    candidates: list[_Candidate]
    coverage: float = 0.0
    score: float = 0.0

    @property
    def document(self) -> str:
        """The document it is from, without page or line."""
        return self.passage.source.split(",")[0]


def answer(question: str, passages: Sequence[Passage]) -> list[Statement]:
    """Find the statements that answer a question.

    Args:
        question: Any text.
        passages: As they stand in the prompt, best first.

    Returns:
        Statements in reading order; none where the passages do not hold the answer.
    """
    asked = Question.read(question)
    sources = [source for passage in passages if (source := _read(passage, question)).candidates]
    if not sources or not asked.terms:
        return []
    plain = {term: specificity(term, is_name=term in asked.names) for term in asked.terms}
    matcher = Matcher(plain, _union(c.own | c.context for source in sources for c in source.candidates))
    for rank, source in enumerate(sources):
        _weigh_source(source, rank, matcher)
    best = max(sources, key=lambda source: source.score)
    if not _is_answerable(asked, matcher, sources):
        return []
    used = [source for source in sources if _is_used(source, best, asked, matcher)]
    weights = _with_rarity(plain, sources)
    for source in used:
        _score_units(source, asked, matcher, weights)
    chosen = _chosen(used, best, asked)
    chosen |= _completing(chosen, used, asked)
    return _statements(_with_headers(chosen, used), used)


def _read(passage: Passage, question: str) -> _Source:
    title = frozenset(terms(passage.title or ""))
    candidates = []
    for unit in split_units(passage.text):
        if not _is_navigation(unit) and not _asks(unit, question):
            own = frozenset(terms(_URL.sub(" ", unit.text))) | (
                _OF_CODE if unit.kind == "code" else frozenset()
            )
            context = title | frozenset(terms(unit.heading))
            candidates.append(_Candidate(unit, own, context, len(words(unit.text))))
    return _Source(passage, candidates)


def _asks(unit: Unit, question: str) -> bool:
    """Whether a unit is an example of asking this very question, as documentation of a program has."""
    return unit.kind == "code" and question.strip().casefold() in unit.text.casefold()


def _is_navigation(unit: Unit) -> bool:
    """Whether a unit is what an extracted page has besides its text: a run of titles without a sentence."""
    if unit.kind != "prose" or unit.text.endswith((".", "!", "?", ":", "。")):
        return False
    said = [word for word in unit.text.split() if word.isalpha()]
    capitals = sum(word[0].isupper() for word in said)
    return len(said) >= 8 and capitals >= 0.4 * len(said)


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)


def _weigh_source(source: _Source, rank: int, matcher: Matcher) -> None:
    """How much of the question a passage covers, as a whole and at its best place."""
    candidates = source.candidates
    whole = matcher.covered(_union(c.own | c.context for c in candidates))
    runs = range(max(1, len(candidates) - _WINDOW + 1))
    best = max(
        matcher.covered(_union(c.own for c in candidates[at : at + _WINDOW]) | candidates[at].context)
        for at in runs
    )
    source.coverage = best
    source.score = (whole + best) / 2 + (_RANK_PRIOR[rank] if rank < len(_RANK_PRIOR) else 0.0)


def _is_answerable(question: Question, matcher: Matcher, sources: Sequence[_Source]) -> bool:
    """Whether the passages cover enough: more of a short question, and its names and numbers."""
    needed = 0.5 + 0.3 * math.exp(-(len(question.terms) - 1) / 2.5)
    everything = _union(c.own | c.context for source in sources for c in source.candidates)
    missing = [
        name for name in question.names if name in matcher.weights and matcher.found(name, everything) < 1
    ]
    if missing:
        needed += 0.12 if any(name[0].isdigit() for name in missing) else 0.05
    return max(source.coverage for source in sources) >= needed


def _is_used(source: _Source, best: _Source, question: Question, matcher: Matcher) -> bool:
    """Whether a passage is as good as the best one, or answers a part of the question that one does not."""
    share = _SAME_SOURCE if source.document == best.document else _OTHER_SOURCE
    if source.score >= share * best.score:
        return True
    here, there = (_union(c.own | c.context for c in s.candidates) for s in (source, best))
    for part in question.parts:
        held = matcher.covered_part(part, here)
        if held >= _PART and held - matcher.covered_part(part, there) >= _PART_GAIN:
            return True
    return False


def _with_rarity(weights: dict[str, float], sources: Sequence[_Source]) -> dict[str, float]:
    """The weights, more for terms that few units of the passages hold."""
    candidates = [c for source in sources for c in source.candidates]
    frequency = Counter(term for c in candidates for term in c.own | c.context)
    total = len(candidates)
    most = math.log(2 * total + 2)
    return {
        term: weight
        * (0.4 + 0.6 * math.log(1 + (total - frequency[term] + 0.5) / (frequency[term] + 0.5)) / most)
        for term, weight in weights.items()
    }


def _score_units(source: _Source, question: Question, matcher: Matcher, weights: dict[str, float]) -> None:
    total = sum(weights.values())
    candidates = source.candidates
    leads = _leads(candidates)
    for at, candidate in enumerate(candidates):
        beside = [candidates[n].own for n in (at - 1, at + 1, leads[at]) if 0 <= n < len(candidates)]
        neighbours = _union(beside)
        own = reached = 0.0
        for term, weight in weights.items():
            here = matcher.found(term, candidate.own)
            own += weight * here
            above = _FROM_HEADING * matcher.found(term, candidate.context)
            reached += weight * max(here, above, _FROM_NEIGHBOUR * matcher.found(term, neighbours))
        candidate.score = (own + reached) / (2 * total) * _quality(candidate, question)
        if question.fits(candidate.unit.text):
            candidate.score += 0.15 * min(1.0, 2 * reached / total)
        if question.is_about_another(candidate.unit.text):
            candidate.score *= 0.35


def _leads(candidates: Sequence[_Candidate]) -> list[int]:
    """For each unit of a list, table or code block the position of the unit before the block, else -1."""
    leads: list[int] = []
    for at, candidate in enumerate(candidates):
        same = at > 0 and candidates[at - 1].unit.block == candidate.unit.block
        leads.append(-1 if candidate.unit.kind in ("prose", "heading") else leads[-1] if same else at - 1)
    return leads


def _quality(candidate: _Candidate, question: Question) -> float:
    """What the shape of a unit says about its worth as an answer, 0 to 1."""
    if candidate.unit.kind == "heading":
        return 0.2
    if candidate.unit.text.endswith("?"):
        return 0.3
    if candidate.unit.kind == "row" and candidate.unit.heading.endswith(candidate.unit.text):
        return 0.3  # the names of the columns
    quality = 1.0
    if len(candidate.own - set(question.terms)) < 2 and candidate.unit.kind != "row":
        quality *= 0.6
    if candidate.length < 4 and candidate.unit.kind == "prose":
        quality *= 0.6
    if candidate.length > 60:
        quality *= 60 / candidate.length
    if _POINTER.match(candidate.unit.text):
        quality *= 0.5
    if candidate.unit.kind == "prose" and candidate.unit.text[-1].isalnum():
        quality *= 0.7  # a title, or a sentence that was cut
    if candidate.unit.kind == "code" and not question.wants_code:
        quality *= 0.5
    return quality


def _chosen(used: Sequence[_Source], best: _Source, question: Question) -> set[tuple[int, int]]:
    """Units by (source, position): the best one, then those that are near it in worth, up to the length of an
    answer. A unit beside a chosen one is worth a little more; what introduces a list brings the list along.
    """
    scores = {
        (s, at): candidate.score * (1.0 if source is best else 0.9)
        for s, source in enumerate(used)
        for at, candidate in enumerate(source.candidates)
    }
    scores = dict(sorted(scores.items(), key=lambda item: -item[1])[:_MOST_UNITS])
    top = max(scores.values())
    chosen: set[tuple[int, int]] = set()
    said: set[str] = set()
    length = 0
    while scores and length < question.length:
        bonus = {
            p: _NEXT_TO_CHOSEN * top for p in _beside(chosen) if p in scores and _goes_on(used, p, question)
        }
        place = max(scores, key=lambda p: scores[p] + bonus.get(p, 0.0))
        worth = scores.pop(place) + bonus.get(place, 0.0)
        candidates = used[place[0]].candidates
        candidate = candidates[place[1]]
        if chosen and worth < question.worth * top:
            break
        if chosen and (
            length + candidate.length > question.length
            or len(candidate.own - said) < 0.3 * len(candidate.own)
        ):
            continue
        for at in (place[1], *_introduced(candidates, place[1])):
            if at != place[1] and length + candidates[at].length > question.length + 40:
                break
            chosen.add((place[0], at))
            scores.pop((place[0], at), None)
            said |= candidates[at].own
            length += candidates[at].length
    return chosen


def _completing(
    chosen: set[tuple[int, int]], used: Sequence[_Source], question: Question
) -> set[tuple[int, int]]:
    """Where a time, an amount, a person or a place is asked for and no chosen unit has one: the unit before
    the first one, or after it, if that has it. Dates and sizes often stand in a line of their own.
    """
    if question.kind not in ("time", "amount", "person", "place"):
        return set()
    if any(question.fits(used[s].candidates[at].unit.text) for s, at in chosen):
        return set()
    s, first = min(chosen)
    for at in (first - 1, first + 1, first - 2):
        if 0 <= at < len(used[s].candidates) and question.fits(used[s].candidates[at].unit.text):
            return {(s, at)}
    return set()


def _beside(chosen: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(s, at + step) for s, at in chosen for step in (-1, 1)} - chosen


def _goes_on(used: Sequence[_Source], place: tuple[int, int], question: Question) -> bool:
    """Whether a unit can be the continuation of the one beside it. A heading is none; the rows of a table and
    the items of a list stand side by side without that, unless it is a list that is asked for.
    """
    unit = used[place[0]].candidates[place[1]].unit
    kind = unit.kind
    if kind == "heading" or question.is_about_another(unit.text):
        return False
    return kind != "row" and (kind != "item" or question.kind in ("list", "method"))


def _with_headers(chosen: set[tuple[int, int]], used: Sequence[_Source]) -> set[tuple[int, int]]:
    """With the first row of each table of which a row was chosen: it names the columns."""
    headers = set()
    for s, at in chosen:
        candidates = used[s].candidates
        if candidates[at].unit.kind == "row":
            block = candidates[at].unit.block
            headers.add((s, next(n for n, c in enumerate(candidates) if c.unit.block == block)))
    return chosen | headers


def _introduced(candidates: Sequence[_Candidate], at: int) -> list[int]:
    """The positions of the block that a unit ending in a colon introduces."""
    following = at + 1
    if not candidates[at].unit.text.endswith(":") or following >= len(candidates):
        return []
    block = candidates[following].unit.block
    return [n for n in range(following, len(candidates)) if candidates[n].unit.block == block]


def _statements(chosen: set[tuple[int, int]], used: Sequence[_Source]) -> list[Statement]:
    statements: dict[str, Statement] = {}
    for s, at in sorted(chosen):
        unit = used[s].candidates[at].unit
        text = unit.text if unit.kind == "code" else _MARK.sub("", unit.text).strip()
        if text:
            statements.setdefault(
                text,
                Statement(text, used[s].passage.number, unit.kind == "code", unit.kind in ("item", "row")),
            )
    return list(statements.values())
