"""Readers of JSON and JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.file_content import FileContent

_TEXT_FIELDS = ("text", "page_content", "content", "contents", "body")
_ID_FIELDS = ("_id", "id", "doc_id", "document_id")
_RESERVED = frozenset(
    {"source", "document_id", "format", "title", "line", "page", "heading", "start_index", "end_index"}
)


def read_json_lines(content: FileContent) -> Iterator[Document]:
    """One document a line; a line that is not JSON is reported and left out."""
    for number, line in enumerate(content.text().split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            content.report(f"line {number} is not JSON ({error})")
            continue
        yield _record_document(content, record, part=str(number), line=number)


def read_json(content: FileContent) -> Iterator[Document]:
    """A list of objects gives one document an object; anything else is kept as the text of the file."""
    text = content.text()
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from error
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for number, record in enumerate(value, 1):
            yield _record_document(content, record, part=str(number), row=number)
    elif isinstance(value, dict) and any(isinstance(value.get(name), str) for name in _TEXT_FIELDS):
        yield _record_document(content, value)
    else:
        yield content.document(text, format="code", language="json", line=1)


def _record_document(content: FileContent, record: Any, **where: Any) -> Document:
    """A document of one record: its text with the title in front, the other simple fields as metadata.

    The title belongs to the text, because it is what many questions ask for; BEIR's own baselines join them
    too.
    """
    if not isinstance(record, dict):
        return content.document(_flatten(record), format="record", **where)
    name = next((name for name in _TEXT_FIELDS if isinstance(record.get(name), str)), None)
    title = record.get("title") if isinstance(record.get("title"), str) else None
    if name is None:
        return content.document(_flatten(record), format="record", title=title, **where)
    text = record[name]
    if title and not text.startswith(title):
        text = f"{title}\n\n{text}"
    identifier = next((record[key] for key in _ID_FIELDS if isinstance(record.get(key), str | int)), None)
    nested = record.get("metadata")
    extra = {**record, **(nested if isinstance(nested, dict) else {})}
    fields = {
        key: value
        for key, value in extra.items()
        if _is_simple(value) and key not in _RESERVED and key not in (name, *_ID_FIELDS)
    }
    identity = None if identifier is None else str(identifier)
    return content.document(text, format="record", title=title, document_id=identity, **where, **fields)


def _is_simple(value: Any) -> bool:
    """True for what every metadata store can hold."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63)


def _flatten(value: Any, prefix: str = "") -> str:
    """``key.path: value`` lines of a nested value."""
    if isinstance(value, Mapping):
        parts = [_flatten(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        parts = [_flatten(item, f"{prefix}[{number}]") for number, item in enumerate(value)]
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return f"{prefix}: {shown}" if prefix else shown
    return "\n".join(part for part in parts if part)
