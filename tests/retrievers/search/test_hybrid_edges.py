"""Collections and questions at the edges: tiny, huge, empty, of nothing but stop words."""

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from llama_bedrock.retrievers import FAISSStore, HybridRetriever


def retriever_of(*texts, embedding=None, **options):
    documents = [Document(id=str(number), page_content=text) for number, text in enumerate(texts)]
    return HybridRetriever(store=FAISSStore.from_documents(documents, embedding), **options)


def ids(documents):
    return [document.id for document in documents]


def test_a_collection_of_one_document():
    retriever = retriever_of("Llamas hum when they are content.")
    [document] = retriever.invoke("Do llamas hum?")
    assert document.metadata["score"] == pytest.approx(1.0)
    assert retriever.invoke("aerodynamics") == []


@pytest.mark.parametrize("query", ["", "   ", "?!…", "what is it and who are they", "zyzzyva"])
def test_a_question_without_a_known_word_finds_nothing(query):
    assert retriever_of("Llamas hum.", "Wings lift.").invoke(query) == []


def test_a_question_of_stop_words_is_still_asked_of_other_vectors():
    retriever = retriever_of("Llamas hum.", "Wings lift.", embedding=DeterministicFakeEmbedding(size=8), k=2)
    assert sorted(ids(retriever.invoke("who are you"))) == ["0", "1"]


def test_a_very_long_document_hides_no_short_one():
    long = " ".join(f"subject{n % 5000} of the great catalogue" for n in range(60_000))
    retriever = retriever_of(long, "Llamas hum.", "x", "The catalogue lists subject7.")
    assert ids(retriever.invoke("Which llamas hum?"))[0] == "1"
    assert ids(retriever.invoke("what lists subject7?"))[0] == "3"


def test_a_very_long_question_is_answered():
    retriever = retriever_of("Llamas hum when content.", "Wings lift in supersonic flow.")
    question = "Please tell me about the llamas that hum. " * 3000
    assert ids(retriever.invoke(question))[0] == "0"


def test_numbers_and_dotted_names_are_found():
    retriever = retriever_of(
        "Error 4711 means that the pump is dry.",
        "Error 4712 means that the valve is shut.",
        "os.path.join puts parts of a path together.",
        "shutil.copytree copies a folder.",
    )
    assert ids(retriever.invoke("error 4712"))[0] == "1"
    assert ids(retriever.invoke("os.path.join"))[0] == "2"
    assert ids(retriever.invoke("copyTree"))[0] == "3"


def test_equal_documents_are_both_found():
    retriever = retriever_of("Llamas hum.", "Llamas hum.", "Wings.", k=2)
    assert sorted(ids(retriever.invoke("hum"))) == ["0", "1"]
