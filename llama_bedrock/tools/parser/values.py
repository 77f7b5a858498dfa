"""Values as models write them: JSON, Python literals, and mixtures of both. Nothing is evaluated."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable
from typing import Any

from llama_bedrock.tools.parser.quoted_text import QUOTES, Where, read_string
from llama_bedrock.tools.parser.source import (
    Cut,
    Reading,
    Source,
    Unreadable,
    finish,
    only_closers_follow,
    skip_space,
)

MAX_DEPTH = 64
"""Values nested deeper are refused: no tool needs them, and what reads the JSON later recurses."""

OPERATORS = frozenset("+-*/%=.")
"""What follows a value in an expression, which is no literal but has its brackets in order."""

_AFTER_NOTHING = frozenset(",?)}")
_CLOSERS = {"[": "]", "(": ")", "{": "}"}
_TOKEN = re.compile(r"[\w.+\-$]+")
_MAX_TOKEN = 1000
_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d*(?:_\d+)*)\Z", re.ASCII)
_BASED = re.compile(r"[+-]?0(?:[xX][\da-fA-F]+|[oO][0-7]+|[bB][01]+)(?:_[\da-fA-F]+)*\Z", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:(?:0|[1-9][\d_]*)(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?\Z", re.ASCII)
_ZEROS = re.compile(r"0\d+\Z", re.ASCII)
_WORDS: dict[str, bool | None] = {
    "True": True, "true": True, "TRUE": True,
    "False": False, "false": False, "FALSE": False,
    "None": None, "null": None, "NULL": None, "none": None, "Null": None,
}  # fmt: skip
_PREFIXES = frozenset({"r", "b", "u", "f", "rb", "br", "fr", "rf"})
_KEY_LIMIT = 200


class Bare(str):
    """A word without quotes. It is a value only where the schema knows it."""

    __slots__ = ()

    @property
    def fault(self) -> str:
        """Why it cannot be read as a value."""
        if keyword.iskeyword(self):  # x if y else z, not x, lambda: x
            return "an expression stands where a value should: arguments must be literals"
        return f"{self} stands where a value should: text needs quotes"


class WrittenFloat(float):
    """A number that was written another way than Python would write it, such as ``1.10``."""

    written: str


class WrittenInt(int):
    """A number that was written another way than Python would write it, such as ``0x10``."""

    written: str


def read_value(source: Source, where: Where, *, python: bool, depth: int = 0) -> Reading[Any]:
    """Read one value.

    Args:
        source: Stands before the value.
        where: What the value stands in.
        python: In a pythonic call rather than in JSON.
        depth: How many containers it stands in.

    Raises:
        Cut: The text ends inside the value.
        Unreadable: There is no value.
    """
    char = yield from skip_space(source, comments=True)
    if not char:
        raise Cut("a value is missing")
    if char in QUOTES or char in "\\&":
        text = yield from read_string(source, where, python=python)
        return (yield from _concatenated(source, text, where)) if python else text
    if char in "[(":
        return (yield from read_list(source, python=python, depth=depth + 1))
    if char == "{":
        return (yield from read_braces(source, python=python, depth=depth + 1))
    return (yield from _read_token(source, where, python=python))


def _concatenated(source: Source, text: str, where: Where) -> Reading[str]:
    """Add the texts that follow side by side or after a plus, as Python does."""
    parts = [text]
    while True:
        char = yield from skip_space(source)
        if char == "+":
            source.pos += 1
            char = yield from skip_space(source)
            if char not in QUOTES:
                raise Unreadable(Bare("if").fault, orderly=True)
        if not char or char not in QUOTES:
            return "".join(parts)
        if where == "list":  # Python would join them; a model has more likely forgotten a comma
            raise Unreadable("a comma is missing in a list")
        parts.append((yield from read_string(source, where, python=True)))


def _read_token(source: Source, where: Where, *, python: bool) -> Reading[Any]:
    token = yield from read_word(source)
    following = source.text[source.pos] if source.pos < len(source.text) else ""
    if not token:
        # Models leave out what they do not know: days=, or days=?
        raise Unreadable(f"{following!r} stands where a value should", orderly=following in _AFTER_NOTHING)
    if following in ("'", '"') and token.lower() in _PREFIXES:
        return (yield from _read_prefixed(source, token.lower(), where))
    if not following and source.cut:
        raise Cut("the value may go on")
    if token in _WORDS:
        return _WORDS[token]
    if token[0] in "+-.0123456789":
        return _number(token)
    if following in _CLOSERS:
        shown = f"{token}{following}…{_CLOSERS[following]}"
        raise Unreadable(f"{shown} stands where a value should: arguments must be literals", orderly=True)
    return Bare(token)


def read_word(source: Source) -> Reading[str]:
    """Read letters, digits and what else numbers and names are made of, until something else comes."""
    parts: list[str] = []
    length = 0
    while (yield from source.peek()):
        found = _TOKEN.match(source.text, source.pos)
        if found is None:
            break
        parts.append(found[0])
        source.pos = found.end()
        length += len(found[0])
        if length > _MAX_TOKEN:
            raise Unreadable("a word or number is too long", orderly=True)
    return "".join(parts)


def _read_prefixed(source: Source, prefix: str, where: Where) -> Reading[str]:
    text = yield from read_string(source, where, python=True, raw="r" in prefix)
    if "f" in prefix and "{" in text:
        raise Unreadable("an f-string stands where a value should: arguments must be literals", orderly=True)
    return (yield from _concatenated(source, text, where))


def _number(token: str) -> int | float | str:
    value: int | float
    if _INTEGER.match(token):
        value = int(token)
    elif _BASED.match(token):
        value = int(token, 0)
    elif _FLOAT.match(token):
        value = float(token.replace("_", ""))
    elif _ZEROS.match(token):
        return token  # a postcode or a telephone number, not octal
    elif any(operator in token[1:] for operator in "+-*/"):
        raise Unreadable(f"{token} is an expression: arguments must be literals", orderly=True)
    else:
        raise Unreadable(f"{token} stands where a value should: text needs quotes", orderly=True)
    if not math.isfinite(value):
        raise Unreadable(f"{token} is too large a number", orderly=True)
    if repr(value) == token:
        return value
    kept = WrittenInt(value) if isinstance(value, int) else WrittenFloat(value)
    kept.written = token
    return kept


def reject_bare(value: Any) -> Any:
    """Return the value unless it is a word without quotes."""
    if isinstance(value, Bare):
        raise Unreadable(value.fault, orderly=True)
    return value


def _deeper(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Unreadable(f"values are nested deeper than {MAX_DEPTH} levels")


def read_list(
    source: Source, *, python: bool, depth: int = 1, read_item: Callable[[int], Reading[Any]] | None = None
) -> Reading[Any]:
    """Read a list or a tuple; round brackets around one value without a comma are only brackets.

    Args:
        source: Stands on the bracket.
        python: In a pythonic call rather than in JSON.
        depth: How many containers, this one included.
        read_item: Reads an item, given its number, in place of `read_value`.
    """
    _deeper(depth)
    opening = source.text[source.pos]
    close = _CLOSERS[opening]
    source.pos += 1
    values: list[Any] = []
    comma = False
    while True:
        char = yield from skip_space(source, comments=True)
        if char == close:
            source.pos += 1
            break
        if values and (yield from _ends_unclosed(source, char, comma=comma)):
            break
        if values and not comma:
            fault = f"a {close} is missing" if char and char in ")]}" else "a comma is missing in a list"
            raise Unreadable(fault, orderly=char in OPERATORS)
        if read_item:
            values.append((yield from read_item(len(values))))
        else:
            values.append(reject_bare((yield from read_value(source, "list", python=python, depth=depth))))
        comma = yield from _after_value(source)
    return values[0] if opening == "(" and len(values) == 1 and not comma else values


def _ends_unclosed(source: Source, char: str, *, comma: bool) -> Reading[bool]:
    """Tell whether a container ends here though its closer is missing; the model must have been done."""
    if (char and char not in ")]}<`") or (comma and not char):
        return False
    if not (yield from only_closers_follow(source)):
        return False
    source.forgiven = True
    return True


def _after_value(source: Source) -> Reading[bool]:
    """Read a comma if there is one, and drop a stray quote before a closer."""
    char = yield from skip_space(source, comments=True)
    if char in ('"', "'"):
        following = yield from source.ahead((yield from source.solid(1)))
        if not following or following in "]})":
            source.pos += 1
            char = yield from skip_space(source)
    if char == ",":
        source.pos += 1
        return True
    return False


def read_braces(
    source: Source,
    *,
    python: bool,
    depth: int = 1,
    entry: Callable[[str, Any], None] | None = None,
    read_entry: Callable[[str], Reading[Any]] | None = None,
) -> Reading[Any]:
    """Read ``{…}``: an object, with quoted or bare keys, or a Python set, which becomes a list.

    Args:
        source: Stands on the brace.
        python: In a pythonic call rather than in JSON.
        depth: How many containers, this one included.
        entry: Takes each entry of an object as soon as it is read; words without quotes are then its matter.
        read_entry: Reads the value of an entry, given its key, in place of `read_value`.
    """
    _deeper(depth)
    source.pos += 1
    found: dict[str, Any] = {}
    elements: list[Any] = []
    separator = ""
    comma = True
    while True:
        char = yield from skip_space(source, comments=True)
        if char == "}":
            source.pos += 1
            break
        begun = found or elements
        if begun and (yield from _ends_unclosed(source, char, comma=comma)):
            break
        if not char:
            raise Cut("an object does not end")
        if not comma and char not in QUOTES and not (char.isalpha() or char == "_"):
            fault = "a } is missing" if char in ")]" else "a comma is missing in an object"
            raise Unreadable(fault, orderly=char in OPERATORS)
        key = yield from _read_key(source, python=python, depth=depth)
        char = yield from skip_space(source)
        if char in (":", "=") and separator in ("", char) and not elements:
            separator = char
            arrow = char == "=" and (yield from source.ahead(1)) == ">"
            source.pos += 2 if arrow else 1
            if read_entry:
                value = yield from read_entry(str(key))
            else:
                value = yield from read_value(source, "dict", python=python, depth=depth)
            found[str(key)] = value if entry else reject_bare(value)
            if entry:
                entry(str(key), value)
        elif python and not found and (not char or char in ",}"):
            elements.append(_WORDS[key] if isinstance(key, Bare) and key in _WORDS else reject_bare(key))
        else:
            raise Unreadable("a colon is missing in an object")
        comma = yield from _after_value(source)
    return elements if elements else found


def _read_key(source: Source, *, python: bool, depth: int) -> Reading[Any]:
    char = source.text[source.pos]
    if char in QUOTES or char in "\\&":
        return (yield from read_string(source, "key", python=python, limit=0 if python else _KEY_LIMIT))
    if char in "[({":
        if not python:
            raise Unreadable("a key is missing in an object")
        return (yield from read_value(source, "list", python=True, depth=depth))
    word = yield from read_word(source)
    if not word:
        raise Unreadable(f"{char!r} stands where a key should")
    return Bare(word) if not word[0].isdigit() else _number(word)


def parse_literal(text: str) -> Any:
    """Read a whole text as one value.

    Raises:
        Unreadable: It is not one, or more follows.
    """
    source = Source(f"{text}\n", ended=True)
    source.cut = True  # here nothing says that the writer was done, so no closer may be missing
    value = reject_bare(finish(read_value(source, "list", python=True)))
    if source.text[source.pos :].strip():
        raise Unreadable("more follows the value")
    return value
