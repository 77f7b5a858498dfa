"""A store that was opened, saved without a change of its vectors, and changed after that."""

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from llama_bedrock.retrievers import FAISSStore

EMBEDDING = DeterministicFakeEmbedding(size=8)


@pytest.fixture
def folder(tmp_path):
    store = FAISSStore(EMBEDDING)
    store.add_texts(["one", "two"], ids=["1", "2"])
    store.save(tmp_path / "store")
    return tmp_path / "store"


def generations(folder):
    return sorted(path.name for path in folder.glob("generation-*"))


@pytest.mark.parametrize("saves", [1, 3])
def test_it_can_be_searched_and_changed(folder, saves):
    store = FAISSStore.load(folder, EMBEDDING)
    for _ in range(saves):
        store.save()
    assert [d.id for d in store.similarity_search("two", k=1)] == ["2"]
    store.add_texts(["three"], ids=["3"])
    store.save()
    assert {d.id for d in FAISSStore.load(folder, EMBEDDING).documents()} == {"1", "2", "3"}


def test_it_can_be_saved_elsewhere_while_the_first_folder_moves_on(folder, tmp_path):
    store = FAISSStore.load(folder, EMBEDDING)
    store.save(tmp_path / "copy")
    other = FAISSStore.load(folder, EMBEDDING)
    for name in ("a", "b"):
        other.add_texts([name])
        other.save()
    store.add_texts(["three"], ids=["3"])
    store.save()
    assert {d.id for d in FAISSStore.load(tmp_path / "copy", EMBEDDING).documents()} == {"1", "2", "3"}


def test_generations_it_no_longer_reads_are_deleted(folder):
    store = FAISSStore.load(folder, EMBEDDING)
    store.save()
    assert len(generations(folder)) == 1  # it reads the new one's files from now on
    store.add_texts(["three"])
    store.save()
    assert len(generations(folder)) == 1
