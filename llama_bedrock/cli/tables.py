"""Tables as wide as the terminal: where one is too wide, whole columns are left out, and named."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llama_bedrock.cli.output import note, stdout, write

_GAP = 2
_LEAST = 18  # narrower, a cut text says nothing any more


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table for people.

    Attributes:
        header: Its name.
        rank: 0 for what is always shown; of the others the highest goes first where the table is too wide.
        right: Numbers, which stand under one another.
        cut: Where a text may be cut before its column goes: at its ``"end"``, or at its ``"start"``, for
            paths.
    """

    header: str
    rank: int = 0
    right: bool = False
    cut: Literal["", "start", "end"] = ""


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    dim: Sequence[bool] = (),
    whole: str = "--json and --csv have them",
) -> None:
    """Print a table, one line a row; in a pipe, with all columns and all of their text.

    Args:
        columns: The columns.
        rows: A text for each column.
        dim: Rows that matter less, by their place.
        whole: Where the columns are that are left out.
    """
    from rich.cells import cell_len
    from rich.text import Text

    from llama_bedrock.cli.output import printable

    rows = [[printable(cell) for cell in row] for row in rows]
    sizes = [
        max(cell_len(cell) for cell in (c.header, *(row[i] for row in rows))) for i, c in enumerate(columns)
    ]
    console = stdout()
    shown = _fitting(columns, sizes, console.width if sys.stdout.isatty() else None)
    for number, row in enumerate([[column.header for column in columns], *rows]):
        cells = []
        for place, size in shown.items():
            cell = row[place] if cell_len(row[place]) <= size else _cut(row[place], size, columns[place].cut)
            missing = " " * (size - cell_len(cell))
            cells.append(missing + cell if columns[place].right else cell + missing)
        style = "bold" if number == 0 else "dim" if number <= len(dim) and dim[number - 1] else ""
        line = Text((" " * _GAP).join(cells).rstrip(), style=style)
        console.print(line, soft_wrap=True, highlight=False)
    if left_out := [column.header for place, column in enumerate(columns) if place not in shown]:
        note(f"Too wide for this terminal: {', '.join(left_out)}; {whole}.")


def _fitting(columns: Sequence[Column], sizes: Sequence[int], width: int | None) -> dict[int, int]:
    """The columns that fit, with the width of each."""
    shown = dict(enumerate(sizes))
    while width is not None and (over := sum(shown.values()) + _GAP * (len(shown) - 1) - width) > 0:
        last = max(shown, key=lambda place: columns[place].rank)
        if columns[last].rank == 0:
            last = next((place for place in shown if columns[place].cut), last)
        if columns[last].cut and shown[last] - over >= _LEAST:
            shown[last] -= over
        elif columns[last].rank:
            del shown[last]
        else:
            break  # what has to be shown is wider: the terminal breaks its lines
    return shown


def _cut(text: str, size: int, where: str) -> str:
    """A text cut to `size` columns, with a sign where; at its end it is cut at a space."""
    from rich.cells import cell_len, set_cell_size

    if where == "start":
        while cell_len(text) > size - 1:
            text = text[1:]
        return f"…{text}"
    return set_cell_size(text, size - 2).rsplit(" ", 1)[0].rstrip(" ,;") + " …"


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of one kind as CSV with a header, for spreadsheets and programs."""
    lines = io.StringIO()
    table = csv.DictWriter(lines, list(rows[0]) if rows else [], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write(lines.getvalue())
