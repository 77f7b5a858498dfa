"""What is written on the span that is open, read from an exporter; nothing where there is none."""

import asyncio
import sys

import pytest
from langchain_core.caches import InMemoryCache

from llama_bedrock import LlamaBedrock
from llama_bedrock.agents import create_rag_agent, create_rag_chain
from llama_bedrock.errors import BedrockThrottlingError, BedrockUnavailableError, BedrockValidationError
from llama_bedrock.prompts.passages import NO_ANSWER
from tests.observability.conftest import MODEL, WAYS

pytest.importorskip("opentelemetry.sdk")


@pytest.fixture
def traced():
    """Function: run something inside a span; the span's attributes."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def run(job):
        with provider.get_tracer("test").start_as_current_span("job") as span:
            try:
                result = job()
            except Exception as error:
                result = error
            assert span.is_recording()
        (span,) = exporter.get_finished_spans()
        exporter.clear()
        marked = {k.removeprefix("llama_bedrock."): v for k, v in span.attributes.items()}
        return result, marked

    return run


def test_a_call_writes_what_it_took(ask, scripted, traced):
    llm, _ = scripted(["Ada wrote it."])
    answer, told = traced(lambda: ask(llm))
    assert told == {
        "retries": 0,
        "throttles": 0,
        "fallbacks": 0,
        "cost_usd": pytest.approx(answer.usage_metadata["total_cost"]),
        "model": MODEL,
        "region": "us-west-2",
        "cache_hit": False,
        "aws.request_id": answer.response_metadata["request_id"],
    }


def test_retries_throttles_and_fallbacks_are_counted_over_all_who_were_asked(ask, scripted, traced, no_waits):
    slow = BedrockThrottlingError("slow down")
    llm, _ = scripted([slow, slow, BedrockUnavailableError("later"), "Ada."], fallback_regions=["us-east-2"])
    answer, told = traced(lambda: ask(llm.model_copy(update={"max_retries": 1})))
    counted = {"retries": 2, "throttles": 2, "fallbacks": 1}
    assert {name: told[name] for name in counted} == counted
    assert {name: answer.response_metadata[name] for name in counted} == counted
    assert told["region"] == "us-east-2"


def test_a_call_that_fails_tells_what_was_tried(ask, scripted, traced, no_waits):
    slow = BedrockThrottlingError("slow down")
    llm, _ = scripted([slow] * 4, fallback_regions=["us-east-2"])
    error, told = traced(lambda: ask(llm.model_copy(update={"max_retries": 1})))
    assert (told["retries"], told["throttles"], told["fallbacks"]) == (2, 4, 1)
    assert (error.retries, error.throttles, error.fallbacks) == (2, 4, 1)
    assert told["aws.request_id"] == error.request_id
    assert "cost_usd" not in told


def test_calls_under_one_span_add_up(scripted, traced):
    llm, _ = scripted(["One."] * 3)
    answers, told = traced(lambda: [ask(llm) for ask in list(WAYS.values())[:3]])
    assert told["cost_usd"] == pytest.approx(sum(a.usage_metadata["total_cost"] for a in answers))
    assert told["aws.request_id"] == answers[-1].response_metadata["request_id"]


def test_an_answer_out_of_a_cache_cost_nothing_and_says_so(ask, scripted, traced, no_waits):
    slow = BedrockThrottlingError("slow down")
    llm, engine = scripted([slow, "Ada."], cache=InMemoryCache())
    llm = llm.model_copy(update={"max_retries": 1})
    _, first = traced(lambda: ask(llm))
    answer, second = traced(lambda: ask(llm))
    assert len(engine.requests) == 2
    assert (first["cache_hit"], first["retries"]) == (False, 1)
    assert (second["cache_hit"], second["retries"], second["cost_usd"]) == (True, 0, 0)
    assert "retries" not in answer.response_metadata


def test_completions_write_it_too(scripted, traced):
    chat, _ = scripted(["one", "two"])
    llm = LlamaBedrock(model=MODEL, region_name="us-west-2", endpoint_url=chat.endpoint_url, api_key="k")
    _, told = traced(lambda: (llm.invoke("Ada"), list(llm.stream("Ada"))))
    assert told["cost_usd"] > 0
    assert told["model"] == MODEL


def test_what_was_never_sent_writes_nothing(scripted, traced):
    llm, _ = scripted([])
    error, told = traced(lambda: llm.invoke("Who?", special_tokens="no such"))
    assert isinstance(error, ValueError)
    assert told == {}


def test_a_refused_call_is_no_throttle(ask, scripted, traced):
    llm, _ = scripted([BedrockValidationError("refused")])
    _, told = traced(lambda: ask(llm))
    assert (told["retries"], told["throttles"]) == (0, 0)


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke"])
def test_answers_write_their_verdicts(way, scripted, traced, retriever):
    llm, _ = scripted(["Llamas eat hay [1]. Llamas eat 12 stones [1]."])
    chain = create_rag_chain(llm, retriever)
    run = {
        "invoke": lambda: chain.invoke("What do llamas eat?"),
        "stream": lambda: list(chain.stream("What do llamas eat?")),
        "ainvoke": lambda: asyncio.run(chain.ainvoke("What do llamas eat?")),
    }[way]
    _, told = traced(run)
    verdicts = {name: told[f"verdicts.{name}"] for name in ("supported", "refuted", "undecided")}
    assert sum(verdicts.values()) == 2
    assert verdicts["supported"] >= 1
    assert told["grounded_fraction"] == verdicts["supported"] / 2
    assert told["no_answer"] is False
    assert told["documents"] == 1


def test_no_answer_is_told(scripted, traced, retriever):
    llm, _ = scripted([NO_ANSWER])
    _, told = traced(lambda: create_rag_chain(llm, retriever).invoke("What do alpacas eat?"))
    assert told["no_answer"] is True


def test_an_agents_answer_is_told(scripted, traced, retriever):
    llm, _ = scripted(['[search_documents(query="llama food")]', "Llamas eat hay [1]."])
    _, told = traced(lambda: create_rag_agent(llm, retriever).invoke({"messages": [("user", "Food?")]}))
    assert told["grounded_fraction"] == 1


def test_nobody_who_does_not_use_opentelemetry_gets_it_loaded(ask, scripted, monkeypatch):
    llm, _ = scripted(["Ada."])
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    assert ask(llm).text == "Ada."
    assert "opentelemetry.trace" not in sys.modules


def test_attributes_are_of_types_that_opentelemetry_takes(scripted, traced, caplog):
    llm, _ = scripted(["Ada."])
    traced(lambda: llm.invoke("Who?"))
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]
