"""Bedrock's options through the chat model, in every way of calling: guardrails, latency, metadata, limits."""

import asyncio
import threading

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from llama_bedrock import AdaptiveConcurrency, ChatLlamaBedrock, Guardrails
from llama_bedrock.errors import BedrockThrottlingError
from llama_bedrock.local import LocalBedrock
from llama_bedrock.local.quotas import Quotas
from llama_bedrock.local.runtime.word_guardrail import Guardrail
from llama_bedrock.testing import ScriptedEngine

MODEL = "us.meta.llama3-1-70b-instruct-v1:0"
WAYS = ["invoke", "stream", "ainvoke", "astream"]
pytestmark = pytest.mark.filterwarnings("ignore::llama_bedrock.LlamaLifecycleWarning")


def make(server, **settings):
    return ChatLlamaBedrock(
        **{
            "model": MODEL,
            "region_name": "us-east-2",
            "endpoint_url": server.endpoint_url,
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": "example",
            **settings,
        }
    )


async def run(llm, way, messages, **call):
    if way == "invoke":
        return llm.invoke(messages, **call)
    if way == "ainvoke":
        return await llm.ainvoke(messages, **call)
    chunks = (
        list(llm.stream(messages, **call))
        if way == "stream"
        else [chunk async for chunk in llm.astream(messages, **call)]
    )
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("words", "blocked"), [("Tell me about the forbidden fruit", True), ("Hello", False)]
)
async def test_a_guardrail_sees_the_users_turns_and_reports(way, words, blocked):
    engine = ScriptedEngine(["Sure."])
    guard = Guardrail(blocked_words=("forbidden",))
    with LocalBedrock(engine=engine, guardrails={"gr12345": guard}) as server:
        llm = make(server, guardrails={"id": "gr12345", "version": "1", "trace": "enabled"})
        # The word in the system prompt is outside the tags, so it is not evaluated.
        message = await run(llm, way, [SystemMessage("Never say forbidden."), HumanMessage(words)])
        await llm.aclose()
    metadata = message.response_metadata
    assert metadata["guardrail_action"] == ("INTERVENED" if blocked else "NONE")
    assert (metadata["stop_reason"] == "guardrail_intervened") is blocked
    assert bool(metadata.get("guardrail_trace")) or not blocked
    assert message.usage_metadata["total_tokens"] >= 0


def test_guardrail_tags_have_a_fresh_suffix_for_each_request():
    engine = ScriptedEngine(["a", "b"])
    with LocalBedrock(engine=engine, guardrails={"gr12345": Guardrail(blocked_words=("x",))}) as server:
        llm = make(server, guardrails=Guardrails(id="gr12345", version="1"))
        llm.invoke("Hi")
        llm.invoke("Hi")
    first, second = (r.body["amazon-bedrock-guardrailConfig"]["tagSuffix"] for r in engine.requests)
    assert first != second
    assert f"<amazon-bedrock-guardrails-guardContent_{first}>Hi</" in engine.requests[0].body["prompt"]


def test_a_guardrail_without_an_id_is_refused():
    with pytest.raises(ValueError, match="id is missing"):
        ChatLlamaBedrock(model=MODEL, guardrails={"version": "1"})
    with pytest.raises(ValueError, match="unknown keys"):
        ChatLlamaBedrock(model=MODEL, guardrails={"id": "x", "verison": "1"})


@pytest.mark.parametrize("way", WAYS)
async def test_latency_that_was_really_served_comes_back(way):
    with LocalBedrock(engine=ScriptedEngine(["ok"])) as server:
        llm = make(server, latency="optimized", request_metadata={"team": "search"})
        message = await run(llm, way, "Hi")
        await llm.aclose()
    assert message.response_metadata["latency"] in ("optimized", "standard")


def test_abatch_and_batch_honour_max_concurrency():
    seen, lock = {"now": 0, "most": 0}, threading.Lock()

    def answer(request):
        with lock:
            seen["now"] += 1
            seen["most"] = max(seen["most"], seen["now"])
        threading.Event().wait(0.03)
        with lock:
            seen["now"] -= 1
        return "ok"

    with LocalBedrock(engine=ScriptedEngine([answer] * 40)) as server:
        llm = make(server)
        llm.batch(["x"] * 12, config={"max_concurrency": 3})
        assert 2 <= seen["most"] <= 3
        seen["most"] = 0

        async def main():
            async with llm:
                await llm.abatch(["x"] * 12, config={"max_concurrency": 3})

        asyncio.run(main())
        assert 2 <= seen["most"] <= 3


def test_a_limiter_brings_many_prompts_through_a_small_quota():
    quotas = Quotas(requests_per_minute=3000)
    with LocalBedrock(engine=ScriptedEngine([lambda request: "ok"] * 400), quotas=quotas) as server:
        llm = make(server, limiter=AdaptiveConcurrency(initial=4, maximum=64), max_retries=0)

        async def main():
            async with llm:
                return await llm.abatch(["x"] * 200)

        assert len(asyncio.run(main())) == 200


def test_without_retries_a_full_quota_is_a_throttling_error():
    with LocalBedrock(engine=ScriptedEngine(["ok"] * 9), quotas=Quotas(requests_per_minute=1)) as server:
        llm = make(server, max_retries=0)
        llm.invoke("x")
        with pytest.raises(BedrockThrottlingError) as caught:
            llm.invoke("x")
    assert caught.value.is_retryable
    assert "quota" in caught.value.hint.lower()
