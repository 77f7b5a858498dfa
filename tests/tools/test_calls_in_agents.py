"""A LangGraph agent on a scripted Llama: parallel calls, a failing tool, a forced choice, sync and async."""

import asyncio
import warnings
from contextlib import contextmanager

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.messages import AIMessageChunk, ToolMessage
from langchain_core.tools import ToolException, tool

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine, StopReason

pytestmark = pytest.mark.usefixtures("aws_credentials")
MODELS = ["meta.llama3-3-70b-instruct-v1:0", "us.meta.llama4-scout-17b-instruct-v1:0"]
MODES = ["stream", "astream"]


@tool
def get_weather(city: str) -> str:
    """Look up the weather."""
    if city == "Atlantis":
        raise ToolException("no such city")
    return f"21 °C in {city}"


get_weather.handle_tool_error = True


@contextmanager
def model_that_answers(*answers, model=MODELS[0]):
    engine = ScriptedEngine(list(answers))
    with LocalBedrock(engine=engine) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield ChatLlamaBedrock(model=model, region_name="us-east-2", endpoint_url=server.endpoint_url), engine


def streamed(agent, mode):
    """Chunks of the model's messages in the order they came, and the messages of the last state."""
    given, modes = {"messages": [("user", "How warm is it?")]}, ["messages", "values"]

    async def collect():
        return [part async for part in agent.astream(given, stream_mode=modes)]

    parts = list(agent.stream(given, stream_mode=modes)) if mode == "stream" else asyncio.run(collect())
    chunks = [part[0] for mode, part in parts if mode == "messages" and isinstance(part[0], AIMessageChunk)]
    return chunks, [state for mode, state in parts if mode == "values"][-1]["messages"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", MODES)
def test_parallel_calls_of_which_one_fails(mode, model):
    calls = 'I will look.\n[get_weather(city="Paris"), get_weather(city="Atlantis")]'
    with model_that_answers(calls, "It is 21 °C in Paris.", model=model) as (llm, engine):
        chunks, messages = streamed(create_agent(llm, [get_weather]), mode)
    _, asked, *results, answer = messages
    assert asked.text == "I will look."
    assert [call["args"] for call in asked.tool_calls] == [{"city": "Paris"}, {"city": "Atlantis"}]
    assert [result.tool_call_id for result in results] == [call["id"] for call in asked.tool_calls]
    assert [result.status for result in results if isinstance(result, ToolMessage)] == ["success", "error"]
    assert answer.text == "It is 21 °C in Paris."

    after = engine.requests[1].prompt
    assert '[get_weather(city="Paris"), get_weather(city="Atlantis")]' in after
    assert after.index("21 °C in Paris") < after.index("Error from get_weather: no such city")

    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    assert [(piece["index"], piece["name"]) for piece in pieces if piece["id"]] == [
        (0, "get_weather"),
        (1, "get_weather"),
    ]
    assert len(pieces) > 4
    assert len([chunk for chunk in chunks if chunk.text]) > 4


@pytest.mark.parametrize("mode", MODES)
def test_a_forced_choice(mode):
    @wrap_model_call
    def look_first(request, handler):
        looked = any(isinstance(message, ToolMessage) for message in request.messages)
        return handler(request if looked else request.override(tool_choice="get_weather"))

    @wrap_model_call
    async def look_first_async(request, handler):
        looked = any(isinstance(message, ToolMessage) for message in request.messages)
        return await handler(request if looked else request.override(tool_choice="get_weather"))

    middleware = look_first if mode == "stream" else look_first_async
    with model_that_answers('city="Paris")]', "It is 21 °C.") as (llm, engine):
        chunks, messages = streamed(create_agent(llm, [get_weather], middleware=[middleware]), mode)
    assert engine.requests[0].prompt.endswith("\n\n[get_weather(")
    assert engine.requests[1].prompt.endswith("<|end_header_id|>\n\n")
    assert [call["args"] for call in messages[1].tool_calls] == [{"city": "Paris"}]
    assert messages[-1].text == "It is 21 °C."
    assert any(chunk.tool_call_chunks for chunk in chunks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "calls",
    [
        '[get_weather(city="Paris"), get_wether(city="x")]',
        "[get_wether(city='x')]",
        "get_wether(city='x')",
        "I will look.\n[get_wether(city='x')]",
        '{"name": "get_wether", "parameters": {"city": "x"}}',
    ],
)
def test_the_model_is_told_that_there_is_no_such_tool(mode, calls):
    with model_that_answers(calls, "It is 21 °C in Paris.") as (llm, engine):
        _, messages = streamed(create_agent(llm, [get_weather]), mode)
    assert messages[-1].text == "It is 21 °C in Paris."
    after = engine.requests[1].prompt
    assert "Error from get_wether: Error: get_wether is not a valid tool, try one of [get_weather]." in after


@pytest.mark.parametrize("mode", MODES)
def test_a_call_that_was_cut_is_not_run(mode):
    cut = ['[get_weather(city="Par', StopReason("length")]
    with model_that_answers(cut) as (llm, _):
        _, messages = streamed(create_agent(llm, [get_weather]), mode)
    assert messages[-1].tool_calls == []
    [call] = messages[-1].invalid_tool_calls
    assert call["name"] == "get_weather"
    assert messages[-1].response_metadata["stop_reason"] == "length"


@pytest.mark.parametrize("mode", MODES)
def test_langchains_event_stream_is_valid_over_the_wire(mode):
    from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

    async def collect(llm):
        return [event async for event in await llm.astream_events("?", version="v3")]

    text = 'I look.\n[get_weather(city="Paris"), get_weather(city=Rome)] Done.'
    with model_that_answers(text) as (llm, _):
        bound = llm.bind_tools([get_weather])
        if mode == "stream":
            events = list(bound.stream_events("?", version="v3"))
        else:
            events = asyncio.run(collect(bound))
    assert_valid_event_stream(events)
    finished = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert [block["type"] for block in finished] == ["text", "tool_call", "invalid_tool_call"]
    assert finished[1]["args"] == {"city": "Paris"}
    assert finished[2]["name"] == "get_weather"
