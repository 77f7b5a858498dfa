import pytest
from langchain_core.documents import Document
from langchain_core.stores import InMemoryStore

from llama_bedrock.retrievers import FAISSStore, HybridRetriever
from llama_bedrock.retrievers.search.parent_document import ParentDocumentRetriever, split_with_parents

SENTENCES = [f"Sentence {n} tells of subject{n} at some length, as sentences do." for n in range(60)]
DOCUMENT = Document(
    page_content="# Guide\n\n" + " ".join(SENTENCES[:30]) + "\n\n## More\n\n" + "\n".join(SENTENCES[30:]),
    metadata={"source": "guide.md", "document_id": "guide", "format": "markdown", "line": 1},
)


@pytest.fixture(scope="module")
def split():
    return split_with_parents([DOCUMENT], parent_size=800, chunk_size=150, chunk_overlap=20)


@pytest.fixture(params=["dict", "store"])
def retriever(split, request):
    parents, chunks = split
    known = {parent.id: parent for parent in parents}
    if request.param == "store":
        store = InMemoryStore()
        store.mset(list(known.items()))
        known = store
    base = HybridRetriever(store=FAISSStore.from_documents(chunks))
    return ParentDocumentRetriever(retriever=base, parents=known, k=2)


def test_offsets_of_parents_and_chunks_are_those_in_the_document(split):
    parents, chunks = split
    text = DOCUMENT.page_content
    known = {parent.id: parent for parent in parents}
    assert 1 < len(parents) < len(chunks)
    for piece in (*parents, *chunks):
        start, end = piece.metadata["start_index"], piece.metadata["end_index"]
        assert text[start:end] == piece.page_content
        assert piece.metadata["line"] == 1 + text.count("\n", 0, start)
    for chunk in chunks:
        parent = known[chunk.metadata["parent_id"]]
        assert parent.metadata["start_index"] <= chunk.metadata["start_index"]
        assert chunk.metadata["end_index"] <= parent.metadata["end_index"]
        assert chunk.metadata["heading"] == parent.metadata["heading"]


def test_the_parent_of_the_best_chunk_comes_first_and_each_parent_once(retriever):
    found = retriever.invoke("subject42")
    assert "subject42" in found[0].page_content
    assert len(found[0].page_content) > 300
    assert len({document.id for document in found}) == len(found) <= 2
    [start, end] = found[0].metadata["matches"][0]
    assert "subject42" in DOCUMENT.page_content[start:end]
    assert found[0].metadata["score"] > 0


async def test_async_finds_the_same(retriever):
    assert await retriever.ainvoke("subject7", k=3) == retriever.invoke("subject7", k=3)


def test_a_parent_that_is_gone_is_left_out(split):
    _, chunks = split
    base = HybridRetriever(store=FAISSStore.from_documents(chunks))
    assert ParentDocumentRetriever(retriever=base, parents={}).invoke("subject7") == []


def test_chunks_without_parents_are_a_clear_error():
    base = HybridRetriever(store=FAISSStore.from_texts(["a llama"]))
    with pytest.raises(ValueError, match="no parent_id"):
        ParentDocumentRetriever(retriever=base, parents={}).invoke("llama")


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="less than parent_size"):
        split_with_parents([DOCUMENT], parent_size=100, chunk_size=100)
