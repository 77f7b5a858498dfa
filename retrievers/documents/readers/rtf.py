"""Reader of RTF, with striprtf."""

from __future__ import annotations

import re
from collections.abc import Iterator

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadLimitError

# Pictures are rows of hexadecimal digits, and most of a file. striprtf looks at every one of them.
_HEX = re.compile(rb"[0-9a-fA-F\r\n]{512,}")
# It reads 1 MB in about 2 s and cannot be interrupted.
_MAX_WITHOUT_PICTURES = 3_000_000
_TITLE = re.compile(r"\{\\title\s([^{}\\]{1,300})\}")


def read_rtf(content: FileContent) -> Iterator[Document]:
    """The text; pictures and formatting are left out."""
    striprtf = require("striprtf.striprtf", "local")
    data = _HEX.sub(b" ", content.data)
    if not data.lstrip().startswith(b"{\\rtf"):
        raise ValueError("not a readable RTF")
    if len(data) > _MAX_WITHOUT_PICTURES:
        raise ReadLimitError(
            f"{len(data) / 1e6:.1f} MB without its pictures is over the limit of RTF; save it as .docx"
        )
    # RTF is ASCII; other bytes belong to the code page that it names, which striprtf knows for escaped ones.
    source = data.decode("latin-1")
    text = str(striprtf.rtf_to_text(_escaped(source), errors="replace")).strip()
    content.budget.check_time()
    text = re.sub(r"\n{3,}", "\n\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text:
        raise ValueError("no text in it")
    title = _TITLE.search(source[:20_000])
    yield content.document(text, format="text", title=title[1].strip() if title else None)


def _escaped(source: str) -> str:
    return source if source.isascii() else re.sub("[\x80-\xff]", _escape, source)


def _escape(match: re.Match[str]) -> str:
    return f"\\'{ord(match[0]):02x}"
