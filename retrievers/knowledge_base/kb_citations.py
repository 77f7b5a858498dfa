"""What RetrieveAndGenerate answers, as a `RagAnswer`; no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.grounding.answers import (
    Citation,
    RagAnswerChunk,
    document_id,
    document_source,
    positive_int,
)
from llama_bedrock.retrievers.knowledge_base.results import to_document

UNABLE = "Sorry, I am unable to assist you with this request"
"""How the service's answer begins when it has found none."""

_WORD = re.compile(r"\w+")
_SHORT_WORD = 2  # characters: articles, prepositions and the like say little about support


class AnswerReader:
    """Takes the answer of one question, whole or event by event; gives chunks that add up to the `RagAnswer`.

    Args:
        question: What was asked.
    """

    def __init__(self, question: str) -> None:
        self._question = question
        self._started = perf_counter()
        self._first_token: float | None = None
        self._text = ""
        self._numbers: dict[tuple[str, str], int] = {}
        self._parts = 0
        self._supported_parts = 0
        self._action: str | None = None

    def response(self, response: Mapping[str, Any]) -> list[RagAnswerChunk]:
        """The whole answer, from the response of RetrieveAndGenerate."""
        action = response.get("guardrailAction")
        chunks = [self.text(response.get("output", {}).get("text", ""))]
        chunks.extend(self.citation(citation) for citation in response.get("citations", ()))
        if action is not None:
            self._action = action
        return [*chunks, self.finish(response.get("sessionId"))]

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
        references = citation.get("retrievedReferences") or ()
        self._parts += 1
        self._supported_parts += bool(references)
        span = self._span(part)
        new: list[Document] = []
        citations = []
        for reference in references:
            document = to_document(reference)
            number = self._number(document, new)
            citations.append(_citation(number, span, self._text[slice(*span)], document))
        return RagAnswerChunk(citations=tuple(citations), documents=tuple(new))

    def finish(self, session_id: str | None) -> RagAnswerChunk:
        """What is known at the end."""
        total = perf_counter() - self._started
        timings = {"total": total}
        if self._first_token is not None:
            timings["first_token"] = self._first_token
        return RagAnswerChunk(
            question=self._question,
            session_id=session_id,
            guardrail_action=self._action,
            no_answer=not self._numbers and self._text.strip().startswith(UNABLE),
            grounded_fraction=self._supported_parts / self._parts if self._parts else 0.0,
            stop_reason="guardrail" if self._action == "INTERVENED" else "stop",
            timings=timings,
        )

    def _number(self, document: Document, new: list[Document]) -> int:
        key = (document_source(document), document.page_content)
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            new.append(document)
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


def _citation(number: int, span: tuple[int, int], statement: str, document: Document) -> Citation:
    text = document.page_content
    return Citation(
        number=number,
        span=span,
        quote=text,
        source=document_source(document),
        document_id=document_id(document),
        page=positive_int(document.metadata.get("page")),
        line=positive_int(document.metadata.get("line")),
        offsets=(0, len(text)) if text else None,
        supported=bool(text),
        score=_overlap(_words(statement), _words(text)),
    )


def _overlap(statement: Sequence[str], text: Sequence[str]) -> float:
    """Share of the statement's words that stand in the text."""
    found = set(text)
    return round(sum(word in found for word in statement) / len(statement), 3) if statement else 0.0


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if len(word) > _SHORT_WORD or word.isdigit()]
