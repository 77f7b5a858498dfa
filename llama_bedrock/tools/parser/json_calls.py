"""``{"name": "f", "parameters": {…}}`` in its many forms."""

from __future__ import annotations

from typing import Any

from llama_bedrock.tools.parser.event_writers import CallWriter
from llama_bedrock.tools.parser.pythonic_calls import (
    NotACall,
    is_identifier,
    read_bare_name,
    read_calls,
    read_or_report,
    read_pair,
    read_quoted_name,
)
from llama_bedrock.tools.parser.quoted_text import QUOTES, goes_on, read_string
from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable, ends_tag_or_block, skip_space
from llama_bedrock.tools.parser.values import parse_literal, read_braces, read_value

NAME_KEYS = frozenset(
    {"name", "function", "function_name", "tool", "tool_name", "action", "func", "recipient_name"}
)
ARGUMENT_KEYS = frozenset({
    "parameters", "arguments", "args", "params", "parameter", "kwargs", "input", "inputs", "tool_input",
    "tool_args", "action_input", "function_args", "tool_parameters",
})  # fmt: skip
LIST_KEYS = frozenset({"tool_calls", "function_calls", "tool_uses", "calls"})
WRAPPER_KEYS = frozenset({"function_call", "tool_call", "tool_use", "function", "call"})
_KINDS = frozenset({"function", "function_call", "tool", "tool_call", "tool_use", "call"})
_ASIDE = frozenset({"id", "call_id", "tool_call_id", "index", "type"})
CALL_KEYS = NAME_KEYS | ARGUMENT_KEYS | LIST_KEYS | WRAPPER_KEYS | _ASIDE
_MAX_WRAPPERS = 4
_MAX_BLANKS = 64


def read_objects(source: Source, writer: CallWriter) -> Reading[None]:
    """Read an object that is a call, or an array of such objects, from its brace or bracket on.

    Raises:
        NotACall: It is some other JSON.
        Unreadable: It is a call, but cannot be read.
    """
    if source.text[source.pos] == "{":
        yield from read_or_report(source, writer, _ObjectReader(source, writer).read())
        return
    source.pos += 1
    yield from _read_array(source, writer, 0)


def _read_array(source: Source, writer: CallWriter, wrappers: int) -> Reading[None]:
    """Read the calls of an array, from behind its bracket on."""
    calls = 0
    while True:
        char = yield from skip_space(source)
        if char == "]" and calls:
            source.pos += 1
            return
        if char == "]" and wrappers:
            raise NotACall
        if char == "," and calls:
            source.pos += 1
        elif char == "{":
            reading = _ObjectReader(source, writer, wrappers=wrappers).read()
            yield from read_or_report(source, writer, reading)
            calls += 1
            if writer.certain:
                source.mark()
        elif char in ('"', "'"):
            yield from _read_encoded(source, writer)
            calls += 1
        elif calls and not char:
            return  # the closing bracket is missing, or was cut off
        elif calls and not source.cut and (char == "}" or (yield from ends_tag_or_block(source))):
            return
        elif not char:
            raise Cut("the list of calls does not end")
        else:
            raise Unreadable("something else stands among calls") if calls else NotACall


def _read_encoded(source: Source, writer: CallWriter) -> Reading[None]:
    """Read a call that is written as a text within the array."""
    first = yield from source.ahead((yield from source.solid(1)))
    if first not in ("{", "\\") and not writer.may_begin(first or "\0"):
        raise NotACall
    if writer.leading and (name := (yield from read_quoted_name(source, writer))):
        yield from read_pair(source, writer, name)
        return
    text = yield from read_string(source, "list", python=False)
    inner = Source(text.strip(), ended=True)
    if inner.text[:1] == "{":
        yield from _ObjectReader(inner, writer).read()
    elif length := (yield from read_bare_name(inner, writer)):
        yield from read_calls(inner, writer, length)
    else:
        raise NotACall
    if inner.pos < len(inner.text):
        raise Unreadable("more follows a call") if writer.certain else NotACall


def _line_ends(source: Source) -> Reading[bool]:
    """Tell whether no words follow on the line."""
    at = 0
    while (char := (yield from source.ahead(at))) in (" ", "\t", "\r") and at < _MAX_BLANKS:
        at += 1
    return not char or not (char.isalnum() or char in "-–—(")


class _ObjectReader:
    """Reads one object, key by key, and tells the writer of the arguments as they come."""

    def __init__(self, source: Source, writer: CallWriter, *, wrappers: int = 0, inner: bool = False) -> None:
        self._source, self._writer = source, writer
        self._wrappers, self._inner = wrappers, inner
        self._name: str | None = None
        self._args: Any = None
        self._has_args = self._streamed = self._wrapped = False
        self._other: dict[str, Any] = {}

    @property
    def name(self) -> str | None:
        """The tool that is called, once its name was read."""
        return self._name

    @property
    def called(self) -> bool:
        """True if the object held a whole call, not only the name of one."""
        return self._has_args or self._wrapped

    def read(self) -> Reading[None]:
        try:
            yield from self._read()
        except Unreadable as error:
            error.name = error.name or self._name
            error.shaped = error.shaped or (self._name is not None and self._has_args)
            raise

    def _read(self) -> Reading[None]:
        source = self._source
        source.pos += 1
        comma, first = True, True
        while True:
            char = yield from skip_space(source, comments=True)
            if char == "}":
                source.pos += 1
                break
            missing = char == "{" if comma else char not in QUOTES
            if missing and self._complete() and not (not char and source.cut):
                source.forgiven = True
                break  # the closing brace is missing
            if not char:
                raise Cut("the call does not end")
            if first and char == "\\" and (yield from source.ahead(1)) in QUOTES:
                raise Unreadable("the quotes of the call are escaped")
            if char not in QUOTES and not (char.isalpha() or char == "_"):
                raise NotACall if first else Unreadable("a key is missing in a call")
            yield from self._read_entry(first=first)
            first = False
            comma = (yield from skip_space(source, comments=True)) == ","
            source.pos += comma
        if not self._wrapped and not self._inner and (yield from goes_on(source)):
            raise Unreadable("arguments follow the closing brace")
        if self._only_named() and not (yield from _line_ends(source)):
            raise NotACall
        self._finish()

    def _only_named(self) -> bool:
        """Tell whether there is nothing but a name: a call where no words follow."""
        wrapped = self._wrapped or self._wrappers > 0
        return not wrapped and self._name is not None and not self._has_args and not self._other

    def _complete(self) -> bool:
        return self._wrapped or (self._name is not None and self._has_args)

    def _read_entry(self, *, first: bool) -> Reading[None]:
        source = self._source
        key: str = yield from self._read_key()
        if key not in CALL_KEYS and not self._may_hold(key, first=first):
            raise NotACall
        char = yield from skip_space(source)
        if char not in (":", "="):
            raise Unreadable("a colon is missing in a call")
        source.pos += 1
        char = yield from skip_space(source)
        if not char:
            raise Cut("the call does not end")
        if key in LIST_KEYS and char == "[":
            yield from self._read_wrapped_list()
        elif key in WRAPPER_KEYS and char == "{":
            yield from self._read_wrapped()
        elif key in NAME_KEYS and self._name is None:
            yield from self._read_name(key)
        elif key in ARGUMENT_KEYS and not self._has_args:
            yield from self._read_arguments(char)
        else:
            yield from self._read_other(key)

    def _may_hold(self, key: str, *, first: bool) -> bool:
        """Tell whether a call can have this key, which is none of those that calls have."""
        if first:
            return self._writer.resolve(key) is not None
        return self._name is None or self._has_args or self._writer.knows(self._name)

    def _read_key(self) -> Reading[str]:
        if self._source.text[self._source.pos] in QUOTES:
            return (yield from read_string(self._source, "key", python=False, limit=200))
        word = ""
        while len(word) < 64:
            char = yield from self._source.peek()
            if not (char.isalnum() or char == "_"):
                break
            word += char
            self._source.pos += 1
        return word

    def _read_name(self, key: str) -> Reading[None]:
        value = yield from self._value()
        if isinstance(value, str) and value:
            self._name = value
            if not self._writer.knows(value) and not is_identifier(value):
                raise NotACall
        elif value is not None or key == "name":
            raise NotACall

    def _read_arguments(self, char: str) -> Reading[None]:
        self._has_args = True
        if char == "{" and self._name is not None and self._writer.knows(self._name) and not self._wrapped:
            self._writer.start(self._name)
            self._streamed = True
            yield from read_braces(self._source, python=False, depth=2, entry=self._take_argument)
        else:
            self._args = yield from self._value()

    def _take_argument(self, key: str, value: Any) -> None:
        if not self._writer.written() and self._is_schema(key, value):
            raise NotACall
        self._writer.argument(key, value)
        self._writer.identify()

    def _is_schema(self, key: str, value: Any) -> bool:
        """Small models repeat the definition of the function instead of calling it."""
        spec = self._writer.specs.get(self._writer.resolve(self._name or "") or "")
        if spec is not None and key in spec.properties:
            return False
        return (key == "type" and value == "object") or (key == "properties" and isinstance(value, dict))

    def _read_other(self, key: str) -> Reading[None]:
        value = yield from self._value()
        if key == "type" and isinstance(value, str) and value not in _KINDS and not self._has_args:
            spec = self._writer.specs.get(self._writer.resolve(self._name or "") or "")
            if spec is None or "type" not in spec.properties:
                raise NotACall
        self._other[key] = value

    def _read_wrapped(self) -> Reading[None]:
        """Read ``"function": {"name": …, "arguments": …}``; the arguments may also stand beside it."""
        if self._wrappers >= _MAX_WRAPPERS:
            raise NotACall
        reader = _ObjectReader(self._source, self._writer, wrappers=self._wrappers + 1, inner=True)
        yield from reader.read()
        if reader.name is None or reader.called:
            self._wrapped = True
        else:
            self._name = reader.name

    def _read_wrapped_list(self) -> Reading[None]:
        if self._wrappers >= _MAX_WRAPPERS:
            raise NotACall
        self._wrapped = True
        self._source.pos += 1
        yield from _read_array(self._source, self._writer, self._wrappers + 1)

    def _value(self) -> Reading[Any]:
        return (yield from read_value(self._source, "dict", python=False, depth=2))

    def _finish(self) -> None:
        """The object is read: decide what it was."""
        writer = self._writer
        if self._wrapped:
            return
        if self._streamed:
            writer.identify()
            writer.end(beside=self._other, doubtful=self._source.forgiven)
            return
        if self._name is None:
            self._finish_keyed()
            return
        if self._inner and not self._has_args and not self._other.keys() - _ASIDE:
            return
        args = self._arguments()
        for key, value in args.items():
            if self._is_schema(key, value):
                raise NotACall
            break
        writer.write(self._name, args, beside=self._other, doubtful=self._source.forgiven)

    def _finish_keyed(self) -> None:
        """``{"get_weather": {"city": "Paris"}}``: a call if the object is its arguments, and nothing else."""
        if self._has_args or len(self._other) != 1:
            raise NotACall
        (name, args), *_ = self._other.items()
        known = self._writer.resolve(name)
        if known is None or not isinstance(args, dict) or not self._writer.fits(args, known):
            raise NotACall
        self._writer.write(known, args, doubtful=self._source.forgiven)

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of a call whose arguments did not come after its name."""
        name = self._name or ""
        if not self._has_args:
            return self._beside(name)
        args = self._args
        if isinstance(args, str):
            try:
                args = parse_literal(args) if args.strip() else {}
            except Unreadable as error:
                self._writer.start(name)
                if args.lstrip()[:1] in "{[":
                    raise
                raise Unreadable("the arguments are no object", orderly=True) from error
        if isinstance(args, list) and len(args) <= 1:
            args = args[0] if args else {}
        if args is None:
            return {}
        if not isinstance(args, dict):
            if not self._writer.knows(name):
                raise NotACall
            self._writer.start(name)
            raise Unreadable("the arguments are no object", orderly=True)
        return args

    def _beside(self, name: str) -> dict[str, Any]:
        """Return what stands beside the name of a known tool: nothing, or its arguments."""
        known = self._writer.resolve(name)
        beside = {key: value for key, value in self._other.items() if key not in _ASIDE}
        if known is None or (not self._writer.fits(beside, known) if beside else not self._writer.leading):
            raise NotACall
        return beside
