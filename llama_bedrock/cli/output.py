"""What goes to the terminal, the same way in every command: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 240  # columns of a table that nobody looks at in a terminal: nothing is cut


def stdout() -> Console:
    """A console for results; without colours and wide when it is no terminal."""
    return _console(stderr=False)


def stderr() -> Console:
    """A console for notes and progress."""
    return _console(stderr=True)


def note(text: str) -> None:
    """One line to the user that is no result."""
    stderr().print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """A result for programs."""
    write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def write(text: str) -> None:
    """Text to stdout as it is, at once; what the terminal's encoding lacks is replaced."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _PIPE_WIDTH)
