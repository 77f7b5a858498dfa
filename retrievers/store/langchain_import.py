"""Stores of langchain-community's FAISS, read without running what a pickle says.

Such a store is saved as ``index.faiss``, written by FAISS, and ``index.pkl``, the pickle of a pair: a
docstore with the documents by id, and the id of each vector by its number. A pickle can name any function of
any module and have it called. The one that is read here knows two classes, the in-memory docstore and the
document, under the names that LangChain gave them over the years, and puts records of our own in their place;
anything else is refused before it is imported.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats
from llama_bedrock.retrievers.store.vector_index import Metric

faiss = require("faiss", "local")

INDEX_NAME = "index"
"""What langchain-community calls its two files unless told otherwise."""


@dataclass(frozen=True, slots=True)
class LangChainStore:
    """What a store of langchain-community holds.

    Attributes:
        documents: The documents, each with the id it has in the docstore.
        vectors: Their vectors, one per row, as they are stored.
        metric: How that store compares them.
        embedding: The embeddings it was made with, where they are known.
    """

    documents: list[Document]
    vectors: Floats
    metric: Metric
    embedding: Embeddings | None = None


def holds_langchain_store(folder: Path, name: str = INDEX_NAME) -> bool:
    """Whether langchain-community's FAISS was saved in a folder."""
    return (folder / f"{name}.faiss").is_file() and (folder / f"{name}.pkl").is_file()


def read_langchain_store(source: Any, name: str = INDEX_NAME) -> LangChainStore:
    """Read a store of langchain-community: a folder it was saved in, or the object itself.

    Args:
        source: The folder, or the ``FAISS`` object.
        name: Its ``index_name``, for a folder.

    Raises:
        FileNotFoundError: There is none in the folder.
        ValueError: It is none, its pickle holds something else than documents, or its parts do not fit.
    """
    if isinstance(source, (str, Path)):
        return _read_folder(Path(source), name)
    parts = [getattr(source, part, None) for part in ("index", "docstore", "index_to_docstore_id")]
    documents = getattr(parts[1], "_dict", None)
    if parts[0] is None or not isinstance(documents, Mapping) or not isinstance(parts[2], Mapping):
        raise ValueError(
            "from_langchain() takes the folder or the FAISS object of langchain-community, with its "
            f"in-memory docstore; not {type(source).__name__}"
        )
    embedding = getattr(source, "embeddings", None)
    found = _join(parts[0], documents, parts[2], "the store")
    is_cosine = getattr(source, "_normalize_L2", False)  # its queries are normalised as its vectors are
    metric: Metric = "cosine" if is_cosine else found.metric
    return LangChainStore(
        found.documents, found.vectors, metric, embedding if isinstance(embedding, Embeddings) else None
    )


def _read_folder(folder: Path, name: str) -> LangChainStore:
    for file in (folder / f"{name}.faiss", folder / f"{name}.pkl"):
        if not file.is_file():
            raise FileNotFoundError(
                f"langchain-community's FAISS saves {name}.faiss and {name}.pkl; there is no {file}"
            )
    docstore, ids = _read_pickle(folder / f"{name}.pkl")
    try:
        index = faiss.read_index(str(folder / f"{name}.faiss"))
    except RuntimeError as error:
        raise ValueError(f"{folder / name}.faiss cannot be read by FAISS: {error}") from error
    return _join(index, docstore, ids, str(folder))


def _join(index: Any, docstore: Mapping[Any, Any], ids: Mapping[Any, Any], where: str) -> LangChainStore:
    """Documents and vectors, put together by number."""
    if hasattr(index, "id_map"):
        raise ValueError(
            f"{where}: its FAISS index numbers vectors by ids of its own, which is not understood"
        )
    if index.metric_type not in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        raise ValueError(
            f"{where}: its FAISS index compares by metric {index.metric_type}, which is not known"
        )
    count = int(index.ntotal)
    if sorted(ids) != list(range(count)):
        raise ValueError(
            f"{where}: there are {count} vectors, and ids for {len(ids)}: its two files differ in age"
        )
    documents = []
    for number in range(count):
        document = docstore.get(ids[number])
        if document is None:
            raise ValueError(
                f"{where}: vector {number} belongs to document {ids[number]!r}, which is not there"
            )
        documents.append(_document(document, ids[number], where))
    metric: Metric = "l2" if index.metric_type == faiss.METRIC_L2 else "inner_product"
    return LangChainStore(documents, _vectors(index, count, where), metric)


def _vectors(index: Any, count: int, where: str) -> Floats:
    if not count:
        return np.empty((0, index.d), np.float32)
    try:
        if hasattr(index, "make_direct_map"):
            index.make_direct_map()  # an IVF index finds a vector by its number only with one
        vectors: Floats = index.reconstruct_n(0, count)
    except RuntimeError as error:
        raise ValueError(
            f"{where}: its index of type {type(index).__name__} does not give its vectors back"
        ) from error
    return vectors


def _document(found: Any, id_: Any, where: str) -> Document:
    text, metadata = found.page_content, found.metadata
    if not isinstance(id_, str) or not isinstance(text, str) or not isinstance(metadata, dict):
        raise ValueError(f"{where}: document {id_!r} has no text, or no metadata")
    return Document(text, metadata=dict(metadata), id=id_)


class _Record:
    """Stands for an object of the pickle: keeps its attributes, runs nothing."""

    def __setstate__(self, state: Any) -> None:
        fields = state.get("__dict__", state) if isinstance(state, dict) else None
        if not isinstance(fields, dict):
            raise pickle.UnpicklingError("an object without attributes")
        self.fields = fields


class _Docstore(_Record):
    pass


class _PickledDocument(_Record):
    @property
    def page_content(self) -> Any:
        return self.fields.get("page_content")

    @property
    def metadata(self) -> Any:
        return self.fields.get("metadata")


_KNOWN: Mapping[tuple[str, str], type] = {
    **{
        (f"{module}.docstore.in_memory", "InMemoryDocstore"): _Docstore
        for module in ("langchain_community", "langchain", "langchain_classic")
    },
    **{
        (module, "Document"): _PickledDocument
        for module in (
            "langchain_core.documents.base",
            "langchain_core.documents",
            "langchain.schema.document",
            "langchain.schema",
            "langchain.docstore.document",
        )
    },
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,  # pydantic's list of the fields that were given
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def _read_pickle(file: Path) -> tuple[Mapping[Any, Any], Mapping[Any, Any]]:
    """The documents by id, and the ids by number.

    Raises:
        ValueError: It is no pickle, names something else than documents, or is not such a pair.
    """
    try:
        pair = _Unpickler(io.BytesIO(file.read_bytes())).load()
    # A pickle is a program: one that was damaged or made up can fail in any way, and is then not a docstore.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{file} is refused: {reason}. Only documents with metadata of texts, numbers, lists and dicts "
            "are read; a pickle that names anything else could run any code. If you trust it, load it with "
            "langchain-community and give from_langchain() the object"
        ) from error
    docstore, ids = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, None)
    documents = docstore.fields.get("_dict") if isinstance(docstore, _Docstore) else None
    if (
        not isinstance(documents, dict)
        or not isinstance(ids, dict)
        or not all(isinstance(document, _PickledDocument) for document in documents.values())
        or not all(isinstance(number, int) for number in ids)
    ):
        raise ValueError(
            f"{file} is refused: it is no docstore of langchain-community with documents and ids"
        )
    return documents, ids
