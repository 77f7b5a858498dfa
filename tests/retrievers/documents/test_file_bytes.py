"""Files are judged by what was opened: what stood there at a look may be another thing by then."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from llama_bedrock.retrievers import FAISSStore, index_folder, load_documents
from llama_bedrock.retrievers.documents import load
from llama_bedrock.retrievers.documents.readers import file_bytes
from llama_bedrock.retrievers.documents.readers.file_bytes import digest_of, file_digest, read_bytes


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 5_000_000])
def test_bytes_up_to_one_more_than_the_most_are_read(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file.txt"
    file.write_bytes(data := os.urandom(size))
    assert read_bytes(file, 10) == (data[:11], size)
    assert read_bytes(str(file), size) == (data, size)
    assert file_digest(file) == digest_of(data)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a file system of Linux")
def test_a_file_that_says_it_is_empty_is_read(tmp_path: Path) -> None:
    assert read_bytes("/proc/self/status", 1 << 20)[0].startswith(b"Name:")
    assert len(read_bytes("/proc/self/status", 10)[0]) == 11


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a file system of Unix")
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(tmp_path)  # the paths of sockets are short
        listener.bind("socket.txt")
        os.chdir(here)
        for path in (tmp_path / "pipe.txt", tmp_path / "socket.txt", tmp_path, Path(os.devnull)):
            with pytest.raises(ValueError, match="not a regular file"):
                read_bytes(path, 100)
            assert file_digest(path) == ""


@pytest.mark.parametrize("swapped", ["inner/notes.txt", "inner", "inner/notes.unknown"])
@pytest.mark.parametrize("indexed", [False, True], ids=["load", "index"])
def test_what_becomes_a_link_after_it_was_found_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str, indexed: bool
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "docs"
    for folder in (outside, root / "inner"):
        folder.mkdir(parents=True)
        for name in ("notes.txt", "notes.unknown"):
            word = "secret" if folder == outside else "harmless"
            (folder / name).write_text(f"The {word} of this folder is a sentence of its own in {name}.")
    (root / "first.txt").write_text("This file is read before the others are looked at, and stays.")
    found = load.find_files

    def swap(*args, **options):
        files = list(found(*args, **options))
        target = root / swapped
        target.rename(tmp_path / "moved")
        target.symlink_to(outside / target.name if target.suffix else outside)
        return iter(files)

    monkeypatch.setattr(load, "find_files", swap)
    monkeypatch.setattr("llama_bedrock.retrievers.indexing.folder_manifest.find_files", swap)
    problems: list[load.FileProblem] = []
    if indexed:
        store = FAISSStore()
        index_folder(root, store, on_error=problems.append)
        texts = [document.page_content for document in store.similarity_search("folder sentence", k=9)]
    else:
        texts = [document.page_content for document in load_documents(root, on_error=problems.append)]
    assert texts
    assert not any("secret" in text for text in texts)
    assert any(problem.reason == file_bytes.OUTSIDE for problem in problems)


def test_without_the_names_of_descriptors_what_was_opened_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_names(path: object) -> str:
        raise OSError

    monkeypatch.setattr(os, "readlink", no_names)
    root = tmp_path / "docs"
    root.mkdir()
    (root / "in.txt").write_text("in")
    (tmp_path / "out.txt").write_text("out")
    bounds = os.path.realpath(root)
    assert read_bytes(root / "in.txt", 10, bounds) == (b"in", 2)
    with pytest.raises(ValueError, match="leads out of the folder"):
        read_bytes(tmp_path / "out.txt", 10, bounds)
    with pytest.raises(ValueError, match="leads out of the folder"):
        read_bytes(root / ".." / "out.txt", 10, bounds)
