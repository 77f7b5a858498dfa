"""From an answer with marks to citations that were checked, while the answer streams; no I/O."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from langchain_core.documents import Document

from llama_bedrock.grounding.answers import Citation, document_id, document_source, positive_int
from llama_bedrock.grounding.claim_words import content_words
from llama_bedrock.grounding.marks import Mark, MarkReader
from llama_bedrock.grounding.support import DocumentIndex, Support, find_support
from llama_bedrock.prompts.passages import NO_ANSWER

_BOUNDARY = re.compile(r"[.!?…]+[\"”’')*_\]]*(?=\s)|[。！？]+|\n")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|etc|vs|cf|dr|mrs?|ms|fig|no|approx|[a-z]|\d+)\.$", re.IGNORECASE
)
_NON_SPACE = re.compile(r"\S")
_SEPARATOR = re.compile(r"[\s,;]*")
_HEADING = re.compile(r"\s*#{1,6}\s")
_ITEM = re.compile(r"(?:[-*+•]|\(?\d{1,3}[.)])\s")
_REFUSAL = re.compile(
    r"(?:passage|document|context|text|source|information)s?\b.{0,60}?\b(?:do|does|did) not\b.{0,30}?"
    r"\b(?:answer|contain|mention|provide|include|specify|say|cover|hold|give|state)"
    r"|\b(?:cannot|could not|can't|couldn't|unable to)\b.{0,20}\b(?:find|answer|determine)\b",
    re.IGNORECASE | re.DOTALL,
)


class CitationReader:
    """Reads an answer piece by piece and gives its clean text and, statement by statement, its citations.

    Attributes:
        citations: All citations so far.
    """

    def __init__(self, documents: Mapping[int, Document]) -> None:
        """Make a reader.

        Args:
            documents: What the model may cite, by number, as the model saw it.
        """
        self.citations: list[Citation] = []
        self._documents = documents
        self._indexes: dict[int, DocumentIndex] = {}
        self._marks = MarkReader(documents, refusal=NO_ANSWER.rstrip("."))
        self._done = 0  # end of the last complete statement
        self._scanned = 0  # no boundary before this place
        self._statements = 0
        self._grounded = 0
        self._previous: tuple[int, int] | None = None
        self._lead = ""  # the line above the list that is being read

    @property
    def text(self) -> str:
        """The clean answer so far."""
        return self._marks.text

    @property
    def removed_marks(self) -> tuple[str, ...]:
        """The marks that named no document."""
        return tuple(self._marks.removed)

    @property
    def grounded_fraction(self) -> float:
        """Share of the complete statements that carry a supported citation."""
        return self._grounded / self._statements if self._statements else 0.0

    @property
    def says_no_answer(self) -> bool:
        """Whether the answer is that the documents hold none: in our words, or in the model's and without a
        mark.
        """
        if self.text.casefold().startswith(NO_ANSWER.rstrip(".").casefold()):
            return True
        return not self._marks.marks and len(self.text) < 400 and bool(_REFUSAL.search(self.text))

    def feed(self, text: str) -> tuple[str, tuple[Citation, ...]]:
        """Take a piece of the answer; returns the new clean text and the citations of newly complete
        statements.
        """
        before = len(self.citations)
        new = self._marks.feed(text)
        self._advance(closing=False)
        return new, tuple(self.citations[before:])

    def close(self, *, cut: bool = False) -> tuple[str, tuple[Citation, ...]]:
        """Take the end of the answer; ``cut`` says that a limit ended it. Returns as :meth:`feed`."""
        before = len(self.citations)
        new = self._marks.close(cut=cut)
        self._advance(closing=True)
        return new, tuple(self.citations[before:])

    def _advance(self, *, closing: bool) -> None:
        while True:
            end = self._next_boundary()
            if end is None:
                break
            self._finish(end)
        if closing and self._done < len(self.text):
            self._finish(len(self.text))

    def _next_boundary(self) -> int | None:
        """Where the current statement ends, once the text that follows makes it certain."""
        for match in _BOUNDARY.finditer(self.text, self._scanned):
            if self._is_no_end(match):
                self._scanned = match.end()
                continue
            end = self._past_marks(match.end())
            if not _NON_SPACE.search(self.text, end):
                return None  # a mark that belongs to the statement may still come
            return end
        return None

    def _is_no_end(self, match: re.Match[str]) -> bool:
        """Whether a boundary is none: in code, before anything was said, or an abbreviation."""
        if self._in_code(match.start()):
            return True
        if match[0] == "\n":
            return not self.text[self._done : match.start()].strip()
        return bool(_ABBREVIATION.search(self.text[self._done : match.end()]))

    def _past_marks(self, end: int) -> int:
        """The end of the marks that follow ``end`` on the same line: ``It hums. [1][2]``."""
        position = bisect_left(self._marks.marks, end, key=lambda mark: mark.start)
        for mark in self._marks.marks[position:]:
            gap = self.text[end : mark.start]
            if gap.strip() or "\n" in gap:
                break
            end = mark.end
        return end

    def _in_code(self, position: int) -> bool:
        spans = self._marks.code
        at = bisect_right(spans, position, key=lambda span: span[0]) - 1
        return at >= 0 and position < spans[at][1]

    def _finish(self, end: int) -> None:
        start, self._done = self._done, end
        self._scanned = max(self._scanned, end)
        start += len(self.text[start:end]) - len(self.text[start:end].lstrip())
        marks = [mark for mark in self._marks.marks if start <= mark.start < end]
        piece = self.text[start:end].rstrip()
        if not _ITEM.match(piece):
            self._lead = piece if piece.endswith(":") else ""
        supported = False
        for (claim_start, claim_end), group in self._claims(start, end, marks):
            for citation in self._cite((claim_start, claim_end), group):
                self.citations.append(citation)
                supported |= citation.supported
        if marks or self._states_something(start, end):
            self._statements += 1
            self._grounded += supported
        if content_words(self._without_marks(start, end)):
            self._previous = (start, end)

    def _states_something(self, start: int, end: int) -> bool:
        piece = self.text[start:end].rstrip()
        if piece.endswith((":", "?")) or _HEADING.match(piece) or self._in_code(start):
            return False
        return len(content_words(piece)) >= 3

    def _claims(self, start: int, end: int, marks: list[Mark]) -> list[tuple[tuple[int, int], list[Mark]]]:
        """Each group of neighbouring marks with the part of the statement that it follows (or leads)."""
        groups: list[list[Mark]] = []
        for mark in marks:
            if groups and _SEPARATOR.fullmatch(self.text, groups[-1][-1].end, mark.start):
                groups[-1].append(mark)
            else:
                groups.append([mark])
        leading = bool(groups) and not content_words(self.text[start : groups[0][0].start])
        claims = []
        for i, group in enumerate(groups):
            if leading and len(content_words(self.text[group[-1].end : end])) > 0:
                span = group[0].start, groups[i + 1][0].start if i + 1 < len(groups) else end
            else:
                span = groups[i - 1][-1].end if i else start, group[-1].end
            claims.append((self._claim_span(span, (start, end)), group))
        return claims

    def _claim_span(self, span: tuple[int, int], statement: tuple[int, int]) -> tuple[int, int]:
        """The first of the part, the whole statement and the statement before that says something."""
        for start, end in (span, statement, (self._previous[0], statement[1]) if self._previous else span):
            if content_words(self._without_marks(start, end)):
                piece = self.text[start:end]
                return start + len(piece) - len(piece.lstrip(" \t\n,;")), start + len(piece.rstrip())
        return span

    def _without_marks(self, start: int, end: int) -> str:
        pieces = []
        for mark in self._marks.marks:
            if start <= mark.start < end:
                pieces.append(self.text[start : mark.start])
                start = mark.end
        return "".join([*pieces, self.text[start:end]])

    def _cite(self, span: tuple[int, int], group: list[Mark]) -> list[Citation]:
        claim = self._without_marks(*span)
        numbers = list(dict.fromkeys(number for mark in group for number in mark.numbers))
        citations = []
        for mark in group:
            for number in mark.numbers:
                others = [self._index(other) for other in numbers if other != number]
                support = find_support(claim, self._index(number), others, lead=self._lead)
                citations.append(make_citation(number, self._documents[number], span, mark, support))
        return citations

    def _index(self, number: int) -> DocumentIndex:
        if number not in self._indexes:
            self._indexes[number] = DocumentIndex(self._documents[number])
        return self._indexes[number]


def make_citation(
    number: int, document: Document, span: tuple[int, int], mark: Mark, support: Support
) -> Citation:
    """The citation of one document by one mark."""
    metadata = document.metadata
    line = positive_int(metadata.get("line"))
    quote, offsets = "", None
    if support.span is not None:
        start, end = support.span
        quote = document.page_content[start:end]
        first = metadata.get("start_index")
        base = first if isinstance(first, int) and first >= 0 else 0
        offsets = (base + start, base + end)
        line = None if line is None else line + document.page_content.count("\n", 0, start)
    return Citation(
        number=number,
        span=span,
        quote=quote,
        source=document_source(document),
        document_id=document_id(document),
        page=positive_int(metadata.get("page")),
        line=line,
        offsets=offsets,
        supported=support.supported,
        score=round(support.score, 3),
        mark=(mark.start, mark.end),
    )
