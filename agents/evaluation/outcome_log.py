"""The outcomes of an evaluation in a file, a line each, so that a run that was cut off goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.agents.evaluation.rag_evaluation import Dataset, Outcome, Question
from llama_bedrock.grounding.answers import Citation, RagAnswer, document_source

_VERSION = 1
_OF_ANSWER = ("text", "usage", "no_answer", "removed_marks", "stop_reason", "grounded_fraction")


class OutcomeLog:
    """Outcomes in a file of JSON lines; the first line says what was evaluated.

    Args:
        path: The file; made where there is none.
        dataset: What is asked, and of which documents.
        settings: Whatever else the outcomes depend on, as JSON-able values.

    Raises:
        ValueError: The file holds outcomes of another evaluation, or something else.
    """

    def __init__(self, path: Path, dataset: Dataset, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._lock = Lock()
        self._head = {
            "evaluation": _VERSION,
            "documents": _digest(dataset.documents),
            "settings": dict(settings),
        }
        self._rows = self._read()

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.exists() or not self.path.stat().st_size:
            return []
        whole, _, cut = self.path.read_bytes().rpartition(b"\n")
        try:
            head, *rows = [json.loads(line) for line in whole.splitlines()]
        except (ValueError, RecursionError):
            raise ValueError(f"{self.path} holds no outcomes of an evaluation; name another file") from None
        if head != json.loads(json.dumps(self._head)):
            kept = head.get("settings") if isinstance(head, dict) else None
            raise ValueError(
                f"{self.path} holds outcomes of another evaluation ({kept}); name another file, or delete it"
            )
        if cut:  # of a process that was killed while it wrote
            with self.path.open("r+b") as file:
                file.truncate(len(whole) + 1)
        return rows

    def done(self, questions: Sequence[Question]) -> dict[str, Outcome]:
        """The outcomes of these questions that the file has, by id, without those that failed."""
        asked = {question.id: question for question in questions}
        found = {}
        for row in self._rows:
            question = asked.get(row["id"])
            if question is not None and row["text"] == question.text and row["answer"] is not None:
                found[question.id] = _outcome(question, row)
        return found

    def append(self, outcome: Outcome) -> None:
        """Write an outcome; it is on its way to the disk when this returns."""
        answer = outcome.answer
        told: dict[str, Any] | None = None
        if answer is not None:
            told = {name: getattr(answer, name) for name in _OF_ANSWER}
            told["citations"] = [citation.to_dict() for citation in answer.citations]
            told["documents"] = [document_source(document) for document in answer.documents]
        row = {
            "id": outcome.question.id,
            "text": outcome.question.text,
            "answer": told,
            "error": outcome.error,
            "metrics": dict(outcome.metrics),
            "seconds": dict(outcome.seconds),
            "usd": outcome.usd,
        }
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            if not file.tell():
                file.write(json.dumps(self._head) + "\n")
            file.write(json.dumps(row) + "\n")


def _outcome(question: Question, row: Mapping[str, Any]) -> Outcome:
    told = row["answer"]
    places = ("span", "offsets", "mark")
    citations = []
    for citation in told["citations"]:
        given: dict[str, Any] = {n: tuple(v) if n in places and v else v for n, v in citation.items()}
        citations.append(Citation(**given))
    answer = RagAnswer(
        **{name: told[name] for name in _OF_ANSWER if name != "removed_marks"},
        removed_marks=tuple(told["removed_marks"]),
        citations=tuple(citations),
        documents=tuple(Document("", metadata={"source": source}) for source in told["documents"]),
    )
    return Outcome(question, answer, None, row["metrics"], row["seconds"], row["usd"])


def _digest(documents: Sequence[Document]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(json.dumps([document.page_content, document.metadata], default=str).encode())
    return digest.hexdigest()
