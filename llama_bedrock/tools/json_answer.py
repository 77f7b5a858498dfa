"""Answers that are JSON: how they are asked for, and how clean JSON is read out of what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama_bedrock.tools.coercion import coerce
from llama_bedrock.tools.json_schema import is_valid, properties_of, resolve, types_of
from llama_bedrock.tools.parser.quoted_text import QUOTES, Where, read_string
from llama_bedrock.tools.parser.source import Reading, Source, Unreadable, skip_space
from llama_bedrock.tools.parser.tool_call_parser import CUT_REASONS
from llama_bedrock.tools.parser.values import Bare, read_braces, read_list, read_value, reject_bare


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """What a JSON answer shall look like.

    Attributes:
        name: What the schema describes.
        schema: JSON schema, None for any object.
        description: What it is for.
        strict: Nothing beside the schema is allowed.
    """

    name: str = "answer"
    schema: Mapping[str, Any] | None = None
    description: str = ""
    strict: bool = False

    @property
    def opening(self) -> str:
        """The first character of the answer: ``{``, ``[``, or none where the schema allows anything."""
        if self.schema is None:
            return "{"
        schema = resolve(self.schema, self.schema)
        names = types_of(schema)
        if names == ("array",):
            return "["
        return "{" if names == ("object",) or "properties" in schema else ""

    def instructions(self, *, with_tools: bool = False) -> str:
        """Write what the system message says about it.

        Args:
            with_tools: Tools are offered too: only the answer that calls none has this form.
        """
        begin = "When you call no function, answer" if with_tools else "Answer"
        kind = "list" if self.opening == "[" else "value" if not self.opening else "object"
        text = f"{begin} with one JSON {kind} and nothing else: no explanation, no code block."
        if self.schema is None:
            return text
        about = f" It is {self.name}: {self.description}" if self.description else ""
        schema = json.dumps(self.schema, ensure_ascii=False, default=str)
        rule = f"It must be valid for this JSON schema; write the {kind} itself, not the schema:"
        return f"{text}{about}\n{rule}\n{schema}"

    def prefill(self, *, with_tools: bool = False) -> str:
        """Return the text that begins the assistant's turn; none where the model may call a tool instead."""
        return "" if with_tools else self.opening


def read_response_format(value: Any) -> ResponseFormat | None:
    """Read ``response_format`` as OpenAI and LangChain write it.

    Args:
        value: ``{"type": "json_schema", "json_schema": {"name": …, "schema": {…}, "strict": …}}``,
            ``{"type": "json_object"}``, which may hold a ``schema`` too, ``{"type": "text"}``, a
            `ResponseFormat`, or None.

    Raises:
        ValueError: It is none of these.
    """
    if value is None or isinstance(value, ResponseFormat):
        return value
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "text":
        return None
    holder = value.get("json_schema") if kind == "json_schema" else value
    if kind not in ("json_schema", "json_object") or not _holds_schema(holder, needed=kind == "json_schema"):
        raise ValueError(
            f"response_format={value!r}: give {{'type': 'json_schema', 'json_schema': {{'name': …, "
            "'schema': …}}, {'type': 'json_object'} or {'type': 'text'}"
        )
    schema = holder.get("schema")
    return ResponseFormat(
        name=str(holder.get("name") or (schema or {}).get("title") or "answer"),
        schema=schema,
        description=str(holder.get("description") or (schema or {}).get("description") or ""),
        strict=bool(holder.get("strict")),
    )


def _holds_schema(holder: Any, *, needed: bool) -> bool:
    schema = holder.get("schema") if isinstance(holder, Mapping) else None
    return isinstance(holder, Mapping) and (isinstance(schema, Mapping) or (schema is None and not needed))


class JsonContent:
    """Turns a generation into the text of one JSON value, while it arrives.

    Words and fences around the value are left out, what is certain is repaired and coerced to the schema. An
    answer that holds no JSON, or breaks off within it, comes out as it is, so that nothing is hidden.

    Args:
        form: What the answer shall look like.
        prefix: Text that began the assistant's turn in the prompt; it is part of the answer.
    """

    def __init__(self, form: ResponseFormat, *, prefix: str = "") -> None:
        self._form = form
        self._schema: Mapping[str, Any] = form.schema or {}
        self._prefix = prefix
        self._source = Source(prefix)
        self._out: list[str] = []
        self._closed = False
        self._reading = self._read()
        next(self._reading)

    def feed(self, text: str) -> str:
        """Take text as it arrives; return the JSON text that is certain by now."""
        if self._closed or not text:
            return ""
        self._source.push(text)
        next(self._reading)
        return self._take()

    def close(self, stop_reason: str | None = None) -> str:
        """Say that the answer has ended; return the rest."""
        if self._closed:
            return ""
        self._closed = True
        self._source.end(cut=stop_reason in CUT_REASONS)
        for _ in self._reading:
            pass
        return self._take()

    def _take(self) -> str:
        text = "".join(self._out)
        self._out.clear()
        return text

    def _read(self) -> Reading[None]:
        source = self._source
        source.mark()
        openings = self._form.opening or "{["
        found = False
        while not found and (char := (yield from source.peek())):
            if char in openings:
                found = yield from self._read_value()
            else:
                source.pos += 1
        while not source.ended:
            source.pos = len(source.text)
            yield
        source.pos = len(source.text)
        if not found:
            self._out.append(source.raw())

    def _read_value(self) -> Reading[bool]:
        """Read the value; False if there is none and nothing was written."""
        source = self._source
        writer = JsonWriter(source, self._schema, self._out)
        try:
            if self._prefix == "[" and (yield from source.ahead((yield from source.solid(1)))) == "[":
                yield from writer.read_repeated()
            else:
                yield from writer.read()
        except Unreadable:
            if not writer.written:
                return False
            while not source.ended:
                source.pos = len(source.text)
                yield
            source.pos = len(source.text)
            self._out.append(source.raw())
        return True


def clean_json(text: str, form: ResponseFormat, *, stop_reason: str | None = None) -> str:
    """Return the JSON of a whole answer, the answer itself if it holds none."""
    content = JsonContent(form)
    return content.feed(text) + content.close(stop_reason)


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
        self._unwrapped = False
        self.written = False

    def read(self) -> Reading[None]:
        """Read the value.

        Raises:
            Unreadable: It is none, or breaks off.
        """
        yield from self._read(self._schema, "list", 0)

    def read_repeated(self) -> Reading[None]:
        """Read a list whose opening bracket may have been written twice: once for the model, once by it.

        Where items may be lists themselves, the number of closing brackets tells; it is known at the end.

        Raises:
            Unreadable: As for `read`.
        """
        items = resolve(resolve(self._schema, self._schema).get("items"), self._schema)
        names = types_of(items)
        if names and "array" not in names and not _COMBINED & items.keys():
            while (yield from self._source.ahead(at := (yield from self._source.solid(1)))) == "[":
                self._source.pos += at
            yield from self.read()
            return
        value = yield from read_value(self._source, "list", python=False, depth=0)
        if self._source.forgiven and isinstance(value, list) and len(value) == 1:
            value = value[0]
        self._write_value(unwrap(reject_bare(value), self._schema))

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
            if separator == "{" and properties and key not in properties and not self.written and depth < 3:
                held = {}
            if held is not None:
                held[key] = reject_bare((yield from read_value(self._source, "dict", python=False, depth=1)))
                return
            self._pending += f"{separator}{json.dumps(key, ensure_ascii=False)}: "
            separator = ", "
            yield from self._read(properties.get(key, rest), "dict", depth)

        yield from read_braces(self._source, python=False, depth=depth, read_entry=read_entry)
        if held is not None and depth == 1:
            self._write_value(unwrap(held, self._schema))
        elif held is not None:
            whole = _wrapped_list([held], self._schema) if self._pending == "[" else None
            self._unwrapped, self._pending = whole is not None, "" if whole is not None else self._pending
            self._write_value(coerce(held, schema, self._schema) if whole is None else whole)
        else:
            self._write("{}" if separator == "{" else "}")

    def _read_list(self, schema: Mapping[str, Any], depth: int) -> Reading[None]:
        leading, items = schema.get("prefixItems") or [], schema.get("items")
        self._pending += "["

        def read_item(number: int) -> Reading[None]:
            if self._unwrapped:
                raise Unreadable("more follows the list")
            self._pending += ", " if number else ""
            yield from self._read(leading[number] if number < len(leading) else items, "list", depth)

        yield from read_list(self._source, python=False, depth=depth, read_item=read_item)
        if not self._unwrapped:
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
    """Coerce a value to its schema; if it only fits without an object or list around it, leave that out.

    Llamas write ``{"Joke": {…}}``, ``{"properties": {…}}`` and ``{"name": "Joke", "parameters": {…}}``.
    """
    coerced = coerce(value, schema)
    if (whole := _wrapped_list(value, schema)) is not None:
        return whole
    if not isinstance(value, (dict, list)) or is_valid(coerced, schema, schema):
        return coerced
    if isinstance(value, list):
        inner = value if len(value) == 1 and isinstance(value[0], list) else []
    else:
        inner = [value[key] for key in _WRAPPERS if key in value]
        if len(value) == 1:
            inner += value.values()
    for candidate in inner:
        attempt = coerce(candidate, schema)
        if is_valid(attempt, schema, schema):
            return attempt
    return coerced


def _wrapped_list(value: Any, schema: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of ``[{"items": […]}]`` if only that fits, or its items have no such property."""
    if not (
        isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and len(value[0]) == 1
    ):
        return None
    ((key, inner),) = value[0].items()
    items = resolve(schema, schema).get("items")
    if not isinstance(inner, list) or key in properties_of(items, schema):
        return None
    whole = coerce(inner, schema)
    return whole if isinstance(whole, list) and is_valid(whole, schema, schema) else None
