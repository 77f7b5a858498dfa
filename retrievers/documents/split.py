"""Split documents into chunks along their structure, keeping exact character offsets.

Headings (Markdown, HTML and DOCX, reStructuredText) bound the sections, and the splitters of
langchain-text-splitters cut what is still too long. Offsets are counted, never searched for: the splitter is
asked for a partition of the text (no overlap, nothing stripped), and overlap and trimming move the two ends
of a chunk afterwards. So ``document.page_content[start_index:end_index] == chunk.page_content`` always holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.retrievers.documents.document_copies import document_maker
from llama_bedrock.retrievers.documents.headings import HEADINGS

if TYPE_CHECKING:
    from langchain_text_splitters import TextSplitter

CHUNK_SIZE = 1200
CHUNK_OVERLAP = 120

# Paragraphs, lines, sentences (Latin and CJK), clauses, words: the first that fits is used.
_PROSE_SEPARATORS = [
    r"\n\n+",
    r"\n",
    r"(?<=[.!?…])[\"'”’)\]]*\s+",
    r"(?<=[。！？])",
    r"(?<=[;:,，、；])\s*",
    r"\s+",
]
_WORD_START = re.compile(r"(?<=\s)\S")
_LINE_START = re.compile(r"(?<=\n)[^\n]")
_BLANK_LINES = re.compile(r"(?:[^\S\n]*\n)*")
_VERBATIM = frozenset({"text", "markdown", "rst", "code"})
_FORMAT_OF_SUFFIX = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "rst",
    ".html": "markdown",
    ".docx": "markdown",
}


@dataclass(frozen=True, slots=True)
class _Section:
    start: int
    end: int
    headings: tuple[str, ...]


@refuses_wrong_kinds
def split_documents(
    documents: Iterable[Document], *, chunk_size: int = CHUNK_SIZE, chunk_overlap: int = CHUNK_OVERLAP
) -> list[Document]:
    """Cut documents into chunks along headings, code blocks, paragraphs and sentences.

    A chunk keeps its document's metadata and adds ``start_index`` and ``end_index`` (characters in the
    document's text), ``heading`` (``"A > B"``) where it lies under headings, and moves ``line`` to its own
    first line. Its id is derived from the document's id, the offset and the text, so that splitting again
    gives the same ids. No chunk spans two sections, except that short ones are joined with the next.

    Args:
        documents: From :func:`load_documents`, or any others.
        chunk_size: Longest chunk, in characters (about a quarter as many tokens in English). Default 1200.
        chunk_overlap: Characters repeated from the chunk before, in the same section, from the beginning of a
            word, or of a line of source code; counted in ``chunk_size``. Default 120.

    Raises:
        ValueError: The sizes make no sense.
    """
    if chunk_size < 1 or not 0 <= chunk_overlap < chunk_size:
        raise ValueError(
            "chunk_size must be positive, and chunk_overlap less than it and not negative; "
            f"got {chunk_size} and {chunk_overlap}"
        )
    cutter = _Cutter(chunk_size, chunk_overlap)
    return [chunk for document in documents for chunk in _split(document, cutter)]


def _split(document: Document, cutter: _Cutter) -> Iterator[Document]:
    text, make = document.page_content, document_maker()
    format = _format_of(document)
    # In other documents "language" may be one that people speak.
    language = document.metadata.get("language") if format == "code" else None
    line, counted = 0, 0  # lines that end before that place
    first_line = document.metadata.get("line") if format in _VERBATIM else None
    for section in _merge_short(text, _sections(text, format), cutter.chunk_size // 5, cutter.chunk_size):
        for start, end in cutter.spans(text, section, language):
            metadata: dict[str, Any] = {**document.metadata, "start_index": start, "end_index": end}
            if section.headings:
                metadata["heading"] = " > ".join(section.headings)
            if start and isinstance(first_line, int):
                line += text.count("\n", counted, start) - text.count("\n", start, counted)
                counted = start
                metadata["line"] = first_line + line
            chunk = text[start:end]
            yield make(chunk, metadata, _chunk_id(document, start, chunk))


def _format_of(document: Document) -> str:
    known = document.metadata.get("format")
    if isinstance(known, str):
        return known
    return _FORMAT_OF_SUFFIX.get(PurePath(str(document.metadata.get("source", ""))).suffix.lower(), "text")


def _chunk_id(document: Document, start: int, text: str) -> str:
    origin = (
        str(document.metadata.get("source", "")),
        str(document.metadata.get("document_id", document.id or "")),
    )
    identity = "\0".join((*origin, str(start), text))
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# Sections


def _sections(text: str, format: str) -> list[_Section]:
    """The text cut before each heading; the sections cover it without gaps."""
    headings = HEADINGS.get(format)
    sections: list[_Section] = []
    path: list[tuple[int, str]] = []
    start = 0
    for position, level, title in headings(text) if headings else ():
        if position > start:
            sections.append(_Section(start, position, tuple(title for _, title in path)))
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, title))
        start = position
    sections.append(_Section(start, len(text), tuple(title for _, title in path)))
    return sections


def _merge_short(text: str, sections: list[_Section], short: int, longest: int) -> Iterator[_Section]:
    """Join each section shorter than ``short`` with the next: a lone heading is no chunk of its own."""
    pending: _Section | None = None
    for section in sections:
        if pending is None:
            pending = section
        elif pending.end - pending.start < short and section.end - pending.start <= longest:
            pending = _Section(pending.start, section.end, _joint_path(text, pending, section))
        else:
            yield pending
            pending = section
    if pending is not None:
        yield pending


def _joint_path(text: str, first: _Section, second: _Section) -> tuple[str, ...]:
    """The second section's path if the first is only a heading above it, else what the two paths share."""
    lines = [line for line in text[first.start : first.end].splitlines() if any(map(str.isalnum, line))]
    depth = len(first.headings)
    is_heading_only = not lines or lines[-1].strip("# \t") in first.headings[-1:]
    if is_heading_only and second.headings[:depth] == first.headings:
        return second.headings
    shared = 0
    while shared < min(depth, len(second.headings)) and first.headings[shared] == second.headings[shared]:
        shared += 1
    return first.headings[:shared]


# Spans


class _Cutter:
    """Cuts a section into spans of at most ``chunk_size`` characters."""

    def __init__(self, chunk_size: int, chunk_overlap: int) -> None:
        self.chunk_size = chunk_size
        self.chunk_overlap = chunk_overlap
        self._splitters: dict[str | None, TextSplitter] = {}

    def spans(self, text: str, section: _Section, language: str | None) -> Iterator[tuple[int, int]]:
        if section.end - section.start <= self.chunk_size:
            pieces = [text[section.start : section.end]]
        else:
            pieces = list(self._cut(language, text[section.start : section.end]))
        position = section.start
        for piece in pieces:
            start, end = position, position + len(piece)
            position = end
            if not piece.strip():
                continue
            # The indentation of its first line belongs to source code.
            blank = _BLANK_LINES.match(piece) if language else None
            start += len(piece) - len(piece.lstrip()) if blank is None else blank.end()
            end -= len(piece) - len(piece.rstrip())
            begins = _LINE_START if language else _WORD_START
            yield self._with_overlap(text, section.start, start, end, begins), end

    def _cut(self, language: str | None, text: str) -> Iterator[str]:
        # What has no separator at all comes back whole. Splitting it into characters, as the splitter would
        # if it were given an empty separator, takes three seconds per megabyte.
        size = max(self.chunk_size - self.chunk_overlap, 1)
        for piece in self._splitter(language).split_text(text):
            yield from (piece[start : start + size] for start in range(0, len(piece), size))

    def _with_overlap(self, text: str, floor: int, start: int, end: int, begins: re.Pattern[str]) -> int:
        """The start of a chunk moved back by the overlap, to where a word or, of source code, a line
        begins.
        """
        room = min(self.chunk_overlap, self.chunk_size - (end - start))
        if room <= 0:
            return start
        if start - room <= floor:
            before = text[floor:start]
            return floor + len(before) - len(before.lstrip())
        found = begins.search(text, start - room, start)
        return found.start() if found else start

    def _splitter(self, language: str | None) -> TextSplitter:
        if language not in self._splitters:
            splitters = require("langchain_text_splitters", "local")
            separators = _PROSE_SEPARATORS if language is None else _code_separators(language)
            self._splitters[language] = splitters.RecursiveCharacterTextSplitter(
                separators=separators,
                is_separator_regex=True,
                keep_separator=True,
                strip_whitespace=False,
                chunk_size=max(self.chunk_size - self.chunk_overlap, 1),
                chunk_overlap=0,
            )
        return self._splitters[language]


def _code_separators(language: str) -> list[str]:
    """Where source code is cut: before definitions, where the language's are known, then at lines."""
    splitters = require("langchain_text_splitters", "local")
    definitions: list[str] = []
    with suppress(ValueError):  # a language that langchain-text-splitters does not know, or not yet
        known = splitters.RecursiveCharacterTextSplitter.get_separators_for_language(
            splitters.Language(language)
        )
        definitions = [separator for separator in known if separator]
    return [*definitions, r"\n\n", r"\n", r"\s+"]
