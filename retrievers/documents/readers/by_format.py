"""Choose the reader of a file by its name, or else by its content.

A reader is a function of a :class:`FileContent` that yields documents, and raises ``ValueError`` with the
reason when it cannot. Each format family has a module of its name beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.encodings import SNIFFED_BYTES, is_binary
from llama_bedrock.retrievers.documents.readers.file_content import (
    FileContent,
    Reader,
    ReadSettings,
    encodable,
)
from llama_bedrock.retrievers.documents.readers.plain_text import (
    CODE_LANGUAGES,
    MARKDOWN,
    RST,
    TEXT,
    read_text,
)

_CONTAINER_FACTOR = 8  # mostly images and attachments: the text in them is a small part

SUPPORTED_FORMATS = (
    ".txt .md .rst .html .pdf .docx .pptx .xlsx .csv .tsv .json .jsonl .ipynb .eml and source code"
)

# Formats whose reader is loaded when a file of it is met: module and function.
_READERS = {
    ".html": ("html", "read_html"),
    ".htm": ("html", "read_html"),
    ".xhtml": ("html", "read_html"),
    ".pdf": ("pdf", "read_pdf"),
    ".docx": ("docx", "read_docx"),
    ".pptx": ("pptx", "read_pptx"),
    ".xlsx": ("xlsx", "read_xlsx"),
    ".eml": ("mail", "read_mail"),
    ".csv": ("csv", "read_csv"),
    ".tsv": ("csv", "read_csv"),
    ".json": ("json", "read_json"),
    ".jsonl": ("json", "read_json_lines"),
    ".ndjson": ("json", "read_json_lines"),
    ".ipynb": ("notebook", "read_notebook"),
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


def has_reader(path: Path) -> bool:
    """True if the file's name, or else its content, is one we read."""
    suffix = path.suffix.lower()
    if suffix in _MEDIA:
        return False
    # What is no file (a pipe would block whoever opens it, a link may lead nowhere) is reported when it is
    # read.
    return suffix in _KNOWN or not path.is_file() or _content_suffix(path) is not None


_KNOWN = {*MARKDOWN, *RST, *TEXT, *CODE_LANGUAGES, *_READERS}


def _content_suffix(path: Path) -> str | None:
    """The suffix that the content of a file of unknown name calls for."""
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
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
        if suffix in CODE_LANGUAGES or suffix != path.suffix.lower():
            return  # an empty __init__.py or py.typed is no accident
        raise ValueError("the file is empty")
    # A name that is not UTF-8 comes with surrogates in it.
    yield from _reader_of(suffix)(FileContent(encodable(source), suffix, data, settings.encoding, report))


def _reader_of(suffix: str) -> Reader:
    if suffix in _READERS:
        module, function = _READERS[suffix]
        reader: Reader = getattr(
            import_module(f"llama_bedrock.retrievers.documents.readers.{module}"), function
        )
        return reader
    return read_text
