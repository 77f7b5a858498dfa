"""Fenced and inline code in an answer."""

from __future__ import annotations

import re

from llama_bedrock.tools.parser.event_writers import CallWriter
from llama_bedrock.tools.parser.json_calls import read_objects
from llama_bedrock.tools.parser.markers import CALL_FENCES
from llama_bedrock.tools.parser.pythonic_calls import (
    NotACall,
    read_bare_name,
    read_call_list,
    read_calls,
    wrapper_length,
)
from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable, skip_space

_MAX_TICKS = 16
_MAX_INFO = 40
_CODE = re.compile(r"[^`<\n]+")


class FenceReader:
    """Reads one piece of code.

    Attributes:
        closed: Its end was read.
        fault: Why a call in it could not be read.
        begun: Where the last call begins.
    """

    def __init__(self, source: Source, writer: CallWriter) -> None:
        self._source, self._writer = source, writer
        self.closed = self._wrapped = False
        self.fault: Unreadable | None = None
        self.begun = 0

    def count_ticks(self) -> Reading[int]:
        """Return how many backticks lie ahead."""
        count = 0
        while count < _MAX_TICKS and (yield from self._source.ahead(count)) == "`":
            count += 1
        return count

    def read_calls(self, ticks: int, *, after_words: bool) -> Reading[bool]:
        """Read a block, or inline code, that may hold calls and nothing else; False if it is code.

        Inline code must be all of the answer, and be asked for: a list or an object.

        Args:
            ticks: Backticks of its fence.
            after_words: Words came before: only a block that is no Python, or a list that ends the answer,
                is then more than an example.
        """
        source = self._source
        source.pos += ticks
        try:
            language = (yield from self._read_language()) if ticks >= 3 else "inline"
            if after_words and language not in CALL_FENCES and language not in ("python", "py"):
                return False
            self._wrapped = language == "tool_code"
            objects_only = yield from self._read_groups(
                ticks, bare=ticks >= 3 and (not after_words or language in CALL_FENCES)
            )
        except Unreadable as error:
            error.name = error.name or self._writer.name
            self.fault = error
            return False
        except NotACall:
            return False
        if self._writer.unknown and after_words:
            return False
        if ticks >= 3 and not self._writer.unknown and (not after_words or objects_only):
            return True
        return (yield from source.ahead((yield from source.solid()))) in ("", "<")

    def _read_language(self) -> Reading[str]:
        length = 0
        while length < _MAX_INFO and (yield from self._source.ahead(length)) not in ("", "\n", "`", "[", "{"):
            length += 1
        language = self._source.text[self._source.pos : self._source.pos + length]
        self._source.pos += length
        return language.strip().lower()

    def _read_groups(self, ticks: int, *, bare: bool) -> Reading[bool]:
        """Read calls up to the closing fence; True if all are objects."""
        source, writer = self._source, self._writer
        calls, objects = 0, 0
        while True:
            char = yield from skip_space(source, comments=True)
            if char == "`" and (yield from source.starts_with("`" * ticks)):
                source.pos += ticks
                self.closed = True
                break
            if not char:
                if source.cut:
                    raise Cut("the block does not end")
                break
            if calls and char in ";,)]}":
                source.pos += 1
                continue
            following = yield from source.ahead((yield from source.solid(1)))
            self.begun = source.here
            if char == "{" or (char == "[" and following in ("{", '"', "'")):
                yield from read_objects(source, writer)
                objects += 1
            elif char == "[":
                source.pos += 1
                yield from read_call_list(source, writer)
            elif bare and (length := (yield from self._read_bare_name())):
                if not (yield from read_calls(source, writer, length)):
                    raise NotACall
            else:
                raise NotACall
            calls += 1
        if not calls:
            raise NotACall
        return calls == objects

    def _read_bare_name(self) -> Reading[int]:
        """Go to the name of a known tool that is called, and return its length, 0 if none is."""
        wrapper = (yield from wrapper_length(self._source)) if self._wrapped else 0
        length = yield from read_bare_name(self._source, self._writer, at=wrapper)
        self._source.pos += wrapper if length else 0
        return length

    def read_code(self, ticks: int) -> Reading[str]:
        """Return the next piece of code, empty when it has ended; inline code ends with its line."""
        source = self._source
        char = yield from source.peek()
        if self.closed or not char or (ticks < 3 and char == "\n"):
            return ""
        if char == "`":
            run = yield from self.count_ticks()
            self.closed = run >= ticks if ticks >= 3 else run == ticks
            source.pos += run
            return "`" * run
        match = _CODE.match(source.text, source.pos)
        end = match.end() if match is not None else source.pos + 1
        code = source.text[source.pos : end]
        source.pos = end
        return code
