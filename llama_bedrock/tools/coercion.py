"""Arguments made to fit their schema, where that loses nothing.

Llamas write ``"7"`` for 7 and ``"[1, 2]"`` for a list. A value is only ever replaced by one that says the
same; where that is in doubt it stays as it was written, and validation reports it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llama_bedrock.tools.json_schema import Budget, has_type, is_valid, resolve, same, types_of
from llama_bedrock.tools.parser.source import Unreadable
from llama_bedrock.tools.parser.values import WrittenFloat, WrittenInt, parse_literal

_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d{0,999})(?:\.0+)?\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d{0,99})(?:\.\d{1,99})?(?:[eE][+-]?\d{1,3})?\Z", re.ASCII)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"null", "None", "none", "NULL"})
_EXACT = 2**53


def coerce(value: Any, schema: Any, root: Mapping[str, Any] | None = None) -> Any:
    """Return the value in the type its schema asks for, or as it is where that would lose something.

    Args:
        value: What the model wrote.
        schema: Schema of this value.
        root: The document that ``$ref`` points into; the schema itself if not given.
    """
    if root is None:
        root = schema if isinstance(schema, Mapping) else {}
    return _Coercion(value, root).coerce(value, schema)


class _Coercion:
    """One value, brought to one schema."""

    def __init__(self, value: Any, root: Mapping[str, Any]) -> None:
        self._root = root
        self._budget = Budget(value)

    def coerce(self, value: Any, schema: Any) -> Any:
        schema = resolve(schema, self._root)
        if not schema or not self._budget.spend():
            return value
        for sub in schema.get("allOf") or ():
            value = self.coerce(value, sub)
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                value = self._to_one_of(value, schema[key])
        if "enum" in schema or "const" in schema:
            return _to_option(value, schema.get("enum") or [schema["const"]])
        names = types_of(schema)
        if names and not any(has_type(value, name) for name in names):
            value = _to_type(value, names)
        elif names and isinstance(value, float) and "integer" in names and "number" not in names:
            value = _integer(value)
        if isinstance(value, dict):
            return self._entries(value, schema)
        return self._items(value, schema) if isinstance(value, list) else value

    def _to_one_of(self, value: Any, options: list[Any]) -> Any:
        """Prefer a form that fits as it is, then the first that fits after coercion."""
        for option in options:
            if self._fits(value, option):
                return self.coerce(value, option)
        for option in options:
            converted = self.coerce(value, option)
            if self._fits(converted, option):
                return converted
        return value

    def _fits(self, value: Any, option: Any) -> bool:
        return is_valid(value, option, self._root, self._budget) and self._budget.left > 0

    def _entries(self, value: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        rest = schema.get("additionalProperties")
        return {key: self.coerce(entry, properties.get(key, rest)) for key, entry in value.items()}

    def _items(self, value: list[Any], schema: Mapping[str, Any]) -> list[Any]:
        leading = schema.get("prefixItems") or []
        items = schema.get("items")
        if isinstance(items, list):
            leading, items = items, None
        return [
            self.coerce(entry, leading[number] if number < len(leading) else items)
            for number, entry in enumerate(value)
        ]


def _to_type(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        for name in ("null", "boolean", "integer", "number", "array", "object"):
            if name in names:
                converted = _from_text(value, name)
                if converted is not value:
                    return converted
    elif "string" in names and isinstance(value, (int, float)) and not isinstance(value, bool):
        return value.written if isinstance(value, (WrittenInt, WrittenFloat)) else repr(value)
    return value


def _from_text(text: str, name: str) -> Any:
    """Read a value of this type out of a text; the text itself if it is none."""
    stripped = text.strip()
    if name == "null":
        return None if stripped in _NULLS else text
    if name == "boolean":
        return _BOOLEANS.get(stripped, text)
    if name == "integer":
        return int(stripped.partition(".")[0]) if _INTEGER.match(stripped) else text
    if name == "number":
        return _number(stripped, text)
    if stripped[:1] not in ("{" if name == "object" else "[("):
        return text
    try:
        value = parse_literal(stripped)
    except Unreadable:
        return text
    return value if isinstance(value, dict if name == "object" else list) else text


def _number(stripped: str, text: str) -> Any:
    if not _NUMBER.match(stripped):
        return text
    if stripped.lstrip("+-").isdigit():
        return int(stripped)
    value = float(stripped)
    return text if value in (float("inf"), float("-inf")) else value


def _integer(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _to_option(value: Any, options: list[Any]) -> Any:
    if any(same(value, option) for option in options):
        return next(option for option in options if same(value, option))
    if isinstance(value, str):
        wanted = value.strip()
        alike = [o for o in options if isinstance(o, str) and o.casefold() == wanted.casefold()]
        alike = alike or [o for o in options if not isinstance(o, str) and _written(o) == wanted]
    else:
        alike = [o for o in options if isinstance(o, str) and o == _written(value)]
    return alike[0] if len(alike) == 1 else value


def _written(value: Any) -> str:
    if isinstance(value, (WrittenInt, WrittenFloat)):
        return value.written
    return (
        {True: "true", False: "false", None: "null"}[value]
        if value is None or isinstance(value, bool)
        else repr(value)
    )
