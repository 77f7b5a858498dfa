"""A text as clauses: what a part of a sentence, a list item or a row of a table says, of what, and where."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from llama_bedrock.grounding.claim_words import STOP_WORDS, Word, content_words, sentences, words
from llama_bedrock.grounding.meaning import Polarity, bounds, denied, polarity
from llama_bedrock.grounding.quantities import Quantity, quantities

_AUXILIARY = (
    r"(?:is|are|was|were|has|have|had|does|do|did|can|cannot|could|will|would|should|must|may|might)\b"
)
_SAID = rf"(?:(?:it|they|he|she|we|you|there)\s|(?:\S+\s)?{_AUXILIARY})"
_SAID_AFTER_COMMA = (
    rf"(?:(?:it|they|he|she|we|you|there|its|their|the|this|these)\s|(?:\S+\s){{0,3}}?{_AUXILIARY})"
)
_SPLIT = re.compile(
    r";\s+|\s+[–—]\s+|(?<=\w):\s+(?=\S+\s\S+\s\S+)"
    r"|,?\s+(?=(?:but|while|whereas|although|though|however|because|unless|so that|yet|sondern|aber|während|"
    r"mais|tandis que|pero|mientras|ma|mentre|mas|enquanto)\b)"
    r"|,\s+(?=(?:so|which|who|where|if|when|since|until)\s)"
    rf"|,\s+(?=(?:and|or|et|y|und|e)\s+{_SAID_AFTER_COMMA})"
    rf"|\s+(?=and\s+{_SAID})",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"^(?:and\s+|so\s+)?(?:unlike|contrary to|if|when|unless|once|whenever|although|while|because|since|wenn|"
    r"falls|si|se|quando|cuando|quand)\b[^,]{3,120},\s+",
    re.IGNORECASE,
)
_UNSPACED_SPLIT = re.compile(r"[，、；,;]")
_PRONOUN = re.compile(
    r"^\W*(?:when|if|to|by|for|in|on|at|during|with|without|as|from|after|before|because|since|unlike|like|despite|"
    r"instead|once|until|through|via|using|based|according|given|bei|mit|nach|vor|wenn|pour|dans|si|para|con|por)\b"
    r"|^\W*(?:and|but|or|nor|then|und|et|y|e)\s+(?:then\s+|also\s+)?(?:is|are|was|were|has|have|had|does|do|did|can|"
    r"cannot|could|will|would|should|must|may|might|ist|hat|est|a|es|ha)\b"
    r"|^\W*(?:and|but|so|or|then|also|while|whereas|because|which|who|that)?\W*(?:it|they|he|she|this|these|those|"
    r"that|which|who|its|their|his|her|there|we|you|i|er|sie|es|il|elle|ils|elles|esto|eso)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<![\w])[A-ZÀ-ÖØ-Þ][\w’'-]*\w|(?<![\w])[A-Z]\b")
_LEADING_NAME = re.compile(
    r"[\W_]*(?:(?:and|but|while|whereas|then)\s+)?(?:[Tt]he\s+|[Aa]n?\s+)?"
    r"((?-i:[A-ZÀ-ÖØ-Þ][\w’'.-]*)(?:\s+(?:[A-ZÀ-ÖØ-Þ][\w’'.-]*|\d[\w.]*\w|\d))*)",
)
_ROW = re.compile(r"^\s*\|.*\|\s*$")
_RULE = re.compile(r"[\s|:\-+=]+\Z")
_ITEM = re.compile(r"^\s*(?:[-*+•‣◦·]|\(?\d{1,3}[.)])\s+")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+")
_FENCE = re.compile(r"^\s*(?:```|~~~)")


@dataclass(slots=True)
class Clause:
    """A clause, and what its words can be taken with.

    Attributes:
        text: As it stands there.
        start: Where it starts in its text.
        end: Where it ends.
        sentence: Number of its sentence, item or row.
        words: All its words, in order.
        content: Forms of the words that are no stop words.
        subject: Form of its first content word; None where it begins with a pronoun or has none.
        names: Forms of its capitalised words.
        context: Forms of the headings above it, of the names of its columns, of the line that leads its list.
        polarity: Whether it denies, by itself or by the line that leads its list.
        denied: Forms of the words that the negation is about.
        block: ``"prose"``, ``"item"``, ``"row"`` or ``"code"``.
        group: Number of the table or list it is from; 0 for none.
        key: For a row the forms of its first cell.
        columns: For a row the first row of its table.
        leading_name: Forms of the capitalised words it begins with.
    """

    text: str
    start: int
    end: int
    sentence: int
    words: list[Word]
    content: frozenset[str]
    subject: str | None
    names: frozenset[str]
    context: frozenset[str]
    polarity: Polarity
    denied: frozenset[str]
    bounds: frozenset[str]
    quantities: list[Quantity]
    block: str = "prose"
    group: int = 0
    key: frozenset[str] = frozenset()
    columns: str = ""
    leading_name: frozenset[str] = frozenset()

    @property
    def has_named_subject(self) -> bool:
        """Whether it begins with a capitalised word that is no pronoun."""
        return self.subject is not None and self.subject in self.leading_name


def split_clauses(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each clause of a sentence."""
    starts = [0]
    condition = _CONDITION.match(text)
    if condition:
        starts.append(condition.end())
    pattern = _SPLIT if " " in text.strip() else _UNSPACED_SPLIT
    starts += [match.end() for match in pattern.finditer(text) if match.end() > starts[-1]]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        if text[start:end].strip():
            yield start, end


def subject_of(text: str, found: list[Word]) -> str | None:
    """Form of the first word of a clause that is no stop word and no number; None after a pronoun."""
    if _PRONOUN.match(text):
        return None
    return next((word.form for word in found if not word.is_number), None)


def leading_name(text: str) -> frozenset[str]:
    """Forms of the capitalised words and versions that a text begins with, behind an article."""
    match = _LEADING_NAME.match(text)
    if not match or match[1].split()[0].lower() in STOP_WORDS:
        return frozenset()
    return frozenset(word.form for word in words(match[1]))


def names_in(text: str) -> frozenset[str]:
    """Forms of the capitalised words of a text, without those that are only the first of a sentence."""
    found: set[str] = set()
    for match in _NAME.finditer(text):
        before = text[: match.start()].rstrip(" \t\"'“”«»*_`([|-–—")
        is_first = not before or before[-1] in ".!?:;\n#"
        if match[0].lower() in STOP_WORDS or match[0] == "I":
            continue
        if is_first and not re.search(r"[A-Z0-9]", match[0][1:]):
            continue
        found.update(word.form for word in words(match[0]) if len(word.form) > 1)
    return frozenset(found)


def _kind(piece: str, *, in_code: bool) -> str:
    if in_code:
        return "code"
    if _HEADING.match(piece):
        return "heading"
    return "row" if _ROW.match(piece) else "item" if _ITEM.match(piece) else "prose"


class ClauseReader:
    """Reads the clauses of a document."""

    def __init__(self, text: str) -> None:
        """Make a reader."""
        self._text = text
        self._heading: list[str] = []
        self._lead = ""
        self._columns = ""
        self._group = 0
        self._in_code = False
        self._before = "prose"

    def read(self) -> Iterator[Clause]:
        """The clauses, in order."""
        for number, (start, end) in enumerate(sentences(self._text)):
            yield from self._sentence(number, start, end)

    def _sentence(self, number: int, start: int, end: int) -> Iterator[Clause]:
        for first, last, in_code in self._segments(start, end):
            yield from self._segment(number, first, last, in_code=in_code)

    def _segments(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """The stretches of a sentence inside and outside of fenced code, without the fences."""
        first = at = start
        for line in self._text[start:end].splitlines(keepends=True):
            if _FENCE.match(line):
                yield first, at, self._in_code
                self._in_code = not self._in_code
                first = at + len(line)
            at += len(line)
        yield first, end, self._in_code

    def _segment(self, number: int, start: int, end: int, *, in_code: bool) -> Iterator[Clause]:
        piece = self._text[start:end]
        kind = _kind(piece, in_code=in_code)
        if not piece.strip() or (kind == "row" and _RULE.match(piece)):
            return
        if kind == "heading":
            self._heading = [piece]
        if kind in ("row", "item") and kind != self._before:
            self._group += 1
            self._columns = piece if kind == "row" else ""
        spans = [(0, len(piece))] if kind in ("code", "row", "heading") else list(split_clauses(piece))
        for first, last in spans:
            yield self._clause(number, start + first, start + last, kind)
        if kind == "prose":
            self._lead = piece if piece.rstrip().endswith(":") else ""
        self._before = kind

    def _clause(self, number: int, start: int, end: int, kind: str) -> Clause:
        piece = self._text[start:end]
        found = words(piece)
        content = content_words(piece)
        above = [*self._heading, self._columns if kind == "row" else "", self._lead if kind == "item" else ""]
        context = frozenset(w.form for text in above for w in content_words(text))
        key = frozenset[str]()
        if kind == "row":
            key = frozenset(w.form for w in content_words(piece.strip().strip("|").split("|")[0]))
        denies = polarity(piece)
        if kind == "item":
            denies = denies.under(polarity(self._lead))
        return Clause(
            piece,
            start,
            end,
            number,
            found,
            frozenset(w.form for w in content),
            subject_of(piece, content),
            names_in(piece),
            context,
            Polarity() if kind == "code" else denies,
            frozenset(w.form for w in content_words(denied(piece))),
            bounds(piece) if kind != "code" else frozenset(),
            quantities(piece),
            kind,
            self._group if kind in ("row", "item") else 0,
            key,
            self._columns if kind == "row" else "",
            leading_name(piece),
        )


class ClauseIndex:
    """The clauses of a document, found by the words in them."""

    def __init__(self, text: str) -> None:
        """Make the index."""
        self.text = text
        self.clauses = list(ClauseReader(text).read())

    @cached_property
    def by_form(self) -> dict[str, list[int]]:
        """Positions of the clauses that hold a form."""
        where: dict[str, list[int]] = {}
        for at, clause in enumerate(self.clauses):
            for form in clause.content:
                where.setdefault(form, []).append(at)
        return where

    @cached_property
    def with_numbers(self) -> list[int]:
        """Positions of the clauses that hold numbers."""
        return [at for at, clause in enumerate(self.clauses) if clause.quantities]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Every form, of stop words too."""
        return frozenset(word.form for clause in self.clauses for word in clause.words)

    @cached_property
    def names(self) -> frozenset[str]:
        """Forms of all names, with what begins a sentence like one."""
        return frozenset[str]().union(*(clause.names | clause.leading_name for clause in self.clauses))

    @cached_property
    def main_name(self) -> frozenset[str]:
        """The name that the document is about: one that it says far more often than any other."""
        counts = Counter(name for clause in self.clauses for name in clause.names if not name.isdecimal())
        top = [*counts.most_common(2), ("", 0)]
        is_clear = len(top) > 1 and top[0][1] >= max(3, 2 * top[1][1])
        return frozenset((top[0][0],)) if is_clear else frozenset()

    @cached_property
    def by_beginning(self) -> dict[str, set[str]]:
        """Forms by their first four letters; a participle by those of its verb, too (``gegründet``)."""
        found: dict[str, set[str]] = {}
        for form in self.by_form:
            for start in {form[:4], form.removeprefix("ge")[:4]}:
                found.setdefault(start, set()).add(form)
        return found

    def at(self, position: int) -> int:
        """Number of the clause that holds a place of the text."""
        return max(0, bisect_right(self._starts, position) - 1)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Start and end of some sentences, by their numbers."""
        numbers = self._numbers
        start = self.clauses[bisect_left(numbers, first)].start
        return start, max(
            clause.end for clause in self.clauses[bisect_left(numbers, first) : bisect_right(numbers, last)]
        )

    @cached_property
    def _starts(self) -> list[int]:
        return [clause.start for clause in self.clauses]

    @cached_property
    def _numbers(self) -> list[int]:
        return [clause.sentence for clause in self.clauses]
