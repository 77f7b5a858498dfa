"""Generated text to words and calls, while it arrives.

What Llamas write is not one format. Whatever was asked for, they answer with pythonic lists, bare calls, JSON
objects in a dozen shapes, tags and control tokens, fenced or not, with prose around. `ToolCallParser` reads
all of them, and decides by the text alone: the same answer, whole or a character at a time, gives the same
calls and the same words.

A call is reported as soon as it is certain to be one, its arguments as each is complete. What is not certain
is held back, and turns into text if it was none. A character is looked at a bounded number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from llama_bedrock.tools.events import Event, InvalidCall, TextDelta
from llama_bedrock.tools.parser.call_finder import CallFinder
from llama_bedrock.tools.parser.event_writers import CallWriter, TextWriter
from llama_bedrock.tools.parser.source import Source

if TYPE_CHECKING:
    from llama_bedrock.tools.spec import ToolChoice, ToolSpec

CUT_REASONS = frozenset({"length", "max_tokens", "max_gen_len", "stop_sequence", "guardrail_intervened"})
"""Stop reasons by which the model did not end its answer itself: what is open is cut, not merely unclosed."""


class ToolCallParser:
    """Reads one answer.

    Args:
        specs: The tools offered. A call to another name is a call too: whoever runs tools refuses it. With no
            tools at all any name is taken for one as readily: for answers whose tools are not known.
        prefix: Text that began the assistant's turn in the prompt, such as ``[get_weather(``: the answer is
            read as if the model had written it.
        choice: Where it forces a call, an answer without one is reported as an invalid call; so it is where a
            `prefix` was given.
        strict: A call whose arguments break the schema is invalid, also where the tool's spec is not strict.
        new_id: Makes identifiers of calls.

    Example:
        >>> from llama_bedrock.tools.spec import ToolSpec
        >>> parser = ToolCallParser([ToolSpec("add")], new_id=lambda: "call_1")
        >>> parser.feed("Let me see. [add(a=1, ")
        [TextDelta(text='Let me see.')]
        >>> [event.args for event in parser.feed("b=2)]")]
        []
        >>> [event.args for event in parser.close("stop")]
        ['{', '"a": 1', ', "b": 2', '}']
    """

    def __init__(
        self,
        specs: Sequence[ToolSpec],
        *,
        prefix: str = "",
        choice: ToolChoice | None = None,
        strict: bool = False,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._new_id = new_id or _new_id
        self._prefix = prefix
        self._asked = f"a call of {choice.name}" if choice and choice.name else "a call"
        self._missing = bool(prefix) or (choice is not None and choice.forced)
        self._words: list[str] = []
        self._events: list[Event] = []
        self._source = Source()
        self._text = TextWriter(self._events)
        writer = CallWriter(specs, self._events, strict=strict, new_id=self._new_id)
        self._reader = CallFinder(self._source, self._text, writer, prefix)
        self._reading = self._reader.read()
        self._closed = False
        next(self._reading)

    @property
    def done(self) -> bool:
        """True once the model has ended its turn: nothing that follows can change the events."""
        return self._closed or self._reader.stopped

    def feed(self, text: str) -> list[Event]:
        """Take text as it arrives; return what is certain by now."""
        if self._closed or not text:
            return []
        self._source.push(text)
        next(self._reading)
        return self._take()

    def close(self, stop_reason: str | None = None) -> list[Event]:
        """Say that the answer has ended; return the rest.

        Args:
            stop_reason: As the service gave it. After ``"length"`` and the like a call that is not complete
                is invalid; a model that ended its answer itself is forgiven closers it left out.
        """
        if self._closed:
            return []
        self._closed = True
        self._source.end(cut=stop_reason in CUT_REASONS)
        for _ in self._reading:
            pass
        self._text.close()
        events = self._take()
        if self._missing:
            events.append(self._no_call(cut=self._source.cut))
        return events

    def _take(self) -> list[Event]:
        events = self._events[:]
        self._events.clear()
        if not self._missing:
            return events
        # Words before a forced call are held: if none comes, they are what was written in place of it.
        at = 0
        while at < len(events) and isinstance(event := events[at], TextDelta):
            self._words.append(event.text)
            at += 1
        if at == len(events):
            return []
        self._missing = False
        words = "".join(self._words)
        return [TextDelta(words), *events[at:]] if words else events

    def _no_call(self, *, cut: bool) -> InvalidCall:
        """Say that a forced call is missing."""
        self._missing = False
        words = "".join(self._words)
        raw = words if words.startswith(self._prefix) else self._prefix + words
        error = "the answer was cut off before it held one" if cut else "the answer holds none"
        return InvalidCall(0, self._new_id(), None, raw, f"{self._asked} was asked for, and {error}")


def _new_id() -> str:
    return f"call_{uuid4().hex}"
