"""Readers of JSON and JSON lines."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.file_content import (
    FileContent,
    ReadingBudget,
    ReadLimitError,
)

_TEXT_FIELDS = ("text", "page_content", "content", "contents", "body")
_ID_FIELDS = ("_id", "id", "doc_id", "document_id")
_RESERVED = frozenset(
    {"source", "document_id", "format", "title", "line", "page", "heading", "start_index", "end_index"}
) | {"self", "text", "part"}  # names of FileContent.document's own arguments
# What CPython's objects take, at least: a dict, a list, an entry of either.
_MEMORY = ((b"{", 230), (b"[", 72), (b",", 60))
_MAX_MEMORY = 600_000_000
_LISTS_WITHIN = 4
_LONG = 4_000
_TOO_DEEP = "JSON nested too deeply"


def read_json_lines(content: FileContent) -> Iterator[Document]:
    """One document per line; a line that is not JSON is reported and left out."""
    lines = content.text().split("\n")
    content.budget.expect(sum(1 for line in lines if line))
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = _parsed(line)
        except ValueError as error:
            content.report(f"line {number} is not JSON ({error})")
            continue
        yield _record_document(content, record, part=str(number), line=number)


def read_json(content: FileContent) -> Iterator[Document]:
    """A list of objects gives one document per object, at the top or inside objects; so do values one after
    the other. Other JSON is kept as the text of the file, and so is what is none, with a report.
    """
    text = content.text()
    try:
        value = _parsed(text)
    except ValueError as error:
        if str(error) == _TOO_DEEP or isinstance(error, ReadLimitError):
            raise
        values = _concatenated(text)
        if len(values) > 1:
            content.budget.expect(len(values))
            for number, record in enumerate(values, 1):
                yield _record_document(content, record, part=str(number), row=number)
            return
        if not _COMMENT.search(text):
            content.report(f"not valid JSON ({error}); it is read as plain text")
        yield content.document(text, format="code", language="json", line=1)
        return
    documents = list(_documents(content, value))
    yield from documents or [content.document(text, format="code", language="json", line=1)]


_COMMENT = re.compile(r"^[ \t]*(?://|/\*|#)|[,{\[][ \t]*//", re.MULTILINE)


def _parsed(text: str) -> Any:
    data = text.encode("utf-8", "replace") if len(text) > 1_000_000 else b""
    if sum(data.count(mark) * size for mark, size in _MEMORY) > _MAX_MEMORY:
        raise ReadLimitError("its values would take more than 600 MB of memory; split the file")
    try:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            raise
        except ValueError:  # Python makes no number of more than 4,300 digits; as text it can be found
            return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < _LONG else digits)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _concatenated(text: str) -> list[Any]:
    """The values of a file that holds several, one after the other; nothing if it holds anything else."""
    decoder, values, position = json.JSONDecoder(), [], 0
    blank = re.compile(r"[\s,\x1e]*")
    try:
        while (position := _end(blank, text, position)) < len(text):
            value, position = decoder.raw_decode(text, position)
            values.append(value)
    except (ValueError, RecursionError):
        return []
    return values


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return position if found is None else found.end()


def _documents(content: FileContent, value: Any) -> Iterator[Document]:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        content.budget.expect(len(value))
        for number, record in enumerate(value, 1):
            yield _record_document(content, record, part=str(number), row=number)
    elif isinstance(value, dict):
        lists = list(_object_lists(value, "", _LISTS_WITHIN))
        if lists:
            content.budget.expect(sum(len(items) for _, items in lists))
            inside = {id(items) for _, items in lists}
            rest = _flatten(value, content.budget, without=inside)
            if rest:
                yield content.document(rest, format="record", title=_title(value))
            for name, items in lists:
                for number, record in enumerate(items, 1):
                    yield _record_document(
                        content, record, part=f"{name}\0{number}", row=number, heading=name
                    )
        elif any(isinstance(value.get(name), str) for name in _TEXT_FIELDS):
            yield _record_document(content, value)


def _object_lists(value: dict[str, Any], path: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    """The lists of two or more objects inside objects, with the way to them."""
    for key, item in value.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(item, list) and len(item) > 1 and all(isinstance(entry, dict) for entry in item):
            yield name[:200], item
        elif isinstance(item, dict) and depth > 1:
            yield from _object_lists(item, name, depth - 1)


def _title(record: dict[str, Any]) -> str | None:
    title = record.get("title")
    return title if isinstance(title, str) else None


def _record_document(content: FileContent, record: Any, **where: Any) -> Document:
    """A document of one record: its title, its text, then its other fields; simple ones are metadata, too.

    The title belongs to the text, because it is what many questions ask for; BEIR's own baselines join them
    too. So do the other fields: a year or a number is asked for like any word.
    """
    if not isinstance(record, dict):
        return content.document(_flatten(record, content.budget), format="record", **where)
    name = next((name for name in _TEXT_FIELDS if isinstance(record.get(name), str)), None)
    title = _title(record)
    if name is None:
        text = _flatten(record, content.budget) or "{}"
        return content.document(text, format="record", title=title, **where)
    text = record[name]
    if title and not text.startswith(title):
        text = f"{title}\n\n{text}"
    # BEIR's "_id" and an empty "metadata" are of the form, not of the content.
    others = {key: value for key, value in record.items() if key not in (name, "title", "_id")}
    if fields_ := _flatten(others, content.budget):
        text = f"{text}\n\n{fields_}"
    identifier = next((record[key] for key in _ID_FIELDS if isinstance(record.get(key), str | int)), None)
    nested = record.get("metadata")
    extra = {**record, **(nested if isinstance(nested, dict) else {})}
    taken = {*_RESERVED, *where, *_ID_FIELDS, name}
    fields = {key: value for key, value in extra.items() if _is_simple(value) and key not in taken}
    identity = None if identifier is None else str(identifier)
    return content.document(text, format="record", title=title, document_id=identity, **where, **fields)


def _is_simple(value: Any) -> bool:
    """True for what every metadata store can hold."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63)


def _flatten(value: Any, budget: ReadingBudget, *, without: frozenset[int] | set[int] = frozenset()) -> str:
    """``key.path: value`` lines of a nested value.

    Args:
        value: The value.
        budget: What the lines may take: a key of a million letters may stand over thousands of values.
        without: Ids of parts to leave out.
    """
    lines: list[str] = []

    def visit(value: Any, prefix: str) -> None:
        if id(value) in without:
            return
        if isinstance(value, Mapping):
            for key, item in value.items():
                name = f"{prefix}.{key}" if prefix else str(key)
                budget.spend(len(name))
                visit(item, name)
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            for number, item in enumerate(value):
                budget.spend(len(prefix))
                visit(item, f"{prefix}[{number}]")
        else:
            shown = ", ".join(map(_shown, value)) if isinstance(value, list) else _shown(value)
            if shown:
                lines.append(f"{prefix}: {shown}" if prefix else shown)

    try:
        visit(value, "")
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return "\n".join(lines)


def _shown(value: Any) -> str:
    """A scalar as JSON writes it, text without quotes."""
    if isinstance(value, str):
        return value
    return json.dumps(value)
