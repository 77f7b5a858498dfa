"""Reader of XLSX."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.archive import Package
from llama_bedrock.retrievers.documents.readers.csv import row_records
from llama_bedrock.retrievers.documents.readers.file_content import MAX_FILE_BYTES, FileContent

_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MAX_UNPACKED = 4 * MAX_FILE_BYTES
_MAX_COLUMNS = 16_384  # Excel's own
# Formats of numbers that are dates: those built in, and those of the file's own that hold a date's letters.
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_NO_DATE = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|General', re.IGNORECASE)


def read_xlsx(content: FileContent) -> Iterator[Document]:
    """One document a row, as ``column: value`` lines, sheet after sheet, each under its sheet's name. The
    first row of a sheet names the columns; of formulas the saved results are read.
    """
    package = Package(content.data, "XLSX")
    name = "xl/workbook.xml"
    workbook, related = package.part(name), package.related(name)
    reader = _CellReader(package, workbook)
    found = False
    for sheet in workbook.iterfind("{*}sheets/{*}sheet"):
        kind, part = related.get(sheet.get(_RELATION, ""), ("", ""))
        if kind != "worksheet":
            continue
        title = sheet.get("name", part)
        for row, record in row_records(reader.rows(package.part(part))):
            found = True
            yield content.document(record, format="record", part=f"{title}\0{row}", row=row, heading=title)
    if not found:
        raise ValueError("tables without rows")


class _CellReader:
    """Values of cells as text."""

    def __init__(self, package: Package, workbook: Element) -> None:
        related = dict(package.related("xl/workbook.xml").values())
        self._shared: list[str] = []
        if "sharedStrings" in related:
            self._shared = [_rich(item) for item in package.part(related["sharedStrings"]).iterfind("{*}si")]
        self._dates: set[int] = set()
        if "styles" in related:
            self._dates = _date_styles(package.part(related["styles"]))
        properties = workbook.find("{*}workbookPr")
        since_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        self._epoch = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)

    def rows(self, sheet: Element) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each row."""
        for count, row in enumerate(sheet.iterfind("{*}sheetData/{*}row"), 1):
            cells: list[str] = []
            for cell in row.iterfind("{*}c"):
                column = _column(cell.get("r", ""))
                if column is not None and len(cells) < column < _MAX_COLUMNS:
                    cells += [""] * (column - len(cells))
                cells.append(self._text(cell))
            yield int(row.get("r") or count), cells

    def _text(self, cell: Element) -> str:
        kind, value = cell.get("t", "n"), cell.findtext("{*}v") or ""
        if kind == "inlineStr":
            inline = cell.find("{*}is")
            return "" if inline is None else _rich(inline)
        if kind == "s":
            return self._shared[int(value)] if value.isdigit() and int(value) < len(self._shared) else ""
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, value)
        if kind != "n" or not value:
            return value
        return self._number(value, is_date=int(cell.get("s") or 0) in self._dates)

    def _number(self, value: str, *, is_date: bool) -> str:
        try:
            number = float(value)
            if not is_date:
                return f"{number:.15g}"
            moment = self._epoch + timedelta(seconds=round(number * 86_400))
        except (ValueError, OverflowError):
            return value
        if number < 1:
            return moment.strftime("%H:%M:%S")
        return moment.date().isoformat() if number == int(number) else moment.isoformat(sep=" ")


def _rich(item: Element) -> str:
    """The text of a string that may be in several formats; readings of Japanese words are left out."""
    runs = item.iterfind("{*}r/{*}t") if item.find("{*}r") is not None else item.iterfind("{*}t")
    return "".join(run.text or "" for run in runs)


def _date_styles(styles: Element) -> set[int]:
    """Numbers of the cell styles that show a number as a date or time."""
    own = {
        int(format.get("numFmtId", "0"))
        for format in styles.iterfind("{*}numFmts/{*}numFmt")
        if re.search("[ymdhs]", _NO_DATE.sub("", format.get("formatCode", "")), re.IGNORECASE)
    }
    formats = (int(style.get("numFmtId") or 0) for style in styles.iterfind("{*}cellXfs/{*}xf"))
    return {number for number, format in enumerate(formats) if format in _DATE_FORMATS or format in own}


def _column(reference: str) -> int | None:
    """The column of a cell's name, from 0: ``"AB7"`` gives 27."""
    letters = re.match("[A-Z]{1,3}", reference)
    if letters is None:
        return None
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - 64
    return number - 1
