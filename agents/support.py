"""Is a statement backed by a document, and by which passage of it? Words are compared, no model is asked.

A statement is backed when its quotations and numbers are in the document and a passage of up to three
sentences holds at least half of its content words, where headings and titles count as said. That finds
invented facts, wrong numbers and wrong documents; it does not weigh meaning, so a reordered sentence can
pass.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from langchain_core.documents import Document

from llama_bedrock.agents._text import Word, content_words, sentences, words

SUPPORTED = 0.5  # share of the weighted content words
_SUPPORTED_JOINTLY = 0.25  # for one of several documents that back a statement together
_NUMBER_WEIGHT = 2.0
_MAX_WINDOW = 3  # sentences
_QUOTATION = re.compile(r"[“\"«]([^“”\"«»\n]{12,400})[”\"»]")
_CONTEXT_KEYS = ("title", "heading", "source")


@dataclass(frozen=True, slots=True)
class Support:
    """What was found: the passage (a span of the document's text; None when nothing fits) and the verdict."""

    span: tuple[int, int] | None
    score: float
    supported: bool


class DocumentIndex:
    """A document, made searchable when first asked."""

    def __init__(self, document: Document) -> None:
        """Make the index.

        Args:
            document: The document as the model saw it.
        """
        self.document = document
        self.text = document.page_content

    @cached_property
    def context(self) -> frozenset[str]:
        """Words of the title, the headings and the source's name, which count as said in every sentence."""
        metadata = self.document.metadata
        return frozenset(w.form for key in _CONTEXT_KEYS for w in content_words(str(metadata.get(key) or "")))

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Every number in the document, its title and headings."""
        return frozenset(w.form for w in self._words if w.is_number) | self.context

    def find(self, wanted: Sequence[Word]) -> tuple[int, int] | None:
        """Span of the first place with exactly these words in this order, whatever stands between them."""
        if not wanted:
            return None
        at = self._joined.find(" " + " ".join(word.form for word in wanted) + " ")
        if at < 0:
            return None
        first = bisect_right(self._joined_starts, at) - 1
        return self._words[first].start, self._words[first + len(wanted) - 1].end

    def whole_sentence(self, span: tuple[int, int]) -> tuple[int, int]:
        """The sentences that hold a span, so that a quote can be read by itself."""
        holding = [s for s in self._sentences if s[0] < span[1] and s[1] > span[0]]
        return min(holding[0][0], span[0]), max(holding[-1][1], span[1])

    def best_window(self, weights: dict[str, float]) -> tuple[tuple[int, int] | None, float, int]:
        """Span, found weight and number of found words of the best run of up to three sentences."""
        hits: dict[int, set[str]] = defaultdict(set)
        for form in weights:
            for sentence in self._sentences_with.get(form, ()):
                hits[sentence].add(form)
        best: tuple[float, int, int, int] | None = None
        for first in hits:
            found: set[str] = set()
            for last in range(first, min(first + _MAX_WINDOW, len(self._sentences))):
                if last not in hits:
                    continue
                found |= hits[last]
                weight = sum(weights[form] for form in found) * (1 - 0.04 * (last - first))
                key = (weight, -first, last, len(found))
                if best is None or key > best:
                    best = key
        if best is None:
            return None, 0.0, 0
        _, first, last, count = best[0], -best[1], best[2], best[3]
        span = self._sentences[first][0], self._sentences[last][1]
        found = set().union(*(hits[i] for i in range(first, last + 1) if i in hits))
        return span, sum(weights[form] for form in found), count

    @cached_property
    def _words(self) -> list[Word]:
        return words(self.text)

    @cached_property
    def _joined(self) -> str:
        return " " + " ".join(word.form for word in self._words) + " "

    @cached_property
    def _joined_starts(self) -> list[int]:
        return list(accumulate((len(word.form) + 1 for word in self._words), initial=0))

    @cached_property
    def _sentences(self) -> list[tuple[int, int]]:
        return list(sentences(self.text))

    @cached_property
    def _sentences_with(self) -> dict[str, list[int]]:
        where: dict[str, list[int]] = defaultdict(list)
        starts = [start for start, _ in self._sentences]
        for word in self._words:
            sentence = bisect_right(starts, word.start) - 1
            if sentence >= 0 and (not where[word.form] or where[word.form][-1] != sentence):
                where[word.form].append(sentence)
        return dict(where)


def find_support(
    statement: str, index: DocumentIndex, together_with: Iterable[DocumentIndex] = ()
) -> Support:
    """Look for the passage of a document that backs a statement.

    Args:
        statement: The statement, without marks.
        index: The document that is cited.
        together_with: Other documents cited for the same statement; a number may be in any of them, and each
            has to back only a part.
    """
    others = list(together_with)
    exact = index.find(words(statement))
    if exact:
        return Support(index.whole_sentence(exact), 1.0, True)
    quoted: tuple[int, int] | None = None
    for match in _QUOTATION.finditer(statement):
        place = index.find(words(match[1]))
        if place:
            quoted = quoted or place
        elif not any(other.find(words(match[1])) for other in others):
            return Support(None, 0.0, False)  # a quotation that nobody wrote
    if quoted:
        return Support(quoted, 1.0, True)
    said = content_words(statement)
    weights = {word.form: _NUMBER_WEIGHT if word.is_number else 1.0 for word in said}
    if not weights:
        return Support(None, 0.0, False)
    span, found, count = index.best_window(weights)
    in_context = sum(w for f, w in weights.items() if f in index.context and not _in(index, span, f))
    score = min(1.0, (found + in_context) / sum(weights.values()))
    enough = score >= (_SUPPORTED_JOINTLY if others else SUPPORTED) and count >= min(2, len(weights))
    known = index.numbers.union(*(other.numbers for other in others))
    invented = any(word.is_number and word.form not in known for word in said)
    if span is None or not enough or invented:
        return Support(None, score if not invented else 0.0, False)
    return Support(span, score, True)


def _in(index: DocumentIndex, span: tuple[int, int] | None, form: str) -> bool:
    return span is not None and any(word.form == form for word in words(index.text[span[0] : span[1]]))
