"""Tables of ours beside others': rows in which another is ahead come first."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

OURS = "llama-bedrock"


class Row(NamedTuple):
    """One thing that was measured.

    Attributes:
        label: What it is, with its unit.
        values: By library.
        more_is_better: True for rates.
    """

    label: str
    values: Mapping[str, float]
    more_is_better: bool = False

    def ratio(self) -> float | None:
        """How far ours is ahead of the best of the others; below 1 it is behind."""
        others = [value for name, value in self.values.items() if name != OURS]
        if OURS not in self.values or not others:
            return None
        mine = self.values[OURS]
        return mine / max(others) if self.more_is_better else min(others) / mine


def write(path: Path, title: str, command: str, rows: Iterable[Row], packages: Iterable[str]) -> None:
    """Print a table, and write it to a file of Markdown."""
    ordered = sorted(rows, key=lambda row: row.ratio() or float("inf"))
    names = list(dict.fromkeys([OURS, *(name for row in ordered for name in row.values)]))
    found = ", ".join(filter(None, map(_with_version, packages)))
    lines = [
        f"# {title}",
        "",
        f"{datetime.datetime.now(datetime.UTC).date()}, {os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}; load before the table was written {os.getloadavg()[0]:.1f}. {found}.",
        "",
        f"Command: `{command}`. Ours and the others alternate within one run. The last column says how far",
        "ours is ahead of the best other one: below 1 it is behind, and those rows come first.",
        "",
        f"| | {' | '.join(names)} | ahead |",
        f"|---|{'---|' * (len(names) + 1)}",
    ]
    for row in ordered:
        cells = [f"{row.values[name]:,.3g}" if name in row.values else "–" for name in names]
        ratio = row.ratio()
        lines.append(f"| {row.label} | {' | '.join(cells)} | {'–' if ratio is None else f'{ratio:.2f}'} |")
    text = "\n".join(lines) + "\n"
    print(text)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _with_version(package: str) -> str | None:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None
