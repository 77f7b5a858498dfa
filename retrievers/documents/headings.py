"""Find the headings of Markdown and reStructuredText, with their character offsets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

Heading: TypeAlias = tuple[int, int, str]
"""Offset of its first character, level (1 is the highest), title."""

FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?=\s)")
_SETEXT = re.compile(r"=+|-{3,}")
_RST_ADORNMENT = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}")
# An id that Pandoc, kramdown, MkDocs and Docusaurus take off the heading: {#install}, {: #install .wide}.
_ANCHOR = re.compile(r"\s*\{:?\s{0,9}#[^{}\s]{1,200}[^{}]{0,200}\}$")


def markdown_headings(text: str) -> Iterator[Heading]:
    """Each ATX (``# A``) and setext (underlined) heading outside front matter, fenced code and HTML
    comments.
    """
    front_matter = FRONT_MATTER.match(text)
    position = front_matter.end() if front_matter else 0
    fence, previous, previous_start, in_comment = "", "", 0, False
    for line in text[position:].splitlines(keepends=True):
        body = line.strip()
        if fence:
            if body.startswith(fence) and not body.strip(fence[0]):
                fence = ""
            body = ""
        elif in_comment or body.startswith("<!--"):
            in_comment = "-->" not in (body if in_comment else body[4:])
            body = ""
        elif body[:1] in ("`", "~") and (opening := _FENCE.match(line)):
            fence, body = opening[1], ""
        elif body[:1] == "#" and (atx := _ATX.match(line)):
            title = _title(body[len(atx[1]) :])
            if title:
                yield position, len(atx[1]), title
            body = ""
        elif (
            previous
            and body[:1] in ("=", "-")
            and _SETEXT.fullmatch(body)
            and not previous.startswith(("-", "|", ">", "*"))
        ):
            yield previous_start, 1 if body[0] == "=" else 2, _title(previous)
            body = ""
        previous, previous_start = body, position
        position += len(line)


def _title(line: str) -> str:
    """The words of a heading without its closing marks and its anchor."""
    line = line.strip()
    if line.endswith("}") and "{" in line[-420:]:
        start = max(len(line) - 420, 0)
        line = line[:start] + _ANCHOR.sub("", line[start:])
    return line.rstrip("#").strip()


def rst_headings(text: str) -> Iterator[Heading]:
    """Each underlined heading; the styles rank in their order of appearance, as in docutils."""
    styles: dict[str, int] = {}
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
        level = styles.setdefault(adorned[1] * (2 if over else 1), len(styles) + 1)
        yield positions[number - (2 if over else 1)], level, title.strip()


def looks_like_rst(text: str) -> bool:
    """True for plain text whose headings are underlined as in reStructuredText: two or more, each alone.

    Tables of dashes and rules between paragraphs are underlined, too; a heading stands after an empty line,
    and its line is as long as what underlines it, give or take a few characters.
    """
    lines = text[:200_000].split("\n")
    found = 0
    for number, line in enumerate(lines[1:], 1):
        underline, title = line.rstrip(), lines[number - 1].rstrip()
        if len(underline) < 3 or underline[0] not in "=-~^*+#" or not _RST_ADORNMENT.fullmatch(underline):
            continue
        above = lines[number - 2].strip() if number >= 2 else ""
        is_title = title[:1].strip() != "" and any(map(str.isalpha, title)) and "  " not in title
        after = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if is_title and abs(len(underline) - len(title)) <= 3 and above in ("", underline):
            found += 1 + (underline[0] == "=" and after == "")
        if found >= 2:
            return True
    return False


HEADINGS: dict[str, Callable[[str], Iterator[Heading]]] = {"markdown": markdown_headings, "rst": rst_headings}
"""The finder of each format that has headings."""
