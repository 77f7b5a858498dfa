"""The result of a question about documents: an answer, and citations that can be checked.

The RAG chain, the RAG agent and the Knowledge Base client all return these types.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages.ai import UsageMetadata

from llama_bedrock.usage import sum_usage


@dataclass(frozen=True, slots=True)
class Citation:
    """One mark of an answer, such as ``[2]``, and the place in a document that it points to.

    Attributes:
        number: The number of the mark, from 1; ``answer.documents[number - 1]`` is the document.
        span: Start and end (in characters of ``RagAnswer.text``) of the statement that carries the mark, the
            mark included.
        quote: The passage that backs the statement, verbatim from the document; empty when there is none.
        source: The file, URL or name of the document (``metadata["source"]``).
        document_id: Id of the document: ``metadata["document_id"]``, its LangChain id, or a hash of source
            and text.
        page: Page of the quote, from 1, where the format has pages.
        line: Line of the quote in the source, from 1, for text files.
        offsets: Start and end of the quote in characters of the loaded source text; of the retrieved text
            where the retriever does not say where its text starts. None without a quote.
        supported: True or False when the verifier found the document to back the statement or not; None when
            that was not decided, which is no "no".
        score: How much speaks for the statement, 0 to 1, by the verifier; without one the share of its
            content words that stand in the quote.
        mark: Start and end of the mark itself in ``RagAnswer.text``; None for services that do not write
            marks.
        reason: Why, in a few words for people.
        verified_by: Name of the verifier, such as ``"words"``; empty where none was asked.
    """

    number: int
    span: tuple[int, int]
    quote: str
    source: str
    document_id: str
    page: int | None = None
    line: int | None = None
    offsets: tuple[int, int] | None = None
    supported: bool | None = None
    score: float = 0.0
    mark: tuple[int, int] | None = None
    reason: str = ""
    verified_by: str = ""

    @property
    def location(self) -> str:
        """Source with page or line, for people: ``guide.pdf, page 3`` or ``guide.md, line 12``."""
        return _location(self.source, self.page, self.line)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {f.name: _jsonable(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class RagAnswer:
    """An answer about documents.

    Attributes:
        text: The answer, with its marks ``[1]``. Marks that named no document are not in it.
        citations: One for each mark, in the order of the text.
        documents: The documents the model saw; the mark ``[n]`` means ``documents[n - 1]``.
        documents_left_out: Retrieved, but not shown to the model: duplicates, over the limit per document, or
            beyond the token budget. Each carries ``metadata["left_out"]``, the reason.
        usage: Tokens of every model call that was made for this answer; None when no call was made or none
            was told.
        timings: Seconds by step: ``condense``, ``retrieve``, ``first_token`` (from the end of retrieval),
            ``generate``, ``verify``, ``total``; steps that did not run are absent.
        grounded_fraction: Share of all statements of the answer that carry a citation that was found to be
            supported, 0 to 1. The rest is undecided (next attribute), refuted, or cites nothing.
        undecided_fraction: Share of all statements whose citations were not decided, 0 to 1.
        session_id: Session of a Knowledge Base, to continue the conversation.
        guardrail_action: What a Bedrock guardrail did (``"INTERVENED"`` or ``"NONE"``), where one was used.
        no_answer: True when the documents hold no answer; there are no citations then.
        removed_marks: Marks the model wrote that name no document, such as ``"[99]"``; they were cut from the
            text.
        question: The question that was searched for: the one asked, or its stand-alone form after a
            conversation.
        stop_reason: Why the model stopped: ``"stop"``, ``"length"`` (the answer is cut) or ``"guardrail"``.
    """

    text: str = ""
    citations: tuple[Citation, ...] = ()
    documents: tuple[Document, ...] = ()
    documents_left_out: tuple[Document, ...] = ()
    usage: UsageMetadata | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    grounded_fraction: float = 0.0
    undecided_fraction: float = 0.0
    session_id: str | None = None
    guardrail_action: str | None = None
    no_answer: bool = False
    removed_marks: tuple[str, ...] = ()
    question: str = ""
    stop_reason: str | None = None

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """The whole result as JSON-able values, documents and citations included."""
        return {f.name: _jsonable(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class RagAnswerChunk(RagAnswer):
    """A part of a :class:`RagAnswer` in a stream; ``+`` adds parts up.

    The first chunk carries the documents, then come chunks with text, each citation as soon as its statement
    is complete (its spans count from the start of the whole text); usage, timings and stop reason come last.
    A verifier that needs the whole answer gives its verdicts at the end: the last chunk then carries every
    citation again, and takes the place of the earlier, undecided ones.
    """

    def __add__(self, other: RagAnswer) -> RagAnswerChunk:
        return RagAnswerChunk(
            text=self.text + other.text,
            citations=_merged(self.citations, other.citations),
            documents=self.documents + other.documents,
            documents_left_out=self.documents_left_out + other.documents_left_out,
            usage=sum_usage(self.usage, other.usage),
            timings={**self.timings, **other.timings},
            grounded_fraction=other.grounded_fraction or self.grounded_fraction,
            undecided_fraction=other.undecided_fraction or self.undecided_fraction,
            session_id=other.session_id or self.session_id,
            guardrail_action=other.guardrail_action or self.guardrail_action,
            no_answer=self.no_answer or other.no_answer,
            removed_marks=self.removed_marks + other.removed_marks,
            question=other.question or self.question,
            stop_reason=other.stop_reason or self.stop_reason,
        )

    def to_answer(self) -> RagAnswer:
        """The same content as a :class:`RagAnswer`, for the sum of a whole stream."""
        return RagAnswer(**{f.name: getattr(self, f.name) for f in fields(self)})


def document_source(document: Document) -> str:
    """Where a document comes from: ``metadata["source"]``, else its id, else ``"unknown"``."""
    return str(document.metadata.get("source") or document.id or "unknown")


def document_id(document: Document) -> str:
    """A stable id: ``metadata["document_id"]``, else the document's own, else a hash of source and text."""
    known = document.metadata.get("document_id") or document.id
    if known:
        return str(known)
    content = f"{document_source(document)}\0{document.page_content}"
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def document_location(document: Document) -> str:
    """Source with page or first line, for people: ``guide.pdf, page 3``."""
    metadata = document.metadata
    return _location(
        document_source(document), positive_int(metadata.get("page")), positive_int(metadata.get("line"))
    )


def positive_int(value: Any) -> int | None:
    """A page or line number from metadata of any origin: an int from 1, or None.

    Whole floats count: JSON and several vector stores make 3.0 of 3.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < 1e15:
        return None
    return int(value) if value == int(value) else None


def _merged(known: tuple[Citation, ...], new: tuple[Citation, ...]) -> tuple[Citation, ...]:
    """All citations; one that was told before takes the place of the earlier one."""
    if not known or not new:
        return known or new
    by_place = {(c.number, c.span, c.mark): c for c in known}
    by_place.update({(c.number, c.span, c.mark): c for c in new})
    return tuple(by_place.values())


def _location(source: str, page: int | None, line: int | None) -> str:
    if page is not None:
        return f"{source}, page {page}"
    return source if line is None else f"{source}, line {line}"


def _jsonable(value: Any) -> Any:
    if isinstance(value, (Citation, RagAnswer)):
        return value.to_dict()
    if isinstance(value, Document):
        return {"id": value.id, "page_content": value.page_content, "metadata": _jsonable(value.metadata)}
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(item) for item in value]
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)
