"""Text to index terms: one analyser for BM25 and LSA, for prose and source code alike."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llama_bedrock._extras import require

if TYPE_CHECKING:
    from langchain_core.documents import Document

ANALYZER_VERSION = 1
"""Saved with every index: terms of another version do not match."""

_WORD = re.compile(r"\w+")
# Parts of an identifier: HTTPServer → HTTP, Server; getUserName → get, User, Name; utf8 → utf, 8.
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\dA-Za-z_]+")
# Scripts written without spaces between words (Thai, Lao, Burmese, Khmer, Chinese, Japanese): pairs of
# characters stand in for words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")

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
    and a question in plain words find it. Stemming is Snowball's for English; words of other languages pass
    through it mostly unchanged.
    """
    found: list[str] = []
    for word in _WORD.findall(text):
        found.extend(_terms_of(word))
    return found


@lru_cache(maxsize=1 << 17)
def _terms_of(word: str) -> tuple[str, ...]:
    stemmer: Any = getattr(_local, "stemmer", None)
    if stemmer is None:
        stemmer = _local.stemmer = require("Stemmer", "local").Stemmer("english")
    return tuple(stemmer.stemWords(_words_of(word)))


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
    the metadata alone, nDCG@10 of hybrid retrieval on Cranfield is .364, with them in front .410
    (``benchmarks/retrieval_quality.py``).
    """
    named = [value for key in ("title", "heading") if isinstance(value := metadata.get(key), str) and value]
    if len(named) == 2 and named[1].startswith(named[0]):
        del named[0]
    if len(named) == 1 and text.startswith(named[0]):
        del named[0]
    return "\n".join([*named, text])
