"""Saved stores: whole at any moment, shared between processes, refused when damaged or foreign."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from llama_bedrock.retrievers.embeddings.batches import identity
from llama_bedrock.retrievers.store.faiss_store import FAISSStore
from llama_bedrock.retrievers.store.generations import (
    StoreChangedError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    writing,
)
from llama_bedrock.retrievers.store.saved_store import EmbeddingMismatchError

Make = Callable[..., FAISSStore]


def contents(store: FAISSStore) -> Any:
    found = store.similarity_search_with_score("text 3", k=9)
    return list(store.documents()), [(d.id, round(score, 5)) for d, score in found], len(store), store.version


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("generation-*"))


def current(folder: Path) -> Path:
    return folder / json.loads((folder / "CURRENT").read_text())["generation"]


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "flat"},
        {"kind": "fastscan"},
        {"kind": "hnsw"},
        {"metric": "l2"},
        {"storage": "fp16"},
        {"storage": "sq8"},
    ],
)
def test_a_store_comes_back_as_it_was(
    make_store: Make, embedding: Any, tmp_path: Path, settings: Any, mmap: bool
) -> None:
    store = make_store(1200, **settings)
    store.delete(["5", "6"])
    store.save(tmp_path / "store")
    opened = FAISSStore.load(tmp_path / "store", embedding, mmap=mmap, verify=True)
    assert contents(opened) == contents(store)
    assert opened.kind == store.kind == settings.get("kind", "flat")
    assert opened.folder == tmp_path / "store"
    opened.add_documents([Document(page_content="new", id="new")])
    opened.delete(["7"])
    opened.save()
    again = FAISSStore.load(tmp_path / "store", embedding)
    assert contents(again) == contents(opened)
    assert again.version == store.version + 2
    assert again.similarity_search("new", k=1)[0].id == "new"
    assert again.matching_ids({"n": {"$lte": 8}}) == {"0", "1", "2", "3", "4", "8"}


def test_nothing_that_is_saved_is_a_pickle(make_store: Make, tmp_path: Path) -> None:
    FAISSStore.from_texts(["llamas eat grass", "camels drink"], metadatas=[{"a": 1}, {}]).save(tmp_path)
    kinds = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {
        "CURRENT", "writer.lock", "in-use.lock", "manifest.json", "vectors.faiss", "slots.npy",
        "documents.sqlite",
        "lsa.json", "lsa.npz",
    }  # fmt: skip
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert not path.read_bytes().startswith(b"\x80")


def test_lsa_is_saved_with_the_store(tmp_path: Path) -> None:
    store = FAISSStore.from_texts(["llamas eat grass", "camels drink water"], ids=["a", "b"])
    store.save(tmp_path)
    opened = FAISSStore.load(tmp_path)
    assert opened.similarity_search_with_score("grass") == store.similarity_search_with_score("grass")
    assert identity(opened.embeddings) == identity(store.embeddings)  # type: ignore[arg-type]


def test_an_empty_store_can_be_saved_and_filled_later(embedding: Any, tmp_path: Path) -> None:
    FAISSStore().save(tmp_path / "any")
    opened = FAISSStore.load(tmp_path / "any")
    opened.add_texts(["llamas eat grass"])
    assert type(opened.embeddings).__name__ == "LSAEmbeddings"
    FAISSStore(embedding, kind="hnsw").save(tmp_path / "seeded")
    with pytest.raises(EmbeddingMismatchError):
        FAISSStore.load(tmp_path / "seeded", DeterministicFakeEmbedding(size=4))
    assert FAISSStore.load(tmp_path / "seeded", embedding).kind == "hnsw"


def test_a_store_of_another_embedding_model_is_refused(
    make_store: Make, new_embedding: Any, tmp_path: Path
) -> None:
    make_store(5).save(tmp_path)
    for other in (
        new_embedding(model="seeded-v2"),
        new_embedding(size=8),
        DeterministicFakeEmbedding(size=16),
    ):
        with pytest.raises(
            EmbeddingMismatchError, match=r"made with the embedding model seeded-v1\(size=16\)"
        ):
            FAISSStore.load(tmp_path, other)
    with pytest.raises(EmbeddingMismatchError, match=r"give load\(\) the embedding"):
        FAISSStore.load(tmp_path)
    same = FAISSStore.load(tmp_path, new_embedding(model="an alias"), embedding_id="seeded-v1(size=16)")
    assert same.similarity_search("text 3", k=1)[0].id == "3"


def test_a_dimension_that_does_not_fit_is_refused_at_the_search(
    make_store: Make, new_embedding: Any, tmp_path: Path
) -> None:
    make_store(5, embedding_id="mine").save(tmp_path)
    store = FAISSStore.load(tmp_path, new_embedding(size=8), embedding_id="mine")
    with pytest.raises(ValueError, match="8 dimensions and the store 16"):
        store.similarity_search("text 3")
    with pytest.raises(ValueError, match="8 dimensions and the store's 16"):
        store.add_texts(["more"])


class Titled:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__ |= attributes


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"model_id": "amazon.titan-embed-text-v2:0"}, "amazon.titan-embed-text-v2:0"),
        (
            {
                "model_id": "amazon.titan-embed-text-v2:0",
                "model_kwargs": {"dimensions": 256, "normalize": True},
            },
            "amazon.titan-embed-text-v2:0(dimensions=256, normalize=True)",
        ),
        ({"model": "text-embedding-3-small", "dimensions": None}, "text-embedding-3-small"),
        ({"model_name": "all-MiniLM-L6-v2"}, "all-MiniLM-L6-v2"),
        ({}, "Titled"),
    ],
)
def test_names_of_embedding_models(attributes: Any, expected: str) -> None:
    assert identity(Titled(**attributes)) == expected  # type: ignore[arg-type]


def test_no_store_and_no_folder(make_store: Make, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no FAISSStore in"):
        FAISSStore.load(tmp_path / "absent")
    with pytest.raises(ValueError, match="folder"):
        make_store(1).save()
    with pytest.raises(ValueError, match="nothing to reload"):
        make_store(1).reload()
    (tmp_path / "file").write_text("")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        make_store(1).save(tmp_path / "file")


FILES = [
    "manifest.json",
    "vectors.faiss",
    "slots.npy",
    "documents.sqlite",
    "embedding/lsa.json",
    "embedding/lsa.npz",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "grow", "remove", "swap"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    FAISSStore.from_texts([f"llama number {n} eats grass" for n in range(50)]).save(tmp_path)
    path = current(tmp_path) / name
    content = path.read_bytes()
    if damage == "flip":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "remove":
        path.unlink()
    else:
        path.write_bytes(
            {"truncate": content[:-5], "empty": b"", "grow": content + b"\n", "swap": bytes(len(content))}[
                damage
            ]
        )
    with pytest.raises(StoreDamagedError, match=name.split("/")[-1]):
        FAISSStore.load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\x80\x04K\x01.", b'{"generation": "../../etc", "sha256": ""}', b"[]", b"null"]
)
def test_a_foreign_pointer_is_refused(
    make_store: Make, embedding: Any, tmp_path: Path, content: bytes
) -> None:
    make_store(3).save(tmp_path)
    (tmp_path / "CURRENT").write_bytes(content)
    with pytest.raises(StoreDamagedError, match="CURRENT"):
        FAISSStore.load(tmp_path, embedding)


def test_damage_that_keeps_size_and_time_is_found_when_asked_for(
    make_store: Make, embedding: Any, tmp_path: Path
) -> None:
    make_store(300).save(tmp_path)
    path = current(tmp_path) / "vectors.faiss"
    facts, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-4] + bytes(4))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    with pytest.raises(StoreDamagedError, match="checksum"):
        FAISSStore.load(tmp_path, embedding, verify=True)


def test_a_copied_folder_is_whole(make_store: Make, embedding: Any, tmp_path: Path) -> None:
    store = make_store(30)
    store.save(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copyfile)  # times are not kept
    assert contents(FAISSStore.load(tmp_path / "two", embedding)) == contents(store)
    for lock in (tmp_path / "two").rglob("*.lock"):
        lock.unlink()
    for path in sorted((tmp_path / "two").rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert contents(FAISSStore.load(tmp_path / "two", embedding)) == contents(store)
    for path in (tmp_path / "two").rglob("*"):
        path.chmod(0o755)


def test_a_newer_format_is_refused(
    make_store: Make, embedding: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("llama_bedrock.retrievers.store.generations.FORMAT", 99)
    make_store(3).save(tmp_path)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="format 99"):
        FAISSStore.load(tmp_path, embedding)


def test_without_memory_mapping_in_faiss_the_file_is_read(
    make_store: Make, embedding: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    store = make_store(20)
    store.save(tmp_path)
    monkeypatch.delattr(faiss, "IO_FLAG_MMAP_IFC")
    assert contents(FAISSStore.load(tmp_path, embedding)) == contents(store)


def test_a_save_that_fails_leaves_the_old_state(
    make_store: Make, embedding: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    store = make_store(10)
    store.save(tmp_path)
    before = contents(store)
    store.add_documents([Document(page_content="new", id="new")])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for place in (
        "generations._seal",
        "generations.write_file",
        "private_files.os.replace",
        "saved_store._facts",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(f"llama_bedrock.retrievers.store.{place}", full)
            with pytest.raises(OSError, match="No space left"):
                store.save()
        assert contents(FAISSStore.load(tmp_path, embedding, verify=True)) == before
    store.save()
    assert contents(FAISSStore.load(tmp_path, embedding, verify=True)) == contents(store)
    assert len(generations(tmp_path)) == 1


def test_old_generations_go_when_nobody_reads_them(make_store: Make, embedding: Any, tmp_path: Path) -> None:
    store = make_store(10)
    store.save(tmp_path)
    reader = FAISSStore.load(tmp_path, embedding)
    before = contents(reader)
    for n in range(3):
        store.add_documents([Document(page_content=f"new {n}", id=f"new {n}")])
        store.save()
    assert generations(tmp_path) == ["generation-000001", "generation-000004"]
    assert contents(reader) == before
    assert reader.matching_ids({"n": {"$gte": 0}}) == {str(n) for n in range(10)}
    assert reader.reload() is True
    assert contents(reader) == contents(store)
    assert reader.reload() is False
    store.delete(["1"])
    store.save()
    assert generations(tmp_path) == ["generation-000004", "generation-000005"]
    del reader
    store.save()
    assert generations(tmp_path) == ["generation-000006"]


def test_changes_of_another_writer_are_not_lost(make_store: Make, embedding: Any, tmp_path: Path) -> None:
    make_store(10).save(tmp_path)
    one, other = (FAISSStore.load(tmp_path, embedding) for _ in range(2))
    one.delete(["1"])
    one.save()
    other.delete(["2"])
    with pytest.raises(StoreChangedError, match="another process has saved"):
        other.save()
    assert {d.id for d in FAISSStore.load(tmp_path, embedding).documents()} == {str(n) for n in range(10)} - {
        "1"
    }
    other.reload()
    other.delete(["2"])
    other.save()
    assert len(FAISSStore.load(tmp_path, embedding)) == 8


def test_what_is_saved_is_linked_and_not_written_again(
    make_store: Make, embedding: Any, tmp_path: Path
) -> None:
    store = make_store(100)
    store.save(tmp_path)
    before = (current(tmp_path) / "vectors.faiss").stat()
    store.delete(["1"])
    store.save()
    after = (current(tmp_path) / "vectors.faiss").stat()
    assert before.st_ino == after.st_ino
    assert before.st_mtime_ns == after.st_mtime_ns
    store.add_texts(["more"])
    store.save()
    assert (current(tmp_path) / "vectors.faiss").stat().st_ino == before.st_ino
    assert (current(tmp_path) / "vectors-1.faiss").stat().st_nlink == 1
    assert len(FAISSStore.load(tmp_path, embedding, verify=True)) == 100


def test_sidecars_are_saved_with_exactly_their_version(
    make_store: Make, embedding: Any, tmp_path: Path
) -> None:
    store = make_store(5)

    def write(folder: Path) -> None:
        (folder / "words.txt").write_text(" ".join(d.page_content for d in store.documents()))

    store.attach_sidecar("lexical", write)
    assert store.sidecar("lexical") is None
    store.save(tmp_path)
    opened = FAISSStore.load(tmp_path, embedding)
    for one in (store, opened):
        folder = one.sidecar("lexical")
        assert folder is not None
        assert "text 4" in (folder / "words.txt").read_text()
        assert one.sidecar("other") is None
    opened.save()  # nothing changed, so it is still true
    assert FAISSStore.load(tmp_path, embedding).sidecar("lexical") is not None
    opened.delete(["1"])
    assert opened.sidecar("lexical") is None
    opened.save()  # nobody here can write it
    assert FAISSStore.load(tmp_path, embedding).sidecar("lexical") is None
    store.reload()
    store.delete(["2"])
    store.save()
    folder = FAISSStore.load(tmp_path, embedding).sidecar("lexical")
    assert folder is not None
    assert "text 1" not in (folder / "words.txt").read_text()
    (folder / "words.txt").write_text("damaged")
    with pytest.raises(StoreDamagedError, match=r"words\.txt"):
        FAISSStore.load(tmp_path, embedding)
    for name in ("", "a/b", "..", ".hidden"):
        with pytest.raises(ValueError, match="plain file name"):
            store.attach_sidecar(name, write)


# Processes

WRITER = """
    import sys
    from pathlib import Path
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from llama_bedrock.retrievers.store.faiss_store import FAISSStore

    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 1000
    embedding = DeterministicFakeEmbedding(size=8)
    try:
        store = FAISSStore.load(folder, embedding, verify=True)
    except FileNotFoundError:
        store = FAISSStore(embedding)
    for _ in range(count):
        print("next", flush=True)
        # Every generation holds n documents numbered 0 … n-1 and the text tells n.
        n = len(store)
        ids = [str(m) for m in range(n + 3)]
        store.add_texts([f"{m} of {n + 3}" for m in ids], [{"of": n + 3}] * (n + 3), ids=ids)
        store.save(folder)
"""


def run(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_whole(folder: Path) -> int:
    store = FAISSStore.load(folder, DeterministicFakeEmbedding(size=8), verify=True)
    n = len(store)
    documents = {document.id: document for document in store.documents()}
    assert set(documents) == {str(m) for m in range(n)}
    for id_, document in documents.items():
        assert document.page_content == f"{id_} of {n}"
        assert document.metadata == {"of": n}
    assert len(store.similarity_search("3 of 9", k=n + 5)) == n
    assert store.matching_ids({"of": n}) == set(documents)
    if n:
        assert store.similarity_search(f"1 of {n}", k=1)[0].id == "1"
    return n


@pytest.mark.slow
def test_killed_a_hundred_times_while_saving_every_reopen_is_whole(killed: Any, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    FAISSStore(DeterministicFakeEmbedding(size=8)).save(folder)
    sizes = [assert_whole(folder) for _ in killed(WRITER, folder, kills=100, most=3)]
    assert len(sizes) == 100
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 50
    store = FAISSStore.load(folder, DeterministicFakeEmbedding(size=8))
    store.add_texts(["a change, so that it reads no file of an old generation"])
    store.save()
    assert len(generations(folder)) == 1  # nothing of the killed ones is left


READER = """
    import sys, time
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from llama_bedrock.retrievers.store.faiss_store import FAISSStore

    seen = set()
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        store = FAISSStore.load(sys.argv[1], DeterministicFakeEmbedding(size=8))
        n = len(store)
        seen.add(n)
        found = store.similarity_search("x", k=n + 9, filter={"of": n})
        assert len(found) == n, (len(found), n)
        assert {d.page_content for d in found} == {f"{m} of {n}" for m in range(n)}
    print(len(seen))
"""


@pytest.mark.slow
def test_readers_in_other_processes_see_finished_generations_only(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    FAISSStore(DeterministicFakeEmbedding(size=8)).save(folder)
    writer = run(WRITER, str(folder), "40")
    readers = [run(READER, str(folder), "4") for _ in range(2)]
    for process in (*readers, writer):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        if process in readers:
            assert int(out) > 1
    assert assert_whole(folder) == 120


def test_a_second_writer_waits_and_then_gives_up_with_advice(make_store: Make, tmp_path: Path) -> None:
    holder = run(
        """
        import sys, time
        from pathlib import Path
        from llama_bedrock.retrievers.store.generations import writing
        with writing(Path(sys.argv[1])):
            print("holding", flush=True)
            time.sleep(60)
        """,
        str(tmp_path),
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    with pytest.raises(StoreLockedError, match="another process is writing"), writing(tmp_path, timeout=0.2):
        pass
    holder.kill()  # the lock dies with it
    holder.communicate()
    with writing(tmp_path):  # a long job of this process may hold the folder over many saves
        store = make_store(3)
        store.save(tmp_path)
        store.save()


MEMORY = """
    import gc, sys
    import faiss, numpy, psutil
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from llama_bedrock.retrievers.store.faiss_store import FAISSStore

    def own():  # without what lies in files and is shared
        info = psutil.Process().memory_info()
        return info.rss - info.shared

    gc.collect()
    before = own()
    store = FAISSStore.load(sys.argv[1], DeterministicFakeEmbedding(size=384), mmap=sys.argv[2] == "mmap")
    for n in range(20):
        store.similarity_search(f"query {n}", k=5)
    print(own() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="tells memory of files from the rest on Linux only")
def test_a_mapped_store_takes_no_memory_of_its_own_for_its_vectors(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((20_000, 384), dtype=np.float32)
    documents = [Document(page_content=str(n)) for n in range(len(vectors))]
    FAISSStore.from_documents(documents, DeterministicFakeEmbedding(size=384), vectors=vectors).save(tmp_path)
    own = {}
    for how in ("mmap", "read"):
        out, err = run(MEMORY, str(tmp_path), how).communicate(timeout=60)
        assert out, err
        own[how] = int(out) / vectors.nbytes
    assert own["mmap"] < 0.5
    assert own["read"] > 0.9


LARGE = """
    import gc, json, sys, time
    from pathlib import Path
    import faiss, numpy as np, psutil
    from langchain_core.documents import Document
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from llama_bedrock.retrievers.store.faiss_store import FAISSStore

    rng, count = np.random.default_rng(0), 100_000
    centres = rng.standard_normal((2000, 384), dtype=np.float32)
    vectors = centres[rng.integers(0, 2000, count)] + 0.6 * rng.standard_normal((count, 384), dtype=np.float32)
    queries = centres[rng.integers(0, 2000, 50)] + 0.6 * rng.standard_normal((50, 384), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    documents = [Document(page_content=str(n), metadata={"bucket": n % 1000}) for n in range(count)]
    embedding = DeterministicFakeEmbedding(size=384)
    gc.collect()
    before = psutil.Process().memory_info().rss
    store = FAISSStore.from_documents(documents, embedding, vectors=vectors)
    memory = (psutil.Process().memory_info().rss - before) / vectors.nbytes
    recall, exact = [], []
    for query in queries:
        scores = vectors @ query
        best = {str(n) for n in np.argsort(-scores)[:10]}
        recall.append(len(best & {d.page_content for d in store.similarity_search_by_vector(query, k=10)}) / 10)
        chosen = np.arange(7, count, 1000)
        best = [str(n) for n in chosen[np.argsort(-scores[chosen])[:10]]]
        found = store.similarity_search_by_vector(query, k=10, filter={"bucket": 7})
        exact.append([d.page_content for d in found] == best)
    store.save(sys.argv[1])
    opened = []
    for _ in range(5):
        start = time.perf_counter()
        FAISSStore.load(sys.argv[1], embedding)
        opened.append(time.perf_counter() - start)
    print(json.dumps({"kind": store.kind, "memory": memory, "recall": np.mean(recall), "exact": all(exact), "open": min(opened)}))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_must_hold_at_100_000_documents(tmp_path: Path) -> None:
    out, err = run(LARGE, str(tmp_path)).communicate(timeout=500)
    assert out, err
    facts = json.loads(out)
    assert facts["kind"] == "fastscan"
    assert facts["exact"]
    assert facts["recall"] >= 0.97
    assert facts["memory"] <= 1.3
    assert facts["open"] <= 0.2
