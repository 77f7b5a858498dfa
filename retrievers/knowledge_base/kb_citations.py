"""What RetrieveAndGenerate answers, as a `RagAnswer`; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages.ai import UsageMetadata

from llama_bedrock.grounding.answers import Citation, RagAnswerChunk, document_source
from llama_bedrock.grounding.claims import Verifier
from llama_bedrock.grounding.verdicts import CitedParts
from llama_bedrock.observability.reports import is_watched, report_answer
from llama_bedrock.retrievers.knowledge_base.results import to_document
from llama_bedrock.text import sentences

UNABLE = "Sorry, I am unable to assist you with this request"
"""How the service's answer begins when it has found none."""


_LONGEST_LEAD = 1_000  # characters


class GeneratedAnswer:
    """Takes the answer of one question, whole or event by event; gives chunks that add up to the `RagAnswer`.

    The parts of the answer that the service gives references for are its statements; they are verified by the
    same code as those of our own chains.

    Args:
        question: What was asked.
        verifier: Judges the parts; None for words alone.
    """

    def __init__(self, question: str, verifier: Verifier | None = None) -> None:
        self._question = question
        self._started = perf_counter()
        self._first_token: float | None = None
        self._text = ""
        self._numbers: dict[tuple[str, str], int] = {}
        self._documents: list[Document] = []
        self._action: str | None = None
        self.parts = CitedParts(verifier, question)

    def response(self, response: Mapping[str, Any]) -> list[RagAnswerChunk]:
        """The whole answer but for what `finish` tells, from the response of RetrieveAndGenerate."""
        self._action = response.get("guardrailAction") or self._action
        chunks = [self.text(response.get("output", {}).get("text", ""))]
        chunks.extend(self.citation(citation) for citation in response.get("citations", ()))
        return chunks

    def event(self, event: Mapping[str, Any]) -> RagAnswerChunk | None:
        """One event of RetrieveAndGenerateStream; None for one that adds nothing."""
        if "output" in event:
            return self.text(event["output"].get("text", ""))
        if "citation" in event:  # the citation was a member of the event before it had one of its own
            citation = event["citation"]
            return self.citation(citation.get("citation") or citation)
        if "guardrail" in event:
            self._action = event["guardrail"].get("action") or self._action
        return None

    def text(self, text: str) -> RagAnswerChunk:
        """A piece of the answer's text."""
        if text and self._first_token is None:
            self._first_token = perf_counter() - self._started
        self._text += text
        return RagAnswerChunk(text=text)

    def citation(self, citation: Mapping[str, Any]) -> RagAnswerChunk:
        """A part of the answer with the references it comes from; new documents are numbered as they come."""
        part = citation.get("generatedResponsePart", {}).get("textResponsePart", {})
        span = self._span(part)
        new: list[Document] = []
        cited: dict[int, Document] = {}
        for reference in citation.get("retrievedReferences") or ():
            document = to_document(reference)
            cited[self._number(document, new)] = document
        if cited:
            statement, marks = self._text[slice(*span)], [(None, tuple(cited))]
            self.parts.cite(span, statement, marks, cited, self._lead(span[0]))
        return RagAnswerChunk(citations=self.parts.end_statement(), documents=tuple(new))

    def finish(
        self, session_id: str | None, verified: tuple[Citation, ...] = (), usage: UsageMetadata | None = None
    ) -> RagAnswerChunk:
        """What is known at the end; reports it.

        Args:
            session_id: Of the conversation.
            verified: The citations with the verdicts that came after the text.
            usage: What the verifier's calls took.
        """
        total = perf_counter() - self._started
        timings = {"total": total}
        if self._first_token is not None:
            timings["first_token"] = self._first_token
        chunk = RagAnswerChunk(
            citations=verified,
            usage=usage,
            question=self._question,
            session_id=session_id,
            guardrail_action=self._action,
            no_answer=not self._numbers and self._text.strip().startswith(UNABLE),
            grounded_fraction=self.parts.share(True),
            undecided_fraction=self.parts.share(None),
            stop_reason="guardrail" if self._action == "INTERVENED" else "stop",
            timings=timings,
        )
        if is_watched():
            citations = verified or tuple(self.parts.citations)
            documents = tuple(self._documents)
            report_answer(replace(chunk, text=self._text, citations=citations, documents=documents))
        return chunk

    def _lead(self, end: int) -> str:
        """The sentence before a statement, or the line above its list, as `CitationReader` gives it."""
        before = self._text[max(0, end - _LONGEST_LEAD) : end].rstrip("-*+•# \n\t")
        return before[start:] if (start := max((s for s, _ in sentences(before)), default=-1)) >= 0 else ""

    def _number(self, document: Document, new: list[Document]) -> int:
        key = (document_source(document), document.page_content)
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            new.append(document)
            self._documents.append(document)
        return self._numbers[key]

    def _span(self, part: Mapping[str, Any]) -> tuple[int, int]:
        """Where the part stands, as Python counts. The service's `end` is the part's last character."""
        text, span = part.get("text") or "", part.get("span") or {}
        start, end = int(span.get("start", 0)), int(span.get("end", -1))
        if not text:
            return start, max(start, end + 1)
        if self._text.startswith(text, start):
            return start, start + len(text)
        found = self._text.find(text)
        return (found, found + len(text)) if found >= 0 else (start, max(start, end + 1))
