"""Checks a JSON body and reports every violation in the words of Bedrock's schema validator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llama_bedrock.local.runtime.frames import ServiceError, invalid

JsonType = Literal["String", "Number", "Integer", "Boolean", "JSONArray", "JSONObject"]


@dataclass(frozen=True, slots=True)
class Member:
    """What one key of a body may hold.

    Attributes:
        type: Name of the JSON type, as the validator calls it.
        minimum: Least value of a number, or least length of a string or array.
        maximum: Greatest value or length.
        items: Type of an array's items.
        choices: The values allowed.
        required: True if the key must be there.
    """

    type: JsonType
    minimum: float | None = None
    maximum: float | None = None
    items: JsonType | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


def malformed(*violations: str) -> ServiceError:
    """The ``ValidationException`` for these violations, each beginning with ``#``."""
    return invalid(
        f"Malformed input request: {''.join(violations)}, please reformat your input and try again."
    )


def malformed_json() -> ServiceError:
    """The ``ValidationException`` for a body that is no JSON object."""
    return invalid("Malformed input request, please reformat your input and try again.")


def check_body(body: Mapping[str, Any], members: Mapping[str, Member], *, closed: bool = True) -> None:
    """Check a body against the members it may have.

    Args:
        body: The parsed JSON object.
        members: What each key may hold.
        closed: True refuses keys that are not in `members`.

    Raises:
        ServiceError: ``ValidationException`` that tells every violation.
    """
    violations = [
        f"#: required key [{key}] not found"
        for key, member in members.items()
        if member.required and key not in body
    ]
    for key, value in body.items():
        known = members.get(key)
        if known is None:
            if closed:
                violations.append(f"#: extraneous key [{key}] is not permitted")
        else:
            violations.extend(_check_value(f"#/{key}", value, known))
    if violations:
        raise malformed(*violations)


def _check_value(pointer: str, value: Any, member: Member) -> list[str]:
    found = _type_name(value)
    if not _fits(found, member.type, value):
        return [f"{pointer}: expected type: {member.type}, found: {found}"]
    if found == "String":
        if member.choices and value not in member.choices:
            return [f"{pointer}: {value} is not a valid enum value"]
        return _check_size(pointer, len(value), member, "Length")
    if found == "JSONArray":
        wrong = [
            f"{pointer}/{n}: expected type: {member.items}, found: {_type_name(item)}"
            for n, item in enumerate(value)
            if member.items is not None and not _fits(_type_name(item), member.items, item)
        ]
        return wrong or _check_size(pointer, len(value), member, "Items")
    if found in ("Integer", "Double"):
        if member.maximum is not None and not value <= member.maximum:
            return [f"{pointer}: {value} is not less or equal to {member.maximum}"]
        if member.minimum is not None and not value >= member.minimum:
            return [f"{pointer}: {value} is not greater or equal to {member.minimum}"]
    return []


def _check_size(pointer: str, size: int, member: Member, what: Literal["Length", "Items"]) -> list[str]:
    if member.minimum is not None and size < member.minimum:
        expected = f"min{what}: {member.minimum}"
    elif member.maximum is not None and size > member.maximum:
        expected = f"max{what}: {member.maximum}"
    else:
        return []
    if what == "Length":
        return [f"{pointer}: expected {expected}, actual: {size}"]
    return [f"{pointer}: expected {expected.replace('Items', 'imum item count')}, found: {size}"]


def _type_name(value: Any) -> str:
    if value is None:
        return "Null"
    for types, name in _TYPE_NAMES:
        if isinstance(value, types):
            return name
    return type(value).__name__


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "Boolean"),
    (str, "String"),
    (int, "Integer"),
    (float, "Double"),
    (list, "JSONArray"),
    (dict, "JSONObject"),
)


def _fits(found: str, expected: str, value: Any) -> bool:
    if expected == "Number":
        return found in ("Integer", "Double")
    if expected == "Integer":
        return found == "Integer" or (found == "Double" and value.is_integer())
    return found == expected
