"""Reader of PPTX."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.archive import Package
from llama_bedrock.retrievers.documents.readers.file_content import MAX_FILE_BYTES, FileContent

_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MAX_UNPACKED = 4 * MAX_FILE_BYTES


def read_pptx(content: FileContent) -> Iterator[Document]:
    """One document a slide that holds text: its title as heading, its paragraphs and tables, its notes."""
    package = Package(content.data, "PPTX")
    name = "ppt/presentation.xml"
    related = package.related(name)
    ids = [slide.get(_RELATION, "") for slide in package.part(name).iterfind(".//{*}sldIdLst/{*}sldId")]
    title = package.title()
    found = False
    for number, (_, slide) in enumerate((related[id_] for id_ in ids if id_ in related), 1):
        try:
            text = _slide_text(package, slide)
        except ValueError as error:
            content.report(f"slide {number} cannot be read ({error})")
            continue
        if text:
            found = True
            yield content.document(text, format="markdown", part=str(number), page=number, title=title)
    if not found:
        raise ValueError(f"no text in its {len(ids)} slides")


def _slide_text(package: Package, name: str) -> str:
    blocks = [block for shape in package.part(name).iterfind(".//{*}spTree/*") for block in _shape(shape)]
    blocks.sort(key=lambda block: not block.startswith("# "))
    for kind, notes in package.related(name).values():
        if kind == "notesSlide":
            blocks += [
                block
                for shape in package.part(notes).iterfind(".//{*}sp")
                if _placeholder(shape) == "body"
                for block in _paragraphs(shape)
            ]
    return "\n\n".join(blocks)


def _shape(shape: Element) -> Iterator[str]:
    tables = list(shape.iter(f"{_DRAWING}tbl"))
    if tables:
        for table in tables:
            rows = table.iterfind("{*}tr")
            cells = ([" ".join(_paragraphs(cell)) for cell in row.iterfind("{*}tc")] for row in rows)
            yield "\n".join("| " + " | ".join(row) + " |" for row in cells)
    elif _placeholder(shape) in ("title", "ctrTitle"):
        if title := " ".join(_paragraphs(shape)):
            yield f"# {title}"
    else:
        yield from _paragraphs(shape)


def _placeholder(shape: Element) -> str | None:
    found = shape.find("{*}nvSpPr/{*}nvPr/{*}ph")
    return None if found is None else found.get("type", "body")


def _paragraphs(element: Element) -> Iterator[str]:
    for paragraph in element.iter(f"{_DRAWING}p"):
        parts = (
            " " if part.tag == f"{_DRAWING}br" else part.text or ""
            for part in paragraph.iter()
            if part.tag in (f"{_DRAWING}t", f"{_DRAWING}br")
        )
        if text := " ".join("".join(parts).split()):
            yield text
