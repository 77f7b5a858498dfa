"""What a document is found by: its text, with its title and headings in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.documents import Document


def searchable_text(document: Document) -> str:
    """What a document is found by; see `with_context`."""
    return with_context(document.page_content, document.metadata)


def with_context(text: str, metadata: Mapping[str, Any]) -> str:
    """A text with its title and heading path, where the metadata have them, in front.

    A chunk from the middle of a section often does not name what it is about; its headings do. With titles in
    the metadata alone, nDCG@10 of hybrid retrieval on Cranfield is .357, with them in front .404
    (``benchmarks/retrieval_quality.py``).
    """
    named = [value for key in ("title", "heading") if isinstance(value := metadata.get(key), str) and value]
    if len(named) == 2 and named[1].startswith(named[0]):
        del named[0]
    if len(named) == 1 and text.startswith(named[0]):
        del named[0]
    return "\n".join([*named, text])


def query_text(query: object) -> str:
    """What is searched for.

    Raises:
        TypeError: It is no text, such as the input of a chain.
    """
    if not isinstance(query, str):
        raise TypeError(f"a search takes the text of the query, not {type(query).__name__}")
    return query
