"""Citation marks in a streamed answer: ``[1]``, ``[1][2]``, ``[1, 2]``, ``[1-3]``; no I/O.

Marks in code are text. A mark that names no document is cut out and remembered. What the reader gives is the
same for the same answer, however it was split into chunks.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

_MARK = re.compile(
    r"\[\s{0,2}(?:(?:passages?|sources?|documents?|docs?)\s{0,2}#?\s{0,2})?"
    r"(?P<numbers>\d{1,6}(?:\s{0,2}[,;–-]\s{0,2}\d{1,6}){0,30})\s{0,2}\]",
    re.IGNORECASE,
)
_NAMES = ("passages", "sources", "documents", "docs")
_MARK_SO_FAR = re.compile(r"\[\s{0,2}(?P<name>[a-zA-Z]*)[\s#\d,;–-]*")
_TOKEN = re.compile(r"(?P<space>\s+)|(?P<ticks>`+)|(?P<tildes>~+)|\[|[^\s`~\[]+")
_PLAIN = re.compile(r"[^\s`~\[]+(?:\s+[^\s`~\[]+)*")
_TIGHT = ".,;:!?)]}%"  # never preceded by a space
_MAX_MARK = 80  # characters
_MAX_RANGE = 50  # numbers; [1-50000] is no citation


@dataclass(frozen=True, slots=True)
class Mark:
    """A citation mark: the documents it names, and its place in the clean text."""

    numbers: tuple[int, ...]
    start: int
    end: int


class MarkReader:
    """Finds marks while an answer arrives.

    Attributes:
        text: The clean answer so far: without marks that name no document, without white space around it.
        marks: The marks in it.
        removed: The marks that were cut out, as written.
        code: Start and end in ``text`` of code, fenced or in back quotes; the last one may still be growing.
    """

    def __init__(self, known: Container[int], *, refusal: str = "") -> None:
        """Make a reader.

        Args:
            known: Numbers that name a document.
            refusal: An answer that begins with this cites nothing: all its marks are cut out.
        """
        self.text = ""
        self.marks: list[Mark] = []
        self.removed: list[str] = []
        self.code: list[tuple[int, int]] = []
        self._known = known
        self._refusal = refusal.casefold()
        self._pending = ""
        self._new: list[str] = []  # of the clean text, what this piece adds to it
        self._length = 0  # of the clean text with it
        self._space = ""
        self._after_removed = False
        self._fence = ""  # the back quotes or tildes that opened the code we are in
        self._fenced_block = False
        self._line_is_blank = True

    def feed(self, text: str) -> str:
        """Take a piece of the answer; returns the clean text that is now certain."""
        self._pending += text
        return self._advance(closing=False)

    def close(self, *, cut: bool = False) -> str:
        """Take the end of the answer; returns the rest of the clean text.

        Args:
            cut: The model was stopped by a limit, so that an unfinished ``[1`` is a mark cut in two.
        """
        if cut and not self._fence and re.search(r"\[\s*\d[\d\s,;–-]*$", self._pending):
            self._pending = self._pending[: self._pending.rindex("[")]
        return self._advance(closing=True)

    @property
    def in_code(self) -> bool:
        """Whether the text now ends inside code."""
        return bool(self._fence)

    def _advance(self, *, closing: bool) -> str:
        position = 0
        while position < len(self._pending):
            step = self._step(position, closing=closing)
            if step is None:
                break
            position = step
        self._pending = self._pending[position:]
        new = "".join(self._new)
        self._new.clear()
        self.text += new  # once per piece: each time copies all of it
        return new

    def _step(self, position: int, *, closing: bool) -> int | None:
        """Handle the token at ``position``; returns where the next one starts, None to wait for more text."""
        pending = self._pending
        if pending[position] == "[" and not self._fence:
            return self._bracket(position, closing=closing)
        token = None if self._fence else _PLAIN.match(pending, position)
        if token is not None:  # words and what is between them, in one step
            self._emit(token[0])
            return token.end()
        token = _TOKEN.match(pending, position)
        assert token is not None
        end = token.end()
        if end == len(pending) and not closing and token.lastgroup:  # a run that may go on
            return None
        if token["space"]:
            self._take_space(token[0])
        elif token["ticks"] or token["tildes"]:
            self._take_fence(token[0])
        else:
            self._emit(token[0])
        return end

    def _bracket(self, position: int, *, closing: bool) -> int | None:
        match = _MARK.match(self._pending, position)
        if match is None or match.end() - position > _MAX_MARK:
            if not closing and self._may_become_mark(position):
                return None
            self._emit("[")
            return position + 1
        if match.end() == len(self._pending) and not closing:
            return None
        if self._pending[match.end() : match.end() + 1] == "(":  # a Markdown link
            self._emit(match[0])
        else:
            self._take_mark(match[0], match["numbers"])
        return match.end()

    def _may_become_mark(self, position: int) -> bool:
        so_far = _MARK_SO_FAR.match(self._pending, position, position + _MAX_MARK)
        if so_far is None or so_far.end() < len(self._pending) or so_far.end() - position >= _MAX_MARK:
            return False
        return any(name.startswith(so_far["name"].lower()) for name in _NAMES)

    def _take_mark(self, raw: str, numbers: str) -> None:
        valid, unknown = self._resolve(numbers)
        self.removed.extend(unknown)
        if not valid:
            self._after_removed = True
            return
        start = self._length + (len(self._space) if self._length else 0)
        clean = raw if not unknown else "[" + ", ".join(map(str, valid)) + "]"
        self._emit(clean)
        self.marks.append(Mark(valid, start, start + len(clean)))

    def _resolve(self, written: str) -> tuple[tuple[int, ...], list[str]]:
        """Numbers that name documents, in order and once each; and what names none, as marks."""
        valid: list[int] = []
        unknown: list[str] = []
        refused = bool(self._refusal) and self._beginning().casefold() == self._refusal
        if not refused and written.isdecimal() and int(written) in self._known:
            return (int(written),), []
        for part in re.split(r"\s*[,;]\s*", written):
            ends = [int(number) for number in re.split(r"\s*[–-]\s*", part)]
            first, last = ends[0], ends[-1]
            if len(ends) > 2 or last < first or last - first >= _MAX_RANGE:
                unknown.append(f"[{part}]")
                continue
            for number in range(first, last + 1):
                if refused or number not in self._known:
                    unknown.append(f"[{number}]")
                elif number not in valid:
                    valid.append(number)
        return tuple(valid), unknown

    def _beginning(self) -> str:
        wanted = len(self._refusal)
        return self.text[:wanted] if len(self.text) >= wanted else (self.text + "".join(self._new))[:wanted]

    def _take_space(self, space: str) -> None:
        if "\n" in space:
            self._line_is_blank = True
            if self._fence and not self._fenced_block:  # back quotes that were never closed
                self._fence = ""
        if self._after_removed and self._space and "\n" in self._space and "\n" not in space:
            return
        self._space = space

    def _take_fence(self, run: str) -> None:
        opens_block = self._line_is_blank and len(run) >= 3
        if not self._fence:
            if run[0] == "~" and not opens_block:
                self._emit(run)
                return
            start = self._length + (len(self._space) if self._length else 0)
            self._emit(run)
            self._fence, self._fenced_block = run, opens_block
            self.code.append((start, self._length))
            return
        if self._fenced_block:
            closes = opens_block and run[0] == self._fence[0] and len(run) >= len(self._fence)
        else:
            closes = run == self._fence
        self._emit(run)
        if closes:
            self._fence = ""

    def _emit(self, piece: str) -> None:
        if self._after_removed:
            if piece[0] in _TIGHT:
                self._space = ""
            self._after_removed = False
        piece = (self._space if self._length else "") + piece
        self._new.append(piece)
        self._length += len(piece)
        self._space = ""
        self._line_is_blank = False
        if self._fence:
            self.code[-1] = (self.code[-1][0], self._length)
