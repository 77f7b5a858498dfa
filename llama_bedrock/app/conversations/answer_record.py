"""What a conversation keeps of a checked answer: places and verdicts, not the passages' texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.grounding.answers import Citation, RagAnswer, document_id, document_source, positive_int
from llama_bedrock.grounding.citations import CitationReader
from llama_bedrock.grounding.claims import Verifier
from llama_bedrock.grounding.verify import arun_verifier

ANSWER_KEY = "rag_answer"
"""Key of a message's ``response_metadata`` that holds the record."""

_NUMBER = "citation_number"  # of a document that an agent's search found


def answer_record(answer: RagAnswer, model: str | None = None) -> dict[str, Any]:
    """An answer as JSON-able values, small enough to be kept with each message.

    The texts of the passages are not in it: `Document` ids lead back to them. ``statements`` are the places
    of the answer's statements in its text.

    Args:
        answer: The checked answer.
        model: Id of the model that wrote it.
    """
    numbered = _numbered(answer.documents)
    reader = CitationReader(numbered)
    reader.feed(answer.text)
    reader.close()
    whole = answer.to_dict()
    kept = ("usage", "timings", "no_answer", "removed_marks", "question", "stop_reason", "guardrail_action")
    return {
        **{name: whole[name] for name in kept},
        "model": model,
        "citations": whole["citations"],
        "statements": [list(span) for span in reader.statements],
        "documents": [{"number": n, **passage_place(d)} for n, d in numbered.items()],
        "left_out": [
            {**passage_place(d), "reason": str(d.metadata.get("left_out", ""))}
            for d in answer.documents_left_out
        ],
    }


def passage_place(document: Document) -> dict[str, Any]:
    """Where a passage stands, and how well it fitted, as JSON-able values."""
    known = document.metadata
    score = known.get("score")
    return {
        "id": document.id,
        "document_id": document_id(document),
        "source": document_source(document),
        "title": known.get("title"),
        "heading": known.get("heading"),
        "page": positive_int(known.get("page")),
        "line": positive_int(known.get("line")),
        "start": known.get("start_index"),
        "end": known.get("end_index"),
        "score": round(float(score), 4) if isinstance(score, (int, float)) else None,
    }


async def verified_again(
    text: str, record: Mapping[str, Any], passages: Mapping[int, Document], verifier: Verifier
) -> dict[str, Any]:
    """The record of an answer with the verdicts of another verifier.

    Args:
        text: The answer.
        record: What `answer_record` made of it.
        passages: The passages that the model saw, by number.
        verifier: Judges the statements.
    """
    reader = CitationReader(dict(passages), verifier, question=str(record.get("question") or ""))
    reader.feed(text)
    reader.close(cut=record.get("stop_reason") == "length")
    later, _ = await arun_verifier(reader.parts)
    citations: Sequence[Citation] = later or reader.citations
    return {**record, "citations": [citation.to_dict() for citation in citations]}


def _numbered(documents: Sequence[Document]) -> dict[int, Document]:
    return {int(d.metadata.get(_NUMBER) or place): d for place, d in enumerate(documents, 1)}
