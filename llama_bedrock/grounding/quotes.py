"""Finds the place of a passage that says what a statement says, and what of the statement stands there."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from threading import Lock

from langchain_core.documents import Document

from llama_bedrock.grounding.quantities import Quantities, quantities
from llama_bedrock.text import language_of, sentences, stop_words, words

_COPIED = 0.8  # more of a statement's words than this, one sentence has in the same order, in runs of two
_SKIPPED = 8  # words of that sentence between the runs
_NEIGHBOURS = 3  # sentences that make a quote
_LEAST_QUOTED = 0.25  # share of the content words below which nothing is quoted
_KEPT = 2_000_000  # characters of passages that stay read
_SHORT, _TELLING = 400, 4_000  # characters of a text that tell its language badly, or wholly
_CODE = re.compile(r"`+([^`\n]+)`+")
_IDENTIFIER = re.compile(
    r"(?<![\w-])--[a-z][\w-]{1,80}|\b[A-Za-z][A-Za-z0-9]{0,80}_\w{1,80}|\b[a-z]{1,80}[A-Z]\w{0,80}"
    r"|\b\w{1,80}\(\)|https?://[^\s)\]>]+"
)
_QUOTATION = re.compile(r"[“\"«]([^“”\"«»\n]{12,400})[”\"»]")
_ENUMERATOR = re.compile(r"^\s*(?:[-*+•]|\(?\d{1,3}[.)])\s+")
# What speaks of the passage and not of its subject: "According to the document, …", "The page says that …".
_ATTRIBUTION = re.compile(
    r"^(?:according to (?:the |this |these )?(?:\w{1,20} )?\w{1,20},? "
    r"|(?:(?:the|this) )?(?:passage|document|source|page|text|context)?s? ?"
    r"(?:says?|states?|mentions?),? (?:that )?)",
    re.IGNORECASE,
)
# One such word turns a copied sentence into its opposite. Nothing else is concluded from them.
_DENIES = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|without|cannot|nor|neither|\w{2,12}n['’]t|nicht|kein\w{0,2}|nie(?:mals)?"
    r"|ohne|pas|jamais|sans|aucune?|nunca|sin|tampoco|non|mai|senza|não|nem|sem)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """What one passage holds of a statement.

    Attributes:
        span: The sentences that hold most of it; None where too little stands there.
        share: Share of the statement's content words in that place.
        near: Its content words in that place, by form.
        anywhere: Its content words in the whole passage.
        missing: Numbers and code of it that stand nowhere in the passage, as written.
        unnamed: Names and quotations of it that stand nowhere in the passage, as written.
        whole: It stands there word for word.
        follows: One sentence says all of it in nearly the same words.
        denied: The passage denies what the statement says, or the other way round.
    """

    span: tuple[int, int] | None = None
    share: float = 0.0
    near: frozenset[str] = frozenset()
    anywhere: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()
    whole: bool = False
    follows: bool = False
    denied: bool = False


class Statement:
    """A statement, read once for all the passages it is looked for in.

    Args:
        text: The statement.
        lead: The sentence before it, or the line above its list.
        language: Of the passages, so that words are stemmed alike.
    """

    def __init__(self, text: str, lead: str = "", language: str = "en") -> None:
        text = _ATTRIBUTION.sub("", _ENUMERATOR.sub("", text.strip(), count=1))
        found = words(text, language)
        self.forms = [word.form for word in found]
        stopped = stop_words(language)
        content = [
            word
            for word in found
            if not word.is_number
            and text[word.start : word.end].lower().replace("’", "'").removesuffix("'s") not in stopped
        ]
        self.content = frozenset(word.form for word in content)
        # Spelled out numbers are left out: "two ways" is the claim's own count.
        self.numbers = [q for q in quantities(text, found) if not q.written.isalpha()]
        self.units = self.content | {number.readings[0] for number in self.numbers}
        begins = {start for start, _ in sentences(text)}
        self.names = {
            word.form: text[word.start : word.end]
            for word in content
            if text[word.start].isupper() and word.start not in begins
        }
        self.code = [match[1].strip() for match in _CODE.finditer(text)]
        self.code += [match[0].rstrip(".,;:") for match in _IDENTIFIER.finditer(_CODE.sub(" ", text))]
        self.quotations = {
            quoted[1]: [word.form for word in words(quoted[1], language)]
            for quoted in _QUOTATION.finditer(text)
        }
        self.denies = bool(_DENIES.search(text) or (lead.endswith(":") and _DENIES.search(lead)))


class ReadPassage:
    """A document, read once for all the statements that are looked for in it.

    Args:
        text: The text.
        context: Title, heading and source, which count as said in every sentence.
        language: ISO 639-1 code, by which words are stemmed.
    """

    def __init__(self, text: str, context: str = "", language: str = "en") -> None:
        self.text = text
        self._words = words(text, language)
        self._forms = [word.form for word in self._words]
        self.sentences = list(sentences(text))
        starts = [word.start for word in self._words]
        self._bounds = [(bisect_left(starts, a), bisect_left(starts, b)) for a, b in self.sentences]
        self._by_sentence = [frozenset(self._forms[first:last]) for first, last in self._bounds]
        said = words(context, language)
        self._context = frozenset(word.form for word in said)
        self._all = self._context.union(self._forms)
        self._numbers_of_context = quantities(context, said)

    @cached_property
    def _numbers(self) -> Quantities:
        return Quantities([*quantities(self.text, self._words), *self._numbers_of_context])

    @cached_property
    def _joined(self) -> tuple[str, list[int]]:
        """All forms in a row, and where each begins."""
        starts = list(accumulate((len(form) + 1 for form in self._forms), initial=0))
        return " " + " ".join(self._forms) + " ", starts

    @cached_property
    def _squeezed(self) -> str:
        return _squeezed(self.text)

    def find(self, wanted: Sequence[str]) -> tuple[int, int] | None:
        """Span of the first place with exactly these words in this order, whatever stands between them."""
        joined, starts = self._joined
        at = joined.find(" " + " ".join(wanted) + " ") if wanted else -1
        if at < 0:
            return None
        first = bisect_right(starts, at) - 1
        return self._words[first].start, self._words[first + len(wanted) - 1].end

    def look_for(self, statement: Statement) -> Found:
        """What this passage holds of a statement, and where."""
        if not self.sentences or not statement.forms:
            return Found()
        content = statement.content
        missing = {n.written for n in statement.numbers if not self._numbers.hold(n)}
        exact = self.find(statement.forms) if content and not missing else None
        missing |= {c for c in statement.code if _squeezed(c).removesuffix("()") not in self._squeezed}
        unnamed = {name for form, name in statement.names.items() if form not in self._all}
        unnamed |= {quoted for quoted, said in statement.quotations.items() if self.find(said) is None}
        lacks = frozenset(missing), frozenset(unnamed)
        if exact is not None:
            quoted = self._sentences_of(exact)
            before = re.split(
                r"[,;:.!?–—()]|\b(?:but|while|aber|mais|pero|ma|mas)\b", self.text[quoted[0] : exact[0]]
            )
            denied = _DENIES.search(before[-1]) is not None
            return Found(quoted, 1.0, content, content, *lacks, whole=True, denied=denied)
        place, near = self._best_place(statement.units)
        span = (self.sentences[place[0]][0], self.sentences[place[1]][1]) if place else None
        share = len(near & content) / len(content) if content else 0.0
        return Found(
            span if share >= _LEAST_QUOTED else None,
            share,
            near & content,
            self._all & content,
            *lacks,
            follows=place is not None and near >= statement.units and self._follows(statement.forms, place),
            denied=span is not None and self._denies(span) != statement.denies,
        )

    def _sentences_of(self, span: tuple[int, int]) -> tuple[int, int]:
        """The sentences that hold a span, so that a quote can be read by itself."""
        first = max(0, bisect_right(self.sentences, (span[0], len(self.text) + 1)) - 1)
        last = max(first, bisect_right(self.sentences, (span[1] - 1, len(self.text) + 1)) - 1)
        return min(span[0], self.sentences[first][0]), max(span[1], self.sentences[last][1])

    def _best_place(self, units: frozenset[str]) -> tuple[tuple[int, int] | None, frozenset[str]]:
        """Numbers of the fewest neighbouring sentences that hold most of a statement, and what they hold."""
        held = [units & forms for forms in self._by_sentence]
        best, most, near = None, 0, frozenset[str]()
        for length in range(1, _NEIGHBOURS + 1):
            for first in range(len(held) - length + 1):
                if not held[first]:
                    continue
                found = held[first].union(*held[first + 1 : first + length])
                if len(found) > most:
                    best, most, near = (first, first + length - 1), len(found), found
        return best, near | (self._context & units)

    def _follows(self, wanted: Sequence[str], place: tuple[int, int]) -> bool:
        """Whether one sentence says it in the same order, in runs of two words or more with few between."""
        first, last = self._bounds[place[0]]
        if place[0] != place[1] or len(wanted) > 2 * (last - first):
            return False  # so that this is never done for two long texts
        blocks = SequenceMatcher(None, wanted, self._forms[first:last], autojunk=False).get_matching_blocks()
        runs = [block for block in blocks if block.size > 1]
        skipped = sum(after.b - before.b - before.size for before, after in pairwise(runs))
        return skipped <= _SKIPPED and sum(run.size for run in runs) > _COPIED * len(wanted)

    def _denies(self, span: tuple[int, int]) -> bool:
        """Whether a place denies something; an item of a list, together with the line that leads the list."""
        text, lead = self.text[slice(*span)], ""
        if _ENUMERATOR.match(text):
            before = self.text[max(0, span[0] - 2_000) : span[0]].split("\n")
            lead = next((line for line in reversed(before) if line.rstrip().endswith(":")), "")
        return _DENIES.search(f"{lead}\n{text}") is not None


class _Shelf:
    """The passages that were read last, so that each is read once for an answer and its follow-ups."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, str], ReadPassage] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def get(self, text: str, context: str, language: str) -> ReadPassage:
        key = text, context, language
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return known
        passage = ReadPassage(text, context, language)
        with self._lock:
            if key not in self._kept and len(text) <= _KEPT:
                self._kept[key] = passage
                self._size += len(text)
            while self._size > _KEPT:
                self._size -= len(self._kept.popitem(last=False)[0][0])
        return passage


_shelf = _Shelf()


def read(claim: str, lead: str, documents: Sequence[Document]) -> tuple[Statement, list[ReadPassage]]:
    """A statement and the documents it cites, made ready for the search."""
    language = language_of_texts([claim, lead, *(document.page_content for document in documents)])
    passages = []
    for document in documents:
        metadata = document.metadata
        context = " | ".join(str(metadata.get(key) or "") for key in ("title", "heading", "source"))
        passages.append(_shelf.get(document.page_content, context, language))
    return Statement(claim, lead, language), passages


def language_of_texts(texts: Sequence[str]) -> str:
    """The language of the longest, or of all where that is short: one sentence alone tells it badly."""
    longest = max(texts, key=len, default="")
    return _language_of((longest if len(longest) > _SHORT else "\n".join(texts))[:_TELLING])


_language_of = lru_cache(maxsize=256)(language_of)


def overlap(statement: str, document: Document) -> float:
    """Share of a statement's content words in the three neighbouring sentences that hold most of them."""
    wanted, (passage,) = read(statement, "", [document])
    return passage.look_for(wanted).share


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text).replace('"', "'").casefold()
