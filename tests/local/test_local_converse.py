"""Converse, ConverseStream and Titan embeddings, as boto3 and langchain-aws call them."""

from __future__ import annotations

import contextlib
import math

import pytest
from botocore.exceptions import ClientError, EventStreamError

from llama_bedrock.local import ErrorResponse, ExceptionFrame, Guardrail, LocalBedrock, Quotas
from llama_bedrock.testing import ScriptedEngine

LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
TOOL = {
    "toolSpec": {
        "name": "weather",
        "description": "Weather of a city.",
        "inputSchema": {
            "json": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        },
    }
}


def user(text):
    return {"role": "user", "content": [{"text": text}]}


def ask(client, messages, model=LLAMA, **options):
    return client.converse(modelId=model, messages=messages, **options)


@pytest.fixture
def serve(connect):
    """Function: answers → (boto3 client, engine)."""
    servers = []

    def start(*answers, region="us-west-2", **options):
        engine = ScriptedEngine(answers)
        servers.append(LocalBedrock(engine, **options).start())
        return connect(servers[-1], region=region).client, engine

    yield start
    for server in servers:
        server.stop()


def test_converse_answers_with_usage_and_the_prompt_of_the_generation(serve):
    client, engine = serve("Hello there.")
    config = {"maxTokens": 50, "temperature": 0, "topP": 0.5}
    answer = ask(client, [user("Hi")], system=[{"text": "Be brief."}], inferenceConfig=config)
    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": "Hello there."}]}
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] > 0
    (request,) = engine.requests
    assert request.prompt == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert (request.max_gen_len, request.temperature, request.top_p) == (50, 0, 0.5)


@pytest.mark.parametrize(
    ("answer", "config", "reason", "text"),
    [
        ("one two three", {"maxTokens": 2}, "max_tokens", "one two"),
        ("one STOP two", {"stopSequences": ["STOP"]}, "stop_sequence", "one "),
    ],
)
def test_why_it_ends_is_told_with_and_without_a_stream(serve, answer, config, reason, text):
    client, _ = serve(answer, answer)
    whole = ask(client, [user("Hi")], inferenceConfig=config)
    assert (whole["stopReason"], whole["output"]["message"]["content"]) == (reason, [{"text": text}])
    events = list(
        client.converse_stream(modelId=LLAMA, messages=[user("Hi")], inferenceConfig=config)["stream"]
    )
    deltas = [e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e]
    assert "".join(deltas) == text
    assert [next(iter(event)) for event in events if "contentBlockDelta" not in event] == [
        "messageStart", "contentBlockStop", "messageStop", "metadata",
    ]  # fmt: skip
    assert events[-2]["messageStop"]["stopReason"] == reason
    assert events[-1]["metadata"]["usage"]["outputTokens"] > 0


def test_tools_are_called_and_results_come_back(serve):
    client, engine = serve('[weather(city="Cusco")]', "Sunny.")
    called = ask(client, [user("Weather in Cusco?")], toolConfig={"tools": [TOOL]})
    assert called["stopReason"] == "tool_use"
    (block,) = called["output"]["message"]["content"]
    assert (block["toolUse"]["name"], block["toolUse"]["input"]) == ("weather", {"city": "Cusco"})
    result = {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"json": {"sky": "sunny"}}]}
    turns = [
        user("Weather in Cusco?"),
        called["output"]["message"],
        {"role": "user", "content": [{"toolResult": result}]},
    ]
    assert ask(client, turns, toolConfig={"tools": [TOOL]})["stopReason"] == "end_turn"
    assert "ipython" in engine.requests[1].prompt
    assert "sunny" in engine.requests[1].prompt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"messages": []}, "must not be empty"),
        ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, "must start with a user message"),
        ({"messages": [user("a"), user("b")]}, "must alternate"),
        (
            {"messages": [user("a"), {"role": "assistant", "content": [{"text": "b"}]}]},
            "end with a user message",
        ),
        ({"toolConfig": {"tools": [TOOL], "toolChoice": {"any": {}}}}, "toolChoice.any"),
        ({"toolConfig": {"tools": [TOOL], "toolChoice": {"tool": {"name": "weather"}}}}, "toolChoice.tool"),
        (
            {"toolConfig": {"tools": [TOOL]}, "modelId": "us.meta.llama3-2-1b-instruct-v1:0"},
            "doesn't support tool use",
        ),
        ({"additionalModelRequestFields": {"top_k": 5}}, r"extraneous key \[top_k\]"),
        (
            {"messages": [{"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}}]}]},
            "caching",
        ),
        ({"inferenceConfig": {"maxTokens": 100_000}}, "exceeds the model limit"),
    ],
)
def test_what_llama_on_bedrock_cannot_do_is_refused(serve, options, message):
    client, _ = serve()
    with pytest.raises(ClientError, match=message) as caught:
        client.converse(**{"modelId": LLAMA, "messages": [user("Hi")], **options})
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_tools_are_refused_while_streaming(serve):
    client, _ = serve()
    with pytest.raises(ClientError, match="doesn't support tool use in streaming mode"):
        client.converse_stream(modelId=LLAMA, messages=[user("Hi")], toolConfig={"tools": [TOOL]})


def test_guardrail_faults_and_quotas_are_those_of_invoke_model(serve):
    client, _ = serve("a secret", guardrails={"gr1": Guardrail(("secret",))})
    guard = {"guardrailIdentifier": "gr1", "guardrailVersion": "1", "trace": "enabled"}
    blocked = ask(client, [user("Hi")], guardrailConfig=guard)
    assert blocked["stopReason"] == "guardrail_intervened"
    assert "secret" not in blocked["output"]["message"]["content"][0]["text"]
    assert "gr1" in blocked["trace"]["guardrail"]["outputAssessments"]
    client, _ = serve("x", "x", faults=[ErrorResponse("ThrottlingException").first(1), ExceptionFrame(
        "modelStreamErrorException", after_chunks=2).nth(2)])  # fmt: skip
    with pytest.raises(ClientError, match="Too many requests"):
        ask(client, [user("Hi")])
    events = client.converse_stream(modelId=LLAMA, messages=[user("Hi")])["stream"]
    with contextlib.closing(events), pytest.raises(EventStreamError):
        list(events)
    client, _ = serve("x", "x", quotas=Quotas(requests_per_minute=1))
    ask(client, [user("Hi")])
    with pytest.raises(ClientError, match="Too many requests"):
        ask(client, [user("Hi")])


def test_titan_embeddings_are_unit_vectors_of_words_and_say_what_they_are(connect):
    import json

    with LocalBedrock(ScriptedEngine([])) as server:
        bedrock = connect(server)

        def embed(text, **options):
            return bedrock.invoke({"inputText": text, **options}, model="amazon.titan-embed-text-v2:0")

        first, headers = embed("Llamas eat hay.")
        assert "not Titan" in headers["x-local-bedrock-embedding"]
        assert len(first["embedding"]) == 1024
        assert math.isclose(math.hypot(*first["embedding"]), 1, abs_tol=1e-6)
        assert len(embed("x", dimensions=256)[0]["embedding"]) == 256

        def likeness(other):
            return sum(a * b for a, b in zip(first["embedding"], embed(other)[0]["embedding"], strict=True))

        assert likeness("Hay is eaten by llamas") > likeness("The end of life is in March") + 0.3
        for body, message in (
            ({"inputText": ""}, "minLength"),
            ({"inputText": "x", "dimensions": 3}, "enum"),
        ):
            with pytest.raises(ClientError, match=message):
                bedrock.invoke(json.dumps(body), model="amazon.titan-embed-text-v2:0")


@pytest.fixture
def aws(aws_credentials):
    """Function: server → keyword arguments of langchain-aws's classes."""
    pytest.importorskip("langchain_aws")
    return lambda server: {"endpoint_url": server.endpoint_url, "region_name": "us-east-2"}


def test_apps_of_langchain_aws_run(aws):
    from langchain_aws import BedrockEmbeddings, ChatBedrock, ChatBedrockConverse

    engine = ScriptedEngine(["Hello.", "Streamed.", '[weather(city="Cusco")]', "Invoked."])
    with LocalBedrock(engine) as server:
        llm = ChatBedrockConverse(model=LLAMA, provider="meta", **aws(server))
        assert llm.invoke("Hi").text == "Hello."
        assert "".join(chunk.text for chunk in llm.stream("Hi")) == "Streamed."

        def weather(city: str) -> str:
            """Weather of a city."""
            return city

        (call,) = llm.bind_tools([weather]).invoke("Weather in Cusco?").tool_calls
        assert (call["name"], call["args"]) == ("weather", {"city": "Cusco"})
        assert ChatBedrock(model=LLAMA, provider="meta", **aws(server)).invoke("Hi").text == "Invoked."
        embeddings = BedrockEmbeddings(model_id="amazon.titan-embed-text-v2:0", **aws(server))
        assert len(embeddings.embed_documents(["one", "two"])) == 2
