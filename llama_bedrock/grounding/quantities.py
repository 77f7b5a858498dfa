"""Numbers with their units, so that 60 seconds are a minute and $12 are not 12 %."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llama_bedrock.grounding.claim_words import STOP_WORDS, Word, words

_UNITS = """
time 0.001 ms msec millisecond milliseconds
time 1 s sec secs second seconds sekunde sekunden
time 60 min mins minute minutes minuten
time 3600 h hr hrs hour hours stunde stunden
time 86400 day days tag tage jour jours día días
time 604800 week weeks woche wochen semaine semaines semana semanas
months 1 month months monat monate mois mes meses
months 12 year years yr yrs jahr jahre an ans année années año años
data 1 byte bytes
data 1000 kb kilobyte kilobytes
data 1000000 mb megabyte megabytes
data 1000000000 gb gigabyte gigabytes
data 1000000000000 tb terabyte terabytes
data 1024 kib
data 1048576 mib
data 1073741824 gib
length 0.001 mm millimetre millimetres millimeter millimeters
length 0.01 cm centimetre centimetres centimeter centimeters
length 1 metre metres meter meters
length 1000 km kilometre kilometres kilometer kilometers
miles 1 mile miles
mass 0.001 mg milligram milligrams
mass 1 g gram grams
mass 1000 kg kilo kilos kilogram kilograms
pounds 1 lb lbs
percent 1 % percent pct prozent
usd 1 $ usd dollar dollars us$
usd 0.01 cent cents ¢
eur 1 € eur euro euros
gbp 1 £ gbp
jpy 1 ¥ jpy yen
celsius 1 °c celsius
fahrenheit 1 °f fahrenheit
"""
_UNIT = {
    name: (line.split()[0], float(line.split()[1]))
    for line in _UNITS.strip().split("\n")
    for name in line.split()[2:]
}
_AFTER = re.compile(r"[\s\u00a0-]?(%|€|£|\$|¢|°[CF]\b|[^\W\d_]+)")
_BEFORE = re.compile(r"(US\$|\$|€|£|¥)\s?$")
_GLUED = re.compile(r"(?:^|[^A-Za-z])([A-Za-z])$")
_VERSIONED = re.compile(r"(?:\b[A-Z]\w*|\bv|\b[Vv]ersion)[ -]?$")
_ROUNDING = re.compile(
    r"\b(?:about|around|roughly|approximately|nearly|almost|some|circa|ca\.?)\s+\S{0,4}$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with what it measures.

    Attributes:
        form: The number, as :func:`~llama_bedrock.text.words` gives it.
        unit: Dimension and factor of the unit; None for none that is known.
        raw: As written, where it stands after a name as a version does; else empty.
        is_rounded: "About" stands before it.
        is_word: It is spelled out: "three".
        noun: Form of the word right behind it, if that is no unit.
        glued: The single letter it is written together with, as in "F1".
        thousands: How else it can be read: ``1.250`` is 1250 where a dot parts the thousands.
    """

    form: str
    unit: tuple[str, float] | None
    raw: str = ""
    is_rounded: bool = False
    noun: str = ""
    is_word: bool = False
    glued: str = ""
    thousands: str = ""

    def is_backed_by(self, others: Iterable[Quantity]) -> bool:
        """Whether one of some quantities is the same."""
        return any(self._is(other) for other in others)

    def _is(self, other: Quantity) -> bool:
        if self.glued != other.glued:
            return False
        if self.raw and other.raw and self.form == other.form and "." in self.raw:
            return self.raw == other.raw
        readings = [
            (a, b) for a in (self.form, self.thousands) for b in (other.form, other.thousands) if a and b
        ]
        if self.unit is None or other.unit is None:
            same = any(a == b for a, b in readings)
        elif self.unit[0] != other.unit[0]:
            return False
        else:
            here, there = self.unit[1], other.unit[1]
            same = any(_is_close(_value(a) * here, _value(b) * there) for a, b in readings)
        return same or (self.is_rounded and self._is_rounding_of(other))

    def _is_rounding_of(self, other: Quantity) -> bool:
        mine, exact = _value(self.form), _value(other.form)
        digits = len(self.form.replace(".", "").strip("0-"))
        return (
            self.unit == other.unit and bool(exact) and _is_close(float(f"{exact:.{max(digits, 1)}g}"), mine)
        )


def _value(form: str) -> float:
    try:
        return float(form)
    except ValueError:
        return float("nan")  # a version such as 1.2.3, which equals nothing


def _is_close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d])")


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text, with their units."""
    grouped = [(m.start(), m.end(), m[0].replace(" ", "")) for m in _GROUPED.finditer(text)]
    return [
        _quantity(text, word.form, word.start, word.end, grouped)
        for word in words(text)
        if word.is_number and not _is_in_an_id(text, word)
    ]


def _is_in_an_id(text: str, word: Word) -> bool:
    """Whether a number stands between letters without a space, as in an id or a hash."""
    after = text[word.end : word.end + 2]
    return (
        re.match(r"[A-Za-z]", text[max(0, word.start - 1) :]) is not None
        and len(after) == 2
        and after.isalnum()
    )


def is_unit(text: str, word: Word) -> bool:
    """Whether a word of a text is the unit of the number before it."""
    return (
        text[word.start : word.end].lower() in _UNIT
        and text[: word.start].rstrip(" \u00a0-")[-1:].isdecimal()
    )


def _quantity(text: str, form: str, start: int, end: int, grouped: list[tuple[int, int, str]]) -> Quantity:
    written = text[start:end]
    before = text[max(0, start - 24) : start]
    after = _AFTER.match(text, end)
    currency = _BEFORE.search(before)
    noun = (
        next(iter(words(after[1])), None) if after and after[1].lower() not in (*_UNIT, *STOP_WORDS) else None
    )
    unit = currency[1] if currency else after[1] if after else ""
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+", written):
        thousands = written.replace(".", "")
    else:
        thousands = next((number for first, last, number in grouped if first <= start < last), "")
    return Quantity(
        form,
        _UNIT.get(unit.lower()),
        written if _VERSIONED.search(before) else "",
        _ROUNDING.search(before) is not None,
        noun.form if noun else "",
        not written[:1].isdecimal() and written.isalpha(),
        glued[1].lower() if (glued := _GLUED.search(before)) else "",
        thousands,
    )
