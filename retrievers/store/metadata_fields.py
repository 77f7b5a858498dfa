"""Metadata as JSON, as rows that SQLite can compare, and comparisons as conditions on those rows.

A row is (tag, value, key of the document). A tag is a number for one field name and one type: the types of
scalars, the types of members of lists, and "is a list or dict".
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, TypeAlias

from llama_bedrock.retrievers.filters import Comparison, Kind, kind_of, number

if TYPE_CHECKING:
    from llama_bedrock.retrievers.store.document_table import Entry

FieldRow: TypeAlias = tuple[int, str | float, int]
"""Tag, value, key."""
Condition: TypeAlias = tuple[str, tuple[Any, ...]]
"""SQL on a row of fields, and its parameters."""

_KINDS: tuple[Kind, ...] = ("number", "text", "bool")
_PRESENT = 2 * len(_KINDS)
TAGS = _PRESENT + 1
"""Tags a field name has."""
_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_LARGEST = 10**4000
"""Python reads no integers of more than 4,300 digits from text."""
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode_metadata(metadata: Mapping[str, Any], where: str) -> str:
    """Metadata as JSON that reads back equal (tuples as lists).

    Args:
        metadata: What JSON can hold: text, finite numbers, bools, None, lists and dicts with text keys.
        where: Names the document in an error.

    Raises:
        ValueError: It holds something else; the message names the key.
    """
    members: list[str] = []
    for name, value in metadata.items():
        if type(name) is not str:
            raise ValueError(f"{where}: metadata keys must be text, got {name!r}")
        if type(value) is str:  # most are, and an encoder is made anew for every call of `encode`
            encoded = encode_basestring_ascii(value)
        else:
            try:
                _check_json(value, f"{where}: metadata[{name!r}]")
            except RecursionError:
                raise ValueError(f"{where}: metadata[{name!r}] is nested too deep") from None
            encoded = int.__repr__(value) if type(value) is int else _ENCODER.encode(value)
        members.append(f"{encode_basestring_ascii(name)}:{encoded}")
    return f"{{{','.join(members)}}}"


def _check_json(value: object, where: str) -> None:
    if value is None or isinstance(value, str):
        return
    if isinstance(value, int):
        if abs(value) >= _LARGEST:
            raise ValueError(f"{where} has more digits than JSON is read back with")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}, which JSON cannot hold: use None")
    elif isinstance(value, list | tuple):
        for member in value:
            _check_json(member, where)
    elif isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str):
                raise ValueError(f"{where} has the key {name!r}: keys must be text")
            _check_json(member, f"{where}[{name!r}]")
    else:
        raise ValueError(
            f"{where} is a {type(value).__name__}, which JSON cannot hold: "
            "use text, a number, a bool, None, a list or a dict (dates: .isoformat() or .timestamp())"
        )


def field_rows(keys: Sequence[int], entries: Sequence[Entry], tags: Mapping[str, int]) -> Iterator[FieldRow]:
    """Rows of ``fields``. A hot loop: a million documents have ten million fields."""
    text = _KINDS.index("text")
    for key, entry in zip(keys, entries, strict=True):
        for name, value in entry.metadata.items():
            if type(value) is str:
                yield tags[name] + text, value, key
            elif value is not None:
                kind = kind_of(value)
                if kind is not None:
                    yield tags[name] + _KINDS.index(kind), _stored(value), key
                else:
                    yield tags[name] + _PRESENT, 0, key
                    yield from _member_rows(tags[name] + len(_KINDS), value, key)


def _member_rows(tag: int, values: object, key: int) -> Iterator[FieldRow]:
    for member in values if isinstance(values, list | tuple) else ():
        kind = kind_of(member)
        if kind is not None:
            yield tag + _KINDS.index(kind), _stored(member), key


def _stored(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, str) else number(value)


def conditions(comparison: Comparison, bound: Comparison | None, first: int) -> list[Condition]:
    """What finds a comparison's documents: a row that satisfies any of the conditions is one.

    Args:
        comparison: A positive one (not ``ne`` or ``nin``). ``eq`` with None finds those that do have a value.
        bound: With ``gt`` or ``gte``, a ``lt`` or ``lte`` of the same key and type: the range's other end.
        first: The first tag of the field.
    """
    found = list(_select(comparison, first))
    if bound is None:
        return found
    other_end = f" AND value {_ORDER[bound.operator]} ?"
    return [(where + other_end, (*values, _stored(bound.value))) for where, values in found]


def _select(comparison: Comparison, first: int) -> Iterator[Condition]:
    operator, value = comparison.operator, comparison.value
    kind = kind_of(value)
    scalar = first + (_KINDS.index(kind) if kind else 0)
    member = scalar + len(_KINDS)
    if operator == "eq" and value is None:
        # Its complement: the store asks for the keys that have a value.
        yield "tag BETWEEN ? AND ?", (first, first + TAGS - 1)
    elif operator in ("eq", "in"):
        for one in value if isinstance(value, tuple) else (value,):
            kind = kind_of(one)
            if kind:
                yield "tag = ? AND value = ?", (first + _KINDS.index(kind), _stored(one))
    elif operator in _ORDER:
        yield f"tag = ? AND value {_ORDER[operator]} ?", (scalar, _stored(value))
    elif operator == "startswith":
        after = _after_prefix(str(value))
        where = "tag = ? AND value >= ?" + (" AND value < ?" if after else "")
        yield where, (scalar, value, after) if after else (scalar, value)
    if operator in ("contains", "string_contains") and isinstance(value, str):
        for tag in (scalar, member) if operator == "string_contains" else (scalar,):
            # As bytes: instr() ends a text at NUL, and gives NULL for no bytes; but every text holds no text.
            where = "tag = ? AND instr(CAST(value AS BLOB), ?) > 0" if value else "tag = ?"
            yield where, (tag, value.encode()) if value else (tag,)
    if operator in ("contains", "list_contains"):
        yield "tag = ? AND value = ?", (member, _stored(value))


def _after_prefix(prefix: str) -> str | None:
    """The least text that sorts after every text with this prefix; None if there is none."""
    for end in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[end]) + 1
        if code <= sys.maxunicode:
            return prefix[:end] + chr(0xE000 if 0xD800 <= code <= 0xDFFF else code)
    return None
