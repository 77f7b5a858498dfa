"""Reader of CSV and TSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.file_content import FileContent

_MAX_CELL = 10_000_000


def read_csv(content: FileContent) -> Iterator[Document]:
    """One document a row, as ``column: value`` lines. The first row names the columns."""
    text = content.text()
    if csv.field_size_limit() < _MAX_CELL:
        csv.field_size_limit(_MAX_CELL)  # of the whole process; there is no other
    rows = csv.reader(io.StringIO(text, newline=""), _dialect(text, content.suffix))
    if not any(cell.strip() for row in rows for cell in row):
        raise ValueError("a table without rows")
    rows = csv.reader(io.StringIO(text, newline=""), rows.dialect)
    for line, record in row_records(_with_lines(rows)):
        yield content.document(record, format="record", part=str(line), line=line)


def _with_lines(rows: Any) -> Iterator[tuple[int, list[str]]]:
    line = 1
    for row in rows:
        yield line, row
        line = rows.line_num + 1


def row_records(rows: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, str]]:
    """Rows of a table, with their numbers, as ``column: value`` lines; the first that is not empty names the
    columns.
    """
    header: list[str] | None = None
    for number, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = [name.strip() or f"column {column}" for column, name in enumerate(row, 1)]
            continue
        names = [*header, *(f"column {n}" for n in range(len(header) + 1, len(row) + 1))]
        cells = zip(names, row, strict=False)
        yield number, "\n".join(f"{name}: {value.strip()}" for name, value in cells if value.strip())


def _dialect(text: str, suffix: str) -> type[csv.Dialect] | str:
    if suffix == ".tsv":
        return "excel-tab"
    try:
        return csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        return "excel"
