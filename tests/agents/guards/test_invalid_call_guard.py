"""InvalidCallGuard gives unreadable calls back to the model with the reason, and never ends in silence."""

from __future__ import annotations

import asyncio

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage

from llama_bedrock.agents import InvalidCallGuard, LoopGuard, create_tool_agent

QUESTION = {"messages": [("user", "What is the weather in Lima?")]}
UNREADABLE = "[weather(city=Lima in Peru)]"
both = pytest.mark.parametrize(
    "run",
    [lambda agent: agent.invoke(QUESTION), lambda agent: asyncio.run(agent.ainvoke(QUESTION))],
    ids=["sync", "async"],
)


def weather(city: str) -> str:
    """Weather in a city."""
    return f"fog in {city}"


def plain_agent(llm):
    return create_agent(llm, [weather], middleware=[InvalidCallGuard()])


def with_other_guards_after(llm):
    return create_agent(llm, [weather], middleware=[InvalidCallGuard(), LoopGuard()])


agents = pytest.mark.parametrize(
    "make", [plain_agent, with_other_guards_after, lambda llm: create_tool_agent(llm, [weather])]
)


@both
@agents
def test_the_model_is_told_why_and_recovers(scripted, run, make):
    llm, engine = scripted([UNREADABLE, '[weather(city="Lima")]', "Fog."])
    messages = run(make(llm))["messages"]
    assert messages[-1].text == "Fog."
    told = messages[2]
    assert isinstance(told, ToolMessage)
    assert told.status == "error"
    reason = messages[1].invalid_tool_calls[0]["error"]
    assert told.text == (
        f"Not run: {reason.rstrip('.')}. Write the call again without that mistake, or answer without it."
    )
    assert reason.rstrip(".") in engine.requests[1].prompt
    assert "malformed or truncated" not in engine.requests[1].prompt


@both
@agents
def test_after_two_repairs_the_run_ends_and_says_why(scripted, run, make):
    llm, engine = scripted([UNREADABLE], repeat=True)
    last = run(make(llm))["messages"][-1]
    assert len(engine.requests) == 3
    assert isinstance(last, AIMessage)
    assert last.text.startswith("I stopped because I ")
    assert not last.invalid_tool_calls
    assert not last.tool_calls


@both
def test_what_the_model_said_besides_the_call_is_kept(scripted, run):
    llm, _engine = scripted([f"Let me look that up.\n{UNREADABLE}"])
    last = run(create_agent(llm, [weather], middleware=[InvalidCallGuard(0)]))["messages"][-1]
    assert last.text.startswith("Let me look that up.\n\nI stopped because")


@both
@agents
def test_readable_calls_of_the_same_message_are_run(scripted, run, make):
    llm, engine = scripted([f'[weather(city="Cusco")]\n{UNREADABLE}', "Fog in Cusco."])
    messages = run(make(llm))["messages"]
    assert messages[-1].text == "Fog in Cusco."
    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert sorted(message.status for message in results) == ["error", "success"]
    assert len(engine.requests) == 2


def test_repairs_count_in_a_row_not_in_all(scripted):
    good = '[weather(city="Lima {}")]'
    answers = [
        UNREADABLE,
        good.format(1),
        UNREADABLE,
        good.format(2),
        UNREADABLE,
        UNREADABLE,
        good.format(3),
        "Fog.",
    ]
    llm, _engine = scripted(answers)
    assert plain_agent(llm).invoke(QUESTION)["messages"][-1].text == "Fog."


def test_a_negative_number_of_repairs_is_refused():
    with pytest.raises(ValueError, match="max_repairs must be at least 0, not -1"):
        InvalidCallGuard(-1)
