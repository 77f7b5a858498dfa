"""Finds the place of a passage that says what a statement says, and what of the statement stands there."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, pairwise
from threading import Lock

from langchain_core.documents import Document

from llama_bedrock.grounding.quantities import Quantities, quantities
from llama_bedrock.text import Word, language_of, sentences, stop_words, words

_COPIED = 0.8  # share of a statement's words that one sentence has in the same order, in runs of two or more
_SKIPPED = 8  # words of that sentence between the runs
_NEIGHBOURS = 3  # sentences that make a quote
_LEAST_QUOTED = 0.25  # share of the content words below which nothing is quoted
_OCCURRENCES = 32  # of two words in a row that are followed
_KEPT = 2_000_000  # characters of passages that stay read
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
        copied: Positions of its words that stand there in runs of two or more.
        missing: What had to stand there as it is and does not: numbers, names, code, quotations; as written.
        whole: It stands there word for word.
        follows: One sentence says all of it, nearly in the same words and in the same order.
        denied: The passage denies what the statement says, or the other way round.
    """

    span: tuple[int, int] | None = None
    share: float = 0.0
    near: frozenset[str] = frozenset()
    anywhere: frozenset[str] = frozenset()
    copied: frozenset[int] = frozenset()
    missing: frozenset[str] = frozenset()
    whole: bool = False
    follows: bool = False
    denied: bool = False


class Statement:
    """A statement, read once for all the passages it is looked for in."""

    def __init__(self, text: str, lead: str = "", language: str = "en") -> None:
        """Read it.

        Args:
            text: The statement.
            lead: The sentence before it, or the line above its list.
            language: Of the passages, so that words are stemmed alike.
        """
        self.text = text = _ATTRIBUTION.sub("", _ENUMERATOR.sub("", text.strip(), count=1))
        self.language = language
        self.words = words(text, language)
        self.forms = [word.form for word in self.words]
        stopped = stop_words(language)
        self.content = frozenset(
            w.form for w in self.words if not w.is_number and _plain(text[w.start : w.end]) not in stopped
        )
        # Spelled out numbers are left out: "two ways" is the claim's own count.
        self.numbers = [q for q in quantities(text, self.words) if not q.written.isalpha()]
        begins = {start for start, _ in sentences(text)}
        self.names = {
            word.form: text[word.start : word.end]
            for word in self.words
            if word.form in self.content and text[word.start].isupper() and word.start not in begins
        }
        self.literals = [match[1].strip() for match in _CODE.finditer(text)]
        self.literals += [match[0].rstrip(".,;:") for match in _IDENTIFIER.finditer(_CODE.sub(" ", text))]
        self.quotations = [match[1] for match in _QUOTATION.finditer(text)]
        self.units = self.content | {number.readings[0] for number in self.numbers}
        self.denials = _denials(text) + (_denials(lead) if lead.endswith(":") else 0)


class ReadPassage:
    """A document, read once for all the statements that are looked for in it."""

    def __init__(self, text: str, context: str = "", language: str = "en") -> None:
        """Read it.

        Args:
            text: The text.
            context: Title, heading and source, which count as said in every sentence.
            language: ISO 639-1 code, by which words are stemmed.
        """
        self.text = text
        self.language = language
        self.words = words(text, language)
        self.forms = [word.form for word in self.words]
        self.sentences = list(sentences(text))
        said = words(context, language)
        self.context = frozenset(word.form for word in said)
        self._numbers_of_context = quantities(context, said)

    @cached_property
    def by_sentence(self) -> list[frozenset[str]]:
        """Forms of the words of each sentence."""
        starts = [word.start for word in self.words]
        found = []
        for start, end in self.sentences:
            first, last = bisect_right(starts, start - 1), bisect_right(starts, end - 1)
            found.append(frozenset(self.forms[first:last]))
        return found

    @cached_property
    def all(self) -> frozenset[str]:
        """Forms of all words, the context's included."""
        return self.context.union(self.forms)

    @cached_property
    def numbers(self) -> Quantities:
        """Its numbers."""
        return Quantities([*quantities(self.text, self.words), *self._numbers_of_context])

    @cached_property
    def pairs(self) -> dict[tuple[str, str], list[int]]:
        """Where two words stand in a row."""
        return _pairs(self.forms)

    @cached_property
    def _known(self) -> frozenset[tuple[int, int]]:
        return frozenset(self.sentences)

    @cached_property
    def _joined(self) -> str:
        return " " + " ".join(self.forms) + " "

    @cached_property
    def _joined_starts(self) -> list[int]:
        return list(accumulate((len(form) + 1 for form in self.forms), initial=0))

    @cached_property
    def _squeezed(self) -> str:
        return _squeezed(self.text)

    def find(self, wanted: Sequence[Word]) -> tuple[int, int] | None:
        """Span of the first place with exactly these words in this order, whatever stands between them."""
        at = self._joined.find(" " + " ".join(word.form for word in wanted) + " ") if wanted else -1
        if at < 0:
            return None
        first = bisect_right(self._joined_starts, at) - 1
        return self.words[first].start, self.words[first + len(wanted) - 1].end

    def holds_literal(self, literal: str) -> bool:
        """Whether code stands in it, whatever the white space and the quotes."""
        return _squeezed(literal).removesuffix("()") in self._squeezed

    def sentences_of(self, span: tuple[int, int]) -> tuple[int, int]:
        """The sentences that hold a span, so that a quote can be read by itself."""
        first = max(0, bisect_right(self.sentences, (span[0], len(self.text) + 1)) - 1)
        last = max(first, bisect_right(self.sentences, (span[1] - 1, len(self.text) + 1)) - 1)
        return min(span[0], self.sentences[first][0]), max(span[1], self.sentences[last][1])

    def look_for(self, statement: Statement) -> Found:
        """What this passage holds of a statement, and where."""
        if not self.sentences or not statement.words:
            return Found()
        numbers = {n.written for n in statement.numbers if not self.numbers.hold(n)}
        missing = numbers | {name for form, name in statement.names.items() if form not in self.all}
        missing |= {code for code in statement.literals if not self.holds_literal(code)}
        missing |= {
            quoted for quoted in statement.quotations if self.find(words(quoted, self.language)) is None
        }
        exact = self.find(statement.words)
        if exact is not None and not numbers and statement.content:
            span = self.sentences_of(exact)
            denied = bool(_denials(_last_clause(self.text[span[0] : exact[0]])))
            return Found(
                span,
                1.0,
                statement.content,
                statement.content,
                missing=frozenset(missing),
                whole=True,
                denied=denied,
            )
        place, near = self._best_place(statement)
        share = len(near & statement.content) / len(statement.content) if statement.content else 0.0
        return Found(
            place if share >= _LEAST_QUOTED else None,
            share,
            near & statement.content,
            self.all & statement.content,
            self._copied(statement.forms),
            frozenset(missing),
            follows=near >= statement.units and self._follows(statement.forms, place),
            denied=place is not None and (_denials(self._with_lead(place)) > 0) != (statement.denials > 0),
        )

    def _best_place(self, statement: Statement) -> tuple[tuple[int, int] | None, frozenset[str]]:
        """The fewest neighbouring sentences that hold most of a statement, and what of it they hold."""
        held = [statement.units & forms for forms in self.by_sentence]
        best, most, near = None, 0, frozenset[str]()
        for length in range(1, _NEIGHBOURS + 1):
            for first in range(len(held) - length + 1):
                found = frozenset().union(*held[first : first + length])
                if len(found) > most:
                    best, most, near = (first, first + length - 1), len(found), found
        if best is None:
            return None, self.context & statement.units
        return (self.sentences[best[0]][0], self.sentences[best[1]][1]), near | (
            self.context & statement.units
        )

    def _copied(self, wanted: Sequence[str]) -> frozenset[int]:
        """Positions of the words that stand here in runs of two or more."""
        return frozenset(
            chain.from_iterable(range(at, end) for at, _, end in _runs(wanted, self.forms, self.pairs))
        )

    def _follows(self, wanted: Sequence[str], sentence: tuple[int, int] | None) -> bool:
        """Whether a sentence says the same in nearly the same words, without leaping over much of its own."""
        if sentence is None or sentence not in self._known:
            return False
        forms = [word.form for word in self.words if sentence[0] <= word.start < sentence[1]]
        runs = list(_runs(wanted, forms, _pairs(forms), in_order=True))
        skipped = sum(
            place - before - (end - start) for (start, before, end), (_, place, _) in pairwise(runs)
        )
        return skipped <= _SKIPPED and sum(end - at for at, _, end in runs) >= _COPIED * len(wanted)

    def _with_lead(self, span: tuple[int, int]) -> str:
        """The text of a place, below the line that leads its list if it is an item of one."""
        text = self.text[slice(*span)]
        if not _ENUMERATOR.match(text):
            return text
        before = self.text[max(0, span[0] - 2_000) : span[0]]
        return (
            next((line for line in reversed(before.split("\n")) if line.rstrip().endswith(":")), "")
            + " "
            + text
        )


def _pairs(forms: Sequence[str]) -> dict[tuple[str, str], list[int]]:
    """Where two words stand in a row."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, pair in enumerate(pairwise(forms)):
        if len(places := found[pair]) < _OCCURRENCES:
            places.append(at)
    return found


def _runs(
    wanted: Sequence[str],
    forms: Sequence[str],
    pairs: Mapping[tuple[str, str], list[int]],
    *,
    in_order: bool = False,
) -> Iterator[tuple[int, int, int]]:
    """The longest runs of two words or more that two texts share: start here and there, and end here.

    Args:
        wanted: The words that are looked for, from the first to the last.
        forms: Those that are looked in.
        pairs: Their `_pairs`.
        in_order: Each run stands behind the one before it.
    """
    at = last = 0
    while at < len(wanted) - 1:
        places = [p for p in pairs.get((wanted[at], wanted[at + 1]), ()) if not in_order or p >= last]
        length = 2
        longest = places
        while longest:
            places = longest
            if at + length == len(wanted):
                break
            form = wanted[at + length]
            longest = [p for p in places if p + length < len(forms) and forms[p + length] == form]
            length += bool(longest)
        if places:
            yield at, places[0], at + length
            at, last = at + length, places[0] + length
        else:
            at += 1


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
    """A statement and the documents it cites, made ready for the search: in the language of the longest."""
    longest = max((document.page_content for document in documents), key=len, default="")
    language = language_of(f"{claim}\n{lead}\n{longest}")  # one short sentence alone tells it badly
    passages = []
    for document in documents:
        metadata = document.metadata
        context = " | ".join(str(metadata.get(key) or "") for key in ("title", "heading", "source"))
        passages.append(_shelf.get(document.page_content, context, language))
    return Statement(claim, lead, language), passages


def overlap(statement: str, document: Document) -> float:
    """Share of a statement's content words in the three neighbouring sentences that hold most of them."""
    wanted, (passage,) = read(statement, "", [document])
    return passage.look_for(wanted).share


def _plain(word: str) -> str:
    return word.lower().replace("’", "'").removesuffix("'s")


def _denials(text: str) -> int:
    return len(_DENIES.findall(text))


def _last_clause(text: str) -> str:
    return re.split(r"[,;:.!?–—()]|\b(?:but|while|aber|mais|pero|ma|mas)\b", text)[-1]


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text).replace('"', "'").casefold()
