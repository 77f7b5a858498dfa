import pytest
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from llama_bedrock.retrievers import FAISSStore, HybridRetriever
from llama_bedrock.retrievers.search.multi_query import MultiQueryRetriever

DOCUMENTS = [
    Document(id="pay", page_content="The remuneration of employees is paid monthly."),
    Document(id="holiday", page_content="Annual leave has thirty days."),
    Document(id="bread", page_content="Bread is baked from flour."),
]


def retriever(answer, **options):
    model = GenericFakeChatModel(messages=iter([AIMessage(answer), AIMessage(answer)]))
    base = HybridRetriever(store=FAISSStore.from_documents(DOCUMENTS), k=1)
    return MultiQueryRetriever(retriever=base, model=model, **options)


ANSWER = '1. monthly remuneration of staff\n- "paid employees"\n\n(3) wages\n4: too many'


def test_documents_are_found_by_other_wordings_than_the_questions():
    assert retriever("nothing useful", k=1).retriever.invoke("salary") == []
    assert [d.id for d in retriever(ANSWER, k=1).invoke("salary")] == ["pay"]


async def test_async_finds_the_same():
    assert await retriever(ANSWER).ainvoke("salary of bread") == retriever(ANSWER).invoke("salary of bread")


def test_marks_of_lists_and_what_is_too_many_are_left_out():
    wordings = retriever(ANSWER)._wordings("salary", AIMessage(ANSWER))
    assert wordings == ["salary", "monthly remuneration of staff", "paid employees", "wages"]


def test_numbers_that_begin_a_wording_are_kept():
    [_, wording] = retriever("x")._wordings("q", AIMessage("2024 revenue of the company"))
    assert wording == "2024 revenue of the company"


@pytest.mark.parametrize("answer", ["", "\n \n", "salary"])
def test_without_other_wordings_the_question_itself_is_searched(answer):
    assert [d.id for d in retriever(answer, k=1).invoke("bread")] == ["bread"]


def test_options_of_a_call_reach_the_retriever():
    found = retriever(ANSWER).invoke("employees bread", k=3, alpha=0.0)
    assert found
    assert all(document.metadata["dense_score"] is None for document in found)


def test_what_several_wordings_find_comes_first():
    found = retriever("annual leave\nleave days\nthirty days", k=2).invoke("bread")
    assert [document.id for document in found] == ["holiday", "bread"]
