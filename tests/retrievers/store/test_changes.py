"""Adding, replacing and deleting: all of it or nothing."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document

from llama_bedrock.retrievers.store.document_table import Transaction
from llama_bedrock.retrievers.store.faiss_store import FAISSStore
from llama_bedrock.retrievers.store.vector_index import VectorIndex

Make = Callable[..., FAISSStore]


def snapshot(store: FAISSStore) -> Any:
    documents = list(store.documents())
    ids = [str(document.id) for document in documents]
    return (
        documents,
        store.vectors(ids).tolist() if ids else [],
        store.version,
        store.similarity_search("text 3", k=99),
    )


def new(*ids: str) -> list[Document]:
    return [Document(page_content=f"new {id_}", id=id_, metadata={"new": True}) for id_ in ids]


def test_a_known_id_is_replaced_text_metadata_and_vector(make_store: Make, embedding: Any) -> None:
    store = make_store(5)
    assert store.add_documents(new("2", "9")) == ["2", "9"]
    assert len(store) == 6
    [document] = store.get_by_ids(["2"])
    assert (document.page_content, document.metadata) == ("new 2", {"new": True})
    assert store.similarity_search("new 2", k=1)[0].id == "2"
    expected = np.array(embedding.embed_query("new 2"))
    assert store.vectors(["2"])[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    assert "text 2" not in [d.page_content for d in store.documents()]


def test_of_documents_with_one_id_the_last_counts(embedding: Any) -> None:
    store = FAISSStore(embedding)
    documents = [Document(page_content=text) for text in ("one", "two", "three")]
    assert store.add_documents(documents, ids=["a", "b", "a"]) == ["a", "b", "a"]
    assert {d.id: d.page_content for d in store.documents()} == {"a": "three", "b": "two"}
    assert store.similarity_search("three", k=1)[0].id == "a"
    vectors = np.eye(3, 16, dtype=np.float32)
    store.add_documents(documents, ids=["a", "b", "a"], vectors=vectors)
    assert store.vectors(["a", "b"]) == pytest.approx(vectors[[2, 1]])


def test_ids_are_given_taken_from_documents_or_made(embedding: Any) -> None:
    store = FAISSStore(embedding)
    documents = [Document(page_content="one", id="own"), Document(page_content="two")]
    own, made = store.add_documents(documents)
    assert own == "own"
    assert len(made) == 32
    given, made_again = store.add_documents(documents, ids=["given", None])
    assert given == "given"
    assert len({own, made, given, made_again}) == len(store) == 4
    assert documents[1].id is None


@pytest.mark.parametrize("kind", ["flat", "fastscan", "hnsw"])
@pytest.mark.parametrize("fault", ["embedding", "sqlite", "commit", "vectors", "interrupt"])
@pytest.mark.parametrize("is_saved", [False, True], ids=["in memory", "saved"])
def test_a_failed_add_leaves_no_trace(
    make_store: Make, embedding: Any, monkeypatch: Any, kind: Any, fault: str, is_saved: bool, tmp_path: Path
) -> None:
    count = 1200 if kind == "fastscan" else 40
    store = make_store(count, kind=kind)
    assert store.kind == kind
    store.delete(["7"])
    if is_saved:  # new documents go into a part of their own
        store.save(tmp_path / "before")
    before = snapshot(store)
    add, calls = VectorIndex.add, iter(range(99))

    def failing_add(self: VectorIndex, vectors: Any) -> None:
        add(self, vectors)  # the vectors are in the index already when it happens
        if next(calls) == 0:
            raise KeyboardInterrupt if fault == "interrupt" else MemoryError

    def failing(*_: Any) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patched:
        if fault == "embedding":
            embedding.fail_on = "new n50"
        elif fault == "sqlite":
            patched.setattr(Transaction, "_tags", failing)
        elif fault == "commit":
            patched.setattr(Transaction, "commit", failing)
        else:
            patched.setattr(VectorIndex, "add", failing_add)
        with pytest.raises((OSError, MemoryError, KeyboardInterrupt)):
            store.add_documents(new("3", "n50", "n51"))
    embedding.fail_on = None
    assert snapshot(store) == before
    assert store.matching_ids({"new": True}) == set()
    store.save(tmp_path / "store")
    assert snapshot(FAISSStore.load(tmp_path / "store", embedding)) == before
    store.add_documents(new("3", "n50", "n51"))
    assert store.matching_ids({"new": True}) == {"3", "n50", "n51"}
    assert store.similarity_search("new n51", k=1)[0].id == "n51"
    assert len(store.similarity_search("text 3", k=count + 59)) == count + 1


@pytest.mark.parametrize(
    ("documents", "arguments", "error", "words"),
    [
        ([Document(page_content="a")], {"ids": ["1", "2"]}, ValueError, "1 documents and 2 ids"),
        ([Document(page_content="a")], {"ids": [""]}, ValueError, "non-empty text"),
        ([Document(page_content="a")], {"ids": [1]}, ValueError, "non-empty text"),
        ([Document(page_content="a")], {"id": ["1"]}, TypeError, "unknown arguments"),
        ([Document(page_content="a")], {"vectors": [[1.0], [2.0]]}, ValueError, "expected 1 vectors"),
        (
            [Document(page_content="a")],
            {"vectors": [[1.0, 2.0]]},
            ValueError,
            "2 dimensions and the store's 16",
        ),
        ([Document(page_content="a")], {"vectors": [[float("inf")] * 16]}, ValueError, "NaN or infinity"),
        ([Document(page_content="a")], {"vectors": [["x"] * 16]}, ValueError, "lists of numbers"),
        (
            [Document(page_content="a"), Document(page_content="b")],
            {"vectors": [[1.0], [1.0, 2.0]]},
            ValueError,
            "one length",
        ),
        ([Document(page_content="a", metadata={"at": gc})], {}, ValueError, r"metadata\['at'\] is a module"),
        (
            [Document(page_content="a", metadata={"x": float("nan")})],
            {},
            ValueError,
            "which JSON cannot hold",
        ),
        ([Document(page_content="a", metadata={"x": {"y": [b"z"]}})], {}, ValueError, "is a bytes"),
        ([Document(page_content="a", metadata={"x": 10**5_000})], {}, ValueError, r"\['x'\] has more digits"),
        (
            [Document(page_content="a", metadata={"x": {"y": [-(10**5_000)]}})],
            {},
            ValueError,
            r"\['x'\]\['y'\] has more digits",
        ),
        ([Document(page_content="\ud800")], {}, ValueError, "lone surrogate"),
    ],
)
def test_bad_documents_are_refused_whole(
    make_store: Make, documents: list[Document], arguments: Any, error: type[Exception], words: str
) -> None:
    store = make_store(3)
    before = snapshot(store)
    with pytest.raises(error, match=words):
        store.add_documents([*new("n")[: len(documents) - 1], *documents][-len(documents) :], **arguments)
    assert snapshot(store) == before


def test_numbers_of_texts_and_metadatas_must_agree(embedding: Any) -> None:
    with pytest.raises(ValueError, match="2 texts and 1 metadatas"):
        FAISSStore.from_texts(["a", "b"], embedding, [{}])


def test_metadata_comes_back_equal(embedding: Any) -> None:
    metadata = {
        "text": 'é \x00 "quoted" \'',
        "int": 2**70,
        "float": 0.1 + 0.2,
        "bool": True,
        "none": None,
        "list": [1, "two", None, [3.5]],
        "dict": {"nested": {"deep": False}},
        "": "empty key",
    }
    store = FAISSStore.from_texts(["a \x00 b"], embedding, [metadata], ids=["1"])
    [document] = store.get_by_ids(["1"])
    assert document.page_content == "a \x00 b"
    assert document.metadata == metadata
    assert isinstance(document.metadata["bool"], bool)


def test_get_by_ids_keeps_the_order_and_skips_the_unknown(make_store: Make) -> None:
    store = make_store(2000)
    wanted = [str(n) for n in range(1999, 0, -2)]
    found = store.get_by_ids(["nobody", *wanted, "1999"])
    assert [document.id for document in found] == wanted


def test_delete_by_ids_filter_or_all(make_store: Make, embedding: Any) -> None:
    store = make_store(10)
    assert store.delete(["1", "nobody", "1"]) is True
    assert store.delete([]) is True
    assert len(store) == 9
    assert store.delete(filter={"parity": "odd"}) is True
    assert {d.metadata["n"] for d in store.documents()} == {0, 2, 4, 6, 8}
    assert store.delete() is True
    assert len(store) == 0
    assert store.similarity_search("text 1") == []
    assert store.matching_ids(None) == set()
    store.add_documents(new("1"))
    assert [d.id for d in store.similarity_search("x", k=5)] == ["1"]


def test_documents_are_listed_in_the_order_they_were_added(make_store: Make) -> None:
    store = make_store(2500)
    store.add_documents(new("3"))
    listed = [document.id for document in store.documents()]
    assert listed == [str(n) for n in range(2500) if n != 3] + ["3"]


def test_the_version_counts_changes(make_store: Make) -> None:
    store = make_store(3)
    first = store.version
    store.similarity_search("a")
    store.delete(["nobody"])
    assert store.version == first
    store.add_documents(new("1"))
    store.delete(["1"])
    assert store.version == first + 2


def test_an_empty_add_changes_nothing(make_store: Make) -> None:
    store = make_store(3)
    assert store.add_documents([]) == []
    assert store.version == make_store(3).version
    empty = FAISSStore()
    assert empty.add_documents([]) == []
    assert empty.similarity_search("a") == []
    assert (empty.dimension, empty.kind, len(empty), bool(empty)) == (None, "flat", 0, True)


def test_without_an_embedding_lsa_is_fitted_on_the_first_documents() -> None:
    store = FAISSStore()
    store.add_texts(["llamas eat grass", "camels drink water", "llamas hum softly"], ids=["a", "b", "c"])
    assert type(store.embeddings).__name__ == "LSAEmbeddings"
    assert store.similarity_search("camel", k=1)[0].id == "b"
    with pytest.raises(ValueError, match="word"):
        FAISSStore.from_texts(["!!!", "???"])


def test_texts_are_embedded_in_bounded_batches(embedding: Any) -> None:
    store = FAISSStore.from_texts([f"t {n}" for n in range(1300)], embedding)
    assert sum(embedding.batches) == 1300
    assert max(embedding.batches) == 512
    store.add_texts(["a", "b", "c"], batch_size=2)
    assert embedding.batches[-2:] == [2, 1]


async def test_concurrent_async_adds_all_arrive(embedding: Any) -> None:
    store = FAISSStore(embedding)
    await asyncio.gather(*(store.aadd_texts([f"t {n}", f"u {n}"], ids=[f"t{n}", f"u{n}"]) for n in range(30)))
    assert len(store) == 60
    assert (await store.asimilarity_search("u 17", k=1))[0].id == "u17"
    await store.adelete([f"t{n}" for n in range(30)])
    assert {str(d.id)[0] for d in store.documents()} == {"u"}


async def test_a_store_from_documents_made_async(embedding: Any) -> None:
    documents = [Document(page_content=f"t {n}", id=str(n)) for n in range(9)]
    store = await FAISSStore.afrom_documents(documents, embedding, kind="flat")
    assert (await store.asimilarity_search("t 4", k=1))[0].id == "4"


def test_vectors_of_a_store_can_be_added_to_another(make_store: Make, embedding: Any) -> None:
    first = make_store(20)
    documents = list(first.documents())
    second = FAISSStore(embedding)
    second.add_documents(documents, vectors=first.vectors([str(d.id) for d in documents]))
    assert embedding.batches == [20]
    one, other = (store.similarity_search_with_score("text 3", k=5) for store in (first, second))
    assert [document for document, _ in one] == [document for document, _ in other]
    assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-6)
    pairs = [("x", [1.0] * 16), ("y", [-1.0] * 16)]
    assert second.add_embeddings(pairs, [{"p": 1}, {"p": 2}], ["x", "y"]) == ["x", "y"]
    assert second.similarity_search_by_vector([1.0] * 16, k=1)[0].metadata == {"p": 1}


def test_temporary_files_go_with_the_store(make_store: Make, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = make_store(5)
    store.similarity_search("a", filter={"n": 1})
    assert len(list(tmp_path.iterdir())) == 1
    del store
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("contextual", [True, False])
def test_titles_and_headings_are_embedded_in_front_of_the_text_if_wanted(
    embedding: Any, tmp_path: Path, contextual: bool
) -> None:
    document = Document(
        page_content="It is 128,000.", id="1", metadata={"title": "Limits", "heading": "Limits > Tokens"}
    )
    store = FAISSStore.from_documents([document], embedding, contextual=contextual)
    store.save(tmp_path)
    opened = FAISSStore.load(tmp_path, embedding)
    opened.add_documents([document.model_copy(update={"id": "2"})])
    text = "Limits > Tokens\nIt is 128,000." if contextual else "It is 128,000."
    found = opened.similarity_search_with_score(text, k=2)
    assert [score for _, score in found] == pytest.approx([1, 1], abs=1e-5)
    assert {document.page_content for document, _ in found} == {"It is 128,000."}


def test_another_embedding_model_makes_every_vector_anew(
    make_store: Make, new_embedding: Any, tmp_path: Path
) -> None:
    store = make_store(30)
    store.save(tmp_path)
    version = store.version
    larger = new_embedding(size=24, model="seeded-v2")
    store.refit(larger)
    assert (store.dimension, store.version, len(store)) == (24, version + 1, 30)
    assert store.similarity_search("text 7", k=1)[0].id == "7"
    assert store.matching_ids({"n": 7}) == {"7"}
    store.save()
    assert FAISSStore.load(tmp_path, larger).similarity_search("text 8", k=1)[0].id == "8"


def test_a_reader_follows_a_writer_that_fitted_lsa_again(tmp_path: Path) -> None:
    writer = FAISSStore.from_texts(["llamas eat grass", "camels drink water"], ids=["a", "b"])
    writer.save(tmp_path)
    reader = FAISSStore.load(tmp_path)
    writer.add_texts(["submarines dive below whales"], ids=["c"])
    writer.refit(type(writer.embeddings)().fit([d.page_content for d in writer.documents()]))  # type: ignore[misc, union-attr]
    writer.save()
    assert reader.reload()
    assert reader.similarity_search("whale", k=1)[0].id == "c"


def test_a_store_keeps_its_dimension_when_all_documents_are_deleted(
    make_store: Make, embedding: Any, tmp_path: Path
) -> None:
    store = make_store(5)
    store.delete()
    store.save(tmp_path)
    opened = FAISSStore.load(tmp_path, embedding)
    assert (opened.dimension, len(opened)) == (16, 0)
    with pytest.raises(ValueError, match="3 dimensions and the store's 16"):
        opened.add_texts(["a"], vectors=[[1.0, 2.0, 3.0]])
    opened.add_texts(["a"], ids=["a"])
    assert [document.id for document in opened.similarity_search("a")] == ["a"]


def test_documents_embedded_for_contents_that_are_gone_are_not_lost_in_silence(
    make_store: Make, embedding: Any
) -> None:
    store = make_store(5)

    class Refitting(type(embedding)):  # type: ignore[misc]
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            if texts == ["late"]:
                store.refit(type(embedding)(model="other"))
            return super().embed_documents(texts)  # type: ignore[no-any-return]

    store._contents.embedding = Refitting()
    with pytest.raises(RuntimeError, match="add them again"):
        store.add_texts(["late"])
    assert len(store) == 5


def test_vectors_may_come_from_a_function_that_is_called_when_the_texts_are_written(embedding: Any) -> None:
    store = FAISSStore(embedding)
    seen = []

    def vectors() -> list[list[float]]:
        seen.append(len(store))
        return [embedding.embed_query(text) for text in ("one", "two", "three")]

    documents = [Document(text, id=id_) for text, id_ in (("one", "a"), ("two", "b"), ("three", "a"))]
    assert store.add_documents(documents, vectors=vectors) == ["a", "b", "a"]
    assert seen == [0]  # nobody sees documents without vectors
    assert {d.id: d.page_content for d in store.documents()} == {"a": "three", "b": "two"}
    assert store.similarity_search("three", k=1)[0].id == "a"


def test_a_function_that_fails_or_gives_too_few_vectors_adds_nothing(embedding: Any) -> None:
    store = FAISSStore.from_texts(["kept"], embedding, ids=["kept"])

    def fail() -> None:
        raise OSError("torn")

    for vectors, error in ((fail, OSError), (lambda: [embedding.embed_query("x")], ValueError)):
        with pytest.raises(error):
            store.add_documents([Document("new"), Document("newer")], vectors=vectors)
        assert [d.page_content for d in store.documents()] == ["kept"]
        assert store.similarity_search("new", k=3)[0].page_content == "kept"
    store.add_documents([Document("new")])
    assert len(store) == 2
