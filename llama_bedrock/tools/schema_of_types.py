"""Python types to JSON schemas, where LangChain's conversion falls short: TypedDicts and recursive types.

`convert_to_openai_function` refuses TypedDicts with ``NotRequired`` and ``Required``, and shows a type that
holds itself as ``{}``. Pydantic reads no ``typing.TypedDict`` before Python 3.12.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import ReadOnly, get_type_hints, is_typeddict

_QUALIFIERS = (Required, NotRequired, ReadOnly)
_LISTS = (list, set, frozenset)


def typed_dict_schema(given: type) -> dict[str, Any]:
    """Write the JSON schema of a TypedDict; ``Args:`` of its docstring and ``Annotated`` describe fields.

    Raises:
        ValueError: A field has a type that has no JSON schema.
    """
    return flattened(_TypedDicts().root(given))


class _TypedDicts:
    """Writes schemas of types that hold TypedDicts; all others are pydantic's."""

    def __init__(self) -> None:
        self._defs: dict[str, Any] = {}
        self._names: dict[type, str] = {}

    def root(self, given: type) -> dict[str, Any]:
        return {**self._schema(given), "$defs": self._defs}

    def _schema(self, given: Any) -> dict[str, Any]:
        origin, args = get_origin(given), get_args(given)
        if is_typeddict(origin or given):
            return self._reference(origin or given)
        if origin is Annotated:
            described = next((text for text in args[1:] if isinstance(text, str)), None)
            described = described or getattr(args[-1], "description", None)
            schema = self._schema(args[0]) if _holds_typed_dict(args[0]) else self._leaf(given)
            return {**schema, "description": described} if described else schema
        if not _holds_typed_dict(given):
            return self._leaf(given)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self._schema(option) for option in args]}
        if origin is tuple and args[-1:] != (Ellipsis,):
            items = [self._schema(item) for item in args]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self._schema(args[1])}
        unique = {"uniqueItems": True} if origin in _LISTS[1:] else {}
        return {"type": "array", "items": self._schema(args[0]), **unique}

    def _reference(self, given: type) -> dict[str, Any]:
        if given not in self._names:
            taken = sum(name.partition("__")[0] == given.__name__ for name in self._names.values())
            self._names[given] = name = f"{given.__name__}__{taken + 1}" if taken else given.__name__
            self._defs[name] = self._object(given)
        return {"$ref": f"#/$defs/{self._names[given]}"}

    def _object(self, given: Any) -> dict[str, Any]:
        from langchain_core.utils.function_calling import _parse_google_docstring

        hints = get_type_hints(given, include_extras=True)
        text = inspect.getdoc(given) if given.__doc__ and given.__doc__ != dict.__doc__ else None
        description, about = _parse_google_docstring(text, list(hints), error_on_invalid_docstring=False)
        properties: dict[str, Any] = {}
        required: list[str] = []
        hint: Any
        for name, hint in hints.items():
            needed = name in given.__required_keys__
            while get_origin(hint) in _QUALIFIERS or _qualified(hint):
                if get_origin(hint) is Annotated:  # Annotated[NotRequired[int], "…"]
                    inner, *rest = get_args(hint)
                    needed = get_origin(inner) is not NotRequired
                    hint = Annotated[(get_args(inner)[0], *rest)]
                    continue
                if get_origin(hint) is not ReadOnly:
                    needed = get_origin(hint) is Required
                hint = get_args(hint)[0]
            schema = self._schema(hint)
            if name in about and "description" not in schema:
                schema = {**schema, "description": about[name]}
            properties[name] = schema
            required += [name] if needed else []
        found: dict[str, Any] = {"title": given.__name__, "type": "object", "properties": properties}
        return (
            found
            | ({"description": description} if description else {})
            | ({"required": required} if required else {})
        )

    def _leaf(self, given: Any) -> dict[str, Any]:
        from pydantic import TypeAdapter
        from pydantic.errors import PydanticUserError

        try:
            schema = TypeAdapter(given).json_schema()
        except (PydanticUserError, TypeError) as error:
            raise ValueError(f"{given!r} has no JSON schema: {error}") from error
        self._defs.update(schema.pop("$defs", {}))
        return schema


def _qualified(hint: Any) -> bool:
    return get_origin(hint) is Annotated and get_origin(get_args(hint)[0]) in _QUALIFIERS


def _holds_typed_dict(given: Any) -> bool:
    if is_typeddict(get_origin(given) or given):
        return True
    return any(_holds_typed_dict(arg) for arg in get_args(given) if not isinstance(arg, (str, int)))


def flattened(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions where they are referred to, as far as they do not hold themselves; drop unused ones."""
    definitions = schema.get("$defs") or {}
    recursive = {name for name in definitions if name in _reached(definitions.get(name), definitions)}

    def inline(node: Any, inside: tuple[str, ...] = ()) -> Any:
        if isinstance(node, list):
            return [inline(entry, inside) for entry in node]
        if not isinstance(node, dict):
            return node
        name = _referred(node)
        if name is not None and name in definitions and name not in recursive and name not in inside:
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return inline({**definitions[name], **beside}, (*inside, name))
        return {key: inline(value, inside) for key, value in node.items()}

    root = {key: value for key, value in schema.items() if key != "$defs"}
    name = _referred(root)
    if name in definitions:  # what stands at the top is shown there, also where it holds itself
        root = {**definitions[name], **{key: value for key, value in root.items() if key != "$ref"}}
    root = inline(root)
    kept = {name: inline(definitions[name]) for name in definitions if name in recursive}
    used = {name for name in kept if name in _reached(root, definitions)}
    return {**root, "$defs": {name: kept[name] for name in kept if name in used}} if used else root


def is_recursive(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema has a definition that holds itself."""
    definitions = schema.get("$defs") or {}
    return any(name in _reached(definitions[name], definitions) for name in definitions)


def _referred(node: Any) -> str | None:
    reference = node.get("$ref") if isinstance(node, dict) else None
    return reference.removeprefix("#/$defs/") if isinstance(reference, str) else None


def _reached(node: Any, definitions: Mapping[str, Any]) -> set[str]:
    """Return the definitions that a schema refers to, those by way of others included."""
    found: set[str] = set()
    ahead = [node]
    while ahead:
        entry = ahead.pop()
        if isinstance(entry, dict):
            name = _referred(entry)
            if name in definitions and name not in found and name is not None:
                found.add(name)
                ahead.append(definitions[name])
            ahead.extend(entry.values())
        elif isinstance(entry, list):
            ahead.extend(entry)
    return found
