"""Every text about tools and JSON answers that a model is sent, whole: a change here is meant, or a mistake."""

import pytest

from llama_bedrock.tools.json_answer import ResponseFormat
from llama_bedrock.tools.rendering import render_tools
from llama_bedrock.tools.spec import ToolChoice, ToolSpec

SPECS = (
    ToolSpec(
        "get_weather",
        "Weather of a city — now.",
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    ),
    ToolSpec("now"),
)
WHEN = (
    "You can use the functions listed below. Use one only when the answer needs what it returns or does. When you "
    "can answer from what you know or from this conversation, or when no function fits, answer in plain words and "
    "call nothing. When a required value is neither given nor follows from the conversation, ask for it instead of "
    "making it up.\n\n"
)
PYTHONIC = (
    "To call functions, answer with nothing but one list of calls:\n"
    "[function_name(parameter=value, other_parameter=value), function_name(parameter=value)]\n"
    'Values are literals: "text", 12, 3.5, True, False, None, ["a", "b"], {"key": "value"}. Name every parameter and '
    "put text in quotes. No code block, no explanation, no other words.\n\n"
)
JSON = (
    "To call a function, answer with nothing but one JSON object:\n"
    '{"name": "function_name", "parameters": {"parameter": value, "other_parameter": value}}\n'
    "For several calls write one such object per line. No code block, no explanation, no other words.\n\n"
)
AFTER = (
    "What a function returned comes back to you in the next turn. When it holds what you need, answer the user in "
    "plain words; do not repeat a call that has been answered.\n\n"
)
FUNCTIONS = (
    "The functions, as JSON:\n[\n"
    '{"name": "get_weather", "description": "Weather of a city — now.", "parameters": {"type": "object", '
    '"properties": {"city": {"type": "string"}}, "required": ["city"]}},\n'
    '{"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}\n]'
)


@pytest.mark.parametrize(("dialect", "how"), [("pythonic", PYTHONIC), ("json", JSON)])
@pytest.mark.parametrize(
    ("choice", "parallel", "rule"),
    [
        (ToolChoice(), True, ""),
        (ToolChoice(), False, "Make one call at a time, never several.\n\n"),
        (ToolChoice("any"), True, "In this turn you must call at least one function.\n\n"),
        (ToolChoice("tool", "now"), True, "In this turn you must call now.\n\n"),
    ],
)
def test_the_instructions_for_tools(dialect, how, choice, parallel, rule):
    text = render_tools(SPECS, dialect, choice=choice, parallel=parallel)
    assert text == WHEN + how + AFTER + rule + FUNCTIONS


SCHEMA = {"title": "Joke", "type": "object", "properties": {"setup": {"type": "string"}}}


@pytest.mark.parametrize(
    ("form", "with_tools", "wanted"),
    [
        (
            ResponseFormat(),
            False,
            "Answer with one JSON object and nothing else: no explanation, no code block.",
        ),
        (
            ResponseFormat(),
            True,
            "When you call no function, answer with one JSON object and nothing else: no explanation, no code "
            "block.",
        ),
        (
            ResponseFormat("Joke", SCHEMA, "A joke."),
            False,
            "Answer with one JSON object and nothing else: no explanation, no code block. It is Joke: A joke.\n"
            "It must be valid for this JSON schema; write the object itself, not the schema:\n"
            '{"title": "Joke", "type": "object", "properties": {"setup": {"type": "string"}}}',
        ),
        (
            ResponseFormat("Numbers", {"type": "array", "items": {"type": "integer"}}),
            False,
            "Answer with one JSON list and nothing else: no explanation, no code block.\n"
            "It must be valid for this JSON schema; write the list itself, not the schema:\n"
            '{"type": "array", "items": {"type": "integer"}}',
        ),
        (
            ResponseFormat("Either", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
            False,
            "Answer with one JSON value and nothing else: no explanation, no code block.\n"
            "It must be valid for this JSON schema; write the value itself, not the schema:\n"
            '{"anyOf": [{"type": "integer"}, {"type": "string"}]}',
        ),
    ],
)
def test_the_instructions_for_an_answer_that_is_json(form, with_tools, wanted):
    assert form.instructions(with_tools=with_tools) == wanted
