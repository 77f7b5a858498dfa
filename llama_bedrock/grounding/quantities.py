"""Numbers with their units, so that 60 seconds are a minute and $12 are not 12 %."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from llama_bedrock.text import Word

_UNITS = """
time .001 ms msec millisecond milliseconds | time 1 s sec secs second seconds sekunde sekunden
time 60 min mins minute minutes minuten | time 3600 h hr hrs hour hours stunde stunden
time 86400 day days tag tage jour jours día días | time 604800 week weeks woche wochen semaine semaines semana
months 1 month months monat monate mois mes meses | months 12 year years yr yrs jahr jahre an ans año años
data 1 byte bytes | data 1e3 kb kib kilobyte kilobytes | data 1e6 mb mib megabyte megabytes
data 1e9 gb gib gigabyte gigabytes | data 1e12 tb tib terabyte terabytes | length .001 mm | length .01 cm
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
_GROUPED = re.compile(r"\d{1,3}(?:(?: | ?, )\d{3}){1,4}(?!\d)")  # also as tokenizers part 1 , 250
# What makes a number part of a name, as in COVID-19, or of a time of day; or says that it counts passages, or
# that it is rounded: another number in its place says little.
_VAGUE_BEFORE = re.compile(
    r"(?:[^\W\d_]-?|\d:|\b(?:(?:passage|document|source)s?|(?:more|less|fewer|greater|older|younger) than"
    r"|over|under|above|below|about|around|nearly|almost|roughly|some|approximately|at (?:least|most)|up to"
    r"|mehr als|etwa|rund|über|unter|fast|plus de|environ|más de|unos|casi) [$€£]? ?)$",
    re.IGNORECASE,
)
# Of 15th, the 1990s and 3 pm; 1.8m may be metres or millions.
_VAGUE_AFTER = re.compile(r"(?:(?<=\dm)| ?['’]s|s| ?[ap]\.?m|[snrt][tdh]| Uhr)\b|:\d\d", re.IGNORECASE)
_PLAIN = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")


class Quantity(NamedTuple):
    """A number with what it measures."""

    written: str  # as it stands in the text, with its unit
    form: str  # the number alone, as `words` spells it
    kind: str  # what its unit measures, "year" or "number"
    means: frozenset[tuple[str, str]]  # what it is found as: ``1.250`` is 1.25 and 1250, a minute 60 seconds
    holds: frozenset[tuple[str, str]]  # what others find it as


def quantities(text: str, found: Sequence[Word]) -> list[Quantity]:
    """The numbers of a text, with their units; ``found`` are its words, or the numbers that are meant."""
    told, group = list[Quantity](), None
    for word in found:
        if word.is_number:
            if group is None or word.start >= group.end():
                group = _GROUPED.match(text, word.start)
            told.append(_quantity(text, word, group))
    for at, pair in enumerate(pairwise(told)):  # "1 hour and 30 minutes"
        if all(part.kind == "time" for part in pair):
            seconds = sum(min(float(value) for kind, value in part.means if kind == "time") for part in pair)
            both = {("time", f"{seconds:.9g}")}
            told[at : at + 2] = [p._replace(means=p.means | both, holds=p.holds | both) for p in pair]
    return told


def _quantity(text: str, word: Word, group: re.Match[str] | None) -> Quantity:
    written = text[word.start : word.end]
    after = _AFTER.match(text, word.end)
    currency = _BEFORE.search(text, max(0, word.start - 4), word.start)
    name = currency[1] if currency else after[1] if after else ""
    unit = _UNIT.get(name.lower())
    # A version: 3.10 is not 3.1.
    forms = [written if unit is None and re.fullmatch(r"\d+\.\d*0", written) else word.form]
    forms += [written.replace(".", "")] if re.fullmatch(r"\d{1,3}(?:\.\d{3})+", written) else []
    forms += [re.sub("[ ,]", "", group[0])] if group else []
    plain = [form for form in forms if _PLAIN.fullmatch(form)]
    plain += [f"{float(form) / 1024:.0f}000" for form in plain if float(form) % 1024 == 0]  # 131,072 is 128K
    forms += plain
    any_unit, no_unit = frozenset(("", form) for form in forms), frozenset(("none", form) for form in forms)
    if unit is None:
        kind = "year" if re.fullmatch(r"(?:1[5-9]|20)\d\d", forms[0]) else "number"
        short = {("", written[2:])} if kind == "year" else ()  # 15 Jul 19
        return Quantity(written, forms[0], kind, any_unit.union(short), any_unit | no_unit)
    measured = {(unit[0], f"{float(form) * unit[1]:.9g}") for form in plain}
    shown = f"{name}{written}" if currency else text[word.start : after.end()] if after else written
    return Quantity(shown, forms[0], unit[0], no_unit | measured, any_unit | measured)


def is_vague(text: str, word: Word) -> bool:
    """Whether a number is rounded or part of a name, so that another in its place says little."""
    before = _VAGUE_BEFORE.search(text, max(0, word.start - 24), word.start)
    return before is not None or _VAGUE_AFTER.match(text, word.end) is not None
