"""Which retrieved documents go into the prompt, in which order, and why the others do not; no I/O.

Best first until the token budget is used. Copies and near-copies of a document already taken are left out, so
that ten versions of one page do not crowd out the rest. A document that alone is too long is cut to the part
that fits the question best. In the prompt the best documents stand at both ends, because models read the
middle of a long context least well (Liu et al. 2023, "Lost in the Middle", https://arxiv.org/abs/2307.03172).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from langchain_core.documents import Document

from llama_bedrock.grounding.answers import document_id, document_location, positive_int
from llama_bedrock.prompts.passages import Passage, boundary_for
from llama_bedrock.text import content_words, language_of, sentences, words

_PASSAGE_OVERHEAD = 40  # tokens of the two tags, with a source of usual length
_SMALLEST = 24  # tokens; nothing useful fits into less
_MAX_MISSES = 50  # documents in a row that do not fit, after which smaller ones are not looked for any more
_BETWEEN = re.compile(r"[.,;:!?…]*(?:\s+|\Z)")
_ANY_WORD = re.compile(r"\w+(?:[.,]\d+)*")
_NEAR = 0.9  # share of a document's runs of three words that another one holds


@dataclass(frozen=True, slots=True)
class Packed:
    """The chosen documents.

    Attributes:
        documents: What the model sees, best first; number ``n`` is ``documents[n - 1]``.
        left_out: The others, each with ``metadata["left_out"]``, the reason.
        passages: The chosen documents as passages, in the order of the prompt.
        boundary: Delimiter of the passages, see :func:`boundary_for`.
        tokens: What the passages cost, as estimated.
    """

    documents: tuple[Document, ...]
    left_out: tuple[Document, ...]
    passages: tuple[Passage, ...]
    boundary: str
    tokens: int = 0


def pack(
    documents: Iterable[Document],
    *,
    question: str,
    budget: int,
    count_tokens: Callable[[str], int],
    max_per_document: int | None = None,
    min_score: float | None = None,
    numbers: Sequence[int] | None = None,
) -> Packed:
    """Choose documents for a prompt.

    Args:
        documents: Retrieved documents, best first.
        question: What they are to answer; a document that is too long is cut to the part nearest to it.
        budget: Tokens for all passages together.
        count_tokens: Estimates the tokens of a text.
        max_per_document: Most passages of one source document; None for no limit.
        min_score: Documents whose ``metadata["score"]`` is below it are left out; those without a score stay.
        numbers: Numbers to give, best first, at least as many as documents; None for 1, 2, 3 …
    """
    choice = _Choice(budget, count_tokens, question)
    for document in documents:
        choice.offer(document, max_per_document, min_score)
    kept = tuple(
        _with(document, also_in=others) if others else document
        for document, others in zip(choice.kept, choice.also_in, strict=True)
    )
    names = list(numbers) if numbers is not None else list(range(1, len(kept) + 1))
    passages = [as_passage(number, document) for number, document in zip(names, kept, strict=False)]
    return Packed(
        kept,
        tuple(choice.left_out),
        tuple(_best_at_the_edges(passages)),
        boundary_for(passages),
        choice.tokens,
    )


def most_passages(budget: int) -> int:
    """The largest number of passages that :func:`pack` puts into a budget."""
    return budget // _PASSAGE_OVERHEAD + 1


def as_passage(number: int, document: Document) -> Passage:
    """A document as a numbered passage, with its location and its heading or title."""
    title = document.metadata.get("heading") or document.metadata.get("title")
    return Passage(number, document.page_content, document_location(document), str(title) if title else None)


class _Choice:
    """The documents taken so far."""

    def __init__(self, budget: int, count_tokens: Callable[[str], int], question: str) -> None:
        self.kept: list[Document] = []
        self.also_in: list[list[str]] = []
        self.left_out: list[Document] = []
        self._budget = self._left = budget
        self._count = count_tokens
        self._question = question
        self._per_document: Counter[str] = Counter()
        self._exact: dict[str, int] = {}
        self._said: list[frozenset[str]] = []
        self._runs: list[frozenset[tuple[str, str, str]]] = []
        self._said_in: dict[str, list[int]] = defaultdict(list)
        self._misses = 0

    @property
    def tokens(self) -> int:
        """What the documents taken cost."""
        return self._budget - self._left

    def offer(self, document: Document, max_per_document: int | None, min_score: float | None) -> None:
        """Take a document, or leave it out and say why."""
        score = document.metadata.get("score")
        if not document.page_content.strip():
            self._leave(document, "it is empty")
        elif min_score is not None and isinstance(score, (int, float)) and score < min_score:
            self._leave(document, f"its score {score:.3g} is below {min_score:g}")
        elif max_per_document is not None and self._per_document[_origin(document)] >= max_per_document:
            self._leave(document, f"there are {max_per_document} passages of its document already")
        elif self._left < _SMALLEST + _PASSAGE_OVERHEAD or self._misses >= _MAX_MISSES:
            self._leave(document, "the token budget is used up")
        else:
            self._offer_new(document)

    def _offer_new(self, document: Document) -> None:
        key, said, runs = _read(document.page_content)
        twin = self._twin(key, said, runs)
        if twin is not None:
            copy = self.kept[twin].page_content.split() == document.page_content.split()
            self._leave(document, f"it {'repeats' if copy else 'is nearly the same as'} passage {twin + 1}")
            location = document_location(document)
            if location not in (document_location(self.kept[twin]), *self.also_in[twin]):
                self.also_in[twin].append(location)
            return
        fitted = self._fit(document)
        if fitted is None:
            self._misses += 1
            self._leave(document, "it does not fit into what is left of the token budget")
            return
        self._misses = 0
        self._take(*fitted)
        self._exact.setdefault(key, len(self._said))
        for form in said:
            self._said_in[form].append(len(self._said))
        self._said.append(said)
        self._runs.append(runs)

    def _fit(self, document: Document) -> tuple[Document, int] | None:
        """The document, or the best part of one that is too long for any prompt, and its cost in tokens."""
        cost = self._count(document.page_content) + _PASSAGE_OVERHEAD
        if cost <= self._left:
            return document, cost
        room = self._left // 2 if self._left == self._budget else self._left
        if cost <= self._budget // 2 or room < 4 * _PASSAGE_OVERHEAD:
            return None
        part = excerpt(document, self._question, room - _PASSAGE_OVERHEAD, self._count)
        return part, self._count(part.page_content) + _PASSAGE_OVERHEAD

    def _take(self, document: Document, cost: int) -> None:
        self.kept.append(document)
        self.also_in.append([])
        self._left -= cost
        self._per_document[_origin(document)] += 1

    def _twin(self, key: str, said: frozenset[str], runs: frozenset[tuple[str, str, str]]) -> int | None:
        """Index of a document already taken that says the same, in the same words and with the same
        numbers.
        """
        exact = self._exact.get(key)
        if exact is not None:
            return exact
        # Too short to be judged by its words; or one of them is in no other.
        if len(runs) < 8 or not said <= self._said_in.keys():
            return None
        rarest = min(said, key=lambda form: len(self._said_in.get(form, ())))
        for index in self._said_in.get(rarest, ()):
            if said <= self._said[index] and len(runs & self._runs[index]) >= _NEAR * len(runs):
                return index
        return None

    def _leave(self, document: Document, reason: str) -> None:
        self.left_out.append(_with(document, left_out=reason))


def excerpt(document: Document, question: str, budget: int, count_tokens: Callable[[str], int]) -> Document:
    """The run of sentences of a document that fits the question best, within a number of tokens.

    Best is the run with most of the question's words, rare ones counting more, and among equals the one that
    repeats them most. Metadata that tell a place (``start_index``, ``end_index``, ``line``) are moved along,
    and ``excerpt`` is set.
    """
    text = document.page_content
    language = language_of(text)
    wanted = {word.form for word in content_words(question, language)}
    spans = list(sentences(text))
    found = [{w.form for w in words(text[start:end], language)} & wanted for start, end in spans]
    costs = [count_tokens(text[start:end]) + 1 for start, end in spans]
    best = _best_run(found, costs, budget)
    start, end = (spans[best[0]][0], spans[best[1]][1]) if best else (0, budget * 2)
    end = min(end, len(text))
    while count_tokens(text[start:end]) > budget and end - start > 1:
        end = start + (end - start) * 9 // 10
    return _moved(document, start, end)


def _best_run(found: Sequence[set[str]], costs: Sequence[int], budget: int) -> tuple[int, int] | None:
    """First and last sentence of the best run within the budget; None when not even one sentence fits."""
    frequency = Counter(form for forms in found for form in forms)
    weights = {form: math.log(1 + len(found) / count) for form, count in frequency.items()}
    inside: Counter[str] = Counter()
    best: tuple[float, int, int, int] | None = None
    first = cost = repeated = 0
    for last, forms in enumerate(found):
        cost += costs[last]
        repeated += len(forms)
        inside.update(forms)
        while cost > budget and first <= last:
            cost -= costs[first]
            repeated -= len(found[first])
            inside.subtract(found[first])
            first += 1
        if first <= last:
            covered = sum(weight for form, weight in weights.items() if inside[form] > 0)
            run = (round(covered, 6), repeated, -first, last)
            best = run if best is None else max(best, run)
    return (-best[2], best[3]) if best else None


def _moved(document: Document, start: int, end: int) -> Document:
    text, metadata = document.page_content, document.metadata
    changes: dict[str, object] = {"excerpt": True}
    first, line = metadata.get("start_index"), positive_int(metadata.get("line"))
    base = first if isinstance(first, int) else 0
    changes |= {"start_index": base + start, "end_index": base + end}
    if line is not None:
        changes["line"] = line + text.count("\n", 0, start)
    return document.model_copy(
        update={"page_content": text[start:end], "metadata": {**metadata, **changes}},
    )


@lru_cache(maxsize=256)  # a retriever finds the same passages again and again
def _read(text: str) -> tuple[str, frozenset[str], frozenset[tuple[str, str, str]]]:
    """A text but for capitals, white space and the punctuation behind words, which change no meaning; its
    words; and every three of them that follow one another.
    """
    forms = _ANY_WORD.findall(text.lower())
    key = _BETWEEN.sub(" ", text.casefold()).strip()
    return key, frozenset(forms), frozenset(zip(forms, forms[1:], forms[2:], strict=False))


def _origin(document: Document) -> str:
    """The source document of a passage; a passage's own id says nothing about it."""
    metadata = document.metadata
    return str(metadata.get("document_id") or metadata.get("source") or document_id(document))


def _with(document: Document, **metadata: object) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, **metadata}})


def _best_at_the_edges(passages: Sequence[Passage]) -> list[Passage]:
    """First, third, fifth … then … sixth, fourth, second: the best two stand at the two ends."""
    return [*passages[::2], *reversed(passages[1::2])]
