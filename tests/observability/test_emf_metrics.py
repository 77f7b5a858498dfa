"""`EMFMetrics`: lines that CloudWatch takes, with the figures of calls and answers, sync and async."""

import asyncio
import io
import json
import pickle

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.runnables import RunnableLambda

from llama_bedrock import EMFMetrics, LlamaBedrock
from llama_bedrock.agents import create_rag_agent, create_rag_chain
from llama_bedrock.errors import BedrockThrottlingError, BedrockValidationError
from llama_bedrock.grounding import LlamaJudge
from llama_bedrock.prompts.passages import NO_ANSWER
from tests.observability.conftest import MODEL, WAYS

TEXT = {"type": "string", "minLength": 1}
UNITS = ["Seconds", "Microseconds", "Milliseconds", "Bytes", "Percent", "Count", "None"]
METRIC = {
    "type": "object",
    "required": ["Name"],
    "properties": {
        "Name": TEXT | {"maxLength": 1024},
        "Unit": {"enum": UNITS},
        "StorageResolution": {"enum": [1, 60]},
    },
    "additionalProperties": False,
}
DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "properties": {
        "Namespace": TEXT | {"maxLength": 1024},
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "maxItems": 30, "items": TEXT | {"maxLength": 250}},
        },
        "Metrics": {"type": "array", "minItems": 1, "maxItems": 100, "items": METRIC},
    },
    "additionalProperties": False,
}
# The constraints of "Specification: Embedded metric format" (CloudWatch user guide): its schema, and what its
# text says beside it (the last three of `checked`).
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_500_000_000_000},
                "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": DIRECTIVE},
            },
        }
    },
}


def checked(text):
    """The lines of the text, each of them in the embedded metric format."""
    jsonschema = pytest.importorskip("jsonschema")
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                assert type(line[metric["Name"]]) in (int, float)
            for name in {name for names in directive["Dimensions"] for name in names}:
                assert isinstance(line[name], str)
                assert 0 < len(line[name]) <= 1024
        assert len(json.dumps(line)) < 256 * 1024
    return lines


def sets_of(line):
    return line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]


@pytest.fixture
def written():
    """Function: (dimensions, …) → (handler, function that reads its lines)."""

    def make(*arguments, **options):
        stream = io.StringIO()
        return EMFMetrics("Herd", *arguments, stream=stream, **options), lambda: checked(stream.getvalue())

    return make


def test_a_call_is_a_line_with_its_figures(ask, scripted, written, no_waits):
    metrics, lines = written({"Service": "shop"})
    llm, _ = scripted([BedrockThrottlingError("slow"), "Ada wrote it."])
    answer = ask(llm.model_copy(update={"max_retries": 1}), callbacks=[metrics])
    (line,) = lines()
    assert sets_of(line) == [["Service"], ["Service", "ModelId"]]
    assert (line["Service"], line["ModelId"]) == ("shop", MODEL)
    figures = {
        name: line[name] for name in ("Calls", "Errors", "CacheHits", "Retries", "Throttles", "Fallbacks")
    }
    assert figures == {"Calls": 1, "Errors": 0, "CacheHits": 0, "Retries": 1, "Throttles": 1, "Fallbacks": 0}
    assert line["Cost"] == pytest.approx(answer.usage_metadata["total_cost"])
    assert line["OutputTokens"] == answer.usage_metadata["output_tokens"]
    assert line["RequestId"] == answer.response_metadata["request_id"]
    assert line["Latency"] > 0


@pytest.mark.parametrize("way", WAYS)
def test_the_time_to_the_first_token_is_that_of_streams(way, scripted, written):
    metrics, lines = written()
    llm, _ = scripted([["one ", "two ", "three"]])
    WAYS[way](llm, callbacks=[metrics])
    (line,) = lines()
    assert ("TimeToFirstToken" in line) == ("stream" in way)
    assert 0 < line.get("TimeToFirstToken", 1) <= line["Latency"] or "stream" not in way


def test_every_tag_has_its_figures_and_nothing_is_counted_twice(scripted, written):
    metrics, lines = written()
    llm, _ = scripted(["Ada."])
    llm.invoke("Who?", config={"callbacks": [metrics], "tags": ["help", "münchen", "help", "seq:step:1"]})
    first, second = lines()
    assert sets_of(first) == [[], ["ModelId"], ["ModelId", "Tag"]]
    assert sets_of(second) == [["ModelId", "Tag"]]
    assert (first["Tag"], second["Tag"]) == ("help", "m\\xfcnchen")


def test_dimensions_can_be_read_from_a_runs_metadata(ask, scripted, written):
    metrics, lines = written(["team"])
    llm, _ = scripted(["Ada.", "Ada."])
    ask(llm, callbacks=[metrics], metadata={"team": "sales"})
    ask(llm, callbacks=[metrics])
    assert [line["team"] for line in lines()] == ["sales", "unknown"]


def test_a_failed_call_counts_as_an_error(ask, scripted, written, no_waits):
    metrics, lines = written()
    llm, _ = scripted([BedrockThrottlingError("slow"), BedrockValidationError("refused")])
    with pytest.raises(BedrockValidationError):
        ask(llm.model_copy(update={"max_retries": 1}), callbacks=[metrics])
    (line,) = lines()
    assert (line["Calls"], line["Errors"], line["Retries"], line["Throttles"]) == (1, 1, 1, 1)
    assert (line["ErrorType"], line["ModelId"]) == ("BedrockValidationError", MODEL)


def test_a_stream_that_was_left_is_no_error(scripted, written):
    metrics, lines = written()
    llm, _ = scripted([["one ", "two ", "three "]])
    stream = llm.stream("Who?", config={"callbacks": [metrics]})
    next(stream)
    stream.close()
    (line,) = lines()
    assert (line["Calls"], line["Errors"], line["Abandoned"]) == (1, 0, 1)


def test_hits_of_a_cache_cost_nothing(ask, scripted, written):
    metrics, lines = written()
    llm, _ = scripted(["Ada."], cache=InMemoryCache())
    ask(llm, callbacks=[metrics])
    ask(llm, callbacks=[metrics])
    assert [(line["CacheHits"], line["Cost"] > 0) for line in lines()] == [(0, True), (1, False)]


def test_a_call_without_a_price_says_so(scripted, written):
    metrics, lines = written()
    arn = "arn:aws:bedrock:us-west-2:123456789012:imported-model/abcdefghijkl"
    llm, _ = scripted(["Ada."], model=arn, prompt_format="llama3.1")
    llm.invoke("Who?", config={"callbacks": [metrics]})
    (line,) = lines()
    assert line["UnpricedCalls"] == 1
    assert "Cost" not in line
    assert line["ModelId"] == arn


def test_completions_are_counted_one_by_one(scripted, written):
    metrics, lines = written()
    chat, _ = scripted(["one", "two", "three"])
    llm = LlamaBedrock(model=MODEL, region_name="us-west-2", endpoint_url=chat.endpoint_url, api_key="k")
    llm.batch(["Ada", "Bob"], config={"callbacks": [metrics]})
    list(llm.stream("Eve", config={"callbacks": [metrics]}))
    assert [(line["Calls"], line["ModelId"]) for line in lines()] == [(1, MODEL)] * 3


QUESTION = {"question": "and what else?", "chat_history": [("human", "What do llamas eat?"), ("ai", "Hay.")]}


def of_answers(lines):
    return [line for line in lines if "Answers" in line]


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "within"])
def test_an_answer_is_counted_once_for_the_model_that_wrote_it(way, scripted, written, retriever):
    metrics, lines = written()
    small, _ = scripted(["What else do llamas eat?"], model="meta.llama3-1-8b-instruct-v1:0")
    llm, _ = scripted(["Llamas eat hay [1]."])
    judge, _ = scripted(["1: yes"], model="meta.llama3-1-70b-instruct-v1:0")
    chain = create_rag_chain(llm, retriever, condense_model=small, verifier=LlamaJudge(judge))
    config = {"callbacks": [metrics], "tags": ["docs"]}
    if way == "within":
        chain = RunnableLambda(lambda value: value) | chain
    if way == "stream":
        list(chain.stream(QUESTION, config))
    elif way == "ainvoke":
        asyncio.run(chain.ainvoke(QUESTION, config))
    else:
        chain.invoke(QUESTION, config)
    (line,) = of_answers(lines())
    assert (line["ModelId"], line["Tag"]) == (MODEL, "docs")
    assert (line["Answers"], line["NoAnswer"], line["GroundedFraction"]) == (1, 0, 1)
    assert sum(line.get("Calls", 0) for line in lines()) == 3


def test_no_answer_is_counted_and_has_no_share(scripted, written, retriever):
    metrics, lines = written()
    llm, _ = scripted([NO_ANSWER])
    create_rag_chain(llm, retriever).invoke("What do alpacas eat?", {"callbacks": [metrics]})
    (line,) = of_answers(lines())
    assert line["NoAnswer"] == 1
    assert "GroundedFraction" not in line


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_agents_answer_is_counted_once(is_async, scripted, written, retriever):
    metrics, lines = written()
    llm, _ = scripted(['[search_documents(query="llama food")]', "Llamas eat hay [1]."])
    agent = create_rag_agent(llm, retriever)
    given, config = {"messages": [("user", "What do llamas eat?")]}, {"callbacks": [metrics]}
    asyncio.run(agent.ainvoke(given, config)) if is_async else agent.invoke(given, config)
    (line,) = of_answers(lines())
    assert (line["ModelId"], line["GroundedFraction"]) == (MODEL, 1)


def test_nothing_is_kept_of_runs_that_have_ended(scripted, written, retriever):
    metrics, _ = written()
    llm, _ = scripted(["Llamas eat hay [1].", BedrockValidationError("no")])
    chain = create_rag_chain(llm, retriever)
    chain.invoke("What?", {"callbacks": [metrics]})
    with pytest.raises(BedrockValidationError):
        chain.invoke("What?", {"callbacks": [metrics]})
    assert not metrics._runs
    assert not metrics._models
    assert not metrics._told


def test_lines_go_to_standard_output_of_that_moment(scripted, capsys):
    llm, _ = scripted(["Ada."])
    llm.invoke("Who?", config={"callbacks": [EMFMetrics("Herd")]})
    (line,) = checked(capsys.readouterr().out)
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Herd"


@pytest.fixture
def powertools():
    """Powertools, without the hook into every client of the process that comes with its import."""
    import botocore

    before = list(botocore._INITIALIZERS)
    metrics = pytest.importorskip("aws_lambda_powertools.metrics")
    botocore._INITIALIZERS[:] = before
    return metrics.EphemeralMetrics(namespace="Shop", service="search")


def test_powertools_gets_every_figure(scripted, written, powertools, capsys):
    metrics, lines = written(metrics=powertools)
    llm, _ = scripted(["Ada wrote it.", "Bob."])
    answers = [llm.invoke("Who?", config={"callbacks": [metrics]}) for _ in range(2)]
    powertools.flush_metrics()
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert line["Calls"] == [1, 1]
    assert line["Cost"] == pytest.approx([a.usage_metadata["total_cost"] for a in answers])
    assert [sets_of(line) for line in lines()] == [[["ModelId"]]] * 2  # the sums are Powertools' alone


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("",), "namespace"),
        (("AWS/Bedrock",), "AWS/"),
        ((":x",), "':'"),
        (("Herd", "Service"), "a mapping of texts to texts or a list of texts"),
        (("Herd", {"Cost": "x"}), "taken"),
        (("Herd", ["ModelId"]), "taken"),
        (("Herd", {"": "x"}), "1 to 250"),
        (("Herd", {"Größe": "x"}), "ASCII"),
        (("Herd", {"Service": ""}), "ASCII"),
        (("Herd", {"Service": 3}), "a mapping of texts to texts"),
        (("Herd", {"Service": "x" * 1025}), "1024"),
        (("Herd", {f"d{n}": "x" for n in range(29)}), "28 beside"),
    ],
)
def test_what_cloudwatch_would_drop_is_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        EMFMetrics(*arguments)


def test_metrics_must_be_able_to_take_figures():
    with pytest.raises(ValueError, match="add_metric"):
        EMFMetrics("Herd", metrics=object())


def test_the_most_dimensions_are_taken(scripted, written):
    metrics, lines = written({f"d{n}": "x" for n in range(28)})
    llm, _ = scripted(["Ada."])
    llm.invoke("Who?", config={"callbacks": [metrics], "tags": ["t" * 3000]})
    (line,) = lines()
    assert len(sets_of(line)[-1]) == 30


def test_it_survives_pickling():
    metrics = pickle.loads(pickle.dumps(EMFMetrics("Herd", {"Service": "x"})))
    assert metrics._fixed == {"Service": "x"}
