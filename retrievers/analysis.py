"""Texts as numbers of their terms: analysed once, for LSA and for the lexical index alike."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llama_bedrock.retrievers.arrays import Integers, Slots, np
from llama_bedrock.text import TermNumbers


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
        numbers = TermNumbers()
        terms, ends, languages = array("i"), [0], []
        for text in texts:
            found, language = numbers.of(text)
            terms.extend(found)
            ends.append(len(terms))
            languages.append(language)
        bounds = np.array(ends, np.int64)
        return cls(list(numbers), _integers(terms), bounds[1:] - bounds[:-1], languages)

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


def _integers(numbers: array[int]) -> Integers:
    return np.frombuffer(numbers, np.int32) if numbers else np.empty(0, np.int32)
