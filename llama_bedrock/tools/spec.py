"""What a caller offers as tools, in one form: name, description, JSON schema; and which of them to call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llama_bedrock.tools.json_schema import properties_of, required_of, resolve, types_of
from llama_bedrock.tools.schema_of_types import flattened, is_recursive, typed_dict_schema

_UNSAFE_IN_NAME = re.compile(r"[\s()\[\]{}<>|\"'`=,;:#\\]+")
_COMBINED = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
_MODES: Mapping[str, Literal["auto", "none", "any"]] = {
    "auto": "auto",
    "none": "none",
    "any": "any",
    "required": "any",
}


def written_name(name: str) -> str:
    """Return a name in the form a call can hold."""
    return _UNSAFE_IN_NAME.sub("_", name)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool as the model is told about it.

    Attributes:
        name: What the model writes to call it.
        description: When to use it.
        parameters: JSON schema of an object, its arguments.
        strict: Arguments that break the schema make the call invalid.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False

    @property
    def properties(self) -> dict[str, Any]:
        """The arguments by name, in the order of the schema."""
        return properties_of(self.parameters, self.parameters)

    @property
    def required(self) -> tuple[str, ...]:
        """The arguments that a call must have."""
        return required_of(self.parameters, self.parameters)

    @property
    def written_name(self) -> str:
        """The name as the model is told it: ``Box_int_`` for ``Box[int]``, which no call could hold."""
        return written_name(self.name)

    def definition(self) -> dict[str, Any]:
        """The tool as OpenAI's function definitions have it."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may or must call, and what.

    Attributes:
        mode: ``"auto"`` the model decides, ``"none"`` it must not call, ``"any"`` it must call something,
            ``"tool"`` it must call `name`.
        name: The tool to call, for mode ``"tool"``.
    """

    mode: Literal["auto", "none", "any", "tool"] = "auto"
    name: str | None = None

    @property
    def forced(self) -> bool:
        """True where an answer without a call is not allowed."""
        return self.mode in ("any", "tool")


def to_tool_specs(tools: Sequence[Any], *, strict: bool | None = None) -> list[ToolSpec]:
    """Convert everything LangChain takes as a tool.

    Args:
        tools: Functions, pydantic classes, TypedDicts, LangChain tools and runnables, JSON schemas with a
            title, tool definitions of OpenAI, Anthropic, Bedrock Converse or MCP, or `ToolSpec`s.
        strict: Validate arguments; None leaves it to each tool's own ``strict`` entry.

    Raises:
        ValueError: A tool has no known form, no name, or that of a different tool.
    """
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise ValueError(f"tools={tools!r}: a list of tools is needed")
    specs: dict[str, ToolSpec] = {}  # by written name
    for tool in tools:
        spec = tool if isinstance(tool, ToolSpec) else _to_spec(tool)
        if strict is not None and spec.strict != strict:
            spec = ToolSpec(spec.name, spec.description, spec.parameters, strict)
        if not any(char.isalnum() for char in spec.name):
            raise ValueError(f"tool name {spec.name!r}: a name holds letters or digits")
        twin = specs.setdefault(spec.written_name, spec)
        if twin is not spec and (twin.name != spec.name or not _is_same(twin, spec)):
            raise ValueError(f"two tools are named {spec.written_name!r}; rename one")
    return list(specs.values())


def with_names_of_their_own(tools: Iterable[Any]) -> list[Any]:
    """The tools of an agent, if none has the name of another: ``create_agent`` offers the last of them alone.

    Raises:
        ValueError: Two tools have one name.
    """
    seen: dict[str, Any] = {}
    offered = list(tools)
    for tool in offered:
        definition = tool.get("function", tool) if isinstance(tool, dict) else {}
        name = definition.get("name") or getattr(tool, "name", None) or getattr(tool, "__name__", None)
        if name and seen.setdefault(name, tool) is not tool:
            raise ValueError(f"two tools are named {name!r}; rename one")
    return offered


def _is_same(one: ToolSpec, other: ToolSpec) -> bool:
    """Whether two specs are one tool given twice, as a class and as its schema: titles may differ."""
    return (
        one.description == other.description
        and list(one.properties) == list(other.properties)
        and one.required == other.required
    )


def _to_spec(tool: Any) -> ToolSpec:
    definition = _mcp_definition(tool)
    if definition is None:
        definition = _langchain_definition(tool)
    name = definition.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"this tool has no name: {tool!r}")
    parameters = definition.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise ValueError(f"tool {name!r}: parameters is {type(parameters).__name__}, a JSON schema is needed")
    kinds = types_of(resolve(parameters, parameters))
    if kinds and "object" not in kinds:
        raise ValueError(
            f"tool {name!r}: its arguments are an object, not {' or '.join(kinds)}; name each one"
        )
    description = definition.get("description") or ""
    return ToolSpec(name, str(description).strip(), dict(parameters), bool(definition.get("strict")))


def _mcp_definition(tool: Any) -> dict[str, Any] | None:
    """Read a tool of the Model Context Protocol: a dict or an object with ``inputSchema``."""
    if isinstance(tool, Mapping):
        name, description, schema = tool.get("name"), tool.get("description"), tool.get("inputSchema")
    elif isinstance(tool, type):
        return None
    else:
        name, description = getattr(tool, "name", None), getattr(tool, "description", None)
        schema = getattr(tool, "inputSchema", None)
    if not isinstance(name, str) or not isinstance(schema, Mapping):
        return None
    return {"name": name, "description": description, "parameters": dict(schema)}


def _langchain_definition(tool: Any) -> dict[str, Any]:
    from langchain_core._api import suppress_langchain_beta_warning
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from langchain_core.utils.function_calling import convert_to_openai_tool
    from typing_extensions import is_typeddict

    if isinstance(tool, Runnable) and not isinstance(tool, BaseTool):
        with suppress_langchain_beta_warning():
            tool = tool.as_tool()
    if isinstance(tool, type) and is_typeddict(tool):
        schema = typed_dict_schema(tool)
        about = {key: schema.pop(key, "") for key in ("title", "description")}
        return {"name": about["title"], "description": about["description"], "parameters": schema}
    if isinstance(tool, Mapping) and "title" in tool and _COMBINED & tool.keys():
        # LangChain keeps nothing but the properties that stand at the top.
        schema = {key: value for key, value in tool.items() if key not in ("title", "description", "strict")}
        about = {key: tool.get(key) for key in ("description", "strict")}
        return {"name": tool["title"], "parameters": flattened(schema), **about}
    try:
        converted = convert_to_openai_tool(tool)
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise ValueError(f"{tool!r} cannot be offered as a tool: {error}") from error
    except LookupError as error:  # a $ref to what is not there, in the schema of somebody's MCP server
        name = getattr(tool, "name", None) or tool
        raise ValueError(f"tool {name!r}: its schema cannot be read: {error.args[0]}") from error
    function = converted.get("function", converted)
    if not isinstance(function, dict) or "name" not in function:
        kind = converted.get("type")
        raise ValueError(f"{kind!r} is a built-in tool of another provider; Llama cannot call it")
    if converted.get("type") == "custom":
        return {**function, "parameters": _single_text_parameter()}
    if (whole := _recursive_parameters(tool, function.get("parameters"))) is not None:
        function = {**function, "parameters": whole}
    return function if "strict" in function else {**function, "strict": converted.get("strict", False)}


def _recursive_parameters(tool: Any, converted: Any) -> dict[str, Any] | None:
    """Write the parameters of a tool whose types hold themselves, which LangChain cuts short; else None."""
    from langchain_core.tools import BaseTool
    from langchain_core.tools.base import create_schema_from_function
    from pydantic import BaseModel

    source: Any = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if not isinstance(source, (type, Mapping)) and callable(source):
        source = create_schema_from_function(source.__name__, source, filter_args=())
    if isinstance(source, type) and issubclass(source, BaseModel):
        schema: Any = source.model_json_schema()
    elif isinstance(source, Mapping):
        schema = next((source[key] for key in ("parameters", "input_schema") if key in source), source)
        schema = schema if isinstance(schema, Mapping) else {}
    else:
        return None
    if not is_recursive(schema):
        return None
    parameters = flattened(dict(schema))
    for key in ("title", "description"):
        parameters.pop(key, None)
    known = converted.get("properties", {}) if isinstance(converted, Mapping) else {}
    for name, property_ in parameters.get("properties", {}).items():
        described = known.get(name, {}).get("description")
        if described and "description" not in property_:
            property_["description"] = described
    return parameters


def _single_text_parameter() -> dict[str, Any]:
    return {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def normalise_tool_choice(choice: Any, specs: Sequence[ToolSpec]) -> ToolChoice:
    """Read LangChain's ``tool_choice`` in each of its forms.

    ``"any"`` with a single tool means that tool: its name can then be written for the model.

    Args:
        choice: None, a bool, ``"auto"``, ``"none"``, ``"any"``, ``"required"``, the name of a tool, or a dict
            of OpenAI's, Anthropic's or Bedrock's form.
        specs: The tools offered.

    Raises:
        ValueError: The form is unknown, or no such tool is offered.
    """
    mode, name = _read_choice(choice)
    if mode == "any" and len(specs) == 1:
        mode, name = "tool", specs[0].name
    if mode in ("any", "tool") and not specs:
        raise ValueError(f"tool_choice={choice!r} needs tools; none are bound")
    if mode == "tool" and all(spec.name != name for spec in specs):
        offered = ", ".join(spec.name for spec in specs)
        raise ValueError(f"tool_choice={choice!r} names no tool that is bound; bound are: {offered}")
    return ToolChoice(mode, name)


def _read_choice(choice: Any) -> tuple[Literal["auto", "none", "any", "tool"], str | None]:
    if choice is None:
        return "auto", None
    if isinstance(choice, bool):
        return ("any" if choice else "none"), None
    if isinstance(choice, str) and choice:
        return (_MODES[choice], None) if choice in _MODES else ("tool", choice)
    if isinstance(choice, Mapping):
        for key in ("function", "tool"):
            inner = choice.get(key)
            if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
                return "tool", inner["name"]
        if isinstance(choice.get("name"), str):
            return "tool", choice["name"]
        kind = choice.get("type", next(iter(choice), None))
        if kind in _MODES:
            return _MODES[kind], None
    raise ValueError(
        f"tool_choice={choice!r}: give 'auto', 'none', 'any', 'required', a bool, a tool's name, "
        "or {'type': 'function', 'function': {'name': …}}"
    )
