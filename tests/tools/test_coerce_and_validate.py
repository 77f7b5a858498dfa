"""Arguments brought to their schema without loss, and violations in words; jsonschema is the judge."""

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.tools.coercion import coerce
from llama_bedrock.tools.json_schema import is_valid, violations
from llama_bedrock.tools.parser.values import parse_literal

INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
BOOLEAN, LIST, OBJECT = {"type": "boolean"}, {"type": "array"}, {"type": "object"}
OPTIONAL = {"anyOf": [INTEGER, {"type": "null"}]}
POINT = {"type": "object", "properties": {"x": INTEGER}, "required": ["x"]}
ROOT = {
    "$defs": {
        "Point": POINT,
        "Tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Tree"}, "v": INTEGER}},
    }
}

COERCED = [
    ("7", INTEGER, 7),
    (" 7 ", INTEGER, 7),
    ("-7", INTEGER, -7),
    ("3.0", INTEGER, 3),
    (3.0, INTEGER, 3),
    ("12345678901234567890123", INTEGER, 12345678901234567890123),
    ("1.5", NUMBER, 1.5),
    ("2", NUMBER, 2),
    ("-2.5e-3", NUMBER, -0.0025),
    ("True", BOOLEAN, True),
    ("false", BOOLEAN, False),
    ("null", {"type": "null"}, None),
    ("[1, 2]", LIST, [1, 2]),
    ('["a"]', LIST, ["a"]),
    ("(1, 2)", LIST, [1, 2]),
    ("{'a': 1}", OBJECT, {"a": 1}),
    ('{"a": true}', OBJECT, {"a": True}),
    (5, TEXT, "5"),
    (1.5, TEXT, "1.5"),
    (["1", 2.0], {"type": "array", "items": INTEGER}, [1, 2]),
    (["1", "x"], {"type": "array", "prefixItems": [INTEGER, TEXT]}, [1, "x"]),
    ({"x": "1"}, POINT, {"x": 1}),
    ({"x": "1", "y": "2"}, {"type": "object", "additionalProperties": INTEGER}, {"x": 1, "y": 2}),
    ("{'x': '1'}", {"$ref": "#/$defs/Point"}, {"x": 1}),
    ({"next": {"next": {"v": "1"}}}, {"$ref": "#/$defs/Tree"}, {"next": {"next": {"v": 1}}}),
    ("5", OPTIONAL, 5),
    ("None", OPTIONAL, None),
    ("5", {"type": ["integer", "null"]}, 5),
    ("5", {"anyOf": [INTEGER, TEXT]}, "5"),
    ("[1]", {"anyOf": [{"type": "array", "items": INTEGER}, {"type": "null"}]}, [1]),
    ("5", {"allOf": [INTEGER, {"minimum": 1}]}, 5),
    ("Celsius", {"enum": ["celsius", "kelvin"]}, "celsius"),
    ("1", {"enum": [1, 2]}, 1),
    (1, {"enum": ["1", "2"]}, "1"),
    ("true", {"enum": [True]}, True),
    ("null", {"enum": [None, "x"]}, None),
    ("5", {"const": 5}, 5),
    ("5", {"type": "int"}, 5),
]

KEPT = [
    ("two", INTEGER),
    ("3.5", INTEGER),
    (3.5, INTEGER),
    ("007", INTEGER),
    ("1,000", INTEGER),
    ("", INTEGER),
    ("1e999", NUMBER),
    ("nan", NUMBER),
    ("yes", BOOLEAN),
    (1, BOOLEAN),
    (True, INTEGER),
    (True, TEXT),
    ("a, b", LIST),
    ("[1, 2", LIST),
    ("[1] and more", LIST),
    ("not {an object}", OBJECT),
    ([1], OBJECT),
    ({"a": 1}, LIST),
    (None, TEXT),
    ("red", {"enum": ["celsius", "kelvin"]}),
    ("Ab", {"enum": ["ab", "AB"]}),
    ("x", OPTIONAL),
    ("5", {}),
    ("5", {"$ref": "#/$defs/Missing"}),
    ("5", {"$ref": "https://example.com/schema"}),
    ("x" * 5000, INTEGER),
]  # fmt: skip


@pytest.mark.parametrize(("value", "schema", "wanted"), COERCED)
def test_is_brought_to_its_schema(value, schema, wanted):
    got = coerce(value, schema, ROOT)
    assert got == wanted
    assert type(got) is type(wanted)


@pytest.mark.parametrize(("value", "schema"), KEPT)
def test_stays_as_it_was_written_where_that_would_lose_something(value, schema):
    got = coerce(value, schema, ROOT)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("written", ["1.10", "1_000", "0x1F", "+5", "007", "1e3"])
def test_text_keeps_the_number_as_it_was_written(written):
    assert coerce(parse_literal(written), TEXT) == written


def test_arguments_are_coerced_each_by_its_schema():
    parameters = {"type": "object", "properties": {"a": INTEGER, "p": {"$ref": "#/$defs/Point"}}, **ROOT}
    assert coerce({"a": "1", "p": "{'x': '2'}", "other": "3"}, parameters) == {
        "a": 1,
        "p": {"x": 2},
        "other": "3",
    }


SCHEMAS = st.recursive(
    st.sampled_from([INTEGER, NUMBER, TEXT, BOOLEAN, {"type": "null"}, {}, {"enum": ["a", 1, None]}, {"const": "1"},
                     {"type": "integer", "minimum": 2, "exclusiveMaximum": 9}, {"type": "string", "maxLength": 2},
                     {"type": "string", "pattern": "^a"}, {"type": ["integer", "null"]}, {"not": TEXT}]),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items, "maxItems": 2}, inner),
        st.builds(lambda items: {"type": "array", "uniqueItems": True, "prefixItems": [items]}, inner),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
        st.builds(lambda a, b: {"oneOf": [a, b]}, inner, inner),
        st.builds(lambda a, b: {"allOf": [a, b]}, inner, inner),
        st.builds(lambda a, rest: {"type": "object", "properties": {"a": a}, "required": ["a"],
                                   "additionalProperties": rest}, inner, inner | st.booleans()),
        st.builds(lambda a: {"type": "object", "patternProperties": {"^a": a}, "minProperties": 1}, inner),
    ),
    max_leaves=4,
)  # fmt: skip
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, 5, 9, 1.5, 2.0, "", "a", "1", "true", "abc", "[1]"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "ab"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "schema",
    [{"uniqueItems": True}, {"enum": [1, None]}, {"const": True}, {"const": [1]}, {"enum": [{"a": True}]}],
)
@pytest.mark.parametrize(
    "value",
    [
        1,
        1.0,
        True,
        [1, 1.0],
        [1, True],
        [{"a": 1}, {"a": 1.0}],
        [1],
        [1.0],
        [True],
        [1, 1],
        {"a": 1},
        {"a": True},
        {"b": True},
    ],
)
def test_numbers_are_no_truth_values_wherever_they_stand(value, schema):
    assert is_valid(value, schema, schema) == jsonschema.Draft202012Validator(schema).is_valid(value)


@settings(max_examples=600, deadline=None)
@given(VALUES, SCHEMAS)
def test_validation_agrees_with_jsonschema(value, schema):
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert is_valid(value, schema, schema) == valid
    assert (violations(value, schema, schema) == []) == valid


@settings(max_examples=400, deadline=None)
@given(VALUES, SCHEMAS)
def test_coercion_never_spoils_what_was_valid(value, schema):
    coerced = coerce(value, schema)
    if is_valid(value, schema, schema):
        assert is_valid(coerced, schema, schema)
    assert coerce(coerced, schema) == coerced


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        ("two", INTEGER, ["n must be an integer, not 'two'"]),
        ({}, POINT, ["n.x is missing"]),
        ({"x": 1, "z": 2}, {**POINT, "additionalProperties": False}, ["n.z is not known; known are: x"]),
        ("red", {"enum": ["a", "b"]}, ["n must be one of 'a', 'b', not 'red'"]),
        (5, {"maximum": 3}, ["n must be at most 3, not 5"]),
        ([1, "x"], {"items": INTEGER}, ["n[1] must be an integer, not 'x'"]),
        ([1], {"minItems": 2}, ["n has 1 items, at least 2 are needed"]),
        ("x", OPTIONAL, ["n must be an integer, not 'x' or n must be null, not 'x'"]),
    ],
)
def test_violations_say_what_is_wrong(value, schema, words):
    assert violations(value, schema, schema, path="n") == words


def test_a_schema_that_refers_to_itself_everywhere_ends():
    tree = {
        "anyOf": [
            {"type": "object", "properties": {"c": {"$ref": "#/$defs/T"}}, "required": [key]} for key in "yz"
        ]
    }
    root = {"$ref": "#/$defs/T", "$defs": {"T": tree, "Loop": {"$ref": "#/$defs/Loop"}}}
    value = "x"
    for _ in range(60):
        value = {"c": value}
    assert coerce(value, root) == value
    assert coerce("5", {"$ref": "#/$defs/Loop"}, root) == "5"
