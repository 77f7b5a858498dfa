"""JSON schemas filled from what a text says."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock.local.engines.filling import fill
from llama_bedrock.local.engines.mentions import find_mentions

TEXT, WHOLE, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}


def schema(*, required=None, **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Weather in San Francisco, CA?", [("name", "Weather"), ("name", "San Francisco, CA")]),
        ("in Paris, London and Tokyo", [("name", "Paris"), ("name", "London"), ("name", "Tokyo")]),
        ("What's Anna's age?", [("name", "Anna")]),
        ("pay $1,200.50 for two", [("number", "1,200.50"), ("number", "two")]),
        ("by March 3, 2025 at 5:30 pm", [("date", "March 3, 2025"), ("time", "5:30 pm")]),
        ("is 3 + 4 * 2", [("expression", "3 + 4 * 2"), ("number", "3"), ("number", "4"), ("number", "2")]),
        ("write 'see you' to bob@x.org", [("quoted", "see you"), ("email", "bob@x.org")]),
        ("open https://a.b/c.", [("url", "https://a.b/c")]),
        ("it's don't won't", []),
        ("「こんにちは」 über éa", [("quoted", "こんにちは")]),
        ("-5 and +3.5", [("number", "-5"), ("number", "+3.5")]),
    ],
)
def test_mentions_of_a_text(text, found):
    assert [(mention.kind, mention.text) for mention in find_mentions(text)] == found


@pytest.mark.parametrize(
    ("fields", "text", "value"),
    [
        (
            schema(location=TEXT),
            "What is the weather in San Francisco, CA?",
            {"location": "San Francisco, CA"},
        ),
        (schema(a=WHOLE, b=WHOLE), "What is 3 + 4", {"a": 3, "b": 4}),
        (schema(expression=TEXT), "What is (3 + 4) * 2?", {"expression": "(3 + 4) * 2"}),
        (
            schema(origin=TEXT, destination=TEXT, date=TEXT, passengers=WHOLE, max_price=NUMBER),
            "Book a flight from New York to Los Angeles on March 3, 2025 for two people, max price $1,200.50",
            {
                "origin": "New York",
                "destination": "Los Angeles",
                "date": "March 3, 2025",
                "passengers": 2,
                "max_price": 1200.5,
            },
        ),
        (
            schema(to=TEXT, subject=TEXT, body=TEXT),
            "Send an email to bob@x.org with subject 'Hi' saying \"see you\"",
            {"to": "bob@x.org", "subject": "Hi", "body": "see you"},
        ),
        (schema(query=TEXT), "Please search the documents for vacation days", {"query": "vacation days"}),
        (
            schema(text=TEXT, language=TEXT),
            "Translate 'good morning' into French",
            {"text": "good morning", "language": "French"},
        ),
        (
            schema(name=TEXT, age=WHOLE, city=TEXT),
            "Anna is 31 years old and lives in Oslo.",
            {"name": "Anna", "age": 31, "city": "Oslo"},
        ),
        (schema(name=TEXT, age=WHOLE), "name: Bob Lee, age: 7", {"name": "Bob Lee", "age": 7}),
        (
            schema(hobbies={"type": "array", "items": TEXT}),
            "My hobbies: chess, tennis and reading.",
            {"hobbies": ["chess", "tennis", "reading"]},
        ),
        (schema(values={"type": "array", "items": WHOLE}), "Sort 3, 1 and 2", {"values": [3, 1, 2]}),
        (
            schema(unit={"enum": ["celsius", "fahrenheit"]}, city=TEXT),
            "How warm is it in Oslo, in fahrenheit?",
            {"unit": "fahrenheit", "city": "Oslo"},
        ),
        (
            schema(tags={"type": "array", "items": {"enum": ["red", "blue", "green"]}}),
            "a red and green flag",
            {"tags": ["red", "green"]},
        ),
        (
            schema(urgent=FLAG, title=TEXT),
            "An urgent ticket titled 'Printer'",
            {"urgent": True, "title": "Printer"},
        ),
        (schema(urgent=FLAG), "It is not urgent.", {"urgent": False}),
        (schema(kind={"const": "x"}), "anything", {"kind": "x"}),
        (
            schema(code={"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"}),
            "Ticket ABC-42 is open",
            {"code": "ABC-42"},
        ),
        (
            {**schema(person={"$ref": "#/$defs/P"}), "$defs": {"P": schema(name=TEXT, height=NUMBER)}},
            "Anna is 1.72 meters tall.",
            {"person": {"name": "Anna", "height": 1.72}},
        ),
    ],
)
def test_fields_take_the_values_that_fit_them(fields, text, value):
    filling = fill(fields, text)
    assert filling.value == value
    assert filling.missing == []


def test_what_the_text_does_not_say_is_left_out_or_null_or_a_default():
    optional = {"anyOf": [TEXT, {"type": "null"}], "default": None}
    assert fill(schema(required=["a"], a=WHOLE, b=WHOLE), "take 3").value == {"a": 3}
    assert fill(schema(required=[], date=optional), "no day is named").value == {}
    assert fill(schema(date={"anyOf": [TEXT, {"type": "null"}]}), "xyz").value["date"] is not NotImplemented
    assert fill(schema(n={**WHOLE, "default": 5}), "nothing").value == {"n": 5}


def test_required_fields_without_a_value_are_named():
    filling = fill(schema(location=TEXT, days=WHOLE), "what is the weather?")
    assert filling.missing == ["days", "location"] or filling.missing == ["location", "days"]
    assert set(filling.value) == {"location", "days"}


def test_a_value_is_used_once_and_bounds_are_kept():
    bounded = schema(stars={**WHOLE, "minimum": 1, "maximum": 5}, pages=WHOLE)
    assert fill(bounded, "300 pages, 4 stars").value == {"stars": 4, "pages": 300}


SCHEMAS = st.recursive(
    st.sampled_from(
        [TEXT, WHOLE, NUMBER, FLAG, {"enum": ["a", "b"]}, {"type": "null"}, {"type": "array", "items": TEXT}]
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(["name", "city", "n", "body", "when"]), inner, max_size=3
    ).map(lambda fields: schema(**fields)),
    max_leaves=8,
)


@given(
    fields=st.dictionaries(st.sampled_from(["a", "city", "query", "items"]), SCHEMAS, max_size=4),
    text=st.text(max_size=80),
)
def test_any_schema_filled_from_any_text_is_valid(fields, text):
    wanted = schema(**fields)
    jsonschema.validate(fill(wanted, text).value, wanted)


def test_a_schema_that_refers_to_itself_ends():
    tree = {"$ref": "#/$defs/T", "$defs": {"T": schema(name=TEXT, child={"$ref": "#/$defs/T"})}}
    assert fill(tree, "Anna").value["name"] == "Anna"
