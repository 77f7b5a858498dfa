"""Stores of langchain-community come over whole, and their pickles run nothing."""

from __future__ import annotations

import datetime
import pickle
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from llama_bedrock.retrievers import FAISSStore

community = pytest.importorskip("langchain_community.vectorstores")
EMBEDDING = DeterministicFakeEmbedding(size=16)
DOCUMENTS = [
    Document(
        f"Text {n}, with ö and 😀.",
        id=f"doc-{n}",
        metadata={"n": n, "title": "T", "tags": ["a", "b"], "deep": {"x": None}, "ok": True, "f": 0.5},
    )
    for n in range(30)
]


class Counting(DeterministicFakeEmbedding):
    """Embeddings that fail where documents are embedded."""

    def embed_documents(self, texts):
        raise AssertionError("embedded again")


@pytest.fixture(params=["l2", "inner_product", "normalised"])
def theirs(request):
    from langchain_community.vectorstores.utils import DistanceStrategy

    options = {
        "l2": {},
        "inner_product": {"distance_strategy": DistanceStrategy.MAX_INNER_PRODUCT},
        "normalised": {"normalize_L2": True},
    }[request.param]
    store = community.FAISS.from_documents(DOCUMENTS, EMBEDDING, **options)
    store.delete([store.index_to_docstore_id[3]])
    return store


def order(found):
    return [document.page_content for document in found]


@pytest.mark.parametrize("form", ["folder", "object", "saved again"])
def test_a_store_finds_what_it_found_and_embeds_nothing(theirs, form, tmp_path):
    theirs.save_local(str(tmp_path / "theirs"))
    source = theirs if form == "object" else tmp_path / "theirs"
    ours = FAISSStore.from_langchain(source, Counting(size=16))
    if form == "saved again":
        ours.save(tmp_path / "ours")
        ours = FAISSStore.load(tmp_path / "ours", Counting(size=16))
    assert len(ours) == 29
    known = {document.id: document for document in ours.documents()}
    assert sorted(known) == sorted(theirs.index_to_docstore_id.values())
    for id_, document in known.items():
        original = theirs.docstore.search(id_)
        assert (document.page_content, document.metadata) == (original.page_content, original.metadata)
    for query in ("one", "two", "three"):
        assert order(ours.similarity_search(query, k=5)) == order(theirs.similarity_search(query, k=5))


def test_scores_are_distances_here_and_squared_distances_there():
    theirs = community.FAISS.from_documents(DOCUMENTS, EMBEDDING)
    ours = FAISSStore.from_langchain(theirs)
    [(_, mine)], [(_, other)] = (s.similarity_search_with_score("one", k=1) for s in (ours, theirs))
    assert mine**2 == pytest.approx(float(other), rel=1e-4)


def test_the_object_brings_its_embeddings_and_a_folder_does_not(tmp_path):
    theirs = community.FAISS.from_documents(DOCUMENTS, EMBEDDING)
    assert FAISSStore.from_langchain(theirs).embeddings is EMBEDDING
    theirs.save_local(str(tmp_path), index_name="other")
    ours = FAISSStore.from_langchain(tmp_path, index_name="other")
    with pytest.raises(ValueError, match="search by vector, or give it an embedding"):
        ours.similarity_search("one")
    vector = EMBEDDING.embed_query("one")
    assert order(ours.similarity_search_by_vector(vector)) == order(
        theirs.similarity_search_by_vector(vector)
    )


def test_an_ivf_index_gives_its_vectors_too():
    theirs = community.FAISS.from_documents(DOCUMENTS, EMBEDDING)
    vectors = theirs.index.reconstruct_n(0, 30)
    theirs.index = faiss.index_factory(16, "IVF2,Flat")
    theirs.index.train(vectors)
    theirs.index.add(vectors)
    ours = FAISSStore.from_langchain(theirs)
    assert np.allclose(ours.vectors([theirs.index_to_docstore_id[7]])[0], vectors[7])


def test_documents_of_older_langchains(tmp_path):
    """Pydantic 1 wrote other fields, and the classes lived elsewhere."""
    theirs = community.FAISS.from_documents(DOCUMENTS[:2], EMBEDDING)
    theirs.save_local(str(tmp_path))
    raw = pickle.dumps((theirs.docstore, theirs.index_to_docstore_id), protocol=2)
    raw = raw.replace(b"langchain_community.docstore.in_memory", b"langchain.docstore.in_memory")
    raw = raw.replace(b"langchain_core.documents.base", b"langchain.schema.document")
    (tmp_path / "index.pkl").write_bytes(raw)
    assert len(FAISSStore.from_langchain(tmp_path)) == 2


class Shell:
    def __reduce__(self):
        return (subprocess.check_call, ([sys.executable, "-c", "open('owned', 'w')"],))


class Getattr:
    def __reduce__(self):
        return (getattr, (Document, "__init__"))


EVIL = {
    "a call of a function": Shell(),
    "a builtin": Getattr(),
    "a class in the metadata": Document("x", metadata={"when": datetime.datetime(2024, 1, 1)}),
    "eval": type("E", (), {"__reduce__": lambda self: (eval, ("open('owned', 'w')",))})(),
}


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_a_pickle_that_names_anything_else_is_refused_and_runs_nothing(evil, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs = community.FAISS.from_documents(DOCUMENTS, EMBEDDING)
    theirs.save_local(str(tmp_path))
    theirs.docstore._dict[theirs.index_to_docstore_id[0]] = evil
    (tmp_path / "index.pkl").write_bytes(pickle.dumps((theirs.docstore, theirs.index_to_docstore_id)))
    with pytest.raises(ValueError, match=r"index\.pkl is refused: it names .*could run any code"):
        FAISSStore.from_langchain(tmp_path)
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no pickle",
        pickle.dumps(7),
        pickle.dumps(({}, {})),
        pickle.dumps(({"a": 1}, {0: "a"})),
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02\x82\x01.",  # a class by its number in the extension registry
        b"\x80\x04P1\n.",  # a persistent id
    ],
)
def test_a_file_that_is_no_docstore_is_refused(raw, tmp_path):
    community.FAISS.from_documents(DOCUMENTS, EMBEDDING).save_local(str(tmp_path))
    (tmp_path / "index.pkl").write_bytes(raw)
    with pytest.raises(ValueError, match=r"index\.pkl is refused"):
        FAISSStore.from_langchain(tmp_path)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    community.FAISS.from_documents(DOCUMENTS, EMBEDDING).save_local(str(tmp_path / "a"))
    community.FAISS.from_documents(DOCUMENTS[:3], EMBEDDING).save_local(str(tmp_path / "b"))
    (tmp_path / "a" / "index.pkl").write_bytes((tmp_path / "b" / "index.pkl").read_bytes())
    with pytest.raises(ValueError, match="30 vectors, and ids for 3"):
        FAISSStore.from_langchain(tmp_path / "a")
    (tmp_path / "b" / "index.faiss").write_bytes(b"no index at all")
    with pytest.raises(ValueError, match="cannot be read by FAISS"):
        FAISSStore.from_langchain(tmp_path / "b")
    with pytest.raises(FileNotFoundError, match=r"index\.faiss and index\.pkl"):
        FAISSStore.from_langchain(tmp_path)
    with pytest.raises(ValueError, match="folder or the FAISS object"):
        FAISSStore.from_langchain(object())


def test_load_says_what_the_folder_holds(tmp_path):
    community.FAISS.from_documents(DOCUMENTS, EMBEDDING).save_local(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"langchain-community: FAISSStore\.from_langchain"):
        FAISSStore.load(tmp_path)


def test_the_command_imports_a_folder(tmp_path):
    from typer.testing import CliRunner

    from llama_bedrock.cli.index import app

    community.FAISS.from_documents(DOCUMENTS, EMBEDDING).save_local(str(tmp_path / "theirs"))
    command = ["import", str(tmp_path / "theirs"), "--to", str(tmp_path / "ours")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "30 passages of 16 dimensions" in result.output
    assert len(FAISSStore.load(tmp_path / "ours", EMBEDDING)) == 30
    assert CliRunner().invoke(app, command).exit_code != 0
