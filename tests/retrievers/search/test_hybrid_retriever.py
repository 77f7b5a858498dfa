import asyncio
import json
import math
import shutil

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests

from llama_bedrock.retrievers import FAISSStore, HybridRetriever, LSAEmbeddings
from llama_bedrock.retrievers.search.lexical import SIDECAR, BM25Index

DOCUMENTS = [
    Document(id="wool", page_content="Llamas have soft wool.", metadata={"kind": "animal", "year": 2020}),
    Document(id="loads", page_content="A llama carries loads in the mountains.", metadata={"kind": "animal"}),
    Document(id="wing", page_content="The boundary layer of a wing.", metadata={"kind": "air", "year": 1958}),
    Document(id="heat", page_content="Aerodynamic heating of wings at speed.", metadata={"kind": "air"}),
    Document(id="bread", page_content="Bread is baked from flour.", metadata={"title": "Sourdough"}),
]


@pytest.fixture
def store():
    return FAISSStore.from_documents(DOCUMENTS)


def ids(documents):
    return [document.id for document in documents]


class TestStandard(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self):
        return HybridRetriever

    @property
    def retriever_constructor_params(self):
        return {"store": FAISSStore.from_documents(DOCUMENTS, DeterministicFakeEmbedding(size=16))}

    @property
    def retriever_query_example(self):
        return "what do llamas carry?"


def test_documents_come_with_the_score_of_each_side(store):
    documents = HybridRetriever(store=store, k=2).invoke("llama wool")
    assert ids(documents) == ["wool", "loads"]
    assert documents[0].metadata["kind"] == "animal"
    assert documents[0].metadata["score"] == pytest.approx(1.0)
    assert documents[0].metadata["dense_score"] > 0.5
    assert documents[0].metadata["lexical_score"] > documents[1].metadata["lexical_score"] > 0
    assert "score" not in store.get_by_ids(["wool"])[0].metadata


def test_a_document_is_found_by_a_title_that_its_text_does_not_name(store):
    assert ids(HybridRetriever(store=store, k=1).invoke("sourdough")) == ["bread"]


def test_options_are_set_per_call(store):
    retriever = HybridRetriever(store=store)
    assert len(retriever.invoke("llama wing bread", k=2)) == 2
    assert ids(retriever.invoke("llama wing", k=5, filter={"kind": "air"}))[0] == "wing"
    only_words = retriever.invoke("llama", alpha=0.0)
    assert [d.metadata["dense_score"] for d in only_words] == [None, None]
    only_vectors = retriever.invoke("llama", alpha=1.0, feedback=0)
    assert {d.metadata["lexical_score"] for d in only_vectors} == {None}
    assert only_vectors[0].metadata["score"] == pytest.approx(1.0)
    ranked = retriever.invoke("llama", fusion="rrf", weights=(1, 1))
    assert ranked[0].metadata["score"] == pytest.approx(2 / 61)


def test_a_weight_of_a_call_goes_before_the_retrievers(store):
    retriever = HybridRetriever(store=store, weights=(0, 1))
    assert retriever.invoke("llama")[0].metadata["dense_score"] is None
    assert retriever.invoke("llama", alpha=1)[0].metadata["lexical_score"] is None
    assert retriever.invoke("llama", alpha=1, weights=(0, 2))[0].metadata["dense_score"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be a positive integer, got 0"),
        ({"k": True}, "k must be a positive integer, got True"),
        ({"candidates": "many"}, "candidates must be a positive integer"),
        ({"alpha": 1.5}, "alpha must be between 0 and 1, got 1.5"),
        ({"alpha": "half"}, "alpha must be between 0 and 1, got 'half'"),
        ({"fusion": "sum"}, 'fusion must be "minmax" or "rrf"'),
        ({"weights": (0, 0)}, "weights must be"),
        ({"top_k": 3}, "not top_k"),
        ({"filter": {"year": {"$near": 3}}}, r"\$near"),
    ],
)
def test_mistakes_in_a_call_are_named(store, options, message):
    with pytest.raises(ValueError, match=message):
        HybridRetriever(store=store).invoke("llama", **options)


@pytest.mark.parametrize("query", [None, 5, {"question": "llama"}, ["llama"]])
def test_what_is_no_text_is_refused(store, query):
    with pytest.raises(TypeError, match=f"the text of the query, not {type(query).__name__}"):
        HybridRetriever(store=store).invoke(query)
    with pytest.raises(TypeError, match=r"query=.*: it takes a text"):
        store.similarity_search(query)


@pytest.mark.parametrize(
    "options", [{"k": 0}, {"alpha": 2}, {"fusion": "sum"}, {"weights": (0, 0)}, {"top_k": 3}]
)
def test_mistakes_in_the_constructor_are_named(store, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        HybridRetriever(store=store, **options)


def test_a_query_without_a_known_word_finds_nothing_with_lsa(store):
    assert HybridRetriever(store=store).invoke("zymurgy xylophone") == []
    assert HybridRetriever(store=store).invoke("") == []


def test_an_empty_store_finds_nothing():
    assert HybridRetriever(store=FAISSStore()).invoke("llama") == []


@pytest.mark.parametrize(
    "options", [{}, {"feedback": 0}, {"alpha": 0.2, "fusion": "rrf"}, {"filter": {"kind": "air"}}]
)
async def test_async_finds_the_same(store, options):
    retriever = HybridRetriever(store=store)
    for query in ("llama wool", "wings of bread", "zymurgy", ""):
        assert await retriever.ainvoke(query, **options) == retriever.invoke(query, **options)


async def test_many_async_questions_at_once_find_the_same(store):
    def told(documents):  # two of them tell a query equally much, but for the last digits
        return sorted((round(document.metadata["score"], 5), document.id) for document in documents)

    retriever = HybridRetriever(store=store, k=len(DOCUMENTS))
    queries = [f"{word} {n}" for n in range(20) for word in ("llama", "wing", "bread")]
    together = await asyncio.gather(*map(retriever.ainvoke, queries))
    assert [told(found) for found in together] == [told(retriever.invoke(query)) for query in queries]
    assert {told(found)[-1][1] for found in together} == {"wool", "wing", "bread"}


def test_the_lexical_side_follows_the_store(store):
    retriever = HybridRetriever(store=store, alpha=0.0, k=10)
    assert ids(retriever.invoke("yeast")) == []
    store.add_documents([Document(id="yeast", page_content="Yeast makes dough rise.")])
    assert ids(retriever.invoke("yeast")) == ["yeast"]
    store.add_documents([Document(id="yeast", page_content="Replaced by salt.")])
    assert ids(retriever.invoke("yeast")) == []
    assert ids(retriever.invoke("salt")) == ["yeast"]
    store.delete(["yeast"])
    assert ids(retriever.invoke("salt")) == []


def test_the_lexical_index_is_saved_with_the_store_and_used_when_it_is_opened(store, tmp_path):
    HybridRetriever(store=store).invoke("llama")
    store.save(tmp_path / "index")
    opened = FAISSStore.load(tmp_path / "index")
    assert (opened.sidecar(SIDECAR) / "lexical.json").is_file()
    words = HybridRetriever(store=opened, alpha=0.0)
    assert words.invoke("llama mountains") == HybridRetriever(store=store, alpha=0.0).invoke(
        "llama mountains"
    )
    # It is the saved index that answers: with another in its place, the answer is another.
    again = FAISSStore.load(tmp_path / "index")
    other = BM25Index()
    other.add({document.id: "llama" if document.id == "bread" else "other" for document in DOCUMENTS})
    other.save(again.sidecar(SIDECAR))
    assert ids(HybridRetriever(store=again, alpha=0.0).invoke("llama")) == ["bread"]


def test_a_damaged_lexical_index_is_built_again(store, tmp_path, caplog):
    HybridRetriever(store=store)
    store.save(tmp_path / "index")
    opened = FAISSStore.load(tmp_path / "index")
    (opened.sidecar(SIDECAR) / "terms-1.npz").write_bytes(b"damaged")
    assert ids(HybridRetriever(store=opened, alpha=0.0).invoke("flour")) == ["bread"]
    assert "building it again" in caplog.text


def test_retrievers_of_one_store_share_the_lexical_index(store):
    first, second = HybridRetriever(store=store), HybridRetriever(store=store, k=1)
    first.invoke("llama")
    assert first._lexical_side() is second._lexical_side()
    other = HybridRetriever(store=FAISSStore.from_documents(DOCUMENTS))
    assert other._lexical_side() is not first._lexical_side()


def test_a_narrow_filter_still_brings_every_document_it_lets_pass():
    documents = [
        Document(id=str(n), page_content=f"A llama, number {n}.", metadata={"rare": n % 400 == 7})
        for n in range(2000)
    ]
    retriever = HybridRetriever(store=FAISSStore.from_documents(documents), k=10, candidates=10)
    for alpha in (0.0, 0.5, 1.0):
        assert sorted(ids(retriever.invoke("llama", filter={"rare": True}, alpha=alpha)), key=int) == [
            "7", "407", "807", "1207", "1607",
        ]  # fmt: skip


def test_a_filter_may_be_a_function_of_the_metadata(store):
    found = HybridRetriever(store=store).invoke(
        "llama wing", filter=lambda metadata: metadata.get("year") == 1958
    )
    assert ids(found) == ["wing"]


class TestOtherStores:
    @pytest.fixture
    def memory(self):
        embeddings = LSAEmbeddings().fit(document.page_content for document in DOCUMENTS)
        return InMemoryVectorStore.from_documents(DOCUMENTS, embeddings)

    def test_a_store_that_cannot_list_its_documents_is_given_them(self, memory):
        with pytest.raises(ValueError, match=r"InMemoryVectorStore cannot list its documents.*documents=…"):
            HybridRetriever(store=memory)
        retriever = HybridRetriever(store=memory, documents=DOCUMENTS, k=2)
        assert ids(retriever.invoke("llama wool", alpha=1, feedback=0)) == ["wool", "loads"]
        assert ids(retriever.invoke("sourdough"))[0] == "bread"

    async def test_async_finds_the_same(self, memory):
        retriever = HybridRetriever(store=memory, documents=DOCUMENTS)
        for options in (
            {},
            {"feedback": 0},
            {"filter": lambda document: document.metadata.get("kind") == "air"},
        ):
            assert await retriever.ainvoke("llama", **options) == retriever.invoke("llama", **options)

    def test_the_stores_own_filter_holds_for_both_sides(self, memory):
        retriever = HybridRetriever(store=memory, documents=DOCUMENTS, k=5)
        for alpha in (0.0, 0.5):
            found = retriever.invoke(
                "llama wing", filter=lambda document: document.metadata.get("kind") == "air", alpha=alpha
            )
            assert found
            assert {document.metadata["kind"] for document in found} == {"air"}

    def test_qdrant_with_its_own_filters(self):
        from langchain_qdrant import QdrantVectorStore
        from qdrant_client import models

        embeddings = LSAEmbeddings().fit(document.page_content for document in DOCUMENTS)
        documents = [
            Document(
                page_content=d.page_content, metadata=d.metadata, id=f"00000000-0000-0000-0000-00000000000{n}"
            )
            for n, d in enumerate(DOCUMENTS)
        ]
        store = QdrantVectorStore.from_documents(
            documents, embeddings, ids=[d.id for d in documents], location=":memory:", collection_name="test"
        )
        retriever = HybridRetriever(store=store, documents=documents, k=2)
        assert [d.page_content for d in retriever.invoke("llama wool")] == [
            d.page_content for d in DOCUMENTS[:2]
        ]
        air = models.Filter(
            must=[models.FieldCondition(key="metadata.kind", match=models.MatchValue(value="air"))]
        )
        for alpha in (0.0, 0.5, 1.0):
            found = retriever.invoke("llama wing", filter=air, alpha=alpha)
            assert found
            assert {document.metadata["kind"] for document in found} == {"air"}

    def test_distances_are_told_from_similarities(self):
        store = FAISSStore.from_documents(DOCUMENTS, metric="l2")
        found = HybridRetriever(store=store, alpha=1.0, feedback=0, k=5).invoke(
            "A llama carries loads in the mountains."
        )
        assert found[0].id == "loads"
        assert found[0].metadata["dense_score"] == max(d.metadata["dense_score"] for d in found)

    def test_documents_without_ids_are_matched_by_their_text(self):
        documents = [Document(page_content=document.page_content) for document in DOCUMENTS]
        embeddings = DeterministicFakeEmbedding(size=8)
        store = FAISSStore.from_documents(documents, embeddings)
        found = HybridRetriever(store=store, k=5).invoke("llama")
        assert len(found) == len({document.page_content for document in found}) == 5


def test_feedback_moves_the_query_towards_what_was_found_first():
    # "felines" shares no word with the query, only with what the query finds.
    texts = [
        "a cat is a feline",
        "cats are felines and purr",
        "felines purr at night",
        "bread and butter",
        "wings",
    ]
    documents = [Document(id=str(n), page_content=text) for n, text in enumerate(texts)]
    store = FAISSStore.from_documents(documents)
    scores = {}
    for feedback in (0, 2):
        found = HybridRetriever(store=store, alpha=1.0, feedback=feedback, k=5).invoke("cat")
        scores[feedback] = {d.id: d.metadata["dense_score"] for d in found}
    assert scores[2]["2"] > scores[0]["2"] + 0.1
    assert scores[2]["3"] < 0.1


def test_feedback_without_embeddings_is_a_clear_error(store):
    class Searchable(FAISSStore):
        embeddings = None

    blind = Searchable.from_documents(DOCUMENTS)
    with pytest.raises(ValueError, match="feedback needs a store that is searched by vector"):
        HybridRetriever(store=blind).invoke("llama", feedback=2)


@pytest.mark.parametrize(
    ("name", "bound"), [pytest.param("cranfield", 0.39, marks=pytest.mark.slow), ("cookbook-docs", 0.78)]
)
def test_quality_without_anything_downloaded(shared_data, name, bound):
    folder = shared_data / "retrieval" / name
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    queries = {
        row["_id"]: row["text"]
        for row in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())
    }
    relevant = {}
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        relevant.setdefault(query, {})[document] = int(grade)
    documents = [
        Document(id=row["_id"], page_content=row["title"] + "\n" + row["text"], metadata={"id": row["_id"]})
        for row in rows
    ]
    retriever = HybridRetriever(store=FAISSStore.from_documents(documents), k=10)
    values = []
    for query, grades in relevant.items():
        found = ids(retriever.invoke(queries[query]))
        gain = sum(grades.get(id_, 0) / math.log2(rank + 2) for rank, id_ in enumerate(found))
        ideal = sum(g / math.log2(r + 2) for r, g in enumerate(sorted(grades.values(), reverse=True)[:10]))
        values.append(gain / ideal)
    assert sum(values) / len(values) >= bound


def test_lsa_weighs_half_of_what_it_keeps_and_other_vectors_half(store):
    lsa = store.embeddings
    assert 0 < lsa.kept <= 1
    by_default = HybridRetriever(store=store, k=10).invoke("llama wing")
    assert by_default == HybridRetriever(store=store, k=10).invoke("llama wing", alpha=lsa.kept / 2)
    varied = [" ".join(f"w{(n * 31 + i * i) % 4099}" for i in range(40)) for n in range(400)]
    assert LSAEmbeddings(dimensions=16).fit(varied).kept < LSAEmbeddings(dimensions=128).fit(varied).kept < 1
    given = FAISSStore.from_documents(DOCUMENTS, DeterministicFakeEmbedding(size=8))
    retriever = HybridRetriever(store=given, k=10)
    assert retriever.invoke("llama wing") == retriever.invoke("llama wing", alpha=0.5)


def test_a_store_that_is_exchanged_in_the_middle_of_a_search_is_searched_again(store, tmp_path, monkeypatch):
    store.save(tmp_path / "store")
    retriever = HybridRetriever(store=store, k=2)
    nearest = store.nearest_keys

    def exchanged(*arguments):
        found = nearest(*arguments)
        if store.lineage is first:
            shutil.rmtree(tmp_path / "store")
            other = FAISSStore.from_documents(DOCUMENTS[::-1])  # its keys name others
            other.save(tmp_path / "store")
            other.add_documents([Document(id="later", page_content="Something else.")])
            other.save()
            assert store.reload()
        return found

    first = store.lineage
    monkeypatch.setattr(store, "nearest_keys", exchanged)
    assert ids(retriever.invoke("llama wool", alpha=1, feedback=0)) == ["wool", "loads"]


def test_documents_that_were_deleted_in_the_middle_of_a_search_are_left_out(store, monkeypatch):
    retriever = HybridRetriever(store=store, k=3)
    nearest = store.nearest_keys

    def deleted(*arguments):
        found = nearest(*arguments)
        store.delete(["wool"])
        return found

    monkeypatch.setattr(store, "nearest_keys", deleted)
    assert ids(retriever.invoke("llama wool", alpha=1, feedback=1))[:1] == ["loads"]
    assert "wool" not in ids(retriever.invoke("llama wool"))
