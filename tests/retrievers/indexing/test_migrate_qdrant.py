"""A FAISSStore moved to Qdrant (its real local mode): the same documents, scores and filtered results."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from qdrant_client import QdrantClient

from llama_bedrock.retrievers.filters import And, Comparison, Filter, Not, Or
from llama_bedrock.retrievers.indexing.migrate import migrate_to_qdrant, point_id, qdrant_filter
from llama_bedrock.retrievers.store.faiss_store import FAISSStore

pytestmark = pytest.mark.slow


def store_of(metadatas: list[dict[str, Any]], **arguments: Any) -> FAISSStore:
    documents = [Document(page_content=f"t {n}", id=f"d{n}", metadata=m) for n, m in enumerate(metadatas)]
    return FAISSStore.from_documents(documents, DeterministicFakeEmbedding(size=6), **arguments)


def found(results: list[tuple[Document, float]]) -> list[tuple[str, float]]:
    return [(document.page_content, pytest.approx(score, abs=1e-5)) for document, score in results]


@pytest.fixture
def library() -> list[dict[str, Any]]:
    return [
        {
            "year": 1990 + n % 40,
            "lang": ("en", "de", "fr")[n % 3],
            "tags": [f"t{n % 7}", "all"],
            "draft": n % 11 == 0,
        }
        | ({"rating": n / 10} if n % 2 else {})
        for n in range(300)
    ]


FILTERS: list[Any] = [
    None,
    {"lang": "de"},
    {"year": {"$gte": 2000, "$lt": 2010}},
    {"lang": {"$in": ["en", "fr"]}, "draft": False},
    {"rating": {"$gt": 7.5}},
    {"rating": None},
    {"rating": {"$ne": 0.1}},
    {"tags": {"$contains": "t3"}},
    {"tags": "t3"},
    {"lang": {"$startswith": "d"}},
    {"$or": [{"year": 1999}, {"$not": {"lang": {"$nin": ["fr"]}}}]},
]


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_searches_give_the_same_with_and_without_filters(library: Any, metric: Any) -> None:
    store = store_of(library, metric=metric)
    qdrant = migrate_to_qdrant(store, "library")
    for query in ("t 5", "something else"):
        for filter_ in FILTERS:
            here = store.similarity_search_with_score(query, k=8, filter=filter_)
            there = qdrant.similarity_search_with_score(query, k=8, filter=qdrant_filter(filter_))
            assert found(here) == [(document.page_content, score) for document, score in there]
            for (one, _), (other, _) in zip(here, there, strict=True):
                assert one.metadata.items() <= other.metadata.items()
                assert other.metadata["_id"] == point_id(str(one.id))


def test_migrating_again_brings_the_copy_up_to_date(library: Any, tmp_path: Path) -> None:
    store = store_of(library[:50])
    counts: list[int] = []
    folder = str(tmp_path / "q")
    qdrant = migrate_to_qdrant(store, "library", folder, batch_size=20, on_progress=counts.append)
    assert counts == [20, 40, 50]
    qdrant.client.close()
    store.delete(["d1", "d2"])
    store.add_documents([Document(page_content="new", id="d3", metadata={"year": 1})])
    own = uuid.uuid4().hex
    store.add_documents([Document(page_content="own", id=own)])
    client = QdrantClient(path=folder)
    qdrant = migrate_to_qdrant(store, "library", client)
    assert client.count("library").count == 49
    assert qdrant.similarity_search("new", k=1)[0].metadata["year"] == 1
    assert qdrant.get_by_ids([str(uuid.UUID(own))])[0].page_content == "own"
    client.close()


def test_a_collection_of_other_vectors_is_refused(library: Any) -> None:
    client = QdrantClient(":memory:")
    migrate_to_qdrant(store_of(library[:5]), "library", client)
    with pytest.raises(ValueError, match="choose another name"):
        migrate_to_qdrant(store_of(library[:5], metric="l2"), "library", client)
    with pytest.raises(ValueError, match="empty"):
        migrate_to_qdrant(FAISSStore(), "other", client)


def test_what_qdrant_cannot_express_is_an_error() -> None:
    with pytest.raises(ValueError, match="orders numbers only"):
        qdrant_filter({"lang": {"$gt": "a"}})
    with pytest.raises(ValueError, match="quotation mark"):
        qdrant_filter({'a"b': 1})
    with pytest.raises(ValueError, match="did you mean"):
        qdrant_filter({"year": {"$gtee": 1}})
    assert qdrant_filter({}) is None


texts = st.sampled_from(["a", "ab", "b", "1", "A", "é"])
numbers = st.one_of(st.integers(-2, 3), st.sampled_from([0.3, 1.5, 2**53 + 1, 2**60]))
scalars = st.one_of(texts, numbers, st.booleans())
keys = st.sampled_from(["k", "l", "a.b", "a b"])
members = st.lists(scalars, min_size=1, max_size=3)
metadatas_ = st.dictionaries(keys, st.one_of(scalars, st.none(), members, st.just({"x": 1})), max_size=4)
comparisons = st.one_of(
    st.builds(Comparison, keys, st.sampled_from(["eq", "ne"]), st.one_of(scalars, st.none())),
    st.builds(Comparison, keys, st.sampled_from(["in", "nin"]), st.lists(scalars, max_size=3).map(tuple)),
    st.builds(Comparison, keys, st.sampled_from(["gt", "gte", "lt", "lte"]), st.integers(-2, 3)),
    st.builds(Comparison, keys, st.sampled_from(["startswith", "string_contains"]), texts),
    st.builds(Comparison, keys, st.sampled_from(["contains", "list_contains"]), scalars),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda operands: And(tuple(operands))),
        st.lists(inner, min_size=1, max_size=2).map(lambda operands: Or(tuple(operands))),
        inner.map(Not),
    ),
    max_leaves=4,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(metadatas_, min_size=1, max_size=6), st.lists(filters, min_size=1, max_size=4))
def test_any_filter_means_the_same_in_qdrant(metadatas: list[dict[str, Any]], some: list[Filter]) -> None:
    store = store_of(metadatas)
    client = migrate_to_qdrant(store, "any").client
    for filter_ in some:
        points, _ = client.scroll("any", scroll_filter=qdrant_filter(filter_), limit=99)
        assert {point.payload["id"] for point in points if point.payload} == store.matching_ids(filter_)
