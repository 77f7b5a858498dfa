"""JSON as models write it to JSON as it should be, while it arrives: texts grow, entries come one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_bedrock.tools.coercion import coerce
from llama_bedrock.tools.json_schema import is_valid, resolve, types_of
from llama_bedrock.tools.parser.quoted_text import QUOTES, Where, read_string
from llama_bedrock.tools.parser.source import Reading, Source, skip_space
from llama_bedrock.tools.parser.values import Bare, read_braces, read_list, read_value, reject_bare

_WRAPPERS = ("properties", "parameters", "arguments", "args", "output", "response", "result", "answer")
_COMBINED = frozenset({"anyOf", "oneOf", "allOf", "enum", "const", "not"})


class JsonWriter:
    """Reads one value and writes it as JSON, each piece as soon as it is certain.

    What its schema may ask to change, a number in quotes or a choice of forms, is written when all of it is
    there. So is an object whose first key the schema does not know: the value may be wrapped in it.

    Args:
        source: Stands on the value; `Source.raw` is then what was read since the last piece was written.
        schema: JSON schema of the value; empty allows anything.
        out: Gets the pieces.

    Attributes:
        written: Something was.
    """

    def __init__(self, source: Source, schema: Mapping[str, Any], out: list[str]) -> None:
        self._source, self._schema, self._out = source, schema, out
        self._pending = ""
        self.written = False

    def read(self) -> Reading[None]:
        """Read the value.

        Raises:
            Unreadable: It is none, or breaks off.
        """
        yield from self._read(self._schema, "list", 0)

    def _read(self, schema: Any, where: Where, depth: int) -> Reading[None]:
        char = yield from skip_space(self._source, comments=True)
        resolved = resolve(schema, self._schema)
        names = types_of(resolved)
        plain = not _COMBINED & resolved.keys()
        if char == "{" and plain and (not names or "object" in names):
            yield from self._read_object(resolved, depth + 1)
        elif char == "[" and plain and (not names or "array" in names):
            yield from self._read_list(resolved, depth + 1)
        elif char and char in QUOTES and plain and (not names or "string" in names):
            self._pending += '"'
            yield from read_string(self._source, where, python=False, emit=self._write_text)
            self._write('"')
        else:
            value = yield from read_value(self._source, where, python=False, depth=depth)
            if isinstance(value, Bare) and str(value) in (resolved.get("enum") or ()):
                value = str(value)
            self._write_value(coerce(reject_bare(value), schema, self._schema))

    def _read_object(self, schema: Mapping[str, Any], depth: int) -> Reading[None]:
        properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        held: dict[str, Any] | None = None
        separator = "{"

        def read_entry(key: str) -> Reading[None]:
            nonlocal held, separator
            if separator == "{" and depth == 1 and properties and key not in properties:
                held = {}
            if held is not None:
                held[key] = reject_bare((yield from read_value(self._source, "dict", python=False, depth=1)))
                return
            self._pending += f"{separator}{json.dumps(key, ensure_ascii=False)}: "
            separator = ", "
            yield from self._read(properties.get(key, rest), "dict", depth)

        yield from read_braces(self._source, python=False, depth=depth, read_entry=read_entry)
        if held is not None:
            self._write_value(unwrap(held, self._schema))
        else:
            self._write("{}" if separator == "{" else "}")

    def _read_list(self, schema: Mapping[str, Any], depth: int) -> Reading[None]:
        leading, items = schema.get("prefixItems") or [], schema.get("items")
        self._pending += "["

        def read_item(number: int) -> Reading[None]:
            self._pending += ", " if number else ""
            yield from self._read(leading[number] if number < len(leading) else items, "list", depth)

        yield from read_list(self._source, python=False, depth=depth, read_item=read_item)
        self._write("]")

    def _write_text(self, text: str) -> None:
        self._write(json.dumps(text, ensure_ascii=False)[1:-1])

    def _write_value(self, value: Any) -> None:
        self._write(json.dumps(value, ensure_ascii=False))

    def _write(self, text: str) -> None:
        self._out.append(self._pending + text)
        self._pending = ""
        self.written = True
        self._source.mark()


def unwrap(value: Any, schema: Mapping[str, Any]) -> Any:
    """Coerce a value to its schema; if it only fits without an object around it, leave that out.

    Llamas write ``{"Joke": {…}}``, ``{"properties": {…}}`` and ``{"name": "Joke", "parameters": {…}}``.
    """
    coerced = coerce(value, schema)
    if not isinstance(value, dict) or is_valid(coerced, schema, schema):
        return coerced
    inner = [value[key] for key in _WRAPPERS if key in value]
    if len(value) == 1:
        inner += value.values()
    for candidate in inner:
        attempt = coerce(candidate, schema)
        if is_valid(attempt, schema, schema):
            return attempt
    return coerced
