"""Text to index terms: one analyser for BM25 and LSA, for prose and source code alike."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llama_bedrock._extras import require

if TYPE_CHECKING:
    from langchain_core.documents import Document

ANALYZER_VERSION = 2
"""Saved with every index: terms of another version do not match."""

# Vowel signs and accents that stand beside their letter, which `\w` leaves out: of the Latin, Cyrillic,
# Hebrew, Arabic, Indic and South-East Asian scripts.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0eff"
    "\u0f18-\u0f84\u1000-\u109f\u1780-\u17d3"
)
_WORD = re.compile(r"\w+")
_MARKED_WORD = re.compile(rf"[\w{_MARKS}]+")
# Parts of an identifier: HTTPServer → HTTP, Server; getUserName → get, User, Name; utf8 → utf, 8.
_PART = re.compile(rf"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|(?:[^\W\dA-Za-z_]|[{_MARKS}])+")
# Scripts written without spaces between words (Thai, Lao, Burmese, Khmer, Chinese, Japanese), or with
# particles joined to them (Korean): pairs of characters stand in for words.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]+"
)
_LATIN_ACCENTS = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f]+")
_POINTS = re.compile(r"[\u0591-\u05c7\u064b-\u065f\u0670]")  # vowels that Hebrew and Arabic may leave out
_LETTERS = str.maketrans({
    "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d",
    "Đ": "D", "ı": "i",
})  # fmt: skip
# Snowball's stemmers for the scripts that tell the language, or nearly; all others are stemmed as English.
_STEMMERS = (
    (re.compile(r"[\u0400-\u04ff]"), "russian"),
    (re.compile(r"[\u0370-\u03ff]"), "greek"),
    (re.compile(r"[\u0600-\u06ff]"), "arabic"),
    (re.compile(r"[\u0900-\u097f]"), "hindi"),
    (re.compile(r"[\u0b80-\u0bff]"), "tamil"),
)

STOP_WORDS = frozenset({
    "a", "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at",
    "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can", "could",
    "did", "do", "does", "doing", "down", "during", "each", "few", "for", "from", "further", "had", "has",
    "have", "having", "he", "her", "here", "hers", "herself", "him", "himself", "his", "how", "i", "if",
    "in", "into", "is", "it", "its", "itself", "just", "me", "more", "most", "my", "myself", "no", "nor",
    "not", "now", "of", "off", "on", "once", "only", "or", "other", "our", "ours", "ourselves", "out",
    "over", "own", "same", "she", "should", "so", "some", "such", "than", "that", "the", "their",
    "theirs", "them", "themselves", "then", "there", "these", "they", "this", "those", "through", "to",
    "too", "under", "until", "up", "very", "was", "we", "were", "what", "when", "where", "which", "while",
    "who", "whom", "why", "will", "with", "would", "you", "your", "yours", "yourself", "yourselves",
})  # fmt: skip

_local = threading.local()  # a PyStemmer object is not thread-safe


def terms(text: str) -> list[str]:
    """The index terms of a text: stemmed lower-case words without stop words, in their order.

    An identifier (``getUserName``, ``max_tokens``) gives itself and its parts, so that both the exact name
    and a question in plain words find it. Accents, ligatures and full-width letters are folded (``é`` to
    ``e``, ``ﬁ`` to ``fi``). Chinese, Japanese, Korean and Thai are cut into pairs of characters. Stemming is
    Snowball's: Russian, Greek, Arabic, Hindi and Tamil by their scripts, else English, which words of other
    languages pass through mostly unchanged.
    """
    found: list[str] = []
    for word in (_WORD if text.isascii() else _MARKED_WORD).findall(text):
        found.extend(_terms_of(word))
    return found


def is_lone_character(term: str) -> bool:
    """True for one character of a script that is cut into pairs: in longer words, only pairs hold it."""
    return len(term) == 1 and _UNSPACED.match(term) is not None


@lru_cache(maxsize=1 << 17)
def _terms_of(word: str) -> tuple[str, ...]:
    if word.isascii():
        return tuple(_stemmer("english").stemWords(_words_of(word)))
    return tuple(_stemmer(_language(part)).stemWord(part) for part in _words_of(_folded(word)))


def _stemmer(language: str) -> Any:
    stemmer: Any = getattr(_local, language, None)
    if stemmer is None:
        stemmer = require("Stemmer", "local").Stemmer(language)
        setattr(_local, language, stemmer)
    return stemmer


def _language(word: str) -> str:
    return next((language for script, language in _STEMMERS if script.match(word)), "english")


def _folded(word: str) -> str:
    """The word in the one form that all its spellings share."""
    plain = _LATIN_ACCENTS.sub("", unicodedata.normalize("NFKD", word))
    return _POINTS.sub("", unicodedata.normalize("NFC", plain).translate(_LETTERS))


def _words_of(word: str) -> tuple[str, ...]:
    if _UNSPACED.search(word):
        return tuple(_pairs(word))
    whole = word.lower()
    if whole in STOP_WORDS:
        return ()
    if word.isalpha() and (word.islower() or word.isupper() or word.istitle()):
        return (whole,)
    parts = [part.lower() for part in _PART.findall(word)]
    whole = whole.strip("_")
    if len(parts) < 2:
        return (whole,) if whole else ()
    return (whole, *(part for part in parts if part not in STOP_WORDS))


def _pairs(word: str) -> Iterator[str]:
    position = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > position:
            yield word[position : run.start()].lower()
        text = run.group()
        yield from (text[i : i + 2] for i in range(max(len(text) - 1, 1)))
        position = run.end()
    if position < len(word):
        yield word[position:].lower()


def searchable_text(document: Document) -> str:
    """What a document is found by; see `with_context`."""
    return with_context(document.page_content, document.metadata)


def with_context(text: str, metadata: Mapping[str, Any]) -> str:
    """A text with its title and heading path, where the metadata have them, in front.

    A chunk from the middle of a section often does not name what it is about; its headings do. With titles in
    the metadata alone, nDCG@10 of hybrid retrieval on Cranfield is .357, with them in front .404
    (``benchmarks/retrieval_quality.py``).
    """
    named = [value for key in ("title", "heading") if isinstance(value := metadata.get(key), str) and value]
    if len(named) == 2 and named[1].startswith(named[0]):
        del named[0]
    if len(named) == 1 and text.startswith(named[0]):
        del named[0]
    return "\n".join([*named, text])
