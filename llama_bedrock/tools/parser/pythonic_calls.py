"""Calls as Python writes them: ``f(a=1)``, alone and in lists: ``[f(a=1), g()]``.

``['f', {'a': 1}]`` is read here too: Llama 3 8B writes it in place of a list of calls.
"""

from __future__ import annotations

import ast
import builtins
import re
from typing import Any

from llama_bedrock.tools.parser.event_writers import CallWriter
from llama_bedrock.tools.parser.quoted_text import QUOTES, goes_on
from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable, ends_tag_or_block, skip_space
from llama_bedrock.tools.parser.values import OPERATORS, Bare, read_value

NAME_LIMIT = 128
_NOT_IN_NAMES = frozenset("()[]{}<>|\"'`=,;:#\\")


class NotACall(Exception):
    """What looked like the beginning of a call is text; its message, if any, is why it would be no call."""


def read_name(source: Source, at: int = 0) -> Reading[str]:
    """Read what may be the name of a tool, `at` characters ahead; the position stays where it is."""
    end = at
    while end - at < NAME_LIMIT:
        char = yield from source.ahead(end)
        if not char or char.isspace() or char in _NOT_IN_NAMES:
            break
        end += 1
    return source.text[source.pos + at : source.pos + end]


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
    name = yield from read_name(source, at)
    return bool(name) and (yield from source.ahead(at + len(name))) == "("


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
        fault = f"**{value} is no literal: name each argument" if spread else value.fault
        if writer.identified or (yield from skip_space(source)) not in (",", ")", ""):
            raise Unreadable(fault, orderly=True)
        raise NotACall(fault)
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
    source: Source, writer: CallWriter, *, at: int = 0, announced: bool = False, leading: bool = False
) -> Reading[int]:
    """Return how long the name is that lies ahead and is called there, 0 if none is.

    It is that of a known tool, unless `announced` or `leading`, and no more is waited for than one may take.
    The position stays where it is.

    Args:
        source: Stands before the name.
        writer: Knows the tools.
        at: How far ahead the name would begin.
        announced: A token said that a call follows: ``anything.call(`` and ``anything(a=`` are calls then.
        leading: Nothing but calls came before: ``anything(a=`` is one then, if it ends the answer and is no
            example of Python: a name of Python's own, or one with dots.
    """
    if announced or leading:
        name = yield from read_name(source, at)
        end = at + len(name)
        if (
            is_identifier(name)
            and (announced or not ("." in name or hasattr(builtins, name)))
            and (yield from source.ahead(end)) == "("
            and ((announced and name.endswith(".call")) or (yield from is_keyword(source, end + 1)))
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


def _read_bare_call(source: Source, writer: CallWriter, length: int) -> Reading[None]:
    name = source.text[source.pos : source.pos + length]
    source.pos += length + 1
    yield from read_call(source, writer, name)


def read_calls(source: Source, writer: CallWriter, length: int, *, leading: bool = False) -> Reading[bool]:
    """Read bare calls, one after another, with white space, commas or semicolons between.

    Returns True if the last one ended its line.

    Args:
        source: Stands before the first name.
        writer: Gets the calls.
        length: Length of that name.
        leading: As for `read_bare_name`.

    Raises:
        NotACall: It begins like a signature.
        Unreadable: An argument is no literal.
    """
    while True:
        yield from read_or_report(source, writer, _read_bare_call(source, writer, length))
        at = yield from source.solid()
        char = yield from source.ahead(at)
        if char in (";", ","):
            at = yield from source.solid(at + 1)
        elif char and char not in "<`])" and "\n" not in source.text[source.pos : source.pos + at]:
            return False
        length = yield from read_bare_name(source, writer, at=at, leading=leading)
        if not length:
            return True
        source.pos += at


_MAX_BRACKETS = 3
_MAX_FAULTS = 8
"""Most faulty calls of a group that may still be text: each may have to be read again."""

_MAX_PYTHON, _MAX_PYTHON_BRACKETS = 10_000, 200
_ESCAPE = re.compile(r"\\.", re.DOTALL)


def read_call_list(source: Source, writer: CallWriter) -> Reading[None]:
    """Read a list of calls, from its bracket on.

    Raises:
        NotACall: It does not begin with a call.
        Unreadable: It does, but then cannot be read.
    """
    brackets = 0
    calls = 0
    while True:
        char = yield from skip_space(source, comments=True)
        if char == "[" and not calls and brackets < _MAX_BRACKETS:
            brackets += 1
            source.pos += 1
        elif char == "]" and calls:
            source.pos += 1
            brackets -= 1
            following = yield from source.ahead((yield from source.solid()))
            if brackets < 0 or following not in (",", "]"):
                return
        elif calls and char in (",", ";"):
            source.pos += 1
        elif calls and (not char or (not source.cut and (yield from ends_tag_or_block(source)))):
            return  # the closing bracket is missing, or was cut off
        elif not char:
            raise NotACall
        elif calls and char in ("[", ")"):
            brackets += char == "["  # one more than was opened, or the list was closed too early
            source.pos += 1
        else:
            yield from read_or_report(source, writer, _read_element(source, writer))
            calls += 1


def read_or_report(source: Source, writer: CallWriter, reading: Reading[None]) -> Reading[None]:
    """Read a call; one that is wrong in itself is reported, and does not spoil those that come after it.

    That takes that its end is certain: brackets and quotes pair up, and either the fault is none of theirs or
    Python reads the call. Where a quote was lost, what follows may as well stand within a text.

    Raises:
        NotACall: From `reading`.
        Unreadable: From `reading`, where the end is not certain.
    """
    begun = source.here
    if writer.certain:
        source.mark()
    try:
        yield from reading
        return
    except Cut:
        raise
    except (Unreadable, NotACall) as error:
        fault = error
    named = writer.name or (fault.name if isinstance(fault, Unreadable) else None)
    told = isinstance(fault, Unreadable) or (fault.args and (writer.leading or writer.knows(named or "")))
    if not named or not told or (not writer.certain and writer.failed >= _MAX_FAULTS):
        raise fault
    if not source.reaches(begun):  # a call within has gone out, and what stood before it with it
        raise fault
    reached = source.here
    source.go_to(begun)
    try:
        yield from _skip_call(source)
    except Cut:
        source.go_to(reached)
        raise fault from None
    raw = source.since(begun)
    orderly = fault.orderly if isinstance(fault, Unreadable) else True
    if not orderly and (source.here <= reached or not _is_python(raw)):
        source.go_to(reached)
        raise fault
    writer.fail(raw.strip(), str(fault), name=named)


def _is_python(text: str) -> bool:
    """Tell whether Python reads a text as one call."""
    if len(text) > _MAX_PYTHON or sum(map(text.count, "([{")) > _MAX_PYTHON_BRACKETS:
        return False
    try:
        # Escapes only matter here for not ending a text, and a wrong one would be a warning.
        tree = ast.parse(_ESCAPE.sub("__", text.strip()), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(tree.body, ast.Call)


def _skip_call(source: Source) -> Reading[None]:
    """Skip a call whose quotes and brackets pair up."""
    depth = 0
    while (yield from source.peek()):
        char = source.text[source.pos]
        source.pos += 1
        if char in "\"'":
            yield from _skip_quoted(source, char)
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth <= 0:
                return
    raise Cut("the call does not end")


def _skip_quoted(source: Source, quote: str) -> Reading[None]:
    while (yield from source.peek()):
        char = source.text[source.pos]
        source.pos += 1
        if char == quote:
            return
        if char == "\\" and (yield from source.peek()):
            source.pos += 1


def _read_element(source: Source, writer: CallWriter) -> Reading[None]:
    name = yield from read_name(source)
    if not name and writer.leading:
        yield from _read_bracketed_pair(source, writer)
        return
    at = yield from source.solid(len(name), limit=2)
    if not name or not (is_identifier(name) or writer.resolve(name)):
        raise NotACall
    if writer.leading and (yield from begins_pair(source, writer, name, at=len(name))):
        source.pos += len(name)
        yield from read_pair(source, writer, name)
        return
    if (yield from source.ahead(at)) != "(":
        if source.cut and source.pos + at >= len(source.text) and writer.may_begin(name):
            raise Cut("the list of calls does not end")
        raise NotACall
    source.pos += at + 1
    yield from read_call(source, writer, name, "]")


def begins_pair(source: Source, writer: CallWriter, name: str, *, at: int = 0) -> Reading[bool]:
    """Tell whether a name is followed by a comma and arguments: ``['f', {'a': 1}]`` or ``[f, a=1]``.

    Args:
        source: Stands `at` characters before what follows the name.
        writer: Knows the tools.
        name: The name of a tool, or any other text.
        at: How far ahead the name ends.
    """
    if writer.any_name or writer.resolve(name) is None:
        return False
    at = yield from source.solid(at)
    if (yield from source.ahead(at)) != ",":
        return False
    at = yield from source.solid(at + 1)
    return (yield from source.ahead(at)) == "{" or (yield from is_keyword(source, at))


def read_pair(source: Source, writer: CallWriter, name: str) -> Reading[None]:
    """Read the arguments of a pair, from before its comma on; an object must be all of them.

    Raises:
        NotACall: The object may be anything.
        Unreadable: An argument is no literal.
    """
    yield from skip_space(source)
    source.pos += 1
    if (yield from skip_space(source)) != "{":
        yield from read_call(source, writer, name, "]")
        return
    try:
        args = yield from read_value(source, "list", python=True, depth=1)
    except Unreadable as error:
        error.name = name
        raise
    known = writer.resolve(name)
    if known is None or not isinstance(args, dict) or not writer.fits(args, known):
        raise NotACall
    char = yield from skip_space(source)
    if char not in ("]", ")"):
        raise NotACall
    writer.write(known, args, doubtful=source.forgiven)


def read_quoted_name(source: Source, writer: CallWriter) -> Reading[str]:
    """Read the name of a known tool that stands in quotes before its arguments; empty if none does.

    Nothing is read then, and no more waited for than a known name may take.
    """
    quote = yield from source.peek()
    name = ""
    while (char := (yield from source.ahead(len(name) + 1))) != quote:
        name += char
        if not char or not writer.may_begin(name):
            return ""
    if not (yield from begins_pair(source, writer, name, at=len(name) + 2)):
        return ""
    source.pos += len(name) + 2
    return name


def _read_bracketed_pair(source: Source, writer: CallWriter) -> Reading[None]:
    """Read ``'f', {…}`` or ``('f', {…})`` within a list."""
    bracket = (yield from source.peek()) == "("
    source.pos += bracket
    if (yield from source.peek()) not in ('"', "'"):
        raise NotACall
    name = yield from read_quoted_name(source, writer)
    if not name:
        raise NotACall
    yield from read_pair(source, writer, name)
    if bracket and (yield from source.peek()) == ")":
        source.pos += 1
