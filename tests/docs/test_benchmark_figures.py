"""What the pages say of benchmarks is what their result files say: every figure of a table, and the date."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("benchmarks.md", "performance.md")
FIGURE = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?")
PROGRAM = re.compile(r"`python benchmarks/(\w+)\.py[^`]*` \((\d{4}-\d\d-\d\d)")


def measured_sections() -> list[tuple[str, str, str, str]]:
    """Page, program, date and text of each section with a table of a program's figures."""
    found = []
    for page in PAGES:
        for section in (ROOT / "docs" / page).read_text(encoding="utf-8").split("\n## ")[1:]:
            named = PROGRAM.search(section)
            if named and "\n|---" in section:
                found.append((page, named[1], named[2], section))
    return found


def figures_of_tables(section: str) -> set[str]:
    """The numbers in the cells of a section's tables, but for their heads and first columns."""
    rows = re.findall(r"(?m)^\|[ -]*---.*\n((?:\|.*\n?)+)", section)
    cells = [cell for body in rows for row in body.splitlines() for cell in row.strip("|").split("|")[1:]]
    return {figure for cell in cells for figure in FIGURE.findall(cell)}


def test_there_are_such_sections_in_both_pages() -> None:
    assert {page for page, *_ in measured_sections()} == set(PAGES)


@pytest.mark.parametrize(
    ("program", "date", "section"),
    [pytest.param(*rest, id=f"{page}: {rest[0]}") for page, *rest in measured_sections()],
)
def test_figures_are_those_of_the_result_file(program: str, date: str, section: str) -> None:
    path = {"transport_bench": "transport", "faiss_bench": "faiss"}.get(program, program)
    results = (ROOT / "benchmarks" / "results" / f"{path}.md").read_text(encoding="utf-8")
    assert date in results
    assert figures_of_tables(section) - set(FIGURE.findall(results)) == set()
