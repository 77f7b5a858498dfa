"""An answer with marks (``[1]``) as RetrieveAndGenerate gives it: plain text, and parts with references."""

from __future__ import annotations

from dataclasses import dataclass, field

from llama_bedrock.grounding.marks import MarkReader

_CLOSING = ".,;:!?)]}"


@dataclass(frozen=True, slots=True)
class CitedPart:
    """A part of the text and the passages it comes from.

    Attributes:
        text: The part, without white space around it.
        start: Where it begins in the whole text.
        numbers: Passage numbers, from 1; empty for a part without marks.
    """

    text: str
    start: int
    numbers: tuple[int, ...]

    @property
    def span(self) -> dict[str, int]:
        """As Bedrock counts: `end` is the last character of the part, not the one after it."""
        return {"start": self.start, "end": self.start + len(self.text) - 1}


@dataclass(slots=True)
class CitedText:
    """Takes an answer piece by piece; gives text without marks at once, and a part when it is complete.

    Args:
        passages: How many passages there are; marks beyond are cut out.
        refusal: The answer that means "no answer".

    Attributes:
        text: The text so far, without marks.
    """

    passages: int
    refusal: str = ""
    text: str = ""
    _reader: MarkReader = field(init=False)
    _read: int = 0
    _marks: int = 0
    _space: str = ""
    _dropped: str = ""
    _part_start: int = 0
    _numbers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = MarkReader(range(1, self.passages + 1), refusal=self.refusal)

    def feed(self, piece: str) -> list[str | CitedPart]:
        """Text and parts that are now certain, in order."""
        self._reader.feed(piece)
        return self._advance()

    def close(self) -> list[str | CitedPart]:
        """The rest."""
        self._reader.close()
        events = self._advance()
        self._end_part(events)
        return events

    def _advance(self) -> list[str | CitedPart]:
        events: list[str | CitedPart] = []
        source, marks = self._reader.text, self._reader.marks
        while self._marks < len(marks):
            mark = marks[self._marks]
            self._emit(source[self._read : mark.start], events)
            self._numbers.extend(n for n in mark.numbers if n not in self._numbers)
            self._read = mark.end
            self._marks += 1
            self._dropped, self._space = self._space or self._dropped, ""
        self._emit(source[self._read :], events)
        self._read = len(source)
        return events

    def _emit(self, text: str, events: list[str | CitedPart]) -> None:
        """Hand text on; white space waits, because none is left before a mark or at the end."""
        body = text.lstrip()
        self._space += text[: len(text) - len(body)]
        if not body:
            return
        if self._numbers:
            closing = body[: len(body) - len(body.lstrip(_CLOSING))]
            if closing and not self._space:  # the full stop after a mark belongs to the part before it
                self._put(closing, events)
                body = body[len(closing) :]
                if not body.strip():
                    self._space += body
                    return
            self._end_part(events)
            stripped = body.lstrip()
            # What stood before the mark parts the sentences where nothing stands after it.
            self._space = (self._space + body[: len(body) - len(stripped)]) or self._dropped
            self._dropped = ""
            body = stripped
        kept = body.rstrip()
        self._put(self._space + kept, events)
        self._space = body[len(kept) :]

    def _put(self, text: str, events: list[str | CitedPart]) -> None:
        self.text += text
        self._space = ""
        if text:
            events.append(text)

    def _end_part(self, events: list[str | CitedPart]) -> None:
        raw = self.text[self._part_start :]
        text = raw.strip()
        if text:
            start = self._part_start + len(raw) - len(raw.lstrip())
            events.append(CitedPart(text, start, tuple(self._numbers)))
        self._part_start = len(self.text)
        self._numbers.clear()
