"""``<function=name>{…}</function>`` and its broken forms."""

from __future__ import annotations

from llama_bedrock.tools.parser.event_writers import CallWriter
from llama_bedrock.tools.parser.pythonic_calls import (
    NotACall,
    is_identifier,
    read_call,
    read_name,
    read_or_report,
)
from llama_bedrock.tools.parser.quoted_text import goes_on
from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable, ends_tag_or_block, skip_space
from llama_bedrock.tools.parser.values import read_braces

_BEFORE_NAME = frozenset("=/:( \"'")
_AFTER_NAME = frozenset("\"'>,:)= \n\t")
_MAX_PUNCTUATION = 8


def read_function(source: Source, writer: CallWriter) -> Reading[None]:
    """Read a call from behind ``<function`` to the end of its arguments; report one that is no literal.

    Raises:
        NotACall: No name follows.
        Unreadable: The arguments cannot be read.
    """
    yield from read_or_report(source, writer, _read_function(source, writer))


def _read_function(source: Source, writer: CallWriter) -> Reading[None]:
    yield from _skip_punctuation(source, _BEFORE_NAME)
    if (yield from source.starts_with("name=")):
        source.pos += 5
        yield from _skip_punctuation(source, _BEFORE_NAME)
    name = (yield from read_name(source)).rstrip("/")
    if not name or not (is_identifier(name) or writer.knows(name)):
        raise NotACall
    source.pos += len(name)
    yield from _skip_punctuation(source, _AFTER_NAME)
    char = yield from source.peek()
    bracket = char == "["
    if char == "(" or bracket:
        following = yield from source.ahead((yield from source.solid(1)))
        if not bracket and following != "{":
            source.pos += 1
            yield from read_call(source, writer, name, "<")
            return
        source.pos += 1
        char = yield from skip_space(source)
    writer.start(name)
    if char == "{":
        writer.identify()
        yield from read_braces(source, python=False, depth=1, entry=writer.argument)
    elif char and char != "/" and not (yield from _ends_tag(source)):
        raise Unreadable("the arguments are no object") if writer.knows(name) else NotACall
    elif not char and source.cut:
        raise Cut("the call does not end")
    writer.identify()
    if (yield from goes_on(source)):
        raise Unreadable("arguments follow the closing brace")
    writer.end(doubtful=source.forgiven)


def _ends_tag(source: Source) -> Reading[bool]:
    """Tell whether the tag ends without arguments, by a closing tag, a token or the next function."""
    if (yield from ends_tag_or_block(source)):
        return True
    return (yield from source.starts_with("<function"))


def _skip_punctuation(source: Source, characters: frozenset[str]) -> Reading[None]:
    for _ in range(_MAX_PUNCTUATION):
        if (yield from source.peek()) not in characters or source.pos >= len(source.text):
            return
        source.pos += 1
