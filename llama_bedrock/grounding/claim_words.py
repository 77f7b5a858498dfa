"""Words as the word-list verifier compares them, until it goes: their home is `llama_bedrock.text`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_STOP_WORDS = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each few for from further had has have
having he her here hers him his how i if in into is it its itself just me more most
my now of off on once only or other our out over own per same she should so some such than that the
their them then there these they this those through to too under until up very via was we were what
when where which while who whom why will with would you your yes according passage passages document
documents source sources states mentions says
der die das den dem des ein eine einen einem einer und oder ist sind war wird werden wurde hat haben
im am zum zur von mit für auf aus bei nach pro es er sie sich als auch
le la les un une des du de et ou est sont été au aux dans par sur pour avec il elle ils elles ce cette
el los las una unos y o es son fue en con por para del al se su que qui
il lo gli uno e è di da nel della dei os um uma é são no na do dos
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that carry no fact by themselves, of the languages of Llama that are written with them; those of the
last English line are what an answer uses to speak of its sources.
"""

_SMALL = (
    "zero _ two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS = {name: number for number, name in enumerate(_SMALL.split())} | {
    name: number for number, name in zip(range(20, 100, 10), _TENS.split(), strict=True)
}  # without "one", which is mostly a pronoun
_SCALE = {
    **dict.fromkeys(("k", "thousand"), 1_000),
    **dict.fromkeys(("m", "million"), 1_000_000),
    **dict.fromkeys(("b", "billion"), 1_000_000_000),
}
_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = _MONTH_NAMES.split()
_SHORT_MONTHS = {month[:3]: month for month in _MONTHS if month not in ("may", "march")} | {
    "sept": "september"
}
_UNSPACED = "぀-ヿ㐀-鿿豈-﫿가-힣\u0e00-\u0e7f"  # scripts written without spaces, or with particles
_SPACES = " \u00a0\u2009\u202f"
_WORD = re.compile(
    r"(?P<date>\b[12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])\b)"
    rf"|(?P<number>(?:(?<![\w.)\]-])[-−])?\d+(?:[{_SPACES[1:]}]\d{{3}}(?!\d)|[.,]\d+|['’_]\d{{3}}(?!\d))*"
    r"(?:[kKmMbB]\b|[ \u00a0-](?:thousand|million|billion)\b)?)"
    rf"|(?P<run>[{_UNSPACED}]+)"
    rf"|(?:{_TENS.replace(' ', '|')})-(?:{'|'.join(_SMALL.split()[2:10])}|one)\b"
    rf"|[^\W\d_{_UNSPACED}]+(?:['’][^\W\d_]+)?",
    re.IGNORECASE,
)
_NUMBER_PARTS = re.compile(r"([-−]?)([\d.,]+)(\D*)")
_SUFFIXES = ("ations", "ation", "ingly", "ings", "ing", "edly", "ies", "ied", "ed", "es", "ly", "s", "e")
_IRREGULAR_LINES = """
be was were been; begin began begun; bring brought; build built; buy bought; choose chose chosen; come came;
cut cutting; draw drew drawn; drive drove driven; fall fell fallen; find found; get got gotten getting; give
gave given; go went gone; grow grew grown; hold held; keep kept; know knew known; lead led; leave left; lose
lost; make made; mean meant; meet met; pay paid; put putting; read; rise rose risen; run ran running; say
said; see saw seen; sell sold; send sent; set setting; show shown; speak spoke spoken; spend spent; stop
stopped stopping; take took taken; teach taught; tell told; think thought; understand understood; win won
winning; write wrote written writing; child children; man men; woman women; person people; foot feet;
index indices; datum data; plan planned planning
"""
_IRREGULAR = {
    form: line.split()[0]
    for line in _IRREGULAR_LINES.split(";")
    for form in line.split()[1:]
    if form not in STOP_WORDS
}
_SENTENCE_END = re.compile(
    r"[.!?…]+[\"”’')\]]*(?=\s)|[。！？]+|\n[ \t]*\n|\n(?=[ \t]*(?:[-*+•|#>]|\d+[.)]\s))"
)
_INITIAL = re.compile(r"\b(?:[A-Z]|e\.g|i\.e|vs|Dr|Mrs?|Ms|St|Inc|No|approx|bzw|z\.B)\.$")
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
        return self.form.lstrip("-")[:1].isdecimal()


def words(text: str) -> list[Word]:
    """The words of a text: lower case, without light suffixes, numbers in one spelling (``128K``:
    ``128000``), dates as month, day and year, scripts without spaces as pairs of characters.
    """
    return [word for match in _WORD.finditer(text) for word in _words_of(match)]


def content_words(text: str) -> list[Word]:
    """The words without stop words."""
    return [
        word
        for match in _WORD.finditer(text)
        if match[0].lower().replace("’", "'").removesuffix("'s") not in STOP_WORDS
        for word in _words_of(match)
    ]


def _words_of(match: re.Match[str]) -> Iterator[Word]:
    start, end = match.span()
    if match["run"]:
        for at in range(start, max(end - 1, start + 1)):
            yield Word(match.string[at : min(at + 2, end)], at, min(at + 2, end))
    elif match["date"]:
        year, month, day = match[0].split("-")
        for form in (_MONTHS[int(month) - 1], str(int(day)), year):
            yield Word(_form(form), start, end)
    else:
        yield Word(_form(match[0]), start, end)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence, list item or table row; blank ones are left out."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if match[0][0] == "." and _INITIAL.search(text, max(start, match.end() - 8), match.end()):
            continue
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
    if word.lstrip("-−")[:1].isdecimal():
        return _number(word)
    form = word.lower().replace("’", "'")
    if form in _NUMBER_WORDS:
        return str(_NUMBER_WORDS[form])
    tens, _, units = form.partition("-")
    if units:  # "twenty-five"; no other word has a hyphen
        return str(_NUMBER_WORDS[tens] + _NUMBER_WORDS.get(units, 1))
    form = form.removesuffix("'s")
    form = _SHORT_MONTHS.get(form, form)
    if form in _IRREGULAR:
        form = _IRREGULAR[form]
    for suffix in _SUFFIXES:
        if form.endswith(suffix) and len(form) - len(suffix) >= 3:
            stem = form[: -len(suffix)]
            return stem + "y" if suffix in ("ies", "ied") else stem
    return form


def _number(word: str) -> str:
    """One spelling for a number: without thousands separators and trailing zeros; k, m, b multiplied out.

    A comma before other than three digits is a decimal comma, and so is the last of two kinds of separators.
    """
    word = unicodedata.normalize("NFKC", word)
    parts = _NUMBER_PARTS.fullmatch(re.sub(r"(?<=\d)[ \u2009\u202f'’_](?=\d)", "", word))
    if parts is None:
        return word.lower()
    sign, digits, unit = parts.groups()
    scale = _SCALE.get(unit.lower().strip(" \u00a0-"), 1)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    elif re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}", digits):
        digits = digits.replace(".", "").replace(",", ".")
    elif digits.count(",") == 1 and "." not in digits:
        digits = digits.replace(",", ".")
    if not re.fullmatch(r"\d{1,15}(?:\.\d{1,15})?", digits):
        return word.lower()
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    sign = "-" if sign else ""
    if scale == 1:
        return sign + (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    return f"{sign}{round(float(digits) * scale)}"
