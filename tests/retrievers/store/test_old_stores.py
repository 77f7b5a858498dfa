"""Stores of older versions open, answer, and are saved in today's form."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from llama_bedrock.retrievers import FAISSStore
from llama_bedrock.retrievers.indexing.targets import ForeignTarget, manifest_side_of
from llama_bedrock.retrievers.store.faiss_file import vectors_in_cells

FOLDER = Path(__file__).parent / "data" / "folder-format-2.tar.xz"
STORES = Path(__file__).parent / "data" / "stores-0.1.tar.xz"
KINDS = {
    "flat": ("flat", 20),
    "fp16": ("flat", 20),
    "hnsw": ("hnsw", 40),
    "fastscan": ("fastscan", 1010),
    "ivf": ("flat", 90),
    "ivf-fp16": ("flat", 90),
    "ivf-sq8": ("flat", 1010),
}


@pytest.fixture(scope="session")
def old_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(STORES) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_a_store_of_an_older_version_opens_and_is_renewed_by_the_next_save(
    old_stores: Path, embedding: Any, tmp_path: Path, name: str
) -> None:
    kind, count = KINDS[name]
    store = FAISSStore.load(old_stores / name, embedding, verify=True)
    assert (store.kind, len(store)) == (kind, count - 1)
    assert {document.id for document in store.documents()} == {str(n) for n in range(count)} - {"3"}
    for wanted in ("0", "5", "19"):
        [(found, score)] = store.similarity_search_with_score(f"text {wanted}", k=1)
        assert (found.id, found.metadata["n"]) == (wanted, int(wanted))
        assert score == pytest.approx(0.0 if store.metric == "l2" else 1.0, abs=0.05)
    assert store.matching_ids({"n": {"$lt": 5}}) == {"0", "1", "2", "4"}
    store.add_texts(["more"], ids=["more"])
    store.save(tmp_path / "new")
    again = FAISSStore.load(tmp_path / "new", embedding, verify=True)
    assert len(again) == count
    assert again.similarity_search("more", k=1)[0].id == "more"
    assert again.similarity_search("text 5", k=1)[0].id == "5"


def test_vectors_of_an_index_in_cells_are_read_as_faiss_reads_them(old_stores: Path, embedding: Any) -> None:
    faiss = pytest.importorskip("faiss")
    for name in ("ivf", "ivf-fp16", "ivf-sq8"):
        [path] = (old_stores / name).glob("generation-*/vectors.faiss")
        index = faiss.read_index(str(path))
        if hasattr(index, "nprobe"):
            index.make_direct_map()
        store = FAISSStore.load(old_stores / name, embedding)
        ids = [str(n) for n in range(20) if n != 3]
        expected = index.reconstruct_n(0, index.ntotal)[[int(id_) for id_ in ids]]
        assert store.vectors(ids) == pytest.approx(expected, abs=1e-6)


def test_an_index_of_an_older_version_is_fitted_again_and_answers(old_stores: Path, tmp_path: Path) -> None:
    store = FAISSStore.load(old_stores / "lsa")
    assert [
        document.metadata["title"] for document in store.similarity_search("what do llamas eat", k=1)
    ] == ["Llamas"]
    store.save(tmp_path / "new")
    again = FAISSStore.load(tmp_path / "new", verify=True)
    assert again.similarity_search("what do llamas eat", k=1)[0].metadata["title"] == "Llamas"


def test_cells_that_name_a_wrong_place_are_damage(old_stores: Path, tmp_path: Path) -> None:
    [path] = (old_stores / "ivf").glob("generation-*/vectors.faiss")
    content = bytearray(path.read_bytes())
    content[-8:] = (2**40).to_bytes(8, "little")  # the last number is the last vector's slot
    (tmp_path / "damaged").write_bytes(content)
    assert len(vectors_in_cells(path, 16, 90, "float32")) == 90
    with pytest.raises(ValueError, match="wrong places"):
        vectors_in_cells(tmp_path / "damaged", 16, 90, "float32")


@pytest.fixture
def old_folder(tmp_path: Path) -> Path:
    with tarfile.open(FOLDER) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "folder"


def test_a_folder_manifest_of_an_older_version_is_read_and_renewed_by_the_next_save(
    old_folder: Path, embedding: Any
) -> None:
    names = {
        f"/srv/indexed/{name}" for name in ("sub/ü.md", "bad.pdf", *(f"{n}.md" for n in range(13) if n != 4))
    }
    store = FAISSStore.load(old_folder, embedding)
    known = manifest_side_of(store).manifest
    files = known.folders["/srv/indexed"].files
    assert set(files) == names
    assert files["/srv/indexed/3.md"].size == len("# Note 3\n\nAnother text of the third.")
    assert files.totals() == (12, 1, 1)
    ids = {id_ for file in files.values() for id_ in file.chunks.ids}
    assert ids == {document.id for document in store.documents()}
    before = dict(files)
    store.save()
    again = FAISSStore.load(old_folder, embedding, verify=True)
    assert dict(manifest_side_of(again).manifest.folders["/srv/indexed"].files) == before
    [newest] = old_folder.glob("generation-*")
    assert [path.name for path in newest.glob("sidecars/folders/*")] == ["manifest.bin"]


def test_the_notes_on_another_store_of_an_older_version_are_read_and_renewed(old_folder: Path) -> None:
    from langchain_core.embeddings import FakeEmbeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    [old] = old_folder.glob("generation-*/sidecars/folders/manifest.json")
    state = old.parent
    target = ForeignTarget(InMemoryVectorStore(FakeEmbeddings(size=3)), state)
    files = dict(target.manifest.folders["/srv/indexed"].files)
    assert len(files) == 14
    target.checkpoint()
    assert not old.exists()
    again = ForeignTarget(InMemoryVectorStore(FakeEmbeddings(size=3)), state)
    assert dict(again.manifest.folders["/srv/indexed"].files) == files
