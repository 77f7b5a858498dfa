"""Words, numbers and sentences of a text, with their places in it: what packing and citations compare by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_STOP_WORDS = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each few for from further had has have
having he her here hers him his how i if in into is it its itself just me more most my
now of off on once only or other our out over own per same she should so some such than that the
their them then there these they this those through to too under until up very via was we were what
when where which while who whom why will with would you your yes according passage passages document
documents source sources states mentions says
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that carry no fact by themselves; the last ones are those an answer uses to speak of its sources."""

_NUMBER_NAMES = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {name: str(number) for number, name in enumerate(_NUMBER_NAMES.split())}
_SCALE = {
    **dict.fromkeys(("k", "thousand"), 1_000),
    **dict.fromkeys(("m", "million"), 1_000_000),
    **dict.fromkeys(("b", "billion"), 1_000_000_000),
}
_NUMBER_PARTS = re.compile(r"([\d.,]+)(\D*)")
# A number with its separators, a word, or one character of a script written without spaces.
_WORD = re.compile(
    r"\d+(?:[.,]\d+)*(?:[kKmMbB]\b|[ \u00a0-](?:thousand|million|billion)\b)?"
    r"|[぀-ヿ㐀-鿿豈-﫿가-힣\u0e00-\u0e7f]"
    r"|[^\W\d_぀-ヿ㐀-鿿豈-﫿가-힣\u0e00-\u0e7f]+(?:['’][^\W\d_]+)?"
)
_SUFFIXES = ("ations", "ation", "ingly", "ings", "ing", "edly", "ies", "ied", "ed", "es", "ly", "s", "e")
_SENTENCE_END = re.compile(
    r"[.!?…]+[\"”’')\]]*(?=\s)|[。！？]+|\n[ \t]*\n|\n(?=[ \t]*(?:[-*+•|#>]|\d+[.)]\s))"
)
_MAX_SENTENCE = 600  # characters; longer ones (tables, code, minified text) are cut at line ends


@dataclass(frozen=True, slots=True)
class Word:
    """A word in the form in which it is compared, and where it stands in its text."""

    form: str
    start: int
    end: int

    @property
    def is_number(self) -> bool:
        """Whether the word is a number, in digits or spelled out."""
        return self.form[0].isdecimal()


def words(text: str) -> list[Word]:
    """The words of a text: lower case, without light suffixes, numbers in one spelling (``128K``:
    ``128000``).
    """
    return [Word(_form(match[0]), match.start(), match.end()) for match in _WORD.finditer(text)]


def content_words(text: str) -> list[Word]:
    """The words without stop words."""
    return [
        Word(_form(match[0]), match.start(), match.end())
        for match in _WORD.finditer(text)
        if match[0].lower().replace("’", "'").removesuffix("'s") not in STOP_WORDS
    ]


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence, list item or table row; blank ones are left out."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        yield from _trimmed(text, start, match.end())
        start = match.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without white space around it, in pieces of at most _MAX_SENTENCE characters."""
    while end - start > _MAX_SENTENCE:
        cut = text.rfind("\n", start + 1, start + _MAX_SENTENCE)
        if cut < 0:
            cut = text.rfind(" ", start + 1, start + _MAX_SENTENCE)
        if cut < 0:
            cut = start + _MAX_SENTENCE
        yield from _trimmed(text, start, cut)
        start = cut
    piece = text[start:end]
    stripped = piece.strip()
    if stripped:
        start += len(piece) - len(piece.lstrip())
        yield start, start + len(stripped)


@lru_cache(maxsize=50_000)
def _form(word: str) -> str:
    if word[0].isdecimal():
        return _number(word)
    form = word.lower().replace("’", "'")
    if form in _NUMBER_WORDS:
        return _NUMBER_WORDS[form]
    form = form.removesuffix("'s")
    for suffix in _SUFFIXES:
        if form.endswith(suffix) and len(form) - len(suffix) >= 3:
            stem = form[: -len(suffix)]
            return stem + "y" if suffix in ("ies", "ied") else stem
    return form


def _number(word: str) -> str:
    """One spelling for a number: without thousands separators and trailing zeros; k, m, b multiplied out."""
    parts = _NUMBER_PARTS.fullmatch(word)
    assert parts is not None
    digits, unit = parts.groups()
    scale = _SCALE.get(unit.lower().strip(" \u00a0-"), 1)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    if not re.fullmatch(r"\d{1,15}(?:\.\d{1,15})?", digits):
        return word.lower()
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    if scale == 1:
        return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    return f"{round(float(digits) * scale)}"
