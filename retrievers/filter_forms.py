"""Filters written as dicts: the Mongo-like form is read, that of Bedrock Knowledge Bases read and written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

from llama_bedrock.retrievers.filters import (
    OPERATORS,
    And,
    Comparison,
    Filter,
    Not,
    Operator,
    Or,
    Scalar,
    kind_of,
)

_KNOWLEDGE_BASE: dict[Operator, str] = {
    "eq": "equals",
    "ne": "notEquals",
    "gt": "greaterThan",
    "gte": "greaterThanOrEquals",
    "lt": "lessThan",
    "lte": "lessThanOrEquals",
    "in": "in",
    "nin": "notIn",
    "startswith": "startsWith",
    "list_contains": "listContains",
    "string_contains": "stringContains",
}
_COMPLEMENT: dict[Operator, Operator] = {"eq": "ne", "ne": "eq", "in": "nin", "nin": "in"}

_FROM_KNOWLEDGE_BASE = {name: operator for operator, name in _KNOWLEDGE_BASE.items()}
_JOINTS: dict[str, type[And] | type[Or]] = {"$and": And, "$or": Or, "andAll": And, "orAll": Or}
_LOGICAL = ("$and", "$or", "$nor", "$not")


def parse(filter_: object) -> Filter | None:
    """The work of `filters.parse_filter`; see there."""
    if filter_ is None or isinstance(filter_, Filter):
        return filter_
    if not isinstance(filter_, Mapping):
        raise TypeError(f"a filter is a Filter, a dict or None, got {type(filter_).__name__}: {filter_!r}")
    return _parse_dict(filter_) if filter_ else None


def _parse_dict(document: Mapping[str, Any]) -> Filter:
    if len(document) == 1:
        [(name, argument)] = document.items()
        if name in ("andAll", "orAll") and isinstance(argument, list | tuple):
            return _join(_JOINTS[name], name, argument)
        if (
            name in _FROM_KNOWLEDGE_BASE
            and isinstance(argument, Mapping)
            and set(argument) == {"key", "value"}
        ):
            return _compare(argument["key"], _FROM_KNOWLEDGE_BASE[name], argument["value"])
    return _all([part for name, argument in document.items() for part in _parse_entry(name, argument)])


def _parse_entry(name: object, argument: Any) -> list[Filter]:
    if not isinstance(name, str):
        raise ValueError(f"a filter's key must be a text, got {name!r}")
    if name in ("$and", "$or"):
        return [_join(_JOINTS[name], name, argument)]
    if name == "$nor":
        return [Not(_join(Or, name, argument))]
    if name == "$not":
        return [Not(_required(argument, name))]
    if name.startswith("$"):
        _unknown(name, "at the place of a key", _LOGICAL)
    return _parse_field(name, argument)


def _parse_field(key: str, condition: Any) -> list[Filter]:
    if isinstance(condition, Mapping):
        if not condition:
            raise ValueError(f"filter on {key!r}: the condition is empty; write {{{key!r}: value}}")
        return [_parse_condition(key, name, value) for name, value in condition.items()]
    if isinstance(condition, list | tuple | set | frozenset):
        return [_compare(key, "in", condition)]
    return [_compare(key, "eq", condition)]


def _parse_condition(key: str, name: object, value: Any) -> Filter:
    if name == "$not":
        if not isinstance(value, Mapping):
            raise ValueError(f"filter on {key!r}: $not takes a condition such as {{'$eq': 1}}, got {value!r}")
        return Not(_all(_parse_field(key, value)))
    known = [f"${operator}" for operator in OPERATORS]
    if name not in known:
        _unknown(name, f"on {key!r}", [*known, "$not"])
    return _compare(key, cast("Operator", str(name)[1:]), value)


def _compare(key: str, operator: Operator, value: Any) -> Comparison:
    if operator in ("in", "nin"):
        if not isinstance(value, list | tuple | set | frozenset):
            raise ValueError(f"filter on {key!r}: ${operator} needs a list of values, got {value!r}")
        # A set has no order; a sorted one gives the same filter, and the same SQL, every time.
        ordered = value if isinstance(value, list | tuple) else sorted(value, key=repr)
        return Comparison(key, operator, tuple(ordered))
    return Comparison(key, operator, cast("Scalar", value))


def _join(joint: type[And] | type[Or], name: str, arguments: object) -> Filter:
    if not isinstance(arguments, list | tuple) or not arguments:
        raise ValueError(f"{name} takes a list of at least one filter, got {arguments!r}")
    operands = tuple(_required(argument, name) for argument in arguments)
    return operands[0] if len(operands) == 1 else joint(operands)


def _required(argument: object, name: str) -> Filter:
    parsed = parse(argument)
    if parsed is None:
        raise ValueError(f"{name} holds an empty filter; leave it out")
    return parsed


def _all(parts: Sequence[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _unknown(name: object, where: str, known: Sequence[str]) -> NoReturn:
    nearest = difflib.get_close_matches(str(name), known, n=1)
    advice = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    raise ValueError(f"unknown filter operator {name!r} {where}; {advice}")


def knowledge_base(filter_: Filter) -> dict[str, Any]:
    """The work of `Filter.to_knowledge_base`; see there."""
    return _knowledge_base(filter_, negate=False)


def _knowledge_base(filter_: Filter, *, negate: bool) -> dict[str, Any]:
    if isinstance(filter_, Not):
        return _knowledge_base(filter_.operand, negate=not negate)
    if isinstance(filter_, And | Or):
        name = "andAll" if isinstance(filter_, And) is not negate else "orAll"
        parts = [_knowledge_base(operand, negate=negate) for operand in filter_.operands]
        return parts[0] if len(parts) == 1 else {name: parts}
    assert isinstance(filter_, Comparison)
    return _knowledge_base_comparison(filter_, negate=negate)


def _knowledge_base_comparison(comparison: Comparison, *, negate: bool) -> dict[str, Any]:
    key, operator, value = comparison.key, comparison.operator, comparison.value
    if negate:
        if operator not in _COMPLEMENT:
            raise ValueError(
                f"filter on {key!r}: a Knowledge Base cannot negate ${operator}; write the opposite"
                " comparison (unlike 'not', it leaves out documents without the key)"
            )
        operator = _COMPLEMENT[operator]
    values = value if isinstance(value, tuple) else (value,)
    if None in values:
        raise ValueError(f"filter on {key!r}: a Knowledge Base cannot ask for a missing value (None)")
    if operator in ("gt", "gte", "lt", "lte") and kind_of(value) != "number":
        raise ValueError(f"filter on {key!r}: a Knowledge Base orders numbers only, got {value!r}")
    if operator == "contains":
        operator = "string_contains" if isinstance(value, str) else "list_contains"
    wire = list(value) if isinstance(value, tuple) else value
    return {_KNOWLEDGE_BASE[operator]: {"key": key, "value": wire}}
