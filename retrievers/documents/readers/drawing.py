"""What Word's, PowerPoint's and Excel's files share: words in drawings (DrawingML), and the title."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llama_bedrock.retrievers.documents.readers.archive import local_name

DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_TEXT, _BREAK, _PARAGRAPH, _FIELD = (f"{DRAWING}{name}" for name in ("t", "br", "p", "fld"))


def core_title(package: Any) -> str | None:
    """The title in the properties of a document or deck; None where they are damaged."""
    try:
        return package.core_properties.title or None
    except (KeyError, ValueError, AttributeError):  # there may be two of them, or of a wrong type
        return None


def chosen(element: Any) -> Any:
    """Of what is there in an old and a new form, the one to read: the first that holds words."""
    forms = [child for child in element if local_name(child) in ("Choice", "Fallback")]
    return next((form for form in forms if any(e.text for e in form.iter(_TEXT, "{*}t"))), forms[:1] or [])


def paragraphs(element: Any, *, fields: bool = True) -> Iterator[str]:
    """The text of each paragraph that has some; without ``fields``, only what somebody typed."""
    for paragraph in element.iter(_PARAGRAPH):
        parts = (
            " " if part.tag == _BREAK else part.text or ""
            for part in paragraph.iter(_TEXT, _BREAK)
            if fields or part.getparent().tag != _FIELD
        )
        if text := " ".join("".join(parts).split()):
            yield text


def table_rows(table: Any) -> Iterator[str]:
    """The rows of a table; a merged cell's text stands once."""
    for row in table.iterfind("{*}tr"):
        cells = [
            " ".join(paragraphs(cell))
            for cell in row.iterfind("{*}tc")
            if cell.get("hMerge") not in ("1", "true") and cell.get("vMerge") not in ("1", "true")
        ]
        if any(cells):
            yield table_row(cells)


def table_row(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def chart_text(chart: Any) -> str:
    """Titles of a chart and its axes, labels that somebody wrote or took from cells, then its numbers as a
    table of categories and series.
    """
    titles = [" ".join(paragraphs(title)) for title in chart.iter("{*}title")]
    series = list(chart.iter("{*}ser"))
    names = [" ".join(_cached(node.find("{*}tx")).values()) for node in series]
    categories: dict[str, str] = {}
    for node in series:
        for kind in ("cat", "xVal"):
            for index, value in _cached(node.find(f"{{*}}{kind}")).items():
                categories.setdefault(index, value)
    values = [_cached(node.find("{*}val")) or _cached(node.find("{*}yVal")) for node in series]
    labels = [" ".join(paragraphs(label, fields=False)) for label in chart.iter("{*}dLbl")]
    labels += [text for cells in chart.iter("{*}dlblRangeCache") for text in _cached(cells).values()]
    lines = [line for line in (*titles, ", ".join(filter(None, labels))) if line]
    if any(names) or categories:
        lines.append(table_row(["", *names]))
        indexes = categories or dict.fromkeys(index for column in values for index in column)
        lines += [
            table_row([categories.get(index, ""), *(column.get(index, "") for column in values)])
            for index in indexes
        ]
    return "\n".join(lines)


def _cached(reference: Any) -> dict[str, str]:
    """The values that a chart keeps of a range of cells, by their index."""
    if reference is None:
        return {}
    points: dict[str, str] = {}
    # A range of several columns has a level for each, the innermost first; an outer one names the first of
    # those that it stands for.
    for point in reference.iter("{*}pt"):
        if (value := point.find("{*}v")) is not None:
            index, text = point.get("idx", ""), " ".join((value.text or "").split())
            points[index] = f"{text}, {points[index]}" if index in points else text
    if points:
        return points
    value = reference.find("{*}v")
    return {} if value is None or not value.text else {"0": value.text}


def smart_art_text(data: Any) -> str:
    """The words of a diagram, as a list."""
    return "\n".join(f"- {text}" for text in paragraphs(data))
