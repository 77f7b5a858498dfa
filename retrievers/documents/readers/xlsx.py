"""Reader of Excel's files: XLSX, XLSM, XLTX. Cells are read by openpyxl in its read-only mode."""

from __future__ import annotations

import html
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.archive import REFUSALS, Parts, local_name, parse_xml
from llama_bedrock.retrievers.documents.readers.drawing import chart_text, shown_paragraphs, smart_art_text
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadLimitError
from llama_bedrock.retrievers.documents.readers.number_format import shown
from llama_bedrock.retrievers.documents.readers.table_rows import Row, row_records

_NUMBER = re.compile(r"\d*\.xml$")  # of a part
_MARGIN = re.compile(rb"<(?:\w{1,20}:)?(?:odd|even|first)(?:Header|Footer)(?:\s[^<>]{0,80})?>([^<]+)<")
_MARGIN_CODE = re.compile(r'&(?:"[^"]*"|K[\dA-Fa-f]{6}|K\d\d[+-]\d{3}|\d{1,3}|[LCRPNDTZFAGBIUESXYOH])')
_STYLES = "xl/styles.xml"
_MANY_STYLES = 500_000  # bytes
_WITHOUT_RESULT = (b"</f></c>", b"</f><v/></c>", b"</f><v></v></c>", b"</f><v /></c>")


def read_xlsx(content: FileContent) -> Iterator[Document]:
    """One document per row, as ``column: value`` lines, sheet after sheet, each under its sheet's name; then
    comments, text boxes and charts. Numbers and dates are as shown; of formulas the saved results are read.
    """
    with warnings.catch_warnings():
        # Of extensions that openpyxl does not know, and need not; each would be a line on the terminal.
        warnings.filterwarnings("ignore", module="openpyxl")
        yield from _documents(content)


def _documents(content: FileContent) -> Iterator[Document]:
    openpyxl = require("openpyxl", "local")
    parts = Parts(content, "XLSX", as_trees=False)
    book, file = parts.opened(lambda file: (_opened(openpyxl, file), file))
    found = False
    _report_sheets_of_no_name(book, parts, content)
    try:
        for document in _sheets(book, content):
            found = True
            yield document
    finally:
        book.close()
    parts.report_embedded()
    for name, text in _beside_cells(file, content):
        found = True
        yield content.document(text, format="record", part=name, heading=name)
    _report_formulas(file, content)
    if not found:
        raise ValueError("tables without rows")


def _opened(openpyxl: Any, file: io.BytesIO) -> Any:
    """The workbook; of its styles only the formats of numbers, if openpyxl refuses them, or they are many:
    it takes 4 s per MB of them, and they grow with every sheet copied from another workbook.
    """
    options = {"read_only": True, "data_only": True, "keep_links": False}
    if _styles_size(file) > _MANY_STYLES:
        with suppress(*REFUSALS):
            return openpyxl.load_workbook(_with_plain_styles(file), **options)
    try:
        return openpyxl.load_workbook(file, **options)
    except REFUSALS:
        with suppress(*REFUSALS):
            return openpyxl.load_workbook(_with_plain_styles(file), **options)
        raise


def _styles_size(file: io.BytesIO) -> int:
    with zipfile.ZipFile(file) as archive:
        return next((entry.file_size for entry in archive.infolist() if entry.filename == _STYLES), 0)


def _with_plain_styles(file: io.BytesIO) -> io.BytesIO:
    lean = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(lean, "w") as copy:
        for name in dict.fromkeys(archive.namelist()):
            if not name.startswith("docProps/"):  # author and dates, which may be refused as well
                data = archive.read(name)
                copy.writestr(name, _plain_styles(data) if name == _STYLES else data)
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


def _report_sheets_of_no_name(book: Any, parts: Parts, content: FileContent) -> None:
    """Sheets that the workbook does not list, or lists without saying which part they are."""
    known = {getattr(sheet, "_worksheet_path", "").lstrip("/") for sheet in book.worksheets}
    others = [
        name
        for name in parts.names()
        if name.startswith("xl/worksheets/") and name.endswith(".xml") and name not in known
    ]
    if others:
        content.report(f"the workbook does not list {', '.join(others[:5])}: left out")


def _rows(sheet: Any) -> Iterator[Row]:
    for number, cells in enumerate(sheet.iter_rows(), 1):
        yield number, [_cell(cell) for cell in cells]


def _cell(cell: Any) -> str:
    value = cell.value
    if value is None or isinstance(value, str):
        return value or ""
    format = "General"
    with suppress(IndexError):  # the styles were damaged, and are left out
        format = cell.number_format or format
    return shown(value, format)


def _beside_cells(file: Any, content: FileContent) -> Iterator[tuple[str, str]]:
    """The words of comments, drawings, charts, diagrams, phonetic guides and page margins, by their kind."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            folder, _, base = name.removeprefix("xl/").rpartition("/")
            what = _NUMBER.sub("", base)
            kind = folder.rpartition("/")[2] or what
            if not base.endswith(".xml") or not name.startswith("xl/"):
                continue
            if kind in ("macrosheets", "dialogsheets"):
                content.report(f"{name} is a sheet of a kind that is not read")
                continue
            if kind in ("sharedStrings", "worksheets", "chartsheets"):
                data = archive.read(name)
                with suppress(SyntaxError):  # its cells have told
                    if b"rPh" in data and (text := "\n".join(_phonetic_guides(data, content))):
                        yield "phonetic guides", text
                kind, text = "page headers and footers", "\n".join(_margins(data))
            elif read := _BESIDE.get((kind, what)) or _BESIDE.get((kind, "")):
                try:
                    text = read(parse_xml(archive.read(name), "XLSX"))
                except ValueError as error:
                    content.report(f"{name} cannot be read ({error})")
                    continue
            else:
                continue
            if text:
                yield kind, text


def _comments(root: Any) -> Iterator[str]:
    for comment in root.iter("{*}comment", "{*}threadedComment"):
        text = "".join(part.text or "" for part in comment.iter("{*}t", "{*}text"))
        if text.strip():
            yield f"Comment on {comment.get('ref', 'a cell')}: {' '.join(text.split())}"


def _lines(read: Callable[[Any], Iterable[str]]) -> Callable[[Any], str]:
    return lambda root: "\n".join(read(root))


# Readers of the parts beside the sheets, by their folder and how their names begin.
_BESIDE: dict[tuple[str, str], Callable[[Any], str]] = {
    ("comments", ""): _lines(_comments),
    ("threadedComments", ""): _lines(_comments),
    ("drawings", ""): _lines(shown_paragraphs),
    ("charts", "chart"): chart_text,
    ("charts", "chartEx"): chart_text,
    ("diagrams", "data"): smart_art_text,
}


def _phonetic_guides(data: bytes, content: FileContent) -> Iterator[str]:
    """Each text of the workbook that has readings above it (furigana), with these: ``東京 (トウキョウ)``."""
    etree = require("lxml.etree", "local")
    for _, string in etree.iterparse(io.BytesIO(data), tag=("{*}si", "{*}is", "{*}row")):
        readings = "".join(t.text or "" for t in string.iterfind("{*}rPh/{*}t"))
        if readings:
            base = "".join(t.text or "" for t in string.iter("{*}t") if local_name(t.getparent()) != "rPh")
            content.budget.spend(len(base) + len(readings))
            yield f"{base} ({readings})"
        string.clear()


def _margins(data: bytes) -> Iterator[str]:
    """The words of a sheet's page headers and footers, without codes such as ``&P``, the page's number."""
    for margin in dict.fromkeys(_MARGIN.findall(data)):
        text = _MARGIN_CODE.sub(" ", html.unescape(margin.decode("utf-8", "replace")))
        if text := " ".join(text.replace("&&", "&").split()):
            yield text


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
