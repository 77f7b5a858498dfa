"""One small typed language for metadata filters, with the same meaning in every retriever.

A filter is built from functions and operators, or written as a Mongo-like dict, which LangChain users know:

    eq("lang", "en") & (gte("year", 2020) | ~is_in("status", ["draft", "old"]))
    {"lang": "en", "$or": [{"year": {"$gte": 2020}}, {"status": {"$nin": ["draft", "old"]}}]}

`Filter.matches(metadata)` is the definition; `FAISSStore` evaluates the same filter in SQLite, and
`Filter.to_knowledge_base()` writes it for Amazon Bedrock Knowledge Bases. The rules, for all three:

* A filter is true or false, never unknown. ``not`` is the complement.
* A missing key and ``None`` are the same: no value. It satisfies no comparison, and therefore every negation:
  ``ne``, ``nin`` and ``not`` match documents that lack the key. ``eq(key, None)`` means "has no value".
* There are three types of value: number (int and float together), text and bool. Values of different types
  are neither equal nor ordered: ``eq("n", 1)`` matches neither ``"1"`` nor ``True``.
* Text is compared and ordered by code point, with no case folding.
* A list is seen by the ``contains`` operators only, a nested dict by none. Keys are literal: no dotted paths.

function                     dict                       Knowledge Base             meaning
``eq`` ``ne``                ``$eq`` ``$ne``            equals, notEquals
``gt`` ``gte`` ``lt`` ``lte``  ``$gt`` …                greaterThan … (numbers)    order within a type
``is_in`` ``not_in``         ``$in`` ``$nin``           in, notIn                  eq to one of them, to none
``startswith``               ``$startswith``            startsWith                 text that begins so
``contains``                 ``$contains``              stringContains (text),     part of a text,
                                                        listContains (others)      or member of a list
``list_contains``            ``$list_contains``         listContains               member of a list
``string_contains``          ``$string_contains``       stringContains             also of a text in a list
``&`` ``|`` ``~``            ``$and`` ``$or`` ``$not``  andAll, orAll              ``not`` is pushed down

The one difference: on a list, a Knowledge Base's ``stringContains`` also matches a member that merely holds
the text. Write ``list_contains`` where that matters.
"""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias, cast, get_args

Scalar: TypeAlias = str | int | float | bool | None
Operator: TypeAlias = Literal[
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "nin",
    "startswith",
    "contains",
    "list_contains",
    "string_contains",
]
Kind: TypeAlias = Literal["number", "text", "bool"]

OPERATORS: tuple[Operator, ...] = get_args(Operator)
_INT64 = range(-(2**63), 2**63)
MAX_DEPTH = 64
"""Levels of ``and``, ``or`` and ``not`` in a filter."""
MAX_PARTS = 100_000
"""Dicts and lists in a filter that is written as a dict."""
_MAX_NESTED = 3 * MAX_DEPTH
"""Dicts and lists in one another: a level is a dict and a list, its last one three dicts."""
_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 120


def shown(value: object) -> str:
    """A value as an error names it, however large it is."""
    return _shortened.repr(value)


class Filter:
    """A condition on a document's metadata: `Comparison`, `And`, `Or` or `Not`. Immutable and hashable."""

    __slots__ = ()
    depth = 0

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """True if a document with this metadata satisfies the filter."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The Mongo-like form; `parse_filter` reads it back."""
        raise NotImplementedError

    def to_knowledge_base(self) -> dict[str, Any]:
        """The `RetrievalFilter` of Amazon Bedrock Knowledge Bases that means the same.

        Raises:
            ValueError: A Knowledge Base cannot express it, such as ``not`` of a comparison other than
                ``eq`` and ``in``, an order of texts, or ``None``.
        """
        return knowledge_base(self)

    def __and__(self, other: Filter) -> Filter:
        return And((*_members(self, And), *_members(other, And)))

    def __or__(self, other: Filter) -> Filter:
        return Or((*_members(self, Or), *_members(other, Or)))

    def __invert__(self) -> Filter:
        return self.operand if isinstance(self, Not) else Not(self)


@dataclass(frozen=True, slots=True)
class Comparison(Filter):
    """One metadata key compared with a value; a tuple of values for ``in`` and ``nin``."""

    key: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]

    def __post_init__(self) -> None:
        _check_comparison(self)

    def __hash__(self) -> int:
        return hash((self.key, self.operator, _typed(self.value)))

    def __eq__(self, other: object) -> bool:
        # True == 1 in Python, but not in this language; filters are cached by equality.
        if not isinstance(other, Comparison):
            return NotImplemented
        mine, theirs = (self.key, self.operator), (other.key, other.operator)
        return mine == theirs and _typed(self.value) == _typed(other.value)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """True if the value under the key satisfies the comparison."""
        found = metadata.get(self.key)
        match self.operator:
            case "eq":
                return _same(found, self.value)
            case "ne":
                return not _same(found, self.value)
            case "in" | "nin":
                assert isinstance(self.value, tuple)
                return any(_same(found, value) for value in self.value) is (self.operator == "in")
            case "gt" | "gte" | "lt" | "lte":
                return _ordered(found, self.operator, self.value)
            case "startswith":
                return isinstance(found, str) and found.startswith(str(self.value))
            case "contains":
                return _holds_text(found, self.value) or _has_member(found, self.value)
            case "list_contains":
                return _has_member(found, self.value)
            case "string_contains":
                members = found if isinstance(found, list | tuple) else [found]
                return any(_holds_text(member, self.value) for member in members)

    def to_dict(self) -> dict[str, Any]:
        """``{"key": {"$operator": value}}``."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {self.key: {f"${self.operator}": value}}


@dataclass(frozen=True, slots=True)
class And(Filter):
    """True if every operand is."""

    operands: tuple[Filter, ...]
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth_of(self.operands))

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """True if every operand matches."""
        return all(operand.matches(metadata) for operand in self.operands)

    def to_dict(self) -> dict[str, Any]:
        return {"$and": [operand.to_dict() for operand in self.operands]}


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """True if any operand is."""

    operands: tuple[Filter, ...]
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth_of(self.operands))

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """True if any operand matches."""
        return any(operand.matches(metadata) for operand in self.operands)

    def to_dict(self) -> dict[str, Any]:
        return {"$or": [operand.to_dict() for operand in self.operands]}


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """True if the operand is not."""

    operand: Filter
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth_of((self.operand,)))

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return not self.operand.matches(metadata)

    def to_dict(self) -> dict[str, Any]:
        return {"$not": self.operand.to_dict()}


def eq(key: str, value: Scalar) -> Filter:
    """The value is equal; with None: there is no value."""
    return Comparison(key, "eq", value)


def ne(key: str, value: Scalar) -> Filter:
    """The value is another one or missing; with None: there is a value."""
    return Comparison(key, "ne", value)


def gt(key: str, value: str | float) -> Filter:
    """A greater number, or a text that sorts after."""
    return Comparison(key, "gt", value)


def gte(key: str, value: str | float) -> Filter:
    """Greater or equal."""
    return Comparison(key, "gte", value)


def lt(key: str, value: str | float) -> Filter:
    """A lesser number, or a text that sorts before."""
    return Comparison(key, "lt", value)


def lte(key: str, value: str | float) -> Filter:
    """Less or equal."""
    return Comparison(key, "lte", value)


def is_in(key: str, values: Sequence[Scalar]) -> Filter:
    """Equal to one of the values."""
    return Comparison(key, "in", _as_tuple(key, "in", values))


def not_in(key: str, values: Sequence[Scalar]) -> Filter:
    """Equal to none of the values; a missing key matches (unless None is among the values)."""
    return Comparison(key, "nin", _as_tuple(key, "nin", values))


def startswith(key: str, prefix: str) -> Filter:
    """A text that begins with the prefix."""
    return Comparison(key, "startswith", prefix)


def contains(key: str, value: str | float) -> Filter:
    """A text that holds the value as a part, or a list that has it as a member."""
    return Comparison(key, "contains", value)


def list_contains(key: str, value: str | float) -> Filter:
    """A list that has the value as a member."""
    return Comparison(key, "list_contains", value)


def string_contains(key: str, value: str) -> Filter:
    """A text that holds the value as a part, or a list with such a text."""
    return Comparison(key, "string_contains", value)


def kind_of(value: object) -> Kind | None:
    """The type of a scalar in this language; None for anything else, such as None, a list or a dict."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def number(value: float) -> float:
    """A number as SQLite compares it: integers of up to 64 bits exactly, greater ones as floats."""
    if isinstance(value, int) and value not in _INT64:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return value


def _same(found: object, value: object) -> bool:
    kind = kind_of(found)
    if value is None:
        return found is None
    if kind is None or kind != kind_of(value):
        return False
    if kind == "number":
        return number(found) == number(value)  # type: ignore[arg-type]
    return found == value


def _ordered(found: Any, operator: Operator, value: Any) -> bool:
    kind = kind_of(found)
    if kind is None or kind != kind_of(value):
        return False
    if kind == "number":
        found, value = number(found), number(value)
    match operator:
        case "gt":
            return bool(found > value)
        case "gte":
            return bool(found >= value)
        case "lt":
            return bool(found < value)
        case _:
            return bool(found <= value)


def _holds_text(found: object, value: object) -> bool:
    return isinstance(found, str) and isinstance(value, str) and value in found


def _has_member(found: object, value: object) -> bool:
    return isinstance(found, list | tuple) and any(_same(member, value) for member in found)


def _typed(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_typed(member) for member in value)
    return (kind_of(value), value)


def _members(filter_: Filter, joint: type[And] | type[Or]) -> tuple[Filter, ...]:
    return filter_.operands if isinstance(filter_, joint) else (filter_,)


def _as_tuple(key: str, operator: str, values: object) -> tuple[Any, ...]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sequence | set | frozenset):
        raise ValueError(f"filter on {shown(key)}: ${operator} needs a list of values, got {shown(values)}")
    return tuple(values)


def _depth_of(operands: tuple[Filter, ...]) -> int:
    if not operands:
        raise ValueError("and / or of no filters has no meaning; leave the filter out instead")
    for operand in operands:
        if not isinstance(operand, Filter):
            raise TypeError(f"expected a Filter, got {shown(operand)}; parse_filter() reads dicts")
    depth = 1 + max(operand.depth for operand in operands)
    if depth > MAX_DEPTH:
        raise ValueError(f"a filter may have {MAX_DEPTH} levels of and, or and not, this one has more")
    return depth


def _check_comparison(comparison: Comparison) -> None:
    key, operator, value = comparison.key, comparison.operator, comparison.value
    if not isinstance(key, str) or not key:
        raise ValueError(f"a filter's key must be a non-empty text, got {shown(key)}")
    if key.startswith("$"):
        raise ValueError(f"a filter's key cannot begin with $, which marks operators: {shown(key)}")
    if operator not in OPERATORS:
        raise ValueError(
            f"filter on {shown(key)}: unknown operator {operator!r}; known: {', '.join(OPERATORS)}"
        )
    if operator in ("in", "nin"):
        values = value if isinstance(value, tuple) else _as_tuple(key, operator, value)
    else:
        values = (value,)
    for member in values:
        _check_value(key, operator, member)
    if isinstance(value, tuple) and operator not in ("in", "nin"):
        raise ValueError(
            f"filter on {shown(key)}: ${operator} takes one value, got {shown(value)}; use $in or $contains"
        )


def _check_value(key: str, operator: Operator, value: object) -> None:
    advice = "text, number, bool or None (dates: use .isoformat() or .timestamp() on both sides)"
    kind = kind_of(value)
    if value is not None and kind is None:
        raise ValueError(f"filter on {shown(key)}: ${operator} takes {advice}, got {shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"filter on {shown(key)}: {value} cannot be compared")
    if operator in ("startswith", "string_contains") and kind != "text":
        raise ValueError(f"filter on {shown(key)}: ${operator} takes a text, got {shown(value)}")
    if operator in ("gt", "gte", "lt", "lte") and kind not in ("number", "text"):
        raise ValueError(f"filter on {shown(key)}: ${operator} orders numbers and texts, got {shown(value)}")
    if operator in ("contains", "list_contains") and value is None:
        raise ValueError(f"filter on {shown(key)}: ${operator} takes a text, number or bool, got None")


def parse_filter(filter_: Filter | Mapping[str, Any] | None) -> Filter | None:
    """Read a filter in any of its forms.

    Args:
        filter_: A `Filter`; a Mongo-like dict (``{"year": {"$gte": 2020}, "lang": ["en", "de"]}``, where a
            bare list means ``$in``); a Knowledge Base's own dict (``{"equals": {"key": "lang", "value":
            "en"}}``); None or ``{}`` for no filter.

    Raises:
        ValueError: An operator is unknown or its value has no meaning; the message names the key.
        TypeError: It is none of the forms.
    """
    if filter_ is None or isinstance(filter_, Filter):
        return filter_
    if not isinstance(filter_, Mapping):
        raise TypeError(
            f"a filter is a Filter, a dict or None, got {type(filter_).__name__}: {shown(filter_)}"
        )
    _check_size(filter_)
    return _parse_dict(filter_) if filter_ else None


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


def _check_size(filter_: Mapping[str, Any]) -> None:
    """Refuse what nests too deep for a recursion, or is too large for a query, before it is read."""
    level: list[Any] = [filter_]
    parts = 0
    for _ in range(_MAX_NESTED):
        parts += len(level)
        if parts > MAX_PARTS:
            raise ValueError(f"a filter may have {MAX_PARTS:,} parts, this one has more")
        inner = (part.values() if isinstance(part, Mapping) else part for part in level)
        level = [one for part in inner for one in part if isinstance(one, Mapping | list | tuple)]
        if not level:
            return
    raise ValueError(f"a filter may have {MAX_DEPTH} levels of and, or and not, this one has more")


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
        raise ValueError(f"a filter's key must be a text, got {shown(name)}")
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
            raise ValueError(f"filter on {shown(key)}: the condition is empty; write {{{shown(key)}: value}}")
        return [_parse_condition(key, name, value) for name, value in condition.items()]
    if isinstance(condition, list | tuple | set | frozenset):
        return [_compare(key, "in", condition)]
    return [_compare(key, "eq", condition)]


def _parse_condition(key: str, name: object, value: Any) -> Filter:
    if name == "$not":
        if not isinstance(value, Mapping):
            raise ValueError(
                f"filter on {shown(key)}: $not takes a condition such as {{'$eq': 1}}, got {shown(value)}"
            )
        return Not(_all(_parse_field(key, value)))
    known = [f"${operator}" for operator in OPERATORS]
    if name not in known:
        _unknown(name, f"on {shown(key)}", [*known, "$not"])
    return _compare(key, cast("Operator", str(name)[1:]), value)


def _compare(key: str, operator: Operator, value: Any) -> Comparison:
    if operator in ("in", "nin"):
        if not isinstance(value, list | tuple | set | frozenset):
            raise ValueError(
                f"filter on {shown(key)}: ${operator} needs a list of values, got {shown(value)}"
            )
        # A set has no order; a sorted one gives the same filter, and the same SQL, every time.
        ordered = value if isinstance(value, list | tuple) else sorted(value, key=repr)
        return Comparison(key, operator, tuple(ordered))
    return Comparison(key, operator, cast("Scalar", value))


def _join(joint: type[And] | type[Or], name: str, arguments: object) -> Filter:
    if not isinstance(arguments, list | tuple) or not arguments:
        raise ValueError(f"{name} takes a list of at least one filter, got {shown(arguments)}")
    operands = tuple(_required(argument, name) for argument in arguments)
    return operands[0] if len(operands) == 1 else joint(operands)


def _required(argument: object, name: str) -> Filter:
    if isinstance(argument, Filter):
        return argument
    if not isinstance(argument, Mapping):
        raise TypeError(f"{name} takes filters, got {type(argument).__name__}: {shown(argument)}")
    if not argument:
        raise ValueError(f"{name} holds an empty filter; leave it out")
    return _parse_dict(argument)


def _all(parts: Sequence[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _unknown(name: object, where: str, known: Sequence[str]) -> NoReturn:
    nearest = difflib.get_close_matches(str(name), known, n=1)
    advice = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    raise ValueError(f"unknown filter operator {shown(name)} {where}; {advice}")


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
                f"filter on {shown(key)}: a Knowledge Base cannot negate ${operator}; write the opposite"
                " comparison (unlike 'not', it leaves out documents without the key)"
            )
        operator = _COMPLEMENT[operator]
    values = value if isinstance(value, tuple) else (value,)
    if None in values:
        raise ValueError(f"filter on {shown(key)}: a Knowledge Base cannot ask for a missing value (None)")
    if operator in ("gt", "gte", "lt", "lte") and kind_of(value) != "number":
        raise ValueError(f"filter on {shown(key)}: a Knowledge Base orders numbers only, got {shown(value)}")
    if operator == "contains":
        operator = "string_contains" if isinstance(value, str) else "list_contains"
    wire = list(value) if isinstance(value, tuple) else value
    return {_KNOWLEDGE_BASE[operator]: {"key": key, "value": wire}}
