"""Stores that somebody made up, with checksums that fit: nothing outside is touched, and all is StoreDamagedError."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_bedrock.retrievers import FAISSStore, index_folder
from llama_bedrock.retrievers.store.generations import StoreDamagedError
from llama_bedrock.retrievers.store.working_folder import WorkingFolder

Make = Callable[..., FAISSStore]
posix = pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")


def generation(folder: Path) -> Path:
    return folder / json.loads((folder / "CURRENT").read_text())["generation"]


def reseal(folder: Path, change: Callable[[dict[str, Any]], object] = lambda facts: None) -> None:
    """Make size, time and checksums fit what the files hold now."""
    path = generation(folder)
    facts = json.loads((path / "manifest.json").read_text())
    for name, known in facts["files"].items():
        file = path / name
        if file.is_file():
            status = file.stat()
            known |= {"size": status.st_size, "modified_ns": status.st_mtime_ns}
            known["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    change(facts)
    encoded = json.dumps(facts).encode()
    (path / "manifest.json").write_bytes(encoded)
    pointer = {"generation": path.name, "sha256": hashlib.sha256(encoded).hexdigest()}
    (folder / "CURRENT").write_text(json.dumps(pointer))


def snapshot(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "manifest.json").write_text("precious")
    (folder / "in-use.lock").write_text("precious")
    (folder / "file").write_text("precious")
    return folder


@pytest.fixture
def saved(make_store: Make, tmp_path: Path) -> Path:
    store = make_store(30)
    store.attach_sidecar("notes", lambda folder: (folder / "a.txt").write_text("notes"))
    store.save(tmp_path / "store")
    return tmp_path / "store"


# Names and links


@pytest.mark.parametrize(
    "name",
    [
        "../outside/file",
        "/etc/hostname",
        "a/../../outside/file",
        "..",
        "",
        "a\\b",
        "C:x",
        ".hidden",
        "a\0b",
        "\ud800",
        "\u202ea",
        "a\n",
        "x" * 300,
        "x/" * 3000 + "x",
        "\uff0e\uff0e/x",
        "slots.npy\u200b",
    ],
)
def test_names_that_lead_outside_are_refused(saved: Path, embedding: Any, outside: Path, name: str) -> None:
    reseal(saved, lambda facts: facts["files"].update({name: facts["files"]["slots.npy"]}))
    with pytest.raises(StoreDamagedError):
        FAISSStore.load(saved, embedding)


@pytest.mark.parametrize("name", ["../../outside", "/etc", "..", "", ".", "a/b", 7, None, ["notes"]])
def test_side_files_cannot_leave(saved: Path, embedding: Any, name: Any) -> None:
    reseal(saved, lambda facts: facts.update(sidecars=[name]))
    with pytest.raises(StoreDamagedError):
        FAISSStore.load(saved, embedding)


@posix
@pytest.mark.parametrize(
    "name", ["slots.npy", "vectors.faiss", "documents.sqlite", "manifest.json", "in-use.lock"]
)
def test_links_in_a_generation_are_not_followed(
    saved: Path, embedding: Any, outside: Path, name: str
) -> None:
    path = generation(saved) / name
    path.rename(outside / name)
    path.symlink_to(outside / name)
    before = snapshot(outside)
    with pytest.raises(StoreDamagedError):
        FAISSStore.load(saved, embedding)
    assert snapshot(outside) == before


@posix
@pytest.mark.parametrize("name", ["sidecars", "sidecars/notes"])
def test_linked_folders_in_a_generation_are_not_followed(
    saved: Path, embedding: Any, outside: Path, name: str
) -> None:
    path = generation(saved) / name
    path.rename(outside / "moved")
    path.symlink_to(outside / "moved")
    with pytest.raises(StoreDamagedError):
        FAISSStore.load(saved, embedding)


@posix
def test_a_generation_that_is_a_link_is_foreign(
    saved: Path, make_store: Make, embedding: Any, outside: Path
) -> None:
    path = generation(saved)
    path.rename(outside / path.name)
    path.symlink_to(outside / path.name)
    with pytest.raises(StoreDamagedError, match="link"):
        FAISSStore.load(saved, embedding)


@posix
def test_saving_writes_and_deletes_nothing_through_links(saved: Path, embedding: Any, outside: Path) -> None:
    store = FAISSStore.load(saved, embedding)
    for name in ("generation-000002", "generation-000900"):
        (saved / name).symlink_to(outside)
    (saved / "CURRENT.new").symlink_to(outside / "file")
    before = snapshot(outside)
    store.delete(["1"])
    store.save()
    assert snapshot(outside) == before
    assert len(FAISSStore.load(saved, embedding, verify=True)) == 29


@posix
@pytest.mark.parametrize("name", ["writer.lock", "CURRENT", "indexing.lock"])
def test_links_beside_the_generations_are_not_followed(
    saved: Path, embedding: Any, outside: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Llamas eat grass.")
    store = FAISSStore.load(saved, embedding)
    (saved / name).unlink(missing_ok=True)
    (saved / name).symlink_to(outside / "new")
    with pytest.raises(StoreDamagedError, match="link"):
        index_folder(tmp_path / "docs", store)
    assert not (outside / "new").exists()


def bind(path: Path) -> None:
    """Make a socket there, whose address may be no longer than 100 characters."""
    with socket.socket(socket.AF_UNIX) as listening, pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        listening.bind(path.name)


@posix
@pytest.mark.parametrize("make", [os.mkfifo, bind, Path.mkdir], ids=["pipe", "socket", "folder"])
@pytest.mark.parametrize("name", ["CURRENT", "writer.lock", "slots.npy", "manifest.json", "in-use.lock"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    saved: Path, embedding: Any, name: str, make: Callable[[Path], object]
) -> None:
    path = (saved if name in ("CURRENT", "writer.lock") else generation(saved)) / name
    path.unlink()
    make(path)

    def change() -> None:
        store = FAISSStore.load(saved, embedding)
        store.delete(["1"])
        store.save()

    with pytest.raises(StoreDamagedError):
        change()


@posix
def test_a_file_with_another_name_outside_keeps_what_it_holds(
    saved: Path, embedding: Any, tmp_path: Path
) -> None:
    """Hard links, as an archive may unpack them."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for path in saved.rglob("*"):
        if path.is_file():
            os.link(path, outside / path.name)
            path.chmod(0o644)
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in outside.iterdir()}
    store = FAISSStore.load(saved, embedding)
    store.delete(["1"])
    store.save()
    store.delete(["2"])
    store.save()
    assert {path: (path.read_bytes(), path.stat().st_mode) for path in outside.iterdir()} == before
    assert len(FAISSStore.load(saved, embedding, verify=True)) == 28


@pytest.mark.parametrize("side", ["-wal", "-journal"])
def test_a_journal_beside_the_database_is_not_played_back(
    saved: Path, embedding: Any, tmp_path: Path, side: str
) -> None:
    """One that SQLite itself wrote, of a change to a copy: the checksums do not cover it."""
    database = generation(saved) / "documents.sqlite"
    copy = tmp_path / database.name
    copy.write_bytes(database.read_bytes())
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={'WAL' if side == '-wal' else 'DELETE'}")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("UPDATE documents SET text = 'slipped in' || hex(zeroblob(5000))")
        if side == "-wal":
            connection.execute("COMMIT")
        journal = Path(f"{copy}{side}").read_bytes()
    assert len(journal) > 1000
    Path(f"{database}{side}").write_bytes(journal)
    store = FAISSStore.load(saved, embedding)
    assert "slipped" not in str(store.similarity_search("text 3", k=30))
    store.delete(["1"])
    store.save()
    assert not list(generation(saved).glob("*.sqlite-*"))


def test_side_files_that_the_manifest_does_not_name_are_not_opened(saved: Path, embedding: Any) -> None:
    store = FAISSStore.load(saved, embedding)
    assert store.sidecar("notes") is not None
    (generation(saved) / "sidecars" / "notes" / "more.txt").write_text("slipped in")
    with pytest.raises(StoreDamagedError, match=r"more\.txt"):
        store.sidecar("notes")


@pytest.mark.parametrize("name", ["slots.npy", "vectors.faiss", "documents.sqlite"])
def test_a_file_that_the_manifest_does_not_name_is_not_opened(saved: Path, embedding: Any, name: str) -> None:
    reseal(saved, lambda facts: facts["files"].pop(name))
    with pytest.raises(StoreDamagedError, match=name):
        FAISSStore.load(saved, embedding)


# The manifest

VALUES: list[Any] = [None, -1, 0, 2**70, 1.5, "x", "", [], {}, [[]], True, {"a": {}}, float("nan")]


def test_no_value_in_a_manifest_is_anything_but_damage(saved: Path, embedding: Any, tmp_path: Path) -> None:
    facts = json.loads((generation(saved) / "manifest.json").read_text())
    places = [(name,) for name in facts]
    places += [(name, inner) for name, value in facts.items() if isinstance(value, dict) for inner in value]
    places += [("files", "slots.npy", inner) for inner in facts["files"]["slots.npy"]]
    survived = 0
    for place in places:
        for value in VALUES:

            def put(changed: dict[str, Any], place: Any = place, value: Any = value) -> None:
                for name in place[:-1]:
                    changed = changed[name]
                changed[place[-1]] = value

            (generation(saved) / "manifest.json").write_text(json.dumps(facts))
            reseal(saved, put)
            try:
                store = FAISSStore.load(saved, embedding)
            except ValueError:  # StoreDamagedError, or one that names another format or embedding
                continue
            survived += 1
            assert len(store.similarity_search("text 3", k=3)) == 3
    assert survived < 0.2 * len(places) * len(VALUES)  # dates, numbers of versions, and the like


@pytest.mark.parametrize(
    "content",
    [b"[" * 200_000, b'{"generation": ' + b"[" * 50_000, b" " * 100_000, b'{"generation": 7, "sha256": 7}'],
)
def test_a_pointer_that_is_deep_long_or_of_a_wrong_type(saved: Path, embedding: Any, content: bytes) -> None:
    (saved / "CURRENT").write_bytes(content)
    with pytest.raises(StoreDamagedError):
        FAISSStore.load(saved, embedding)


# SQLite

SCHEMA_CHANGES = {
    "view": "CREATE VIEW extra AS SELECT * FROM documents",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON documents BEGIN DELETE FROM documents; END",
    "table": "CREATE TABLE extra (a)",
    "index": "CREATE INDEX extra ON documents (text)",
    "column": "ALTER TABLE documents ADD COLUMN extra",
    "view as table": "ALTER TABLE documents RENAME TO d2; CREATE VIEW documents AS SELECT * FROM d2",
    "default": "DROP TABLE field_names; CREATE TABLE field_names (number INTEGER PRIMARY KEY, name TEXT DEFAULT (randomblob(9)))",
    "missing": "DROP TABLE fields",
}


@pytest.mark.parametrize("change", SCHEMA_CHANGES)
def test_another_schema_is_refused_on_open(saved: Path, embedding: Any, change: str) -> None:
    with closing(sqlite3.connect(generation(saved) / "documents.sqlite")) as connection:
        connection.executescript(SCHEMA_CHANGES[change])
    reseal(saved)
    with pytest.raises(StoreDamagedError, match="tables"):
        FAISSStore.load(saved, embedding)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE documents SET metadata = '[1]'",
        "UPDATE documents SET metadata = 'no json'",
        "UPDATE documents SET metadata = x'ff'",
        f"UPDATE documents SET metadata = '{'[' * 100_000}'",
        "UPDATE documents SET text = CAST(x'ff' AS TEXT)",
        "DELETE FROM documents",
        "UPDATE documents SET key = key + 1000",
    ],
)
def test_rows_that_are_no_documents_are_damage(saved: Path, embedding: Any, change: str) -> None:
    with closing(sqlite3.connect(generation(saved) / "documents.sqlite")) as connection:
        connection.execute(change)
        connection.commit()
    reseal(saved)
    store = FAISSStore.load(saved, embedding)
    with pytest.raises(StoreDamagedError):
        store.similarity_search("text 3", k=30)


def test_keys_that_are_no_numbers_are_damage(saved: Path, embedding: Any) -> None:
    with closing(sqlite3.connect(generation(saved) / "documents.sqlite")) as connection:
        connection.execute("UPDATE fields SET key = 'x' || key")
        connection.commit()
    reseal(saved)
    with pytest.raises(StoreDamagedError):
        FAISSStore.load(saved, embedding).similarity_search("text 3", filter={"n": 3})


def test_a_statement_that_does_not_end_is_stopped(saved: Path, embedding: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("llama_bedrock.retrievers.store.document_table._READING_SECONDS", 0.0)
    monkeypatch.setattr("llama_bedrock.retrievers.store.document_table._STEPS", 1)
    with pytest.raises(StoreDamagedError, match="interrupted"):
        FAISSStore.load(saved, embedding).matching_ids({"n": {"$gte": 0}})


# Arrays


def test_an_array_that_tells_of_more_than_it_holds_takes_no_memory(saved: Path, embedding: Any) -> None:
    path = generation(saved) / "slots.npy"
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (2**40,)})
    path.write_bytes(file.getvalue() + bytes(8))
    reseal(saved)
    with pytest.raises(StoreDamagedError, match="another size"):
        FAISSStore.load(saved, embedding)


@pytest.mark.parametrize("keys", [[1, 1], [2, 1], [0, 1], [-(2**63), 1], [1, 2**62]])
def test_keys_that_do_not_rise_are_damage(saved: Path, embedding: Any, keys: list[int]) -> None:
    np.save(generation(saved) / "slots.npy", np.array(keys, np.int64))
    reseal(saved)
    with pytest.raises(StoreDamagedError, match="rising"):
        FAISSStore.load(saved, embedding)


def test_packed_arrays_are_not_unpacked(tmp_path: Path) -> None:
    FAISSStore.from_texts(["llamas eat grass", "camels drink"]).save(tmp_path)
    path = generation(tmp_path) / "embedding" / "lsa.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("idf", "components"):
            file = io.BytesIO()
            np.save(file, np.zeros(2_000_000, np.float32))
            archive.writestr(f"{name}.npy", file.getvalue())
    assert path.stat().st_size < 100_000
    reseal(tmp_path)
    with pytest.raises(StoreDamagedError, match="packed"):
        FAISSStore.load(tmp_path)


# FAISS files, damaged at random: in a process of its own, for a crash ends it

KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "flat": (300, {}),
    "fp16": (300, {"storage": "fp16"}),
    "sq8": (1100, {"storage": "sq8"}),
    "hnsw": (300, {"kind": "hnsw", "metric": "l2", "neighbors": 4}),
    "hnsw-sq8": (1100, {"kind": "hnsw", "storage": "sq8", "neighbors": 4}),
    "fastscan": (1100, {"kind": "fastscan"}),
}
MUTATIONS = """
    import json, random, resource, sys
    from pathlib import Path
    import numpy as np
    from llama_bedrock.retrievers.store.vector_index import IndexSettings, Structure, VectorIndex
    from llama_bedrock.retrievers.store.slots import Selection

    rounds, query = int(sys.argv[1]), np.ones((1, 16), np.float32)
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    def change(content, rng):
        content = bytearray(content)
        # Half of the changes go where the numbers are, before the vectors, and are numbers.
        near = min(len(content), 400) if rng.random() < .5 else len(content)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            place = rng.randrange(max(near - 8, 1))
            how = rng.randrange(5)
            if how == 0:
                content[place] ^= 1 << rng.randrange(8)
            elif how == 1:
                size = rng.choice((4, 8))
                value = rng.choice((0, 1, -1, 2**31 - 1, -2**31, 255, 65536, rng.randrange(2**31)))
                content[place:place + size] = value.to_bytes(size, "little", signed=True)
            elif how == 2:
                del content[place:place + rng.choice((1, 4, 8, 100))]
            elif how == 3:
                content[place:place] = rng.randbytes(rng.choice((1, 4, 8)))
            else:
                content = content[:rng.randrange(len(content))] + bytes(8)
            near = min(near, len(content))
        return bytes(content)

    for folder, count in json.loads(sys.argv[2]).items():
        print(folder, end=" ", flush=True)
        facts = json.loads((Path(folder) / "manifest.json").read_text())
        settings, structure = IndexSettings(**facts["settings"]), Structure(**facts["parts"][0]["structure"])
        original, damaged = (Path(folder) / "vectors.faiss").read_bytes(), Path(folder) / "damaged"
        opened, rng = 0, random.Random(7)
        for number in range(rounds):
            damaged.write_bytes(change(original, rng))
            try:
                index = VectorIndex.read(damaged, 16, count, settings, structure, mapped=number % 2 == 0)
            except ValueError:
                continue
            opened += 1
            index.search(query, 5, None)
            index.search(query, 5, Selection(np.full(-(-count // 8), 0x55, np.uint8), count))
            index.vectors(np.array([0, count - 1]))
            index.rebuilt(np.ones(count, np.bool_), Structure("flat", "float32"))
        print(opened, flush=True)
"""


def mutated(folder: Path, make_store: Make, rounds: int) -> list[int]:
    """For every kind of index: how many of so many damaged files were opened."""
    for kind, (count, settings) in KINDS.items():
        make_store(count, **settings).save(folder / kind)
    counts = {str(generation(folder / kind)): count for kind, (count, _) in KINDS.items()}
    command = [sys.executable, "-c", textwrap.dedent(MUTATIONS), str(rounds), json.dumps(counts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, f"exit {done.returncode} at {done.stdout[-200:]}: {done.stderr[-2000:]}"
    return [int(line.rpartition(" ")[2]) for line in done.stdout.splitlines()]


@posix
@pytest.mark.parametrize("rounds", [200, pytest.param(1_700, marks=pytest.mark.slow)])
def test_mutations_of_a_faiss_file_of_every_kind_crash_nothing(
    make_store: Make, tmp_path: Path, rounds: int
) -> None:
    opened = mutated(tmp_path, make_store, rounds)
    assert len(opened) == len(KINDS)
    assert all(
        0 < each < rounds for each in opened
    )  # numbers of vectors may be any; the rest must be refused


# What is ours alone, and what is left behind


@posix
def test_what_is_saved_is_the_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Llamas eat grass.")
    old = os.umask(0)
    try:
        index_folder(tmp_path / "docs", FAISSStore(), save=tmp_path / "deep" / "store")
    finally:
        os.umask(old)
    found = [tmp_path / "deep", *(tmp_path / "deep").rglob("*")]
    assert [path for path in found if path.stat().st_mode & 0o077] == []
    assert len(found) > 8


KILLED = """
    import os, signal, sys
    from llama_bedrock.retrievers.store.document_table import DocumentTable
    table = DocumentTable.temporary()
    print(table.path.parent, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_what_a_killed_process_left_in_the_temporary_folder_is_cleared_by_the_next(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    def run(script: str) -> str:
        command = [sys.executable, "-c", textwrap.dedent(script)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout

    left = Path(run(KILLED).strip())
    assert left.is_dir()
    (tmp_path / "llama-bedrock-somebody").mkdir()  # without our lock: not ours
    run("from llama_bedrock.retrievers.store.working_folder import WorkingFolder\nWorkingFolder()")
    assert [path.name for path in tmp_path.iterdir()] == ["llama-bedrock-somebody"]


def test_a_folder_in_use_is_not_cleared(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("llama_bedrock.retrievers.store.working_folder._cleared", set())
    first = WorkingFolder()
    monkeypatch.setattr("llama_bedrock.retrievers.store.working_folder._cleared", set())
    second = WorkingFolder()
    assert first.path.is_dir()
    first.delete()
    second.delete()
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_failed_save_leaves_no_file_behind(make_store: Make, tmp_path: Path, monkeypatch: Any) -> None:
    store = make_store(10)
    store.save(tmp_path / "store")
    before = snapshot(tmp_path / "store")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "a file")

    store.add_texts(["more"])
    monkeypatch.setattr("llama_bedrock.retrievers.store.generations.write_file", full)
    with pytest.raises(OSError, match="No space left"):
        store.save()
    assert snapshot(tmp_path / "store") == before


READ_ONLY = """
    import builtins, os, sys
    from pathlib import Path
    from llama_bedrock.retrievers import FAISSStore, HybridRetriever, index_folder

    def audit(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(sys.argv[1]):
            assert not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), arguments
        if event in ("os.mkdir", "os.rename", "os.remove", "os.utime", "os.chmod", "os.link", "shutil.rmtree"):
            assert not str(arguments[0]).startswith(sys.argv[1]), (event, arguments)

    sys.addaudithook(audit)
    store = FAISSStore.load(sys.argv[1])
    report = index_folder(sys.argv[2], store)
    assert (report.unchanged, report.embedded) == (2, 0), report
    assert HybridRetriever(store=store, k=1).invoke("grass")
    print("read only")
"""


def test_an_index_that_is_current_is_asked_without_a_write(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("a", "b"):
        (docs / f"{name}.md").write_text(f"Llamas named {name} eat grass.")
        os.utime(docs / f"{name}.md", (1_700_000_000, 1_700_000_000))
    index_folder(docs, FAISSStore(), save=tmp_path / "store")
    before = snapshot(tmp_path / "store")
    command = [sys.executable, "-c", textwrap.dedent(READ_ONLY), str(tmp_path / "store"), str(docs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "read only\n", done.stderr
    assert snapshot(tmp_path / "store") == before
