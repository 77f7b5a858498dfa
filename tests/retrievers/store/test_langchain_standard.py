"""LangChain's own tests for vector stores and retrievers, on every kind of index and on an opened store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from llama_bedrock.retrievers.store.faiss_store import FAISSStore


class TestFlat(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> FAISSStore:
        return FAISSStore(self.get_embeddings(), kind="flat")


class TestGraph(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> FAISSStore:
        return FAISSStore(self.get_embeddings(), kind="hnsw")


class TestEuclidean(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> FAISSStore:
        return FAISSStore(self.get_embeddings(), metric="l2")


class TestOpened(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> FAISSStore:
        FAISSStore(self.get_embeddings()).save(tmp_path / "store")
        return FAISSStore.load(tmp_path / "store", self.get_embeddings())


class TestRetriever(RetrieversIntegrationTests):
    search_type = "similarity"

    @property
    def retriever_constructor(self) -> Any:
        store = FAISSStore.from_texts([f"page {n} of the llama handbook" for n in range(10)])

        def construct(k: int = 4) -> BaseRetriever:
            kwargs: dict[str, Any] = {"k": k}
            if self.search_type == "similarity_score_threshold":
                kwargs["score_threshold"] = 0.0
            return store.as_retriever(search_type=self.search_type, search_kwargs=kwargs)

        return construct

    @property
    def retriever_query_example(self) -> str:
        return "llama handbook page 3"


class TestDiverseRetriever(TestRetriever):
    search_type = "mmr"


class TestThresholdRetriever(TestRetriever):
    search_type = "similarity_score_threshold"


def of(*texts: str, source: str = "a.md") -> list[Document]:
    return [Document(page_content=text, metadata={"source": source}) for text in texts]


def test_the_index_api_adds_skips_and_cleans_up(embedding: Any) -> None:
    store = FAISSStore(embedding)
    records = InMemoryRecordManager("store")
    records.create_schema()

    def run(documents: list[Document]) -> dict[str, Any]:
        return dict(
            index(documents, records, store, cleanup="full", source_id_key="source", key_encoder="sha256")
        )

    assert run(of("one", "two"))["num_added"] == 2
    again = run(of("one", "two"))
    assert (again["num_added"], again["num_skipped"]) == (0, 2)
    changed = run(of("one", "three"))
    assert (changed["num_added"], changed["num_deleted"]) == (1, 1)
    assert sorted(document.page_content for document in store.documents()) == ["one", "three"]


async def test_the_async_index_api_does_the_same(embedding: Any) -> None:
    store = FAISSStore(embedding)
    records = InMemoryRecordManager("store")
    await records.acreate_schema()
    for texts, added in ((("one", "two"), 2), (("one", "two"), 0), (("two", "four"), 1)):
        result = await aindex(
            of(*texts), records, store, cleanup="incremental", source_id_key="source", key_encoder="sha256"
        )
        assert result["num_added"] == added
    assert sorted(document.page_content for document in store.documents()) == ["four", "two"]


def test_every_search_type_of_a_retriever_takes_a_filter(make_store: Callable[..., FAISSStore]) -> None:
    store = make_store(30)
    for search_type, more in (
        ("similarity", {}),
        ("mmr", {}),
        ("similarity_score_threshold", {"score_threshold": 0.0}),
    ):
        retriever = store.as_retriever(
            search_type=search_type, search_kwargs={"k": 5, "filter": {"parity": "odd"}, **more}
        )
        found = retriever.invoke("text 3")
        assert len(found) == 5
        assert {document.metadata["parity"] for document in found} == {"odd"}
