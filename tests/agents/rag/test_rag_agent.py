"""The RAG agent: several searches, numbers that stay unique, citations checked against what was found."""

from __future__ import annotations

import asyncio
import warnings

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver

from llama_bedrock.agents import RagAnswer, create_rag_agent, create_tool_agent, read_answer, search_tool
from llama_bedrock.prompts.parse_back import parse_prompt
from llama_bedrock.prompts.passages import NO_ANSWER, parse_passages

FACTS = {
    "shepherd": Document("The shepherd of farm 7 is Amaru.", metadata={"source": "farms.md", "line": 2}),
    "born": Document("Amaru was born in Cusco in 1961.", metadata={"source": "people.md", "page": 4}),
    "grass": Document("Llamas eat grass and hay.", metadata={"source": "food.md"}),
}


def find(query: str) -> list[Document]:
    return [document for word, document in FACTS.items() if word in query]


def question(text: str = "Where was the shepherd of farm 7 born?"):
    return {"messages": [("user", text)]}


MODES = {
    "sync": lambda agent, value, config=None: agent.invoke(value, config),
    "async": lambda agent, value, config=None: asyncio.run(agent.ainvoke(value, config)),
}
both = pytest.mark.parametrize("run", MODES.values(), ids=MODES)


@both
@pytest.mark.parametrize(
    "value", [{}, {"messages": []}, {"question": "Where?"}, {"messages": [("system", "x")]}]
)
def test_a_run_that_nobody_asked_for_is_refused(scripted, run, value):
    llm, engine = scripted(["Amaru."])
    with pytest.raises(ValueError, match="one of them from the user"):
        run(create_rag_agent(llm, RunnableLambda(find)), value)
    assert not engine.requests


@both
def test_two_hops_are_searched_and_both_cited(scripted, run):
    llm, engine = scripted(
        [
            '[search_documents(query="shepherd of farm 7")]',
            '[search_documents(query="where Amaru was born")]',
            "The shepherd of farm 7 is Amaru [1]. He was born in Cusco in 1961 [2].",
        ]
    )
    result = run(create_rag_agent(llm, RunnableLambda(find)), question())
    answer = result["answer"]
    assert isinstance(answer, RagAnswer)
    assert [(c.number, c.source, c.quote, c.supported) for c in answer.citations] == [
        (1, "farms.md", "The shepherd of farm 7 is Amaru.", True),
        (2, "people.md", "Amaru was born in Cusco in 1961.", True),
    ]
    assert answer.grounded_fraction == 1
    assert answer.question == "Where was the shepherd of farm 7 born?"
    assert answer.usage["output_tokens"] == sum(
        m.usage_metadata["output_tokens"] for m in result["messages"] if isinstance(m, AIMessage)
    )
    tool_turns = [t.text for t in parse_prompt(engine.requests[2].prompt) if t.role == "tool"]
    assert [[p.number for p in parse_passages(turn)] for turn in tool_turns] == [[1], [2]]


@both
def test_searches_at_the_same_time_get_numbers_of_their_own(scripted, run):
    llm, _ = scripted(
        [
            '[search_documents(query="shepherd"), search_documents(query="grass born")]',
            '[search_documents(query="grass")]',
            "Done.",
        ]
    )
    result = run(create_rag_agent(llm, RunnableLambda(find)), question())
    shown = [
        [(p.number, p.text) for p in parse_passages(m.text)]
        for m in result["messages"]
        if isinstance(m, ToolMessage)
    ]
    numbers = {number: text for passages in shown for number, text in passages}
    assert len(numbers) == 3
    assert len(set(numbers.values())) == 3
    assert shown[2] == [pair for pair in shown[1] if "grass" in pair[1]]  # found again: the same number


def test_marks_of_no_document_are_cut_from_the_message_too(scripted):
    llm, _ = scripted(['[search_documents(query="grass")]', "Llamas eat grass and hay [1][5]."])
    result = create_rag_agent(llm, RunnableLambda(find)).invoke(question())
    assert result["answer"].removed_marks == ("[5]",)
    assert result["messages"][-1].text == result["answer"].text == "Llamas eat grass and hay [1]."


def test_an_unsupported_citation_is_marked(scripted):
    llm, _ = scripted(
        ['[search_documents(query="grass")]', "Llamas drive small cars to work each morning [1]."]
    )
    answer = create_rag_agent(llm, RunnableLambda(find)).invoke(question())["answer"]
    assert [(c.supported, c.quote) for c in answer.citations] == [(None, "")]
    assert answer.grounded_fraction == 0


@pytest.mark.parametrize("final", [NO_ANSWER, ""])
def test_no_answer(scripted, final):
    llm, _ = scripted(['[search_documents(query="cars")]', final])
    result = create_rag_agent(llm, RunnableLambda(find)).invoke(question())
    assert (result["answer"].no_answer, result["answer"].text, result["answer"].citations) == (
        True,
        NO_ANSWER,
        (),
    )
    assert "No passages found" in result["messages"][2].text


def test_small_talk_is_no_refusal(scripted):
    llm, _ = scripted(["Hello! What would you like to know?"])
    answer = create_rag_agent(llm, RunnableLambda(find)).invoke(question("Hi"))["answer"]
    assert not answer.no_answer


def test_numbers_go_on_in_the_next_turn_of_a_conversation(scripted):
    llm, _ = scripted(
        [
            '[search_documents(query="grass")]',
            "Llamas eat grass and hay [1].",
            '[search_documents(query="born")]',
            "Amaru was born in Cusco in 1961 [2]. Llamas eat grass and hay [1].",
        ]
    )
    agent = create_rag_agent(llm, RunnableLambda(find), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    agent.invoke(question("What do llamas eat?"), config)
    answer = agent.invoke(question("And where was Amaru born?"), config)["answer"]
    assert [(c.number, c.source, c.supported) for c in answer.citations] == [
        (2, "people.md", True),
        (1, "food.md", True),
    ]
    assert read_answer(agent.get_state(config).values["messages"]).citations == answer.citations


def test_checkpoints_hold_nothing_that_cannot_be_read_back(scripted, tmp_path):
    from langgraph.checkpoint.sqlite import SqliteSaver

    with SqliteSaver.from_conn_string(str(tmp_path / "memory.db")) as saver, warnings.catch_warnings():
        warnings.simplefilter("error")
        llm, _ = scripted(['[search_documents(query="grass")]', "Llamas eat grass and hay [1]."])
        agent = create_rag_agent(llm, RunnableLambda(find), checkpointer=saver)
        config = {"configurable": {"thread_id": "t"}}
        answer = agent.invoke(question(), config)["answer"]
        messages = agent.get_state(config).values["messages"]
        assert read_answer(messages).citations == answer.citations
        assert messages[2].artifact[0]["page_content"] == "Llamas eat grass and hay."


def test_the_answer_streams_as_tokens_and_tool_calls(scripted):
    llm, _ = scripted(['[search_documents(query="grass")]', "Llamas eat grass and hay [1]."])
    agent = create_rag_agent(llm, RunnableLambda(find))
    text, calls = "", []
    for message, metadata in agent.stream(question(), stream_mode="messages"):
        if metadata["langgraph_node"] == "model":
            text += message.text
            calls += [c["name"] for c in message.tool_call_chunks if c["name"]]
    assert text == "Llamas eat grass and hay [1]."
    assert calls == ["search_documents"]


def test_further_tools_instructions_and_middleware(scripted):
    from llama_bedrock.agents import LoopGuard

    def weigh(animal: str) -> str:
        """Weigh an animal."""
        return f"{animal}: 130 kg"

    llm, engine = scripted(['[weigh(animal="llama")]', "130 kg."])
    agent = create_rag_agent(
        llm,
        RunnableLambda(find),
        [weigh],
        instructions="Use metric units.",
        middleware=[LoopGuard(5)],
        name="Herd",
    )
    result = agent.invoke(question("How heavy?"))
    assert result["messages"][-1].text == "130 kg."
    system = parse_prompt(engine.requests[0].prompt)[0].text
    assert "Use metric units." in system
    assert '"name": "weigh"' in system
    assert agent.name == "Herd"


def test_the_search_tool_works_in_any_agent(scripted):
    llm, engine = scripted(['[look_up(query="grass")]', "Llamas eat grass and hay [1]."])
    tool = search_tool(RunnableLambda(find), name="look_up", description="Look something up.")
    result = create_tool_agent(llm, [tool]).invoke(question())
    assert read_answer(result["messages"]).citations[0].supported
    assert "runtime" not in engine.requests[0].prompt


def test_limits_of_a_search_are_kept(scripted):
    def many(query: str) -> list[Document]:
        return [
            Document(
                f"Llama {i} " + " ".join(f"x{i}y{j}" for j in range(40)),
                metadata={"source": "one.md", "score": i / 100},
            )
            for i in range(100)
        ]

    llm, _ = scripted(['[search_documents(query="x")]', "Done."])
    agent = create_rag_agent(
        llm, RunnableLambda(many), max_passage_tokens=1_000, max_passages_per_document=3, min_score=0.5
    )
    passages = parse_passages(agent.invoke(question())["messages"][2].text)
    assert [p.text.split()[1] for p in passages] == ["50", "51", "52"]


def test_read_answer_of_messages_without_an_answer():
    assert read_answer([]).no_answer
    assert read_answer([HumanMessage("x")]).text == NO_ANSWER
