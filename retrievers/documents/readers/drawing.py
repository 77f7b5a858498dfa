"""What Word's, PowerPoint's and Excel's files share: words in drawings (DrawingML), and the title."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llama_bedrock.retrievers.documents.readers.archive import local_name

DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_CHART_OF_2016 = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"
_TEXT, _BREAK, _PARAGRAPH, _FIELD = (f"{DRAWING}{name}" for name in ("t", "br", "p", "fld"))


def core_title(package: Any) -> str | None:
    """The title in the properties of a document or deck; None where they are damaged."""
    try:
        return package.core_properties.title or None
    except (KeyError, ValueError, AttributeError):  # there may be two of them, or of a wrong type
        return None


def chosen(element: Any) -> Any:
    """Of what is there in an old and a new form, the one to read: the first that holds words or a chart."""
    forms = [child for child in element if local_name(child) in ("Choice", "Fallback")]
    for form in forms:
        if any(e.text or local_name(e) == "chart" for e in form.iter(_TEXT, "{*}t", "{*}chart")):
            return form
    return forms[:1]


def shown_paragraphs(drawing: Any) -> Iterator[str]:
    """The paragraphs of a drawing; of what is there in two forms, those of the one to read."""
    for either in list(drawing.iter("{*}AlternateContent")):
        kept = chosen(either)
        for form in list(either):
            if form is not kept:
                either.remove(form)
    yield from paragraphs(drawing)


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


def chart_part_text(part: Any, root_of: Callable[[Any], Any]) -> str:
    """The words of a chart, and of what is drawn on it."""
    shapes = [
        relation.target_part
        for relation in part.rels.values()
        if relation.reltype.endswith("/chartUserShapes") and not relation.is_external
    ]
    drawn = (text for shape in shapes for text in shown_paragraphs(root_of(shape)))
    return "\n".join(filter(None, [chart_text(root_of(part)), *drawn]))


def chart_text(chart: Any) -> str:
    """Titles of a chart and its axes, labels that somebody wrote or took from cells, then its numbers as a
    table of categories and series.
    """
    if chart.tag.startswith(_CHART_OF_2016):
        return _chart_of_2016_text(chart)
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


def _chart_of_2016_text(chart: Any) -> str:
    """The same of a waterfall, treemap, sunburst, funnel, histogram, box plot or map."""
    lines = [" ".join(paragraphs(title)) or _value(title) for title in chart.iter("{*}title")]
    names: dict[str, list[str]] = {}
    for series in chart.iter("{*}series"):
        title, data = series.find("{*}tx"), series.find("{*}dataId")
        name = "" if title is None else " ".join(paragraphs(title)) or _value(title)
        names.setdefault("" if data is None else data.get("val", ""), []).append(name)
    for data in chart.iter("{*}data"):
        categories, values = (_points(data.iter(f"{{*}}{kind}")) for kind in ("strDim", "numDim"))
        name = ", ".join(filter(None, names.pop(data.get("id", ""), ())))
        rows = [(categories.get(at, ""), values.get(at, "")) for at in dict.fromkeys([*categories, *values])]
        lines += [table_row(list(row)) for row in (("", name), *rows) if any(row)]
    lines += [name for left in names.values() for name in left]
    return "\n".join(filter(None, lines))


def _points(dimensions: Iterator[Any]) -> dict[str, str]:
    """What stands at each place of a dimension; of several levels, the innermost of which is first, all."""
    points: dict[str, str] = {}
    for dimension in dimensions:
        for point in dimension.iter("{*}pt"):
            index, text = point.get("idx", ""), _value(point) or " ".join((point.text or "").split())
            points[index] = ", ".join(filter(None, [text, points.get(index)]))
    return points


def _value(element: Any) -> str:
    return " ".join(" ".join(value.text or "" for value in element.iter("{*}v")).split())


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
