"""The schema a caller gives for structured output, and the way from a JSON value to its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llama_bedrock.tools.json_schema import violations
from llama_bedrock.tools.json_writer import unwrap

_PARAMETERS = ("parameters", "input_schema", "schema")
"""Where OpenAI and Anthropic put the JSON schema of a tool, and OpenAI that of a response format."""


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """What the caller gave as a schema, and how a value becomes an object of it.

    Attributes:
        given: The caller's schema: a pydantic class (2 or 1), a TypedDict, a dataclass or a JSON schema.
        name: Its name.
        description: What it is for.
        parameters: The same as a JSON schema.
        strict: Nothing beside the schema is allowed.
    """

    given: Any
    name: str
    description: str
    parameters: dict[str, Any] = field(repr=False)
    strict: bool = False

    @classmethod
    def of(cls, schema: Any, *, strict: bool = False) -> OutputSchema:
        """Read a schema.

        Raises:
            ValueError: It is none of the known forms.
        """
        if isinstance(schema, Mapping):
            return cls._of_mapping(schema, strict)
        if not isinstance(schema, type):
            raise ValueError(
                f"schema={schema!r}: give a pydantic class, a TypedDict, a dataclass or a JSON schema"
            )
        parameters = _json_schema(schema)
        name = str(parameters.get("title") or schema.__name__)
        return cls(schema, name, str(parameters.get("description") or ""), parameters, strict)

    @classmethod
    def _of_mapping(cls, schema: Mapping[str, Any], strict: bool) -> OutputSchema:
        function = schema.get("json_schema", schema.get("function", schema))
        parameters = next((function[key] for key in _PARAMETERS if key in function), None)
        if isinstance(function.get("name"), str) and isinstance(parameters, Mapping):
            description = function.get("description") or ""
            return cls(schema, function["name"], str(description), dict(parameters), strict)
        if "type" not in schema and not {"properties", "anyOf", "oneOf", "allOf", "$ref"} & set(schema):
            raise ValueError(f"schema={dict(schema)!r} is no JSON schema: it has no type and no properties")
        name, description = schema.get("title") or "answer", schema.get("description") or ""
        return cls(schema, str(name), str(description), dict(schema), strict)

    def convert(self, value: Any, *, partial: bool = False) -> Any:
        """Make an object of the caller's type of a JSON value.

        Args:
            value: What the model wrote.
            partial: More of it will come: what is missing is no fault yet for dicts.

        Raises:
            ValueError: The value does not fit the schema; the message says where.
        """
        if partial and not self.is_class:
            return value
        value = unwrap(value, self.parameters)
        if self.is_class:
            return _validate_class(self.given, value)
        schema: Mapping[str, Any] = self.parameters
        if self.strict and "properties" in schema:
            schema = {"additionalProperties": False, **schema}
        if faults := violations(value, schema, self.parameters):
            raise ValueError("; ".join(faults))
        return value

    @property
    def is_class(self) -> bool:
        """True where objects of a class come out, not dicts."""
        return isinstance(self.given, type) and not _is_typed_dict(self.given)

    def tool(self) -> dict[str, Any]:
        """The schema as a tool, for the method ``function_calling``."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description or f"Give the answer as {self.name}.",
                "parameters": self.parameters,
            },
        }


def _is_typed_dict(schema: type) -> bool:
    return issubclass(schema, dict) and hasattr(schema, "__total__")


def _is_pydantic_v1(schema: type) -> bool:
    return not hasattr(schema, "model_validate") and hasattr(schema, "parse_obj")


def _json_schema(schema: type) -> dict[str, Any]:
    if _is_typed_dict(schema):
        from langchain_core.utils.function_calling import convert_to_openai_function

        function = convert_to_openai_function(schema)
        about = {"title": function["name"], "description": function.get("description", "")}
        return {**function.get("parameters", {"type": "object", "properties": {}}), **about}
    if _is_pydantic_v1(schema):
        return dict(schema.schema())  # type: ignore[attr-defined]
    from pydantic import BaseModel, TypeAdapter
    from pydantic.errors import PydanticUserError

    if issubclass(schema, BaseModel):
        return schema.model_json_schema()
    try:
        return TypeAdapter(schema).json_schema()
    except PydanticUserError as error:
        raise ValueError(f"schema={schema!r} has no JSON schema: {error}") from error


def _validate_class(schema: Any, value: Any) -> Any:
    """Make an object of the class; `ValidationError` of both pydantics is a `ValueError`."""
    if _is_pydantic_v1(schema):
        return schema.parse_obj(value)
    if hasattr(schema, "model_validate"):
        return schema.model_validate(value)
    from pydantic import TypeAdapter

    return TypeAdapter(schema).validate_python(value)
