"""Lists of calls: ``[f(a=1), g()]``, and ``['f', {'a': 1}]``, which Llama 3 8B writes in their place."""

from __future__ import annotations

from llama_bedrock.tools.parser.call_events import CallWriter
from llama_bedrock.tools.parser.pythonic_calls import (
    NotACall,
    is_identifier,
    is_keyword,
    read_call,
    read_name,
)
from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable, ends_tag_or_block, skip_space
from llama_bedrock.tools.parser.values import read_value

_MAX_BRACKETS = 3


def read_list(source: Source, writer: CallWriter) -> Reading[None]:
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
            yield from _read_element_or_skip(source, writer)
            calls += 1


def _read_element_or_skip(source: Source, writer: CallWriter) -> Reading[None]:
    """Read a call; one whose only fault is that an argument is no literal does not spoil those after it."""
    if writer.certain:
        source.mark()
    try:
        yield from _read_element(source, writer)
    except Unreadable as error:
        if not error.orderly or not writer.certain or writer.name is None:
            raise
        source.to_mark()
        while source.text[source.pos] in "[,;" or source.text[source.pos].isspace():
            source.pos += 1
        source.mark()
        yield from _skip_call(source)
        writer.fail(source.raw(), error.error)


def skip_list(source: Source) -> Reading[str]:
    """Skip a list that is made like one of calls, whatever their arguments; return the first name.

    The name is empty if something else stands in the list, or if the list does not end the answer.
    """
    first = ""
    source.pos += 1
    while True:
        yield from skip_space(source)
        name = yield from read_name(source)
        if not name or not is_identifier(name) or (yield from source.ahead(len(name))) != "(":
            return ""
        first = first or name
        try:
            yield from _skip_call(source)
        except Cut:
            return ""
        char = yield from skip_space(source)
        source.pos += bool(char)
        if char == "]":
            return first if (yield from skip_space(source)) in ("", "<") else ""
        if char != ",":
            return ""


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
