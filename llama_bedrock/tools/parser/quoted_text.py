"""Quoted text as models write it: escapes, wrong escapes, quotes inside quotes."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from llama_bedrock.tools.parser.source import Cut, Reading, Source, Unreadable, ends_tag_or_block

Where: TypeAlias = Literal["args", "list", "dict", "key"]
"""What a value stands in; it decides what may follow the closing quote."""

QUOTES = {'"': '"', "'": "'", "“": "”", "„": "”", "‘": "’", "«": "»"}
ENTITIES = ("&quot;", "&#34;", "&#x22;", "&apos;", "&#39;", "&#x27;")

_PLAIN = {close: re.compile(rf"[^\\{close}]+") for close in {*QUOTES.values()}}
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", '"': '"', "'": "'", "\\": "\\"}
_HEX = {"x": 2, "u": 4, "U": 8}
_HEX_DIGITS = re.compile(r"[0-9a-fA-F]+\Z")
_LITERAL_WORDS = frozenset({"true", "false", "none", "null"})
_STRUCTURE = re.compile(r"""["']\s*,?\s*(?:[\w$.-]+\s*)?[:=]\s*["'\[{\d]""")
_BESIDE_QUOTES = frozenset(" \t\n.,;:!?()[]-–—/…")
_BACKSLASH = "\\"
_WORD_LIMIT = 64


def read_string(
    source: Source,
    where: Where,
    *,
    python: bool,
    raw: bool = False,
    limit: int = 0,
    emit: Callable[[str], None] | None = None,
) -> Reading[str]:
    """Read quoted text, from its opening quote on.

    Args:
        source: Stands on the quote, on a backslash before it, or on its HTML entity.
        where: What the text stands in.
        python: In a pythonic call, where texts side by side are one text.
        raw: Backslashes mean themselves.
        limit: No longer than this, and on one line, 0 for no limit; stops early where a quote was lost.
        emit: Gets the text as it is read; where that cannot be told before its end, all at once.
    """
    opening = source.text[source.pos]
    if opening == "\\":
        text = yield from _read_escaped(source)
    elif opening == "&":
        text = yield from _read_entity(source)
    elif opening in "\"'" and (yield from source.starts_with(opening * 3)):
        source.pos += 3
        text = yield from _read_to(source, opening * 3, "" if raw else "\\")
    else:
        source.pos += 1
        body = _Body(source, QUOTES[opening], where, python=python, raw=raw, limit=limit, emit=emit)
        return (yield from body.read())
    if emit:
        emit(text)
    return text


class _Body:
    """The text between two quotes."""

    def __init__(
        self,
        source: Source,
        close: str,
        where: Where,
        *,
        python: bool,
        raw: bool,
        limit: int,
        emit: Callable[[str], None] | None,
    ) -> None:
        self._source, self._close, self._where = source, close, where
        self._python, self._raw, self._limit = python, raw, limit
        self._emit = emit
        self._emitted = 0
        self._parts: list[str] = []
        self._as_path: list[str] | None = None
        self._length = 0
        self._inner_quotes = self._wrong_escapes = False

    def read(self) -> Reading[str]:
        source, plain = self._source, _PLAIN[self._close]
        if not self._raw and (yield from self._begins_with_drive()):
            self._as_path = []
        while True:
            if (found := plain.match(source.text, source.pos)) is not None:
                self._take(found[0])
            char = yield from source.peek()
            if not char:
                raise Cut("text in quotes does not end")
            if char == self._close:
                source.pos += 1
                if (yield from _closes(source, self._where, python=self._python)):
                    return self._text()
                self._keep_quote()
            elif self._raw and char == "\\":
                yield from self._keep_backslash()
            elif char == "\\":
                yield from self._take_escape()

    def _take(self, text: str) -> None:
        """Take plain text that lies ahead."""
        if self._limit:
            room = min(len(text), self._limit - self._length)
            end = text.find("\n", 0, room)
            if end >= 0 or room < len(text):
                self._source.pos += end if end >= 0 else room
                raise Unreadable("text in quotes does not end")
        self._source.pos += len(text)
        self._add(text, text)

    def _add(self, text: str, as_path: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        if self._as_path is not None:
            self._as_path.append(as_path)
        elif not self._inner_quotes:
            # A backslash may turn out to be one too many.
            self._send(len(self._parts) - (text == _BACKSLASH))

    def _send(self, end: int) -> None:
        """Emit the parts before `end` that were not emitted yet."""
        if self._emit and end > self._emitted:
            self._emit("".join(self._parts[self._emitted : end]))
            self._emitted = end

    def _take_escape(self) -> Reading[None]:
        following = yield from self._source.ahead(1)
        text = yield from read_escape(self._source)
        self._wrong_escapes |= text == _BACKSLASH and following != _BACKSLASH
        self._add(text, f"\\{following}" if following in "ntrbf" and following else text)

    def _keep_quote(self) -> None:
        """Keep a quote that ends nothing; where two backslashes stand before it, it was escaped twice."""
        if self._where == "key":
            raise Unreadable("a quote stands inside a key")
        self._inner_quotes = True
        if self._parts and self._parts[-1] == _BACKSLASH:
            self._parts.pop()
        self._add(self._close, self._close)

    def _keep_backslash(self) -> Reading[None]:
        self._source.pos += 1
        self._add(_BACKSLASH, _BACKSLASH)
        following = yield from self._source.peek()
        if following == self._close:
            self._source.pos += 1
            self._add(following, following)

    def _begins_with_drive(self) -> Reading[bool]:
        if not ("A" <= (yield from self._source.peek()) <= "z") or (yield from self._source.ahead(1)) != ":":
            return False
        return (yield from self._source.ahead(2)) == "\\"

    def _text(self) -> str:
        text = "".join(self._parts)
        if self._inner_quotes and not _pairs_up(text, self._close):
            raise Unreadable("quotes do not pair up")
        if self._as_path is not None and self._wrong_escapes:
            # A Windows path whose backslashes were not escaped: nobody means a line feed by C:\Users\new.
            self._parts = self._as_path
        self._send(len(self._parts))
        return "".join(self._parts)


def _pairs_up(text: str, quote: str) -> bool:
    """Tell whether the quotes inside a text are quotation marks and apostrophes, as they stand in prose.

    If one ends or begins a text of the call instead, its neighbours give it away.
    """
    inside = False
    for match in re.finditer(re.escape(quote), text):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if quote == "'" and before.isalpha() and after.isalpha():
            continue
        outside, within = (after, before) if inside else (before, after)
        if (outside and outside not in _BESIDE_QUOTES) or not within or within.isspace():
            return False
        inside = not inside
    return not inside and not _STRUCTURE.search(text)


def read_escape(source: Source) -> Reading[str]:
    r"""Read an escape, from its backslash on; one that neither JSON nor Python has stands for itself."""
    char = yield from source.ahead(1)
    if not char:
        raise Cut("text in quotes does not end")
    if char == "\n":
        source.pos += 2
        return ""
    if char in _SIMPLE:
        source.pos += 2
        return _SIMPLE[char]
    if char not in _HEX:
        source.pos += 1
        return _BACKSLASH
    code = yield from _read_code(source, _HEX[char])
    if code is None:
        source.pos += 1
        return _BACKSLASH
    if 0xD800 <= code < 0xDC00 and (yield from source.starts_with("\\u")):
        low = yield from _read_code(source, 4)
        if low is not None and 0xDC00 <= low < 0xE000:
            return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
        return "\N{REPLACEMENT CHARACTER}" + (_character(low) if low is not None else "")
    return _character(code)


def _read_code(source: Source, digits: int) -> Reading[int | None]:
    r"""Read ``\uXXXX`` and the like; None, and nothing read, if it is not one."""
    for offset in range(2, digits + 2):
        char = yield from source.ahead(offset)
        if not char or not _HEX_DIGITS.match(char):
            return None
    code = int(source.text[source.pos + 2 : source.pos + 2 + digits], 16)
    if code > 0x10FFFF:
        return None
    source.pos += 2 + digits
    return code


def _character(code: int) -> str:
    # Half a surrogate pair is no character: nothing could encode it for the next request.
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code < 0xE000 else chr(code)


def _read_to(source: Source, close: str, escape: str = "") -> Reading[str]:
    """Read text up to its closer, and the escapes that `escape` begins, but for their last backslash."""
    plain, parts = re.compile(rf"[^\\{re.escape(close[0])}]+"), []
    while True:
        if (found := plain.match(source.text, source.pos)) is not None:
            parts.append(found[0])
            source.pos = found.end()
        char = yield from source.peek()
        if not char:
            raise Cut("text in quotes does not end")
        if char == close[0] and (yield from source.starts_with(close)):
            source.pos += len(close)
            return "".join(parts)
        if escape and char == "\\" and (yield from source.starts_with(escape)):
            source.pos += len(escape) - 1
            parts.append((yield from read_escape(source)))
        else:
            parts.append(char)
            source.pos += 1


def _read_escaped(source: Source) -> Reading[str]:
    r"""Read ``\"text\"``, whose quotes were escaped as if it were already inside a text."""
    if (yield from source.ahead(1)) not in ('"', "'"):
        raise Unreadable("a backslash stands where a value should")
    close = source.text[source.pos : source.pos + 2]
    source.pos += 2
    return (yield from _read_to(source, close, "\\\\"))


def _read_entity(source: Source) -> Reading[str]:
    """Read ``&quot;text&quot;``."""
    for entity in ENTITIES:
        if (yield from source.starts_with(entity)):
            source.pos += len(entity)
            return html.unescape((yield from _read_to(source, entity)))
    raise Unreadable("& stands where a value should")


def _closes(source: Source, where: Where, *, python: bool) -> Reading[bool]:
    """Tell whether the quote before the position ends its text, by what follows."""
    at = yield from source.solid()
    char = yield from source.ahead(at)
    if not char or char in ")]}":
        return True
    if where == "key":
        return char in ":=,"
    if char == ",":
        return (yield from _continues(source, at + 1, where))
    if char in ":=":
        return where == "args"
    if char in QUOTES:
        return python or (yield from _is_key(source, at))
    if char == "+":
        added = yield from source.ahead((yield from source.solid(at + 1)))
        return python and (added in QUOTES or added.isidentifier())
    if char in "<`":
        return (yield from ends_tag_or_block(source, at))
    # The name of the next argument: the comma between was forgotten.
    return where == "args" and (yield from _is_key(source, at))


def _continues(source: Source, at: int, where: Where) -> Reading[bool]:
    """Tell whether what follows a comma goes on with the list, the object or the arguments."""
    at = yield from source.solid(at)
    char = yield from source.ahead(at)
    if not char or char in ")]},#/" or char in QUOTES:
        return True
    if char in "0123456789+-[{(*&\\":
        return where != "dict"
    if where == "list":
        end = yield from _word_end(source, at)
        return source.text[source.pos + at : source.pos + end].lower() in _LITERAL_WORDS
    if (yield from _is_key(source, at)):
        return True
    end = yield from _word_end(source, at)
    return where == "args" and source.text[source.pos + at : source.pos + end].lower() in _LITERAL_WORDS


def _is_key(source: Source, at: int, separators: str = ":=") -> Reading[bool]:
    """Tell whether a name and a colon or an equals sign lie `at` characters ahead."""
    quote = yield from source.ahead(at)
    start = at + 1 if quote in ('"', "'") else at
    end = yield from _word_end(source, start)
    if end == start:
        return False
    closing = yield from source.ahead(end)
    if start > at and closing != quote:
        return False
    # A closing quote alone is that of a key whose opening one was lost.
    end += closing in ('"', "'")
    end = yield from source.solid(end, limit=16)
    char = yield from source.ahead(end)
    return char != "" and char in separators


def _word_end(source: Source, at: int) -> Reading[int]:
    end = at
    while end - at < _WORD_LIMIT:
        char = yield from source.ahead(end)
        if not char or not (char.isalnum() or char in "_-.$"):
            break
        end += 1
    return end


def goes_on(source: Source) -> Reading[bool]:
    """Tell whether more arguments lie ahead, so that a call which seems to end was closed too early."""
    at = 0
    while at < _WORD_LIMIT and (char := (yield from source.ahead(at))) and char in ")]}":
        at += 1
    start = at
    while start - at < _WORD_LIMIT and (yield from source.ahead(start)) in (" ", "\t"):
        start += 1
    following = yield from source.ahead(start)
    comma = following == ","
    if following in ("", "\n"):
        return False
    if comma:
        start = yield from source.solid(start + 1)
    quoted = (yield from source.ahead(start)) in ('"', "'")
    # Words and a colon may also begin a sentence.
    sure = comma or quoted or start == at
    return (yield from _is_key(source, start, separators=":=" if sure else "="))
