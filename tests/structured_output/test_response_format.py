"""Answers that are JSON: asked for at call time, read whole and in pieces, and by LangChain's agents."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from pydantic import BaseModel

from llama_bedrock.tools.json_answer import JsonContent, ResponseFormat, clean_json, read_response_format

SCHEMA = {
    "title": "Joke",
    "type": "object",
    "properties": {
        "setup": {"type": "string"},
        "rating": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "mood": {"enum": ["dry", "silly"]},
    },
    "required": ["setup"],
}
FORM = ResponseFormat("Joke", SCHEMA)
LIST = ResponseFormat("Numbers", {"type": "array", "items": {"type": "integer"}})
ANY = ResponseFormat()

ANSWERS = [
    (FORM, '{"setup": "a", "rating": "7", "tags": ["x",], "mood": dry}', '{"setup": "a", "rating": 7, "tags": ["x"], "mood": "dry"}'),
    (FORM, 'Here:\n```json\n{"setup": "it\'s", rating: None}\n```\nEnjoy {x}', '{"setup": "it\'s", "rating": null}'),
    (FORM, '{"name": "Joke", "parameters": {"setup": "a"}}', '{"setup": "a"}'),
    (FORM, '{"Joke": {"setup": "a"}}', '{"setup": "a"}'),
    (FORM, '{"setup": "a", "other": {"b": [1]}}', '{"setup": "a", "other": {"b": [1]}}'),
    (FORM, '{"setup": "a"', '{"setup": "a"}'),
    (FORM, "{}", "{}"),
    (FORM, '{"other": 1}', '{"other": 1}'),
    (FORM, 'First {this}, then {"setup": "a"}', '{"setup": "a"}'),
    (FORM, "no JSON at all", "no JSON at all"),
    (FORM, "", ""),
    (FORM, '{"setup": "cut he', '{"setup": "cut he'),
    (FORM, '{"setup": "a", "tags": ["x", "cut he', '{"setup": "a", "tags": ["x", "cut he'),
    (LIST, 'The numbers: ["1", 2, 3.0]', "[1, 2, 3]"),
    (LIST, "[]", "[]"),
    (LIST, "[1, 2", "[1, 2]"),
    (ANY, "{'a': True, 'b': [1, {'c': 'd'}]}", '{"a": true, "b": [1, {"c": "d"}]}'),
]  # fmt: skip


@pytest.mark.parametrize(("form", "answer", "wanted"), ANSWERS)
def test_the_json_of_an_answer_whole_and_in_pieces(form, answer, wanted):
    assert clean_json(answer, form) == wanted
    for at in range(len(answer) + 1):
        content = JsonContent(form)
        assert content.feed(answer[:at]) + content.feed(answer[at:]) + content.close() == wanted
    content = JsonContent(form)
    assert "".join(map(content.feed, answer)) + content.close() == wanted


PAIRS = ResponseFormat("Pairs", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}})
ANYTHING = ResponseFormat("Anything", {"type": "array"})
OBJECTS = ResponseFormat("Objects", {"type": "array", "items": SCHEMA})


@pytest.mark.parametrize(
    ("form", "answer", "wanted"),
    [
        (LIST, "1, 2]", "[1, 2]"),
        (LIST, "[1, 2]", "[1, 2]"),
        (LIST, "[1, 2]]", "[1, 2]"),
        (LIST, " [ 1, 2]", "[1, 2]"),
        (LIST, "```json\n[1, 2]\n```", "[1, 2]"),
        (LIST, "Here: [1, 2]", "[1, 2]"),
        (PAIRS, "[1, 2], [3]]", "[[1, 2], [3]]"),
        (PAIRS, "[[1, 2], [3]]", "[[1, 2], [3]]"),
        (PAIRS, "[1, 2]]", "[[1, 2]]"),
        (PAIRS, "[[1, 2]]", "[[1, 2]]"),
        (ANYTHING, "[1, 2]", "[1, 2]"),
        (ANYTHING, "[1, 2]]", "[[1, 2]]"),
        (ANYTHING, '[1, 2], "a"]', '[[1, 2], "a"]'),
        (OBJECTS, '[{"setup": "a"}, {"setup": "b"}]', '[{"setup": "a"}, {"setup": "b"}]'),
        (OBJECTS, '[[{"setup": "a"}]]', '[{"setup": "a"}]'),
        (OBJECTS, '{"jokes": [{"setup": "a"}]}', '[{"setup": "a"}]'),
        (OBJECTS, '{"jokes": [{"setup": "a"}]}]', '[{"setup": "a"}]'),
        (OBJECTS, '{"tags": ["a"]}]', '[{"tags": ["a"]}]'),
        (OBJECTS, '{"jokes": ["a"]}]', '[{"jokes": ["a"]}]'),
    ],
)
def test_a_list_whose_opening_was_written_again(form, answer, wanted):
    for at in range(len(answer) + 1):
        content = JsonContent(form, prefix="[")
        assert content.feed(answer[:at]) + content.feed(answer[at:]) + content.close() == wanted


def test_pieces_come_out_as_they_are_certain():
    content = JsonContent(FORM, prefix="{")
    pieces = ('"setup": "Wh', 'y?", "rat', 'ing": "7', '", "tags": ["ab', 'c"]', "}", " Ha!")
    assert [content.feed(piece) for piece in pieces] == [
        '{"setup": "Wh',
        'y?"',
        "",
        ', "rating": 7, "tags": ["ab',
        'c"]',
        "}",
        "",
    ]
    assert content.close() == ""


def test_what_was_cut_stays_as_it_was_written():
    content = JsonContent(FORM)
    text = content.feed('{"setup": "a", "rating": 12') + content.close("length")
    assert text == '{"setup": "a", "rating": 12'


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('{}[]"\\:, ab1\n`'), max_size=60), st.randoms(use_true_random=False))
def test_random_answers_whole_and_in_pieces(text, chance):
    for form in (FORM, LIST, ANY):
        at = chance.randint(0, len(text))
        content = JsonContent(form)
        assert content.feed(text[:at]) + content.feed(text[at:]) + content.close() == clean_json(text, form)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5),
    )
)
def test_json_comes_through_unchanged(value):
    assert json.loads(clean_json(json.dumps(value), ANY)) == value


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, ANY),
        ({"type": "json_schema", "json_schema": {"name": "Joke", "schema": SCHEMA}}, FORM),
        ({"type": "json_object", "schema": SCHEMA}, FORM),
        (FORM, FORM),
    ],
)
def test_every_form_of_response_format(given_, wanted):
    assert read_response_format(given_) == wanted


@pytest.mark.parametrize(
    "wrong",
    [{"type": "xml"}, {"type": "json_schema"}, "json", {"type": "json_schema", "json_schema": {"schema": 1}}],
)
def test_a_response_format_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"give \{'type': 'json_schema'"):
        read_response_format(wrong)


@pytest.mark.parametrize(
    ("schema", "opening"),
    [
        (SCHEMA, "{"),
        ({"type": "array"}, "["),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}, "{"),
        ({"anyOf": [{"type": "array"}, {"type": "object"}]}, ""),
        ({"type": "string"}, ""),
    ],
)
def test_what_the_answer_begins_with(schema, opening):
    form = ResponseFormat("A", schema)
    assert form.prefill() == opening
    assert form.prefill(with_tools=True) == ""


class Weather(BaseModel):
    """The weather somewhere."""

    city: str
    degrees: int


def get_degrees(city: str) -> str:
    """Look up how warm it is."""
    return f"21 in {city}"


quiet = pytest.mark.filterwarnings("ignore::llama_bedrock.LlamaLifecycleWarning")


@quiet
def test_response_format_at_call_time_gives_clean_json_in_both_ways(model_that_answers):
    form = {"type": "json_schema", "json_schema": {"name": "Joke", "schema": SCHEMA}}
    body = '"setup": "a", "rating": "7"} And that is it.'
    with model_that_answers(body, body) as (llm, engine):
        assert llm.invoke("A joke.", response_format=form).text == '{"setup": "a", "rating": 7}'
        assert (
            "".join(c.text for c in llm.stream("A joke.", response_format=form))
            == '{"setup": "a", "rating": 7}'
        )
    assert "write the object itself, not the schema" in engine.requests[0].prompt


@quiet
@pytest.mark.parametrize("with_tools", [False, True])
def test_agent_with_the_providers_structured_output(model_that_answers, with_tools):
    answers = (
        ['[get_degrees(city="Paris")]', '{"city": "Paris", "degrees": "21"}']
        if with_tools
        else ['"city": "Paris", "degrees": 21}']
    )
    with model_that_answers(*answers) as (llm, engine):
        agent = create_agent(
            llm, [get_degrees] if with_tools else [], response_format=ProviderStrategy(Weather)
        )
        state = agent.invoke({"messages": [("user", "How warm is it in Paris?")]})
    assert state["structured_response"] == Weather(city="Paris", degrees=21)
    assert len(engine.requests) == len(answers)


@quiet
@pytest.mark.parametrize("with_tools", [False, True])
def test_agent_with_structured_output_by_a_tool(model_that_answers, with_tools):
    if with_tools:
        answers = ['get_degrees(city="Paris")]', 'Weather(city="Paris", degrees="21")]']
    else:
        answers = ['city="Paris", degrees="21")]']
    with model_that_answers(*answers) as (llm, engine):
        agent = create_agent(llm, [get_degrees] if with_tools else [], response_format=ToolStrategy(Weather))
        state = agent.invoke({"messages": [("user", "How warm is it in Paris?")]})
    assert state["structured_response"] == Weather(city="Paris", degrees=21)
    assert all(request.prompt.endswith(("[", "[Weather(")) for request in engine.requests)


@quiet
def test_agent_chooses_the_providers_way_by_itself(model_that_answers):
    with model_that_answers('"city": "Paris", "degrees": 21}') as (llm, engine):
        agent = create_agent(llm, [], response_format=Weather)
        assert agent.invoke({"messages": [("user", "?")]})["structured_response"].degrees == 21
    assert engine.requests[0].prompt.endswith("{")
