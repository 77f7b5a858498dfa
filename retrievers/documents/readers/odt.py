"""Readers of OpenDocument: ODT, ODP and ODS, and their flat forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.archive import (
    DamagedPartError,
    Parts,
    checked_xml,
    local_name,
    parse_xml,
)
from llama_bedrock.retrievers.documents.readers.drawing import table_row
from llama_bedrock.retrievers.documents.readers.file_content import FileContent
from llama_bedrock.retrievers.documents.readers.table_rows import Row, row_records

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_DELETED = frozenset({"tracked-changes", "sequence-decls", "forms", "variable-decls", "user-field-decls"})
_MAX_COLUMNS = 16_384
_MAX_FLAT_NODES = 3_000_000


def read_odt(content: FileContent) -> Iterator[Document]:
    """Text documents give one document, presentations one per slide. Headings, lists and tables keep their
    structure; notes and comments follow the paragraph that calls them; deletions are not read.
    """
    root, styles, objects = _content(content)
    body = root.find(f".//{_OFFICE}body")
    title = root.findtext(".//{http://purl.org/dc/elements/1.1/}title") or _title(content)
    slides = list(body.iterfind("{*}presentation/{*}page")) if body is not None else []
    found = False
    for number, slide in enumerate(slides, 1):
        if text := "\n\n".join(_Blocks(content).of(slide)):
            found = True
            yield content.document(text, format="markdown", part=str(number), page=number, title=title)
    if slides and objects:
        yield content.document("\n\n".join(objects), format="markdown", part="objects", title=title)
    if not slides and body is not None:
        blocks = [block for part in body for block in _Blocks(content).of(part)]
        margins = [
            block
            for kind in ("header", "footer")
            for part in (styles.iter(f"{{*}}{kind}") if styles is not None else ())
            for block in _Blocks(content).of(part)
        ]
        text = "\n\n".join([*blocks, *objects, *dict.fromkeys(margins)])
        if text:
            found = True
            first = next((block.lstrip("# ") for block in blocks if block.startswith("# ")), None)
            yield content.document(text, format="markdown", title=title or first)
    if not found:
        raise ValueError("no text in it")


def read_ods(content: FileContent) -> Iterator[Document]:
    """One document per row, as ``column: value`` lines, sheet after sheet. Values are as shown."""
    root, _, objects = _content(content)
    found = False
    for table in root.iter(f"{_TABLE}table"):
        name = table.get(f"{_TABLE}name", "")
        for row, record in row_records(_rows(table, content), content.budget):
            found = True
            yield content.document(record, format="record", part=f"{name}\0{row}", row=row, heading=name)
    for number, text in enumerate(objects):
        found = True
        yield content.document(text, format="record", part=f"object {number}", heading="objects")
    if not found:
        raise ValueError("tables without rows")


def _content(content: FileContent) -> tuple[Any, Any, list[str]]:
    """The roots of a file's content and of its styles, where page headers are, and the words of the charts,
    formulas and tables embedded in it.
    """
    if content.data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):  # a flat file
        data = checked_xml(content.data)
        if data.count(b"<") + data.count(b"=") > _MAX_FLAT_NODES:
            raise ValueError(f"it holds more than {_MAX_FLAT_NODES:,} elements and attributes")
        root = parse_xml(data, "OpenDocument file")
        return root, root, []
    parts = Parts(content, "OpenDocument file")
    if b"encryption-data" in _manifest(parts):
        raise ValueError("encrypted: save it without its password")
    styles = parts.tree_if_sound("styles.xml")
    objects = []
    for name in parts.names():
        tree = parts.tree_if_sound(name) if name.endswith("/content.xml") else None
        if tree is not None:
            objects.append("\n\n".join(_Blocks(content).of(tree)) or " ".join(_formula(tree).split()))
    root = parts.tree_if_sound("content.xml")
    if root is None:
        raise ValueError("not a readable OpenDocument file (it has no content.xml)")
    return root, styles, [text for text in objects if text]


def _manifest(parts: Parts) -> bytes:
    """The list of parts; as bytes, for those of OpenOffice name a DTD."""
    name = "META-INF/manifest.xml"
    try:
        return parts.read(name) if parts.has(name) else b""
    except DamagedPartError as error:
        parts.leave_out(name, str(error))
        return b""


def _formula(tree: Any) -> str:
    """The words of a formula; what it was typed as repeats them."""
    return " ".join(e.text or "" for e in tree.iter("{*}mi", "{*}mn", "{*}mo", "{*}mtext"))


def _title(content: FileContent) -> str | None:
    if content.data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return None
    about = Parts(content, "OpenDocument file").tree_if_sound("meta.xml")
    title: str | None = (
        None if about is None else about.findtext(".//{http://purl.org/dc/elements/1.1/}title")
    )
    return title


class _Blocks:
    """The blocks of a text or a slide."""

    def __init__(self, content: FileContent) -> None:
        self._content = content
        self._after: list[str] = []

    def of(self, container: Any, mark: str = "") -> Iterator[str]:
        """The blocks in an element."""
        self._content.budget.check_time()
        for element in container:
            name = local_name(element)
            if name in ("p", "h"):
                yield from self._paragraph(element, mark)
            elif name == "table":
                if rows := [row for row in self._table(element) if any(row)]:
                    yield "\n".join(map(table_row, rows))
            elif name == "list-item":
                yield from self.of(element, "- ")
            elif name == "frame" and element.get(f"{_PRESENTATION}class") == "title":
                if title := " ".join(" ".join(self.of(element)).split()):
                    yield f"# {title}"
            elif name == "notes" and element.get(f"{_PRESENTATION}class") is None:
                yield from self.of(element)
            elif (
                name in ("title", "desc")
                and not len(element)
                and (text := " ".join("".join(element.itertext()).split()))
            ):
                yield f"[{text}]"
            elif name not in _DELETED:
                yield from self.of(element, mark)

    def _paragraph(self, paragraph: Any, mark: str) -> Iterator[str]:
        outer, self._after = self._after, []
        text = "".join(self._inline(paragraph)).strip()
        after, self._after = self._after, outer
        if text:
            level = paragraph.get(f"{_TEXT}outline-level", "1")
            is_heading = local_name(paragraph) == "h" and level.isdigit()
            yield f"{'#' * min(int(level), 6)} {' '.join(text.split())}" if is_heading else f"{mark}{text}"
        yield from after

    def _inline(self, element: Any) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            name = local_name(child)
            if name == "s":
                count = child.get(f"{_TEXT}c", "1")
                yield " " * min(int(count) if count.isdigit() else 1, 100)
            elif name in ("tab", "line-break"):
                yield "\t" if name == "tab" else "\n"
            elif name == "note":
                yield from self._note(child)
            elif name == "annotation":
                author = child.findtext("{http://purl.org/dc/elements/1.1/}creator") or "a reader"
                texts = [text for p in child.iterfind("{*}p") if (text := "".join(self._inline(p)))]
                self._after.append(f"Comment by {author}: {' '.join(texts)}")
            elif name == "ruby":
                base, reading = child.find("{*}ruby-base"), child.find("{*}ruby-text")
                yield "".join(self._inline(base)) if base is not None else ""
                if reading is not None:
                    yield f"({''.join(self._inline(reading))})"
            elif name in ("frame", "text-box", "custom-shape", "g", "image", "object"):
                self._after.extend(self.of(child))
            elif name not in _DELETED:
                yield from self._inline(child)
            yield child.tail or ""

    def _note(self, note: Any) -> Iterator[str]:
        mark = f"[^{note.findtext(f'{_TEXT}note-citation') or ''}]"
        yield mark
        body = note.find(f"{_TEXT}note-body")
        if body is not None:
            self._after.append(f"{mark}: " + "\n".join(self.of(body)))

    def _table(self, table: Any) -> Iterator[list[str]]:
        for row in table.iter(f"{_TABLE}table-row"):
            yield [
                " ".join(" ".join(block.split()) for block in self.of(cell))
                for cell in row
                if local_name(cell) == "table-cell"
            ]


def _rows(table: Any, content: FileContent) -> Iterator[Row]:
    number = 1
    for row in table.iter(f"{_TABLE}table-row"):
        cells: list[str] = []
        empty = 0
        for cell in row:
            if local_name(cell) not in ("table-cell", "covered-table-cell"):
                continue
            text = "\n".join(_Blocks(content).of(cell))
            count = min(_number(cell.get(f"{_TABLE}number-columns-repeated")), _MAX_COLUMNS)
            if not text:
                empty += count  # repeated to the end of the sheet: made only where others follow
                continue
            count = min(count, _MAX_COLUMNS - len(cells))
            content.budget.spend(len(text) * count)
            cells.extend([""] * min(empty, _MAX_COLUMNS - len(cells)))
            cells.extend([text] * count)
            empty = 0
        yield number, cells
        number += _number(row.get(f"{_TABLE}number-rows-repeated"))


def _number(text: str | None) -> int:
    return min(int(text), 1 << 30) if text and text.isdigit() and len(text) < 12 else 1
