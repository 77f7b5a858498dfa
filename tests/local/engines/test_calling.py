"""Which tools a request calls for, told from its words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock.local.engines.calling import closest_tool, plan_calls
from llama_bedrock.tools.spec import ToolSpec


def tool(name, description, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSpec(name, description, schema)


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
WEATHER = tool("get_weather", "Get the weather at a location.", location=TEXT)
ADD = tool("add", "Add two numbers.", a=WHOLE, b=WHOLE)
MULTIPLY = tool("multiply", "Multiply two numbers.", a=WHOLE, b=WHOLE)
SEARCH = tool(
    "search_documents", "Search the documents. Returns the passages that fit the query.", query=TEXT
)
EMAIL = tool("send_email", "Send an email.", to=TEXT, subject=TEXT, body=TEXT)
MAGIC = tool("magic_function", "Apply a magic function to an input.", input=WHOLE)
ALL = [WEATHER, ADD, MULTIPLY, SEARCH, EMAIL, MAGIC]


def calls(request, tools=ALL, **options):
    return [(call.name, call.args) for call in plan_calls(request, tools, **options)]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("What is the weather in Oslo?", [("get_weather", {"location": "Oslo"})]),
        ("Is it raining in Berlin?", [("get_weather", {"location": "Berlin"})]),
        (
            "What is the weather in Paris, London and in Tokyo?",
            [("get_weather", {"location": city}) for city in ("Paris", "London", "Tokyo")],
        ),
        (
            "What is 3 times 4 and what is the weather in Oslo?",
            [("multiply", {"a": 3, "b": 4}), ("get_weather", {"location": "Oslo"})],
        ),
        ("What is 3 + 4?", [("add", {"a": 3, "b": 4})]),
        (
            "Please add 2 and 3, then multiply 4 by 5.",
            [("add", {"a": 2, "b": 3}), ("multiply", {"a": 4, "b": 5})],
        ),
        ("What is the value of magic_function(3)? Use the tool.", [("magic_function", {"input": 3})]),
        ("How long is parental leave?", [("search_documents", {"query": "How long is parental leave?"})]),
        ("Hello!", []),
        ("Thanks a lot", []),
        ("Who are you?", []),
    ],
)
def test_a_request_is_turned_into_calls(request_, expected):
    assert calls(request_) == expected


@pytest.mark.parametrize(
    "request_", ["Tell me a joke", "Who won the world cup in 2010?", "Write a poem about spring"]
)
def test_no_tool_that_fits_no_call(request_):
    assert calls(request_, [WEATHER, ADD]) == []


def test_an_elliptical_request_means_the_tool_called_last():
    assert calls("And in Oslo?", [WEATHER, ADD], earlier=["add", "get_weather"]) == [
        ("get_weather", {"location": "Oslo"})
    ]
    assert calls("And in Oslo?", [WEATHER, ADD]) == []


def test_what_a_request_does_not_say_is_named():
    (call,) = plan_calls("Send an email to bob@example.com", [EMAIL])
    assert call.missing == ("body",)
    (call,) = plan_calls("What is the weather?", [WEATHER])
    assert call.missing == ("location",)


def test_the_closest_tool_is_taken_where_one_must_be_called():
    assert closest_tool("Hello!", ALL) in ALL
    assert closest_tool("multiply something", ALL) is MULTIPLY


@given(st.text(max_size=80))
def test_any_request_gives_calls_to_tools_that_are_offered(request_):
    for call in plan_calls(request_, ALL):
        spec = next(spec for spec in ALL if spec.name == call.name)
        assert set(call.args) == set(spec.properties)
