"""Words: tokens, stems, and how much a word says about what a text is about. English, tolerant of other
languages.
"""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)*"  # numbers, times and versions as one
    r"|[぀-ヿ㐀-鿿가-힣]"  # scripts without spaces: a character is a word
    r"|[^\W\d_]+(?:['’][^\W\d_]+)?"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

_STOP_WORDS = """
a about above after again all also am an and any are as at be because been before being below between
both but by can could did do does doing don down during each either else etc few for from further had
has have having he her here hers him his how i if in into is it its itself just let like me mine more
most much must my no nor not now of off on once only or other our ours out over own per please shall she
should so some such than that the their theirs them then there these they this those through to too
under until up upon us very via was we were what whatever when where whether which while who whom whose
why will with within without would you your yours yourself ll re ve d s t m
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

# Words that appear in questions about anything: they say little about which text answers.
_COMMON_WORDS = """
able according add allow another answer ask available based become begin best better bring build call
case certain change choose come common compare consider contain create current currently describe detail
different easy end ensure example exist explain feature find first follow following general get give
given go good great happen hard help important improve include information instead involve keep kind
know last least less list long look lot main make many may mean mention method might model name need new
next number offer often old one option order part particular people perform possible problem process
provide purpose put question reason recommend refer relate require right say see set several show
similar simple since single small something special specific start state step still support sure take
tell thing think three time try two type use used useful user using value various want way well work
world year
"""
_COMMON = frozenset(_COMMON_WORDS.split())

_SYNONYMS = (
    "price pricing cost costs fee charge bill expensive cheap",
    "delete remove erase drop",
    "begin start launch",
    "finish end stop terminate",
    "big large huge",
    "small little tiny",
    "buy purchase",
    "show display",
    "pick choose select",
    "fast quick rapid speed",
    "error failure fail exception",
    "maximum max limit most largest highest",
    "minimum min least smallest lowest",
    "image picture photo",
    "function tool",
    "document file",
    "answer reply response",
    "wrong incorrect false",
    "correct right accurate",
    "company organization business enterprise",
    "employee worker staff",
    "require need must",
    "allow permit enable let",
    "forbid prohibit disallow",
    "increase raise grow",
    "decrease reduce lower shrink",
    "create make build",
    "change modify edit alter",
    "fix repair",
    "help assist",
    "advantage benefit strength",
    "disadvantage drawback weakness limitation",
    "located location where place",
    "born birth",
    "died death",
    "author wrote written writer",
    "founded established founder",
    "invent invented inventor",
    "doctor physician",
    "car automobile vehicle",
    "area size",
    "population inhabitants",
    "window size length",
    "leave vacation holiday",
    "phone telephone",
    "mail email",
    "weather temperature forecast rain sunny warm cold",
    "add plus sum addition adder",
    "subtract minus difference subtraction",
    "multiply times product multiplication",
    "divide quotient division",
    "calculate compute calculator math arithmetic",
    "search find look lookup retrieve query",
    "news headline",
    "stock share ticker",
    "translate translation translator",
    "remind reminder",
    "meeting appointment event calendar",
    "order purchase",
    "customer client",
)

_IRREGULAR = {
    "children": "child",
    "men": "man",
    "women": "woman",
    "people": "person",
    "feet": "foot",
    "data": "datum",
    "indices": "index",
    "using": "use",
    "used": "use",
    "better": "good",
    "best": "good",
    "bought": "buy",
    "built": "build",
    "came": "come",
    "chose": "choose",
    "chosen": "choose",
    "done": "do",
    "gave": "give",
    "given": "give",
    "held": "hold",
    "kept": "keep",
    "made": "make",
    "paid": "pay",
    "ran": "run",
    "sent": "send",
    "sold": "sell",
    "spent": "spend",
    "taken": "take",
    "took": "take",
    "went": "go",
    "wrote": "write",
    "written": "write",
}
_SUFFIXES = (
    ("ification", "ifi"),
    ("ization", "iz"),
    ("isation", "iz"),
    ("ational", "at"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("iveness", "iv"),
    ("ations", "at"),
    ("ation", "at"),
    ("ments", ""),
    ("ment", ""),
    ("ness", ""),
    ("ities", ""),
    ("ity", ""),
    ("ible", ""),
    ("able", ""),
    ("ions", ""),
    ("ion", ""),
    ("ally", ""),
    ("ical", "ic"),
    ("ive", ""),
    ("ize", "iz"),
    ("ise", "iz"),
    ("ly", ""),
    ("al", ""),
    ("er", ""),
    ("or", ""),
)
_VOWEL = re.compile(r"[aeiouy]")


def words(text: str) -> list[str]:
    """The words of a text in lower case; ``maxTokens`` and ``max_tokens`` are two each, ``llama3`` is two."""
    return [word.lower() for word in _TOKEN.findall(_CAMEL.sub(" ", text))]


def terms(text: str) -> list[str]:
    """The stems of the words that are not stop words."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Cut a lower-case word down to what its forms have in common. The stem need not be a word."""
    word = word.replace("’", "'").removesuffix("'s").replace("'", "")
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    word = _without_inflection(_without_plural(word))
    for suffix, instead in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            word = word[: -len(suffix)] + instead
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word


def _without_plural(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_inflection(word: str) -> str:
    for ending in ("ing", "ed"):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) >= 3 and _VOWEL.search(rest):
            doubled = len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz"
            return rest[:-1] if doubled else rest
    return word


_COMMON_STEMS = frozenset(stem(word) for word in _COMMON)
_GROUPS: dict[str, frozenset[str]] = {}
for _line in _SYNONYMS:
    _group = frozenset(stem(word) for word in _line.split())
    for _member in _group:
        _GROUPS[_member] = _GROUPS.get(_member, frozenset()) | _group


def synonyms(term: str) -> frozenset[str]:
    """Stems of words that can stand for the same thing, without the term itself."""
    return _GROUPS.get(term, frozenset()) - {term}


def specificity(term: str, *, is_name: bool = False) -> float:
    """How much a stem says about the subject: 1 for an ordinary word, less for common ones, more for
    names.
    """
    if is_name or term[:1].isdigit():
        return 1.5
    return 0.4 if term in _COMMON_STEMS else 1.0
