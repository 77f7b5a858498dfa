"""The part of a document that is shown round a place: whole, or a window of what is too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.grounding.answers import document_id, positive_int

WINDOW = 200_000
"""Characters of a document that are sent at once."""

MOST_PARTS = 200
"""Pages, rows or slides that are sent at once."""


def source_parts(documents: Sequence[Document], wanted: str | None, page: int | None) -> tuple[int, int]:
    """The range of parts to show round the wanted one.

    Args:
        documents: The parts of a file: pages, rows, slides, or the one that is the whole.
        wanted: Id of a part.
        page: Page of a part, where no id is given.
    """
    at = 0
    for number, document in enumerate(documents):
        if wanted is not None and document_id(document) == wanted:
            at = number
            break
        if wanted is None and page is not None and document.metadata.get("page") == page:
            at = number
            break
    first = max(0, min(at - MOST_PARTS // 2, len(documents) - MOST_PARTS))
    last, size = at + 1, len(documents[at].page_content) if documents else 0
    while last < min(len(documents), first + MOST_PARTS) and size < WINDOW:
        size += len(documents[last].page_content)
        last += 1
    begin = at
    while begin > first and size < WINDOW:
        begin -= 1
        size += len(documents[begin].page_content)
    return begin, last


def window(documents: Sequence[Document], parts: tuple[int, int], at: int) -> dict[str, Any]:
    """The parts as JSON-able values; of a single long one, the lines round an offset.

    Args:
        documents: The parts of a file.
        parts: Which of them.
        at: Offset in characters, in the wanted part.
    """
    begin, end = parts
    shown = []
    for document in documents[begin:end]:
        text, start = document.page_content, 0
        if len(text) > 2 * WINDOW:
            start = max(0, min(at, len(text)) - WINDOW // 2)
            start = text.rfind("\n", 0, start) + 1 if start else 0
            if start < at - WINDOW:  # one endless line
                start = at - WINDOW // 2
            text = text[start : start + WINDOW]
        line = positive_int(document.metadata.get("line"))
        if line is not None:
            line += document.page_content.count("\n", 0, start)
        shown.append(
            {
                "id": document_id(document),
                "text": text,
                "start": start,
                "length": len(document.page_content),
                "page": positive_int(document.metadata.get("page")),
                "line": line,
                "row": positive_int(document.metadata.get("row")),
                "heading": document.metadata.get("heading"),
                "title": document.metadata.get("title"),
            }
        )
    return {"parts": shown, "first": begin, "total": len(documents)}
