"""Values that a text mentions: numbers, quotations, names, dates, addresses, arithmetic; each with its
surroundings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from llama_bedrock.local.engines.lexicon import STOP_WORDS, words

Kind = Literal["quoted", "url", "email", "date", "time", "expression", "number", "name"]

_MONTH = r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|" \
         r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"  # fmt: skip
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_NUMBER = r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w]*\d)"
_OPERAND = r"\(*\s*-?\d+(?:\.\d+)?\s*\)*"
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("url", re.compile(r"https?://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]")),
    ("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    (
        "quoted",
        re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|«([^»\n]+)»|`([^`\n]+)`|「([^」\n]+)」|(?<!\w)['‘]([^'’\n]+)['’](?!\w)"),
    ),
    (
        "date",
        re.compile(
            rf"\b\d{{4}}-\d{{2}}-\d{{2}}(?:T\d{{2}}:\d{{2}}(?::\d{{2}})?Z?)?\b|\b\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}\b|"
            rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b|"
            rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}(?:,? \d{{4}})?\b|\b{_MONTH} \d{{4}}\b|"
            rf"\b(?:today|tomorrow|yesterday|tonight)\b|"
            rf"\b(?:(?:next |last |this )(?:week|month|year|{_DAY})|{_DAY})\b",
            re.IGNORECASE,
        ),
    ),
    (
        "time",
        re.compile(
            r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]\.?m\b\.?)?|\b\d{1,2}\s?[ap]m\b|\bnoon\b|\bmidnight\b",
            re.IGNORECASE,
        ),
    ),
    ("expression", re.compile(rf"{_OPERAND}(?:\s*(?:[-+*/^×÷%]|\*\*)\s*{_OPERAND})+")),
    ("number", re.compile(_NUMBER)),
)  # fmt: skip
_CAPITALISED = re.compile(r"[^\W\d_a-z][\w'’.&-]*[\w]|[^\W\d_a-z]")
_LINK = re.compile(r"\s+(?:(?:of|de|la|del|der|von|van|the|di|da|\d[\w.]*)\s+)*\Z")
_STATE = re.compile(r",\s*([A-Z]{2}\b|[A-Z][a-z]+(?:\s[A-Z][a-z]+)?)(?!\s*(?:,|and\b|or\b|&))(?=\W|\Z)")
_COUNTED = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty
"""
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS = {name: value for value, name in enumerate(_COUNTED.split())} | {
    **{name: 10 * value for value, name in enumerate(_TENS.split(), start=3)},
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
    "million": 1_000_000,
}
_CAPITALISED_FIRST = """
add answer ask book calculate call check choose classify compare compute convert count create define
delete describe draw email explain extract fetch find forget generate give good greet hello help hey hi
list look make multiply name need open order play please plot provide read remember remove reply reserve
return run save say schedule search send set show solve subtract sum summarize summarise tell thanks
translate update use using want write yes yesterday today tomorrow monday tuesday wednesday thursday
friday saturday sunday january february march april may june july august september october november
december
"""
_NO_NAMES = STOP_WORDS | frozenset(_CAPITALISED_FIRST.split())
"""Words that are capitalised because they begin a sentence, or for themselves, and name nothing."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A value in a text.

    Attributes:
        kind: What it looks like.
        text: As it is written, without quotation marks.
        start: Where it begins in the text, quotation marks included.
        end: Where it ends.
        before: The four words before it, lower case, the nearest first.
        after: The three words after it, lower case.
    """

    kind: Kind
    text: str
    start: int
    end: int
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def number(self) -> float | int | None:
        """The value of a number; None for anything else."""
        if self.kind != "number":
            return None
        if self.text.lower() in _NUMBER_WORDS:
            return _NUMBER_WORDS[self.text.lower()]
        plain = self.text.replace(",", "").lstrip("+")
        return float(plain) if "." in plain else int(plain)


def find_mentions(text: str) -> list[Mention]:
    """Everything a text mentions, in order; a number inside a quotation or a date is not listed again."""
    taken: list[tuple[int, int]] = []
    found: list[Mention] = []
    names = list(_names(text))
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            inside = names if kind == "number" else []  # "Llama 4 Scout"
            if any(start < e and s < end for s, e in [*taken, *inside]):
                continue
            value = (
                next((group for group in match.groups() if group), match[0]) if kind == "quoted" else match[0]
            )
            found.append(_mention(kind, value.strip(), text, start, end))
            if kind != "expression":  # its numbers are values of their own
                taken.append((start, end))
    for start, end in names:
        if not any(start < e and s < end for s, e in taken):
            found.append(_mention("name", text[start:end], text, start, end))
    for match in re.finditer(r"[a-z]+", text.lower()):
        if match[0] in _NUMBER_WORDS and not any(match.start() < e and s < match.end() for s, e in taken):
            found.append(_mention("number", match[0], text, *match.span()))
    return sorted(found, key=lambda m: (m.start, -m.end))


def _mention(kind: Kind, value: str, text: str, start: int, end: int) -> Mention:
    before = tuple(reversed(words(text[max(0, start - 60) : start])))[:4]
    return Mention(kind, value, start, end, before, tuple(words(text[end : end + 50])[:3]))


def _names(text: str) -> Iterator[tuple[int, int]]:
    """Runs of capitalised words; a first word of a sentence that is capitalised for that only is not one."""
    run: list[re.Match[str]] = []
    for match in _CAPITALISED.finditer(text):
        word = match[0]
        if word[0].islower():  # "über"; scripts without case pass
            continue
        if word.lower().replace("’", "'").split("'")[0] in _NO_NAMES:
            if run:
                yield _span(text, run)
            run = []
            continue
        if run and not _LINK.match(text[run[-1].end() : match.start()]):
            state = _STATE.match(text, run[-1].end())
            if state and state.start(1) == match.start():
                run.append(match)
                continue
            yield _span(text, run)
            run = []
        run.append(match)
    if run:
        yield _span(text, run)


def _span(text: str, run: list[re.Match[str]]) -> tuple[int, int]:
    end = run[-1].end()
    while end > run[0].start() and text[end - 1] in ".-&'’":
        end -= 1
    if text[run[0].start() : end].endswith(("'s", "’s")):
        end -= 2
    return run[0].start(), end
