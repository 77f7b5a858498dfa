"""The words of an answer, with the white space around calls left out."""

from __future__ import annotations

from llama_bedrock.tools.events import Event, TextDelta

_LEAD = 300
_PROSE_ENDS = frozenset(".:;!?)")
_DATA_WORDS = ("true", "false", "null", "True", "False", "None")


class TextWriter:
    """Writes text events.

    White space is held until it is clear that words, not a call, follow it.

    Attributes:
        prose: Words have been written.
        after_call: The last that came was a call.
        line_start: Nothing but white space stands on the line so far.
        nesting: Brackets and braces of the paragraph that are not closed yet; what stands in them is data.
        lead: The last words.
    """

    def __init__(self, out: list[Event]) -> None:
        self._out = out
        self._space: list[str] = []
        self._breaks = 0
        self._calls = False
        self.prose = self.after_call = False
        self.line_start = True
        self.nesting = 0
        self.lead = ""

    def write(self, text: str) -> None:
        """Write text that may begin and end with white space."""
        body = text.rstrip()
        if not body:
            self._add_space(text)
            return
        tail = text[len(body) :]
        if self.prose or not self._calls:
            self._space.append(body)
            body = "".join(self._space)
        else:
            body = body.lstrip()
        self._out.append(TextDelta(body))
        self.lead = (self.lead + body)[-_LEAD:]
        self.prose, self.after_call, self.line_start = True, False, False
        self._space.clear()
        self._breaks = 0
        self._add_space(tail)

    def _add_space(self, space: str) -> None:
        if not space:
            return
        self._space.append(space)
        self._breaks += space.count("\n")
        if self._breaks:
            self.line_start = True
        if self._breaks > 1 or (self._breaks and self._ends_prose()):
            self.nesting = 0

    def _ends_prose(self) -> bool:
        """Tell whether the line before ended as lines of data do not: its brackets were prose."""
        last = self.lead[-1:]
        return last in _PROSE_ENDS or (last.isalpha() and not self.lead.endswith(_DATA_WORDS))

    def release(self, text: str) -> None:
        """Write text that was taken for a call."""
        for char in text:
            if char in "[{":
                self.nesting += 1
            elif char in "]}" and self.nesting:
                self.nesting -= 1
        self.write(text)

    def call_written(self) -> None:
        """Say that calls came."""
        self._calls = self.after_call = self.line_start = True
        self.nesting = 0

    def close(self) -> None:
        """Write the white space that ends an answer of words."""
        if self._space and not self.after_call:
            self._out.append(TextDelta("".join(self._space)))
        self._space.clear()
