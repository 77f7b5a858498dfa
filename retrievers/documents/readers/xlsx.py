"""Reader of Excel's files: XLSX, XLSM, XLTX. Cells are read by openpyxl in its read-only mode."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.archive import Parts, parse_xml
from llama_bedrock.retrievers.documents.readers.drawing import chart_text, paragraphs, smart_art_text
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadLimitError
from llama_bedrock.retrievers.documents.readers.number_format import shown
from llama_bedrock.retrievers.documents.readers.table_rows import Row, row_records

_WITHOUT_RESULT = (b"</f></c>", b"</f><v/></c>", b"</f><v></v></c>", b"</f><v /></c>")


def read_xlsx(content: FileContent) -> Iterator[Document]:
    """One document per row, as ``column: value`` lines, sheet after sheet, each under its sheet's name; then
    comments, text boxes and charts. Numbers and dates are as shown; of formulas the saved results are read.
    """
    openpyxl = require("openpyxl", "local")
    parts = Parts(content, "XLSX", as_trees=False)
    file = parts.office_file()
    book = _opened(openpyxl, file)
    found = False
    try:
        for document in _sheets(book, content):
            found = True
            yield document
    finally:
        book.close()
    for name, text in _beside_cells(file):
        found = True
        yield content.document(text, format="record", part=name, heading=name)
    _report_formulas(file, content)
    if not found:
        raise ValueError("tables without rows")


def _opened(openpyxl: Any, file: io.BytesIO) -> Any:
    """The workbook; of its styles only the formats of numbers, if openpyxl refuses them."""
    options = {"read_only": True, "data_only": True, "keep_links": False}
    refused = (zipfile.BadZipFile, KeyError, TypeError, AttributeError, SyntaxError, OSError)
    try:
        return openpyxl.load_workbook(file, **options)
    except refused as error:
        with suppress(*refused, ValueError):
            return openpyxl.load_workbook(_with_plain_styles(file), **options)
        raise ValueError(f"not a readable XLSX ({error})") from error


def _with_plain_styles(file: io.BytesIO) -> io.BytesIO:
    lean = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(lean, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            copy.writestr(name, _plain_styles(data) if name == "xl/styles.xml" else data)
    return lean


def _plain_styles(data: bytes) -> bytes:
    """Formats of numbers, and which cells have them: what is refused is mostly fonts, fills and names."""
    styles = parse_xml(data, "XLSX")
    etree = require("lxml.etree", "local")
    plain = etree.Element(styles.tag)
    namespace = styles.tag.rpartition("}")[0] + "}"
    formats = etree.SubElement(plain, f"{namespace}numFmts")
    for known in styles.iterfind("{*}numFmts/{*}numFmt"):
        etree.SubElement(formats, f"{namespace}numFmt", dict(known.attrib))
    for path in ("fonts/font", "fills/fill/patternFill", "borders/border", "cellStyleXfs/xf"):
        element = plain
        for name in path.split("/"):
            element = etree.SubElement(element, namespace + name)
    cells = etree.SubElement(plain, f"{namespace}cellXfs")
    for cell in styles.iterfind("{*}cellXfs/{*}xf"):
        etree.SubElement(cells, f"{namespace}xf", numFmtId=cell.get("numFmtId", "0"))
    return bytes(etree.tostring(plain))


def _sheets(book: Any, content: FileContent) -> Iterator[Document]:
    read: set[str] = set()
    again: list[str] = []
    for sheet in book.worksheets:
        title = sheet.title
        part = getattr(sheet, "_worksheet_path", title)
        if part in read:
            again.append(title)
            continue
        read.add(part)
        try:
            sheet.reset_dimensions()  # what a file claims about its size is often wrong
            for row, record in row_records(_rows(sheet), content.budget):
                yield content.document(
                    record, format="record", part=f"{title}\0{row}", row=row, heading=title
                )
        except ReadLimitError:
            raise
        except Exception as error:  # noqa: BLE001  one damaged sheet must not hide the others
            content.report(f"sheet {title!r} cannot be read to its end ({type(error).__name__}: {error})")
    if again:
        content.report(
            f"{len(again):,} sheets are others once more ({', '.join(again[:3])} …); each is read once"
        )


def _rows(sheet: Any) -> Iterator[Row]:
    for number, cells in enumerate(sheet.iter_rows(), 1):
        yield number, [_cell(cell) for cell in cells]


def _cell(cell: Any) -> str:
    value = cell.value
    if value is None or isinstance(value, str):
        return value or ""
    return shown(value, cell.number_format or "General")


def _beside_cells(file: Any) -> Iterator[tuple[str, str]]:
    """The words of comments, drawings, charts and diagrams, with a name for each kind."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            folder, _, base = name.removeprefix("xl/").rpartition("/")
            kind = folder.rpartition("/")[2] or base.rstrip("0123456789.xml")
            if name.endswith(".rels") or not name.startswith("xl/") or "/_rels" in folder:
                continue
            if kind in ("comments", "threadedComments"):
                text = "\n".join(_comments(parse_xml(archive.read(name), "XLSX")))
            elif kind == "drawings" and base.endswith(".xml"):
                text = "\n".join(paragraphs(parse_xml(archive.read(name), "XLSX")))
            elif kind == "charts" and base.startswith("chart"):
                text = chart_text(parse_xml(archive.read(name), "XLSX"))
            elif kind == "diagrams" and base.startswith("data"):
                text = smart_art_text(parse_xml(archive.read(name), "XLSX"))
            else:
                continue
            if text:
                yield kind, text


def _comments(root: Any) -> Iterator[str]:
    for comment in root.iter("{*}comment", "{*}threadedComment"):
        text = "".join(part.text or "" for part in comment.iter("{*}t", "{*}text"))
        if text.strip():
            yield f"Comment on {comment.get('ref', 'a cell')}: {' '.join(text.split())}"


def _report_formulas(file: Any, content: FileContent) -> None:
    """Programs save formulas with their results; libraries may save them without."""
    count = 0
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/"):
                data = archive.read(name)
                count += sum(data.count(end) for end in _WITHOUT_RESULT)
    if count:
        content.report(
            f"{count:,} formulas are saved without results, and left out; "
            "open the file in Excel or LibreOffice and save it"
        )
