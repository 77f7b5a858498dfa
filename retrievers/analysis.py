"""Texts as numbers of their terms: analysed once, for LSA and for the lexical index alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Any

from llama_bedrock.retrievers.arrays import Integers, Slots, np
from llama_bedrock.text import (
    FEW_WORDS,
    SURE,
    TELLING_WORDS,
    TOLD,
    language_of_words,
    telling_words,
    terms_of,
    written_words,
)

_AT_ONCE = 4_096
"""Texts analysed together: numpy does most of the work, and a word is looked at once."""


@dataclass(frozen=True, slots=True)
class AnalysedTexts:
    """Some texts as the terms that `llama_bedrock.text.terms` gives.

    Attributes:
        vocabulary: The terms; their places are their numbers.
        terms: The numbers of the texts' terms in their order, text after text.
        lengths: Number of terms of each text.
        languages: The language of each text.
    """

    vocabulary: Sequence[str]
    terms: Integers
    lengths: Slots
    languages: Sequence[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> AnalysedTexts:
        """Analyse texts."""
        analyser = Analyser()
        terms, lengths, languages = analyser.lot(texts)
        return cls(list(analyser.terms), terms, lengths, languages)

    def __len__(self) -> int:
        return len(self.lengths)

    def part(self, places: Sequence[int]) -> AnalysedTexts:
        """The texts at these places, in this order."""
        if len(places) == len(self) and list(places) == list(range(len(self))):
            return self
        chosen = np.asarray(places, np.int64)
        lengths = self.lengths[chosen]
        starts = (np.cumsum(self.lengths) - self.lengths)[chosen]
        own = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        used, terms = renumbered(self.terms[np.repeat(starts, lengths) + own], len(self.vocabulary))
        return AnalysedTexts(
            [self.vocabulary[number] for number in used.tolist()],
            terms,
            lengths,
            [self.languages[place] for place in places],
        )


def renumbered(terms: Integers, count: int) -> tuple[Any, Integers]:
    """Which of so many numbers occur, rising, and each occurrence as its place among them."""
    used = np.flatnonzero(np.bincount(terms, minlength=count))
    places = np.zeros(count, np.int32)
    places[used] = np.arange(len(used), dtype=np.int32)
    return used, places[terms]


@cache
def _telling() -> tuple[Mapping[str, int], Slots]:
    """Words that tell a language, numbered from 1 on, and what each counts; number 0 counts nothing."""
    votes = telling_words()
    numbers = {word: number for number, word in enumerate(votes, 1)}
    return numbers, np.array([[0] * len(TOLD), *votes.values()], np.int64)


class _Numbers(dict[str, int]):
    """Words with a number each, from 0 on, in the order in which they are asked for."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


class Analyser:
    """Analyses one lot of texts after another, and each word, as it is written, once for all of them.

    Attributes:
        terms: The terms so far, with their numbers.
    """

    def __init__(self) -> None:
        self.terms = _Numbers()
        self._words = _Numbers()
        self._names: list[str] = []
        self._telling = np.empty(0, np.int32)
        # Of each word that was met in a language: where its terms begin in `_flat`, and how many they are.
        self._places: dict[str, Any] = {}
        self._flat = np.empty(0, np.int32)

    def lot(self, texts: Iterable[str]) -> tuple[Integers, Slots, list[str]]:
        """The numbers of the texts' terms, how many each text has, and its language."""
        remaining = iter(texts)
        parts = [(np.empty(0, np.int32), np.empty(0, np.int64), list[str]())]
        while found := [written_words(text) for text in islice(remaining, _AT_ONCE)]:
            counts = np.fromiter(map(len, found), np.int64, len(found))
            number = self._words.__getitem__
            words = np.fromiter(map(number, chain.from_iterable(found)), np.int32, int(counts.sum()))
            languages = self._languages(found, words, counts)
            parts.append((*self._terms_of(words, counts, languages), languages))
        terms, lengths, spoken = zip(*parts, strict=True)
        return np.concatenate(terms), np.concatenate(lengths), [*chain(*spoken)]

    def _languages(self, found: Sequence[list[str]], words: Integers, counts: Slots) -> list[str]:
        """What `language_of_words` tells of each text."""
        fresh = list(islice(self._words, len(self._names), None))
        self._names += fresh
        numbers, votes = _telling()
        own = np.fromiter((numbers.get(word, 0) for word in fresh), np.int32, len(fresh))
        self._telling = np.concatenate([self._telling, own])
        telling = self._telling[words]
        places = np.flatnonzero(telling)
        owners = np.repeat(np.arange(len(counts)), counts)[places]
        near = places - (np.cumsum(counts) - counts)[owners] < TELLING_WORDS
        pairs = np.unique(owners[near] * len(votes) + telling[places[near]])
        owners, known = np.divmod(pairs, len(votes))
        # Whole numbers, so no sum of them is rounded.
        scores = np.array([np.bincount(owners, column, len(counts)) for column in votes[known].T])
        best = scores.argmax(axis=0)  # English among equals
        told = np.where(scores.max(axis=0) >= SURE, best, 0).tolist()
        return [
            language_of_words(one) if len(one) < FEW_WORDS else TOLD[place]
            for one, place in zip(found, told, strict=True)
        ]

    def _terms_of(self, words: Integers, counts: Slots, languages: Sequence[str]) -> tuple[Integers, Slots]:
        begins, sizes = np.empty((2, len(words)), np.int64)
        spoken = np.repeat(np.array(languages), counts)
        for language in sorted(set(languages)):
            own = spoken == language
            begins[own], sizes[own] = self._learnt(language, words[own])[:, words[own]]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        places = np.arange(ends[-1]) + np.repeat(begins - ends[:-1], sizes)
        bounds = ends[np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])]
        return self._flat[places], np.diff(bounds)

    def _learnt(self, language: str, words: Integers) -> Any:
        """Where the terms of words in a language are; those of words that are new in it are found first."""
        places = self._places.get(language, np.empty((2, 0), np.int64))
        places = np.pad(places, ((0, 0), (0, len(self._names) - places.shape[1])), constant_values=-1)
        terms, number = terms_of(language), self.terms.__getitem__
        used = np.flatnonzero(np.bincount(words, minlength=len(self._names)))
        fresh = used[places[0, used] < 0]
        found = [terms[self._names[word]] for word in fresh.tolist()]
        sizes = np.fromiter(map(len, found), np.int64, len(found))
        places[:, fresh] = len(self._flat) + np.cumsum(sizes) - sizes, sizes
        own = np.fromiter(map(number, chain.from_iterable(found)), np.int32, int(sizes.sum()))
        self._flat = np.concatenate([self._flat, own])
        self._places[language] = places
        return places
