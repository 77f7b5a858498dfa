"""Is a statement backed by a document, and by which passage of it? Words are compared, no model is asked.

A statement is taken apart into clauses. Each must be said by one place of the document: by a clause, an item
or a row of a table, with the sentences beside it that go on about the same, and with the headings, column
names and lines above it. Most of its content words must stand there, and all of its numbers (with their
units), names, code and quotations. Not backed is a clause that denies what the document affirms or the other
way round, says the opposite, bounds a number from the other side, exchanges who and whom, or repeats a
sentence with one word exchanged.

That finds invented and altered facts. It does not weigh meaning: a free paraphrase may be called unsupported,
and a statement that uses the words of a sentence for something else may pass.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from langchain_core.documents import Document

from llama_bedrock.grounding.claim_matching import Context, Finding, look_for
from llama_bedrock.grounding.claim_parts import Part, read_parts
from llama_bedrock.grounding.claim_words import Word, content_words, sentences, words
from llama_bedrock.grounding.clauses import ClauseIndex, split_clauses
from llama_bedrock.grounding.meaning import polarity
from llama_bedrock.grounding.quantities import quantities

SUPPORTED = 0.5  # share of the weighted content words of a statement
_SUPPORTED_SHORT = 0.6  # of one of few words
_SHORT = 4.5  # up to this weight
_PART = 0.4  # of each part of it
_SUPPORTED_JOINTLY = 0.25  # for one of several documents that back a part together
_QUOTATION = re.compile(r"[“\"«]([^“”\"«»\n]{12,400})[”\"»]")
_MOST_QUOTED = 4  # sentences of a quote; of parts further apart the best one is quoted


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
    def context(self) -> Context:
        """The title, the headings and the source's name, which count as said in every sentence."""
        metadata = self.document.metadata
        headings = " | ".join(str(metadata.get(key) or "") for key in ("title", "heading"))
        return Context.read(headings, str(metadata.get("source") or ""))

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

    @cached_property
    def content_of_sentences(self) -> list[frozenset[str]]:
        """Forms of the content words of each sentence, with those of the title and the headings."""
        pieces = (self.text[start:end] for start, end in self._sentences)
        return [self.context.forms.union(word.form for word in content_words(piece)) for piece in pieces]

    @cached_property
    def clauses(self) -> ClauseIndex:
        """The clauses of its text."""
        return ClauseIndex(self.text)

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


def find_support(
    statement: str, index: DocumentIndex, together_with: Iterable[DocumentIndex] = (), *, lead: str = ""
) -> Support:
    """Look for the passage of a document that backs a statement.

    Args:
        statement: The statement, without marks.
        index: The document that is cited.
        together_with: Other documents cited for the same statement: each part of it has to be in one of
            them, or in several together.
        lead: The line above the list of which the statement is an item: "It does not support:".
    """
    exact = _exact(statement, index, lead)
    if exact is not None:
        return exact
    others = list(together_with)
    quoted: tuple[int, int] | None = None
    for match in _QUOTATION.finditer(statement):
        place = index.find(words(match[1]))
        if place and not _is_denied_before(index, place):
            quoted = quoted or place
        elif not any(other.find(words(match[1])) for other in others):
            return Support(None, 0.0, False)  # a quotation that nobody wrote
    if quoted and _says_little(_QUOTATION.sub(" ", statement)):
        return Support(quoted, 1.0, True)
    parts = read_parts(statement, lead)
    if not parts:
        return Support(None, 0.0, False)
    here = [look_for(part, index.clauses, index.context, _PART) for part in parts]
    there = [[look_for(part, o.clauses, o.context, _PART) for o in others] for part in parts]
    return _verdict(parts, here, there, index)


def overlap(statement: str, index: DocumentIndex) -> float:
    """Share of a statement's content words in the three sentences that hold most, whatever they say."""
    wanted = {word.form for word in content_words(statement)}
    held = [wanted & forms for forms in index.content_of_sentences]
    most = max((len(set[str]().union(*held[at : at + 3])) for at in range(len(held))), default=0)
    return most / len(wanted) if wanted else 0.0


def _exact(statement: str, index: DocumentIndex, lead: str) -> Support | None:
    """The verdict for a statement that stands in the document word for word, None for any other."""
    span = index.find(words(statement))
    if not span or not content_words(statement):
        return None
    whole = index.whole_sentence(span)
    there = quantities(index.text[slice(*whole)])
    if not all(number.is_backed_by(there) for number in quantities(statement)):
        return None  # the same figures, but dollars for percent
    if _is_denied_before(index, span) or (lead and _is_in_the_contrary_list(index, span, lead)):
        return Support(None, 0.0, False)
    return Support(whole, 1.0, True)


def _is_denied_before(index: DocumentIndex, span: tuple[int, int]) -> bool:
    """Whether the clause says "never" or "not" before the words that were taken out of it."""
    start, end = index.whole_sentence(span)
    before = index.text[start : span[0]]
    if not polarity(before).denies:
        return False
    first = max(first for first, _ in split_clauses(index.text[start:end]) if start + first <= span[0])
    clause = index.clauses.clauses[index.clauses.at(span[0])]
    return clause.block not in ("code", "row") and polarity(before[first:]).denies


def _is_in_the_contrary_list(index: DocumentIndex, span: tuple[int, int], lead: str) -> bool:
    """Whether a list item stands there below a line that denies what the answer's line affirms."""
    clause = index.clauses.clauses[index.clauses.at(span[0])]
    denied = clause.polarity.denies != polarity(clause.text).denies
    return clause.block == "item" and denied != polarity(lead).is_negated


def _says_little(text: str) -> bool:
    left = content_words(text)
    return len(left) <= 3 and not any(word.is_number for word in left)


def _verdict(
    parts: Sequence[Part],
    here: Sequence[Finding],
    there: Sequence[Sequence[Finding]],
    index: DocumentIndex,
) -> Support:
    """The verdict for one document, after every part was looked for in every document."""
    mine: list[Finding] = []
    score = covered = 0.0
    backed = True
    for part, finding, others in zip(parts, here, there, strict=True):
        score += finding.score * part.total
        covered += max([finding, *others], key=lambda f: (f.passes, f.score)).score * part.total
        if finding.passes:
            mine.append(finding)
        elif any(other.passes for other in others):
            continue
        elif others and _jointly(part, [finding, *others]):
            covered += part.total * SUPPORTED
            if finding.score >= _SUPPORTED_JOINTLY and finding.span:
                mine.append(finding)
        else:
            backed = False
    total = sum(part.total for part in parts)
    score = min(1.0, score / total) if total else 1.0
    if not backed or not mine or covered < (SUPPORTED if total > _SHORT else _SUPPORTED_SHORT) * total:
        return Support(None, score, False)
    return Support(_span(mine, index), score, True)


def _jointly(part: Part, findings: Sequence[Finding]) -> bool:
    """Whether documents hold together what a part says, none of them contradicting it."""
    found = set().union(*(finding.found for finding in findings))
    share = sum(weight for form, weight in part.weights.items() if form in found) / (part.total or 1.0)
    missing = frozenset.intersection(*(finding.missing for finding in findings))
    return share >= SUPPORTED and not missing and not any(finding.contradicts for finding in findings)


def _span(findings: Sequence[Finding], index: DocumentIndex) -> tuple[int, int] | None:
    """The passage to quote: all that was found, or the best of it where that is far apart."""
    spans = [finding.span for finding in findings if finding.span]
    if not spans:
        return None
    whole = min(start for start, _ in spans), max(end for _, end in spans)
    held = sum(1 for start, end in index._sentences if start < whole[1] and end > whole[0])
    if held <= _MOST_QUOTED:
        return whole
    best = max(findings, key=lambda finding: (len(finding.found), finding.score))
    return best.span
