"""Reader of PDF."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.file_content import FileContent


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
