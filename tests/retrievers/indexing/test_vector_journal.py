import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.retrievers.indexing.folder_manifest import (
    Chunk,
    Chunks,
    Folder,
    KnownFile,
    Manifest,
    OwnedTexts,
)
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
    file = KnownFile(3, 99, "abc", Chunks([Chunk("id", "content", "vector")]), ["copy"], "a problem")
    manifest = Manifest({"/docs": Folder("settings", {"a.md": file})}, 7)
    assert Manifest.decode(manifest.encode()) == manifest
    old = b"""{"format": 1, "store_version": 7, "folders": {"/docs": {"settings": "settings", "files":
        {"a.md": [3, 99, "abc", [["id", "content", "vector"]], ["copy"], "a problem", []]}}}}"""
    assert Manifest.decode(old) == manifest


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b'{"format": 99}', b"\xff", b'{"format": 1, "folders": 3}', b"[" * 100_000,
        b'{"format": 1, "store_version": 1, "folders": {"/d": {"settings": 7, "files": {}}}}',
        b'{"format": 1, "store_version": 1, "folders": {"/d": {"settings": "", "files": {"a": [1, 1, "d", [["i", "c", 9]], []]}}}}',
        b'{"format": 1, "store_version": 1, "folders": {"/d": {"settings": "", "files": {"a": ["1", 1, "d", [], []]}}}}',
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_a_value_error(content):
    with pytest.raises(ValueError, match="damaged"):
        Manifest.decode(content)


@pytest.mark.parametrize("kind", ["link", "other name"])
def test_a_journal_that_leads_elsewhere_is_replaced_and_what_it_leads_to_stays(tmp_path, kind):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    journal = tmp_path / "journal"
    journal.symlink_to(outside) if kind == "link" else os.link(outside, journal)
    with VectorJournal(journal, "model") as opened:
        opened.add(DIGESTS, VECTORS)
    assert outside.read_bytes() == b"precious"
    assert len(read(journal)) == 5
    assert not journal.is_symlink()


def test_vectors_of_another_length_and_no_numbers_are_left_out(tmp_path):
    with VectorJournal(tmp_path / "journal", "model") as journal:
        journal.add(DIGESTS[:1], np.array([[1, 2, np.nan]], np.float32))
        journal.add(DIGESTS[1:2], np.array([[1, 2]], np.float32))
        journal.add(DIGESTS[2:3], VECTORS[:1])
    with VectorJournal(tmp_path / "journal", "model", 3) as journal:
        assert list(journal.vectors) == DIGESTS[2:3]


@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_chunks_that_lack_a_part_are_a_value_error(lacking):
    columns = Chunks([Chunk(f"id-{n}", text_digest(f"{n}"), text_digest(f"title {n}")) for n in range(3)])
    packed = columns.packed()
    assert len(Chunks.unpacked(packed)) == 3
    assert Chunks.unpacked(packed) == columns
    packed[lacking] = packed[lacking].rpartition(" ")[0]
    with pytest.raises(ValueError, match="lack"):
        Chunks.unpacked(packed)


@pytest.mark.parametrize("asked", [3, 1_000])
def test_owned_texts_are_those_of_the_files_and_those_that_were_added(asked):
    """Few are looked for in the joined digests, many in a set."""
    digests = [text_digest(str(number)) for number in range(1_000)]
    chunks = [
        Chunks([Chunk(f"id-{d}", d, d) for d in digests[start : start + 7]]) for start in range(0, 700, 7)
    ]
    owned = OwnedTexts([Chunks(), *(Chunks.unpacked(some.packed()) for some in chunks), Chunks()])
    owned.add(digests[-1])
    for number in [*range(0, 1_000, 1_000 // asked), 999]:
        assert (digests[number] in owned) == (number < 700 or number == 999)
