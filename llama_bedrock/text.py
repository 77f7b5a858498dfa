"""Words, sentences, stop words and stems: the one home of all of them.

Three things are made of a text here, and none of them imports anything heavy:

- `words` and `content_words`, with their places: what packing and citations compare by;
- `sentences`, with their places: what is quoted;
- `terms`: what BM25 and LSA index, of prose and source code alike.

All three fold a word the same way before they compare it (`folded`), take stop words from `stop_words` and
stems from `stem`: Snowball's, of the language that `language_of` tells. snowballstemmer runs in plain Python,
and uses PyStemmer, which gives the same stems forty times as fast, where it is installed (extra ``local``).
"""

from __future__ import annotations

import re
import threading
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

TERMS_VERSION = 5
"""Saved with every index: terms of another version do not match."""

# ---------------------------------------------------------------------------------------------- languages

_SNOWBALL = {
    "en": "english", "de": "german", "fr": "french", "it": "italian", "pt": "portuguese", "es": "spanish",
    "hi": "hindi", "ru": "russian", "el": "greek", "ar": "arabic", "ta": "tamil",
}  # fmt: skip
TOLD = tuple(_SNOWBALL)
"""Languages that `language_of` tells, English first."""
_SCRIPTS = (
    (re.compile(r"[\u0400-\u04ff]"), "ru"),
    (re.compile(r"[\u0370-\u03ff]"), "el"),
    (re.compile(r"[\u0600-\u06ff]"), "ar"),
    (re.compile(r"[\u0900-\u097f]"), "hi"),
    (re.compile(r"[\u0b80-\u0bff]"), "ta"),
)
"""Scripts that tell the language, or nearly: their words are stemmed so in a text of any language."""

# The kept lists have 1,300 English words, among them "index", "page", "information" and "microsoft"; without
# them nothing is found in documentation. This is NLTK's list, as far as it has whole words.
_ENGLISH = """
a about above after again all also am an and any are as at be because been before being below between both but
by can could did do does doing down during each few for from further had has have having he her here hers
herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off on
once only or other our ours ourselves out over own same she should so some such than that the their theirs
them themselves then there these they this those through to too under until up very was we were what when
where which while who whom why will with would you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_ENGLISH.split())
"""English words that carry no fact by themselves; `stop_words` has those of other languages."""

# Tested as BudouX cuts them: it sets the prefixes that make nouns, and parts of some words, apart.
_THAI = """
ก็ กว่า ก่อน กัน การ กำลัง กี่ กับ เกี่ยว แก่ ของ ขณะ ขึ้น เขา คน ควร ความ ครับ คะ ค่ะ คือ คุณ จะ จาก จึง ฉัน เช่น ช่วย ซึ่ง ด้วย ดัง
ดังนั้น ดิฉัน ได้ โดย ต่อ ต้อง ตาม แต่ ถ้า ถึง ถูก ทั้ง ท่าน ทำ ทำไม ที่ ทุก เท่า เท่าไร เท่าไหร่ เธอ นะ นั่น นั้น นี่ นี้ ใน บน บาง บ้าง
ใคร ผม ผ่าน พวก เพราะ เพียง เพื่อ มา มาก มี เมื่อ เมื่อไร เมื่อไหร่ มัน ไม่ ไป ยัง ยังไง ระหว่าง เรา ไร ละ แล้ว และ เลย ว่า
สำหรับ สิ่ง หน่อย หรือ หลาย หาก เหล่า ให้ ไหน ไหม ไหร่ แห่ง อย่าง อย่างไร อยู่ อะไร อัน อาจ อีก เอง เป็น ๆ
"""

_WITHOUT_HAMZA = str.maketrans("أإآ", "ااا")

TELLING_WORDS = 150
"""Words at the beginning of a text that are looked at to tell its language."""
_TELLING_CHARACTERS = 4_000
FEW_WORDS = 20
"""Of fewer words, two tell the language; in longer texts it takes more."""
_FEWEST = 2
_WHOLE = 27_720  # of which every part, up to a twelfth, is a whole number: sums do not depend on their order
SURE = 3 * _WHOLE
"""What a language must count in a longer text."""


@cache
def stop_words(language: str) -> frozenset[str]:
    """Words of a language that carry no fact by themselves, in lower case.

    Args:
        language: ISO 639-1 code. English and Thai have lists of their own, the others those of the package
            stop-words with what these lack; a language without one has no stop words.
    """
    if language == "en":
        return STOP_WORDS
    if language == "th":
        return frozenset(_THAI.split())
    from stop_words import safe_get_stop_words

    from llama_bedrock.function_words import FUNCTION_WORDS

    found = [*safe_get_stop_words(language), *FUNCTION_WORDS.get(language, "").split()]
    if language == "ar":  # "and" is joined to the next word, and many leave the hamza out
        found += ["و" + word for word in found if len(word) > 1]
        found += [word.translate(_WITHOUT_HAMZA) for word in found]
    return frozenset(unicodedata.normalize("NFC", word) for word in found)


def is_stop_word(word: str, language: str) -> bool:
    """Whether a word, as it is written, carries no fact in a text of a language.

    A word in a script of its own may also be a stop word of that script's language: a question of few words,
    or a quotation, is not told to be in it.
    """
    if word.isascii():
        return word.lower() in stop_words(language)
    word = unicodedata.normalize("NFKC", word).lower()  # accents may stand beside their letters
    return word in stop_words(language) or word in stop_words(_language_of_script(word) or language)


def _composed(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFC", word)


def _language_of_script(word: str) -> str | None:
    return next((language for script, language in _SCRIPTS if script.match(word)), None)


def language_of(text: str) -> str:
    """The language a text is written in, as its ISO 639-1 code; ``"en"`` where nothing tells.

    It is told by its function words, of which a question has two or three; a word that several languages have
    counts a part for each. Languages without spaces or without a stemmer count as English.
    """
    return language_of_words(written_words(text[:_TELLING_CHARACTERS]))


def language_of_words(found: Sequence[str]) -> str:
    """As `language_of`, of the words of a text as they are written."""
    telling = telling_words()
    # As they are written, not "AI" and "OS", which would be words of French and Portuguese.
    beginning: Iterable[str] = found[:TELLING_WORDS]
    if len(found) < FEW_WORDS:  # a question may begin with its only function word
        beginning = [word.lower() for word in found if not word.isupper()]
    known = [telling[word] for word in set(map(_composed, set(beginning))) if word in telling]
    if not known:
        return "en"
    scores = list(map(sum, zip(*known, strict=True)))
    best = scores.index(max(scores))  # English among equals
    # One word tells nothing: English has "per", "die" and "comment" too. In source code, two or three are
    # always some language's.
    words_of_best = sum(votes[best] > 0 for votes in known)
    is_sure = words_of_best >= _FEWEST if len(found) < FEW_WORDS else scores[best] >= SURE
    return TOLD[best] if is_sure else "en"


@cache
def telling_words() -> Mapping[str, Sequence[int]]:
    """Function words, each with what it counts for each of the languages `TOLD`: `_WHOLE` in all."""
    holders: dict[str, list[int]] = {}
    for place, language in enumerate(TOLD):
        for word in stop_words(language):
            holders.setdefault(word, []).append(place)
    found: dict[str, list[int]] = {}
    for word, places in holders.items():
        if len(word) > 1 and _MARKED_WORD.fullmatch(word):
            votes = found[word] = [0] * len(TOLD)
            for place in places:
                votes[place] = _WHOLE // len(places)
    return found


# ---------------------------------------------------------------------------------------- forms of a word

_INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff"
"""Soft hyphens, zero-width characters, marks of direction, variation selectors: no part of any word."""
_HIDDEN = re.compile(f"[{_INVISIBLE}]+")
# Vowel signs and accents that stand beside their letter, which `\w` leaves out: of the Latin, Cyrillic,
# Hebrew, Arabic, Indic and South-East Asian scripts.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0eff"
    "\u0f18-\u0f84\u1000-\u109f\u1780-\u17d3"
)
# Scripts written without spaces between words (Thai, Lao, Burmese, Khmer, Chinese, Japanese), or with
# particles joined to them (Korean): pairs of characters stand in for words, except that terms of Thai are
# words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
_THAI_OR_OTHER = re.compile(r"[\u0e00-\u0e7f]+|[^\u0e00-\u0e7f]+")
_LATIN_ACCENTS = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f]+")
_POINTS = re.compile(r"[\u0591-\u05c7\u064b-\u065f\u0670]")  # vowels that Hebrew and Arabic may leave out
_LETTERS = str.maketrans({
    "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d",
    "Đ": "D", "ı": "i",
})  # fmt: skip

_stemmers = threading.local()  # a PyStemmer object is not thread-safe


def folded(word: str) -> str:
    """The word in the one form that all its spellings share: without accents on Latin letters and optional
    vowel points, ligatures and full-width letters resolved, nothing invisible in it.
    """
    if word.isascii():
        return word
    plain = _LATIN_ACCENTS.sub("", unicodedata.normalize("NFKD", _HIDDEN.sub("", word)))
    return _POINTS.sub("", unicodedata.normalize("NFC", plain).translate(_LETTERS))


def stem(word: str, language: str = "en") -> str:
    """The Snowball stem of a word in lower case, folded; it need not be a word.

    Args:
        word: As it is written: some stemmers know a suffix by its accents.
        language: ISO 639-1 code of the text it is from; a word in a script of its own is stemmed as that
            script's language. A language that Snowball does not have leaves the word as it is.
    """
    if not word.isascii():
        word = unicodedata.normalize("NFKC", _HIDDEN.sub("", word))
        language = _language_of_script(word) or language
    stemmer = _stemmer(language)
    if stemmer is None or language == "en":  # English has no accents, and "café" is "cafe" to its stemmer
        word = folded(word)
    return word if stemmer is None else folded(stemmer.stemWord(word))


def _stemmer(language: str) -> Any:
    stemmer: Any = getattr(_stemmers, language, None)
    if stemmer is None and language in _SNOWBALL:
        import snowballstemmer

        stemmer = snowballstemmer.stemmer(_SNOWBALL[language])
        stemmer.maxCacheSize = 0  # PyStemmer's own cache takes five times as long as stemming does
        setattr(_stemmers, language, stemmer)
    return stemmer


# ----------------------------------------------------------------------------------------- terms of search

_ASCII_WORD = re.compile(r"\w+[+#]*", re.ASCII)  # twice as fast as with the two suffixes that are meant
# Each byte of ASCII text, blanks for what is in no word; and "w" for one of a word, "+" for the signs behind.
_BLANKED = bytes(c if chr(c).isalnum() or c == ord("_") else ord(" ") for c in range(128)).ljust(256)
_KINDS = bytes(ord("w" if b != ord(" ") else "+" if c in b"+#" else " ") for c, b in enumerate(_BLANKED))
_MARKED_WORD = re.compile(rf"[\w{_MARKS}]+[+#]*")
# Parts of an identifier: HTTPServer → HTTP, Server; getUserName → get, User, Name; utf8 → utf, 8.
_PART = re.compile(rf"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|(?:[^\W\dA-Za-z_]|[{_MARKS}])+")
_LINE_END_HYPHEN = re.compile(r"(?<![^\W\d_])([^\W\d_]+)[-\u2010][ \t]*\r?\n[ \t]*(?=[^\W\d_A-Z])([^\W\d_]+)")
_HYPHEN = re.compile(r"[-\u2010][ \t]*\r?\n")
_ASCII_HYPHEN = re.compile(r"-[ \t]*\r?\n")  # what begins with one character is found five times as fast
_CACHED = 1 << 17


def terms(text: str, language: str | None = None) -> list[str]:
    """The index terms of a text: stemmed lower-case words without stop words, in their order.

    An identifier (``getUserName``, ``max_tokens``) gives itself and its parts, so that both the exact name
    and a question in plain words find it; a word broken at the end of a line gives itself and its parts too.
    ``C++`` and ``C#`` are words. Thai is cut into words, Chinese, Japanese and Korean into pairs of
    characters.

    Args:
        text: Any text.
        language: ISO 639-1 code; default: what `language_of` tells.
    """
    found = written_words(text)
    known = terms_of(language or language_of_words(found))
    return list(chain.from_iterable(map(known.__getitem__, found)))


def query_terms(text: str, languages: Iterable[str]) -> list[list[str]]:
    """The terms of a question, once for every language of the texts that are searched.

    A few words rarely tell their language, so they are stemmed as in each of these. The stop words of the
    question's language are left out of all, if there are texts in it: in English ones "comment" is a word.
    """
    found = written_words(text)
    languages = sorted(languages)
    own = language_of_words(found)
    if own in languages:
        found = [word for word in found if not is_stop_word(word, own)]
    wordings = [
        list(chain.from_iterable(map(terms_of(language).__getitem__, found))) for language in languages
    ]
    return [wording for number, wording in enumerate(wordings) if wording not in wordings[:number]]


def written_words(text: str) -> list[str]:
    """The words of a text as they are written."""
    is_ascii = text.isascii()
    if (_ASCII_HYPHEN if is_ascii else _HYPHEN).search(text):  # rare, and found in a tenth of the time
        text = _LINE_END_HYPHEN.sub(r"\1\2 \1 \2", text)
    text = _plain(text)
    return _ascii_words(text) if is_ascii or text.isascii() else _MARKED_WORD.findall(_HIDDEN.sub("", text))


def _ascii_words(text: str) -> list[str]:
    """What `_ASCII_WORD` finds: by cutting at blanks, in half the time, where no sign follows a word."""
    encoded = text.encode()
    if ("+" in text or "#" in text) and b"w+" in encoded.translate(_KINDS):
        return _ASCII_WORD.findall(text)
    return encoded.translate(_BLANKED).decode().split()


def _plain(text: str) -> str:
    """The text with the signs of print as those of a keyboard, each in its place."""
    if not text.isascii():
        for sign, plain in _PRINTED:
            text = text.replace(sign, plain)
    return text


def is_lone_character(term: str) -> bool:
    """True for one character of a script that is cut into pairs: in longer words, only pairs hold it."""
    return len(term) == 1 and _UNSPACED_RUN.match(term) is not None


class _Terms(dict[str, tuple[str, ...]]):
    """Terms of the words of one language, as they are asked for; of a bounded number."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._language = language
        self._stems = _Stems(language)  # identifiers share their parts
        self._stop_words = stop_words(language)

    def __missing__(self, word: str) -> tuple[str, ...]:
        if len(self) >= _CACHED:
            self.clear()
        found = self[word] = tuple(map(self._stems.__getitem__, self._parts(word)))
        return found

    def _parts(self, word: str) -> tuple[str, ...]:
        if word[-1] in "+#":
            bare = word.rstrip("+#")
            is_name = len(bare) == 1 and (bare.isupper() or bare in "cfg")  # C++, C#, F#, g++; not i++
            if is_name and word[1:] in ("++", "#"):
                return (word.lower(),)
            return self._parts(bare)
        if not word.isascii():
            if _UNSPACED_RUN.search(word):
                return tuple(_unspaced(unicodedata.normalize("NFKC", word)))
            word = unicodedata.normalize("NFKC", word)
        whole = word.lower()
        if is_stop_word(whole, self._language):
            return ()
        if word.isalpha() and (word.islower() or word.isupper() or word.istitle()):
            return (whole,)
        parts = [part.lower() for part in _PART.findall(word)]
        whole = whole.strip("_")
        if len(parts) < 2:
            return (whole,) if whole else ()
        return (whole, *(part for part in parts if part not in self._stop_words))


class _Stems(dict[str, str]):
    """Stems of words of one language, as they are asked for; of a bounded number."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._language = language

    def __missing__(self, word: str) -> str:
        if len(self) >= _CACHED:
            self.clear()
        found = self[word] = stem(word, self._language)
        return found


@cache
def terms_of(language: str) -> Mapping[str, tuple[str, ...]]:
    """The terms of each word, as it is written, of texts in a language."""
    return _Terms(language)


def _unspaced(word: str) -> Iterator[str]:
    """The terms of a word, or of a whole sentence, that has characters of scripts without spaces."""
    position = 0
    for run in _UNSPACED_RUN.finditer(word):
        if run.start() > position:
            yield word[position : run.start()].lower()
        for text in _THAI_OR_OTHER.findall(run.group()):
            if "\u0e00" <= text[0] <= "\u0e7f":
                yield from _thai_words(text)
            else:
                yield from (text[i : i + 2] for i in range(max(len(text) - 1, 1)))
        position = run.end()
    if position < len(word):
        yield word[position:].lower()


def _thai_words(text: str) -> list[str]:
    # NFKC, and many PDFs, write the vowel am as two characters, which no dictionary does.
    found = _thai_parser().parse(text.replace("\u0e4d\u0e32", "\u0e33"))
    stopped = stop_words("th")
    return [word for word in found if word not in stopped]


@cache
def _thai_parser() -> Any:
    from budoux import Parser, load_default_thai_parser

    # Nothing reads this group of features, but half the sum of all weights is what a cut has to outweigh:
    # less of it sets a verb and its object apart. Held-out nDCG@10 on the Thai set is .203 without, .245 with
    # it (with -4,000 .158; as pairs of characters it was .140).
    return Parser({**load_default_thai_parser().model, "finer": {"": -1_000}})


# ------------------------------------------------------------------------------- words with their places

_SMALL = (
    "zero _ two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS = {name: number for number, name in enumerate(_SMALL.split())} | {
    name: number for number, name in zip(range(20, 100, 10), _TENS.split(), strict=True)
}  # without "one", which is mostly a pronoun
# After digits in any language; number words are read in English only. Not "mil" and "billones", which are
# other numbers elsewhere.
_SCALES = """
1e3 k thousand tausend mila हज़ार | 1e5 lakh लाख | 1e7 crore करोड़
1e6 m mn mio million millions millionen millones milioni milhões मिलियन | 1e12 tn trn trillion trillions
1e9 b bn mrd billion billions milliarde milliarden milliard milliards miliardi bilhões अरब बिलियन
"""
_SCALE = {
    name: int(float(line.split()[0]))
    for line in re.split(r"[|\n]", _SCALES.strip())
    for name in unicodedata.normalize("NFC", line).split()[1:]
}
_FRACTIONS = "¼-¾⅐-⅞"
_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = _MONTH_NAMES.split()
_SHORT_MONTHS = {month[:3]: month for month in _MONTHS if month not in ("may", "march")} | {
    "sept": "september"
}
# These classes hold both cases of a letter; folding their 40,000 characters would take 50 ms of each import.
_LETTER = rf"(?-i:[^\W\d_{_FRACTIONS}{_UNSPACED}]|[{_MARKS}{_INVISIBLE}])"
_FIRST_LETTER = rf"(?:[a-z]|(?-i:[^\W\d_{_FRACTIONS}{_UNSPACED}]))"
_DATE = (
    r"\b(?:[12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.(?:19|20)\d\d)\b"
)
_LINE_BREAK = r"[-\u2010][ \t]*\r?\n[ \t]*"


def _spelled_pattern() -> str:
    """Numbers in English words: "nine", "twenty-five", "two hundred and six thousand"; "one" only in such."""
    small, units = _SMALL.split(), "|".join([*_SMALL.split()[2:10], "one"])
    below_100 = rf"(?:(?:{_TENS.replace(' ', '|')})(?:[-\s](?:{units})\b)?|{'|'.join(small[10:])}|{units})"
    below_1000 = rf"(?:(?:{units})[-\s]hundred(?:[-\s](?:and[-\s])?{below_100}\b)?|{below_100})"
    scaled = rf"[-\s](?:thousand|million|billion)\b(?:,?[-\s](?:and[-\s])?{below_1000}\b)?"
    begins = "(?=on|t[ew]|th[ir]|f[io]|s[ei]|e[il]|ni|ze)"  # so that few words are looked at
    return rf"{begins}(?:{below_1000}\b(?:{scaled})*|zero\b)(?!['’]|{_LINE_BREAK})"


_SPELLED = _spelled_pattern()
_LONG_SCALE = "|".join(sorted((name for name in _SCALE if len(name) > 1), key=len, reverse=True))
_DIGITS = (
    rf"(?=[\d.−{_FRACTIONS}-])(?:(?<![\w.)\]-])[-−])?"
    rf"(?:[{_FRACTIONS}]|(?<![\w.)\]])\.\d+"
    "|\\d+(?:[\u00a0\u2009\u202f]\\d{3}(?!\\d)|[.,]\\d+|['’_]\\d{3}(?!\\d))*"
    rf"(?:(?:[kmb]|bn|tn|trn|mn)\b|[ \u00a0-](?:{_LONG_SCALE})(?![^\W_])|[{_FRACTIONS}]"
    r"|(?<!\d\d)(?<![.,]\d)(?: [1-7])?/[2-8](?![\w/])|(?<=10)\^\d{1,2}\b|e\+?\d{1,2}\b)?)"
)
_ODD = re.compile(
    rf"([-−]?)(?:(?:(\d+) ?)?(?:(\d)/(\d)|([{_FRACTIONS}]))|10\^(\d+)|(\d(?:\.\d+)?e\+?\d+))", re.I
)


def _word_pattern(first: str, letter: str, run: str, flags: re.RegexFlag) -> re.Pattern[str]:
    return re.compile(
        rf"(?=[\w−-]|\.\d|{run})(?:{_SPELLED}"  # what few characters begin, and words, stand first, for speed
        rf"|{first}(?:(?:\+\+|#)(?!\w)"
        rf"|{letter}*+(?:{_LINE_BREAK}(?-i:(?=[^\W\d_A-Z])){letter}++)?(?:['’]{letter}++)?)"
        rf"|(?P<date>{_DATE})|{_DIGITS}"
        rf"|(?P<run>{run}))",
        re.IGNORECASE | flags,
    )


# Compiled when first used: this takes longer than importing the rest of the module.
@cache
def _word(ascii_only: bool) -> re.Pattern[str]:
    if ascii_only:
        return _word_pattern("[a-z]", "[a-z]", "(?!)", re.ASCII)  # the same, in half the time
    return _word_pattern(_FIRST_LETTER, _LETTER, f"(?-i:[{_UNSPACED}]+)", re.UNICODE)


@cache
def _lower_word() -> re.Pattern[str]:
    """The words of a text that `_is_simple`, in lower case: in half the time."""
    rest = r"(?:(?:\+\+|#)(?!\w)|[a-z]*+(?:'[a-z]++)?)"
    # First the letters that begin no number.
    return re.compile(rf"[a-dg-mp-ru-y]{rest}|{_SPELLED}|[a-z]{rest}|{_DIGITS}", re.ASCII)


def _is_simple(text: str) -> bool:
    """Whether a text has ASCII only, no date that is three words, and no word broken at a line's end."""
    return text.isascii() and not any(has(text) for has in _NOT_SIMPLE)


# Each begins with what few characters are, for speed.
_NOT_SIMPLE = (
    _ASCII_HYPHEN.search,
    re.compile(r"-\d\d-\d\d\b").search,
    re.compile(r"\.\d\d?\.\d{4}\b").search,
)
# Signs that printed English has beside ASCII, and signs that cut words as they do: a text with no others is
# read in half the time.
_PRINTED = (("’", "'"), *((sign, '"') for sign in "“”–—…•‘→°"))
_NUMBER_PARTS = re.compile(r"([-−]?)([\d.,]+)(\D*)")
_BROKEN = re.compile(_LINE_BREAK)
_JOINED = re.compile(r"[-\s]")
_LETTERS_ONLY = re.compile(r"[a-z]+")


class Word(NamedTuple):
    """A word in the form in which it is compared, and where it stands in its text."""

    form: str
    start: int
    end: int

    @property
    def is_number(self) -> bool:
        """Whether the word is a number, in digits or spelled out."""
        first = self[0][:1]
        return first.isdecimal() or (first == "-" and self[0][1:2].isdecimal())


def words(text: str, language: str | None = None) -> list[Word]:
    """The words of a text: stems, numbers in one spelling (``128K``: ``128000``), dates as month, day and
    year, scripts without spaces as pairs of characters; a word broken at the end of a line is one.

    Args:
        text: Any text.
        language: ISO 639-1 code; default: what `language_of` tells. Where words of two texts are compared,
            give both the language of the longer one.
    """
    language, plain = language or language_of(text), _plain(text)
    if not _is_simple(plain):
        return _read(_matches(plain), language)
    plain, form, make, end = plain.lower(), _forms_of(language), tuple.__new__, 0
    # What is no word has no letter or digit, so that each is found where it was read.
    return [
        make(Word, (form[word], start := plain.index(word, end), end := start + len(word)))
        for word in _lower_word().findall(plain)
    ]


def forms(text: str, language: str) -> list[str]:
    """The forms of `words`, without their places, in a third of the time."""
    return forms_by_span(text, [(0, len(text))], language)[0]


def forms_by_span(text: str, spans: Sequence[tuple[int, int]], language: str) -> list[list[str]]:
    """The forms of the words that begin in each span of a text, such as its `sentences`."""
    plain = _plain(text)
    if _cuts_no_word(plain, spans):
        form, find = _forms_of(language).__getitem__, _lower_word().findall
        if _is_simple(plain):
            plain = plain.lower()
            return [list(map(form, find(plain, start, end))) for start, end in spans]
        # One sign or broken word in a long text does not make all of it slow to read.
        pieces = [plain[start:end] for start, end in spans]
        return [
            list(map(form, find(piece.lower())))
            if _is_simple(piece)
            else [word.form for word in _read(_matches(piece), language)]
            for piece in pieces
        ]
    found = words(text, language)
    starts = [word.start for word in found]
    bounds = [(bisect_left(starts, start), bisect_left(starts, end)) for start, end in spans]
    return [[word.form for word in found[first:last]] for first, last in bounds]


def _cuts_no_word(plain: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether white space parts the spans, and none ends in a word that is broken at the line's end."""
    return all(
        before[1] < after[0]
        and not (plain[before[1] - 1] in "-\u2010" and _BROKEN.fullmatch(plain, before[1] - 1, after[0]))
        for before, after in pairwise(spans)
    )


_SHORT, _TELLING = 400, 4_000  # characters of a text that tell its language badly, or wholly


def language_of_texts(texts: Sequence[str]) -> str:
    """The language of the longest, or of all where that is short: one sentence alone tells it badly."""
    longest = max(texts, key=len, default="")
    return _language_of((longest if len(longest) > _SHORT else "\n".join(texts))[:_TELLING])


_language_of = lru_cache(maxsize=256)(language_of)


def content_words(text: str, language: str | None = None) -> list[Word]:
    """The words without stop words; see `words`."""
    language = language or language_of(text)
    return _read(_telling_something(text, language), language)


def has_content_words(text: str, language: str, least: int = 1) -> bool:
    """Whether `content_words` would give so many; the rest of the text is not read."""
    return next(islice(_telling_something(text, language), least - 1, None), None) is not None


def _telling_something(text: str, language: str) -> Iterator[re.Match[str]]:
    tells = tells_something(language)
    return (match for match in _matches(text) if tells[match[0]])


class _Tells(dict[str, bool]):
    """Whether words, as they are written, are no stop words; of a bounded number."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._language = language

    def __missing__(self, word: str) -> bool:
        if len(self) >= _CACHED:
            self.clear()
        bare = word.replace("’", "'").removesuffix("'s").removesuffix("'S")
        self[word] = tells = not is_stop_word(bare, self._language)
        return tells


@cache
def tells_something(language: str) -> Mapping[str, bool]:
    """Of each word of `words`, as it is written, whether `content_words` has it."""
    return _Tells(language)


def _matches(text: str) -> Iterator[re.Match[str]]:
    text = _plain(text)
    return _word(text.isascii()).finditer(text)


def _read(matches: Iterable[re.Match[str]], language: str) -> list[Word]:
    found: list[Word] = []
    forms, make = _forms_of(language), tuple.__new__  # of a NamedTuple, in half the time
    for match in matches:
        start, end = match.span()
        if match.lastgroup == "run":
            for at in range(start, max(end - 1, start + 1)):
                found.append(Word(match.string[at : min(at + 2, end)], at, min(at + 2, end)))
        elif match.lastgroup == "date":
            year, month, day = match[0].split("-") if "-" in match[0] else match[0].split(".")[::-1]
            for form in (_MONTHS[int(month) - 1], str(int(day)), year):
                found.append(Word(forms[form], start, end))
        else:
            found.append(make(Word, (forms[match[0]], start, end)))
    return found


class _Forms(dict[str, str]):
    """Words of one language in the form in which they are compared; of a bounded number."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._language = language

    def __missing__(self, word: str) -> str:
        if len(self) >= _CACHED:
            self.clear()
        self[word] = form = self._form(word)
        return form

    def _form(self, word: str) -> str:
        if word.lstrip("-−.")[:1].isnumeric():
            return _number(word)
        form = _BROKEN.sub("", word).lower().replace("’", "'")
        if form in _NUMBER_WORDS or _JOINED.search(form):  # in no other word
            return str(_spelled(form))
        form = form.removesuffix("'s")
        return stem(_SHORT_MONTHS.get(form, form), self._language)


_forms_of = cache(_Forms)


def _spelled(number: str) -> int:
    """The value of a number in words."""
    total = part = 0
    for word in _LETTERS_ONLY.findall(number):
        if word == "hundred":
            part *= 100
        elif word in _SCALE:
            total, part = total + part * _SCALE[word], 0
        else:
            part += _NUMBER_WORDS.get(word, word == "one")
    return total + part


def _number(word: str) -> str:
    """One spelling for a number: without thousands separators and trailing zeros; k, m, b multiplied out.

    A comma before other than three digits is a decimal comma, and so is the last of two kinds of separators.
    """
    if odd := _ODD.fullmatch(word):
        return _odd_number(odd)
    if not word.isascii():
        word = "".join(str(int(sign)) if sign.isdecimal() else sign for sign in word)  # of other scripts
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
    digits = f"0{digits}" if digits[0] == "." else digits
    if not re.fullmatch(r"\d{1,15}(?:\.\d{1,15})?", digits):
        return word.lower()
    whole, _, fraction = digits.partition(".")
    fraction, sign = fraction.rstrip("0"), "-" if sign else ""
    if scale == 1:
        return sign + (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    return f"{sign}{round(float(digits) * scale)}"


def _odd_number(found: re.Match[str]) -> str:
    """One spelling for what stands as ``½``, ``1½``, ``1 1/2``, ``10^6`` or ``1e6``."""
    sign, whole, part, parts, fraction, power, scientific = found.groups()
    if power or scientific:
        value = 10 ** int(power) if power else float(scientific)
    else:
        value = int(whole or 0) + (int(part) / int(parts) if part else unicodedata.numeric(fraction))
    return f"{'-' if sign else ''}{value:.15g}"


# ---------------------------------------------------------------------------------------------- sentences

_SENTENCE_END = re.compile(
    # It begins with what few characters are, for speed. A row of full stops is taken whole and from its
    # beginning only, or it is read once for each of them.
    r"[.!?…。！？।॥\n](?:(?<=[.!?…])(?<![.!?…]{2})[.!?…]*+[\"”’')\]]*+(?=\s)|(?<=[。！？।॥])[。！？।॥]*+[」』）]?"
    r"|(?<=\n)(?:[ \t]*\n|(?=[ \t]*(?:[-*+•|#>]|\d+[.)]\s))))"
)
_NEXT = re.compile(r"\s*[\"'“‘(\[*_`]*(.)", re.DOTALL)
_LAST_WORD = re.compile(r"[\"'“‘(\[]*([^\s\"'“‘(\[]+)\Z")
_LONGEST_ABBREVIATION = 12
_ABBREVIATED = """
al approx art assn ave bzw ca cf co corp dept dr ed eds eg e.g est etc fig figs gen gov hon ie i.e inc jan feb
mar apr jun jul aug sep sept oct nov dec jr lt ltd max min mr mrs ms mt no nos nr op p pp ph.d prof rep rev
sec sen sr st tel u.a u.k u.s u.s.a usw v vol vs z.b
"""
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
_MAX_SENTENCE = 600  # characters; longer ones (tables, code, minified text) are cut at line ends


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence, list item or table row; blank ones are left out.

    Abbreviations, initials, decimals, file names and the numbers of list items end none.
    """
    start = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        if match[0][0] == "." and not _ends_sentence(text, start, match.start(), end):
            continue
        yield from _trimmed(text, start, end)
        start = end
    yield from _trimmed(text, start, len(text))


def _ends_sentence(text: str, start: int, stop: int, end: int) -> bool:
    """Whether the full stop at ``stop`` ends the sentence that began at ``start``."""
    following = _NEXT.match(text, end)
    if following is None:
        return True
    last = _LAST_WORD.search(text, max(start, stop - _LONGEST_ABBREVIATION), stop)
    if last is None or text[stop : stop + 2] == "..":
        return True
    word = last[1]
    if word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper()):
        return False
    if len(word) == 1 and word.isalpha() and text.startswith(".", following.end()):  # "z. B."
        return False
    is_item = word.isdigit() and len(word) <= 2 and last.start() <= start + 12
    is_item = is_item and not text[start : last.start()].strip()
    return not is_item and not following[1].islower()


def _trimmed(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The span without white space around it, in pieces of at most _MAX_SENTENCE characters."""
    found = []
    while start < end:
        cut = end
        if end - start > _MAX_SENTENCE:
            cut = text.rfind("\n", start + 1, start + _MAX_SENTENCE)
            if cut < 0:
                cut = text.rfind(" ", start + 1, start + _MAX_SENTENCE)
            if cut < 0:
                cut = start + _MAX_SENTENCE
        piece = text[start:cut].lstrip()
        if piece:
            first = cut - len(piece)
            found.append((first, first + len(piece.rstrip())))
        start = cut
    return found
