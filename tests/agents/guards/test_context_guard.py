"""ContextGuard keeps a conversation within the window, and what must stay stays."""

from __future__ import annotations

import asyncio
import base64
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.tools import tool
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from llama_bedrock.agents import ContextGuard, create_tool_agent
from llama_bedrock.agents.guards.agent_messages import message_tokens
from llama_bedrock.agents.guards.context_guard import _Fitting
from llama_bedrock.prompts.parse_back import parse_prompt
from llama_bedrock.usage import estimate_tokens

SMALL = "meta.llama3-1-8b-instruct-v1:0"


def call(i: int, name: str = "look") -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": {"at": f"thing {i}"}, "id": f"c{i}"}], id=f"a{i}")


def result(i: int, words: int = 300) -> ToolMessage:
    return ToolMessage(f"result {i} " + "word " * words, tool_call_id=f"c{i}", name="look", id=f"t{i}")


def fit(messages, budget, keep=3, **options):
    arguments = {"summarise": False, "known_summary": None, "count_tokens": estimate_tokens, **options}
    fitting = _Fitting(list(messages), budget=budget, keep_results=keep, **arguments)
    return fitting.finish(fitting.known_summary)


def tokens(messages) -> int:
    return sum(message_tokens(message, estimate_tokens) for message in messages)


def test_what_fits_is_sent_as_it_is():
    messages = [HumanMessage("hi", id="h"), call(1), result(1)]
    assert fit(messages, 10_000) == messages


def test_old_results_are_cleared_first_and_no_more_than_needed():
    messages = [HumanMessage("go", id="h")]
    for i in range(6):
        messages += [call(i), result(i)]
    fitted = fit(messages, tokens(messages) - 500)
    texts = [m.text for m in fitted if isinstance(m, ToolMessage)]
    assert [text.startswith("[This result of look was cleared") for text in texts] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert tokens(fitted) <= tokens(messages) - 500
    assert messages[2].text.startswith("result 0")  # the state is not touched


def test_old_turns_are_left_out_whole():
    messages = [SystemMessage("rules", id="s")]
    for i in range(4):
        messages += [
            HumanMessage(f"question {i} " + "word " * 200, id=f"h{i}"),
            AIMessage(f"answer {i}", id=f"a{i}"),
        ]
    messages.append(HumanMessage("last question", id="last"))
    fitted = fit(messages, tokens(messages[5:]) + 60)
    assert fitted[0].text == "rules"
    assert fitted[1].text == "[4 earlier messages of this conversation were left out to save room.]"
    assert [m.text.split(" word")[0] for m in fitted[2:]] == [
        "question 2",
        "answer 2",
        "question 3",
        "answer 3",
        "last question",
    ]


def test_the_newest_result_is_cut_when_it_alone_is_too_long():
    messages = [HumanMessage("go", id="h"), call(1), result(1, words=20_000)]
    fitted = fit(messages, 1_000)
    assert "tokens left out" in fitted[-1].text
    assert tokens(fitted) <= 1_050


steps = st.lists(st.sampled_from(["user", "assistant", "call", "calls"]), min_size=1, max_size=12)


@settings(max_examples=150)
@given(steps, st.integers(100, 3_000), st.integers(0, 3), st.booleans())
def test_whatever_the_conversation_no_call_loses_its_result_and_the_last_question_stays(
    kinds, budget, keep, waiting
):
    messages: list = [SystemMessage("rules", id="s"), HumanMessage("first", id="first")]
    for i, kind in enumerate(kinds):
        if kind == "user":
            messages.append(HumanMessage(f"question {i} " + "word " * 50, id=f"h{i}"))
        elif kind == "assistant":
            messages.append(AIMessage(f"answer {i} " + "word " * 50, id=f"a{i}"))
        else:
            messages += [call(i), result(i, 200)]
    if waiting:
        messages.append(call(99))
    fitted = fit(messages, budget, keep)
    asked = {c["id"] for m in fitted if isinstance(m, AIMessage) for c in m.tool_calls}
    answered = {m.tool_call_id for m in fitted if isinstance(m, ToolMessage)}
    assert answered <= asked
    assert asked - answered <= {"c99"}
    assert ("c99" in asked) is waiting
    last_question = [m for m in messages if isinstance(m, HumanMessage)][-1]
    assert last_question in fitted
    assert fitted[0] == messages[0]
    assert tokens(fitted) <= max(tokens(messages), budget)


@tool
def read(page: int) -> str:
    """Read a page."""
    return f"page {page}: " + "lorem ipsum " * 2_000


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_agent_reads_more_than_its_window_holds(scripted, mode):
    llm, engine = scripted(
        [f"[read(page={i})]" for i in range(12)] + ["Done."], model="meta.llama3-8b-instruct-v1:0"
    )
    agent = create_tool_agent(llm, [read])
    value = {"messages": [("user", "Read all pages")]}
    out = agent.invoke(value) if mode == "sync" else asyncio.run(agent.ainvoke(value))
    assert out["messages"][-1].text == "Done."
    assert all(estimate_tokens(request.prompt) < 8_192 - 512 for request in engine.requests)
    assert all(parse_prompt(request.prompt)[0].role == "system" for request in engine.requests)
    assert "page 0" in out["messages"][2].text  # the state keeps everything
    assert len(out["messages"][2].text) > 20_000


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_old_turns_are_summarised_once_when_a_model_is_given(scripted, mode):
    llm, engine = scripted([f"Answer {i}." for i in range(8)])
    summariser, summaries = scripted([f"The user likes llamas ({i})." for i in range(8)])
    guard = ContextGuard(max_tokens=900, summary_model=summariser)
    agent = create_tool_agent(
        llm, [], middleware=[guard], checkpointer=InMemorySaver(), system_prompt="Be brief."
    )
    config = {"configurable": {"thread_id": "t"}}
    for i in range(8):
        value = {"messages": [("user", f"Question {i}: " + "I like llamas very much. " * 25)]}
        agent.invoke(value, config) if mode == "sync" else asyncio.run(agent.ainvoke(value, config))
    assert 1 <= len(summaries.requests) < 8
    last = engine.requests[-1].prompt
    assert "[Summary of the earlier conversation]" in last
    assert "The user likes llamas" in last
    assert "Question 0" not in last
    assert "Question 7" in last


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_request_longer_than_estimated_is_shortened_again(scripted, mode):
    """A count that is too low stands for text of which the estimate knows nothing."""
    llm, engine = scripted(
        [f"[read(page={i})]" for i in range(9)] + ["Done."], model="meta.llama3-8b-instruct-v1:0"
    )
    guard = ContextGuard(count_tokens=lambda text: estimate_tokens(text) // 2)
    agent = create_tool_agent(llm, [read], middleware=[guard])
    value = {"messages": [("user", "Read all pages")]}
    out = agent.invoke(value) if mode == "sync" else asyncio.run(agent.ainvoke(value))
    assert out["messages"][-1].text == "Done."
    assert len(engine.requests) == 10


def picture() -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@tool
def screenshot() -> list[dict]:
    """Take a screenshot."""
    image = {"type": "image", "base64": picture(), "mime_type": "image/png"}
    return [{"type": "text", "text": "the screen"}, image]


@pytest.mark.parametrize(
    ("model", "sees"),
    [
        ("us.meta.llama3-2-90b-instruct-v1:0", True),
        ("us.meta.llama4-scout-17b-instruct-v1:0", True),
        (SMALL, False),
    ],
)
def test_image_results_reach_vision_models_and_others_are_told(scripted, model, sees):
    llm, engine = scripted(["[screenshot()]", "I see."], model=model)
    result = create_tool_agent(llm, [screenshot]).invoke({"messages": [("user", "Look")]})
    assert result["messages"][-1].text == "I see."
    assert bool(engine.requests[1].images) is sees
    assert ("this model reads no images" in engine.requests[1].prompt) is not sees


@pytest.mark.parametrize(
    "settings_", [{"fraction": 0}, {"fraction": 1.1}, {"max_tokens": 0}, {"keep_results": -1}]
)
def test_settings_out_of_range_are_refused(settings_):
    with pytest.raises(ValueError):
        ContextGuard(**settings_)


@pytest.mark.parametrize("schema", [{"type": "object"}, {"type": "object", "additionalProperties": True}, {}])
def test_tools_without_properties_are_counted_too(scripted, schema):
    """MCP servers offer tools whose schema is just an object."""
    tool = StructuredTool(name="now", description="The time.", args_schema=schema, func=lambda **_: "noon")
    llm, _engine = scripted(["[now()]", "Noon."])
    result = create_tool_agent(llm, [tool]).invoke({"messages": [("user", "What time is it?")]})
    assert result["messages"][-1].text == "Noon."
