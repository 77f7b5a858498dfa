"""Of a saved store, the vectors are read when somebody searches."""

import os
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from llama_bedrock.retrievers import FAISSStore
from llama_bedrock.retrievers.store import vector_index

EMBEDDING = DeterministicFakeEmbedding(size=16)
pytestmark = pytest.mark.skipif(os.name == "nt", reason="a file that is not open could be deleted there")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files of vectors that FAISS has read."""
    names: list[str] = []
    whole = vector_index._read

    def told(path: Path, *, mapped: bool) -> object:
        names.append(path.name)
        return whole(path, mapped=mapped)

    monkeypatch.setattr(vector_index, "_read", told)
    return names


def saved(folder: Path, *, count: int = 1_500) -> FAISSStore:
    vectors = np.random.default_rng(0).standard_normal((count, 16), dtype=np.float32)
    documents = [Document(f"text {n}", id=str(n)) for n in range(count)]
    store = FAISSStore.from_documents(documents, EMBEDDING, vectors=vectors, kind="fastscan")
    store.save(folder)
    return store


def nearest(store: FAISSStore, text: str) -> str:
    [found] = store.similarity_search(text, k=1)
    return found.page_content


def test_a_change_reads_no_vectors_of_others(tmp_path: Path, read: list[str]) -> None:
    saved(tmp_path)
    store = FAISSStore.load(tmp_path, EMBEDDING)
    for turn in range(3):
        store.delete([str(turn)])
        store.add_texts([f"turn {turn}"], ids=[f"new {turn}"])
        store.save()  # which deletes the generation that was opened
    kept = store.vectors(["1499", "5"])
    assert "vectors.faiss" not in read
    assert nearest(store, "turn 0") == "turn 0"
    assert (store.vectors(["1499", "5"]) == kept).all()
    assert read.count("vectors.faiss") == 1
    assert nearest(FAISSStore.load(tmp_path, EMBEDDING), "turn 2") == "turn 2"
    assert not store.get_by_ids(["0"])


def test_a_reader_finds_what_it_opened_after_others_have_saved(tmp_path: Path, read: list[str]) -> None:
    writer = saved(tmp_path)
    [first] = writer.vectors(["7"])
    reader = FAISSStore.load(tmp_path, EMBEDDING)
    writer.delete(["7"])
    writer.compact()
    for _ in range(2):
        writer.save()
    assert not read
    assert reader.similarity_search_by_vector(first, k=1)[0].id == "7"
    assert writer.similarity_search_by_vector(first, k=1)[0].id != "7"


def test_it_is_read_at_once_where_it_is_not_shared_or_could_be_deleted(
    tmp_path: Path, read: list[str]
) -> None:
    saved(tmp_path)
    FAISSStore.load(tmp_path, EMBEDDING, mmap=False)
    assert read == ["vectors.faiss"]
    next(tmp_path.glob("generation-*/in-use.lock")).unlink()
    FAISSStore.load(tmp_path, EMBEDDING)
    assert read == ["vectors.faiss"] * 2


def test_what_is_put_in_the_place_of_the_file_meanwhile_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    store = FAISSStore.load(tmp_path, EMBEDDING)
    saved(tmp_path / "other", count=1_600)
    [file], [other] = (folder.glob("generation-*/vectors.faiss") for folder in (tmp_path, tmp_path / "other"))
    os.replace(other, file)
    with pytest.raises(ValueError, match=r"number of vectors 1600, expected 1500"):
        nearest(store, "text 1")
