"""Files are judged by what was opened: what stood there at a look may be another thing by then."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

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
