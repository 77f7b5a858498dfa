"""Readers of PDF and DOCX."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.by_format import MAX_FILE_BYTES, FileContent


def read_pdf(content: FileContent) -> Iterator[Document]:
    """One document a page that holds text."""
    pypdf = require("pypdf", "local")
    try:
        reader = pypdf.PdfReader(io.BytesIO(content.data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("encrypted; save it without its password")
        page_count = len(reader.pages)
    except pypdf.errors.PyPdfError as error:
        raise ValueError(f"not a readable PDF ({error})") from error
    title = _pdf_title(reader)
    found = False
    for number in range(1, page_count + 1):
        try:
            text = reader.pages[number - 1].extract_text()
        except Exception as error:  # noqa: BLE001  one damaged page must not hide the others
            content.report(f"page {number} cannot be read ({type(error).__name__}: {error})")
            continue
        if text.strip():
            found = True
            yield content.document(text, format="pdf", part=str(number), page=number, title=title)
    if not found:
        raise ValueError(f"no text in its {page_count} pages (scanned images need OCR first)")


def _pdf_title(reader: Any) -> str | None:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:  # noqa: BLE001  damaged document information is no reason to skip the pages
        return None
    return title.strip() if isinstance(title, str) else None


def read_docx(content: FileContent) -> Iterator[Document]:
    """The body in its order as Markdown-like text: headings, lists and tables keep their structure."""
    docx = require("docx", "local")
    try:
        with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist() if entry.filename.endswith(".xml"))
        if unpacked > 4 * MAX_FILE_BYTES:
            raise ValueError(f"its text unpacks to {unpacked / 1e6:.0f} MB, over the limit")
        document = docx.Document(io.BytesIO(content.data))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"not a readable DOCX ({error})") from error
    blocks = [block for item in document.iter_inner_content() if (block := _docx_block(item))]
    text = "\n\n".join(blocks).strip()
    if not text:
        raise ValueError("no text in it")
    title = document.core_properties.title or next(
        (block.lstrip("# ") for block in blocks if block.startswith("# ")), None
    )
    yield content.document(text, format="markdown", title=title)


def _docx_block(item: Any) -> str:
    if hasattr(item, "rows"):
        rows = ["| " + " | ".join(" ".join(c.text.split()) for c in row.cells) + " |" for row in item.rows]
        return "\n".join(rows)
    text: str = item.text.strip()
    style = (item.style.name or "") if item.style is not None else ""
    if not text:
        return ""
    if style == "Title":
        return f"# {text}"
    if style.startswith("Heading ") and style[8:].isdigit():
        return f"{'#' * min(int(style[8:]), 6)} {text}"
    return f"- {text}" if style.startswith("List") else text
