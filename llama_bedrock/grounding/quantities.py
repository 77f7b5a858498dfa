"""Numbers with their units, so that 60 seconds are a minute and $12 are not 12 %."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import NamedTuple

from llama_bedrock.text import Word

_UNITS = """
time .001 ms msec millisecond milliseconds | time 1 s sec secs second seconds sekunde sekunden
time 60 min mins minute minutes minuten | time 3600 h hr hrs hour hours stunde stunden
time 86400 day days tag tage jour jours día días | months 1 month months monat monate mois mes meses
time 604800 week weeks woche wochen semaine semaines semana semanas
months 12 year years yr yrs jahr jahre an ans année années año años | data 1 byte bytes
data 1e3 kb kib kilobyte kilobytes | data 1e6 mb mib megabyte megabytes | data 1e9 gb gib gigabyte gigabytes
data 1e12 tb tib terabyte terabytes | length .001 mm millimetre
length .01 cm centimetre centimetres centimeter centimeters
length 1 m metre metres meter meters | length 1000 km kilometre kilometres kilometer kilometers
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
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:(?: | ?, )\d{3})+(?![\d])")  # also as tokenizers part 1 , 250
# Before a number: what makes it part of a name, as in COVID-19; that it counts passages; that it is rounded.
_VAGUE = re.compile(
    r"(?:[^\W\d_]-?|\b(?:(?:passage|document|source)s?(?: id)?|(?:more|less|fewer|greater|older|younger) than"
    r"|over|under|above|below|about|around|nearly|almost|roughly|some|approximately|at (?:least|most)|up to"
    r"|mehr als|etwa|rund|über|unter|fast|plus de|environ|más de|unos|casi) [$€£]? ?)$",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"(\d{1,2})(?:[:.](\d\d))?( ?[ap]\.?m\b| Uhr\b)|(?<![\d.:])(\d{1,2}):(\d\d)(?![\d:])", re.IGNORECASE
)
_DIGITS = re.compile(r"\d+")
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?")


class Quantity(NamedTuple):
    """A number with what it measures."""

    written: str  # as it stands in the text, with its unit
    form: str  # the number alone, as `words` spells it
    kind: str  # what its unit measures, "year" or "number"
    means: frozenset[Hashable]  # what it is found as: ``1.250`` is 1.25 and 1250, a minute is 60 seconds
    holds: frozenset[Hashable]  # what others find it as; with its kinds


def quantities(text: str, found: Sequence[Word]) -> list[Quantity]:
    """The numbers of a text, with their units; ``found`` are its words, or the numbers that are meant."""
    found = [word for word in found if word.is_number]
    if not found:
        return []
    grouped = {
        group.start() + digits.start(): re.sub("[ ,]", "", group[0])
        for group in _GROUPED.finditer(text)
        for digits in _DIGITS.finditer(group[0])
    }
    told, end = [], 0
    for word in found:
        if word.start >= end:  # not the minutes of a time of day
            time = _CLOCK.match(text, word.start)
            told.append(_quantity(text, word, grouped.get(word.start), time))
            end = time.end() if time else end
    for at, pair in enumerate(pairwise(told)):  # "1 hour and 30 minutes"
        if all(part.kind == "time" for part in pair):
            forms = [[form for form in part.means if isinstance(form, tuple) and form[0]] for part in pair]
            seconds = sum(float(min(found)[1]) for found in forms)
            both = {("time", f"{seconds:.9g}")}
            told[at : at + 2] = [p._replace(means=p.means | both, holds=p.holds | both) for p in pair]
    return told


def _quantity(text: str, word: Word, grouped: str | None, time: re.Match[str] | None) -> Quantity:
    if time:
        hour = {("clock", int(time[1] or time[4]) % 12 * 60 + int(time[2] or time[5] or 0))}  # 3 pm is 15:00
        return Quantity(time[0], word.form, "clock", frozenset(hour), frozenset([*hour, word.form, "clock"]))
    written = text[word.start : word.end]
    after = _AFTER.match(text, word.end)
    currency = _BEFORE.search(text, max(0, word.start - 4), word.start)
    name = currency[1] if currency else after[1] if after else ""
    unit = _UNIT.get(name.lower())
    # A version: 3.10 is not 3.1.
    forms = [written if unit is None and re.fullmatch(r"\d+\.\d*0", written) else word.form]
    forms += [written.replace(".", "")] if re.fullmatch(r"\d{1,3}(?:\.\d{3})+", written) else []
    forms += [grouped] if grouped else []
    forms += [_by_thousands(int(form)) for form in forms[-1:] if form.isdecimal()]
    plain = "year" if re.fullmatch(r"(?:1[5-9]|20)\d\d", forms[0]) else "number"
    bare = [(None, form) for form in forms]
    if unit is None:
        means = frozenset([*forms, written[2:]] if plain == "year" else forms)  # 15 Jul 19
        return Quantity(written, forms[0], plain, means, frozenset([*forms, *bare, plain]))
    measures = [(unit[0], f"{float(form) * unit[1]:.9g}") for form in forms if _PLAIN.fullmatch(form)]
    shown = f"{name}{written}" if currency else text[word.start : after.end()] if after else written
    holds = frozenset([*measures, *forms, unit[0], plain])
    return Quantity(shown, forms[0], unit[0], frozenset([*measures, *bare]), holds)


def _by_thousands(number: int) -> str:
    """131072 is 128K as well."""
    scale = 1
    while number and number % 1024 == 0:
        number, scale = number // 1024, scale * 1000
    return str(number * scale)


def is_vague(text: str, word: Word) -> bool:
    """Whether a number is rounded or part of a name, so that another in its place says little."""
    before = _VAGUE.search(text, max(0, word.start - 24), word.start)
    is_vague_unit = text[word.end - 1] == "m"  # 1.8m, of metres or millions
    return before is not None or is_vague_unit or text[word.end : word.end + 3].lstrip()[:2] in ("'s", "’s")
