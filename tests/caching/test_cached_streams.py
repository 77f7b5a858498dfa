"""Streams are kept in LangChain's caches and answered by them, by the key that invoke uses."""

import asyncio
import warnings

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache

from llama_bedrock import ChatLlamaBedrock, LlamaBedrock, SQLiteCache
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
FREE = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
TOOL = {
    "name": "weather",
    "description": "d",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.slow)])
def cache(request, tmp_path):
    if request.param == "memory":
        yield InMemoryCache()
    elif request.param == "sqlite":
        yield (kept := SQLiteCache(tmp_path / "answers.db"))
        kept.close()
    else:
        address = request.getfixturevalue("redis_url")
        from langchain_redis import RedisCache

        yield (kept := RedisCache(redis_url=address, ttl=60))
        kept.clear()


def make(server, kind=ChatLlamaBedrock, **settings):
    with warnings.catch_warnings(action="ignore"):
        return kind(
            model=MODEL, region_name="us-east-2", endpoint_url=server.endpoint_url, api_key="k", **settings
        )


def whole(chunks):
    chunks = list(chunks)
    return sum(chunks[1:], chunks[0])


async def awhole(stream):
    return whole([chunk async for chunk in stream])


WAYS = {
    "invoke": lambda llm, words: llm.invoke(words),
    "ainvoke": lambda llm, words: asyncio.run(llm.ainvoke(words)),
    "stream": lambda llm, words: whole(llm.stream(words)),
    "astream": lambda llm, words: asyncio.run(awhole(llm.astream(words))),
}


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_what_one_way_kept_the_other_finds(cache, first, second):
    text = "Llamas  live\n\nin the *Andes* — 4,000 m up. "
    engine = ScriptedEngine([text])
    with LocalBedrock(engine) as server:
        llm = make(server, cache=cache)
        asked = WAYS[first](llm, "Where?")
        found = WAYS[second](llm, "Where?")
        assert len(engine.requests) == 1
    assert found.text == asked.text == text
    assert asked.usage_metadata["output_tokens"] > 0
    assert "cache_hit" not in asked.response_metadata
    assert {name: found.usage_metadata[name] for name in FREE} == FREE
    assert found.usage_metadata["total_cost"] == 0
    assert found.response_metadata["cache_hit"] is True
    assert found.response_metadata["stop_reason"] == asked.response_metadata["stop_reason"]


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_calls_valid_and_not_come_back_as_they_were(cache, way):
    engine = ScriptedEngine(['[weather(city="Lima"), weather(town="Cusco")]'])
    with LocalBedrock(engine) as server:
        llm = make(server, cache=cache).bind_tools([TOOL], strict=True)
        asked, found = WAYS[way](llm, "Where?"), WAYS[way](llm, "Where?")
        kept = llm.invoke("Where?")
        assert len(engine.requests) == 1
    assert found.tool_calls == asked.tool_calls == kept.tool_calls
    assert [call["args"] for call in found.tool_calls] == [{"city": "Lima"}]
    assert [call["name"] for call in found.invalid_tool_calls] == ["weather"]
    plain = [
        {**call, "args": call["args"].strip("]")}
        for call in (*asked.invalid_tool_calls, *found.invalid_tool_calls)
    ]
    assert plain[0] == plain[1]
    assert found.additional_kwargs == asked.additional_kwargs
    (invalid,) = kept.invalid_tool_calls
    assert "city" in invalid["error"]


def test_a_hit_comes_in_pieces_and_callbacks_see_them(cache):
    seen = []

    class Seen(BaseCallbackHandler):
        def on_llm_new_token(self, token, **_):
            seen.append(token)

    engine = ScriptedEngine(["one two three four"])
    with LocalBedrock(engine) as server:
        llm = make(server, cache=cache)
        llm.invoke("Count.")
        pieces = [chunk.text for chunk in llm.stream("Count.", config={"callbacks": [Seen()]})]
    assert [piece for piece in pieces if piece] == ["one ", "two ", "three ", "four"]
    assert [token for token in seen if token] == ["one ", "two ", "three ", "four"]


def test_a_stream_that_was_left_or_failed_is_not_kept(cache):
    engine = ScriptedEngine(["a b c d", "e f g h"])
    with LocalBedrock(engine) as server:
        llm = make(server, cache=cache)
        stream = llm.stream("Go on.")
        next(stream)
        stream.close()
        assert whole(llm.stream("Go on.")).text == "e f g h"
        assert len(engine.requests) == 2


def test_settings_of_the_call_are_part_of_the_key(cache):
    engine = ScriptedEngine(["warm", "cold", "short"])
    with LocalBedrock(engine) as server:
        llm = make(server, cache=cache)
        said = [
            whole(llm.stream("Say.", **call)).text for call in ({}, {"temperature": 0.1}, {"stop": ["x"]}, {})
        ]
    assert said == ["warm", "cold", "short", "warm"]


@pytest.mark.parametrize("setting", ["global", True, False])
def test_the_global_cache_is_used_where_langchain_would(setting):
    set_llm_cache(InMemoryCache())
    try:
        engine = ScriptedEngine(["1", "2"])
        with LocalBedrock(engine) as server:
            llm = make(server, cache=None if setting == "global" else setting)
            said = [whole(llm.stream("Say.")).text for _ in range(2)]
    finally:
        set_llm_cache(None)
    assert said == (["1", "2"] if setting is False else ["1", "1"])


def test_true_without_a_global_cache_is_refused():
    with LocalBedrock(ScriptedEngine(["1"])) as server, pytest.raises(ValueError, match="set_llm_cache"):
        next(make(server, cache=True).stream("Say."))


def test_content_blocks_are_kept_as_such(cache):
    engine = ScriptedEngine(["Hi there."])
    with LocalBedrock(engine) as server:
        llm = make(server, cache=cache, output_version="v1")
        streamed = whole(llm.stream("Say."))
        kept = llm.invoke("Say.")
        again = whole(llm.stream("Say."))
    assert kept.content == [{"type": "text", "text": "Hi there."}]
    assert [block["text"] for block in streamed.content] == ["Hi there."]
    assert again.text == "Hi there."


@pytest.mark.parametrize("way", ["stream", "astream", "invoke"])
def test_completions_too(cache, way):
    def ask(llm, **call):
        if way == "invoke":
            return llm.invoke("The llama", **call)
        if way == "stream":
            return "".join(llm.stream("The llama", **call))

        async def pieces():
            return "".join([piece async for piece in llm.astream("The llama", **call)])

        return asyncio.run(pieces())

    engine = ScriptedEngine([" is a  camelid.", " eats."])
    with LocalBedrock(engine) as server:
        llm = make(server, LlamaBedrock, cache=cache)
        assert [ask(llm), ask(llm), llm.invoke("The llama")] == [" is a  camelid."] * 3
        assert ask(llm, temperature=0.1) == " eats."
        assert len(engine.requests) == 2
        (generation,) = llm.generate(["The llama"]).generations[0]
    assert generation.generation_info["cache_hit"] is True
    assert generation.generation_info["usage_metadata"]["total_tokens"] == 0
