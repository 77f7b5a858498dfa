"""Numbers with their units, so that 60 seconds are a minute and $12 are not 12 %."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llama_bedrock.text import Word, words

_UNITS = """
time .001 ms msec millisecond milliseconds | time 1 s sec secs second seconds sekunde sekunden
time 60 min mins minute minutes minuten | time 3600 h hr hrs hour hours stunde stunden
time 86400 day days tag tage jour jours día días
time 604800 week weeks woche wochen semaine semaines semana semanas
months 1 month months monat monate mois mes meses
months 12 year years yr yrs jahr jahre an ans année années año años
data 1 byte bytes | data 1e3 kb kilobyte kilobytes | data 1e6 mb megabyte megabytes
data 1e9 gb gigabyte gigabytes | data 1e12 tb terabyte terabytes
data 1024 kib | data 1048576 mib | data 1073741824 gib
length .001 mm millimetre millimetres | length .01 cm centimetre centimetres centimeter centimeters
length 1 metre metres meter meters | length 1000 km kilometre kilometres kilometer kilometers
mass .001 mg milligram milligrams | mass 1 g gram grams | mass 1000 kg kilo kilos kilogram kilograms
percent 1 % percent pct prozent | usd 1 $ usd dollar dollars us$ | usd .01 cent cents ¢
eur 1 € eur euro euros | gbp 1 £ gbp | jpy 1 ¥ jpy yen | celsius 1 °c celsius | fahrenheit 1 °f fahrenheit
"""
_UNIT = {
    name: (line.split()[0], float(line.split()[1]))
    for line in re.split(r"[|\n]", _UNITS.strip())
    for name in line.split()[2:]
}
_AFTER = re.compile(r"[\s\u00a0-]?(%|€|£|\$|¢|°[CF]\b|[^\W\d_]+)")
_BEFORE = re.compile(r"(US\$|\$|€|£|¥)\s?$")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d])")
_DIGITS = re.compile(r"\d+")


class Quantity(NamedTuple):
    """A number with what it measures.

    Attributes:
        written: As it stands in the text, with its unit.
        readings: What it can mean: ``1.250`` is 1.25, and 1250 where a dot parts the thousands.
        unit: Dimension and factor of the unit; None for none that is known.
    """

    written: str
    readings: tuple[str, ...]
    unit: tuple[str, float] | None

    @property
    def measures(self) -> set[tuple[str, str]]:
        """Dimension and value in its basic unit."""
        return (
            {(self.unit[0], f"{_value(r) * self.unit[1]:.9g}") for r in self.readings} if self.unit else set()
        )


class Quantities:
    """The numbers of a text, found by what they are."""

    def __init__(self, numbers: Iterable[Quantity]) -> None:
        self._all, self._bare = set[str](), set[str]()
        self._measures = set[tuple[str, str]]()
        for number in numbers:
            self._all.update(number.readings)
            self._measures |= number.measures
            if number.unit is None:
                self._bare.update(number.readings)

    def hold(self, number: Quantity) -> bool:
        """Whether one of them is the same as a number of another text, in whatever unit."""
        if number.unit is None:
            return not self._all.isdisjoint(number.readings)
        return not (self._measures.isdisjoint(number.measures) and self._bare.isdisjoint(number.readings))


def quantities(text: str, found: Sequence[Word] | None = None) -> list[Quantity]:
    """The numbers of a text, with their units; ``found`` are its words, where they are known already."""
    grouped = {
        group.start() + digits.start(): group[0].replace(" ", "")
        for group in _GROUPED.finditer(text)
        for digits in _DIGITS.finditer(group[0])
    }
    return [
        _quantity(text, word, grouped)
        for word in (words(text) if found is None else found)
        if word.is_number and not _is_in_an_id(text, word)
    ]


def _quantity(text: str, word: Word, grouped: dict[int, str]) -> Quantity:
    written = text[word.start : word.end]
    after = _AFTER.match(text, word.end)
    currency = _BEFORE.search(text, max(0, word.start - 4), word.start)
    name = currency[1] if currency else after[1] if after else ""
    unit = _UNIT.get(name.lower())
    readings = [word.form]
    if unit is None and re.fullmatch(r"\d+\.\d*0", written):
        readings = [written]  # a version: 3.10 is not 3.1
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+", written):
        readings.append(written.replace(".", ""))
    if word.start in grouped:
        readings.append(grouped[word.start])
    shown = f"{name}{written}" if currency else text[word.start : after.end()] if unit and after else written
    return Quantity(shown, tuple(readings), unit)


def _is_in_an_id(text: str, word: Word) -> bool:
    """Whether a number stands between letters without a space, as in an id or a hash."""
    before, after = text[max(0, word.start - 1) : word.start], text[word.end : word.end + 2]
    return before.isascii() and before.isalpha() and len(after) == 2 and after.isalnum()


def _value(form: str) -> float:
    try:
        return float(form)
    except ValueError:
        return float("nan")  # a version such as 1.2.3, which equals nothing
