"""Where in an answer calls may stand, and what becomes of text that looked like one."""

from __future__ import annotations

import enum
import re

from llama_bedrock.tools.parser.event_writers import CallWriter, TextWriter
from llama_bedrock.tools.parser.fences import FenceReader
from llama_bedrock.tools.parser.function_tags import read_function
from llama_bedrock.tools.parser.json_calls import read_objects
from llama_bedrock.tools.parser.json_repair import repair
from llama_bedrock.tools.parser.markers import (
    CLOSING_TAGS,
    FUNCTION_TAG,
    INTERPRETERS,
    LIST_MARKER,
    OPENING_TAGS,
    is_example,
    markers,
)
from llama_bedrock.tools.parser.pythonic_calls import (
    NotACall,
    names_call,
    read_bare_name,
    read_call_list,
    read_calls,
    read_name,
    wrapper_length,
)
from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable, skip_space

_STRAY = frozenset(")]}>\"'\u200b\ufeff")
_STRAY_ENDS = frozenset(")]};,")
_JOINERS = frozenset({"and", "then"})
_LONGEST_JOINER = 24
_CALL_OBJECT = re.compile(
    r"""["\[{\s]*\\?["']?(?:type\\?["']\s*:\s*\\?["']function\\?["']|"""
    r"""(?:name|function|tool|tool_name)\\?["']?\s*[:,=]\s*\\?["']?([\w$.\-/]+)(\Z)?)"""
)
_CALL_LIST = re.compile(r"\[[\[\s]*[^\W\d][\w.\-]*\(\s*\w+\s*=(?!=)")
_FORCED_NAME = re.compile(r'\[([^\s\[\](){}"]+)\(\Z|\{"name": "([^"]+)", "parameters": \{\Z')
_MAX_CLOSERS = 64
_MAX_REPAIRS = 32


class Position(enum.Enum):
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
        self._markers = markers()
        self._forced = prefix.endswith(("(", "{"))
        self._repairs = 0
        self.prefix = prefix
        self.announced = self.stopped = False

    def read(
        self,
        reading: Reading[bool] | Reading[None],
        place: Position,
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
        try:
            ends = yield from reading
        except NotACall as error:
            if self._writer.certain or (self._forced and self.prefix):
                fault = Unreadable(str(error) or "something else stands among calls")
                yield from self._broken(fault, place, python=python)
            elif self._source.cut and self._text.after_call and self._only_opened():
                yield from self._broken(Cut("it does not end"), place, python=python)
            else:
                self.reject()
        except Unreadable as error:
            yield from self._broken(error, place, python=python)
        else:
            if self._writer.certain or (
                ends is not False and (yield from self._accepts(place, python=python, bare=bare, alone=alone))
            ):
                yield from self.accept()
            else:
                self.reject()

    def _only_opened(self) -> bool:
        """Tell whether nothing but opening brackets was read, to the end of the text."""
        return self._source.pos >= len(self._source.text) and not self._source.raw().strip("[{ \n")

    def _accepts(self, place: Position, *, python: bool, bare: bool, alone: bool) -> Reading[bool]:
        """Decide on a group that reads like calls but may be text."""
        if python and self._writer.failed and not self._writer.ended and not self._writer.identified:
            # Names with words in brackets, like signatures: calls only where they are all of the answer.
            if place is not Position.START or self._text.after_call:
                return place is Position.START
            return (yield from self._source.ahead((yield from self._source.solid()))) in ("", "<")
        after_words = place is not Position.START
        if self._writer.unknown and after_words and (place is Position.INLINE or self._writer.nameless):
            return False
        if alone or (bare and after_words) or (self._writer.unknown and (bare or after_words)):
            at = yield from self._source.solid()
            if alone and (yield from self._source.ahead(at)) == ")":
                at = yield from self._source.solid(at + 1)
            return (yield from self._source.ahead(at)) in ("", "<")
        at = 0
        while at < _MAX_CLOSERS and (yield from self._source.ahead(at)) in _STRAY_ENDS:
            at += 1
        if not python or bare or (yield from self.line_ends(at)) or (yield from self.joiner(at)):
            return True
        following = yield from self._source.ahead((yield from self._source.solid(limit=16)))
        return place is Position.INLINE and following.isupper()  # a new sentence, not one about the call

    def line_ends(self, at: int) -> Reading[bool]:
        """Tell whether only white space, a token or a fence stands on the line from there on."""
        char = " "
        while char in " \t\r":
            char = yield from self._source.ahead(at)
            at += 1
            if not char:
                return True
        return char in "\n;<`"

    def joiner(self, at: int) -> Reading[int]:
        """Return how far ahead the words end that join two calls, 0 if no such words and no call follow."""
        start = at = yield from self._source.solid(at, limit=8)
        while at - start < _LONGEST_JOINER:
            end = at
            while (yield from self._source.ahead(end)).isalpha() and end - at < 5:
                end += 1
            char = yield from self._source.ahead(end)
            if self._source.text[self._source.pos + at : self._source.pos + end].lower() not in _JOINERS:
                break
            end += char == ","
            at = yield from self._source.solid(end, limit=8)
        if at == start:
            return 0
        opens = (yield from self._source.ahead(at)) in ("[", "{") or (yield from names_call(self._source, at))
        return at if opens else 0

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
        if (last := self._markers.last.search(raw)) is not None:
            raw, self.stopped = raw[: last.start()], True
        elif 0 < (begun := self._markers.begun(raw)) < len(raw):
            self._source.prepend(raw[begun:])
            raw = raw[:begun]
        given, self.prefix, self.announced = self.prefix, "", False
        if raw := self._markers.around_calls.sub("", raw):
            # A bracket that the model was given is no bracket of its own, which it would have to close.
            (self._text.write if given else self._text.release)(raw)

    def _broken(self, error: Unreadable, place: Position, *, python: bool) -> Reading[None]:
        """A call that cannot be read: repair it when all of it is there, else report it."""
        source, writer = self._source, self._writer
        if not self._is_call(error, place) and (python or place is not Position.START):
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
            end = self._markers.end.search(source.text, source.pos)
            raw = source.text[source.pos : end.start() if end else len(source.text)].rstrip()
            source.pos = len(source.text)
            writer.fail(raw, self._explain(error), name=error.name)
            yield from self.accept()
        else:
            source.pos = len(source.text)
            self.reject()

    def _is_call(self, error: Unreadable, place: Position) -> bool:
        """Tell whether something unreadable was meant as a call."""
        writer, cut = self._writer, isinstance(error, Cut) and self._source.cut
        if writer.certain or (self._forced and self.prefix):
            return True
        if writer.identified:
            return place is Position.START or cut
        if writer.any_name or (place is Position.INLINE and not cut):
            return False
        name = writer.name or error.name
        if name is not None and writer.knows(name):
            return True
        return place is Position.START and self._begins_call(error, cut=cut)

    def _begins_call(self, error: Unreadable, *, cut: bool) -> bool:
        """Tell whether what broke off, or broke, before the name of a known tool was read would be a call."""
        source, writer = self._source, self._writer
        raw = source.raw() + source.text[source.pos :]
        if _CALL_LIST.match(raw):
            return True
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
        if isinstance(error, Cut):  # what was read as text may begin anywhere before
            return "the call cannot be read: its quotes or brackets do not pair up"
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


_PLAIN = re.compile(r"[^\n\[{<`]+")
_DATA = re.compile(r"[^\n\[\]{}<]+")
_SPACE = re.compile(r"\s+")
_BARE_FUNCTION = "function="
_INVISIBLE = "\ufeff\u200b\u2060"
_BEFORE_INLINE = frozenset(":.!?;>)*")


class CallFinder:
    """Reads one answer from its source and tells the two writers.

    Args:
        source: The text.
        text: Gets the words.
        writer: Gets the calls.
        prefix: Text that the model was given as the beginning of its answer.
    """

    def __init__(self, source: Source, text: TextWriter, writer: CallWriter, prefix: str) -> None:
        self._source, self._text, self._writer = source, text, writer
        self._markers = markers()
        self._groups = GroupReader(source, text, writer, prefix)

    @property
    def stopped(self) -> bool:
        """True once a token that ends the turn was read."""
        return self._groups.stopped

    def read(self) -> Reading[None]:
        """Read to the end of the text."""
        source = self._source
        yield from self._begin()
        while not self._groups.stopped and (char := (yield from source.peek())):
            if char.isspace():
                self._read_space()
            elif char in "[{":
                yield from self._read_bracket(char)
            elif char == "<":
                yield from self._read_marker()
            elif char == '"' and self._place() is Position.START and (yield from source.starts_with('"{\\')):
                yield from self._read_quoted_object()
            elif char == "`" and not self._text.nesting:
                yield from self._read_backticks()
            elif self._text.after_call and char in _STRAY_ENDS:
                source.pos += 1
            elif self._text.after_call and char in "aAtT" and (end := (yield from self._groups.joiner(0))):
                self._text.hold(source.text[source.pos : source.pos + end])
                source.pos += end
            elif self._text.after_call and (yield from source.starts_with(self._markers.own_role)):
                self._groups.stopped = True
            elif self._text.line_start and not self._text.nesting and (yield from self._read_bare(char)):
                pass
            else:
                self._read_words()
        while not source.ended:
            source.pos = len(source.text)
            yield

    def _begin(self) -> Reading[None]:
        """Skip a header the model repeats, and put in what it was given, unless it begins anew."""
        yield from self._skip_header()
        prefix = self._groups.prefix
        if not prefix or self._groups.stopped:
            return
        if (yield from self._source.starts_with(self._whole_calls())):
            self._groups.prefix = ""
            return
        named = _FORCED_NAME.match(prefix)
        name = self._writer.resolve(named[1] or named[2]) if named else None
        if name is not None and (yield from self._gives_no_arguments(name)):
            return
        self._source.prepend(prefix)

    def _whole_calls(self) -> tuple[str, ...]:
        """What a model begins with that writes a whole call though the beginning of one was given."""
        names = {form for spec in self._writer.specs.values() for form in (spec.name, spec.written_name)}
        opened = [
            opening.replace("'", quote) + name + quote
            for name in names
            for quote in "\"'"
            for opening in ("{'name': '", "{'name':'", "{'type': 'function', 'name': '")
        ]
        called = [f"{name}(" for name in names]
        tags = ("```", f"{FUNCTION_TAG}=", *OPENING_TAGS, *self._markers.call_tokens)
        return (*opened, *called, *(f"[{text}" for text in (*opened, *called)), *tags)

    def _gives_no_arguments(self, name: str) -> Reading[bool]:
        """Take nothing, or only closers, as a whole call without arguments."""
        source, writer = self._source, self._writer
        at = 0
        while (
            at < _MAX_CLOSERS
            and (char := (yield from source.ahead(at)))
            and (char in ")]}" or char.isspace())
        ):
            at += 1
        if char and not (char == "<" and (yield from source.ahead(at + 1)) == "|"):
            return False
        if not char and source.cut:
            return False
        source.mark()
        source.pos += at
        writer.begin_group(eager=True)
        writer.write(name, {})
        yield from self._groups.accept()
        return True

    def _skip_header(self) -> Reading[None]:
        source, header = self._source, False
        while True:
            char = yield from source.peek()
            if char.isspace() and not header:
                self._read_space()
            elif char and (char.isspace() or char in _INVISIBLE):
                source.pos += 1
            elif char == "<" and (token := (yield from self._match_marker())) in self._markers.header_tokens:
                source.pos += len(token)
                header = True
            elif header and (yield from source.starts_with(self._markers.roles)):
                self._groups.stopped = True
                return
            elif (yield from source.starts_with(self._markers.own_role)):
                source.pos += len("assistant")
                header = True
            else:
                return

    def _read_space(self) -> None:
        match = _SPACE.match(self._source.text, self._source.pos)
        if match is not None:
            self._source.pos = match.end()
            self._text.write(match[0])

    def _read_words(self) -> None:
        """Write text up to the next character that may begin something else."""
        source, text = self._source, self._text
        match = (_DATA if text.nesting else _PLAIN).match(source.text, source.pos)
        end = match.end() if match is not None else source.pos + 1
        words = source.text[source.pos : end]
        source.pos = end
        self._write(words)
        if match is None and words in "]}" and text.nesting:
            text.nesting -= 1

    def _write(self, words: str) -> None:
        self._groups.prefix, self._groups.announced = "", False
        self._text.write(words)

    def _place(self) -> Position:
        if self._groups.announced or self._text.after_call or not self._text.prose:
            return Position.START
        return Position.LINE if self._text.line_start else Position.INLINE

    def _read_bracket(self, char: str) -> Reading[None]:
        """Read a list, an object or an array of calls; or a bracket."""
        source, text = self._source, self._text
        place = self._place()
        if char == "[" and place is Position.START and (yield from source.starts_with(LIST_MARKER)):
            source.pos += len(LIST_MARKER)
            self._groups.announced = True
            return
        lead = text.lead.rstrip()
        if text.nesting or (
            place is not Position.START
            and (
                is_example(lead, inline=place is Position.INLINE)
                or (place is Position.INLINE and char == "[" and lead[-1:] not in _BEFORE_INLINE)
            )
        ):
            source.pos += 1
            self._write(char)
            text.nesting += 1
            return
        first = char if char == "{" else (yield from source.ahead((yield from source.solid(1))))
        if first == "]" and place is Position.START and (yield from self._read_empty_list()):
            return
        python = first not in ("{", '"', "'")
        source.mark()
        self._writer.begin_group(
            eager=not (python and place is Position.INLINE), leading=place is Position.START
        )
        if python:
            source.pos += 1
            yield from self._groups.read(read_call_list(source, self._writer), place, python=True)
        else:
            yield from self._groups.read(read_objects(source, self._writer), place, python=False)

    def _read_quoted_object(self) -> Reading[None]:
        """Read an object that is written as a text."""
        self._source.mark()
        self._writer.begin_group(eager=True)
        self._source.pos += 1
        reading = read_objects(self._source, self._writer)
        yield from self._groups.read(reading, Position.START, python=False)

    def _read_empty_list(self) -> Reading[bool]:
        """Drop ``[]`` where it is the whole answer: it says that nothing is called."""
        closing = yield from self._source.solid(1)
        if not (yield from self._groups.line_ends(closing + 1)):
            return False
        self._source.pos += closing + 1
        self._groups.prefix = ""
        self._text.call_written()
        return True

    def _read_bare(self, char: str) -> Reading[bool]:
        """Read calls that stand on their own lines without a list; False if there is none."""
        place = self._place()
        if not (char.isalpha() or char == "_"):
            return False
        source, announced = self._source, self._groups.announced
        leading = place is Position.START and not self._writer.any_name
        if place is Position.START and char == "f" and (yield from source.starts_with(_BARE_FUNCTION)):
            yield from self._read_function(FUNCTION_TAG[1:])
            return True
        wrapper = (yield from wrapper_length(source)) if announced else 0
        length = (yield from read_bare_name(source, self._writer, at=wrapper)) if wrapper else 0
        if not length:
            wrapper = 0
            length = yield from read_bare_name(source, self._writer, announced=announced, leading=leading)
        if not length and self._text.after_call and (yield from self._read_cut_name()):
            return True
        if not length or (place is Position.LINE and is_example(self._text.lead, inline=False)):
            return False
        source.mark()
        self._writer.begin_group(eager=False)
        source.pos += wrapper
        reading = read_calls(source, self._writer, length, leading=leading)
        yield from self._groups.read(reading, place, python=True, bare=True, alone=wrapper > 0)
        return True

    def _read_cut_name(self) -> Reading[bool]:
        """Report the name of a tool that the answer breaks off in, after other calls."""
        source = self._source
        name = yield from read_name(source)
        if not source.cut or source.pos + len(name) < len(source.text) or not self._writer.may_begin(name):
            return False
        source.mark()
        source.pos += len(name)
        self._writer.begin_group(eager=False)
        self._writer.fail(name, "the answer was cut off before the call was complete: its name may go on")
        yield from self._groups.accept()
        return True

    def _read_marker(self) -> Reading[None]:
        """Read a control token or a tag; or a less-than sign."""
        source = self._source
        marker = yield from self._match_marker()
        if marker in self._markers.turn_end:
            self._groups.stopped = True
        elif marker in self._markers.message_end:
            source.pos += len(marker)
            yield from skip_space(source)
            self._groups.stopped = not (yield from source.starts_with(self._markers.call_tokens))
        elif marker in self._markers.after_tokens:
            source.pos += len(marker)
        elif marker in self._markers.call_tokens:
            source.pos += len(marker)
            self._groups.announced = True
            yield from self._read_code()
        elif marker in CLOSING_TAGS and self._text.after_call:
            source.pos += len(marker)
        elif marker in OPENING_TAGS and not self._text.nesting and (yield from self._opens_call(len(marker))):
            source.pos += len(marker)
            self._groups.announced = True
        elif marker in OPENING_TAGS and self._text.after_call and (yield from self._ends(len(marker))):
            source.pos += len(marker)  # it was meant to be the closing one
        elif marker == FUNCTION_TAG and not self._text.nesting:
            yield from self._read_function()
        else:
            source.pos += 1
            self._write("<")

    def _match_marker(self) -> Reading[str]:
        """Return the longest marker that lies ahead, waiting only while one may."""
        found, length = "", 1
        while True:
            if not (yield from self._source.fill(length)):
                return found
            ahead = self._source.text[self._source.pos : self._source.pos + length]
            if ahead not in self._markers.beginnings:
                return found
            if ahead in self._markers.all:
                found = ahead
            length += 1

    def _opens_call(self, length: int) -> Reading[bool]:
        at = yield from self._source.solid(length)
        return (yield from self._source.ahead(at)) in ("[", "{") or (yield from names_call(self._source, at))

    def _ends(self, length: int) -> Reading[bool]:
        return (yield from self._source.ahead((yield from self._source.solid(length)))) in ("", "<")

    def _read_function(self, tag: str = FUNCTION_TAG) -> Reading[None]:
        source, place = self._source, self._place()
        following = yield from source.ahead(len(tag))
        if following not in ("=", "/", ":", "(", " ") or (
            place is not Position.START and is_example(self._text.lead, inline=place is Position.INLINE)
        ):
            source.pos += 1
            self._write("<")
            return
        source.mark()
        self._writer.begin_group(eager=True)
        source.pos += len(tag)
        yield from self._groups.read(read_function(source, self._writer), place, python=False)

    def _read_code(self) -> Reading[None]:
        """Give what follows the token to the interpreter, where one was offered and no call follows."""
        source, writer = self._source, self._writer
        interpreter = next((name for name in INTERPRETERS if name in writer.specs), None)
        char = yield from skip_space(source)
        if interpreter is None or not char or char in "[{<" or (yield from read_bare_name(source, writer)):
            return
        source.mark()
        while not source.ended:
            source.pos = len(source.text)
            yield
        source.to_mark()
        end = self._markers.end.search(source.text, source.pos)
        code = source.text[source.pos : end.start() if end else len(source.text)].rstrip()
        source.pos = end.start() if end else len(source.text)
        writer.begin_group(eager=True)
        if source.cut:
            writer.start(interpreter)
            writer.fail(code, "the answer was cut off before the code was complete")
        else:
            parameters = writer.specs[interpreter].properties
            writer.write(
                interpreter, {"code" if "code" in parameters else next(iter(parameters), "code"): code}
            )
        yield from self._groups.accept()

    def _read_backticks(self) -> Reading[None]:
        """Read inline code, which is text, or a fenced block, which may hold calls."""
        reader = FenceReader(self._source, self._writer)
        place = self._place()
        ticks = yield from reader.count_ticks()
        if place is Position.START or (
            ticks >= 3 and not is_example(self._text.lead, inline=place is Position.INLINE)
        ):
            self._source.mark()
            self._writer.begin_group(eager=False, leading=place is Position.START)
            accepted = yield from reader.read_calls(ticks, after_words=place is not Position.START)
            if accepted:
                yield from self._groups.accept()
                return
            fault = reader.fault
            if isinstance(fault, Cut) and self._source.cut and (self._writer.ended or fault.name):
                self._source.pos = len(self._source.text)
                error = f"the answer was cut off before the call was complete: {fault.error}"
                self._writer.fail(self._source.since(reader.begun).strip(), error, name=fault.name)
                yield from self._groups.accept()
                return
            self._groups.reject()
            self._text.nesting = 0
            if reader.closed:
                return
        else:
            self._source.pos += ticks
            self._write("`" * ticks)
        while not self._groups.stopped and (part := (yield from reader.read_code(ticks))):
            self._write(part)
            if (yield from self._source.peek()) == "<" and not reader.closed:
                marker = yield from self._match_marker()
                self._groups.stopped = marker in self._markers.turn_end or marker in self._markers.message_end
