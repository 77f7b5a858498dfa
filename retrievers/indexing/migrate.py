"""The way out when one machine is not enough: a FAISSStore into Qdrant, documents, vectors and filters.

    store = FAISSStore.load("index")
    qdrant = migrate_to_qdrant(store, "handbook", ":memory:")  # or "http://localhost:6333"
    qdrant.similarity_search("token limit", k=4, filter=qdrant_filter({"year": {"$gte": 2024}}))

The result is LangChain's own `QdrantVectorStore`, which works in `HybridRetriever` and the chains as any
vector store.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.argument_kinds import AtLeastOne, refuses_wrong_kinds
from llama_bedrock.retrievers.filters import And, Comparison, Filter, Not, Or, kind_of, parse_filter
from llama_bedrock.retrievers.store.faiss_store import FAISSStore

if TYPE_CHECKING:
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient
    from qdrant_client.models import Filter as QdrantFilter

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_EXACT_FLOAT = 2**53
_ORDER = ("gt", "gte", "lt", "lte")


@refuses_wrong_kinds
def migrate_to_qdrant(
    store: FAISSStore,
    collection_name: str,
    target: str | QdrantClient = ":memory:",
    *,
    api_key: str | None = None,
    batch_size: AtLeastOne = 256,
    on_progress: Callable[[int], None] | None = None,
) -> QdrantVectorStore:
    """Copy a store into a Qdrant collection. Nothing is embedded again; run again, it brings the copy up to
    date.

    Args:
        store: What to copy.
        collection_name: The collection; made if it is missing.
        target: URL of a Qdrant server, folder of a local Qdrant, ``":memory:"``, or a client of the caller's
            own.
        api_key: Key of the server.
        batch_size: Documents in one request.
        on_progress: Called with the number of documents copied, after each request.

    Returns:
        The collection as a LangChain vector store with the embeddings of the store. A document's id there is
        its own where that is a UUID, else `point_id` of it; its payload keeps the original as ``id``.

    Raises:
        ImportError: The extra ``qdrant`` is not installed.
        ValueError: The store is empty, or the collection holds vectors of another size or distance.
    """
    langchain_qdrant, models = (
        require("langchain_qdrant", "qdrant"),
        require("qdrant_client.models", "qdrant"),
    )
    if store.dimension is None:
        raise ValueError("the store is empty: there is nothing to migrate")
    client = _client(target, api_key) if isinstance(target, str) else target
    distance = {
        "cosine": models.Distance.COSINE,
        "inner_product": models.Distance.DOT,
        "l2": models.Distance.EUCLID,
    }[store.metric]
    _prepare(client, collection_name, models.VectorParams(size=store.dimension, distance=distance))
    copied = 0
    for batch in batches(store.documents(), batch_size):
        client.upsert(collection_name, points=_points(store, batch, models), wait=True)
        copied += len(batch)
        if on_progress is not None:
            on_progress(copied)
    _delete_strays(client, collection_name, store, models)
    result: QdrantVectorStore = langchain_qdrant.QdrantVectorStore(
        client, collection_name, embedding=store.embeddings, distance=distance
    )
    return result


def point_id(document_id: str) -> str:
    """The id of a document in Qdrant, which takes UUIDs only: itself if it is one, else a UUID made from
    it.
    """
    try:
        return str(uuid.UUID(document_id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, document_id))


def qdrant_filter(filter_: Filter | Mapping[str, Any] | None) -> QdrantFilter | None:
    """A filter of this project (`filters.py`) as Qdrant's, for `QdrantVectorStore`.

    It means the same, but for one case: Qdrant takes an empty list for a missing value.

    Raises:
        ValueError: It is malformed, or Qdrant cannot express it: the order of texts.
    """
    parsed = parse_filter(filter_)
    return None if parsed is None else _translate(parsed, require("qdrant_client.models", "qdrant"))


def _client(target: str, api_key: str | None) -> QdrantClient:
    client_class = require("qdrant_client", "qdrant").QdrantClient
    if target == ":memory:":
        return client_class(location=target)  # type: ignore[no-any-return]
    if target.startswith(("http://", "https://")):
        # Its check of versions is one more request, and a warning where that fails: the next one says why.
        return client_class(url=target, api_key=api_key, check_compatibility=False)  # type: ignore[no-any-return]
    # It would ask SQLite whether threads may share a connection, and leave the one it asks through unclosed
    # (qdrant-client 1.20; Python 3.13 warns). Python's SQLite is built for threads.
    return client_class(path=target, force_disable_check_same_thread=True)  # type: ignore[no-any-return]


def _prepare(client: QdrantClient, name: str, wanted: Any) -> None:
    if not client.collection_exists(name):
        client.create_collection(name, vectors_config=wanted)
        return
    found: Any = client.get_collection(name).config.params.vectors
    if getattr(found, "size", None) != wanted.size or found.distance != wanted.distance:
        raise ValueError(
            f"the collection {name!r} exists and does not hold vectors of size {wanted.size} with "
            f"{wanted.distance.value} distance; choose another name, or delete it first"
        )


def batches(documents: Iterator[Document], size: int) -> Iterator[list[Document]]:
    while batch := list(islice(documents, size)):
        yield batch


def _points(store: FAISSStore, documents: list[Document], models: Any) -> list[Any]:
    ids = [str(document.id) for document in documents]
    return [
        models.PointStruct(
            id=point_id(id_),
            vector=vector.tolist(),
            payload={"page_content": document.page_content, "metadata": document.metadata, "id": id_},
        )
        for id_, document, vector in zip(ids, documents, store.vectors(ids), strict=True)
    ]


def _delete_strays(client: QdrantClient, name: str, store: FAISSStore, models: Any) -> None:
    """Delete the points of an earlier migration whose documents the store no longer holds."""
    kept = {point_id(id_) for id_ in store.matching_ids(None)}
    offset: Any = None
    strays: list[Any] = []
    while True:
        points, offset = client.scroll(name, limit=1000, offset=offset, with_payload=["id"])
        strays += [
            point.id for point in points if "id" in (point.payload or {}) and str(point.id) not in kept
        ]
        if offset is None:
            break
    if strays:
        client.delete(name, points_selector=models.PointIdsList(points=strays), wait=True)


def _translate(filter_: Filter, models: Any) -> Any:
    match filter_:
        case And():
            return models.Filter(must=[_translate(operand, models) for operand in filter_.operands])
        case Or():
            return models.Filter(should=[_translate(operand, models) for operand in filter_.operands])
        case Not():
            return models.Filter(must_not=[_translate(filter_.operand, models)])
        case Comparison():
            return _comparison(filter_, models)
        case _:
            raise TypeError(f"unknown kind of filter: {type(filter_).__name__}")


def _comparison(comparison: Comparison, models: Any) -> Any:
    operator, value = comparison.operator, comparison.value
    if operator in ("ne", "nin"):
        positive = Comparison(comparison.key, "eq" if operator == "ne" else "in", value)
        return models.Filter(must_not=[_comparison(positive, models)])
    path = _path(comparison.key)
    if operator == "in":
        assert isinstance(value, tuple)
        equal = [_comparison(Comparison(comparison.key, "eq", one), models) for one in value]
        return models.Filter(should=equal or [models.HasIdCondition(has_id=[])])
    if operator == "eq" and value is None:
        return models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key=path))])
    if operator == "list_contains":
        return models.Filter(must=[_equal(f"{path}[]", value, models)])
    if operator == "contains" and isinstance(value, str):
        part = _substring(path, value, models)
        return models.Filter(should=[_scalar(path, part, models), _equal(f"{path}[]", value, models)])
    if operator == "contains":
        return models.Filter(must=[_equal(f"{path}[]", value, models)])
    if operator == "string_contains":
        return models.Filter(must=[_substring(path, value, models)])
    return _scalar(path, _scalar_condition(comparison, path, models), models)


def _scalar_condition(comparison: Comparison, path: str, models: Any) -> Any:
    operator, value = comparison.operator, comparison.value
    if operator == "startswith":
        return models.FieldCondition(key=path, match=models.MatchPrefix(prefix=value))
    if operator in _ORDER:
        if kind_of(value) != "number":
            raise ValueError(f"filter on {comparison.key!r}: Qdrant orders numbers only, got {value!r}")
        return models.FieldCondition(key=path, range=models.Range(**{operator: value}))
    return _equal(path, value, models)


def _scalar(path: str, condition: Any, models: Any) -> Any:
    """Qdrant compares with each member of a list; here a list has no members to address, so it is none."""
    no_members = models.IsEmptyCondition(is_empty=models.PayloadField(key=f"{path}[]"))
    return models.Filter(must=[condition, no_members])


def _equal(path: str, value: Any, models: Any) -> Any:
    if kind_of(value) == "number" and abs(value) <= _EXACT_FLOAT:
        # MatchValue takes no float, and does not match 1.0 with 1.
        return models.FieldCondition(key=path, range=models.Range(gte=value, lte=value))
    return models.FieldCondition(key=path, match=models.MatchValue(value=value))


def _substring(path: str, value: Any, models: Any) -> Any:
    return models.FieldCondition(key=path, match=models.MatchSubstring(substring=value))


def _path(key: str) -> str:
    if _PLAIN_KEY.fullmatch(key):
        return f"metadata.{key}"
    if '"' in key:
        raise ValueError(f"filter on {key!r}: Qdrant cannot address a key with a quotation mark")
    return f'metadata."{key}"'
