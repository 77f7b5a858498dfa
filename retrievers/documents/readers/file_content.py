"""What a reader is given: one file, and how to make documents of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.encodings import decode

MAX_FILE_BYTES = 32 * 1024 * 1024


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


Reader: TypeAlias = Callable[[FileContent], Iterator[Document]]
