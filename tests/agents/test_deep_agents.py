"""deepagents finds our profiles, and its agents on Llama recover from calls that cannot be read."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool

deepagents = pytest.importorskip("deepagents")

HINT = r"create_deep_agent\(model=ChatLlamaBedrock\(model=\"meta\.llama3-3-70b-instruct-v1:0\"\)"


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"10 °C in {city}"


@pytest.mark.parametrize("kind", ["provider", "harness"])
def test_the_entry_points_name_functions_that_register(kind):
    (found,) = entry_points(group=f"deepagents.{kind}_profiles", name="llama_bedrock")
    assert found.load().__name__ == f"register_{kind}_profile"


def test_a_deep_agent_calls_tools(scripted):
    llm, _ = scripted(['[weather(city="Lima")]', "It is 10 °C."])
    state = deepagents.create_deep_agent(model=llm, tools=[weather]).invoke(
        {"messages": [HumanMessage("Lima?")]}
    )
    assert state["messages"][-1].text == "It is 10 °C."
    assert [m.text for m in state["messages"] if isinstance(m, ToolMessage)] == ["10 °C in Lima"]


def test_a_deep_agent_is_told_what_was_wrong_with_a_call(scripted):
    llm, _ = scripted(["[weather(Lima)]", '[weather(city="Lima")]', "It is 10 °C."])
    state = deepagents.create_deep_agent(model=llm, tools=[weather]).invoke(
        {"messages": [HumanMessage("Lima?")]}
    )
    assert state["messages"][-1].text == "It is 10 °C."


def test_an_unknown_tool_does_not_end_a_deep_agent(scripted):
    llm, _ = scripted(['[temperature(city="Lima")]', '[weather(city="Lima")]', "It is 10 °C."])
    state = deepagents.create_deep_agent(model=llm, tools=[weather]).invoke(
        {"messages": [HumanMessage("Lima?")]}
    )
    assert state["messages"][-1].text == "It is 10 °C."


def test_a_subagent_works(scripted):
    answers = [
        '[task(description="Weather of Lima?", subagent_type="general-purpose")]',
        '[weather(city="Lima")]',
        "10 °C.",
        "It is 10 °C.",
    ]
    llm, engine = scripted(answers)
    state = deepagents.create_deep_agent(model=llm, tools=[weather]).invoke(
        {"messages": [HumanMessage("Lima?")]}
    )
    assert state["messages"][-1].text == "It is 10 °C."
    assert len(engine.requests) == 4


def test_a_model_as_a_text_is_refused_with_what_to_write():
    with pytest.raises(ValueError, match=HINT):
        deepagents.create_deep_agent(model="llama_bedrock:meta.llama3-3-70b-instruct-v1:0")
