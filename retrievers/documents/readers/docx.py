"""Reader of DOCX."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.file_content import MAX_FILE_BYTES, FileContent


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
