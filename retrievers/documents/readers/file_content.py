"""What a reader is given: one file, what may be spent on it, and how to make documents of it."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.encodings import decode

MAX_FILE_BYTES = 32 * 1024 * 1024
# A table of rows repeats the names of its columns: what is read may be this much larger than a text file.
_TEXT_FACTOR = 4
# A Document takes 1 KB besides its text (measured), so this many stay well under 1 GB. Excel's sheets end at
# a million rows.
_MOST_DOCUMENTS = 500_000
_SECONDS = 6.0
_SECONDS_PER_MB = 2.0
_WAY_OUT = "split the file, or raise max_file_bytes (on the command line: index --max-file-mb)"


class ReadLimitError(ValueError):
    """Reading a file takes more than it may."""


class ReadingBudget:
    """What reading one file may take, in output and in time, however small the file is.

    A kilobyte can unpack to gigabytes: one string named by 10,000 cells, one sheet named 200 times. So what
    counts is what is made of a file.

    Args:
        max_file_bytes: As in `load_documents`; four times as much text may come of a file.
        file_bytes: Size of the file; a large one may take longer.
    """

    def __init__(self, max_file_bytes: int = MAX_FILE_BYTES, file_bytes: int = 0) -> None:
        scale = max(max_file_bytes / MAX_FILE_BYTES, 1.0)
        self.max_bytes = int(_TEXT_FACTOR * MAX_FILE_BYTES * scale)
        self._max_documents = int(_MOST_DOCUMENTS * scale)
        self._left, self._documents = self.max_bytes, 0
        # Time of this thread's own, so that a busy machine makes no file unreadable.
        self._deadline = time.thread_time() + _SECONDS + _SECONDS_PER_MB * file_bytes / 1e6

    def spend(self, size: int) -> None:
        """Take note of text about to be made.

        Args:
            size: Its size in bytes of memory, or about.

        Raises:
            ReadLimitError: The file makes more than it may.
        """
        self._left -= size
        if self._left < 0:
            raise ReadLimitError(
                f"its text takes more than {self.max_bytes / 1e6:.0f} MB when unpacked; {_WAY_OUT}"
            )

    def count_document(self, size: int) -> None:
        """Take note of one more document.

        Args:
            size: Size of its text in memory.

        Raises:
            ReadLimitError: The file makes more than it may, or has taken too long.
        """
        self.spend(size)
        self.check_time()
        self._documents += 1
        self.expect(self._documents)

    def expect(self, documents: int) -> None:
        """Stop here if so many documents are more than a file may make.

        Raises:
            ReadLimitError: They are.
        """
        if documents > self._max_documents:
            raise ReadLimitError(f"it holds more than {self._max_documents:,} rows or parts; {_WAY_OUT}")

    def check_time(self) -> None:
        """Stop here if the file has taken too long.

        Raises:
            ReadLimitError: It has.
        """
        if time.thread_time() > self._deadline:
            raise ReadLimitError("reading it takes too long; split the file")

    def allow(self, seconds: float) -> None:
        """Let the file take longer, because so much of it has been read by now."""
        self._deadline += seconds


CustomReader: TypeAlias = Callable[[Path], "str | Iterable[str | Document]"]
"""A reader of a user's own: takes the path, and returns the text (Markdown keeps its headings), or texts, or
documents.
"""


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """What a caller can choose about reading."""

    encoding: str | None = None
    max_file_bytes: int = MAX_FILE_BYTES
    readers: Mapping[str, CustomReader] = field(default_factory=dict)
    """By suffix, in lower case and with its dot."""
    bounds: str | None = None
    """Real path of the folder that what is opened must lie in; it changes nothing about what is read."""

    def key(self) -> list[Any]:
        """The settings as JSON-able values; of functions, their names."""
        names = {suffix: getattr(f, "__qualname__", type(f).__name__) for suffix, f in self.readers.items()}
        return [self.encoding, self.max_file_bytes, names]


@dataclass(frozen=True, slots=True)
class FileContent:
    """One file, read."""

    source: str
    suffix: str
    data: bytes
    encoding: str | None = None
    report: Callable[[str], None] = field(default=lambda reason: None)
    """Reports a part of the file that is left out."""
    budget: ReadingBudget = field(default_factory=ReadingBudget)
    part: str = ""
    """Which part of the file this is, if it is one: a chapter, an attachment."""

    def text(self, declared: str | None = None) -> str:
        """The decoded text, with line feeds as the only line ends; a doubtful encoding is reported.

        Args:
            declared: The encoding that the file says it is in, if it says so.
        """
        return decode(self.data, self.encoding, declared=declared, report=self.report)

    def within(self, suffix: str, data: bytes, part: str) -> FileContent:
        """A file inside this one. What it may take is taken from this one's."""
        return replace(self, suffix=suffix, data=data, part="\0".join(filter(None, (self.part, part))))

    def document(self, text: str, *, format: str, part: str = "", **metadata: Any) -> Document:
        """A document of this file. ``part`` tells apart documents of one file that hold the same text.

        Raises:
            ReadLimitError: The file makes more than it may.
        """
        self.budget.count_document(sys.getsizeof(text))
        text = encodable(text)
        identity = "\0".join(filter(None, (self.source, self.part))) + f"\0{part}\0{text}"
        document_id = metadata.pop("document_id", None) or hashlib.sha256(identity.encode()).hexdigest()[:32]
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


Reader: TypeAlias = Callable[[FileContent], Iterator[Document]]
