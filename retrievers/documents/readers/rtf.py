"""Reader of RTF, with striprtf."""

from __future__ import annotations

import re
from collections.abc import Iterator

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadLimitError

# Pictures are rows of hexadecimal digits, and most of a file. striprtf looks at every one of them.
_HEX = re.compile(rb"[0-9a-fA-F\r\n]{512,}")
_BINARY_WITHOUT_LENGTH = re.compile(rb"\\bin(?![a-z0-9])")
# It reads 1 MB in about 2 s and cannot be interrupted.
_MAX_WITHOUT_PICTURES = 3_000_000
# "The group may be ignored" stands at its beginning; elsewhere striprtf would drop what follows.
_STRAY_STAR = re.compile(r"(?<![{\s\\])\\\*")
_BESIDE = re.compile(
    r"(?:\\\*)?\\(?:(?P<note>footnote|annotation)"
    r"|(?P<box>header[lrf]?|footer[lrf]?|shp|shpinst|shptxt|dptxbxtext))(?![a-z]) ?"
)
_BRACES_AND_BESIDE = re.compile(rf"\\[{{}}\\]|[{{}}]|{_BESIDE.pattern}")
_TITLE = re.compile(r"\{\\title\s([^{}\\]{1,300})\}")


def read_rtf(content: FileContent) -> Iterator[Document]:
    """The text; pictures and formatting are left out."""
    striprtf = require("striprtf.striprtf", "local")
    data = _HEX.sub(b" ", _BINARY_WITHOUT_LENGTH.sub(b"", content.data))
    if not data.lstrip().startswith(b"{\\rtf"):
        raise ValueError("not a readable RTF")
    if len(data) > _MAX_WITHOUT_PICTURES:
        raise ReadLimitError(
            f"{len(data) / 1e6:.1f} MB without its pictures is over the limit of RTF; save it as .docx"
        )
    # RTF is ASCII; other bytes belong to the code page that it names, which striprtf knows for escaped ones.
    source = _with_what_stands_beside(_STRAY_STAR.sub("", data.decode("latin-1")))
    text = str(striprtf.rtf_to_text(_escaped(source), errors="replace")).strip()
    content.budget.check_time()
    text = re.sub(r"\n{3,}", "\n\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text:
        raise ValueError("no text in it")
    title = _TITLE.search(source[:20_000])
    yield content.document(text, format="text", title=title[1].strip() if title else None)


def _with_what_stands_beside(source: str) -> str:
    """The source with notes in parentheses where they are called, and headers, footers and text boxes as
    paragraphs: all of these are no text to striprtf.
    """
    if not _BESIDE.search(source):
        return source
    parts: list[str] = []
    is_note: list[bool] = []
    position = 0
    for token in _BRACES_AND_BESIDE.finditer(source):
        mark = token[0]
        new = mark
        if mark == "{":
            is_note.append(False)
        elif mark == "}":
            new = ")}" if is_note and is_note.pop() else mark
        elif token["note"] and is_note:
            is_note[-1], new = True, " ("
        elif token["box"]:
            new = "\\par "
        parts += source[position : token.start()], new
        position = token.end()
    return "".join([*parts, source[position:]])


def _escaped(source: str) -> str:
    return source if source.isascii() else re.sub("[\x80-\xff]", _escape, source)


def _escape(match: re.Match[str]) -> str:
    return f"\\'{ord(match[0]):02x}"
