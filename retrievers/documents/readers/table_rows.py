"""Rows of a table as records: ``column: value`` lines under the names that the table gives its columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, zip_longest

from llama_bedrock.retrievers.documents.readers.file_content import ReadingBudget

_LOOKED_AT = 20

Row = tuple[int, list[str]]
"""Its number, from 1, and the text of its cells."""


def row_records(rows: Iterable[Row], budget: ReadingBudget) -> Iterator[tuple[int, str]]:
    """The records of a table's rows, with the rows' numbers.

    The first row as wide as the table names the columns, unless it holds nothing but numbers. Lines above it
    (a title, a date) are one record by themselves, names of columns that are empty are the last one, and a
    table of one row is a record without names.

    Args:
        rows: The rows, of which empty ones are passed over.
        budget: What the table may take.

    Raises:
        ReadLimitError: It takes more.
    """
    filled = (row for row in _timed(rows, budget) if any(cell.strip() for cell in row[1]))
    head = list(islice(filled, _LOOKED_AT))
    above, header = _header(head)
    if above:
        yield above[0][0], "\n".join(_joined(cells, budget) for _, cells in above)
    if header is None:
        names: list[str] = []
        body = head[len(above) :]
    else:
        budget.spend(sum(map(len, header[1])))
        names = [" ".join(name.split()) for name in header[1]]
        body = head[len(above) + 1 :]
        following = next(filled, None) if not body else None
        if not body and following is None:
            yield header[0], _joined(header[1], budget)
            return
        body = body if following is None else [following]
    unused = {column for column, name in enumerate(names, 1) if name}
    for number, cells in chain(body, filled):
        yield number, _record(names, cells, budget, unused)
    if header is not None and unused:
        yield header[0], _joined([names[column - 1] for column in sorted(unused)], budget)


def _timed(rows: Iterable[Row], budget: ReadingBudget) -> Iterator[Row]:
    # A sheet may claim that its next row is the two thousand millionth, and a library yield all between.
    for count, row in enumerate(rows):
        if count % 1024 == 0:
            budget.check_time()
        yield row


def _header(head: list[Row]) -> tuple[list[Row], Row | None]:
    """Of a table's first rows, those above the table, and the one that names the columns."""
    widths = [sum(bool(cell.strip()) for cell in cells) for _, cells in head]
    widest = max(widths, default=0)
    for position, (row, width) in enumerate(zip(head, widths, strict=True)):
        if width * 2 > widest:
            if len(head) > 1 and not any(character.isalpha() for cell in row[1] for character in cell):
                return head[:position], None
            return head[:position], row
    return [], None


def _record(names: list[str], cells: list[str], budget: ReadingBudget, unused: set[int]) -> str:
    pairs = []
    size = 0
    # Not zip_longest over all names: a header of 100,000 columns stands over rows of one cell.
    for column, (value, name) in enumerate(zip_longest(cells, names[: len(cells)], fillvalue=""), 1):
        if value := value.strip():
            name = name or f"column {column}"
            size += len(name) + len(value)
            pairs.append((name, value))
            if unused:
                unused.discard(column)
    budget.spend(size)  # before the text is made: one string may stand in 10,000 cells
    return "\n".join(f"{name}: {value}" for name, value in pairs)


def _joined(cells: list[str], budget: ReadingBudget) -> str:
    kept = [cell.strip() for cell in cells if cell.strip()]
    budget.spend(sum(map(len, kept)))
    return " | ".join(kept)
