"""Events to LangChain's chunks: merged they give the right message, and its event stream is valid."""

import json
import time

import pytest
from langchain_core.language_models._compat_bridge import chunks_to_events
from langchain_core.messages import AIMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from parsing import TOOLS, read, tool

from llama_bedrock.tools.events import ERRORS_KEY, to_chunks, to_message, to_tool_calls, with_errors
from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser


def parse(text):
    parser = ToolCallParser(TOOLS)
    return [*parser.feed(text), *parser.close()]


ANSWERS = [
    ("Just words.", "stop"),
    ('Let me see.\n[get_weather(city="Paris"), add(a=1, b=2)]', "stop"),
    ('[get_weather(city="Paris"), get_weather(city="San Fr', "length"),
    ('[get_weather(city="San Fr', "length"),
    ("[get_weather(", "length"),
    ("[add(a=1, b=12", "length"),
    ("[unknown(a=1), add(a=1, b=2)]", "stop"),
    ("[add(a=1, b=nothing), now()]", "stop"),
    ('{"name": "unknown", "parameters": {"a": 1}}', "stop"),
    ('{"name": "search", "parameters": {"query": "x", "filters": {"a": [1, {"b": "c', "length"),
    ('{"name": "search", "parameters": {"query": "x", "tags": ["a", "b"}', "stop"),
    ("One:\n[now()]\nand two:\n[now()]\nDone.", "stop"),
]


def chunks_of(pieces, stop):
    parser = ToolCallParser(TOOLS)
    for piece in pieces:
        yield from to_chunks(parser.feed(piece))
    yield from to_chunks(parser.close(stop))


def merged(pieces, stop):
    first, *rest = chunks_of(pieces, stop)
    return with_errors(message_chunk_to_message(first + rest))


@pytest.mark.parametrize(("text", "stop"), ANSWERS)
def test_merged_chunks_are_the_answer(text, stop):
    wanted = read(text, stop=stop)
    for message in (merged(list(text), stop), merged([text], stop)):
        assert isinstance(message, AIMessage)
        assert message.content == wanted.text
        assert [(call["name"], call["args"]) for call in message.tool_calls] == wanted.calls
        assert [(call["name"], call["error"]) for call in message.invalid_tool_calls] == wanted.invalid
        ids = [call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)]
        assert all(ids)
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("text", "stop"), ANSWERS)
def test_no_prefix_of_an_invalid_call_is_completed_by_langchain_at_the_end(text, stop):
    first, *rest = chunks_of(list(text), stop)
    whole = first + rest
    valid = [(call["name"], call["args"]) for call in whole.tool_calls]
    assert valid == read(text, stop=stop).calls


@pytest.mark.parametrize(("text", "stop"), ANSWERS)
def test_event_stream_of_langchain_is_valid(text, stop):
    chunks = [ChatGenerationChunk(message=chunk) for chunk in chunks_of(list(text), stop)]
    events = list(chunks_to_events(iter(chunks)))
    assert_valid_event_stream(events)
    finished = [event["content"] for event in events if event["event"] == "content-block-finish"]
    wanted = read(text, stop=stop)
    calls = [(block["name"], block["args"]) for block in finished if block["type"] == "tool_call"]
    assert calls == wanted.calls
    broken = [block["name"] for block in finished if block["type"] == "invalid_tool_call"]
    assert broken == [name for name, _ in wanted.invalid]


def test_text_and_calls_never_share_a_chunk():
    events = parse("One:\n[now()]\nand two:\n[now()]")
    chunks = to_chunks(events)
    assert len(chunks) > 3
    assert not any(chunk.content and chunk.tool_call_chunks for chunk in chunks)


def test_one_message_holds_a_whole_answer():
    message = to_message(parse("Look:\n[add(a=1, b=2)]"))
    assert message.content == "Look:"
    assert [call["args"] for call in message.tool_calls] == [{"a": 1, "b": 2}]
    assert to_message([]).content == ""


def test_errors_survive_merging_until_they_have_their_field():
    first, *rest = chunks_of(list('[get_weather(city="a", days=b)]'), "stop")
    whole = first + rest
    [call] = whole.invalid_tool_calls
    assert "b stands" in whole.additional_kwargs[ERRORS_KEY][call["id"]]
    finished = with_errors(whole)
    assert ERRORS_KEY not in finished.additional_kwargs
    assert "text needs quotes" in finished.invalid_tool_calls[0]["error"]


def test_strict_violations_are_invalid_though_their_arguments_were_streamed():
    parser = ToolCallParser([tool("add", ["a"], a="integer")], strict=True)
    chunks = [*to_chunks(parser.feed("[add(a='x', c=1)]")), *to_chunks(parser.close("stop"))]
    whole = with_errors(chunks[0] + chunks[1:])
    assert not whole.tool_calls
    [call] = whole.invalid_tool_calls
    assert call["name"] == "add"
    assert "a must be an integer" in call["error"]
    assert json.loads(call["args"]) == {"a": "x", "c": 1}


def test_calls_without_a_message():
    calls, invalid = to_tool_calls(parse("[now(), add(a=x)]"))
    assert [call["name"] for call in calls] == ["now"]
    assert [call["name"] for call in invalid] == ["add"]


@pytest.mark.parametrize(
    "text", ["[get_weather(city=" + '"a' * 20_000, '{"name": "add", "parameters": {"a": ' + "[" * 40_000]
)
def test_long_broken_calls_are_cheap_to_merge(text):
    begin = time.process_time()
    message = merged([text], "length")
    assert time.process_time() - begin < 1
    assert message.invalid_tool_calls
