"""Text that arrives in pieces, read as if it were there already."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")

_MAX_CLOSERS = 256
Reading: TypeAlias = Generator[None, None, T]
"""A reader of a `Source`: it yields where it needs more text, and returns what it has read."""


class Unreadable(Exception):
    """What was written is no call that can be run, or no value."""

    def __init__(self, error: str, *, orderly: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.orderly = orderly
        """The text is well formed, only not a literal: what follows it can be trusted."""
        self.name: str | None = None
        """The tool that was called, where no call was begun yet."""
        self.shaped = False
        """It has the keys of a call."""


class Cut(Unreadable):
    """The text ended where it must not end."""


class Source:
    """A window on the text, and a position in it.

    Readers move `pos` and ask for more with `fill`; text before `pos` leaves the window when more arrives, so
    that a character is copied a fixed number of times however small the pieces are.

    Attributes:
        text: The window.
        pos: Index in the window of the next character.
        ended: No more text will come.
        cut: It ended because the model had to stop, not because it was done.
        forgiven: A closer was missing, and what it should have closed was taken as closed.
    """

    __slots__ = ("_begin", "_mark", "_parts", "cut", "ended", "forgiven", "pos", "text")

    def __init__(self, text: str = "", *, ended: bool = False) -> None:
        self.text = text
        self.pos = 0
        self.ended = ended
        self.cut = False
        self.forgiven = False
        self._begin = 0  # of the window, counted from the beginning of the text
        self._parts: list[str] = []
        self._mark: int | None = None

    def push(self, text: str) -> None:
        """Add text that arrived."""
        pos = self.pos
        if self._mark is not None:
            self._parts.append(self.text[self._mark : pos])
            self._mark = 0
        self._begin += pos
        self.text = self.text[pos:] + text if pos < len(self.text) else text
        self.pos = 0

    def prepend(self, text: str) -> None:
        """Put text before the position, as if it had come first."""
        self.text = text + self.text[self.pos :]
        self._begin += self.pos - len(text)
        self.pos = 0

    def end(self, *, cut: bool) -> None:
        """Say that no more text will come."""
        self.ended, self.cut = True, cut

    def mark(self) -> None:
        """Remember the text from here on; `raw` gives it back."""
        self.forgiven = False
        self._parts = []
        self._mark = self.pos

    def unmark(self) -> None:
        """Forget the text since `mark`."""
        self._parts = []
        self._mark = None

    def raw(self) -> str:
        """Return the text from the mark to the position."""
        return "".join(self._parts) + self.text[self._mark : self.pos]

    def to_mark(self) -> None:
        """Go back to the mark, which stays."""
        if self._parts:
            before = "".join(self._parts)
            self._begin += (self._mark or 0) - len(before)
            self.text = before + self.text[self._mark :]
            self._parts, self._mark = [], 0
        self.pos = self._mark or 0

    @property
    def here(self) -> int:
        """The position, counted from the beginning of the text."""
        return self._begin + self.pos

    def reaches(self, place: int) -> bool:
        """Tell whether a place lies behind the mark, so that `go_to` finds it."""
        if self._mark is None:
            return False
        return place >= self._begin + self._mark - sum(map(len, self._parts))

    def go_to(self, place: int) -> None:
        """Go to a place behind the mark."""
        if place < self._begin:
            self.to_mark()
        self.pos = place - self._begin

    def since(self, place: int) -> str:
        """Return the text from a place behind the mark to the position."""
        if place >= self._begin:
            return self.text[place - self._begin : self.pos]
        raw = self.raw()
        return raw[len(raw) - (self.here - place) :]

    def fill(self, count: int) -> Reading[bool]:
        """Wait until `count` characters lie ahead; False if the text ends before."""
        while len(self.text) - self.pos < count:
            if self.ended:
                return False
            yield
        return True

    def peek(self) -> Reading[str]:
        """Return the next character, an empty text at the end."""
        if self.pos < len(self.text) or (yield from self.fill(1)):
            return self.text[self.pos]
        return ""

    def ahead(self, offset: int) -> Reading[str]:
        """Return the character `offset` places ahead, an empty text beyond the end."""
        at = self.pos + offset
        if at < len(self.text):
            return self.text[at]
        return self.text[self.pos + offset] if (yield from self.fill(offset + 1)) else ""

    def solid(self, offset: int = 0, limit: int = 256) -> Reading[int]:
        """Return how far ahead, from `offset` on, the next character lies that is no white space.

        The search ends after `limit` characters, so that it costs no more than that.
        """
        end = offset + limit
        while offset < end:
            char = yield from self.ahead(offset)
            if not char or not char.isspace():
                return offset
            offset += 1
        return offset

    def starts_with(self, beginnings: str | tuple[str, ...]) -> Reading[bool]:
        """Tell whether a text, or one of several, lies ahead, with no more waiting than that takes."""
        options = (beginnings,) if isinstance(beginnings, str) else beginnings
        offset = 0
        while options:
            if any(len(option) == offset for option in options):
                return True
            char = yield from self.ahead(offset)
            options = tuple(option for option in options if option[offset] == char)
            offset += 1
        return False


def finish(reading: Reading[T]) -> T:
    """Run a reader whose text has ended."""
    try:
        while True:
            next(reading)
    except StopIteration as done:
        result: T = done.value
        return result


def only_closers_follow(source: Source) -> Reading[bool]:
    """Tell whether nothing but closers lies ahead, to the end of the text, of a tag or of a block."""
    for offset in range(_MAX_CLOSERS):
        char = yield from source.ahead(offset)
        if not char:
            return not source.cut
        if char in "<`":
            return (yield from ends_tag_or_block(source, offset))
        if char not in ")]}\"';\n\t ":
            return False
    return False


def ends_tag_or_block(source: Source, offset: int = 0) -> Reading[bool]:
    """Tell whether a control token, a closing tag or a closing fence lies ahead."""
    char = yield from source.ahead(offset)
    following = yield from source.ahead(offset + 1)
    return (char == "<" and following in ("|", "/")) or (char == following == "`")


def skip_space(source: Source, *, comments: bool = False) -> Reading[str]:
    """Skip white space, and comments if wanted; return the character after it, empty at the end."""
    while True:
        char = yield from source.peek()
        if char.isspace():
            text, at, end = source.text, source.pos + 1, len(source.text)
            while at < end and text[at].isspace():
                at += 1
            source.pos = at
        elif comments and char == "#":
            yield from _skip_line(source)
        elif comments and char == "/" and (yield from source.ahead(1)) in ("/", "*"):
            line = source.text[source.pos + 1] == "/"
            source.pos += 2
            yield from _skip_line(source) if line else _skip_block(source)
        else:
            return char


def _skip_line(source: Source) -> Reading[None]:
    while (yield from source.peek()) not in ("", "\n"):
        at = source.text.find("\n", source.pos)
        source.pos = len(source.text) if at < 0 else at


def _skip_block(source: Source) -> Reading[None]:
    while (yield from source.peek()):
        at = source.text.find("*", source.pos)
        source.pos = len(source.text) if at < 0 else at + 1
        if at >= 0 and (yield from source.peek()) == "/":
            source.pos += 1
            return
    raise Cut("a comment does not end")
