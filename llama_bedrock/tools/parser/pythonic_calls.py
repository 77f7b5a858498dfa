"""Calls as Python writes them: ``f(a=1)``."""

from __future__ import annotations

from typing import Any

from llama_bedrock.tools.parser.call_events import CallWriter
from llama_bedrock.tools.parser.quoted_text import QUOTES, goes_on
from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable, ends_tag_or_block, skip_space
from llama_bedrock.tools.parser.values import OPERATORS, Bare, read_value

NAME_LIMIT = 128
_NOT_IN_NAMES = frozenset("()[]{}<>|\"'`=,;:#\\")


class NotACall(Exception):
    """What looked like the beginning of a call is text."""


def read_name(source: Source) -> Reading[str]:
    """Read what may be the name of a tool; the position stays where it is."""
    length = 0
    while length < NAME_LIMIT:
        char = yield from source.ahead(length)
        if not char or char.isspace() or char in _NOT_IN_NAMES:
            break
        length += 1
    return source.text[source.pos : source.pos + length]


def is_identifier(name: str) -> bool:
    """Tell whether a name that was not offered can be the name of a function."""
    return all(part.isidentifier() for part in name.replace("-", "_").split("."))


def is_keyword(source: Source, at: int) -> Reading[bool]:
    """Tell whether ``name=`` lies `at` characters ahead."""
    end = at
    while end - at < NAME_LIMIT and ((char := (yield from source.ahead(end))).isalnum() or char == "_"):
        end += 1
    if end == at:
        return False
    end = yield from source.solid(end, limit=2)
    return (yield from source.ahead(end)) == "=" and (yield from source.ahead(end + 1)) != "="


def names_call(source: Source, at: int) -> Reading[bool]:
    """Tell whether a name and an opening bracket lie `at` characters ahead."""
    end = at
    while end - at < NAME_LIMIT:
        char = yield from source.ahead(end)
        if not char or char.isspace() or char in _NOT_IN_NAMES:
            break
        end += 1
    return end > at and (yield from source.ahead(end)) == "("


def wrapper_length(source: Source) -> Reading[int]:
    """Return how long ``print(`` or ``result = `` is that lies ahead, 0 if neither does."""
    if (yield from source.starts_with("print(")):
        return len("print(")
    if not (yield from is_keyword(source, 0)):
        return 0
    at = source.text.index("=", source.pos) - source.pos + 1
    return (yield from source.solid(at, limit=2))


def read_call(source: Source, writer: CallWriter, name: str, outer: str = "") -> Reading[None]:
    """Read a call from behind its opening bracket to its closing one.

    Args:
        source: Stands behind the bracket.
        writer: Gets the call.
        name: The name as it was written.
        outer: Closer of what the call stands in; it ends a call whose own is missing.

    Raises:
        NotACall: It begins with a word, like a signature in prose.
        Unreadable: An argument is no literal.
    """
    known = writer.resolve(name)
    if known is None and name.endswith(".call"):
        name = name.removesuffix(".call")
    writer.start(name)
    positional: list[Any] = []
    comma = True
    while True:
        char = yield from skip_space(source, comments=True)
        if char == ")":
            source.pos += 1
            break
        begun = bool(positional) or bool(writer.written())
        if begun and not comma and not source.cut and (yield from _ends_unclosed(source, char, outer)):
            break
        if not char:
            raise Cut("the call does not end")
        if not comma and char not in QUOTES and not (char.isalpha() or char in "_$"):
            raise Unreadable(f"{char!r} stands where a comma should", orderly=char in OPERATORS)
        yield from _read_argument(source, writer, positional)
        comma = (yield from skip_space(source, comments=True)) == ","
        source.pos += comma
    if positional:
        writer.positional(positional)
    writer.identify()
    if (yield from goes_on(source)):
        raise Unreadable("arguments follow the closing bracket")
    writer.end(doubtful=source.forgiven)


def _ends_unclosed(source: Source, char: str, outer: str) -> Reading[bool]:
    """Tell whether a call ends here though its closing bracket is missing."""
    source.forgiven = not char or char in outer or (yield from ends_tag_or_block(source))
    return source.forgiven


def _read_argument(source: Source, writer: CallWriter, positional: list[Any]) -> Reading[None]:
    name = yield from _read_keyword(source)
    if name is not None:
        if positional:
            writer.positional(positional)
            positional.clear()
        if writer.any_name or writer.knows(writer.name or ""):
            writer.identify()
        value = yield from read_value(source, "args", python=True, depth=1)
        writer.argument(name, value, once=True)
        writer.identify()
        return
    spread = yield from source.starts_with("**")
    if spread:
        source.pos += 2
    value = yield from read_value(source, "args", python=True, depth=1)
    if isinstance(value, Bare):
        if writer.identified or (yield from skip_space(source)) not in (",", ")", ""):
            raise Unreadable(f"{value} stands where a value should: text needs quotes", orderly=True)
        raise NotACall
    if spread and isinstance(value, dict):
        for key, entry in value.items():
            writer.argument(key, entry)
    elif isinstance(value, str) and (yield from skip_space(source)) in (":", "="):
        source.pos += 1
        writer.argument(value, (yield from read_value(source, "args", python=True, depth=1)))
    elif writer.written() and not isinstance(value, dict):
        raise Unreadable("an argument without a name follows named ones", orderly=True)
    else:
        positional.append(value)


def _read_keyword(source: Source) -> Reading[str | None]:
    """Read ``name=`` or ``name:``; None, and nothing read, if it is not one."""
    char = yield from source.peek()
    if not (char.isalpha() or char in "_$"):
        return None
    name = yield from read_name(source)
    at = yield from source.solid(len(name), limit=16)
    char = yield from source.ahead(at)
    if char not in ("=", ":") or (char == "=" and (yield from source.ahead(at + 1)) == "="):
        return None
    source.pos += at + 1
    return name


def read_bare_name(
    source: Source, writer: CallWriter, *, at: int = 0, announced: bool = False
) -> Reading[int]:
    """Return how long the name of a known tool is that lies ahead and is called there, 0 if none is.

    It waits no longer than a known name may still come; the position stays where it is.

    Args:
        source: Stands before the name.
        writer: Knows the tools.
        at: How far ahead the name would begin; 0 where `announced`.
        announced: A token said that a call follows: ``anything.call(`` and ``anything(a=`` are then calls,
            though maybe invalid ones.
    """
    if announced:
        name = yield from read_name(source)
        if (
            is_identifier(name)
            and (yield from source.ahead(len(name))) == "("
            and (name.endswith(".call") or (yield from is_keyword(source, len(name) + 1)))
        ):
            return len(name)
    if writer.any_name:
        return 0
    end = at
    while end - at < NAME_LIMIT:
        char = yield from source.ahead(end)
        if not char or char.isspace() or char in _NOT_IN_NAMES:
            break
        name = source.text[source.pos + at : source.pos + end]
        if char == "." and writer.resolve(name) and not writer.may_begin(f"{name}."):
            return end - at + 5 if (yield from _is_method_call(source, end)) else 0
        if not writer.may_begin(name + char):
            return 0
        end += 1
    name = source.text[source.pos + at : source.pos + end]
    return end - at if (yield from source.ahead(end)) == "(" and writer.resolve(name) else 0


def _is_method_call(source: Source, at: int) -> Reading[bool]:
    for offset, wanted in enumerate(".call("):
        if (yield from source.ahead(at + offset)) != wanted:
            return False
    return True


def read_calls(source: Source, writer: CallWriter, length: int) -> Reading[bool]:
    """Read bare calls, one after another, with white space, commas or semicolons between.

    Returns True if the last one ended its line.

    Args:
        source: Stands before the first name.
        writer: Gets the calls.
        length: Length of that name.

    Raises:
        NotACall: It begins like a signature.
        Unreadable: An argument is no literal.
    """
    while True:
        name = source.text[source.pos : source.pos + length]
        source.pos += length + 1
        yield from read_call(source, writer, name)
        at = yield from source.solid()
        char = yield from source.ahead(at)
        if char in (";", ","):
            at = yield from source.solid(at + 1)
        elif char and char not in "<`])" and "\n" not in source.text[source.pos : source.pos + at]:
            return False
        length = yield from read_bare_name(source, writer, at=at)
        if not length:
            return True
        source.pos += at
