import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.retrievers.indexing.known_files import Chunk, Chunks
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
