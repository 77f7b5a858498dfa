"""One reader a file format: from bytes to LangChain documents.

A reader is a function of a :class:`FileContent` that yields documents, and raises ``ValueError`` with the
reason when it cannot. This module chooses the reader and holds the one for plain text; the others are
``readers_*.py``.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.headings import FRONT_MATTER, HEADINGS

MAX_FILE_BYTES = 32 * 1024 * 1024
_CONTAINER_FACTOR = 8  # mostly images and attachments: the text in them is a small part

SUPPORTED_FORMATS = (
    ".txt .md .rst .html .pdf .docx .pptx .xlsx .csv .tsv .json .jsonl .ipynb .eml and source code"
)

_MARKDOWN = {".md", ".markdown", ".mdx"}
_RST = {".rst"}
_TEXT = {".txt", ".text", ".log", ".adoc", ".org", ".tex"}
_CODE_LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "js", ".jsx": "js", ".mjs": "js", ".cjs": "js", ".ts": "ts",
    ".tsx": "ts", ".java": "java", ".kt": "kotlin", ".go": "go", ".rs": "rust", ".rb": "ruby", ".php":
    "php", ".scala": "scala", ".swift": "swift", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp",
    ".cxx": "cpp", ".hh": "cpp", ".hpp": "cpp", ".cs": "csharp", ".lua": "lua", ".pl": "perl", ".hs":
    "haskell", ".ex": "elixir", ".exs": "elixir", ".ps1": "powershell", ".proto": "proto", ".sol": "sol",
    ".cob": "cobol", ".r": "r", ".sh": "shell", ".bash": "shell", ".sql": "sql", ".css": "css", ".vue":
    "js", ".tf": "terraform", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".ini": "ini", ".cfg":
    "ini", ".xml": "xml",
}  # fmt: skip
# Formats whose reader is loaded when a file of it is met: module and function.
_READERS = {
    ".html": ("readers_html", "read_html"),
    ".htm": ("readers_html", "read_html"),
    ".xhtml": ("readers_html", "read_html"),
    ".pdf": ("readers_office", "read_pdf"),
    ".docx": ("readers_office", "read_docx"),
    ".pptx": ("readers_ooxml", "read_pptx"),
    ".xlsx": ("readers_ooxml", "read_xlsx"),
    ".eml": ("readers_mail", "read_mail"),
    ".csv": ("readers_data", "read_csv"),
    ".tsv": ("readers_data", "read_csv"),
    ".json": ("readers_data", "read_json"),
    ".jsonl": ("readers_data", "read_json_lines"),
    ".ndjson": ("readers_data", "read_json_lines"),
    ".ipynb": ("readers_data", "read_notebook"),
}
_CONTAINERS = {".pdf", ".docx", ".pptx", ".xlsx", ".eml"}
_MEDIA = {
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".ico", ".tif", ".tiff", ".svg", ".heic", ".avif",
    ".mp3", ".mp4", ".mov", ".avi", ".mkv", ".wav", ".flac", ".ogg", ".webm", ".zip", ".gz", ".bz2",
    ".xz", ".zst", ".tar", ".7z", ".rar", ".whl", ".jar", ".exe", ".dll", ".so", ".dylib", ".o", ".a",
    ".class", ".pyc", ".woff", ".woff2", ".ttf", ".otf", ".eot", ".doc", ".xls", ".ppt",
    ".odt", ".parquet", ".npy", ".npz", ".db", ".sqlite", ".sqlite3", ".bin", ".dat", ".faiss", ".pt",
    ".onnx", ".safetensors", ".gguf",
}  # fmt: skip
_SNIFFED_BYTES = 8192


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """What a caller can choose about reading."""

    encoding: str | None = None
    max_file_bytes: int = MAX_FILE_BYTES


@dataclass(frozen=True, slots=True)
class FileContent:
    """One file, read."""

    source: str
    suffix: str
    data: bytes
    encoding: str | None = None
    report: Callable[[str], None] = field(default=lambda reason: None)
    """Reports a part of the file that is left out."""

    def text(self) -> str:
        """The decoded text, with line feeds as the only line ends."""
        return decode(self.data, self.encoding)

    def document(self, text: str, *, format: str, part: str = "", **metadata: Any) -> Document:
        """A document of this file. ``part`` tells apart documents of one file that hold the same text."""
        text = encodable(text)
        identity = hashlib.sha256("\0".join((self.source, part, text)).encode())
        document_id = metadata.pop("document_id", None) or identity.hexdigest()[:32]
        known = {
            key: encodable(value) if isinstance(value, str) else value
            for key, value in metadata.items()
            if value not in (None, "")
        }
        return Document(
            page_content=text,
            id=document_id,
            metadata={"source": self.source, "document_id": document_id, "format": format, **known},
        )


def encodable(text: str) -> str:
    """The text without lone surrogates, which PDF and JSON may hold and no file or database takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


Reader = Callable[[FileContent], Iterator[Document]]


def has_reader(path: Path) -> bool:
    """True if the file's name, or else its content, is one we read."""
    suffix = path.suffix.lower()
    if suffix in _MEDIA:
        return False
    # What is no file (a pipe would block whoever opens it, a link may lead nowhere) is reported when it is
    # read.
    return suffix in _KNOWN or not path.is_file() or _content_suffix(path) is not None


_KNOWN = {*_MARKDOWN, *_RST, *_TEXT, *_CODE_LANGUAGES, *_READERS}


def _content_suffix(path: Path) -> str | None:
    """The suffix that the content of a file of unknown name calls for."""
    try:
        with path.open("rb") as file:
            head = file.read(_SNIFFED_BYTES)
    except OSError:
        return ".txt"  # reading it will fail with the reason
    if head.startswith(b"%PDF-"):
        return ".pdf"
    return None if is_binary(head) else ".txt"


def read_file(
    path: Path, source: str, settings: ReadSettings, report: Callable[[str], None]
) -> Iterator[Document]:
    """The documents of one file.

    Args:
        path: The file.
        source: What its documents give as their source.
        settings: Encoding and size bound.
        report: Called with the reason for each part (a row, a page) that is left out.

    Raises:
        ValueError: The file cannot be read as what it claims to be; the message says why.
        OSError: The system does not let us.
    """
    if not path.is_file():
        path.stat()  # a link to nothing raises its own error
        raise ValueError("not a regular file")
    suffix = path.suffix.lower()
    if suffix not in _KNOWN:
        found = None if suffix in _MEDIA else _content_suffix(path)
        if found is None:
            raise ValueError(f"no reader for {suffix or 'this kind of file'}; supported: {SUPPORTED_FORMATS}")
        suffix = found
    limit = settings.max_file_bytes * (_CONTAINER_FACTOR if suffix in _CONTAINERS else 1)
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        size = path.stat().st_size
        raise ValueError(
            f"{size / 1e6:.1f} MB is over the limit of {limit / 1e6:.1f} MB; "
            "split the file, or raise max_file_bytes (on the command line: index --max-file-mb)"
        )
    if not data.strip():
        if suffix in _CODE_LANGUAGES or suffix != path.suffix.lower():
            return  # an empty __init__.py or py.typed is no accident
        raise ValueError("the file is empty")
    # A name that is not UTF-8 comes with surrogates in it.
    yield from _reader_of(suffix)(FileContent(encodable(source), suffix, data, settings.encoding, report))


def _reader_of(suffix: str) -> Reader:
    if suffix in _READERS:
        module, function = _READERS[suffix]
        reader: Reader = getattr(import_module(f"llama_bedrock.retrievers.{module}"), function)
        return reader
    return read_text


def read_text(content: FileContent) -> Iterator[Document]:
    """Markdown, reStructuredText, plain text and source code: the file's text, unchanged."""
    text = content.text()
    if content.suffix in _CODE_LANGUAGES:
        yield content.document(text, format="code", language=_CODE_LANGUAGES[content.suffix], line=1)
    elif content.suffix in _MARKDOWN:
        yield content.document(text, format="markdown", title=_title(text, "markdown"), line=1)
    elif content.suffix in _RST:
        yield content.document(text, format="rst", title=_title(text, "rst"), line=1)
    else:
        yield content.document(text, format="text", line=1)


def _title(text: str, format: str) -> str | None:
    front_matter = FRONT_MATTER.match(text)
    if front_matter and (named := re.search(r"^title:[ \t]*(.+)$", front_matter[1], re.MULTILINE)):
        return named[1].strip().strip("\"'")
    return next((title for _, level, title in HEADINGS[format](text) if level == 1), None)


def decode(data: bytes, encoding: str | None = None) -> str:
    """Text of unknown encoding: its byte order mark, else UTF-8, else Windows-1252 (with Latin-1's letters).

    Raises:
        ValueError: The bytes are not text, or not in the encoding given.
    """
    if encoding is not None:
        try:
            return _normal_lines(data.decode(encoding))
        except (UnicodeDecodeError, LookupError) as error:
            raise ValueError(f"cannot be decoded as {encoding}: {error}") from error
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _normal_lines(data.decode(name, errors="replace"))
    if is_binary(data[:_SNIFFED_BYTES]) or b"\0" in data:
        raise ValueError("binary content, not text")
    for name in ("utf-8", "cp1252"):
        try:
            return _normal_lines(data.decode(name))
        except UnicodeDecodeError:
            continue
    return _normal_lines(data.decode("latin-1"))


# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _normal_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_binary(head: bytes) -> bool:
    """True if the first bytes of a file are not text in any encoding that :func:`decode` knows."""
    if any(head.startswith(mark) for mark, _ in _BYTE_ORDER_MARKS):
        return False
    if b"\0" in head:
        return True
    # Text holds no control characters but tab, line ends, form feed, backspace and escape (terminal colours).
    controls = len(head.translate(None, _TEXT_BYTES))
    return controls > len(head) // 20


_TEXT_BYTES = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)))
