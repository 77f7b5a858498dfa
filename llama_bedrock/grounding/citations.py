"""From an answer with marks to citations that were checked, while the answer streams; no I/O."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import islice

from langchain_core.documents import Document

from llama_bedrock.grounding.answers import Citation
from llama_bedrock.grounding.claims import Verifier
from llama_bedrock.grounding.marks import Mark, MarkReader
from llama_bedrock.grounding.verdicts import CitedParts
from llama_bedrock.prompts.passages import NO_ANSWER, EchoFilter
from llama_bedrock.text import content_words, has_content_words, language_of_texts

_BOUNDARY = re.compile(  # it begins with what few characters are, for speed
    r"[.!?…。！？\n](?:(?<=[.!?…])[.!?…]{0,39}[\"”’')*_\]]{0,8}(?=\s)|(?<=[。！？])[。！？]{0,39}|(?<=\n))"
)
_LONGEST_BOUNDARY = 49
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|etc|vs|cf|dr|mrs?|ms|fig|no|approx|[a-z]|\d{1,9})\.\Z", re.IGNORECASE
)
_LONGEST_ABBREVIATION = 16
_NON_SPACE = re.compile(r"\S")
_GAP = re.compile(r"[^\S\n]*")
_SEPARATOR = re.compile(r"[\s,;]*")
_HEADING = re.compile(r"\s*#{1,6}\s")
_ITEM = re.compile(r"(?:[-*+•]|\(?\d{1,3}[.)])\s")
_REFUSAL = re.compile(
    r"(?:passage|document|context|text|source|information)s?\b.{0,60}?\b(?:do|does|did) not\b.{0,30}?"
    r"\b(?:answer|contain|mention|provide|include|specify|say|cover|hold|give|state)"
    r"|\b(?:cannot|could not|can't|couldn't|unable to)\b.{0,20}\b(?:find|answer|determine)\b",
    re.IGNORECASE | re.DOTALL,
)
_LONGEST_REFUSAL = 400


class CitationReader:
    """Reads an answer piece by piece and gives its clean text and, statement by statement, its citations.

    Attributes:
        parts: The parts of the answer that cite something, their citations, and what is to be verified.
        statements: Start and end of each complete statement in the clean text.
    """

    def __init__(
        self, documents: Mapping[int, Document], verifier: Verifier | None = None, *, question: str = ""
    ) -> None:
        """Make a reader.

        Args:
            documents: What the model may cite, by number, as the model saw it.
            verifier: Judges the statements; None for `WordVerifier`.
            question: What was asked, for the verifier.
        """
        self.parts = CitedParts(verifier, question)
        self.statements: list[tuple[int, int]] = []
        self._documents = documents
        self._language = language_of_texts([document.page_content for document in documents.values()])
        self._marks = MarkReader(documents, refusal=NO_ANSWER.rstrip("."))
        self._echo = EchoFilter()
        self._done = 0  # end of the last complete statement
        self._scanned = 0  # no boundary before this place
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
    def citations(self) -> list[Citation]:
        """All citations so far."""
        return self.parts.citations

    @property
    def grounded_fraction(self) -> float:
        """Share of the complete statements that carry a supported citation."""
        return self.parts.share(True)

    @property
    def undecided_fraction(self) -> float:
        """Share of the complete statements with an undecided citation, and none that is supported."""
        return self.parts.share(None)

    @property
    def says_no_answer(self) -> bool:
        """Whether the answer is that the documents hold none: in our words, or in the model's and without a
        mark.
        """
        if self.text.casefold().startswith(NO_ANSWER.rstrip(".").casefold()):
            return True
        short = len(self.text) < _LONGEST_REFUSAL
        return short and not self._marks.marks and bool(_REFUSAL.search(self.text))

    def feed(self, text: str) -> tuple[str, tuple[Citation, ...]]:
        """Take a piece of the answer; returns the new clean text and the citations of newly complete
        statements.
        """
        before = len(self.citations)
        new = self._marks.feed(self._echo.feed(text))
        self._advance(closing=False)
        return new, tuple(self.citations[before:])

    def close(self, *, cut: bool = False) -> tuple[str, tuple[Citation, ...]]:
        """Take the end of the answer; ``cut`` says that a limit ended it. Returns as :meth:`feed`."""
        before = len(self.citations)
        new = self._marks.feed(self._echo.close()) + self._marks.close(cut=cut)
        self._advance(closing=True)
        return new, tuple(self.citations[before:])

    def _advance(self, *, closing: bool) -> None:
        while (end := self._next_boundary()) is not None:
            self._finish(end)
        if closing and self._done < len(self.text):
            self._finish(len(self.text))

    def _next_boundary(self) -> int | None:
        """Where the current statement ends, once the text that follows makes it certain."""
        text = self.text
        for match in _BOUNDARY.finditer(text, self._scanned):
            if self._is_no_end(match):
                self._scanned = match.end()
                if _NON_SPACE.search(text, self._done, self._scanned) is None:
                    self._done = self._scanned  # blank lines are looked at once
                continue
            end = self._past_marks(match.end())
            if not _NON_SPACE.search(text, end):
                return None  # a mark that belongs to the statement may still come
            return end
        self._scanned = max(self._scanned, len(text) - _LONGEST_BOUNDARY)
        return None

    def _is_no_end(self, match: re.Match[str]) -> bool:
        """Whether a boundary is none: in code, before anything was said, or an abbreviation."""
        if self._in_code(match.start()):
            return True
        if match[0] == "\n":
            return _NON_SPACE.search(self.text, self._done, match.start()) is None
        start = max(self._done, match.end() - _LONGEST_ABBREVIATION)
        return _ABBREVIATION.search(self.text[start : match.end()]) is not None

    def _past_marks(self, end: int) -> int:
        """The end of the marks that follow ``end`` on the same line: ``It hums. [1][2]``."""
        position = bisect_left(self._marks.marks, end, key=lambda mark: mark.start)
        for mark in islice(self._marks.marks, position, None):
            if not _GAP.fullmatch(self.text, end, mark.start):
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
        first = _NON_SPACE.search(self.text, start, end)
        start = first.start() if first else end
        marks = self._marks_between(start, end)
        piece = self.text[start:end].rstrip()
        if not _ITEM.match(piece):
            self._lead = piece if piece.endswith(":") else ""
        lead = self._lead or (self._without_marks(*self._previous).strip() if self._previous else "")
        says = self._says(self._without_marks(start, end))
        texts: dict[tuple[int, int], str] = {}  # parts that say nothing share the text of the whole
        for span, group in self._claims(start, end, marks, says=says):
            named = [((mark.start, mark.end), mark.numbers) for mark in group]
            if span not in texts:
                texts[span] = self._without_marks(*span).strip()
            self.parts.cite(span, texts[span], named, self._documents, lead)
        if marks or self._states_something(start, end):
            self.parts.end_statement()
            self.statements.append((start, start + len(piece)))
        if says:
            self._previous = (start, end)

    def _marks_between(self, start: int, end: int) -> list[Mark]:
        marks = self._marks.marks
        first = bisect_left(marks, start, key=lambda mark: mark.start)
        return marks[first : bisect_left(marks, end, key=lambda mark: mark.start)]

    def _states_something(self, start: int, end: int) -> bool:
        piece = self.text[start:end].rstrip()
        if piece.endswith((":", "?")) or _HEADING.match(piece) or self._in_code(start):
            return False
        return self._says(piece, words=3)

    def _claims(
        self, start: int, end: int, marks: list[Mark], *, says: bool
    ) -> list[tuple[tuple[int, int], list[Mark]]]:
        """Each group of neighbouring marks with the part of the statement that it follows (or leads).

        Args:
            start: Of the statement.
            end: Of the statement.
            marks: In it.
            says: Whether it says anything.
        """
        groups: list[list[Mark]] = []
        for mark in marks:
            if groups and _SEPARATOR.fullmatch(self.text, groups[-1][-1].end, mark.start):
                groups[-1].append(mark)
            else:
                groups.append([mark])
        if not groups:
            return []
        before = self.text[start : groups[0][0].start]
        at_end = len(groups) == 1 and not self.text[marks[-1].end : end].strip(".!?… \n")
        leading = not (says if at_end else self._says(before))
        said = content_words(self.text[start:end], self._language) if leading else []
        last = start + said[-1].start if said else start
        # A part that says nothing is about the statement; if that says nothing either, about the one before.
        whole = self._trimmed(self._previous[0] if self._previous and not says else start, end)
        claims = []
        for i, group in enumerate(groups):
            if leading and last >= group[-1].end:
                span = group[0].start, groups[i + 1][0].start if i + 1 < len(groups) else end
            else:
                span = groups[i - 1][-1].end if i else start, group[-1].end
            alone = len(groups) == 1 and not leading  # the whole statement
            says_part = says if alone else self._says(self._without_marks(*span))
            claims.append((self._trimmed(*span) if says_part else whole, group))
        return claims

    def _says(self, text: str, words: int = 1) -> bool:
        """Whether a text has so many words that carry something."""
        return has_content_words(text, self._language, words)

    def _trimmed(self, start: int, end: int) -> tuple[int, int]:
        piece = self.text[start:end]
        return start + len(piece) - len(piece.lstrip(" \t\n,;")), start + len(piece.rstrip())

    def _without_marks(self, start: int, end: int) -> str:
        pieces = []
        for mark in self._marks_between(start, end):
            pieces.append(self.text[start : mark.start])
            start = mark.end
        return "".join([*pieces, self.text[start:end]])
