"""Costs on messages in every mode, LangChain's own sums beside them, and `track_usage`."""

import asyncio
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel

from llama_bedrock import ChatLlamaBedrock, Escalate, ImportedModelCost, LlamaBedrock, track_usage
from llama_bedrock.agents import create_rag_chain
from llama_bedrock.grounding import LlamaJudge, NoVerifier, verify_answer
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
from llama_bedrock.tracking import UsageTotals, UsageTracker, _Call
from llama_bedrock.usage import with_cost

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
IMPORTED = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"


@pytest.fixture
def make(aws_credentials):
    with LocalBedrock(engine=ScriptedEngine(["three short words"] * 40)) as server:

        def made(cls=ChatLlamaBedrock, model=MODEL, **settings):
            return cls(model=model, region_name="us-east-1", endpoint_url=server.endpoint_url, **settings)

        yield made


def merged(chunks):
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total


async def amerged(chunks):
    return merged([chunk async for chunk in chunks])


MODES = {
    "invoke": lambda llm: llm.invoke("hi"),
    "ainvoke": lambda llm: asyncio.run(llm.ainvoke("hi")),
    "stream": lambda llm: merged(llm.stream("hi")),
    "astream": lambda llm: asyncio.run(amerged(llm.astream("hi"))),
    "batch": lambda llm: llm.batch(["hi"])[0],
    "abatch": lambda llm: asyncio.run(llm.abatch(["hi"]))[0],
    "generate": lambda llm: llm.generate([[HumanMessage("hi")]]).generations[0][0].message,
    "bound": lambda llm: llm.bind(stop=["x"]).invoke("hi"),
    "streaming": lambda llm: llm.model_copy(update={"streaming": True}).invoke("hi"),
    "merged at once": lambda llm: (chunks := list(llm.stream("hi")))[0] + chunks[1:],
    "chain": lambda llm: merged((RunnableLambda(lambda _: "hi") | llm).stream("")),
}


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_tells_its_cost_in_every_mode_and_langchain_still_sums(make, mode):
    llm = make()
    with get_usage_metadata_callback() as langchains, track_usage() as ours:
        usages = [MODES[mode](llm).usage_metadata for _ in range(3)]
    usage = usages[0]
    assert usage["input_cost"] == pytest.approx(usage["input_tokens"] * 0.72e-6)
    assert usage["output_cost"] == pytest.approx(usage["output_tokens"] * 0.72e-6)
    assert usage["total_cost"] == usage["input_cost"] + usage["output_cost"] > 0
    assert {type(usage[key]) for key in ("input_cost", "output_cost", "total_cost")} == {float}
    total = 3 * usage["total_tokens"]
    assert langchains.usage_metadata[MODEL]["total_tokens"] == total == ours.total_tokens
    assert ours.total_cost == pytest.approx(3 * usage["total_cost"])
    assert json.loads(json.dumps(ours.to_dict(), indent=1))["by_model"][MODEL]["calls"] == 3


@pytest.mark.parametrize("mode", MODES)
def test_without_a_price_there_is_no_cost_rather_than_zero(make, mode):
    llm = make(model=IMPORTED, prompt_format="llama3.3")
    with track_usage() as ours:
        usage = MODES[mode](llm).usage_metadata
    assert usage["total_tokens"] > 0
    assert not {"total_cost", "input_cost", "output_cost"} & usage.keys()
    assert ours.total_cost is None
    assert ours.unpriced_calls == ours.calls == 1
    assert "total_cost" not in ours.to_dict()
    with track_usage(prices={IMPORTED: (1.0, 2.0)}) as ours:
        MODES[mode](llm)
    assert ours.total_cost == pytest.approx((usage["input_tokens"] + 2 * usage["output_tokens"]) / 1e6)


BAD_OBJECT, OBJECT = '{"name": "llama"}', '{"name": "llama", "legs": 4}'
CITED, SMALL = "A llama has four legs [1].", "us.meta.llama3-1-8b-instruct-v1:0"
LEGS = {
    "title": "Animal",
    "description": "One.",
    "type": "object",
    "properties": {"name": {"type": "string"}, "legs": {"type": "integer"}},
    "required": ["name", "legs"],
}


def an_object(make):
    return make().with_structured_output(LEGS, include_raw=True, max_repairs=2)


def streamed_object(make):
    return [part["raw"] for part in an_object(make).stream("hi") if "raw" in part][-1]


def cited(make, llm=None, question="How many legs has a llama?", **settings):
    found = RunnableLambda(lambda _: [Document("A llama has four legs.", metadata={"source": "farm"})])
    return create_rag_chain(llm or make(), found, **settings).invoke(question)


FOLLOW_UP = {"question": "And it?", "chat_history": [("user", "What is a llama?"), ("ai", "An animal.")]}
SEVERAL_CALLS = {
    "a repair": ([BAD_OBJECT, OBJECT], lambda make: an_object(make).invoke("hi")["raw"]),
    "two, async": (
        [BAD_OBJECT, "", OBJECT],
        lambda make: asyncio.run(an_object(make).ainvoke("hi"))["raw"],
    ),
    "in vain": ([BAD_OBJECT] * 3, lambda make: an_object(make).invoke("hi")["raw"]),
    "a streamed repair": ([BAD_OBJECT, OBJECT], streamed_object),
    "a judge": ([CITED, " yes"], lambda make: cited(make, verifier=LlamaJudge(make(model=SMALL)))),
    "a judge asked later": (
        [CITED, " yes"],
        lambda make: verify_answer(cited(make, verifier=NoVerifier()), verifier=LlamaJudge(make())),
    ),
    "a follow-up": (["How many legs has a llama?", CITED], lambda make: cited(make, question=FOLLOW_UP)),
    "an escalation": (
        ["", CITED],
        lambda make: cited(make, Escalate(make(model=SMALL), make(), when="no-answer")),
    ),
}


@pytest.mark.parametrize("case", SEVERAL_CALLS)
def test_what_took_several_calls_tells_the_cost_of_all(aws_credentials, case):
    answers, ask = SEVERAL_CALLS[case]
    with LocalBedrock(engine=ScriptedEngine(answers)) as server, track_usage() as tracked:

        def make(model=MODEL):
            return ChatLlamaBedrock(model=model, region_name="us-east-1", endpoint_url=server.endpoint_url)

        answer = ask(make)
    usage = getattr(answer, "usage_metadata", None) or answer.usage
    assert tracked.calls == len(answers)
    assert (usage["input_tokens"], usage["total_tokens"]) == (tracked.input_tokens, tracked.total_tokens)
    assert usage["total_cost"] == pytest.approx(tracked.total_cost)
    if isinstance(answer, AIMessage):
        again = UsageTracker()
        again.add(answer)
        assert (again.calls, again.total_cost) == (tracked.calls, pytest.approx(tracked.total_cost))


def test_optimized_latency_has_other_prices_which_are_not_guessed():
    told = {"model_name": MODEL, "region_name": "us-east-1"}
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    assert (
        "total_cost" in with_cost(AIMessage("", usage_metadata=usage, response_metadata=told)).usage_metadata
    )
    told["latency"] = "optimized"
    assert with_cost(AIMessage("", usage_metadata=usage, response_metadata=told)).usage_metadata == usage


class CopyingCache(InMemoryCache):
    """Keeps copies, as caches outside the process do."""

    def lookup(self, prompt, llm_string):
        kept = super().lookup(prompt, llm_string)
        return kept and pickle.loads(kept)

    def update(self, prompt, llm_string, return_val):
        super().update(prompt, llm_string, pickle.dumps(return_val))


@pytest.mark.parametrize("cache", [InMemoryCache, CopyingCache])
def test_an_answer_out_of_the_cache_costs_nothing(make, cache):
    llm = make(cache=cache())
    with track_usage() as ours, get_usage_metadata_callback() as langchains:
        first, *hits = [llm.invoke("the same") for _ in range(3)]
    assert first.usage_metadata["total_cost"] > 0
    for hit in hits:
        assert [hit.usage_metadata[key] for key in ("input_cost", "output_cost", "total_cost")] == [0, 0, 0]
    assert (ours.calls, ours.cached_calls) == (1, 2)
    assert ours.total_cost == first.usage_metadata["total_cost"]
    assert langchains.usage_metadata[MODEL]["total_tokens"] == first.usage_metadata["total_tokens"]


def test_the_price_of_a_batch_job_is_its_own(make):
    message = make().invoke("hi")
    plain = message.model_copy(
        update={"usage_metadata": {k: v for k, v in message.usage_metadata.items() if "cost" not in k}}
    )
    assert with_cost(plain, batch=True).usage_metadata["total_cost"] == pytest.approx(
        message.usage_metadata["total_cost"] / 2
    )
    with track_usage() as ours:
        ours.add(plain, batch=True, tags=["night"])
    assert ours.by_tag["night"].total_cost == pytest.approx(message.usage_metadata["total_cost"] / 2)


def test_a_completion_tells_its_cost_too(make):
    llm = make(cls=LlamaBedrock, cache=InMemoryCache())
    with track_usage() as usage:
        first, again = (llm.generate(["hi"]).generations[0][0].generation_info for _ in range(2))
    assert first["usage_metadata"]["total_cost"] == usage.total_cost > 0
    assert again["usage_metadata"]["total_cost"] == 0


def test_usage_adds_up_per_model_run_and_tag(make):
    other = "us.meta.llama3-1-8b-instruct-v1:0"
    pair = RunnableParallel(one=make(), two=make(model=other).with_config(tags=["cheap"]))
    chain = RunnableLambda(lambda text: text) | pair
    runs = [uuid4(), uuid4()]
    with track_usage() as usage:
        chain.invoke("a", {"run_id": runs[0], "tags": ["search"]})
        asyncio.run(chain.ainvoke("b", {"run_id": runs[1]}))
        make(cls=LlamaBedrock).invoke("completed")
    assert {model: total.calls for model, total in usage.by_model.items()} == {MODEL: 3, other: 2}
    assert {run: usage.by_run[str(run)].calls for run in runs} == dict.fromkeys(runs, 2)
    assert len(usage.by_run) == 3
    assert {tag: total.calls for tag, total in usage.by_tag.items()} == {"search": 2, "cheap": 2}
    assert usage.total_cost == pytest.approx(sum(total.total_cost for total in usage.by_model.values()))


def test_the_outer_block_counts_what_the_inner_one_does_once(make):
    llm = make()

    def inner(_):
        with track_usage() as own:
            llm.invoke("inside")
        return own.calls

    with track_usage() as usage:
        assert RunnableLambda(inner).invoke(None) == 1
        llm.invoke("outside")
        with pytest.raises(ValueError, match="no tools"):
            make(model="meta.llama2-13b-chat-v1").bind_tools([{"title": "f", "type": "object"}])
    llm.invoke("after")
    assert usage.calls == 2


def test_threads_and_tasks_of_a_block_count_and_those_of_others_do_not(make):
    llm = make()

    async def tasks():
        await asyncio.gather(*(asyncio.create_task(llm.ainvoke("hi")) for _ in range(3)))
        await asyncio.to_thread(llm.invoke, "hi")

    stranger_may_call, stranger_is_done = threading.Event(), threading.Event()

    def stranger():
        stranger_may_call.wait(20)
        llm.invoke("not of the block")
        stranger_is_done.set()

    thread = threading.Thread(target=stranger)
    thread.start()
    with track_usage() as usage:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(llm.invoke, ["hi"] * 4))
        asyncio.run(tasks())
        stranger_may_call.set()
        stranger_is_done.wait(20)
    thread.join()
    assert usage.calls == 8


def test_two_blocks_at_a_time_are_kept_apart_and_a_thread_of_neither_is_told(make):
    llm, both_open = make(), threading.Barrier(2)

    def block(calls):
        with track_usage() as usage:
            both_open.wait(20)
            for _ in range(calls):
                llm.invoke("hi")
            both_open.wait(20)
        return usage.calls

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(block, [1, 3])) == [1, 3]

    with track_usage() as one:
        context = copy_context()
    threads = [threading.Thread(target=context.run, args=(llm.invoke, "hi"))]
    threads[0].start()
    threads[0].join()
    assert one.calls == 1  # handed over


def test_a_failed_call_is_told(make):
    with track_usage() as usage, pytest.raises(ValueError, match="top_p"):
        make().invoke("hi", top_p=7)
    assert (usage.calls, usage.failed_calls, usage.total_tokens) == (0, 1, 0)


def test_an_imported_model_costs_units_and_windows_of_five_minutes(make):
    price = ImportedModelCost(units=2, price=0.05)
    assert price.per_window == pytest.approx(0.5)
    assert [price.cost(seconds) for seconds in (0, 1, 300, 301)] == pytest.approx([0, 0.5, 0.5, 1.0])
    used = UsageTotals()
    tokens = {"input_tokens": 400, "output_tokens": 100}
    for start, end in [(0, 3), (250, 330), (290, 300), (700, 701), (5_000, 5_700)]:
        used._add(_Call(tokens, None, False, start, end))
    assert used.windows == 2 + 1 + 3  # 0-300 and on to 600; 700-1000; 5000-5900
    assert price.cost(used) == pytest.approx(3.0)
    assert price.per_million_tokens(used) == pytest.approx(3.0 / 2_500 * 1e6)
    with track_usage() as usage:
        make(model=IMPORTED, prompt_format="llama3.3").invoke("hi")
    assert price.cost(usage) == price.cost(usage.by_model[IMPORTED]) == pytest.approx(0.5)
    for wrong in ({"units": 0, "price": 1}, {"units": 1, "price": 0}, {"units": 1, "price": 1, "copies": 0}):
        with pytest.raises(ValueError, match="positive"):
            ImportedModelCost(**wrong)
    with pytest.raises(ValueError, match="negative"):
        price.cost(-1)
