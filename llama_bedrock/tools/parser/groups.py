"""Groups of calls, from the attempt to read one to what becomes of it."""

from __future__ import annotations

import enum
import re

from llama_bedrock.tools.parser.call_events import CallWriter
from llama_bedrock.tools.parser.call_lists import skip_list
from llama_bedrock.tools.parser.json_repair import repair
from llama_bedrock.tools.parser.markers import CALL_TOKEN, END_TOKEN, LAST_TOKEN, TOKEN_BEGINNING
from llama_bedrock.tools.parser.pythonic_calls import NotACall
from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable
from llama_bedrock.tools.parser.words_around import TextWriter

_STRAY = frozenset(")]}>\"'\u200b\ufeff")
_CALL_OBJECT = re.compile(
    r"""["\[{\s]*\\?["']?(?:type\\?["']\s*:\s*\\?["']function\\?["']|"""
    r"""(?:name|function|tool|tool_name)\\?["']?\s*[:,=]\s*\\?["']?([\w$.\-/]+)(\Z)?)"""
)
_MAX_REPAIRS = 32
_MAX_LISTS = 8


class Place(enum.Enum):
    """Where something stands that may be a call."""

    START = enum.auto()
    """Before any words, after another call, or behind a token that announces one."""
    LINE = enum.auto()
    """At the beginning of a line, after words."""
    INLINE = enum.auto()
    """After words on its line."""


class GroupReader:
    """Runs readers of calls, and turns what they could not read into text, repaired calls or invalid ones.

    Args:
        source: The text.
        text: Gets the words.
        writer: Gets the calls.
        prefix: Text that the model was given as the beginning of its answer.

    Attributes:
        prefix: What of it was not read yet.
        announced: A token said that a call follows.
        stopped: A token that ends the turn was read.
    """

    def __init__(self, source: Source, text: TextWriter, writer: CallWriter, prefix: str) -> None:
        self._source, self._text, self._writer = source, text, writer
        self._forced = prefix.endswith(("(", "{"))
        self._repairs = self._lists = 0
        self.prefix = prefix
        self.announced = self.stopped = False

    def own(self, words: str) -> str:
        """Return the words without what the model was given."""
        given = min(len(words), len(self.prefix))
        self.prefix = self.prefix[given:]
        self.announced = False
        return words[given:]

    def read(
        self,
        reading: Reading[bool] | Reading[None],
        place: Place,
        *,
        python: bool,
        bare: bool = False,
        alone: bool = False,
    ) -> Reading[None]:
        """Read a group of calls and decide what it was.

        Args:
            reading: Reads it.
            place: Where it stands.
            python: It is written as Python, else as JSON.
            bare: It has no brackets around.
            alone: It counts only if it ends the answer.
        """
        whole = python and not bare and place is Place.START
        try:
            ends = yield from reading
        except NotACall:
            if self._writer.certain or (self._forced and self.prefix):
                yield from self._broken(Unreadable("something else stands among calls"), place, python=python)
            elif not whole or not (yield from self._report_list("the arguments must be literals")):
                self.reject()
        except Unreadable as error:
            if self._is_call(error, place) or not whole or not (yield from self._report_list(error.error)):
                yield from self._broken(error, place, python=python)
        else:
            if self._writer.certain or (
                ends is not False and (yield from self._accepts(place, python=python, bare=bare, alone=alone))
            ):
                yield from self.accept()
            else:
                self.reject()

    def _report_list(self, error: str) -> Reading[bool]:
        """Report a list that is all of the answer and made of calls, though none that can be run."""
        self._lists += 1
        if self._lists > _MAX_LISTS:
            return False
        source, read = self._source, len(self._source.raw())
        source.to_mark()
        name = yield from skip_list(source)
        if not name:
            source.to_mark()
            source.pos += read
            return False
        raw = source.raw().rstrip()
        self._writer.discard()
        self._writer.fail(raw, f"the call cannot be read: {error}", name=name)
        yield from self.accept()
        return True

    def _accepts(self, place: Place, *, python: bool, bare: bool, alone: bool) -> Reading[bool]:
        """Decide on a group that reads like calls but may be text."""
        if alone or (bare and (place is not Place.START or self._writer.unknown)):
            at = yield from self._source.solid()
            if alone and (yield from self._source.ahead(at)) == ")":
                at = yield from self._source.solid(at + 1)
            return (yield from self._source.ahead(at)) in ("", "<")
        if self._writer.unknown and place is not Place.START:
            return False
        if not python or bare or (yield from self.line_ends(0)):
            return True
        following = yield from self._source.ahead((yield from self._source.solid(limit=16)))
        return place is Place.INLINE and following.isupper()  # a new sentence, not one about the call

    def line_ends(self, at: int) -> Reading[bool]:
        """Tell whether only white space, a token or a fence stands on the line from there on."""
        char = " "
        while char in " \t\r":
            char = yield from self._source.ahead(at)
            at += 1
            if not char:
                return True
        return char in "\n;<`"

    def accept(self) -> Reading[None]:
        """Let the calls go out, and drop closers that are too many."""
        source = self._source
        self._writer.commit()
        source.unmark()
        self.prefix, self.announced = "", False
        self._text.call_written()
        while (char := (yield from source.peek())) and char in _STRAY:
            source.pos += 1

    def reject(self) -> None:
        """Write as text what was read as a call."""
        raw = self._source.raw()
        self._source.unmark()
        self._writer.discard()
        # What was read may hold tokens, or begin one that the next text completes.
        if (last := LAST_TOKEN.search(raw)) is not None:
            raw, self.stopped = raw[: last.start()], True
        elif (begun := TOKEN_BEGINNING.search(raw)) is not None and begun.start() > 0:
            self._source.prepend(raw[begun.start() :])
            raw = raw[: begun.start()]
        if raw := CALL_TOKEN.sub("", self.own(raw)):
            self._text.release(raw)

    def _broken(self, error: Unreadable, place: Place, *, python: bool) -> Reading[None]:
        """A call that cannot be read: repair it when all of it is there, else report it."""
        source, writer = self._source, self._writer
        if not self._is_call(error, place) and (python or place is not Place.START):
            self.reject()
            return
        while not source.ended:
            source.pos = len(source.text)
            yield
        source.pos = len(source.text)
        source.to_mark()
        if not python and not source.cut and self._repair(error):
            yield from self.accept()
        elif self._is_call(error, place):
            end = END_TOKEN.search(source.text, source.pos)
            raw = source.text[source.pos : end.start() if end else len(source.text)].rstrip()
            source.pos = len(source.text)
            writer.fail(raw, self._explain(error), name=error.name)
            yield from self.accept()
        else:
            source.pos = len(source.text)
            self.reject()

    def _is_call(self, error: Unreadable, place: Place) -> bool:
        """Tell whether something unreadable was meant as a call."""
        writer, cut = self._writer, isinstance(error, Cut) and self._source.cut
        if writer.certain or (self._forced and self.prefix):
            return True
        if writer.identified:
            return place is Place.START or cut
        if place is Place.INLINE or writer.any_name:
            return False
        name = writer.name or error.name
        if name is not None and writer.knows(name):
            return True
        return place is Place.START and self._begins_call(error, cut=cut)

    def _begins_call(self, error: Unreadable, *, cut: bool) -> bool:
        """Tell whether what broke off, or broke, before the name of a known tool was read would be a call."""
        source, writer = self._source, self._writer
        raw = source.raw() + source.text[source.pos :]
        if cut and (error.shaped or raw.lstrip("[ ")[:1] not in ("{", '"')):
            return True
        match = _CALL_OBJECT.match(raw)
        if match is None or match[1] is None:
            return cut and match is not None
        return (
            writer.may_begin(match[1])
            if match[2] is not None and cut
            else writer.resolve(match[1]) is not None
        )

    def _explain(self, error: Unreadable) -> str:
        if isinstance(error, Cut) and self._source.cut:
            return f"the answer was cut off before the call was complete: {error.error}"
        return f"the call cannot be read: {error.error}"

    def _repair(self, error: Unreadable) -> bool:
        """Repair the call at the mark; the position is behind it then."""
        source, writer = self._source, self._writer
        self._repairs += 1
        if self._repairs > _MAX_REPAIRS:
            return False
        found = repair(source.text, source.pos, knows=writer.knows, name=writer.name)
        if found is None or (writer.name is not None and writer.resolve(found.name) != writer.name):
            return False
        if writer.any_name and error.name is None:
            return False
        try:
            writer.write(found.name, found.args, beside=found.keys, doubtful=found.forgiven)
        except Unreadable:
            return False
        source.pos = found.end
        return True
