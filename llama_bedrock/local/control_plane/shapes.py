"""Values and the shapes of a botocore service model: read from text, checked, and written for the wire.

botocore itself checks little (required members, types, minimal lengths); the service checks everything that
the model says, and answers with all violations in one ``ValidationException``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from llama_bedrock.local.runtime.frames import ServiceError, invalid

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
}


def read_text(shape: Any, text: str, name: str) -> Any:
    """The value of a member that travels as text, in a path, a query or a header.

    Raises:
        ServiceError: ``ValidationException``: the text is none of that type.
    """
    from botocore.utils import parse_timestamp

    kind = shape.type_name
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("float", "double"):
            return float(text)
        if kind == "timestamp":
            moment = parse_timestamp(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        raise invalid(f"Value '{text}' at '{name}' is not of type {kind}.") from None
    if kind == "boolean":
        if text not in ("true", "false"):
            raise invalid(f"Value '{text}' at '{name}' is not of type boolean.")
        return text == "true"
    return text


def check_input(shape: Any, params: Mapping[str, Any]) -> None:
    """Check the parameters of a request against all constraints of its shape.

    Raises:
        ServiceError: ``SerializationException`` for a wrong type, else ``ValidationException`` with every
            violation.
    """
    found = list(_violations(shape, params, ""))
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise invalid(count + "; ".join(found))


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "timestamp":
        return
    is_number = isinstance(value, bool) and kind != "boolean"
    if not _fits(kind, value) or is_number:
        raise ServiceError(
            "SerializationException", f"{path or 'The body'} must be of type {kind}.", status=400
        )
    yield from _out_of_bounds(shape, value, path)
    if kind == "structure":
        yield from _member_violations(shape, value, path)
    elif kind == "list":
        for number, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    elif kind == "map":
        for key, item in value.items():
            yield from _violations(shape.key, key, f"{path}.{key}.key")
            yield from _violations(shape.value, item, f"{path}.{key}.member")


def _member_violations(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    at = f"{path}." if path else ""
    fails = "failed to satisfy constraint: Member must"
    if getattr(shape, "is_tagged_union", False) and len([v for v in value.values() if v is not None]) != 1:
        yield f"Value at '{path}' {fails} have exactly one of {list(shape.members)}"
    for name, member in shape.members.items():
        item = value.get(name)
        if item is not None:
            yield from _violations(member, item, at + name)
        elif name in shape.required_members:
            yield f"Value null at '{at}{name}' {fails} not be null"


def _out_of_bounds(shape: Any, value: Any, path: str) -> Iterator[str]:
    bounds, says = shape.metadata, f"Value '{value}' at '{path}' failed to satisfy constraint: Member must "
    if shape.type_name in ("string", "list", "map"):
        what, size = "length", len(value)
    elif shape.type_name in ("integer", "long", "float", "double"):
        what, size = "value", value
    else:
        return
    low, high = bounds.get("min"), bounds.get("max")
    if low is not None and size < low:
        yield f"{says}have {what} greater than or equal to {low}"
    if high is not None and size > high:
        yield f"{says}have {what} less than or equal to {high}"
        return  # a pattern is not tried on what is too long already
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        yield f"{says}satisfy enum value set: [{', '.join(allowed)}]"
    pattern = bounds.get("pattern")
    if pattern and isinstance(value, str) and not _compiled(pattern).fullmatch(value):
        yield f"{says}satisfy regular expression pattern: {pattern}"


def _fits(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES.get(kind, (object,)))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # The class has the hyphen already: `-*` before it adds nothing but exponential time on "a-----!".
    return re.compile(pattern.replace(r"(-*[a-zA-Z0-9\+\-\.])", r"[a-zA-Z0-9\+\-\.]"))


def write_value(shape: Any, value: Any, *, unix_time: bool = False, path: str = "") -> Any:
    """A value as JSON has it: only what the shape knows, times in its format.

    Args:
        shape: Shape of botocore.
        value: Python value; times are `datetime` or ISO 8601.
        unix_time: True for services whose JSON has times as seconds.
        path: Where the value is, for the error.

    Raises:
        TypeError: A required member is missing, or a value has another type. (A mistake of ours.)
    """
    kind = shape.type_name
    if kind == "timestamp":
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.timestamp() if unix_time else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if not _fits(kind, value):
        raise TypeError(f"{path or shape.name} must be of type {kind}, not {value!r}")
    if kind == "structure":
        missing = [name for name in shape.required_members if value.get(name) is None]
        if missing:
            raise TypeError(f"{path or shape.name} lacks {', '.join(missing)}")
        return {
            member.serialization.get("name", name): write_value(
                member, value[name], unix_time=unix_time, path=f"{path}.{name}"
            )
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if kind == "list":
        return [write_value(shape.member, item, unix_time=unix_time, path=f"{path}[]") for item in value]
    return value
