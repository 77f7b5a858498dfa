"""Reader of CSV and TSV."""

from __future__ import annotations

import csv
import io
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.file_content import FileContent
from llama_bedrock.retrievers.documents.readers.table_rows import Row, row_records

_MAX_CELL = 10_000_000
_COMPARED_LINES = 2_000
_DELIMITERS = (",", ";", "\t", "|")


def read_csv(content: FileContent) -> Iterator[Document]:
    """One document per row, as ``column: value`` lines; the first row as wide as the table names the
    columns.
    """
    text = content.text()
    if csv.field_size_limit() < _MAX_CELL:
        csv.field_size_limit(_MAX_CELL)  # of the whole process; there is no other
    options = _dialect(text, content.suffix)
    found = False
    try:
        # Counting millions of rows takes a second, making documents of them a minute.
        content.budget.expect(sum(1 for row in _reader(text, options) if row))
        for line, record in row_records(_with_lines(_reader(text, options)), content.budget):
            found = True
            yield content.document(record, format="record", part=str(line), line=line)
    except csv.Error as error:
        raise ValueError(f"not readable as a table ({error})") from error
    if not found:
        raise ValueError("a table without rows")


def _reader(text: str, options: dict[str, Any]) -> Any:
    return csv.reader(io.StringIO(text, newline=""), **options)


def _with_lines(rows: Any) -> Iterator[Row]:
    line = 1
    for row in rows:
        yield line, row
        line = rows.line_num + 1


def _dialect(text: str, suffix: str) -> dict[str, Any]:
    """The options of `csv.reader` under which the whole text is a table.

    The delimiter is the one under which most rows have the same number of cells, two or more. csv.Sniffer
    looks at quotes with expressions that take quadratic time, and takes what it did not see for not there: a
    quote doubled later on ends a cell.
    """
    delimiters = ("\t",) if suffix in (".tsv", ".tab") else _DELIMITERS
    options: dict[str, Any] = {"delimiter": max(delimiters, key=lambda d: _evenness(text, d))}
    # Written by MySQL and others: a backslash before a quote in a cell, which is never doubled.
    if '\\"' in text and '""' not in text:
        options.update(escapechar="\\", doublequote=False)
    if not _quotes_are_closed(text, options):
        options["quoting"] = csv.QUOTE_NONE
    return options


def _evenness(text: str, delimiter: str) -> tuple[int, int]:
    """Number of rows that are as wide as most are, and that width; of the beginning of the text."""
    rows = islice(_reader(text, {"delimiter": delimiter}), _COMPARED_LINES)
    try:
        widths = Counter(len(row) for row in rows if len(row) > 1)
    except csv.Error:
        return 0, 0
    width, count = max(widths.items(), key=lambda item: item[::-1], default=(0, 0))
    return count, width


def _quotes_are_closed(text: str, options: dict[str, Any]) -> bool:
    """False if a quote that is no quote, such as an inch, swallows the rest of the text."""
    if '"' not in text:
        return True
    rows = _reader(text, {**options, "strict": True})
    try:
        for _ in rows:
            pass
    except csv.Error as error:
        # Strict reading minds other things, too: text after a closing quote, which the lax one keeps.
        return not any(text in str(error) for text in _SWALLOWED) and _ends(text, options)
    return True


# Of csv.Error: a cell that goes on to the end of the text, or longer than any is.
_SWALLOWED = ("unexpected end", "field larger")


def _ends(text: str, options: dict[str, Any]) -> bool:
    """True if the lax reading does not end in an open quote: a last line of its own stays one."""
    try:
        rows = deque(_reader(f"{text}\n\x00end", options), maxlen=1)
    except csv.Error:
        return False
    return bool(rows[0] == ["\x00end"])
