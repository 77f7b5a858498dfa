"""What the user types: a line at a time, from a terminal or from a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress

from llama_bedrock.cli.output import note

PROMPT = "> "


def is_interactive() -> bool:
    """Whether a person types: stdin is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_lines() -> Iterator[str]:
    """The lines of the user, without empty ones, until Ctrl-D or the end of the pipe.

    In a terminal a prompt is shown, and Ctrl-C drops the line that is being typed.
    """
    if not is_interactive():
        for line in sys.stdin:
            if text := line.strip():
                yield text
        return
    with suppress(ImportError):  # there is none on Windows
        import readline  # noqa: F401 - gives input() its line editing and history
    while True:
        try:
            text = _prompted(PROMPT).strip()
        except EOFError:
            _end_line()
            return
        except KeyboardInterrupt:
            _end_line()
            note("Ctrl-D or /exit leaves.")
            continue
        if text:
            yield text


def argument_or_stdin(given: str | None, what: str) -> str:
    """An argument, or all of stdin where it is ``-`` or absent.

    Args:
        given: The argument.
        what: What it is, such as ``"question"``.

    Raises:
        ValueError: It is absent, and nothing is piped in.
    """
    if given is not None and given != "-":
        return given
    if sys.stdin is None or (given is None and sys.stdin.isatty()):
        raise ValueError(f"no {what}: give it as an argument, or on stdin")
    return sys.stdin.read()


def choose(question: str, choices: str) -> str:
    """Ask a person for one of several letters; the last one is what an empty line, or Ctrl-D, means.

    Lines that were typed or pasted before the question is shown are dropped: they answer something else.

    Args:
        question: Shown with the choices behind it.
        choices: Letters, such as ``"yn"``.
    """
    shown = "/".join(choices[:-1]) + "/" + choices[-1].upper()
    _drop_what_waits()
    while True:
        try:
            answer = _prompted(f"{question} [{shown}] ").strip().lower()
        except EOFError:
            _end_line()
            return choices[-1]
        if not answer:
            return choices[-1]
        if answer[0] in choices:
            return answer[0]


def _drop_what_waits() -> None:
    with suppress(ImportError):  # there is none on Windows
        import termios

        with suppress(termios.error, OSError, ValueError):
            termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _prompted(prompt: str) -> str:
    """`input`, with the prompt on stderr where stdout is no terminal."""
    if sys.stdout.isatty():
        return input(prompt)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return input()


def _end_line() -> None:
    stream = sys.stdout if sys.stdout.isatty() else sys.stderr
    stream.write("\n")
    stream.flush()
