"""An answer while it is written: raw text in a pipe, rendered Markdown in a terminal.

What is complete stays as it was printed; the block that is being written, such as a paragraph or a table, is
drawn again and again in its place. So a terminal scrolls as with any program, and what is done is still.
"""

from __future__ import annotations

import re
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from llama_bedrock.cli.output import stdout, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.segment import Segment

_REDRAW_SECONDS = 0.08
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class AnswerWriter(Protocol):
    """Shows an answer piece by piece."""

    def feed(self, text: str) -> None:
        """Show a piece."""

    def end(self) -> None:
        """Show what is left, and end the line."""


def answer_writer(plain: bool = False) -> AnswerWriter:
    """What shows an answer on stdout.

    Args:
        plain: Show it raw in a terminal, too.
    """
    if plain or not sys.stdout.isatty():
        return RawAnswer()
    console = stdout()
    return RawAnswer() if console.is_dumb_terminal else RenderedAnswer(console)


class RawAnswer:
    """The text as the model writes it."""

    def __init__(self) -> None:
        self._in_line = False

    def feed(self, text: str) -> None:
        """Show a piece."""
        if text:
            write(text)
            self._in_line = not text.endswith("\n")

    def end(self) -> None:
        """End the line."""
        if self._in_line:
            write("\n")
        self._in_line = False


class RenderedAnswer:
    """Markdown as headings, lists, tables and highlighted code; its lines break between words.

    Args:
        console: A terminal that can move its cursor.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._held = ""  # the block that is being written
        self._drawn = 0  # its lines on the screen
        self._drawn_at = 0.0
        self._printed = False  # a block, above this one

    def feed(self, text: str) -> None:
        """Show a piece."""
        self._held += text
        ends = block_ends(self._held)
        if ends:
            self._erase()
            for start, end in pairwise([0, *ends]):
                self._print(self._held[start:end])
            self._held = self._held[ends[-1] :]
        elif time.monotonic() - self._drawn_at < _REDRAW_SECONDS:
            return
        self._draw()

    def end(self) -> None:
        """Show what is left."""
        self._erase()
        if self._held.strip():
            self._print(self._held)
        self._held, self._printed = "", False

    def _print(self, text: str) -> None:
        for line in self._lines(text):
            self._write_line(line)
        self._printed = True

    def _draw(self) -> None:
        """The last lines of the block that is being written, as many as the terminal can show."""
        self._erase()
        if self._held.strip():
            lines = list(self._lines(self._held))[-max(1, self._console.height - 2) :]
            for line in lines:
                self._write_line(line)
            self._drawn = len(lines)
        self._drawn_at = time.monotonic()

    def _erase(self) -> None:
        from rich.control import Control
        from rich.segment import ControlType

        if self._drawn:
            up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)) * self._drawn
            self._console.control(Control(ControlType.CARRIAGE_RETURN, *up))
        self._drawn = 0

    def _lines(self, text: str) -> Iterator[list[Segment]]:
        """The rendered lines, without the spaces that fill them up; one is empty between two blocks."""
        lines = self._console.render_lines(_markdown(text), pad=False)
        whole = [_trimmed(line) for line in lines]
        while whole and not whole[0]:
            del whole[0]
        while whole and not whole[-1]:
            whole.pop()
        if whole and self._printed:
            yield []
        yield from whole

    def _write_line(self, line: list[Segment]) -> None:
        from rich.segment import Segment, Segments

        self._console.print(Segments([*line, Segment.line()]), end="", soft_wrap=True)


def block_ends(text: str) -> list[int]:
    """Where the blocks end behind which another one has begun.

    A block ends at an empty line, unless that is in a block of code or what follows is indented: then a list
    goes on.
    """
    ends = []
    position = 0
    fence = ""
    blank = False
    for line in text.splitlines(keepends=True):
        if not fence and blank and line[:1].strip():
            ends.append(position)
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark:
            fence = mark[1]
        blank = not line.strip() and line.endswith("\n")
        position += len(line)
    return ends


def _markdown(text: str) -> Any:
    """Rich's Markdown of an answer: every character of it is shown, line breaks are kept.

    HTML is text here, ``[1]: …`` is no definition of a link, and the address of a link is seen.
    """
    from markdown_it import MarkdownIt
    from rich.markdown import Markdown

    shown = Markdown("", hyperlinks=False)
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("reference")
    shown.markup, shown.parsed = text, parser.parse(text)
    for token in shown.parsed:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return shown


def _trimmed(line: list[Segment]) -> list[Segment]:
    """A line without the blank segments at its end that have no background."""
    from rich.segment import Segment

    line = list(line)
    while line and not line[-1].control:
        text, style, _ = line[-1]
        if style is not None and style.bgcolor is not None:
            break
        if kept := text.rstrip():
            line[-1] = Segment(kept, style)
            break
        line.pop()
    return line
