"""LoopGuard ends runs that go in circles, and only those."""

from __future__ import annotations

import asyncio

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from llama_bedrock.agents import LoopGuard, create_tool_agent
from llama_bedrock.agents.guards.loop_guard import _summary

QUESTION = {"messages": [("user", "How many llamas are there?")]}
MODES = {
    "sync": lambda agent, value: agent.invoke(value),
    "async": lambda agent, value: asyncio.run(agent.ainvoke(value)),
}
both = pytest.mark.parametrize("run", MODES.values(), ids=MODES)


class Counter:
    """Tools that remember their calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def tools(self):
        def count(where: str) -> str:
            """Count llamas somewhere."""
            self.calls.append(f"count {where}")
            return f"{len(self.calls)} llamas in {where}"

        def look(at: str) -> str:
            """Look at something."""
            self.calls.append(f"look {at}")
            return f"You see {at}."

        return [count, look]


@both
def test_the_same_call_again_and_again_ends_within_three_repeats(scripted, run):
    llm, engine = scripted(['[count(where="barn")]'], repeat=True)
    counter = Counter()
    result = run(create_tool_agent(llm, counter.tools()), QUESTION)
    assert counter.calls == ["count barn"] * 2  # once, and the first repeat
    assert len(engine.requests) == 5  # three repeats, and the last turn without tools
    assert "I stopped because I was repeating the same steps" in result["messages"][-1].text
    assert "2 llamas in barn" in result["messages"][-1].text
    assert result["messages"][-1].tool_calls == []


@both
def test_calls_that_alternate_end_too(scripted, run):
    llm, engine = scripted(['[count(where="barn")]', '[look(at="barn")]'], repeat=True)
    counter = Counter()
    result = run(create_tool_agent(llm, counter.tools()), QUESTION)
    assert len(engine.requests) <= 7
    assert len(counter.calls) <= 4
    assert not result["messages"][-1].tool_calls


def test_the_model_is_told_and_can_go_on(scripted):
    call = '[count(where="barn")]'
    llm, engine = scripted([call, call, call, "There are 2 llamas."])
    counter = Counter()
    result = create_tool_agent(llm, counter.tools()).invoke(QUESTION)
    assert result["messages"][-1].text == "There are 2 llamas."
    warning = result["messages"][-2]
    assert isinstance(warning, ToolMessage)
    assert warning.status == "error"
    assert "was made before with the same arguments" in warning.text
    assert "was made before" in engine.requests[-1].prompt
    assert len(counter.calls) == 2


@both
def test_the_last_turn_has_no_tools_and_its_answer_is_used(scripted, run):
    call = '[count(where="barn")]'
    llm, engine = scripted([call] * 4 + ["About 2 llamas, I think."])
    result = run(create_tool_agent(llm, Counter().tools()), QUESTION)
    assert result["messages"][-1].text == "About 2 llamas, I think."
    assert '"name": "count"' in engine.requests[0].prompt
    assert '"name": "count"' not in engine.requests[-1].prompt
    assert "You have no tools any more" in engine.requests[-1].prompt


def test_without_a_last_turn_the_run_ends_with_its_last_result(scripted):
    llm, engine = scripted(['[count(where="barn")]'], repeat=True)
    agent = create_tool_agent(llm, Counter().tools(), middleware=[LoopGuard(1, final_answer=False)])
    result = agent.invoke(QUESTION)
    assert len(engine.requests) == 2
    assert "1 llamas in barn" in result["messages"][-1].text


def test_progress_is_not_a_loop(scripted):
    """Reading the same thing between changes is work."""
    answers = []
    for i in range(6):
        answers += [f'[look(at="change {i}")]', '[count(where="barn")]']
    llm, _engine = scripted([*answers, "Done."])
    counter = Counter()
    result = create_tool_agent(llm, counter.tools()).invoke(QUESTION)
    assert result["messages"][-1].text == "Done."
    assert len(counter.calls) == 12


def test_tools_that_may_repeat_do(scripted):
    llm, _ = scripted(['[count(where="barn")]'] * 10 + ["Done."])
    counter = Counter()
    agent = create_tool_agent(llm, counter.tools(), middleware=[LoopGuard(may_repeat=["count"])])
    assert agent.invoke(QUESTION)["messages"][-1].text == "Done."
    assert len(counter.calls) == 10


def test_a_new_question_starts_the_count_again(scripted):
    from langgraph.checkpoint.memory import InMemorySaver

    call = '[count(where="barn")]'
    llm, _ = scripted([call, "2.", call, "2.", call, "2.", call, "2."])
    counter = Counter()
    agent = create_tool_agent(llm, counter.tools(), checkpointer=InMemorySaver())
    for _ in range(4):
        result = agent.invoke(QUESTION, {"configurable": {"thread_id": "a"}})
    assert result["messages"][-1].text == "2."
    assert len(counter.calls) == 4


@both
def test_unreadable_calls_count_whatever_they_say(scripted, run):
    """Three, as for equal calls: each is another mistake, and none gets further."""
    llm, engine = scripted([f"[count(where=barn {i})]" for i in range(9)])
    result = run(create_agent(llm, Counter().tools(), middleware=[LoopGuard()]), QUESTION)
    assert len(engine.requests) == 3
    assert "I stopped because I was repeating the same steps" in result["messages"][-1].text


def test_arguments_in_another_order_are_the_same_call():
    guard = LoopGuard()
    run = [
        AIMessage("", tool_calls=[{"name": "f", "args": {"a": 1, "b": [2]}, "id": "1"}]),
        AIMessage("", tool_calls=[{"name": "f", "args": {"b": [2], "a": 1}, "id": "2"}]),
    ]
    assert guard._repeats(run) == 1


def test_a_summary_without_results_says_so():
    assert "no result" in _summary([HumanMessage("x"), ToolMessage("boom", tool_call_id="1", status="error")])


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        LoopGuard(0)
