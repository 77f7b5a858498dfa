"""One table of scenarios; each runs as invoke, stream, ainvoke and astream and must give the same answer."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from llama_bedrock import ChatLlamaBedrock, LlamaBedrock, LlamaLifecycleWarning
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

MODEL = "meta.llama3-3-70b-instruct-v1:0"
pytestmark = pytest.mark.filterwarnings("ignore::llama_bedrock.LlamaLifecycleWarning")


@dataclass
class Scenario:
    name: str
    generation: str
    content: str
    settings: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    messages: Any = "Hi"
    prompt_end: str = "assistant<|end_header_id|>\n\n"


SCENARIOS = [
    Scenario("plain", "Hello there.", "Hello there.", metadata={"stop_reason": "stop"}),
    Scenario("leading newlines", "\n\nHello.", "Hello."),
    Scenario("leaked end token", "Hello.<|eot_id|>", "Hello."),
    Scenario("next turn", "Hello.<|start_header_id|>user<|end_header_id|>\n\nMore", "Hello."),
    Scenario(
        "stop of the call",
        "one, two, three",
        "one, ",
        call={"stop": ["two"]},
        metadata={"stop_reason": "stop", "stop_sequence": "two"},
    ),
    Scenario("stop of the model", "one, two", "one", settings={"stop": ", "}),
    Scenario(
        "cut at max_tokens",
        "one two three four five six seven eight nine ten",
        "one two three",
        call={"max_tokens": 3},
        metadata={"stop_reason": "length"},
    ),
    Scenario(
        "continued assistant turn",
        "\n blue.",
        "\n blue.",
        messages=[HumanMessage("Colour?"), AIMessage("The sky is")],
        prompt_end="assistant<|end_header_id|>\n\nThe sky is",
    ),
    Scenario(
        "non-ASCII", "Привет 👋 世界", "Привет 👋 世界", messages=[SystemMessage("Ω"), HumanMessage("ß")]
    ),
    Scenario("empty answer", "", "", metadata={"stop_reason": "stop"}),
    Scenario("another model for the call", "x", "x", call={"model": "us.meta.llama3-1-8b-instruct-v1:0"}),
]


def make(server, kind=ChatLlamaBedrock, **settings):
    return kind(
        **{
            "model": MODEL,
            "region_name": "us-east-2",
            "endpoint_url": server.endpoint_url,
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": "example",
            **settings,
        }
    )


def merged(chunks):
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


async def run(llm, way, messages, **call):
    if way == "invoke":
        return llm.invoke(messages, **call)
    if way == "ainvoke":
        return await llm.ainvoke(messages, **call)
    if way == "stream":
        return merged(list(llm.stream(messages, **call)))
    return merged([chunk async for chunk in llm.astream(messages, **call)])


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_scenario(scenario, way):
    engine = ScriptedEngine([scenario.generation])
    with LocalBedrock(engine=engine) as server:
        llm = make(server, **scenario.settings)
        message = await run(llm, way, scenario.messages, **scenario.call)
        await llm.aclose()
    assert message.content == scenario.content
    for key, value in scenario.metadata.items():
        assert message.response_metadata[key] == value
    assert message.response_metadata["model_name"] == scenario.call.get("model", MODEL)
    assert message.response_metadata["model_provider"] == "llama_bedrock"
    assert message.response_metadata["request_id"]
    assert message.usage_metadata["input_tokens"] > 0
    counts = message.usage_metadata
    assert counts["total_tokens"] == counts["input_tokens"] + counts["output_tokens"]
    assert engine.requests[0].prompt.endswith(scenario.prompt_end)


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_settings_of_model_and_call_reach_the_body(way):
    engine = ScriptedEngine(["ok"])
    with LocalBedrock(engine=engine) as server:
        llm = make(server, temperature=0.2, top_p=0.7, max_tokens=50)
        await run(llm, way, "Hi", temperature=0, max_gen_len=20)
        await llm.aclose()
    body = engine.requests[0].body
    assert (body["temperature"], body["top_p"], body["max_gen_len"]) == (0, 0.7, 20)


def test_the_last_chunk_is_marked_and_alone_carries_usage_and_stop_reason():
    with LocalBedrock(engine=ScriptedEngine(["Hello there, friend."])) as server:
        chunks = list(make(server).stream("Hi"))
    assert len(chunks) > 2
    assert [bool(c.usage_metadata) for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [c.chunk_position for c in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert "stop_reason" in chunks[-1].response_metadata
    assert not any(c.response_metadata for c in chunks[:-1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"temperature": 1.5}, "0 to 1"),
        ({"max_tokens": 0}, "at least 1"),
        ({"temperature": "hot"}, "temperature='hot': a number"),
        ({"temperature": True}, "temperature=True: a number"),
        ({"top_p": [0.5]}, "top_p=.*: a number"),
        ({"max_tokens": 5.5}, "max_tokens=5.5: a whole number"),
        ({"stop": 5}, "stop=5: a text"),
        ({"stop": [""]}, "stop=.*empty"),
        ({"stop": ["END", None]}, "stop=.*texts"),
        ({"top_k": 5}, "top_k"),
        ({"model": "meta.llama3-1-70b-instruct-v10"}, "meta.llama3-1-70b-instruct-v1:0"),
    ],
)
def test_a_bad_setting_of_a_call_is_refused_by_name(call, words):
    llm = ChatLlamaBedrock(model=MODEL, region_name="us-east-2")
    with pytest.raises((ValueError, TypeError), match=words):
        llm.invoke("Hi", **call)
    with pytest.raises((ValueError, TypeError), match=words):
        llm.model_copy(update=call).invoke("Hi")


def test_traces_show_a_stop_string_whole():
    llm = ChatLlamaBedrock(model=MODEL, region_name="us-east-2")
    assert llm._get_ls_params(stop="END")["ls_stop"] == ["END"]
    assert llm.model_copy(update={"stop": "END"})._get_ls_params()["ls_stop"] == ["END"]


def test_a_time_that_has_run_out_before_it_begins_is_refused():
    for timeout in (0, -1.5):
        with pytest.raises(ValueError, match="greater than 0"):
            ChatLlamaBedrock(model=MODEL, region_name="us-east-2", timeout=timeout)


def test_a_missing_region_names_the_three_ways_to_set_it(monkeypatch):
    llm = ChatLlamaBedrock(model=MODEL)
    with pytest.raises(ValueError, match=r"(?s)region_name=.*AWS_REGION.*~/\.aws/config"):
        llm.invoke("Hi")


def test_a_wrong_id_suggests_the_right_one_when_the_model_is_made():
    with pytest.raises(ValueError, match=r"meta\.llama3-1-70b-instruct-v1:0"):
        ChatLlamaBedrock(model="meta.llama3-1-70b-instruct-v10", region_name="us-west-2")


def test_a_model_that_ends_warns_with_its_date():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from llama_bedrock.catalog import lifecycle

        lifecycle._warn_once.cache_clear()
        ChatLlamaBedrock(model=MODEL)
        ChatLlamaBedrock(model=MODEL)
    found = [w for w in caught if issubclass(w.category, LlamaLifecycleWarning)]
    assert len(found) == 1
    assert "2027-03-30" in str(found[0].message)
    assert "Custom Model Import" in str(found[0].message)


def test_secrets_do_not_show_in_representations():
    llm = ChatLlamaBedrock(
        model=MODEL,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="topsecret",
        api_key="bearer-secret",
    )
    shown = f"{llm!r} {llm._transport_settings()!r}"
    assert "topsecret" not in shown
    assert "bearer-secret" not in shown


IMPORTED = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghij12"


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_completion_sends_the_raw_prompt_after_the_begin_token(way):
    engine = ScriptedEngine([" animal.<|end_of_text|>"])
    with LocalBedrock(engine=engine) as server:
        llm = make(server, LlamaBedrock, model=IMPORTED, prompt_format="llama3.1", region_name=None)
        text = await run(llm, way, "The llama is an")
        await llm.aclose()
    assert text == " animal."
    assert engine.requests[0].prompt == "<|begin_of_text|>The llama is an"


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
@pytest.mark.parametrize("import_format", ["bedrock", "openai-completion", "openai-chat"])
async def test_imported_models_answer_in_each_of_their_body_formats(import_format, way):
    engine = ScriptedEngine(["Hello there."])
    with LocalBedrock(engine=engine) as server:
        llm = make(
            server, model=IMPORTED, prompt_format="llama3.1", import_format=import_format, region_name=None
        )
        message = await run(llm, way, [SystemMessage("Be brief."), HumanMessage("Hi")], max_tokens=20)
        await llm.aclose()
    assert message.content == "Hello there."
    assert message.usage_metadata["output_tokens"] > 0
    body = engine.requests[0].body
    if import_format == "openai-chat":
        assert body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ]
    else:
        assert body["prompt"].startswith(
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief."
        )
    assert body["max_gen_len" if import_format == "bedrock" else "max_tokens"] == 20


def test_token_counts_need_no_network_and_include_template_and_tools():
    llm = ChatLlamaBedrock(model=MODEL)
    plain = llm.get_num_tokens_from_messages([HumanMessage("Hello, how are you?")])
    assert 10 < plain < 30

    def lookup(city: str) -> str:
        """Look up a city."""
        return city

    assert llm.get_num_tokens_from_messages([HumanMessage("Hello")], tools=[lookup]) > plain + 50


def test_fallback_models_and_regions_answer_when_the_first_is_throttled():
    from llama_bedrock.local.engines.interface import EngineError

    def answer(request):
        if request.model_id.startswith("meta.llama3-3"):
            raise EngineError("ThrottlingException", "Too many requests, please wait before trying again.")
        return f"from {request.model_id}"

    with LocalBedrock(engine=ScriptedEngine([answer] * 4)) as server:
        llm = make(server, max_retries=0, fallback_models=["us.meta.llama3-1-8b-instruct-v1:0"])
        message = llm.invoke("Hi")
        assert message.content == "from us.meta.llama3-1-8b-instruct-v1:0"
        assert message.response_metadata["model_name"] == "us.meta.llama3-1-8b-instruct-v1:0"
        assert merged(list(llm.stream("Hi"))).content == message.content


def test_a_fallback_region_where_the_model_is_not_offered_is_refused_at_once():
    with pytest.raises(ValueError, match="eu-west-1"):
        ChatLlamaBedrock(model=MODEL, region_name="us-east-2", fallback_regions=["eu-west-1"])
