"""The parts of an answer that cite something: their quotes, found by words, and the verdicts on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.grounding.answers import Citation, document_id, document_source, positive_int
from llama_bedrock.grounding.claims import Claim, Verdict, Verifier, checked
from llama_bedrock.grounding.quotes import Found
from llama_bedrock.grounding.words import WordVerifier, judge

_PART = 0.25  # share of a supported statement that a document must hold to back it beside others


@dataclass(slots=True)
class _Part:
    """A claim, what words say of it, and the citations that it is about."""

    claim: Claim
    verdict: Verdict
    found: Sequence[Found]
    cited: list[tuple[int, int]] = field(default_factory=list)  # position of a citation, and in the passages


class CitedParts:
    """Gathers the cited parts of an answer, whoever wrote it, and their citations.

    Quotes are found at once, by words. So are the verdicts of a `WordVerifier`; for any other, `claims` are
    to be handed to it when the answer is complete, and its verdicts to `take_verdicts`.

    Args:
        verifier: Judges the parts; None for `WordVerifier`.
        question: What was asked, for the verifier.

    Attributes:
        citations: All citations so far.
        verifier: Who verifies.
    """

    def __init__(self, verifier: Verifier | None = None, question: str = "") -> None:
        self.citations: list[Citation] = []
        self.verifier: Verifier = WordVerifier() if verifier is None else verifier
        self._at_once = isinstance(self.verifier, WordVerifier)
        self._question = question
        self._parts: list[_Part] = []
        self._newest: dict[tuple[tuple[int, int], tuple[int, ...]], _Part] = {}
        self._statements: list[range] = []  # positions of the citations of each
        self._ended = 0

    def cite(
        self,
        span: tuple[int, int],
        statement: str,
        marks: Sequence[tuple[tuple[int, int] | None, tuple[int, ...]]],
        documents: Mapping[int, Document],
        lead: str = "",
    ) -> None:
        """Take a part of the answer that cites documents.

        Args:
            span: Its start and end in the answer.
            statement: Its text without marks.
            marks: Place of each mark (None for services that write none), and the numbers it names.
            documents: The documents by number.
            lead: The sentence before it, or the line above its list.
        """
        numbers = tuple(dict.fromkeys(number for _, named in marks for number in named))
        part = self._newest.get((span, numbers))
        if part is None:
            claim = Claim(statement, tuple(documents[number] for number in numbers), self._question, lead)
            verdict, found = judge(claim)
            part = self._newest[span, numbers] = _Part(claim, verdict, found)
            self._parts.append(part)
        for mark, named in marks:
            for number in named:
                at = numbers.index(number)
                known = part.verdict if self._at_once else None
                part.cited.append((len(self.citations), at))
                self.citations.append(_quoted(span, mark, number, part, at, known))

    def end_statement(self) -> tuple[Citation, ...]:
        """Count what was cited since the last call as one statement; returns its citations."""
        new = range(self._ended, len(self.citations))
        self._statements.append(new)
        self._ended = len(self.citations)
        self._newest.clear()
        return tuple(self.citations[new.start : new.stop])

    @property
    def claims(self) -> list[Claim]:
        """What is still to be verified: nothing, where words have decided at once."""
        return [] if self._at_once else [part.claim for part in self._parts]

    def take_verdicts(self, verdicts: Sequence[Verdict]) -> tuple[Citation, ...]:
        """Take the verifier's verdicts on `claims`; returns all citations with them."""
        for part, verdict in zip(
            self._parts, checked(verdicts, len(self._parts), self.verifier), strict=True
        ):
            for at, passage in part.cited:
                citation = self.citations[at]
                self.citations[at] = replace(citation, **_judged(citation.score, part, verdict, passage))
        return tuple(self.citations)

    def by_statement(self) -> list[list[Citation]]:
        """The citations of each complete statement; none of one that cites nothing."""
        return [[self.citations[n] for n in numbers] for numbers in self._statements]

    def share(self, supported: bool | None) -> float:
        """Share of the statements with this verdict: the best one of their citations, False without any."""
        verdicts = [{citation.supported for citation in cited} for cited in self.by_statement()]
        best = [True if True in said else None if None in said else False for said in verdicts]
        return sum(verdict is supported for verdict in best) / len(best) if best else 0.0


def _quoted(
    span: tuple[int, int],
    mark: tuple[int, int] | None,
    number: int,
    part: _Part,
    at: int,
    verdict: Verdict | None,
) -> Citation:
    """The citation of one document, with the quote that words find in it and a verdict if there is one."""
    document, found = part.claim.passages[at], part.found[at]
    metadata = document.metadata
    line = positive_int(metadata.get("line"))
    quote, offsets = "", None
    if found.span is not None:
        start, end = found.span
        quote = document.page_content[start:end]
        first = metadata.get("start_index")
        base = first if isinstance(first, int) and first >= 0 else 0
        offsets = (base + start, base + end)
        line = None if line is None else line + document.page_content.count("\n", 0, start)
    share = round(found.share, 3)
    return Citation(
        number=number,
        span=span,
        quote=quote,
        source=document_source(document),
        document_id=document_id(document),
        page=positive_int(metadata.get("page")),
        line=line,
        offsets=offsets,
        mark=mark,
        **(_judged(share, part, verdict, at) if verdict else {"score": share}),
    )


def _judged(share: float, part: _Part, verdict: Verdict, at: int) -> dict[str, Any]:
    """What a verdict on a part of the answer says of one of its citations; its score is `share` without.

    Of several documents cited for one part, those that hold next to nothing of it do not back it.
    """
    supported, reason = verdict.supported, verdict.reason
    if supported and len(part.found) > 1 and verdict.passage != at and part.found[at].share < _PART:
        supported, reason = False, "another passage says it, this one does not"
    score = share if verdict.score is None else round(verdict.score, 3)
    return {"supported": supported, "score": score, "reason": reason, "verified_by": verdict.by}
