"""Text cut into the units an answer can be made of: sentences, list items, table rows, blocks of code.

Works on plain text, Markdown and reStructuredText, and on text extracted from HTML and PDF, whose lines may
be broken anywhere. Abbreviations, decimals, initials and file names do not end a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["prose", "item", "row", "code", "heading"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of text that can be quoted.

    Attributes:
        text: As it stands in the source, line breaks and runs of white space as single spaces (code:
            unchanged).
        kind: What it is.
        heading: The nearest heading above it; for a row also the names of its columns.
        block: Number of the paragraph, list, table or code block it belongs to.
    """

    text: str
    kind: Kind
    heading: str
    block: int


_FENCE = re.compile(r"\s*(```|~~~)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.*?)\s*#*\s*\Z")
_UNDERLINE = re.compile(r"\s*([=\-~^\"'`*+#])\1{2,}\s*\Z")
_ITEM = re.compile(r"\s*(?:[-*+•‣◦·]|\(?\d{1,3}[.)]|[a-zA-Z][.)])\s+(?=\S)")
_ROW = re.compile(r"\s*\|.*\||[^|]*\s\|\s[^|]*\s\|\s")
_ROW_RULE = re.compile(r"[\s|:\-+=]+\Z")
_ABBREVIATED = """
al approx art assn ave ca cf co corp dept dr ed eds eg e.g ca est etc fig figs gen gov hon ie i.e inc
jan feb mar apr jun jul aug sep sept oct nov dec jr lt ltd max min mr mrs ms mt no nos op p pp ph.d prof
rep rev sec sen sr st tel u.k u.s u.s.a v vol vs
"""
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
_BOUNDARY = re.compile(r"(?:[.!?…][\"'”’)\]*_]*|[。！？]+[」』）]?)(?=\s+|(?<=[。！？」』）])|\Z)")
_STARTS_SENTENCE = re.compile(r"[\"'“‘(\[*_`]*[A-Z0-9\u0080-\uffff$#<]")
_LONG_LINE = 60
_LONGEST_HEADING = 80


def split_units(text: str) -> list[Unit]:
    """Cut a text into units, in order."""
    units: list[Unit] = []
    heading = ""
    columns = ""
    number = 0
    before: Kind | None = None
    for kind, lines in _blocks(text.split("\n")):
        number += not (kind == before == "item")  # the items of a list are one block
        before = kind
        if kind == "heading":
            heading = _joined(lines)
            units.append(Unit(heading, "heading", heading, number))
        elif kind == "code":
            code = "\n".join(lines).strip("\n")
            if code.strip():
                units.append(Unit(code, "code", heading, number))
        elif kind == "row":
            rows = [line for line in lines if not _ROW_RULE.match(line)]
            columns = _joined(rows[:1]) if len(rows) > 1 else ""
            units += [Unit(_joined([row]), "row", f"{heading} {columns}".strip(), number) for row in rows]
        else:
            units += [Unit(s, kind, heading, number) for s in split_sentences(_joined(lines))]
    return units


def split_sentences(text: str) -> list[str]:
    """Cut prose into sentences."""
    found: list[str] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        rest = text[match.end() :].lstrip()
        if rest and match[0][0] == "." and not _ends_sentence(text[start : match.start()], rest):
            continue
        sentence = text[start : match.end()].strip()
        if sentence:
            found.append(sentence)
        start = match.end()
    tail = text[start:].strip()
    return [*found, tail] if tail else found


def _ends_sentence(before: str, rest: str) -> bool:
    """Whether a full stop between these ends a sentence."""
    last = before.rsplit(None, 1)[-1].lstrip("(\"'“‘[") if before.strip() else ""
    if last.lower() in _ABBREVIATIONS or (len(last) == 1 and last.isupper()):
        return False
    if last.isdigit() and len(last) <= 2 and before.strip() == last:
        return False  # the number of a list item
    return _STARTS_SENTENCE.match(rest) is not None


def _blocks(lines: list[str]) -> Iterator[tuple[Kind, list[str]]]:
    """The blocks of a text: what belongs together, with its kind."""
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif _FENCE.match(line):
            end = next((n for n in range(at + 1, len(lines)) if _FENCE.match(lines[n])), len(lines))
            yield "code", lines[at + 1 : end]
            at = end + 1
        elif _is_heading(lines, at):
            match = _HEADING.match(line)
            yield "heading", [match[1] if match else line]
            at += 2 if at + 1 < len(lines) and not match and _UNDERLINE.match(lines[at + 1]) else 1
        elif _ROW.match(line):
            end = next((n for n in range(at, len(lines)) if not _ROW.match(lines[n])), len(lines))
            yield "row", lines[at:end]
            at = end
        elif _UNDERLINE.match(line):
            at += 1
        else:
            end = _end_of_paragraph(lines, at)
            yield ("item" if _ITEM.match(line) else "prose"), lines[at:end]
            at = end


def _is_heading(lines: list[str], at: int) -> bool:
    line = lines[at]
    if _HEADING.match(line):
        return True
    bare = line.strip()
    following = lines[at + 1] if at + 1 < len(lines) else ""
    if len(bare) > _LONGEST_HEADING or _ITEM.match(line) or _ROW.match(line):
        return False
    if _UNDERLINE.match(following) and len(following.strip()) >= min(3, len(bare)):
        return True
    stands_alone = not following.strip() and (at == 0 or not lines[at - 1].strip())
    return stands_alone and at + 1 < len(lines) and bare[-1] not in ".!?:;,。！？" and len(bare.split()) <= 12


def _end_of_paragraph(lines: list[str], at: int) -> int:
    """Where the lines end that were one paragraph before they were broken."""
    end = at + 1
    while end < len(lines):
        before, line = lines[end - 1].rstrip(), lines[end]
        if not line.strip() or _ITEM.match(line) or _FENCE.match(line) or _HEADING.match(line):
            break
        if _ROW.match(line) or _UNDERLINE.match(line):
            break
        broken = line.lstrip()[:1].islower() or len(before) >= _LONG_LINE
        ended = before.endswith((".", "!", "?", ":", ";")) and len(before) < _LONG_LINE
        if not broken or (ended and not line.lstrip()[:1].islower()):
            break
        end += 1
    return end


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
