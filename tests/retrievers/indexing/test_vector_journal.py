import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.retrievers.indexing.folder_manifest import Chunk, Folder, KnownFile, Manifest
from llama_bedrock.retrievers.indexing.vector_journal import VectorJournal
from llama_bedrock.retrievers.search.lexical import text_digest

DIGESTS = [text_digest(str(number)) for number in range(5)]
VECTORS = np.arange(15, dtype=np.float32).reshape(5, 3)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "journal"
    with VectorJournal(file, "model") as journal:
        journal.add(DIGESTS[:2], VECTORS[:2])
        journal.add(DIGESTS[2:], VECTORS[2:])
    return file


def read(path, model="model"):
    with VectorJournal(path, model) as journal:
        return {digest: vector.tolist() for digest, vector in journal.vectors.items()}


def test_vectors_are_found_again(path):
    assert read(path) == dict(zip(DIGESTS, VECTORS.tolist(), strict=True))


def test_what_is_added_later_follows(path):
    more = text_digest("more")
    with VectorJournal(path, "model") as journal:
        journal.add([more], VECTORS[:1])
    assert len(read(path)) == 6


@settings(max_examples=80, deadline=None)
@given(cut=st.integers(0, 10_000), junk=st.binary(max_size=60))
def test_wherever_a_process_dies_whole_vectors_are_found_and_more_can_be_added(tmp_path_factory, cut, junk):
    file = tmp_path_factory.mktemp("journal") / "file"
    with VectorJournal(file, "model") as journal:
        journal.add(DIGESTS, VECTORS)
    content = file.read_bytes()
    file.write_bytes(content[: cut % (len(content) + 1)] + junk)
    expected = dict(zip(DIGESTS, VECTORS.tolist(), strict=True))
    found = read(file)
    assert all(expected[digest] == vector for digest, vector in found.items())
    with VectorJournal(file, "model") as journal:
        journal.add(DIGESTS[:1], VECTORS[:1])
    assert read(file) == {**found, DIGESTS[0]: VECTORS[0].tolist()}


def test_a_journal_of_another_model_is_begun_anew(path):
    assert read(path, "another model") == {}
    assert read(path) == {}


def test_it_is_deleted_when_the_store_is_saved(path):
    with VectorJournal(path, "model") as journal:
        journal.delete()
    assert not path.exists()


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    file = KnownFile(3, 99, "abc", [Chunk("id", "content", "vector")], ["copy"], "a problem")
    manifest = Manifest({"/docs": Folder("settings", {"a.md": file})}, 7)
    manifest.write(tmp_path / "manifest")
    assert Manifest.read(tmp_path / "manifest") == manifest


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"format": 99}', b"\xff", b'{"format": 1, "folders": 3}']
)
def test_a_damaged_manifest_is_a_value_error(tmp_path, content):
    (tmp_path / "manifest").write_bytes(content)
    with pytest.raises(ValueError):
        Manifest.read(tmp_path / "manifest")
    with pytest.raises(FileNotFoundError):
        Manifest.read(tmp_path / "absent")
