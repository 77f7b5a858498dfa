"""Files of prompts: JSONL, CSV or Parquet, read record by record."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages

from llama_bedrock._extras import require

_NAMES = ("prompt", "input", "question", "text")
_IDS = ("id", "recordId", "record_id")
_FORMS = 'a JSON string, a list of messages, or an object with "messages" or with one of ' + ", ".join(
    f'"{name}"' for name in _NAMES
)


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """One record of a file.

    Attributes:
        index: Its position among the records, from 0.
        line: Line of the file, from 1; for Parquet the row.
        id: The record's own ``id`` or ``recordId``, None where it has none.
        value: What the file holds; None where it could not be read.
        error: Why it could not be read.
    """

    index: int
    line: int
    id: str | None
    value: Any
    error: str | None = None


def read_prompt_file(path: Path) -> Iterator[PromptRecord]:
    """Yield the records of a file; one that cannot be read comes with its error, and the rest goes on.

    Args:
        path: ``.jsonl`` or ``.ndjson``, ``.csv``, ``.tsv`` or ``.parquet``, told by its name. Text is UTF-8.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is of another kind, no text, or has no header.
    """
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        return _csv(path, "\t" if kind == ".tsv" else ",")
    if kind == ".parquet":
        return _parquet(path)
    if kind in (".jsonl", ".ndjson"):
        return _jsonl(path)
    raise ValueError(f"{path.name}: prompts are read from .jsonl, .ndjson, .csv, .tsv and .parquet files")


def as_input(value: Any, field: str | None = None) -> str | list[BaseMessage]:
    """Turn a record into what a chat model takes.

    Args:
        value: What the file holds.
        field: Name of the member that is the prompt; by default as `abatch_file` says.

    Raises:
        ValueError: There is no prompt in it.
    """
    if field is not None:
        if not isinstance(value, dict) or value.get(field) in (None, ""):
            raise ValueError(f"the record has no {field!r}")
        value = value[field]
    elif isinstance(value, dict):
        names = ["messages"] if "messages" in value else [name for name in _NAMES if name in value]
        if len(names) != 1:
            held = ", ".join(map(repr, value)) or "nothing"
            raise ValueError(f"the record holds {held}; expected {_FORMS}; name another with field=")
        value = value[names[0]]
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value:
        try:
            return convert_to_messages(value)
        except (ValueError, TypeError, NotImplementedError) as error:  # LangChain raises each
            raise ValueError(f"the messages cannot be read: {error}") from error
    raise ValueError(f"the prompt is {type(value).__name__ if value else 'empty'}; expected {_FORMS}")


def _jsonl(path: Path) -> Iterator[PromptRecord]:
    index = 0
    with path.open("rb") as lines:
        for line, raw in enumerate(lines, 1):
            text = raw.removeprefix(b"\xef\xbb\xbf").strip() if line == 1 else raw.strip()
            if not text:
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield PromptRecord(index, line, None, None, f"line {line} is no JSON: {error}")
            else:
                yield PromptRecord(index, line, _id(value), value)
            index += 1


def _csv(path: Path, delimiter: str) -> Iterator[PromptRecord]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter=delimiter, strict=True)
        if not rows.fieldnames:
            raise ValueError(f"{path.name} has no header line that names the columns")
        index = 0
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError) as error:
                # Where a record ends is not known any more.
                message = f"line {rows.line_num} cannot be read, nor what follows: {error}"
                yield PromptRecord(index, rows.line_num, None, None, message)
                return
            if None in row or None in row.values():
                message = f"line {rows.line_num} has not as many fields as the header"
                yield PromptRecord(index, rows.line_num, None, None, message)
            else:
                yield PromptRecord(index, rows.line_num, _id(row), row)
            index += 1


def _parquet(path: Path) -> Iterator[PromptRecord]:
    parquet = require("pyarrow.parquet", "ray")
    index = 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                yield PromptRecord(index, index + 1, _id(row), row)
                index += 1


def _id(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    found = next((value[name] for name in _IDS if value.get(name) not in (None, "")), None)
    return None if found is None else str(found)
