"""Numbers and dates of spreadsheets as they are shown, by the format codes of ECMA-376 (part 1, 18.8.31)."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal

_TOKENS = re.compile(
    r'"([^"]*)"|\\(.)|\[\$([^\]-]*)(?:-[^\]]*)?\]|\[(h+|m+|s+)\]|(\[[^\]]*\])|_(.)|\*(.)'
    r"|(AM/PM|A/P|General|yyyy|yy|mmmmm|mmmm|mmm|mm|m|dddd|ddd|dd|d|hh|h|ss|s|0?\.?0*E[+-]0+|[#0?,.]+|%|@|.)",
    re.IGNORECASE,
)
_PLACES = re.compile("[,.]*[#0?][#0?,.]*")
_LONGEST = 255  # Excel's own limit of a format code


def shown(value: object, code: str) -> str:
    """A cell's value as its format shows it; in English, and with a point before the decimals.

    Args:
        value: As openpyxl gives it.
        code: Format code; of several sections the one for the value is used.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, datetime | date | time):
        return _moment(value, code)
    if isinstance(value, int | float):
        return _number(value, code)
    return str(value)


def _general(value: float) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _tokens(code: str) -> list[tuple[str, str]]:
    """Kind and text of each part of a code: a literal, an elapsed time, or a symbol."""
    found = []
    for match in _TOKENS.finditer(code[:_LONGEST]):
        quoted, escaped, currency, elapsed, _, _, _, symbol = match.groups()
        literal = next((text for text in (quoted, escaped, currency) if text is not None), None)
        if literal is not None:
            found.append(("literal", literal))
        elif elapsed:
            found.append(("elapsed", elapsed.lower()))
        elif symbol:
            found.append(("symbol", symbol))
    return found


# Numbers


def _number(value: float, code: str) -> str:
    sections = _sections(code)
    section = sections[0]
    if value < 0 and len(sections) > 1:
        section, value = sections[1], -value
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    parts = _tokens(section)
    symbols = [text for kind, text in parts if kind == "symbol"]
    places = next((text for text in symbols if _PLACES.fullmatch(text) and re.search("[#0?]", text)), "")
    if any(text.lower() == "general" for text in symbols) or "/" in symbols or not (places or "%" in symbols):
        exponent = next((text for text in symbols if re.fullmatch("(?i)0?\\.?0*E[+-]0+", text)), "")
        if exponent:
            return f"{value:.{len(exponent.partition('.')[2].lower().partition('e')[0])}E}"
        plain = not symbols or any(text.lower() == "general" for text in symbols) or "/" in symbols
        return _general(value) if plain or "@" in symbols else _literals(parts)
    shown_, done = "", False
    number = _digits(value * 100 ** symbols.count("%"), places)
    if number.startswith("-"):
        shown_, number = "-", number[1:]
    for kind, text in parts:
        if kind == "literal" or text == "%":
            shown_ += text
        elif kind == "symbol" and _PLACES.fullmatch(text):
            shown_ += "" if done else number
            done = True
        elif kind == "symbol" and text in " ()+-/:$€£¥":
            shown_ += text
    return shown_.strip()


def _sections(code: str) -> list[str]:
    """The sections of a code; semicolons in quotes part none."""
    return re.findall(r'(?:"[^"]*"|\\.|[^;])+', code[:_LONGEST]) or ["General"]


def _literals(parts: list[tuple[str, str]]) -> str:
    return "".join(text for kind, text in parts if kind == "literal" or text in "-+()").strip()


def _digits(value: float, places: str) -> str:
    scale = len(places) - len(places.rstrip(","))  # each comma at the end divides by a thousand
    whole, _, decimals = places.rstrip(",").partition(".")
    most, least = len(re.sub("[^#0?]", "", decimals)), decimals.count("0")
    # Excel rounds halves away from zero, of the decimal number that it shows.
    rounded = Decimal(f"{value / 1000**scale:.15g}")
    if rounded.adjusted() < 40:
        rounded = rounded.quantize(Decimal(1).scaleb(-most), ROUND_HALF_UP)
    text = f"{rounded:{',' if ',' in whole else ''}f}"
    if most > least and "." in text:
        text = text[: len(text) - (most - least)] + text[len(text) - (most - least) :].rstrip("0")
        text = text.rstrip(".")
    integer, point, rest = text.partition(".")
    sign = "-" if integer.startswith("-") else ""
    return sign + integer.lstrip("-").zfill(whole.count("0")) + point + rest


# Dates and times


def _duration(value: timedelta) -> str:
    seconds = round(abs(value).total_seconds())
    sign = "-" if value < timedelta(0) else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _moment(value: datetime | date | time, code: str) -> str:
    parts = _tokens(_sections(code)[0])
    symbols = [text.lower() for kind, text in parts if kind == "symbol"]
    if not any(text[0] in "ymdhs" for text in symbols):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    whole = (
        value
        if isinstance(value, datetime)
        else datetime.combine(
            value if isinstance(value, date) else date(1900, 1, 1),
            value if isinstance(value, time) else time(),
        )
    )
    half = any(text in ("am/pm", "a/p") for text in symbols)
    shown_: list[str] = []
    for position, (kind, text) in enumerate(parts):
        if kind == "symbol":
            shown_.append(_field(whole, text.lower(), _is_minute(parts, position), half))
        elif kind == "elapsed":
            shown_.append(_field(whole, text, text[0] == "m", False))
        else:
            shown_.append(text)
    return "".join(shown_).partition(";")[0].strip()


def _is_minute(parts: list[tuple[str, str]], position: int) -> bool:
    """True if an ``m`` is a minute: it follows hours, or seconds follow it."""

    def nearest(steps: range) -> str:
        fields = (parts[n][1].lower() for n in steps if parts[n][1][:1].lower() in tuple("ymdhs"))
        return next(fields, " ")[0]

    return nearest(range(position - 1, -1, -1)) == "h" or nearest(range(position + 1, len(parts))) == "s"


def _field(moment: datetime, field: str, is_minute: bool, half: bool) -> str:
    if field[0] == "y":
        return f"{moment.year:04}" if len(field) > 2 else f"{moment.year % 100:02}"
    if field[0] == "m" and is_minute:
        return f"{moment.minute:02}" if len(field) > 1 else str(moment.minute)
    if field[0] == "h":
        hour = (moment.hour % 12 or 12) if half else moment.hour
        return f"{hour:02}" if len(field) > 1 else str(hour)
    if field[0] == "s":
        return f"{moment.second:02}" if len(field) > 1 else str(moment.second)
    if field in ("m", "mm", "d", "dd"):
        number = moment.month if field[0] == "m" else moment.day
        return f"{number:02}" if len(field) > 1 else str(number)
    if field in ("am/pm", "a/p"):
        return ("AM" if moment.hour < 12 else "PM")[: 2 if field == "am/pm" else 1]
    names = {"mmm": "%b", "mmmm": "%B", "mmmmm": "%b", "ddd": "%a", "dddd": "%A"}
    if field in names:
        name = _ENGLISH[names[field][1]][moment.month - 1 if field[0] == "m" else moment.weekday()]
        return name[0] if field == "mmmmm" else name
    return field.replace("@", "").replace("general", "")


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# Not of strftime, which speaks the language of the machine.
_ENGLISH = {
    "B": _MONTHS, "b": [name[:3] for name in _MONTHS], "A": _DAYS, "a": [name[:3] for name in _DAYS],
}  # fmt: skip
