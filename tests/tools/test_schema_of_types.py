"""TypedDicts, generic and recursive types, and schemas put together: shown whole, checked and coerced."""

import typing
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import jsonschema
import pytest
import typing_extensions
from langchain_core.tools import tool as as_tool
from parsing import read
from pydantic import BaseModel, Field

from llama_bedrock.structured_output import OutputSchema
from llama_bedrock.tools.rendering import prefill, render_calls, render_tools
from llama_bedrock.tools.spec import ToolChoice, ToolSpec, to_tool_specs

T = TypeVar("T")


class Movie(typing.TypedDict):
    """A film.

    Args:
        title: What it is called.
    """

    title: str
    year: typing_extensions.NotRequired[int]


class Sequel(Movie, total=False):
    """A film that follows one."""

    of: typing_extensions.Required[Movie]
    number: Annotated[int, ..., "Counted from 2."]
    cast: "list[Actor]"


class Actor(typing_extensions.TypedDict):
    name: str
    films: typing_extensions.NotRequired[list[Movie]]
    friends: typing_extensions.NotRequired["dict[str, Actor] | None"]


class Node(BaseModel):
    """A tree."""

    value: int = Field(description="What it holds.")
    children: list["Node"] = []


class Box(BaseModel, Generic[T]):
    """A box."""

    item: T


MOVIE = {"title": {"type": "string", "description": "What it is called."}, "year": {"type": "integer"}}


def test_a_typed_dict_is_a_tool_and_an_output():
    [spec] = to_tool_specs([Movie])
    assert (spec.name, spec.description) == ("Movie", "A film.")
    assert spec.parameters == {"type": "object", "properties": MOVIE, "required": ["title"]}
    output = OutputSchema.of(Movie)
    assert output.parameters["properties"] == MOVIE
    assert output.convert({"title": "Up"}) == {"title": "Up"}
    with pytest.raises(ValueError, match="title is missing"):
        output.convert({"year": 2009})


def test_a_typed_dict_that_inherits_nests_and_refers_to_itself():
    [spec] = to_tool_specs([Sequel])
    assert spec.required == ("title", "of")
    assert spec.properties["number"] == {"type": "integer", "description": "Counted from 2."}
    assert spec.properties["of"]["properties"] == MOVIE
    good = {"title": "b", "of": {"title": "a"}, "cast": [{"name": "x", "friends": {"y": {"name": "y"}}}]}
    jsonschema.validate(good, spec.parameters)
    for bad in (
        {**good, "cast": [{}]},
        {**good, "cast": [{"name": "x", "friends": {"y": {}}}]},
        {"title": "b"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, spec.parameters)
    call = "[Sequel(title='b', of={'title': 'a', 'year': '1999'}, number='2')]"
    assert read(call, [spec]).calls[0][1] == {"title": "b", "of": {"title": "a", "year": 1999}, "number": 2}


def use(node: Node) -> str:
    """Use a tree.

    Args:
        node: The root.
    """
    return str(node)


@pytest.mark.parametrize("given", [Node, use, as_tool(use), {"title": "Node", **Node.model_json_schema()}])
def test_a_tool_whose_type_holds_itself_is_shown_whole(given):
    [spec] = to_tool_specs([given])
    node = {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]}
    wrong = {"value": 1, "children": [{"value": 2, "children": [{}]}]}
    wrap = (lambda value: {"node": value}) if spec.name == "use" else (lambda value: value)
    jsonschema.validate(wrap(node), spec.parameters)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrap(wrong), spec.parameters)
    # as it is bound and read again
    [again] = to_tool_specs([{"type": "function", "function": spec.definition()}])
    assert again.parameters == spec.parameters


@pytest.mark.parametrize("dialect", ["pythonic", "json"])
@pytest.mark.parametrize(
    ("given", "written"),
    [(Box[int], "Box_int_"), ({"title": "my tool", "type": "object", "properties": {}}, "my_tool")],
)
def test_names_that_no_call_can_hold_are_shown_as_ones_that_can(dialect, given, written):
    [spec] = to_tool_specs([given])
    choice = ToolChoice("tool", spec.name)
    assert f'"name": "{written}"' in render_tools([spec], dialect, choice=choice)
    assert f"must call {written}." in render_tools([spec], dialect, choice=choice)
    begun = prefill(choice, dialect)
    assert written in begun
    args = {"item": 1} if "Box" in written else {}
    past = render_calls([{"name": spec.name, "args": args, "id": "1"}], dialect)
    assert read(past, [spec]).calls == [(spec.name, args)]
    assert read(past, [spec], prefix=begun).calls == [(spec.name, args)]


COMPOSED = [
    {"anyOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "integer"}}, "required": ["b"]}]},
    {"oneOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "integer"}}, "required": ["b"]}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "integer"}}}]},
    {"$ref": "#/$defs/X", "$defs": {"X": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}}},
    {"properties": {"b": {}}, "allOf": [{"$ref": "#/$defs/X"}], "$defs": {"X": {"properties": {"a": {"type": "integer"}}}}},
]  # fmt: skip


@pytest.mark.parametrize("schema", COMPOSED)
def test_properties_of_a_schema_put_together_are_known(schema):
    spec = ToolSpec("f", "", schema)
    assert set(spec.properties) == {"a", "b"}
    assert read('[f(a="7")]', [spec], strict=True).calls == [("f", {"a": 7})]
    assert read("[f(7)]", [spec]).calls == [
        ("f", {"a" if "b" not in schema.get("properties", {}) else "b": 7})
    ]
    [(_, error)] = read("[f(a=7, c=1)]", [spec], strict=True).invalid
    assert error == f"c is not known; known are: {', '.join(spec.properties)}"
    [given] = to_tool_specs([{"title": "F", "description": "About F.", **schema}])
    assert (given.name, given.description) == ("F", "About F.")
    assert set(given.properties) == {"a", "b"}
    output = OutputSchema.of({"title": "F", **schema}, strict=True)
    assert output.convert({"a": "7"}) == {"a": 7}
    with pytest.raises(ValueError, match="c is not known"):
        output.convert({"a": 7, "c": 1})


@dataclass
class Point:
    x: int
    y: int = 0


@pytest.mark.parametrize(
    "given", [Movie, Node, Point, {"title": "L", "type": "array", "items": {"type": "integer"}}]
)
def test_a_runnable_of_structured_output_says_what_it_takes_and_gives(given):
    from llama_bedrock import ChatLlamaBedrock

    llm = ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0", region_name="us-east-2")
    structured = llm.with_structured_output(given)
    assert structured.InputType == llm.InputType
    kind = given if isinstance(given, type) else list[typing.Any]
    assert structured.OutputType in (kind, dict[str, typing.Any])
    output = OutputSchema.of(given)
    assert structured.get_output_jsonschema() == {"title": output.name, **output.parameters}
    assert structured.get_input_jsonschema()["title"]
    assert structured.get_output_schema()
    raw = llm.with_structured_output(given, include_raw=True)
    assert raw.OutputType == dict[str, typing.Any]
    assert raw.get_output_jsonschema()["type"] == "object"


@pytest.mark.parametrize(
    "given", [{"title": "numbers", "type": "array", "$ref": "#/$defs/N", "$defs": {"N": {}}}]
)
def test_a_tool_whose_arguments_are_no_object_is_refused(given):
    with pytest.raises(ValueError, match="its arguments are an object, not array"):
        to_tool_specs([given])
