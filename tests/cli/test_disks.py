"""A disk that is full, and one that can only be read: real ones, mounted for the test where it may mount."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small disk takes root on Linux"
)


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A disk of 256 KB that holds the cache."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("Llamas hum when they are content.")
    os.utime(folder / "a.md", (1_700_000_000, 1_700_000_000))
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_full_disk_is_one_line_and_leaves_the_index_as_it_was(disk, documents):
    assert run("index", documents).exit_code == 0
    (documents / "b.md").write_text("\n\n".join(os.urandom(300).hex() for _ in range(600)))
    full = run("index", documents)
    assert full.exit_code == 1
    [line] = [line for line in full.stderr.splitlines() if line]
    assert "No space left on device" in line
    (documents / "b.md").unlink()
    asked = run("ask", documents, "When do llamas hum?", "--local")
    assert (asked.exit_code, "when they are content" in asked.stdout) == (0, True), asked.stderr


def test_a_disk_that_was_full_from_the_start_is_one_line(disk, documents):
    (disk / "ballast").write_bytes(bytes(252 << 10))
    full = run("index", documents)
    assert full.exit_code == 1
    [line] = [line for line in full.stderr.splitlines() if line]
    assert "No space left on device" in line


def test_an_index_on_a_disk_that_can_only_be_read_is_asked(disk, documents):
    assert run("index", documents).exit_code == 0
    mount("-o", "remount,ro", disk)
    asked = run("ask", documents, "When do llamas hum?", "--local")
    assert (asked.exit_code, "when they are content" in asked.stdout) == (0, True), asked.stderr
    (documents / "b.md").write_text("Alpacas spit.")
    changed = run("index", documents)
    assert changed.exit_code == 1
    [line] = [line for line in changed.stderr.splitlines() if line]
    assert "Read-only file system" in line
    other = run("ask", documents / "b.md", "Do alpacas spit?", "--local")
    assert other.exit_code == 1
    assert "set XDG_CACHE_HOME" in other.stderr
