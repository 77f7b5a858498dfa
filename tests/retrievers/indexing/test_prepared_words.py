"""The lexical index of a first run is made while the store is filled: it must be that of what the store holds."""

import pytest
from langchain_core.documents import Document

from llama_bedrock.retrievers import FAISSStore, HybridRetriever, index_folder
from llama_bedrock.retrievers.analysis import AnalysedTexts
from llama_bedrock.retrievers.indexing.targets import FAISSTarget
from llama_bedrock.retrievers.search.lexical import BM25Index, lexical_side_of, searchable_text

QUERIES = ["subject 7", "a heading of the hill", "llama wool", "late words"]


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(40):
        lines = "\n".join(f"A llama's wool, line {line}, subject {number % 11}." for line in range(40))
        (folder / f"{number:02}.md").write_text(f"# Heading {number} of the hill\n\n{lines}")  # two chunks
    return folder


def delete_first(store):
    store.delete([next(store.documents()).id])


def delete_last(store):
    store.delete([[*store.documents()][-1].id])


def replace_one(store):
    chosen = [*store.documents()][5]
    store.add_documents([Document("late words instead", id=chosen.id)])


def delete_one_and_add_one(store):
    delete_last(store)
    store.add_documents([Document("late words", id="late")])


def nothing(store):
    """Leave it as it is."""


@pytest.mark.parametrize("change", [nothing, delete_first, delete_last, replace_one, delete_one_and_add_one])
@pytest.mark.parametrize("contextual", [True, False])
def test_it_is_that_of_the_documents_whatever_happens_before_it_is_searched(docs, change, contextual):
    store = FAISSStore(contextual=contextual)
    index_folder(docs, store)
    change(store)
    made_at_once = BM25Index()
    made_at_once.add({document.id: searchable_text(document) for document in store.documents()})
    side = lexical_side_of(store)
    ids = {key: document.id for key, document in store.documents_after(0)}
    for query in QUERIES:
        found = {ids[key]: score for key, score in side.search(query, 50).items()}
        assert found == pytest.approx(made_at_once.search(query, 50), abs=1e-6)
    found = HybridRetriever(store=store, k=1).invoke("late words")
    texts = [document.page_content for document in found]
    assert any(text.startswith("late words") for text in texts) == (
        change in (replace_one, delete_one_and_add_one)
    )


def test_a_first_run_analyses_each_text_once(docs, tmp_path, monkeypatch):
    analysed = []
    of = AnalysedTexts.of.__func__

    def counted(cls, texts):
        texts = list(texts)
        analysed.extend(texts)
        return of(cls, texts)

    monkeypatch.setattr(AnalysedTexts, "of", classmethod(counted))
    report = index_folder(docs, FAISSStore(), save=tmp_path / "index")
    assert len(analysed) == len(set(analysed)) == report.chunks > 40
    again = FAISSStore.load(tmp_path / "index")
    assert len(lexical_side_of(again).search("hill", 1_000)) == report.chunks


def test_a_folder_without_a_word_leaves_the_store_as_it_was(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "marks.txt").write_text("!!! ??? ...\n" * 3)
    store = FAISSStore()
    with pytest.raises(ValueError, match="at least one text with a word"):
        index_folder(tmp_path / "docs", store)
    assert (len(store), store.embeddings, store.dimension, [*store.documents()]) == (0, None, None, [])
    (tmp_path / "docs" / "marks.txt").write_text("Words of a llama.")
    assert index_folder(tmp_path / "docs", store).chunks == 1
    assert store.similarity_search("llama", k=1)[0].page_content == "Words of a llama."


def test_documents_that_another_thread_adds_meanwhile_are_not_lost(docs, monkeypatch):
    store = FAISSStore()
    add = FAISSTarget._add_part

    def add_after_another(target, part, vectors):
        store.add_documents([Document("wool", id="other")])
        add(target, part, vectors)

    monkeypatch.setattr(FAISSTarget, "_add_part", add_after_another)
    chunks = index_folder(docs, store).chunks
    assert len(store) == chunks + 1
    assert len(store.similarity_search("wool", k=200)) == chunks + 1


def test_documents_of_other_vectors_stay_when_a_folder_is_indexed_beside_them(docs):
    store = FAISSStore()
    store.add_documents([Document("a camel's wool", id="own")], vectors=[[1.0, 0.0, 0.0]])
    report = index_folder(docs, store)
    assert len(store) == report.chunks + 1
    assert store.similarity_search("camel", k=1)[0].id == "own"
