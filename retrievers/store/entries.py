"""Documents as callers give them, checked and made ready to be written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.retrievers.arrays import Floats
from llama_bedrock.retrievers.documents.document_copies import constructed, document_maker
from llama_bedrock.retrievers.embeddings.batches import as_array
from llama_bedrock.retrievers.filters import shown
from llama_bedrock.retrievers.store.collection import Vectors
from llama_bedrock.retrievers.store.document_table import Entry, Row, read_metadata
from llama_bedrock.retrievers.store.generations import StoreDamagedError
from llama_bedrock.retrievers.store.metadata_fields import encode_metadata


def as_documents(texts: Sequence[str], metadatas: Sequence[Mapping[str, Any]] | None) -> list[Document]:
    """Texts as documents without ids.

    Raises:
        ValueError: There are not as many metadatas as texts.
    """
    if metadatas is None:
        return [Document(page_content=text) for text in texts]
    if len(metadatas) != len(texts):
        raise ValueError(f"there are {len(texts)} texts and {len(metadatas)} metadatas")
    return [
        Document(page_content=text, metadata=dict(metadata))
        for text, metadata in zip(texts, metadatas, strict=True)
    ]


def as_entries(
    documents: Sequence[Document], given: Sequence[str | None] | None
) -> tuple[list[str], list[Entry]]:
    """The id of every document, and what is to be written: for a repeated id, its last document.

    Args:
        documents: The documents.
        given: Their ids; None, or a None among them: the document's own id, else a random one.

    Raises:
        ValueError: An id is no text, a text cannot be encoded, metadata is not JSON, or the numbers differ.
    """
    if isinstance(given, str):
        raise TypeError(f"ids={given!r}: a list of ids is needed")
    if given is not None and len(given) != len(documents):
        raise ValueError(f"there are {len(documents)} documents and {len(given)} ids")
    ids = [_id(given[n] if given is not None else None, document) for n, document in enumerate(documents)]
    entries: dict[str, Entry] = {}
    for id_, document in zip(ids, documents, strict=True):
        entries.pop(id_, None)
        entries[id_] = _entry(id_, document)
    return ids, list(entries.values())


def _id(given: str | None, document: Document) -> str:
    id_ = given if given is not None else document.id
    if id_ is None:
        return os.urandom(16).hex()
    if not isinstance(id_, str) or not id_:
        raise ValueError(f"a document's id must be a non-empty text, got {id_!r}")
    return id_


def _entry(id_: str, document: Document) -> Entry:
    try:
        document.page_content.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"document {id_!r}: its text holds a lone surrogate at {error.start}, which no file can hold; "
            'clean it with text.encode("utf-8", "replace").decode()'
        ) from None
    encoded = encode_metadata(document.metadata, f"document {id_!r}")
    return Entry(id_, document.page_content, document.metadata, encoded)


def last_vectors(vectors: Any, ids: Sequence[str]) -> Vectors:
    """Vectors in the order of `as_entries`: for a repeated id, its last one. Of a function, another one."""
    return partial(_last, vectors, ids) if callable(vectors) else _last(vectors, ids)


def _last(vectors: Any, ids: Sequence[str]) -> list[Floats]:
    vectors = vectors() if callable(vectors) else vectors
    array = as_array(vectors, len(ids)) if ids else None
    if array is None:
        return []
    last = {id_: number for number, id_ in enumerate(ids)}
    return [array if len(last) == len(ids) else array[sorted(last.values())]]


def check_arguments(kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that adding documents does not take.

    Raises:
        TypeError: There is one.
    """
    unknown = set(kwargs) - {"ids", "vectors", "batch_size"}
    if unknown:
        raise TypeError(f"unknown arguments {sorted(unknown)}; it takes ids, vectors and batch_size")


def as_document(row: Row) -> Document:
    """The document of a row, as its constructor makes it, in a third of the time.

    Raises:
        StoreDamagedError: The row is none of a document.
    """
    _, id_, text, metadata = row
    if type(id_) is type(text) is str:
        return document_maker()(text, read_metadata(metadata), id_)
    try:
        return constructed(text, read_metadata(metadata), id_)
    except ValueError as error:
        raise StoreDamagedError(f"the document {shown(id_)} is damaged: restore the store") from error


def checked_k(k: int) -> int:
    """How many documents to find.

    Raises:
        ValueError: That is no number of them.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be a positive integer, got {k!r}")
    return k


def refuse_unknown_search(kwargs: Mapping[str, Any]) -> None:
    """Refuse what a search does not take."""
    # langchain-community's FAISS needs fetch_k with a filter; here k documents come back without it.
    if unknown := set(kwargs) - {"fetch_k"}:
        raise TypeError(f"unknown search arguments {sorted(unknown)}; a search takes k and filter")
