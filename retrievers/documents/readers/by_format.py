"""Choose the reader of a file by its name, or else by its content.

A reader is a function of a :class:`FileContent` that yields documents, and raises ``ValueError`` with the
reason when it cannot. Each format family has a module of its name beside this one. Readers of users come
first: those given, then those that installed packages register as entry points.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from typing import cast

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.encodings import SNIFFED_BYTES, is_binary
from llama_bedrock.retrievers.documents.readers.file_bytes import open_file, read_bytes, suffix_of
from llama_bedrock.retrievers.documents.readers.file_content import (
    CustomReader,
    FileContent,
    Reader,
    ReadingBudget,
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
from llama_bedrock.retrievers.documents.readers.unreadable import is_no_document, why_unreadable

ENTRY_POINTS = "llama_bedrock.readers"
"""Group of entry points of readers: the name is the suffix (``xyz``), the value the function."""

_CONTAINER_FACTOR = 8  # mostly images and attachments: the text in them is a small part

SUPPORTED_FORMATS = (
    ".txt .md .rst .html .pdf .docx .pptx .xlsx .odt .ods .odp .rtf .epub .csv .tsv .json .jsonl .ipynb .eml "
    ".mbox .mhtml and source code"
)

# Formats whose reader is loaded when a file of it is met: module and function.
_READERS = {
    suffix: (module, function)
    for module, function, suffixes in (
        ("html", "read_html", ".html .htm .xhtml .shtml .svg"),
        ("pdf", "read_pdf", ".pdf"),
        ("docx", "read_docx", ".docx .docm .dotx .dotm"),
        ("pptx", "read_pptx", ".pptx .pptm .ppsx .ppsm .potx .potm"),
        ("xlsx", "read_xlsx", ".xlsx .xlsm .xltx .xltm"),
        ("odt", "read_odt", ".odt .ott .odp .otp .fodt .fodp"),
        ("odt", "read_ods", ".ods .ots .fods"),
        ("epub", "read_epub", ".epub"),
        ("rtf", "read_rtf", ".rtf"),
        ("mail", "read_mail", ".eml"),
        ("mail", "read_mbox", ".mbox .mbx"),
        ("mail", "read_mhtml", ".mhtml .mht"),
        ("csv", "read_csv", ".csv .tsv .tab"),
        ("json", "read_json", ".json .geojson .jsonld"),
        ("json", "read_json_lines", ".jsonl .ndjson"),
        ("notebook", "read_notebook", ".ipynb"),
    )
    for suffix in suffixes.split()
}
_TEXT_READERS = {"html", "csv", "json", "notebook"}
_CONTAINERS = {suffix for suffix, (module, _) in _READERS.items() if module not in _TEXT_READERS}
_KNOWN = {*MARKDOWN, *RST, *TEXT, *CODE_LANGUAGES, *_READERS}


@cache
def installed_readers() -> dict[str, EntryPoint]:
    """The readers that installed packages bring, by suffix."""
    # `entry_points` parses the list of every distribution, which takes three times as long as this look.
    if not any(ENTRY_POINTS in (found.read_text("entry_points.txt") or "") for found in distributions()):
        return {}
    return {f".{point.name.lstrip('.').lower()}": point for point in entry_points(group=ENTRY_POINTS)}


def custom_reader(suffix: str, settings: ReadSettings) -> CustomReader | None:
    """The reader of a user's own for files of a suffix, if there is one.

    Raises:
        ValueError: A package brings one, and it cannot be loaded.
    """
    if suffix in settings.readers or suffix not in installed_readers():
        return settings.readers.get(suffix)
    point = installed_readers()[suffix]
    try:
        reader = point.load()
    except Exception as error:
        raise ValueError(f"its reader {point.value} cannot be loaded ({error})") from error
    if not callable(reader):
        raise ValueError(f"its reader {point.value} is no function")
    return cast(CustomReader, reader)


def has_reader(path: str | os.PathLike[str], settings: ReadSettings) -> bool:
    """True if the file's name, or else its content, is one we read."""
    suffix = suffix_of(path)
    if suffix in _KNOWN or suffix in settings.readers or suffix in installed_readers():
        return True
    # What is no file (a pipe would block whoever opens it, a link may lead nowhere) is reported when it is
    # read.
    if why_unreadable(suffix) is not None or is_no_document(suffix):
        return not os.path.isfile(path)
    return not os.path.isfile(path) or _content_suffix(path, settings.bounds) is not None


def unreadable_reason(path: str | os.PathLike[str]) -> str | None:
    """Why a file has no reader, and what to do; None if nobody would look for text in it."""
    suffix = suffix_of(path)
    if is_no_document(suffix):
        return None
    return f"no reader for {suffix or 'this kind of file'}: {why_unreadable(suffix) or _NOT_TEXT}"


_NOT_TEXT = "its content is not text; readers={…} of load_documents takes one of your own"


def _content_suffix(path: str | os.PathLike[str], bounds: str | None) -> str | None:
    """The suffix that the content of a file of unknown name calls for."""
    try:
        head, _ = read_bytes(path, SNIFFED_BYTES, bounds)
    except (OSError, ValueError):
        return ".txt"  # reading it will fail with the reason
    for start, suffix in _FIRST_BYTES.items():
        if head.startswith(start):
            return suffix
    return None if is_binary(head) else ".txt"


_FIRST_BYTES = {b"%PDF-": ".pdf", b"{\\rtf1": ".rtf"}


def read_file(
    path: str | os.PathLike[str],
    source: str,
    settings: ReadSettings,
    report: Callable[[str], None],
    on_bytes: Callable[[bytes], None] = lambda data: None,
) -> Iterator[Document]:
    """The documents of one file.

    Args:
        path: The file.
        source: What its documents give as their source.
        settings: Encoding, size bound and readers.
        report: Called with the reason for each part (a row, a page) that is left out.
        on_bytes: Called with its bytes, before they are read as text; not by readers of users.

    Raises:
        ValueError: The file cannot be read as what it claims to be; the message says why.
        OSError: The system does not let us.
    """
    suffix = named = suffix_of(path)
    if reader := custom_reader(suffix, settings):
        # What is no file, or a link to nothing, raises its own error.
        os.close(open_file(path, settings.bounds)[0])
        yield from _read_custom(reader, Path(path), source, settings)
        return
    if suffix not in _KNOWN:
        os.close(open_file(path, settings.bounds)[0])
        left_out = why_unreadable(suffix) or is_no_document(suffix)
        found = None if left_out else _content_suffix(path, settings.bounds)
        if found is None:
            reason = unreadable_reason(path) or f"no reader for {suffix}"
            raise ValueError(f"{reason}; supported: {SUPPORTED_FORMATS}")
        suffix = found
    data = _bytes_of(path, suffix, settings)
    on_bytes(data)
    if not data or data.isspace():
        if suffix in CODE_LANGUAGES or suffix != named:
            return  # an empty __init__.py or py.typed is no accident
        raise ValueError("the file is empty")
    # A name that is not UTF-8 comes with surrogates in it.
    content = FileContent(
        encodable(source),
        suffix,
        data,
        settings.encoding,
        report,
        ReadingBudget(settings.max_file_bytes, len(data)),
    )
    yield from reader_of(suffix)(content)


def is_read_whole(path: str | os.PathLike[str], size: int, settings: ReadSettings) -> bool:
    """True if `read_file` reads all bytes of a file of a size, by a reader of ours, and hands them on."""
    suffix = suffix_of(path)
    own = suffix in _KNOWN and suffix not in settings.readers and suffix not in installed_readers()
    return own and size <= settings.max_file_bytes


def _bytes_of(path: str | os.PathLike[str], suffix: str, settings: ReadSettings) -> bytes:
    limit = settings.max_file_bytes * (_CONTAINER_FACTOR if suffix in _CONTAINERS else 1)
    data, size = read_bytes(path, limit, settings.bounds)
    if len(data) > limit:
        raise ValueError(
            f"{_megabytes(size)} MB is over the limit of {_megabytes(limit)} MB; "
            "split the file, or raise max_file_bytes (on the command line: index --max-file-mb)"
        )
    return data


def _read_custom(reader: CustomReader, path: Path, source: str, settings: ReadSettings) -> Iterator[Document]:
    content = FileContent(
        encodable(source), path.suffix.lower(), b"", budget=ReadingBudget(settings.max_file_bytes)
    )
    content.budget.allow(float("inf"))  # how long an OCR may take is its owner's business
    result = reader(path)
    for number, part in enumerate([result] if isinstance(result, str) else result, 1):
        if isinstance(part, str):
            if part.strip():
                yield content.document(part, format="markdown", part=str(number))
            continue
        known = {key: value for key, value in part.metadata.items() if key not in ("source", "document_id")}
        yield content.document(
            part.page_content,
            part=str(number),
            document_id=part.id,
            **{"format": "markdown", **known},
        )


def reader_of(suffix: str) -> Reader:
    """The reader of a suffix that has one; plain text's for any other."""
    if suffix in _READERS:
        module, function = _READERS[suffix]
        found = import_module(f"llama_bedrock.retrievers.documents.readers.{module}")
        reader: Reader = getattr(found, function)
        return reader
    return read_text


def is_readable(suffix: str) -> bool:
    """True if files with this suffix have a reader of ours."""
    return suffix in _KNOWN


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}" if size >= 1_000_000 else f"{size / 1e6:.2g}"
