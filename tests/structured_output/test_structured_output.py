"""Objects out of answers, over a socket: every kind of schema, every method, sync and async."""

import asyncio
import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NotRequired

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.testing import StopReason

pytestmark = pytest.mark.filterwarnings("ignore::llama_bedrock.LlamaLifecycleWarning")


class Joke(BaseModel):
    """A joke."""

    setup: str
    punchline: str
    rating: int | None = Field(default=None, description="From 1 to 10.")


class JokeV1(BaseModelV1):
    """A joke."""

    setup: str
    punchline: str
    rating: int | None = None


class JokeDict(TypedDict):
    """A joke."""

    setup: str
    punchline: str
    rating: int


@dataclass
class JokeData:
    setup: str
    punchline: str
    rating: int | None = None


JSON_SCHEMA = {**Joke.model_json_schema(), "title": "Joke"}
TOOL = {"type": "function", "function": {"name": "Joke", "description": "A joke.", "parameters": JSON_SCHEMA}}
RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "Joke", "schema": JSON_SCHEMA}}
SCHEMAS = [Joke, JokeV1, JokeDict, JokeData, JSON_SCHEMA, TOOL, RESPONSE_FORMAT]
NAMES = ["pydantic", "v1", "typeddict", "dataclass", "json", "tool", "format"]
FIELDS = {"setup": "Why?", "punchline": "Because.", "rating": 7}
BODY = '"setup": "Why?", "punchline": "Because.", "rating": "7"}'
CALL = 'setup="Why?", punchline="Because.", rating="7")]'
METHODS = [("json_schema", BODY), ("json_mode", BODY), ("function_calling", CALL)]


def fields_of(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {name: getattr(value, name) for name in FIELDS}


def ask(runnable: Any, mode: str) -> Any:
    if mode == "invoke":
        return runnable.invoke("Tell a joke.")
    if mode == "ainvoke":
        return asyncio.run(runnable.ainvoke("Tell a joke."))
    return list_of(runnable, mode)[-1]


def list_of(runnable: Any, mode: str) -> list[Any]:
    async def collect() -> list[Any]:
        return [value async for value in runnable.astream("Tell a joke.")]

    return list(runnable.stream("Tell a joke.")) if mode == "stream" else asyncio.run(collect())


MODES = ["invoke", "ainvoke", "stream", "astream"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("method", "answer"), METHODS)
@pytest.mark.parametrize("schema", SCHEMAS, ids=NAMES)
def test_every_schema_by_every_method_in_every_mode(model_that_answers, schema, method, answer, mode):
    with model_that_answers(answer) as (llm, engine):
        value = ask(llm.with_structured_output(schema, method=method), mode)
    assert fields_of(value) == FIELDS
    assert isinstance(value, schema if isinstance(schema, type) and schema is not JokeDict else dict)
    [request] = engine.requests
    assert "punchline" in request.prompt


@pytest.mark.parametrize(
    ("method", "begins"), [("json_schema", "{"), ("json_mode", "{"), ("function_calling", "[Joke(")]
)
def test_the_answer_is_begun_for_the_model(model_that_answers, method, begins):
    with model_that_answers(BODY if begins == "{" else CALL) as (llm, engine):
        llm.with_structured_output(Joke, method=method).invoke("Tell a joke.")
    assert engine.requests[0].prompt.endswith(f"<|end_header_id|>\n\n{begins}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "answer",
    [
        f"{{{BODY}",
        f"Here is the joke:\n```json\n{{{BODY}\n```\nEnjoy {{it}}!",
        "{'setup': 'Why?', 'punchline': 'Because.', 'rating': 7,}",
        f'{{"name": "Joke", "parameters": {{{BODY}}}',
        f'{{"Joke": {{{BODY}}}',
        f'{{"properties": {{{BODY}}}',
        BODY.removesuffix("}"),
    ],
)
def test_the_object_is_found_whatever_stands_around_it(model_that_answers, answer, mode):
    given = answer.removeprefix("{") if answer.startswith("{") else answer
    with model_that_answers(given) as (llm, _):
        assert fields_of(ask(llm.with_structured_output(Joke), mode)) == FIELDS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("method", "answer"), METHODS)
@pytest.mark.parametrize("broken", ['"setup": "Why?"}', "I cannot do that.", ""])
def test_the_model_is_told_what_is_wrong_and_asked_again(model_that_answers, broken, method, answer, mode):
    with model_that_answers(broken, answer) as (llm, engine):
        assert fields_of(ask(llm.with_structured_output(Joke, method=method), mode)) == FIELDS
    first, second = engine.requests
    assert second.prompt != first.prompt
    assert "cannot be used" in second.prompt or "Error from Joke" in second.prompt


HEADER = "<|start_header_id|>{}<|end_header_id|>\n\n"


def test_the_request_to_repair_an_answer(model_that_answers):
    with model_that_answers('"setup": "Why?"}', BODY) as (llm, engine):
        llm.with_structured_output(Joke).invoke("Tell a joke.")
    first, second = (request.prompt for request in engine.requests)
    assert second == (
        first.removesuffix("{")
        + '{"setup": "Why?"}<|eot_id|>'
        + HEADER.format("user")
        + "This answer cannot be used: punchline: Field required. Give it again, corrected, with nothing else."
        + "<|eot_id|>"
        + HEADER.format("assistant")
        + "{"
    )


def test_the_request_to_repair_a_call(model_that_answers):
    with model_that_answers('setup="Why?")]', CALL) as (llm, engine):
        llm.with_structured_output(Joke, method="function_calling").invoke("Tell a joke.")
    first, second = (request.prompt for request in engine.requests)
    assert second == (
        first.removesuffix("[Joke(")
        + '[Joke(setup="Why?")]<|eot_id|>'
        + HEADER.format("ipython")
        + "Error from Joke: punchline: Field required<|eot_id|>"
        + HEADER.format("assistant")
        + "[Joke("
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("method", "_answer"), METHODS)
def test_never_none_but_an_error_that_holds_the_text(model_that_answers, method, _answer, mode):
    with (
        model_that_answers("I will not.", "I still will not.") as (llm, engine),
        pytest.raises(OutputParserException, match="no valid Joke in the answer") as raised,
    ):
        ask(llm.with_structured_output(Joke, method=method), mode)
    assert "I still will not." in raised.value.llm_output
    assert "asked again once" in str(raised.value)
    assert len(engine.requests) == 2


@pytest.mark.parametrize("repairs", [0, 3])
def test_the_number_of_repairs_is_bounded(model_that_answers, repairs):
    with model_that_answers(*["no"] * 9) as (llm, engine), pytest.raises(OutputParserException):
        llm.with_structured_output(Joke, max_repairs=repairs).invoke("Tell a joke.")
    assert len(engine.requests) == repairs + 1


def test_an_answer_that_was_cut_is_not_asked_for_again(model_that_answers):
    cut = ['"setup": "Why?", "punchline": "Bec', StopReason("length")]
    with (
        model_that_answers(cut) as (llm, engine),
        pytest.raises(OutputParserException, match="raise max_tokens") as raised,
    ):
        llm.with_structured_output(Joke).invoke("Tell a joke.")
    assert "Bec" in raised.value.llm_output
    assert len(engine.requests) == 1


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
@pytest.mark.parametrize(("method", "answer"), METHODS)
def test_include_raw_gives_message_object_and_error(model_that_answers, method, answer, mode):
    with model_that_answers(answer) as (llm, _):
        result = ask(llm.with_structured_output(Joke, method=method, include_raw=True), mode)
    assert isinstance(result["raw"], AIMessage)
    assert result["raw"].usage_metadata["output_tokens"] > 0
    assert fields_of(result["parsed"]) == FIELDS
    assert result["parsing_error"] is None
    with model_that_answers("no", "no") as (llm, _):
        result = ask(llm.with_structured_output(Joke, method=method, include_raw=True), mode)
    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], OutputParserException)


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_include_raw_streams_chunks_and_then_the_object(model_that_answers, mode):
    with model_that_answers(BODY) as (llm, _):
        parts = list_of(llm.with_structured_output(Joke, include_raw=True), mode)
    raw = [part["raw"] for part in parts if "raw" in part]
    assert fields_of([part["parsed"] for part in parts if "parsed" in part][-1]) == FIELDS
    assert parts[-1] == {"parsing_error": None}
    assert sum((chunk for chunk in raw[1:]), raw[0]).usage_metadata["total_tokens"] > 0


def grows(before: Any, after: Any) -> bool:
    """Whether nothing that was there is gone or changed, and texts only got longer."""
    if isinstance(before, dict):
        return all(key in after and grows(value, after[key]) for key, value in before.items())
    return after.startswith(before) if isinstance(before, str) else after == before


@pytest.mark.parametrize("mode", ["stream", "astream"])
@pytest.mark.parametrize(("method", "answer"), METHODS)
def test_streamed_objects_grow(model_that_answers, method, answer, mode):
    with model_that_answers(answer) as (llm, _):
        values = list_of(llm.with_structured_output(JokeDict, method=method), mode)
    assert values[-1] == FIELDS
    assert {tuple(value) for value in values} >= {("setup",), ("setup", "punchline"), tuple(FIELDS)}
    assert all(grows(before, after) for before, after in pairwise(values))
    with model_that_answers(answer) as (llm, _):
        objects = list_of(llm.with_structured_output(Joke, method=method), mode)
    assert all(isinstance(value, Joke) for value in objects)
    assert [fields_of(value) for value in objects][-2:] == [{**FIELDS, "rating": None}, FIELDS]


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_a_single_long_text_grows_too(model_that_answers, mode):
    essay = {
        "title": "Essay",
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    }
    text = 'Llamas hum.\nThey are "calm" animals. ' * 20
    with model_that_answers(json.dumps({"text": text})[1:]) as (llm, _):
        values = list_of(llm.with_structured_output(essay), mode)
    assert values[-1] == {"text": text}
    assert len(values) > 50
    assert all(grows(before, after) for before, after in pairwise(values))


def test_works_within_a_chain_and_with_messages(model_that_answers):
    prompt = ChatPromptTemplate.from_messages([("system", "Be funny."), ("human", "A joke about {topic}.")])
    with model_that_answers(BODY, BODY) as (llm, engine):
        structured = llm.with_structured_output(Joke)
        assert (prompt | structured).invoke({"topic": "llamas"}).rating == 7
        assert structured.invoke([HumanMessage("Hi")]).rating == 7
    assert "A joke about llamas." in engine.requests[0].prompt
    assert "Be funny." in engine.requests[0].prompt


def test_lists_and_unions_at_the_top(model_that_answers):
    numbers = {"title": "Numbers", "type": "array", "items": {"type": "integer"}}
    either = {
        "title": "Either",
        "anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"type": "integer"}}}],
    }
    with model_that_answers('"1", 2]', '{"a": "3"}') as (llm, engine):
        assert llm.with_structured_output(numbers).invoke("Count.") == [1, 2]
        assert llm.with_structured_output(either).invoke("Choose.") == {"a": 3}
    assert engine.requests[0].prompt.endswith("\n\n[")


class Task(TypedDict):
    """What is to be done."""

    title: str
    parts: NotRequired[list["Task"]]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_a_typed_dict_that_holds_itself(model_that_answers, method):
    task = {"title": "a", "parts": [{"title": "b", "parts": []}]}
    answer = '[Task(title="a", parts=[{"title": "b", "parts": []}])]'
    with model_that_answers(answer if method == "function_calling" else json.dumps(task)) as (llm, _):
        assert llm.with_structured_output(Task, method=method).invoke("Plan.") == task


@pytest.mark.parametrize("answer", ['value=[{"name": "a"}])]', '[{"name": "a"}])]', '[{"name": "a"}]'])
def test_a_list_by_a_call_is_its_only_argument(model_that_answers, answer):
    node = {"type": "object", "properties": {"name": {"type": "string"}, "in": {"$ref": "#/$defs/node"}}}
    nodes = {
        "title": "All nodes",
        "type": "array",
        "items": {"$ref": "#/$defs/node"},
        "$defs": {"node": node},
    }
    with model_that_answers(answer, answer) as (llm, engine):
        structured = llm.with_structured_output(nodes, method="function_calling")
        assert structured.invoke("Which?") == [{"name": "a"}]
        assert list_of(structured, "sync")[-1] == [{"name": "a"}]
    assert engine.requests[0].prompt.endswith("[All_nodes(")


def test_strict_allows_nothing_beside_the_schema(model_that_answers):
    extra = '"setup": "a", "punchline": "b", "rating": 1, "extra": 2}'
    with model_that_answers(extra, extra, extra) as (llm, _):
        assert llm.with_structured_output(JSON_SCHEMA).invoke("x")["extra"] == 2
        with pytest.raises(OutputParserException, match="extra is not known"):
            llm.with_structured_output(JSON_SCHEMA, strict=True).invoke("x")


@pytest.mark.parametrize(
    ("schema", "options", "reason"),
    [
        (None, {}, "schema is None"),
        ("Joke", {}, "give a pydantic class"),
        ({"a": 1}, {}, "is no JSON schema"),
        (Joke, {"method": "xml"}, "give one of json_schema, function_calling, json_mode"),
        (Joke, {"max_repairs": -1}, "give 0 or more"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_the_reason(schema, options, reason):
    llm = ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0", region_name="us-east-2")
    with pytest.raises(ValueError, match=reason):
        llm.with_structured_output(schema, **options)
