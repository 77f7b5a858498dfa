"""Finds the place of a document that says what one part of a claim says."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llama_bedrock.grounding.claim_parts import Part, holds_literal
from llama_bedrock.grounding.claim_words import content_words
from llama_bedrock.grounding.clauses import Clause, ClauseIndex
from llama_bedrock.grounding.contradictions import Place, contradicts
from llama_bedrock.grounding.meaning import synonyms
from llama_bedrock.grounding.quantities import Quantity, quantities

_CANDIDATES = 8  # places that are looked at closely
_NEAR = 2  # sentences beside a clause that may go on about the same
_TOPIC = 8  # sentences back to the name that "it" stands for
_RIVAL = 0.1  # a place with a score this much lower than the best one cannot overrule it
_MISPLACED = 2.0  # what a word counts that is missing here and stands nearby, said of something else
_FROM_CONTEXT = 0.5  # what a word of the headings counts for finding a place
_CAPITALS = re.compile(r"\b(?:[A-Z][\w-]*\s+){1,5}[A-Z][\w-]*")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one document has for one part of a claim.

    Attributes:
        span: The place; None where there is none.
        score: Share of the part's words that stand there.
        found: Which ones, by form.
        missing: Numbers, names and code that must stand there and do not.
        contradicts: It says something else with these words.
        passes: It backs the part.
    """

    span: tuple[int, int] | None = None
    score: float = 0.0
    found: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    contradicts: bool = False
    passes: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What counts as said in every sentence of a document.

    Attributes:
        forms: Forms of the words of its title, its headings and its source.
        numbers: Of its title and headings; those in the name of a file say nothing.
    """

    forms: frozenset[str]
    numbers: tuple[Quantity, ...]

    @classmethod
    def read(cls, headings: str, source: str) -> Context:
        """Read it."""
        forms = frozenset(w.form for w in content_words(f"{headings} | {source}") if not w.is_number)
        return cls(forms, tuple(quantities(headings)))


def look_for(part: Part, index: ClauseIndex, context: Context, needed: float) -> Finding:
    """Look for the place of a document that says what a part of a claim says.

    Args:
        part: The part.
        index: The document.
        context: What counts as said in every sentence.
        needed: Share of the part's words that the place must hold.
    """
    search = _Search(part, index, context)
    lost = frozenset(literal for literal in part.literals if not holds_literal(index.text, literal))
    judged = [search.judge(at, needed, lost) for at in search.candidates()]
    findings = [finding for finding in judged if finding is not None]
    if not findings:
        return Finding(missing=lost | {number.form for number in part.numbers} | part.names)
    best = max(findings, key=lambda finding: finding.score)
    rivals = [f for f in findings if f.passes and f.score >= best.score - _RIVAL]
    return max(rivals, key=lambda finding: finding.score) if rivals else best


class _Search:
    """The search for one part in one document."""

    def __init__(self, part: Part, index: ClauseIndex, context: Context) -> None:
        self.part = part
        self.index = index
        self.context = context
        self.alike = {form: self._alike(form) for form in part.weights if not form[:1].isdecimal()}
        self.said = frozenset(part.weights).union(*self.alike.values())

    def _alike(self, form: str) -> frozenset[str]:
        """Forms of the document that can stand for one of the claim."""
        there = self.index.by_form
        found = {form} | {other for other in synonyms(form) if other in there or other in self.context.forms}
        if len(form) >= 5:
            beginnings = {form[:4], form.removeprefix("ge")[:4]}
            near = set[str]().union(*(self.index.by_beginning.get(start, ()) for start in beginnings))
            found.update(other for other in near if _is_related(form, other))
        return frozenset(found)

    def candidates(self) -> list[int]:
        """Positions of the clauses that hold most of the part."""
        scores: dict[int, float] = defaultdict(float)
        for form, weight in self.part.weights.items():
            places: set[int] = set()
            for other in self.alike.get(form, (form,)):
                places.update(self.index.by_form.get(other, ()))
            for at in places:
                scores[at] += weight
        if self.part.numbers:
            for at in self.index.with_numbers:
                there = self.index.clauses[at].quantities
                scores[at] += sum(number.is_backed_by(there) for number in self.part.numbers)
        for at in scores:
            above = self.index.clauses[at].context
            scores[at] += _FROM_CONTEXT * sum(not above.isdisjoint(alike) for alike in self.alike.values())
        return sorted((at for at in scores if scores[at]), key=lambda at: (-scores[at], at))[:_CANDIDATES]

    def judge(self, at: int, needed: float, lost: frozenset[str]) -> Finding | None:
        """What a place says of the part; None where a clause beside it says more of it."""
        core = self.index.clauses[at]
        window = self._window(at)
        most = self._held(core)
        if any(self._held(clause) > most for clause in window):
            return None
        place = self._place(at, core, window)
        found = set(place.found)
        missing = {number.form for number in self.part.numbers} - found | self._lost_names(place) | lost
        wrong = contradicts(place)
        score = self._score(at, found)
        enough = score >= needed and len(found) >= min(2, len(self.part.weights))
        if core.block == "code" and self.part.literals and not lost:
            enough = enough or score >= needed / 2
        passes = enough and not missing and not wrong
        span = self._span(core, window)
        return Finding(span, score, place.found, frozenset(missing), wrong, passes)

    def _place(self, at: int, core: Clause, window: Sequence[Clause]) -> Place:
        around = core.context | self.context.forms | self._topic(at)
        own = frozenset[str]().union(*(clause.content for clause in window))
        numbers = [*self.context.numbers, *(q for clause in window for q in clause.quantities)]
        found = {
            f for f, alike in self.alike.items() if not own.isdisjoint(alike) or not around.isdisjoint(alike)
        }
        for number in self.part.numbers:
            in_words = number.is_word and number.unit is None  # "two ways are …" can be the claim's own count
            if (
                number.is_backed_by(numbers)
                or number.form in around
                or (in_words and all(q.raw or q.is_backed_by(self.part.numbers) for q in numbers))
            ):
                found.add(number.form)
        return Place(
            self.part, core, tuple(window), tuple(numbers), own | around, frozenset(found), self.alike
        )

    def _score(self, at: int, found: set[str]) -> float:
        """Share of the words that were found; those that stand nearby instead count double."""
        core = self.index.clauses[at]
        near: set[str] = set()
        for clause in self.index.clauses[max(0, at - 6) : at + 7]:
            if abs(clause.sentence - core.sentence) <= _NEAR + 1:
                near |= clause.content
        total = sum(
            weight * (_MISPLACED if form not in found and form in near else 1.0)
            for form, weight in self.part.weights.items()
        )
        return sum(w for form, w in self.part.weights.items() if form in found) / total if total else 1.0

    def _held(self, clause: Clause) -> float:
        """How much of the part one clause holds by itself."""
        held = sum(
            self.part.weights[f] for f, alike in self.alike.items() if not clause.content.isdisjoint(alike)
        )
        return held + sum(number.is_backed_by(clause.quantities) for number in self.part.numbers)

    def _window(self, at: int) -> list[Clause]:
        """The clauses that go on about the same as one: of its sentence and those beside it, as long as their
        subject is none that the part does not speak of; of the rows of a table those that the part names.
        """
        clauses = self.index.clauses
        core = clauses[at]
        if core.block == "row" and core.key <= self.said:
            rows = [c for c in clauses if c.group == core.group and c.key and c.key <= self.said]
            return [core, *(row for row in rows if row is not core)]
        window = [core]
        if core.block in ("row", "heading") or not self._is_about(core):
            return window
        for step in (-1, 1):
            position = at + step
            while 0 <= position < len(clauses):
                clause = clauses[position]
                near = abs(clause.sentence - core.sentence) <= _NEAR
                if not near or not self._is_about(clause) or clause.block in ("row", "heading"):
                    break
                if step > 0 and clause.has_named_subject and clause.subject not in core.content:
                    break  # it goes on about somebody else
                window.append(clause)
                position += step
        return window

    def _is_about(self, clause: Clause) -> bool:
        return clause.block == "code" or clause.subject is None or clause.subject in self.said

    def _topic(self, at: int) -> frozenset[str]:
        """The name in the nearest sentence before a clause that begins with one: what "it" may stand for."""
        clauses = self.index.clauses
        core = clauses[at]
        if core.block == "row" or not self._is_about(core) or core.names - self.said:
            return frozenset()  # it has a name of its own where the part has another
        main = self.index.main_name
        for clause in reversed(clauses[max(0, at - 30) : at]):
            if core.sentence - clause.sentence > _TOPIC:
                break
            if clause.has_named_subject:
                return main | clause.leading_name
        return main

    def _lost_names(self, place: Place) -> set[str]:
        """Names of the part that were not found; where the clause has other names, they must be in itself."""
        part, core = self.part, place.core
        rivals = core.names - self.said
        nearby = core.content | core.context | self.context.forms if rivals else place.found
        known = part.names | (part.leading_name & self.index.names)
        lost = {
            name
            for name in known & part.weights.keys()
            if name not in place.found or nearby.isdisjoint(self.alike.get(name, (name,)))
        }
        if not rivals:
            lost -= part.acronyms
        return self._without_initials(lost) if lost else lost

    def _without_initials(self, lost: set[str]) -> set[str]:
        """The names that are neither the initials of one in the document, nor have theirs there."""
        there = {"".join(w[0] for w in m[0].split()).lower() for m in _CAPITALS.finditer(self.index.text)}
        for match in _CAPITALS.finditer(self.part.text):
            if "".join(word[0] for word in match[0].split()).lower() in self.index.vocabulary:
                lost -= {word.form for word in content_words(match[0])}
        return {name for name in lost if name not in there}

    def _span(self, core: Clause, window: Iterable[Clause]) -> tuple[int, int]:
        """The sentences of the core and of the clauses that add words to it."""
        held = {form for form, alike in self.alike.items() if not core.content.isdisjoint(alike)}
        numbers = [number for number in self.part.numbers if number.is_backed_by(core.quantities)]
        chosen = {core.sentence}
        for clause in sorted(window, key=lambda clause: abs(clause.sentence - core.sentence)):
            more = {form for form, alike in self.alike.items() if not clause.content.isdisjoint(alike)} - held
            new = [n for n in self.part.numbers if n not in numbers and n.is_backed_by(clause.quantities)]
            if more or new:
                held |= more
                numbers += new
                chosen.add(clause.sentence)
        return self.index.span(min(chosen), max(chosen))


def _is_related(form: str, other: str) -> bool:
    """Whether two forms share most of their letters from the start, or differ by a letter in many."""
    if len(form) > 6 and abs(len(form) - len(other)) == 1:
        longer, shorter = sorted((form, other), key=len, reverse=True)
        if any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer))):
            return True
    for a, b in ((form, other), (form.removeprefix("ge"), other.removeprefix("ge"))):
        shared = 0
        for x, y in zip(a, b, strict=False):
            if x != y:
                break
            shared += 1
        if shared >= max(4, 0.7 * max(len(a), len(b))):
            return True
    return False
