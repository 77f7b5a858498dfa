r"""JSON calls that are broken in the ways small Llamas break them.

Seen in real outputs: ``"parameters {``, ``"parameters({``, ``"parameters={``, ``"parameters':{``,
``{"name","f"``, quotes escaped from some point on, stray quotes and backslashes between tokens, missing
closers. All are damage to the punctuation around keys; the values are whole. Anything else is not repaired: a
value is never made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from llama_bedrock.tools.parser.json_calls import ARGUMENT_KEYS, NAME_KEYS
from llama_bedrock.tools.parser.source import Source, Unreadable, finish
from llama_bedrock.tools.parser.values import MAX_DEPTH, read_value, reject_bare

_BEFORE_KEY = re.compile(r"[\s,]*[\\>]{0,4}\s*")
_KEY = re.compile(r"""(?:\\?["'“])?([A-Za-z_$][\w$.-]{0,127})""")
_AFTER_KEY = re.compile(r"""\s*(?:\\?["'”])?\s*[:=(>]{0,2}\s*(?:\\?["'](?=\s*[{\[]))?\s*""")
_NAME_COMMA = re.compile(r"""["']\s*,\s*(?=["'])""")
_NAME = re.compile(r"""\\?["']?([\w$.\-/]{1,128})\\?["']?\s*(?=[,}])""")
_NO_BRACE = re.compile(r"""["'][\w$.-]{1,64}["']\s*:""")
_NO_OPENING_QUOTE = re.compile(r"""([^\W\d_](?:[^"{}\[\]:\\\n]{0,200}\w)?)"\s*(?=[,}])""")
_NO_CLOSING_QUOTE = re.compile(r"""\"([^"{}\[\]\\\n]{0,200}?\w)(?=,\s*"[\w$.-]{1,64}"\s*:)""")
_BEFORE_CLOSER = re.compile(r"""\s*(?:\\?["']\s*(?=[\]})]|\Z))?""")
_BEFORE_OBJECT = re.compile(r"(?:```\w*)?[\s\[,;\"]*\{")
_BEFORE_ARGUMENTS = re.compile(r"<function[^{\n]{1,160}\{")
_AFTER_CALL = re.compile(
    r"""(?:["']?[\]})]+|["']\s*\Z)?(?:\s*\Z|\s*[;,]?\s*[\[{<]|\s+(?![\w$.-]+["']?\s*[:=])\w)"""
)
_VALUE_START = frozenset("{[\"'-0123456789tfnTFN\\")


class Repaired(NamedTuple):
    """A call that was read in spite of its damage."""

    name: str
    args: dict[str, Any]
    end: int
    forgiven: bool
    """A closer was missing."""
    keys: frozenset[str]
    """Keys that stand beside the name and the arguments, these two included."""


def repair(
    text: str, start: int, *, knows: Callable[[str], bool], name: str | None = None
) -> Repaired | None:
    """Read a broken call.

    Args:
        text: What the model wrote, to its end.
        start: Where the call begins.
        knows: Tells whether a tool of this name is offered.
        name: The tool, where it was already read; else it must be among the keys.

    Returns:
        The call, None if it cannot be read for certain.
    """
    tagged = name is not None and text.startswith("<", start)
    begin = (_BEFORE_ARGUMENTS if tagged else _BEFORE_OBJECT).match(text, start)
    if begin is None:
        return None
    reader = _Reader(text, begin.end() - 1, knows)
    try:
        top = reader.read_object(0)
    except Unreadable:
        return None
    args: Any = top
    if not tagged:
        name = next((top[key] for key in NAME_KEYS if isinstance(top.get(key), str)), None)
        args = next((top[key] for key in ARGUMENT_KEYS if key in top), None)
        if isinstance(args, list) and len(args) == 1:
            args = args[0]
    if name is None or not knows(name) or not isinstance(args, dict):
        return None
    if not _AFTER_CALL.match(text, reader.pos):
        return None
    return Repaired(name, args, reader.pos, reader.forgiven, frozenset(() if tagged else top))


class _Reader:
    """Reads objects whose keys are damaged; whole values are left to `read_value`."""

    def __init__(self, text: str, start: int, knows: Callable[[str], bool]) -> None:
        self._text = text
        self._knows = knows
        self.pos = start
        self.forgiven = False

    def read_object(self, depth: int) -> dict[str, Any]:
        """Read from the opening brace to the closing one, or to the end of the text."""
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deep")
        self.pos += 1
        found: dict[str, Any] = {}
        while True:
            self._skip(_BEFORE_KEY)
            char = self._char()
            if char == "}":
                self.pos += 1
                return found
            if not char and found:
                self.forgiven = True
                return found
            if char in ("]", ";") and found and not depth:
                return found
            if char in ('"', "'") and self._only_closers_follow():
                self.pos += 1
                continue
            key = self._read_key()
            found[key] = self._read_value(key, depth)
            self._skip(_BEFORE_CLOSER)

    def _read_key(self) -> str:
        match = _KEY.match(self._text, self.pos)
        if match is None:
            raise Unreadable("a key is missing")
        key = match[1]
        self.pos = match.end()
        if key in NAME_KEYS and (comma := _NAME_COMMA.match(self._text, self.pos)):
            self.pos = comma.end()
        else:
            self._skip(_AFTER_KEY)
        return key

    def _read_value(self, key: str, depth: int) -> Any:
        char = self._char()
        if not depth and key in NAME_KEYS and (name := _NAME.match(self._text, self.pos)):
            if self._knows(name[1]):
                self.pos = name.end()
                return name[1]
        elif not depth and key in ARGUMENT_KEYS and _NO_BRACE.match(self._text, self.pos):
            self.pos -= 1
            return self.read_object(depth + 1)
        for pattern in (_NO_OPENING_QUOTE, _NO_CLOSING_QUOTE):
            if (text := pattern.match(self._text, self.pos)) is not None:
                self.pos = text.end()
                return text[1]
        if char not in _VALUE_START:
            raise Unreadable(f"no value follows {key}")
        if char == "{":
            return self.read_object(depth + 1)
        source = Source(self._text, ended=True)
        source.pos = self.pos
        value = finish(read_value(source, "dict", python=False, depth=depth + 1))
        self.pos = source.pos
        self.forgiven |= source.forgiven
        return reject_bare(value)

    def _only_closers_follow(self) -> bool:
        rest = self._text[self.pos + 1 : self.pos + 65].strip()
        return not rest or rest[0] in "}])"

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self.pos)
        if match is not None:
            self.pos = match.end()

    def _char(self) -> str:
        return self._text[self.pos] if self.pos < len(self._text) else ""
