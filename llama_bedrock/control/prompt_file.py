"""Files of prompts: JSONL, CSV or Parquet, read record by record."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TextIO

from langchain_core.messages import BaseMessage, convert_to_messages

from llama_bedrock._extras import require

_NAMES = ("prompt", "input", "question", "text")
_IDS = ("id", "recordId", "record_id", "custom_id")
# What changes an answer as the prompt does: it would be lost if the prompt alone were asked.
_PARTS = {
    *("system", "system_prompt", "instruction", "instructions", "context", "history", "image", "images"),
    *("tools", "tool_choice", "functions", "response_format", "modelInput", "body", "stop"),
    *("max_tokens", "max_completion_tokens", "max_gen_len", "temperature", "top_p"),
}
_PUT_ELSEWHERE = 'make "messages" of the texts, give settings to the model, or name the prompt with field='
_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_CELL = 10_000_000
_NOT_UTF8 = (b"\xff\xfe", b"\xfe\xff")  # how text in UTF-16 and UTF-32 begins
_FORMS = 'a JSON string, a list of messages, or an object with "messages" or with one of ' + ", ".join(
    f'"{name}"' for name in _NAMES
)


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """One record of a file.

    Attributes:
        index: Its position among the records, from 0.
        line: Line of the file, from 1; for Parquet the row.
        id: The record's own ``id`` or ``recordId``, as it stands there; None where it has none.
        value: What the file holds; None where it could not be read.
        error: Why it could not be read.
    """

    index: int
    line: int
    id: str | int | float | None
    value: Any
    error: str | None = None


def read_prompt_file(path: Path) -> Iterator[PromptRecord]:
    """Yield the records of a file; one that cannot be read comes with its error, and the rest goes on.

    Args:
        path: ``.jsonl`` or ``.ndjson``, ``.csv``, ``.tsv`` or ``.parquet``, told by its name. Text is UTF-8;
            cells of CSV are separated by a comma, semicolon, tab or bar, as the header is.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is of another kind, no text, no table, or has no header: said before the first record.
    """
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        return read_csv(path)
    if kind == ".parquet":
        return _parquet(path)
    if kind in (".jsonl", ".ndjson"):
        return read_jsonl(path)
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
            batch = "; of a batch file of OpenAI's: jq -c '{id: .custom_id, messages: .body.messages}'"
            hint = batch if "body" in value else ""
            raise ValueError(f"the record holds {held}; expected {_FORMS}; name another with field={hint}")
        refuse_lost(value, {names[0]})
        value = value[names[0]]
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value:
        try:
            return convert_to_messages(value)
        except (ValueError, TypeError, NotImplementedError) as error:  # LangChain raises each
            raise ValueError(f"the messages cannot be read: {error}") from error
    raise ValueError(f"the prompt is {type(value).__name__ if value else 'empty'}; expected {_FORMS}")


def refuse_lost(record: Mapping[str, Any], kept: Set[str], advice: str = _PUT_ELSEWHERE) -> None:
    """Refuse a record with parts that change an answer and would be dropped.

    Args:
        record: The record.
        kept: The members that are read.
        advice: What to do with the others.

    Raises:
        ValueError: There are others.
    """
    lost = [name for name in record if name in _PARTS - kept and record[name] not in (None, "", [])]
    if lost:
        raise ValueError(
            f"the record also holds {', '.join(map(repr, lost))}, which would be dropped: {advice}"
        )


def read_jsonl(path: Path) -> Iterator[PromptRecord]:
    """Yield the records of JSON lines; as `read_prompt_file`, whatever the file's name."""
    index = 0
    with path.open("rb") as lines:
        for line, raw in enumerate(lines, 1):
            if line == 1 and raw.startswith(_NOT_UTF8):
                raise ValueError(f"{path.name} is no UTF-8 text: save it as UTF-8")
            text = raw.removeprefix(b"\xef\xbb\xbf").strip() if line == 1 else raw.strip()
            if not text:
                continue
            if index == 0 and text == b"[":
                raise ValueError(f"{path.name} is one JSON array: write one record a line (jq -c '.[]')")
            try:
                value = json.loads(text, object_pairs_hook=_object)
            except (ValueError, RecursionError) as error:
                yield PromptRecord(index, line, None, None, f"line {line} is no JSON: {error}")
            else:
                yield PromptRecord(index, line, _id(value), value)
            index += 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


def read_csv(path: Path) -> Iterator[PromptRecord]:
    """Yield the rows of a table, by the names of the columns; as `read_prompt_file`, whatever the name."""
    if csv.field_size_limit() < _LONGEST_CELL:
        csv.field_size_limit(_LONGEST_CELL)  # of the whole process; there is no other
    with path.open(encoding="utf-8-sig", newline="") as file:
        names, delimiter = _header(path, file)
        # Looked through whole before the first call: after a wrong quote nobody knows where a record ends.
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for _ in rows:
                pass
        except csv.Error as error:
            message = f"{path.name} is no table from line {rows.line_num} on: {error}"
            raise ValueError(f"{message} (a quote inside of quotes is written twice)") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path.name} is no UTF-8 text ({error.reason}): save it as UTF-8") from error
        file.seek(0)
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        next(rows)
        index, line = 0, rows.line_num + 1
        for row in rows:  # which may take several lines
            if len(row) == len(names):
                record = dict(zip(names, row, strict=True))
                yield PromptRecord(index, line, _id(record), record)
            elif row:
                message = f"line {line} has not as many fields as the header"
                yield PromptRecord(index, line, None, None, message)
            index, line = index + bool(row), rows.line_num + 1


def read_columns(path: Path) -> list[str]:
    """Tell the names of a table's columns; raises as `read_prompt_file` does."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return _header(path, file)[0]


def _header(path: Path, file: TextIO) -> tuple[list[str], str]:
    """Read the names of the columns, and with what they are separated; the file stands at its begin again."""
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        line = file.readline()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is no UTF-8 text ({error.reason}): save it as UTF-8") from error
    delimiter = next((sign for sign in (usual, *_DELIMITERS) if sign in line), usual)
    file.seek(0)
    names = [name.strip() for name in next(csv.reader(file, delimiter=delimiter), [])]
    file.seek(0)
    if not any(names):
        raise ValueError(f"{path.name} has no header line that names the columns")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path.name} has two columns named {twice[0]!r}")
    return names, delimiter


def _parquet(path: Path) -> Iterator[PromptRecord]:
    parquet = require("pyarrow.parquet", "ray")
    index = 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                yield PromptRecord(index, index + 1, _id(row), row)
                index += 1


def _id(value: Any) -> str | int | float | None:
    if not isinstance(value, dict):
        return None
    found = next((value[name] for name in _IDS if value.get(name) not in (None, "")), None)
    as_it_is = found is None or type(found) in (str, int) or (type(found) is float and isfinite(found))
    return found if as_it_is else str(found)
