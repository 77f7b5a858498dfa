"""Documents as LangChain's constructor makes them, in a third of the time: a folder has many thousands."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.model_copies import common_state, made


def constructed(text: str, metadata: dict[str, Any], id_: str) -> Document:
    """The document that the constructor makes."""
    return Document(page_content=text, metadata=metadata, id=id_)


@cache
def document_maker() -> Callable[[str, dict[str, Any], str], Document]:
    """What makes documents of texts that need no validation, and keeps the dict that it is given."""
    pair = constructed("a", {"b": 1}, "c"), constructed("d", {}, "e")
    state = common_state(*pair, "page_content", "metadata", "id")
    if state is None:
        return constructed
    values, fields_set, extra = state

    def copy(text: str, metadata: dict[str, Any], id_: str) -> Document:
        own = {**values, "page_content": text, "metadata": metadata, "id": id_}
        return made(Document, own, fields_set, extra)

    return copy
