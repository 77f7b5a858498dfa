"""Tools in every form LangChain takes them, the choice among them, and how the prompt shows them."""

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core._api import suppress_langchain_beta_warning
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langchain_core.tools import tool as as_tool
from parsing import TOOLS, read, tool
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from llama_bedrock.tools.rendering import prefill, render_calls, render_result, render_tools
from llama_bedrock.tools.spec import ToolChoice, ToolSpec, normalise_tool_choice, to_tool_specs


def look_up(city: str, days: int = 1) -> str:
    """Look up the weather.

    Args:
        city: Name of the city.
        days: Days ahead.
    """
    return f"{city} {days}"


class LookUp(BaseModel):
    """Look up the weather."""

    city: str = Field(description="Name of the city.")
    days: int = 1


class LookUpV1(BaseModelV1):
    """Look up the weather."""

    city: str
    days: int = 1


class LookUpDict(TypedDict):
    """Look up the weather."""

    city: str
    days: int


class LookUpTool(BaseTool):
    name: str = "LookUpTool"
    description: str = "Look up the weather."
    args_schema: type[BaseModel] = LookUp

    def _run(self, city: str, days: int = 1) -> str:
        return look_up(city, days)


PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
FORMS: list[tuple[str, Any]] = [
    ("look_up", look_up),
    ("look_up", as_tool(look_up)),
    ("look_up", StructuredTool.from_function(look_up)),
    ("LookUp", LookUp),
    ("LookUpV1", LookUpV1),
    ("LookUpDict", LookUpDict),
    ("LookUpTool", LookUpTool()),
    ("f", {"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}),
    ("f", {"name": "f", "description": "Look up the weather.", "parameters": PARAMETERS}),
    ("f", {"name": "f", "input_schema": PARAMETERS}),
    ("f", {"title": "f", **PARAMETERS}),
    ("f", {"toolSpec": {"name": "f", "inputSchema": {"json": PARAMETERS}}}),
    ("f", {"name": "f", "description": "", "inputSchema": PARAMETERS}),
    ("f", SimpleNamespace(name="f", description=None, inputSchema=PARAMETERS)),
    ("f", ToolSpec("f", "", PARAMETERS)),
]
with suppress_langchain_beta_warning():
    looked = RunnableLambda(lambda given: given["city"]).as_tool(
        name="look", arg_types={"city": str, "days": int}
    )
    FORMS.append(("look", looked))


@pytest.mark.parametrize(("name", "given"), FORMS)
def test_every_form_of_a_tool_gives_its_name_and_parameters(name, given):
    [spec] = to_tool_specs([given])
    assert spec.name == name
    assert list(spec.properties) == ["city", "days"]
    assert spec.properties["days"]["type"] == "integer"
    assert not spec.strict
    assert read(f"[{name}(city='Paris', days='3')]", [given]).calls == [(name, {"city": "Paris", "days": 3})]


def test_descriptions_reach_the_model():
    [spec] = to_tool_specs([LookUp])
    assert spec.description == "Look up the weather."
    assert spec.properties["city"]["description"] == "Name of the city."


def test_a_runnable_is_offered_as_it_is():
    [spec] = to_tool_specs([RunnableLambda(look_up_input, name="look_it_up")])
    assert spec.name == "look_it_up"


def look_up_input(given: LookUpDict) -> str:
    """Look up the weather."""
    return given["city"]


def test_a_tool_with_one_text_as_its_input():
    [spec] = to_tool_specs([Tool(name="echo", description="Echo.", func=str)])
    assert read("[echo('x')]", [spec]).calls[0][0] == "echo"


def test_strict_of_the_call_goes_before_strict_of_the_tool():
    own = {"type": "function", "function": {"name": "f", "parameters": PARAMETERS, "strict": True}}
    assert to_tool_specs([own])[0].strict
    assert not to_tool_specs([own], strict=False)[0].strict
    assert to_tool_specs([look_up], strict=True)[0].strict


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ([{"type": "web_search"}], "built-in tool of another provider"),
        ([{"name": "()", "parameters": {}}], "holds letters or digits"),
        (
            [{"name": "two words", "parameters": {}}, {"name": "two_words", "parameters": {}}],
            "two tools are named",
        ),
        ([look_up, as_tool(look_up)], "two tools are named 'look_up'"),
        ([{"name": "f", "parameters": [1]}], "a JSON schema is needed"),
        ([42], "cannot be offered as a tool"),
        (
            [
                StructuredTool(
                    name="f", description="d", args_schema={"properties": {"x": {"$ref": "#/$defs/None"}}}
                )
            ],
            "tool 'f': its schema cannot be read: Reference",
        ),
        ([partial(look_up, "x")], "cannot be offered as a tool"),
        ([{"type": "object", "properties": {}}], "cannot be offered as a tool"),
    ],
)
def test_what_is_no_tool_is_refused_with_the_reason(tools, reason):
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        to_tool_specs(tools)


@pytest.mark.parametrize(
    ("choice", "mode", "name"),
    [
        (None, "auto", None),
        ("auto", "auto", None),
        ("none", "none", None),
        (False, "none", None),
        ("any", "any", None),
        ("required", "any", None),
        (True, "any", None),
        ("add", "tool", "add"),
        ({"type": "function", "function": {"name": "add"}}, "tool", "add"),
        ({"type": "tool", "name": "add"}, "tool", "add"),
        ({"tool": {"name": "add"}}, "tool", "add"),
        ({"type": "any"}, "any", None),
        ({"any": {}}, "any", None),
        ({"type": "auto"}, "auto", None),
    ],
)
def test_every_form_of_the_choice(choice, mode, name):
    assert normalise_tool_choice(choice, TOOLS) == ToolChoice(mode, name)


def test_any_of_one_tool_is_that_tool():
    assert normalise_tool_choice("any", [tool("only")]) == ToolChoice("tool", "only")


@pytest.mark.parametrize(
    ("choice", "specs", "reason"),
    [
        ("missing", TOOLS, "names no tool that is bound; bound are: get_weather, add, search, now"),
        ("any", (), "none are bound"),
        ({"kind": "x"}, TOOLS, "give 'auto', 'none', 'any'"),
        (3, TOOLS, "give 'auto', 'none', 'any'"),
        ("", TOOLS, "give 'auto', 'none', 'any'"),
    ],
)
def test_a_choice_that_cannot_be_met_is_refused(choice, specs, reason):
    with pytest.raises(ValueError, match=reason):
        normalise_tool_choice(choice, specs)


@pytest.mark.parametrize("dialect", ["pythonic", "json"])
def test_the_prompt_holds_the_functions_as_json(dialect):
    text = render_tools(TOOLS, dialect, choice=ToolChoice())
    functions = json.loads(text[text.index("[\n") :])
    assert functions == [spec.definition() for spec in TOOLS]
    assert "Environment: ipython" not in text


def test_the_prompt_says_when_not_to_call():
    text = render_tools(TOOLS, "pythonic", choice=ToolChoice())
    assert "call nothing" in text
    assert "must call" not in text
    assert "must call add" in render_tools(TOOLS, "pythonic", choice=ToolChoice("tool", "add"))
    assert "at least one" in render_tools(TOOLS, "json", choice=ToolChoice("any"))
    assert "one call at a time" in render_tools(TOOLS, "json", choice=ToolChoice(), parallel=False)
    assert render_tools(TOOLS, "pythonic", choice=ToolChoice("none")) == ""
    assert render_tools((), "pythonic", choice=ToolChoice()) == ""


@pytest.mark.parametrize("dialect", ["pythonic", "json"])
@pytest.mark.parametrize("choice", [ToolChoice("any"), ToolChoice("tool", "get_weather")])
def test_a_forced_call_continues_its_prefill(dialect, choice):
    begun = prefill(choice, dialect)
    [whole] = [
        text
        for text in (
            '[get_weather(city="Paris")]',
            '{"name": "get_weather", "parameters": {"city": "Paris"}}',
        )
        if text.startswith(begun)
    ]
    assert read(whole[len(begun) :], prefix=begun).calls == [("get_weather", {"city": "Paris"})]


def test_nothing_is_prefilled_where_the_model_may_answer():
    assert prefill(ToolChoice("auto"), "pythonic") == prefill(ToolChoice("none"), "json") == ""


def test_past_calls_are_written_as_new_ones_are_asked_for():
    calls = [
        {"name": "search", "args": {"query": 'a "b"\n', "filters": {"k": [None, True, 1.5]}}, "id": "1"},
        {"name": "now", "args": {}, "id": "2"},
    ]
    assert render_calls(calls, "pythonic") == (
        '[search(query="a \\"b\\"\\n", filters={"k": [None, True, 1.5]}), now()]'
    )
    assert [json.loads(line)["name"] for line in render_calls(calls, "json").splitlines()] == [
        "search",
        "now",
    ]


def test_past_calls_of_other_providers_are_written_whatever_they_hold():
    odd = [{"name": "a b(c)", "args": {"two words": 1, "x": {1, 2} & {1}, "y": float("nan")}, "id": "1"}]
    assert render_calls(odd, "pythonic") == '[a_b_c_({"two words": 1, "x": [1], "y": None})]'


def test_past_calls_nested_beyond_all_measure_are_refused():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for dialect in ("pythonic", "json"):
        with pytest.raises(ValueError, match="nested too deep"):
            render_calls([{"name": "f", "args": {"x": deep}, "id": "1"}], dialect)


def test_failed_results_say_so():
    assert render_result("21 °C", name="get_weather") == "21 °C"
    assert (
        render_result("no such city", name="get_weather", status="error")
        == "Error from get_weather: no such city"
    )
    assert render_result("no such city", status="error") == "Error: no such city"
