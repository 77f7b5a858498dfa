"""JSON schema validation that answers in words a model can act on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

_MAX_HOPS = 32
_MAX_VIOLATIONS = 8
_PYTHON_NAMES = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
_TYPE_NAMES = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "boolean": "a boolean",
    "null": "null",
    "integer": "an integer",
    "number": "a number",
}


def resolve(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow ``$ref`` within the document; keys beside the reference count too.

    A reference that leads nowhere, or in circles, allows everything: it is no fault of the model.
    """
    if schema is False:
        return {"not": {}}
    for _ in range(_MAX_HOPS):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        target = _lookup(reference, root)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**target, **beside} if beside and isinstance(target, Mapping) else target
    return {}


def _lookup(reference: str, root: Mapping[str, Any]) -> Any:
    if not reference.startswith("#"):
        return {}
    node: Any = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping):
            node = node.get(key, {})
        elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return {}
    return node


def properties_of(schema: Any, root: Mapping[str, Any], hops: int = 8) -> dict[str, Any]:
    """Return the properties of an object, those under ``$ref``, ``allOf``, ``anyOf`` and ``oneOf`` included.

    One that stands in several places has a schema that allows what any of them does.
    """
    schema = resolve(schema, root)
    own = schema.get("properties")
    found: dict[str, Any] = dict(own) if isinstance(own, Mapping) else {}
    for key in ("allOf", "anyOf", "oneOf") if hops else ():
        for sub in schema.get(key) or ():
            for name, value in properties_of(sub, root, hops - 1).items():
                if name not in found:
                    found[name] = value
                elif found[name] != value:
                    found[name] = {"anyOf": [found[name], value]}
    return found


def required_of(schema: Any, root: Mapping[str, Any], hops: int = 8) -> tuple[str, ...]:
    """Return what an object must have, in whatever form of it: ``$ref`` and ``allOf`` included."""
    schema = resolve(schema, root)
    found = list(schema.get("required") or ())
    for sub in (schema.get("allOf") or ()) if hops else ():
        found += required_of(sub, root, hops - 1)
    return tuple(dict.fromkeys(found))


def strict_violations(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a value, entries that the schema does not know included."""
    faults = violations(value, schema, schema)
    known = properties_of(schema, schema)
    top = resolve(schema, schema)
    if isinstance(value, dict) and known and not {"additionalProperties", "patternProperties"} & top.keys():
        listed = ", ".join(known)
        faults += [f"{key} is not known; known are: {listed}" for key in value if key not in known]
    return faults[:_MAX_VIOLATIONS]


def types_of(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types a schema names, none if it allows all."""
    kind = schema.get("type")
    names = (kind,) if isinstance(kind, str) else tuple(kind) if isinstance(kind, list) else ()
    # Meta's own examples, and Python people, write types this way.
    names = tuple({"dict": "object", "list": "array", "str": "string", "int": "integer",
                   "float": "number", "bool": "boolean"}.get(name, name) for name in names)  # fmt: skip
    return (*names, "null") if names and schema.get("nullable") is True else names


def has_type(value: Any, name: str) -> bool:
    """Tell whether a value has a JSON type; unknown types allow all."""
    if name == "integer":
        return not isinstance(value, bool) and (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        )
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    kinds: dict[str, type] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
    }
    return name not in kinds or isinstance(value, kinds[name])


def same(left: Any, right: Any) -> bool:
    """Compare as JSON does: 1 equals 1.0, but not True, also within lists and objects."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


class Budget:
    """Bounds the work on one value: schemas that refer to themselves in several places multiply it.

    Attributes:
        left: Steps that may still be made; what lies beyond is not looked at.
    """

    __slots__ = ("left",)

    def __init__(self, value: Any) -> None:
        self.left = 1_000 + 20 * _size(value)

    def spend(self) -> bool:
        """Take a step; False if there is none left."""
        self.left -= 1
        return self.left >= 0


def _size(value: Any) -> int:
    """Count the values in a value."""
    count, ahead = 0, [value]
    while ahead:
        entry = ahead.pop()
        count += 1
        if isinstance(entry, dict):
            ahead.extend(entry.values())
        elif isinstance(entry, list):
            ahead.extend(entry)
    return count


def is_valid(value: Any, schema: Any, root: Mapping[str, Any], budget: Budget | None = None) -> bool:
    """Tell whether a value satisfies a schema."""
    validation = _Validation(root, budget or Budget(value), limit=1)
    validation.check(value, schema, "")
    return not validation.found


def violations(value: Any, schema: Any, root: Mapping[str, Any], *, path: str = "") -> list[str]:
    """Say what is wrong with a value.

    Args:
        value: JSON value.
        schema: The schema it shall satisfy.
        root: The document that references point into.
        path: What the value is called, such as ``address.city``.

    Returns:
        Violations in words, the first few; none if the value is valid.
    """
    validation = _Validation(root, Budget(value), limit=_MAX_VIOLATIONS)
    validation.check(value, schema, path)
    return validation.found[:_MAX_VIOLATIONS]


class _Validation:
    """One value against one schema."""

    def __init__(self, root: Mapping[str, Any], budget: Budget, *, limit: int) -> None:
        self._root, self._budget, self._limit = root, budget, limit
        self.found: list[str] = []

    def check(self, value: Any, schema: Any, path: str) -> None:
        schema = resolve(schema, self._root)
        if len(self.found) >= self._limit or not schema or not self._budget.spend():
            return
        here = path or "the value"
        names = types_of(schema)
        if names and not any(has_type(value, name) for name in names):
            wanted = " or ".join(_TYPE_NAMES.get(name, name) for name in names)
            self.found.append(f"{here} must be {wanted}, not {_describe(value)}")
            return
        if "enum" in schema and not any(same(value, option) for option in schema["enum"]):
            self.found.append(f"{here} must be one of {_options(schema['enum'])}, not {_describe(value)}")
        if "const" in schema and not same(value, schema["const"]):
            self.found.append(f"{here} must be {schema['const']!r}, not {_describe(value)}")
        if isinstance(value, dict):
            self._check_object(value, schema, path)
        elif isinstance(value, list):
            self._check_list(value, schema, path)
        elif isinstance(value, str):
            _check_text(value, schema, here, self.found)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_number(value, schema, here, self.found)
        self._check_combined(value, schema, path)

    def _check_object(self, value: dict[str, Any], schema: Mapping[str, Any], path: str) -> None:
        properties = schema.get("properties") or {}
        required = schema.get("required") or ()
        self.found += [f"{_join(path, key)} is missing" for key in required if key not in value]
        patterns = schema.get("patternProperties") or {}
        rest = schema.get("additionalProperties", True)
        for key, entry in value.items():
            matching = [sub for pattern, sub in patterns.items() if _search(pattern, key)]
            if key in properties:
                matching.append(properties[key])
            elif not matching and rest is False:
                known = ", ".join(properties) or "none"
                self.found.append(f"{_join(path, key)} is not known; known are: {known}")
            elif not matching:
                matching.append(rest)
            for sub in matching:
                self.check(entry, sub, _join(path, key))
        _check_count(len(value), schema, "Properties", f"{path or 'the value'} has", "entries", self.found)

    def _check_list(self, value: list[Any], schema: Mapping[str, Any], path: str) -> None:
        here = path or "the value"
        leading = schema.get("prefixItems") or []
        items = schema.get("items", True)
        if isinstance(items, list):  # before draft 2020-12
            leading, items = items, schema.get("additionalItems", True)
        for number, entry in enumerate(value):
            sub = leading[number] if number < len(leading) else items
            if sub is not True:
                self.check(entry, sub, f"{path}[{number}]")
        _check_count(len(value), schema, "Items", f"{here} has", "items", self.found)
        if schema.get("uniqueItems") is True and len({_key(entry) for entry in value}) < len(value):
            self.found.append(f"{here} holds an item twice")

    def _check_combined(self, value: Any, schema: Mapping[str, Any], path: str) -> None:
        here = path or "the value"
        for sub in schema.get("allOf") or ():
            self.check(value, sub, path)
        for key in ("anyOf", "oneOf"):
            if not (options := schema.get(key)):
                continue
            faults = [self._faults(value, sub, path) for sub in options]
            passed = sum(not fault for fault in faults)
            if not passed:
                self.found.append(" or ".join(fault[0] for fault in faults))
            elif passed > 1 and key == "oneOf":
                self.found.append(f"{here} fits more than one of the allowed forms")
        if "not" in schema and not self._faults(value, schema["not"], path):
            self.found.append(f"{here} is of a form that is not allowed")

    def _faults(self, value: Any, schema: Any, path: str) -> list[str]:
        inner = _Validation(self._root, self._budget, limit=1)
        inner.check(value, schema, path)
        return inner.found


def _check_text(value: str, schema: Mapping[str, Any], here: str, found: list[str]) -> None:
    _check_count(len(value), schema, "Length", f"{here} has", "characters", found)
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _search(pattern, value):
        found.append(f"{here} must match {pattern}")


def _check_number(value: float, schema: Mapping[str, Any], here: str, found: list[str]) -> None:
    limits: tuple[tuple[str, str, Callable[[float, float], bool]], ...] = (
        ("minimum", "at least", lambda v, limit: v >= limit),
        ("maximum", "at most", lambda v, limit: v <= limit),
        ("exclusiveMinimum", "more than", lambda v, limit: v > limit),
        ("exclusiveMaximum", "less than", lambda v, limit: v < limit),
    )
    for key, words, holds in limits:
        limit = schema.get(key)
        if isinstance(limit, (int, float)) and not isinstance(limit, bool) and not holds(value, limit):
            found.append(f"{here} must be {words} {limit}, not {value}")
    step = schema.get("multipleOf")
    if isinstance(step, (int, float)) and step and abs(value / step - round(value / step)) > 1e-9:
        found.append(f"{here} must be a multiple of {step}, not {value}")


def _check_count(
    count: int, schema: Mapping[str, Any], suffix: str, subject: str, unit: str, found: list[str]
) -> None:
    least, most = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    if isinstance(least, int) and count < least:
        found.append(f"{subject} {count} {unit}, at least {least} are needed")
    if isinstance(most, int) and count > most:
        found.append(f"{subject} {count} {unit}, at most {most} are allowed")


def _key(value: Any) -> str:
    """Write a value so that those that `same` calls equal are written equally."""
    if isinstance(value, list):
        return f"[{','.join(map(_key, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(sorted(f'{json.dumps(key)}:{_key(entry)}' for key, entry in value.items()))}}}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, default=str)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _describe(value: Any) -> str:
    if type(value) in (dict, list) and len(repr(value)) > 60:
        return _PYTHON_NAMES[type(value)]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _options(options: list[Any]) -> str:
    shown = ", ".join(repr(option) for option in options[:20])
    return shown if len(options) <= 20 else f"{shown}, …"


def _search(pattern: str, text: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None  # a dialect Python does not read: nothing can be said
