"""Finds the place of a passage that says what a statement says, and what of the statement stands there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

from langchain_core.documents import Document

from llama_bedrock.grounding.quantities import Quantity, is_vague, quantities
from llama_bedrock.text import forms, forms_by_span, language_of_texts, sentences, tells_something, words

LONG = 1_000  # characters: of a shorter text, that something stands nowhere in it proves little
_COPIED = 0.7  # more of a statement's words than this, one sentence has in the same order, in runs of two
_SKIPPED = 8  # words of that sentence between the runs
_ADDED = 0.15  # share of the statement's content words that the sentence may lack
_NEIGHBOURS = 3  # sentences that make a quote
_BESIDE = 0.4  # share of the content words beside which another number of its kind stands for a missing one
_LEAST_QUOTED = 0.25  # share of the content words below which nothing is quoted
_HUGE = 20_000  # characters of a passage, of which few are kept as they were read
# Code, quotations long enough to be no title, addresses, and names of functions and options.
_LITERAL = re.compile(
    r"`+([^`\n]+)`+|[“\"«]([^“”\"«»\n]{12,400})[”\"»]"
    r"|(https?://[^\s)\]>]+|(?<![\w-])--[a-z][\w-]{1,80}|\b\w{1,80}(?:_\w{1,80}|\(\)))"
)
_ENUMERATOR = re.compile(r"^\s*(?:[-*+•]|\(?\d{1,3}[.)])\s+")
# One such word, in lower case, turns a copied sentence into its opposite. Nothing else is concluded from it.
_denies = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|without|cannot|nor|neither|hardly|rarely|seldom|barely|scarcely"
    r"|nicht|kein\w{0,2}|nie(?:mals)?|kaum|selten|rarement|raramente"
    r"|ohne|pas|jamais|sans|aucune?|nunca|sin|tampoco|non|mai|senza|n[ãa]o|nem|sem|не|нет|без|δεν|χωρίς)\b"
    r"(?! (?:but|aber|mais|pero)\b)"  # the next clause says something else
    r"|n['’]t\b|(?<!\S)(?:नहीं|न|मत|बिना|لا|لم|لن|ليس|ليست|بدون|இல்லை)(?![^\s।.,])|ไม่|不|没|沒|ません|ない"
).search
# Number words are read in English only, which all counts as that is not told: two of these show it.
_ENGLISH = {"the", "and", "with", "from", "that", "this", "are", "has", "it", "its", "they", "were"}
_BEFORE, _AFTER = 4, 3  # words that may deny a copy; those after it not in English: "eats hay, not meat"
_STOP = "\n.\n"  # between the sentences of a text whose words are joined


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
        found, tells = words(text, language), tells_something(language)
        self.forms = [word.form for word in found]
        places = list(sentences(text))
        self.joined = _joined(forms_by_span(text, places, language) if len(places) > 1 else [self.forms])
        content = [word for word in found if tells[text[word.start : word.end]]]
        numbers = [word for word in found if word.is_number]
        if numbers and (len(numbers) == 1 or len(numbers) < len(content)):  # not a row of numbers
            content = [word for word in content if not word.is_number]
        self.content = frozenset(word.form for word in content)
        self.told = frozenset(number.form for number in numbers)
        vague = [word for word in numbers if is_vague(text, word)]
        meant = quantities(text, numbers)
        self.meant = frozenset[tuple[str, str]]().union(*(number.holds for number in meant))
        # A number in one word may be the claim's own count, as in "two ways": nobody misses it.
        told = zip(numbers, meant, strict=True)
        self.numbers = [n for word, n in told if word not in vague and not n.written.isalpha()]
        self.units = self.content.union(number.form for number in self.numbers)
        self.literals = ["".join(found) for found in _LITERAL.findall(text)]
        self.is_listed = lead.endswith(":")
        self.denies = _denies(f"{lead if self.is_listed else ''}\n{text}".lower()) is not None
        upper = [word for word in content if word.start and text[word.start].isupper()]
        names = vague if language == "de" else [*vague, *upper]  # German nouns are all written so
        self.names = {word.form: text[word.start : word.end] for word in names}


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
        self._joined = _joined(self._said)

    @cached_property
    def _quantities(self) -> list[list[Quantity]]:
        """The numbers of each sentence, and of the context."""
        told = zip(self.sentences, self._said, strict=True)
        texts = ["" if "".join(said).isalpha() else self.text[slice(*span)] for span, said in told]
        texts.append(self._beside)
        return [quantities(text, words(text, self._language)) if text else [] for text in texts]

    @cached_property
    def _numbers(self) -> frozenset[tuple[str, str]]:
        return frozenset(chain.from_iterable(number.holds for number in chain(*self._quantities)))

    def _find(self, wanted: str) -> tuple[int, int, str] | None:
        """First and last sentence of the first place with exactly these words, and the words beside them."""
        if (at := self._joined.find(wanted)) < 0:
            return None
        start, end = at + 1, at + len(wanted) - 1
        first, last = self._joined.count(_STOP, 0, start), self._joined.count(_STOP, 0, end)
        before = self._joined[:start].rpartition(_STOP)[2].split()[-_BEFORE:]
        after = self._joined[end:].partition(_STOP)[0].split()[: 0 if self._language == "en" else _AFTER]
        return first, last, " ".join([*before, *after])

    def look_for(self, statement: Statement) -> Found:
        """What this passage holds of a statement, and where."""
        units, content = statement.units, statement.content
        if not self.sentences or not statement.forms:
            return Found()
        # What is plainly there is not read again: of most passages, no number is.
        sought = [n for n in statement.numbers if ("", n.form) not in n.means or n.form not in self._all]
        absent = [number for number in sought if number.means.isdisjoint(self._numbers)]
        if self._language != "en" or len(_ENGLISH & self._all) < 2:  # it may stand there in a word
            absent = [number for number in absent if number.kind != "number" or len(number.form) > 2]
        squeezed = _squeezed(self.text) if statement.literals else ""
        missing = frozenset(number.written for number in absent)
        missing |= {literal for literal in statement.literals if _squeezed(literal) not in squeezed}
        exact = self._find(statement.joined) if content and not absent else None
        if exact is not None:
            span = self.sentences[exact[0]][0], self.sentences[exact[1]][1]
            listed = statement.is_listed and self._denies(span) != statement.denies
            denied = listed or _denies(exact[2]) is not None
            return Found(span, 1.0, units, units, missing, whole=not denied and not missing, denied=denied)
        unnamed = frozenset(name for form, name in statement.names.items() if form not in self._all)
        place, near = self._best_place(units)
        share = len(near & content) / len(content) if content else 0.0
        # In its place another of its kind stands that the statement does not name; in a long text, anywhere.
        here = slice(place[0], place[1] + 1) if len(self.text) < LONG else slice(None)
        others = chain(*self._quantities[here]) if absent else ()
        kinds = {number.kind for number in others if number.means.isdisjoint(statement.meant)}
        kinds -= set() if share >= _BESIDE else {"year", "number"}
        clashing = frozenset(number.written for number in absent if number.kind in kinds)
        span = self.sentences[place[0]][0], self.sentences[place[1]][1]
        denied = self._denies(span) != statement.denies
        # "Not in Bremen but in Ulm" has all words of "Not in Ulm".
        follows = not statement.denies and place[0] == place[1] and self._follows(statement, place[0], near)
        held = share, near, self._all & units, missing, unnamed, clashing
        return Found(span if share >= _LEAST_QUOTED else None, *held, follows=follows, denied=denied)

    def _best_place(self, units: frozenset[str]) -> tuple[tuple[int, int], frozenset[str]]:
        """Numbers of the fewest neighbouring sentences that hold most of a statement, and what they hold."""
        held = [units & forms for forms in self._by_sentence]
        places = ((n, n + more) for more in range(_NEIGHBOURS) for n in range(len(held) - more) if held[n])
        best, near = (0, -1), frozenset[str]()
        for first, last in places:
            found = held[first].union(*held[first + 1 : last + 1])
            if len(found) > len(near):
                best, near = (first, last), found
        return best, near | (self._context & units)

    def _follows(self, statement: Statement, sentence: int, near: frozenset[str]) -> bool:
        """Whether one sentence says it in the same order, in runs of two words or more with few between.

        What else the statement says may stand only where the sentence has nothing: "Well, llamas eat hay".
        """
        wanted, said = statement.forms, self._said[sentence]
        long = len(wanted) > 2 * len(said)  # so that this is never done for two long texts
        added = len(statement.units - near) > _ADDED * len(statement.units)
        if long or added or not statement.told <= self._by_sentence[sentence]:
            return False
        blocks = SequenceMatcher(None, wanted, said, autojunk=False).get_matching_blocks()
        runs = [block for block in blocks if block.size > 1]
        if sum(run.size for run in runs) <= _COPIED * len(wanted):
            return False
        skipped = sum(after.b - before.b - before.size for before, after in pairwise(runs))
        ends = [(0, 0), *((run.a + run.size, run.b + run.size) for run in runs)]
        instead = [wanted[at : run.a] for (at, there), run in zip(ends, runs, strict=False) if there < run.b]
        return skipped <= _SKIPPED and statement.units.isdisjoint(chain(*instead, wanted[ends[-1][0] :]))

    def _denies(self, span: tuple[int, int]) -> bool:
        """Whether a place denies something; an item of a list, together with the line that leads the list."""
        text, lead = self.text[slice(*span)], ""
        if _ENUMERATOR.match(text):
            before = self.text[max(0, span[0] - 2_000) : span[0]].split("\n")
            lead = next((line for line in reversed(before) if line.rstrip().endswith(":")), "")
        return _denies(f"{lead}\n{text}".lower()) is not None


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


def _joined(said: Sequence[Sequence[str]]) -> str:
    return "\n".join(["", _STOP.join("\n".join(forms) for forms in said), ""])


def _squeezed(text: str) -> str:
    """A literal as it is looked for: without white space, marks of quotation, and a full stop at its end."""
    return re.sub(r"[\s\"'`“”‘’]+", "", text).casefold().rstrip(".,;:!?").removesuffix("()")
