"""What was read, as events: words without the white space around calls, and calls.

Calls are looked up among the tools, their arguments coerced, and all is held back until it is certain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_bedrock.tools.coercion import coerce
from llama_bedrock.tools.events import CallDelta, Event, InvalidCall, TextDelta
from llama_bedrock.tools.json_schema import is_valid, resolve, strict_violations, types_of
from llama_bedrock.tools.parser.source import Unreadable
from llama_bedrock.tools.parser.values import Bare, reject_bare

if TYPE_CHECKING:
    from llama_bedrock.tools.spec import ToolSpec

_NAMESPACES = ("functions.", "function.", "tools.", "tool.", "default_api.", "api.")
_WRAPPERS = frozenset({"parameters", "params", "arguments", "args", "kwargs", "input"})
_PUNCTUATION = re.compile(r"[^0-9A-Za-z]+")


@dataclass(slots=True)
class _OpenCall:
    """The call that is being read."""

    name: str
    spec: ToolSpec | None
    properties: Mapping[str, Any]
    index: int
    id: str
    announced: bool = False
    args: dict[str, Any] = field(default_factory=dict)
    unnamed: list[Any] = field(default_factory=list)
    """Arguments without names of a tool that was not offered: nothing tells what they are."""


class CallWriter:
    """Writes events for one answer.

    A group of calls begins uncertain: its events are held until `commit`, or dropped by `discard`.

    Args:
        specs: The tools offered; with none, any name is taken for one.
        out: Gets the events that are certain.
        strict: Validate the arguments of every tool, not only of those whose spec says so.
        new_id: Makes identifiers of calls.

    Attributes:
        certain: Events of the group go out at once.
        identified: What is being read is a call, even if it should turn out unreadable.
        leading: The group begins the answer.
        unknown: How many calls of the group name no tool that was offered.
        nameless: How many of those have arguments without names.
        failed: How many calls of the group cannot be read.
        ended: How many can.
    """

    def __init__(
        self, specs: Sequence[ToolSpec], out: list[Event], *, strict: bool, new_id: Callable[[], str]
    ) -> None:
        self.specs: Mapping[str, ToolSpec] = {spec.name: spec for spec in specs}
        self._properties: dict[str, Mapping[str, Any]] = {}  # of the tools that were called
        self._spelled: dict[str, str | None] = {}
        for name in self.specs:
            key = _PUNCTUATION.sub("_", name)
            self._spelled[key] = None if key in self._spelled else name
        self._strict = strict
        self._new_id = new_id
        self._out = out
        self._held: list[Event] = []
        self._call: _OpenCall | None = None
        self._first = self._next = 0
        self._eager = True
        self.certain = self.identified = False
        self.leading = True
        self.unknown = self.nameless = self.failed = self.ended = 0
        self._beginnings = tuple(
            space + name for space in ("", *_NAMESPACES) for name in {*self.specs, *self._spelled}
        )

    @property
    def any_name(self) -> bool:
        """True where no list of tools was given."""
        return not self.specs

    @property
    def name(self) -> str | None:
        """The tool that is being called."""
        return self._call.name if self._call else None

    def resolve(self, name: str) -> str | None:
        """Return the name of the tool that is meant, None if none is.

        Only spellings that a dialect forces or a prompt teaches are taken for the same: ``get_weather`` for
        ``get-weather``, which Python cannot write, and ``functions.get_weather``.
        """
        if name in self.specs:
            return name
        for namespace in _NAMESPACES:
            if name.startswith(namespace) and name[len(namespace) :] in self.specs:
                return name[len(namespace) :]
        return self._spelled.get(_PUNCTUATION.sub("_", name))

    def knows(self, name: str) -> bool:
        """Tell whether a call to this name is a call."""
        return self.any_name or self.resolve(name) is not None

    def may_begin(self, text: str) -> bool:
        """Tell whether a known name, or a namespace before one, begins with this text."""
        return any(name.startswith(text) for name in self._beginnings)

    def begin_group(self, *, eager: bool, leading: bool = True) -> None:
        """Begin a group of calls.

        Args:
            eager: It becomes certain as soon as a known tool is identified.
            leading: It begins the answer: a name alone is a call there, elsewhere only a mention.
        """
        self.leading = leading
        self._held, self._call = [], None
        self._first = self._next
        self._eager = eager
        self.certain = self.identified = False
        self.unknown = self.nameless = self.failed = self.ended = 0

    def identify(self) -> None:
        """Say that this is a call, whatever follows."""
        call = self._call
        if call is None or (call.spec is None and not self.any_name):
            self.identified = self._eager
            return
        self.identified = True
        if self._eager:
            self.commit()
        if self.certain:
            self._announce(call)

    def commit(self) -> None:
        """Let the events of the group go out."""
        if not self.certain:
            self.certain = True
            self._out += self._held
            self._held = []

    def discard(self) -> None:
        """Forget the group: it was text."""
        self._held, self._call = [], None
        self._next = self._first

    def start(self, name: str) -> None:
        known = self.resolve(name)
        spec = self.specs[known] if known is not None else None
        if spec is not None and spec.name not in self._properties:
            self._properties[spec.name] = spec.properties
        properties = self._properties[spec.name] if spec is not None else {}
        self._call = _OpenCall(known or name, spec, properties, self._next, self._new_id())
        self._next += 1

    def argument(self, name: str, value: Any, *, once: bool = False) -> None:
        """Add an argument.

        Args:
            name: As it was written.
            value: As it was written, too.
            once: It must not have been given before. In JSON the last of several counts.

        Raises:
            Unreadable: The value is a word without quotes that the schema does not know, or the second one.
        """
        call = self._open_call()
        name = _argument_name(name, call)
        if name in _WRAPPERS and self._wraps(value, name, call):
            for key, entry in value.items():
                self.argument(key, entry)
            return
        if once and name in call.args:
            raise Unreadable(f"{name} is given twice", orderly=True)
        if call.spec is not None:
            schema = call.properties.get(name, call.spec.parameters.get("additionalProperties"))
            value = _known_word(value, schema, call.spec.parameters)
            value = coerce(value, schema, call.spec.parameters)
        else:
            reject_bare(value)
        first = not call.args
        call.args[name] = value
        if call.spec is not None or self.any_name:
            self._announce(call)
            key = json.dumps(name, ensure_ascii=False)
            separator = "" if first else ", "
            self._emit(CallDelta(call.index, None, None, f"{separator}{key}: {to_json(value)}"))

    def positional(self, values: Sequence[Any]) -> None:
        """Add arguments without names, in the order of the schema; a single object may hold all of them.

        Raises:
            Unreadable: There is nothing to name them by.
        """
        call = self._open_call()
        properties = call.properties
        if len(values) == 1 and isinstance(values[0], dict) and self._holds_all(values[0], call):
            for key, value in values[0].items():
                self.argument(key, value)
            return
        if call.spec is None and not self.any_name:
            call.unnamed += values
            return
        names = [name for name in properties if name not in call.args]
        if len(names) < len(values):
            takes = f"takes {', '.join(properties)}" if properties else "takes no arguments"
            raise Unreadable(f"more arguments than {call.name} has: it {takes}", orderly=True)
        for name, value in zip(names, values, strict=False):
            self.argument(name, value)

    def expects(self, name: str) -> bool:
        """Tell whether a parameter of the call has this name and was not given."""
        call = self._call
        return call is not None and name in call.properties and name not in call.args

    def end(self, *, beside: Iterable[str] = (), doubtful: bool = False) -> None:
        """End the call that is being read.

        Args:
            beside: Keys that stood beside the arguments.
            doubtful: A closer was missing: a value may hold what should come after it.

        Raises:
            Unreadable: The schema says that it does, or that arguments stand beside the arguments.
        """
        call = self._open_call()
        if any(self.expects(key) for key in beside):
            raise Unreadable("arguments stand beside the arguments")
        if doubtful and not self._plausible(call):
            raise Unreadable("a closing bracket is missing, and it cannot be told where")
        self._call = None
        self.ended += 1
        if call.spec is None and not self.any_name:
            # An ordinary call: whoever runs tools tells the model which there are, and it tries again.
            numbered = {f"arg{number}": value for number, value in enumerate(call.unnamed, start=1)}
            self._announce(call)
            self._emit(CallDelta(call.index, None, None, to_json({**numbered, **call.args})[1:]))
            self.unknown += 1
            self.nameless += bool(call.unnamed)
            return
        self._announce(call)
        faults = self._faults(call)
        if faults:
            error, args = "; ".join(faults), to_json(call.args)
            self._emit(InvalidCall(call.index, call.id, call.name, args, error, announced=True, closer="}"))
        else:
            self._emit(CallDelta(call.index, None, None, "}"))

    def fail(self, raw: str, error: str, *, name: str | None = None) -> None:
        """End the call that is being read, or one that could not be begun, as invalid."""
        call, self._call = self._call, None
        self.failed += 1
        if call is None:
            self._emit(InvalidCall(self._next, self._new_id(), name, raw, error))
            self._next += 1
        else:
            self._emit(InvalidCall(call.index, call.id, call.name, raw, error, announced=call.announced))

    def write(
        self, name: str, args: Mapping[str, Any], *, beside: Iterable[str] = (), doubtful: bool = False
    ) -> None:
        """Add a whole call, in place of the one that is being read if there is one.

        Args:
            name: The tool.
            args: Its arguments.
            beside: Keys that stood beside them.
            doubtful: As for `end`.

        Raises:
            Unreadable: Arguments stand beside the arguments, or as for `end`.
        """
        call = self._call
        if call is None:
            self.start(name)
        for key, value in args.items():
            if call is None or key not in call.args:
                self.argument(key, value)
        self.identify()
        self.end(beside=beside, doubtful=doubtful)

    def written(self) -> Mapping[str, Any]:
        """Return the arguments that were already sent for the call that is being read."""
        return self._call.args if self._call else {}

    def fits(self, args: Mapping[str, Any], known: str) -> bool:
        """Tell whether these can be the arguments of a known tool: no unknown name, and all it requires."""
        spec = self.specs[known]
        return args.keys() <= spec.properties.keys() and all(key in args for key in spec.required)

    def _open_call(self) -> _OpenCall:
        if self._call is None:
            raise RuntimeError("no call was started")
        return self._call

    def _announce(self, call: _OpenCall) -> None:
        if not call.announced:
            call.announced = True
            self._emit(CallDelta(call.index, call.id, call.name, "{"))

    def _emit(self, event: Event) -> None:
        (self._out if self.certain else self._held).append(event)

    def _plausible(self, call: _OpenCall) -> bool:
        """Tell whether the arguments fit their schemas, and none is hidden in another."""
        properties, parameters = call.properties, call.spec.parameters if call.spec else {}
        return not any(
            any(self.expects(key) for key in _inner_keys(value))
            or not is_valid(value, properties.get(name, True), parameters)
            for name, value in call.args.items()
        )

    def _faults(self, call: _OpenCall) -> list[str]:
        if call.spec is None or not (self._strict or call.spec.strict):
            return []
        return strict_violations(call.args, {**call.spec.parameters, "type": "object"})

    def _wraps(self, value: Any, name: str, call: _OpenCall) -> bool:
        """Tell whether all arguments stand in one that the tool does not have: ``f(params={'a': 1})``."""
        return (
            isinstance(value, dict)
            and call.spec is not None
            and name not in call.properties
            and not call.args
            and self.fits(value, call.name)
        )

    @staticmethod
    def _holds_all(value: dict[str, Any], call: _OpenCall) -> bool:
        """Tell whether an object is the arguments, or the first of them."""
        properties = call.properties
        if not properties or any(key in properties for key in value):
            return True
        first = resolve(next(iter(properties.values())), call.spec.parameters if call.spec else {})
        return bool(value) and "object" not in types_of(first)


def _inner_keys(value: Any) -> Iterator[str]:
    """Return the keys of all objects in a value."""
    ahead = [value]
    while ahead:
        entry = ahead.pop()
        if isinstance(entry, dict):
            yield from entry
            ahead.extend(entry.values())
        elif isinstance(entry, list):
            ahead.extend(entry)


def to_json(value: Any) -> str:
    """Write JSON as the events hold it."""
    return json.dumps(value, ensure_ascii=False)


def _argument_name(name: str, call: _OpenCall) -> str:
    """Return the parameter that is meant: Python cannot write ``from=`` or ``user-agent=``."""
    properties = call.properties
    if name in properties or not properties:
        return name
    if name.endswith("_") and name[:-1] in properties:
        return name[:-1]
    key = _spelling(name)
    alike = [other for other in properties if _spelling(other) == key and other not in call.args]
    return alike[0] if len(alike) == 1 else name


def _spelling(name: str) -> str:
    return _PUNCTUATION.sub("_", name).strip("_")


def _known_word(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(value, Bare):
        return value
    options = resolve(schema, root).get("enum") or ()
    if str(value) not in options:
        raise Unreadable(value.fault, orderly=True)
    return str(value)


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
        self._calls = self._joined = False
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
            body = ("".join(self._space) + body).lstrip()
        self._joined = False
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

    def hold(self, word: str) -> None:
        """Take a word that is left out if a call follows it, as white space is: what joins two calls."""
        self._space.append(word)
        self._joined = True

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
        if self._joined:
            self._space = [part for part in self._space if part.isspace()]
            self._joined = False
        self._calls = self.after_call = self.line_start = True
        self.nesting = 0

    def close(self) -> None:
        """Write the white space that ends an answer of words."""
        if self._space and (self._joined or not self.after_call):
            space = "".join(self._space)
            self._out.append(TextDelta(space.strip() if self._joined and not self.prose else space))
        self._space.clear()
