"""How much of a question is in a piece of text, term by term."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llama_bedrock.local.engines.lexicon import synonyms

_SYNONYM = 0.7  # what a synonym counts
_RELATED = 0.6  # what a longer or shorter form counts: "classify" for "classification"


class Matcher:
    """Compares the terms of one question with sets of terms.

    Args:
        weights: The terms of the question and what each counts.
        vocabulary: Every term the texts hold; what is like a term of the question is looked up once.
    """

    def __init__(self, weights: Mapping[str, float], vocabulary: Iterable[str]) -> None:
        self.weights = dict(weights)
        self._total = sum(self.weights.values())
        known = list(vocabulary)
        self._likes = {term: _likes(term, known) for term in self.weights}

    def found(self, term: str, there: frozenset[str]) -> float:
        """How far a term is in a set: 1 itself, less for a synonym or a related form, else 0."""
        if term in there:
            return 1.0
        return max((likeness for other, likeness in self._likes[term].items() if other in there), default=0.0)

    def covered(self, there: frozenset[str]) -> float:
        """Share of the question that a set holds, 0 to 1."""
        return sum(weight * self.found(term, there) for term, weight in self.weights.items()) / self._total

    def covered_part(self, part: Iterable[str], there: frozenset[str]) -> float:
        """Share of some of its terms that a set holds."""
        terms = list(part)
        held = sum(self.weights[term] * self.found(term, there) for term in terms)
        return held / sum(self.weights[term] for term in terms)


def _likes(term: str, known: Iterable[str]) -> dict[str, float]:
    alike = dict.fromkeys(synonyms(term), _SYNONYM)
    if len(term) >= 5:
        start = term[:5]
        for other in known:
            if other.startswith(start) and other != term and _is_related(term, other):
                alike.setdefault(other, _RELATED)
    return alike


def _is_related(term: str, other: str) -> bool:
    """Whether two terms share most of their letters from the start."""
    shared = 0
    for a, b in zip(term, other, strict=False):
        if a != b:
            break
        shared += 1
    return shared >= 0.7 * max(len(term), len(other))
