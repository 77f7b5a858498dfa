"""What goes to the terminal, the same way in every command: results on stdout, everything else on stderr."""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_PIPE_WIDTH = 240  # columns of a table that nobody looks at in a terminal: nothing is cut


# Control characters, which drive a terminal, and those that change the direction of the text around
# them, with which a line reads as something that it is not ("Trojan Source", CVE-2021-42574).
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


# What stands for a sign of ours where the encoding of a terminal lacks it.
_SIGNS = {
    **dict.fromkeys("“”„«»", '"'),
    **dict.fromkeys("‘’‚", "'"),
    **dict.fromkeys("•●▪▸▶·", "*"),
    **dict.fromkeys("─━–—‐−═", "-"),
    **dict.fromkeys("│┃▌║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼┏┓┗┛┡┩╇╭╮╰╯╺╸╔╗╚╝", "+"),
    **dict.fromkeys("✓✔", "+"),
    **dict.fromkeys("✗✘×", "x"),
    "…": "...",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "\N{NO-BREAK SPACE}": " ",
    "\N{NARROW NO-BREAK SPACE}": " ",
}


def stdout() -> Console:
    """A console for results; plain and wide when it is no terminal."""
    return _console(stderr=False)


def stderr() -> Console:
    """A console for notes and progress."""
    return _console(stderr=True)


def note(text: str, *, breaks: bool = True, style: str = "dim") -> None:
    """One line to the user that is no result.

    Args:
        text: The line.
        breaks: Break it between words where the terminal ends; False for what is to be seen as it is.
        style: As rich names it.
    """
    line = printable(text)
    if sys.stderr.isatty():
        stderr().print(line, style=style, markup=False, highlight=False, soft_wrap=not breaks)
    else:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - the program's own output


def is_piped() -> bool:
    """Whether results go to no terminal, nor to what the environment says takes them as one does."""
    return not (sys.stdout.isatty() or any(map(os.environ.get, ("FORCE_COLOR", "TTY_COMPATIBLE"))))


def say(head: str | Text, text: str | Text) -> None:
    """A line of a result: whole in a pipe; in a terminal broken between words, below the end of its head."""
    if is_piped():
        write(printable(f"{head}{text}\n"))
        return
    from rich.table import Table

    console = stdout()
    line = Table.grid()
    if head:
        line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(*map(_as_text, (head, text) if head else (text,)))
    console.print(line)


def _as_text(text: str | Text) -> Text:
    from rich.text import Text

    return Text(text) if isinstance(text, str) else text


def printable(text: str) -> str:
    """A text without the characters by which it could drive a terminal or turn the line around."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r", ""))


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def usd(value: float) -> str:
    """A sum of money: ``$0.0125``, or that it is under the last of these digits."""
    return "under $0.0001" if 0 < value < 0.00005 else f"${value:,.4f}"


def note_part(text: str) -> None:
    """A part of a line to the user, for what is shown while it comes."""
    stderr().print(
        printable(text), style="dim", end="", markup=False, highlight=False, soft_wrap=True, overflow="ignore"
    )


def print_json(value: Any) -> None:
    """A result for programs."""
    write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def write(text: str) -> None:
    """Text to stdout at once, as it is; in a terminal without control characters."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def show_every_sign() -> None:
    """Let stdout and stderr take any character: what their encoding lacks is written in plain signs.

    A Windows code page, ``LC_ALL=C`` and PYTHONIOENCODING are reasons for an encoding with few of them.
    """
    codecs.register_error("plain-signs", _plain_signs)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # replaced by another program, or closed
            stream.reconfigure(errors="plain-signs")  # type: ignore[union-attr]  # a TextIOWrapper has it


def _plain_signs(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def has_links() -> bool:
    """Whether stdout is a terminal that makes links of OSC 8, or ignores it.

    The others, few and old, show it. FORCE_HYPERLINK, 0 or 1, overrules.
    """
    forced = os.environ.get("FORCE_HYPERLINK", "")
    if forced:
        return forced != "0"
    name = os.environ.get("TERM", "")
    return sys.stdout.isatty() and not name.startswith(("dumb", "linux", "screen", "vt", "ansi"))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console
    from rich.segment import Segment

    class PrintableConsole(Console):
        """Rich's, but what a file name, a document or a model says cannot drive the terminal."""

        def render(self, *arguments: Any, **options: Any) -> Iterator[Segment]:
            for text, style, control in super().render(*arguments, **options):
                yield Segment(text if control else printable(text), style, control)

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    height = None
    if width is None and os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        width, height = get_terminal_size()  # rich takes any of these for 80 columns wide
    return PrintableConsole(stderr=stderr, width=width, height=height)
