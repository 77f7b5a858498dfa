"""Finds the place of a passage that says what a statement says, and what of the statement stands there."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

from langchain_core.documents import Document

from llama_bedrock.grounding.quantities import Quantity, is_vague, quantities
from llama_bedrock.text import forms, forms_by_span, language_of_texts, sentences, tells_something, words

LONG = 1_000  # characters: of a shorter text, that something stands nowhere in it proves little
_COPIED = 0.8  # more of a statement's words than this, one sentence has in the same order, in runs of two
_SKIPPED = 8  # words of that sentence between the runs
_NEIGHBOURS = 3  # sentences that make a quote
_BESIDE = 0.4  # share of the content words beside which another number of its kind stands for a missing one
_LEAST_QUOTED = 0.25  # share of the content words below which nothing is quoted
_HUGE = 20_000  # characters of a passage, of which few are kept as they were read
_CODE = re.compile(r"`+([^`\n]+)`+")
_IDENTIFIER = re.compile(
    r"(?<![\w-])--[a-z][\w-]{1,80}|\b[A-Za-z][A-Za-z0-9]{0,80}_\w{1,80}|\b[a-z]{1,80}[A-Z]\w{0,80}"
    r"|\b\w{1,80}\(\)|https?://[^\s)\]>]+"
)
# Without one, nothing is code. Few characters begin it, for speed.
_LIKE_CODE = re.compile(r"[`_(:A-Z-](?:(?<=[`_])|(?<=-)-|(?<=\()\)|(?<=:)//|(?<=[a-z][A-Z]))")
_QUOTATION = re.compile(r"[“\"«]([^“”\"«»\n]{12,400})[”\"»]")
_ENUMERATOR = re.compile(r"^\s*(?:[-*+•]|\(?\d{1,3}[.)])\s+")
# What speaks of the passage and not of its subject: "The page says that …".
_ATTRIBUTION = re.compile(
    r"^(?:according to (?:the |this |these )?(?:\w{1,20} )?\w{1,20},? "
    r"|(?:(?:the|this) )?(?:passage|document|source|page|text|context)?s? ?"
    r"(?:says?|states?|mentions?),? (?:that )?)",
    re.IGNORECASE,
)
# One such word turns a copied sentence into its opposite. Nothing else is concluded from them.
_DENIES = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|without|cannot|nor|neither|nicht|kein\w{0,2}|nie(?:mals)?"
    r"|ohne|pas|jamais|sans|aucune?|nunca|sin|tampoco|non|mai|senza|não|nem|sem)\b"
    r"|n['’]t\b"  # of lower case: IGNORECASE takes twice the time
)
_DENIES_IN_OTHER_SCRIPTS = re.compile(
    r"\b(?:не|нет|без|δεν|χωρίς)\b|(?<!\S)(?:नहीं|न|मत|बिना|لا|لم|لن|ليس|ليست|بدون|இல்லை)(?![^\s।.,])|ไม่|不|没|沒|ません|ない"
)
_CLAUSE = re.compile(r"[,;:.!?–—()]|\b(?:but|while|aber|mais|pero|ma|mas)\b")


class Found(NamedTuple):
    """What one passage holds of a statement."""

    span: tuple[int, int] | None = None  # of the sentences that hold most of it; None for too little
    share: float = 0.0  # of its content words, in that place
    near: frozenset[str] = frozenset()  # its content words and numbers in that place, by form
    anywhere: frozenset[str] = frozenset()  # those in the whole passage
    missing: frozenset[str] = frozenset()  # its numbers, code and quotations that stand nowhere
    unnamed: frozenset[str] = frozenset()  # names of which that is so
    clashing: frozenset[str] = frozenset()  # of those numbers, the ones that another of their kind stands for
    whole: bool = False  # it stands there word for word
    follows: bool = False  # one sentence says all of it in nearly the same words
    denied: bool = False  # one of the two denies what the other says


class Statement:
    """A statement, read once for all the passages it is looked for in, by the stems of their language."""

    def __init__(self, text: str, lead: str = "", language: str = "en") -> None:
        text = _ENUMERATOR.sub("", text.strip(), count=1)
        self._language = language
        self._text = text = text[said.end() :] if (said := _ATTRIBUTION.match(text)) else text
        found, tells = words(text, language), tells_something(language)
        self.forms = [word.form for word in found]
        self._content = [word for word in found if tells[text[word.start : word.end]]]
        numbers = [] if "".join(self.forms).isalpha() else [word for word in found if word.is_number]
        if numbers and (len(numbers) == 1 or len(numbers) < len(self._content)):  # not a row of numbers
            self._content = [word for word in self._content if not word.is_number]
        self.content = frozenset(word.form for word in self._content)
        self.told = frozenset[object](number.form for number in numbers)
        self._vague = [word for word in numbers if is_vague(text, word)]
        # A number in one word may be the claim's own count, as in "two ways": nobody misses it.
        told = quantities(text, [word for word in numbers if word not in self._vague])
        firm = [number for number in told if not number.written.isalpha()]
        # Number words are read in English only: elsewhere a small number may stand there in a word.
        small = [number for number in firm if number.kind == "number" and len(number.form) < 3]
        self.numbers = firm if language == "en" else [number for number in firm if number not in small]
        self.meant = self.told.union(*(number.means for number in told))
        self.units = self.content.union(number.form for number in firm)
        self.code = list[str]()
        if _LIKE_CODE.search(text):
            self.code += [match[1].strip() for match in _CODE.finditer(text)]
            self.code += [match[0].rstrip(".,;:") for match in _IDENTIFIER.finditer(_CODE.sub(" ", text))]
        self.quotations = {quoted: forms(quoted, language) for quoted in _QUOTATION.findall(text)}
        self.is_listed = lead.endswith(":")
        self.denies = _denies(text) or (self.is_listed and _denies(lead))

    @cached_property
    def names(self) -> dict[str, str]:
        """Its names and rounded numbers as they are written, by form."""
        text = self._text
        upper = [word for word in self._content if word.start and text[word.start].isupper()]
        upper = [] if self._language == "de" else upper  # German nouns are all written so
        begins = {start for start, _ in sentences(text)} if upper else ()
        told = [*self._vague, *(word for word in upper if word.start not in begins)]
        return {word.form: text[word.start : word.end] for word in told}


class ReadPassage:
    """A document, read once for all that is looked for in it; its context counts as in every sentence."""

    def __init__(self, text: str, context: str = "", language: str = "en") -> None:
        self.text = text
        self.sentences = list(sentences(text))
        self._said = forms_by_span(text, self.sentences, language)
        self._by_sentence = [frozenset(said) for said in self._said]
        self._beside, self._language = context, language
        self._context = frozenset(forms(context, language))
        self._all = self._context.union(*self._by_sentence)
        self._joined = "\n".join(["", *chain.from_iterable(self._said), ""])

    @cached_property
    def _quantities(self) -> list[list[Quantity]]:
        """The numbers of each sentence, and of the context."""
        told = zip(self.sentences, self._said, strict=True)
        texts = ["" if "".join(said).isalpha() else self.text[slice(*span)] for span, said in told]
        return [quantities(text, words(text, self._language)) for text in [*texts, self._beside]]

    @cached_property
    def _numbers(self) -> frozenset[object]:
        return frozenset().union(*(number.holds for number in chain.from_iterable(self._quantities)))

    def find(self, wanted: Sequence[str]) -> tuple[int, int] | None:
        """Numbers of the first and last word of the first place with exactly these words in this order."""
        if not wanted or not self._all.issuperset(wanted):
            return None
        at = self._joined.find("\n".join(["", *wanted, ""]))
        first = self._joined.count("\n", 0, at)
        return None if at < 0 else (first, first + len(wanted) - 1)

    def look_for(self, statement: Statement) -> Found:
        """What this passage holds of a statement, and where."""
        if not self.sentences or not statement.forms:
            return Found()
        content = statement.content
        absent = [number for number in statement.numbers if number.means.isdisjoint(self._numbers)]
        missing = {number.written for number in absent}
        exact = self.find(statement.forms) if content and not missing else None
        squeezed = _squeezed(self.text) if statement.code else ""
        missing |= {code for code in statement.code if _squeezed(code).removesuffix("()") not in squeezed}
        missing |= {quoted for quoted, said in statement.quotations.items() if self.find(said) is None}
        if exact is not None:
            firsts = [0, *accumulate(map(len, self._said[:-1]))]  # number of each sentence's first word
            first, last = (bisect_right(firsts, number) - 1 for number in exact)
            span = self.sentences[first][0], self.sentences[last][1]
            said, denied, clash = self.text[slice(*span)], False, bool(missing)
            if _denies(said):
                placed = words(said, self._language)
                begins, ends = (placed[number - firsts[first]] for number in exact)
                denied = _denies(_CLAUSE.split(said[: begins.start])[-1])
                # "liest Bilder nicht" says another thing than the words before it.
                clash = clash or _denies(_CLAUSE.split(said[ends.end :])[0])
            clash = clash or (statement.is_listed and self._denies(span) != statement.denies)
            units, lacks = statement.units, frozenset(missing)
            return Found(span, 1.0, units, units, lacks, whole=not clash, denied=denied or clash)
        unnamed = frozenset(name for form, name in statement.names.items() if form not in self._all)
        place, near = self._best_place(statement.units)
        share = len(near & content) / len(content) if content else 0.0
        # In its place another of its kind stands that the statement does not name; in a long text, anywhere.
        here = chain.from_iterable(self._quantities[place[0] : place[1] + 1]) if absent else ()
        others = frozenset(number.kind for number in here if number.means.isdisjoint(statement.meant))
        kinds = self._numbers if absent and len(self.text) >= LONG else others
        kinds -= frozenset() if share >= _BESIDE else {"year", "number"}
        clashing = (number.written for number in absent if number.kind in kinds)
        held = share, near, self._all & statement.units, frozenset(missing), unnamed, frozenset(clashing)
        span = self.sentences[place[0]][0], self.sentences[place[1]][1]
        # "Not in Bremen but in Ulm" has all words of "Not in Ulm".
        follows = near >= statement.units and not statement.denies and self._follows(statement, *place)
        denied = self._denies(span) != statement.denies
        return Found(span if share >= _LEAST_QUOTED else None, *held, follows=follows, denied=denied)

    def _best_place(self, units: frozenset[str]) -> tuple[tuple[int, int], frozenset[str]]:
        """Numbers of the fewest neighbouring sentences that hold most of a statement, and what they hold."""
        held = [units & forms for forms in self._by_sentence]
        best, most, near = (0, -1), 0, frozenset[str]()
        for length in range(1, _NEIGHBOURS + 1):
            for first in range(len(held) - length + 1):
                if not held[first]:
                    continue
                found = held[first].union(*held[first + 1 : first + length])
                if len(found) > most:
                    best, most, near = (first, first + length - 1), len(found), found
        return best, near | (self._context & units)

    def _follows(self, statement: Statement, sentence: int, last: int) -> bool:
        """Whether one sentence says it in the same order, in runs of two words or more with few between."""
        wanted, said = statement.forms, self._said[sentence]
        long = len(wanted) > 2 * len(said)  # so that this is never done for two long texts
        if sentence != last or long or not statement.told <= self._by_sentence[sentence]:
            return False
        blocks = SequenceMatcher(None, wanted, said, autojunk=False).get_matching_blocks()
        runs = [block for block in blocks if block.size > 1]
        skipped = sum(after.b - before.b - before.size for before, after in pairwise(runs))
        return skipped <= _SKIPPED and sum(run.size for run in runs) > _COPIED * len(wanted)

    def _denies(self, span: tuple[int, int]) -> bool:
        """Whether a place denies something; an item of a list, together with the line that leads the list."""
        text, lead = self.text[slice(*span)], ""
        if _ENUMERATOR.match(text):
            before = self.text[max(0, span[0] - 2_000) : span[0]].split("\n")
            lead = next((line for line in reversed(before) if line.rstrip().endswith(":")), "")
        return _denies(f"{lead}\n{text}")


# So that each passage is read once for an answer and its follow-ups.
_read_last = lru_cache(maxsize=128)(ReadPassage)
_long_read_last = lru_cache(maxsize=2)(ReadPassage)


def read(claim: str, lead: str, documents: Sequence[Document]) -> tuple[Statement, list[ReadPassage]]:
    """A statement and the documents it cites, made ready for the search."""
    language = language_of_texts([claim, lead, *(document.page_content for document in documents)])
    passages = []
    for document in documents:
        text, metadata = document.page_content, document.metadata
        context = " | ".join(str(metadata.get(key) or "") for key in ("title", "heading", "source"))
        passages.append((_read_last if len(text) < _HUGE else _long_read_last)(text, context, language))
    return Statement(claim, lead, language), passages


def _denies(text: str) -> bool:
    text = text.lower()
    other = None if text.isascii() else _DENIES_IN_OTHER_SCRIPTS.search(text)
    return other is not None or _DENIES.search(text) is not None


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text).replace('"', "'").casefold()
