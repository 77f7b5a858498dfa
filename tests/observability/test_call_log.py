"""What is logged of calls: one record each, with request ids; what was said only where it is asked for."""

import logging

import pytest
from langchain_core.caches import InMemoryCache

from llama_bedrock.agents import create_rag_chain
from llama_bedrock.errors import BedrockThrottlingError, BedrockValidationError

SAID = "What is the secret of Pisco?"
ANSWER = "Pisco hides hay."


def records(caplog, event):
    return [record for record in caplog.records if getattr(record, "event", None) == f"llama_bedrock.{event}"]


@pytest.fixture
def debug(caplog):
    with caplog.at_level(logging.DEBUG, "llama_bedrock"):
        yield caplog


def test_a_call_is_one_record_that_names_its_request(ask, scripted, debug):
    llm, _ = scripted([ANSWER])
    answer = ask(llm)
    (record,) = records(debug, "call")
    assert record.levelno == logging.DEBUG
    assert record.request_id == answer.response_metadata["request_id"]
    assert record.request_id in record.getMessage()
    assert (record.status, record.stop_reason, record.cache_hit) == ("ok", "stop", False)
    assert record.output_tokens == answer.usage_metadata["output_tokens"]
    assert record.cost_usd == pytest.approx(answer.usage_metadata["total_cost"])
    assert 0 < record.seconds < 60


def test_above_debug_a_call_is_silent(ask, scripted, caplog):
    llm, _ = scripted([ANSWER])
    with caplog.at_level(logging.INFO, "llama_bedrock"):
        ask(llm)
    assert not caplog.records


def test_a_failed_call_is_one_record_too(ask, scripted, debug):
    llm, _ = scripted([BedrockValidationError("refused")])
    with pytest.raises(BedrockValidationError) as raised:
        ask(llm)
    (record,) = records(debug, "call")
    assert (record.status, record.error_type) == ("error", "BedrockValidationError")
    assert record.request_id == raised.value.request_id


def test_a_stream_that_was_left_is_told_as_such(scripted, debug):
    llm, _ = scripted([["one ", "two ", "three "]])
    stream = llm.stream(SAID)
    next(stream)
    stream.close()
    (record,) = records(debug, "call")
    assert (record.status, record.error_type) == ("left", "GeneratorExit")


def test_retries_and_fallbacks_warn_with_the_request_that_failed(ask, scripted, caplog, no_waits):
    slow = BedrockThrottlingError("slow down")
    llm, _ = scripted([slow, slow, ANSWER], fallback_regions=["us-east-2"])
    with caplog.at_level(logging.WARNING, "llama_bedrock"):
        ask(llm.model_copy(update={"max_retries": 1}))
    retry, fallback = caplog.records
    assert (retry.attempt, retry.error_type) == (2, "BedrockThrottlingError")
    assert (retry.region, fallback.region) == ("us-west-2", "us-west-2")
    assert retry.request_id != fallback.request_id
    for record in (retry, fallback):
        assert record.levelno == logging.WARNING
        assert record.request_id in record.getMessage()


@pytest.mark.parametrize("asked", [None, "0", "1", "True"])
def test_prompts_answers_and_documents_are_logged_only_where_asked(
    asked, scripted, retriever, debug, monkeypatch
):
    monkeypatch.delenv("LLAMA_BEDROCK_LOG_CONTENT", raising=False)
    if asked is not None:
        monkeypatch.setenv("LLAMA_BEDROCK_LOG_CONTENT", asked)
    llm, _ = scripted(["Llamas eat hay [1]."])
    create_rag_chain(llm, retriever).invoke(SAID)
    (call,), (answer,) = records(debug, "call"), records(debug, "answer")
    everything = [str(record.__dict__) for record in debug.records]
    if asked in ("1", "True"):
        assert SAID in call.prompt
        assert call.answer == answer.answer == "Llamas eat hay [1]."
        assert answer.passages == ["Llamas eat hay and grass."]
    else:
        assert not [text for text in everything if "Pisco" in text or "hay" in text]
    assert (answer.documents, answer.verdicts_supported, answer.no_answer) == (1, 1, False)


def test_a_hit_of_the_cache_is_a_record(ask, scripted, debug):
    llm, _ = scripted([ANSWER], cache=InMemoryCache())
    ask(llm)
    ask(llm)
    first, second = records(debug, "call")
    assert (first.cache_hit, second.cache_hit, second.cost_usd) == (False, True, 0)
