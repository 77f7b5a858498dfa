"""Find the headings of Markdown and reStructuredText, with their character offsets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

Heading: TypeAlias = tuple[int, int, str]
"""Offset of its first character, level (1 is the highest), title."""

FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
_SETEXT = re.compile(r"=+|-{3,}")
_RST_ADORNMENT = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}")


def markdown_headings(text: str) -> Iterator[Heading]:
    """Each ATX (``# A``) and setext (underlined) heading outside front matter and fenced code."""
    front_matter = FRONT_MATTER.match(text)
    position = front_matter.end() if front_matter else 0
    fence, previous, previous_start = "", "", 0
    for line in text[position:].splitlines(keepends=True):
        body = line.strip()
        if fence:
            if body.startswith(fence) and not body.strip(fence[0]):
                fence = ""
            body = ""
        elif opening := re.match(r" {0,3}(`{3,}|~{3,})", line):
            fence, body = opening[1], ""
        elif atx := re.match(r" {0,3}(#{1,6})(?=\s)", line):
            title = body[len(atx[1]) :].rstrip("#").strip()
            if title:
                yield position, len(atx[1]), title
            body = ""
        elif previous and _SETEXT.fullmatch(body) and not previous.startswith(("-", "|", ">", "*")):
            yield previous_start, 1 if body[0] == "=" else 2, previous
            body = ""
        previous, previous_start = body, position
        position += len(line)


def rst_headings(text: str) -> Iterator[Heading]:
    """Each underlined heading; the styles rank in their order of appearance, as in docutils."""
    styles: list[str] = []
    lines = text.splitlines(keepends=True)
    positions = [0]
    for line in lines:
        positions.append(positions[-1] + len(line))
    for number in range(1, len(lines)):
        title, underline = lines[number - 1].rstrip(), lines[number].rstrip()
        adorned = _RST_ADORNMENT.fullmatch(underline)
        if not adorned or not title.strip() or len(underline) < len(title.strip()):
            continue
        if _RST_ADORNMENT.fullmatch(title):
            continue
        over = number >= 2 and lines[number - 2].rstrip() == underline
        style = adorned[1] * (2 if over else 1)
        if style not in styles:
            styles.append(style)
        yield positions[number - (2 if over else 1)], styles.index(style) + 1, title.strip()


HEADINGS: dict[str, Callable[[str], Iterator[Heading]]] = {"markdown": markdown_headings, "rst": rst_headings}
"""The finder of each format that has headings."""
