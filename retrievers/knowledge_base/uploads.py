"""Documents and files in the forms a Knowledge Base takes them: inline, or as objects in S3."""

from __future__ import annotations

import json
import logging
import math
import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.grounding.answers import document_id

logger = logging.getLogger(__name__)

MAX_INLINE_BYTES = 5_242_880
_MAX_ATTRIBUTES = 50
_MAX_KEY_CHARS = 200
_MAX_TEXT_CHARS = 2048
_MAX_LIST_ITEMS = 10
_MAX_ID_CHARS = 2048
_S3_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
_UNSAFE_KEY = re.compile(r"[^\w.!*'()/-]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """One document on its way into a Knowledge Base.

    Attributes:
        name: Its id.
        text: The text; None for a file.
        data: The bytes of a file; None for a text.
        mime_type: Of a file.
        metadata: What can be filtered by.
    """

    name: str
    text: str | None = None
    data: bytes | None = None
    mime_type: str = "text/plain"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """The API's ``KnowledgeBaseDocument`` for a data source of type CUSTOM.

        Raises:
            ValueError: It is larger than the API takes inline.
        """
        size = len(self.data) if self.data is not None else len((self.text or "").encode())
        if size > MAX_INLINE_BYTES:
            raise ValueError(
                f"document {self.name!r} has {size:,} bytes; a Knowledge Base takes {MAX_INLINE_BYTES:,} "
                "directly. Split it, or send it through S3 (s3_uri=…)"
            )
        content: dict[str, Any] = {"type": "TEXT", "textContent": {"data": self.text}}
        if self.data is not None:
            content = {"type": "BYTE", "byteContent": {"mimeType": self.mime_type, "data": self.data}}
        document: dict[str, Any] = {
            "content": {
                "dataSourceType": "CUSTOM",
                "custom": {
                    "customDocumentIdentifier": {"id": self.name},
                    "sourceType": "IN_LINE",
                    "inlineContent": content,
                },
            }
        }
        attributes = [{"key": key, "value": _attribute(value)} for key, value in self.metadata.items()]
        if attributes:
            document["metadata"] = {"type": "IN_LINE_ATTRIBUTE", "inlineAttributes": attributes}
        return document


def read_uploads(documents: Iterable[Document] | str | Path) -> list[Upload]:
    """Documents, or the files of a path, ready to send.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: A document is empty, or two have the same id.
        TypeError: Something is neither a document nor a path.
    """
    if isinstance(documents, str | Path):
        uploads = list(_read_files(Path(documents)))
    else:
        uploads = [_read_document(document) for document in documents]
    seen: set[str] = set()
    for upload in uploads:
        if upload.name in seen:
            raise ValueError(f"two documents have the id {upload.name!r}; the second would replace the first")
        seen.add(upload.name)
    return uploads


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix; the prefix is empty or ends in a slash.

    Raises:
        ValueError: It is no S3 URI.
    """
    match = _S3_URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"s3_uri={uri!r}: s3://bucket or s3://bucket/prefix")
    prefix = (match["prefix"] or "").strip("/")
    return match["bucket"], f"{prefix}/" if prefix else ""


def s3_objects(upload: Upload, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Keys and bodies of a document in S3: the document, and its metadata in a file beside it.

    Source: Bedrock user guide, "Include metadata in a data source": ``<name>.metadata.json``.
    """
    key = prefix + _UNSAFE_KEY.sub("_", upload.name).lstrip("/")
    if upload.data is None:
        key = key if key.endswith((".txt", ".md")) else f"{key}.txt"
    body = upload.data if upload.data is not None else (upload.text or "").encode()
    yield key, body
    if upload.metadata:
        attributes = {"metadataAttributes": dict(upload.metadata)}
        yield f"{key}.metadata.json", json.dumps(attributes, ensure_ascii=False).encode()


def _read_document(document: Document) -> Upload:
    if not isinstance(document, Document):
        raise TypeError(f"expected LangChain documents, got {type(document).__name__}")
    name = str(document.id or document_id(document))
    if not document.page_content.strip():
        raise ValueError(f"document {name!r} is empty")
    if len(name) > _MAX_ID_CHARS:
        raise ValueError(f"the id {name[:40]!r}… has {len(name)} characters; at most {_MAX_ID_CHARS}")
    return Upload(name, text=document.page_content, metadata=_filterable(name, document.metadata))


def _read_files(path: Path) -> Iterator[Upload]:
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    files = (
        [path]
        if path.is_file()
        else sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p, path))
    )
    for file in files:
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        mime_type = mimetypes.guess_type(file.name)[0] or "text/plain"
        yield Upload(name, data=file.read_bytes(), mime_type=mime_type, metadata={"source": name})


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _filterable(name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that the service can hold; what it cannot is left out and told in the log."""
    kept = {key: value for key, value in metadata.items() if _fits(key, value)}
    kept = dict(list(kept.items())[:_MAX_ATTRIBUTES])
    lost = sorted(key for key, value in metadata.items() if key not in kept and value is not None)
    if lost:
        logger.warning("document %s: a Knowledge Base cannot hold the metadata %s", name, ", ".join(lost))
    return kept


def _fits(key: str, value: Any) -> bool:
    if not 1 <= len(key) <= _MAX_KEY_CHARS:
        return False
    if isinstance(value, str):
        return 1 <= len(value) <= _MAX_TEXT_CHARS
    if isinstance(value, bool | int):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    is_list = isinstance(value, Sequence) and not isinstance(value, bytes | bytearray)
    return is_list and 1 <= len(value) <= _MAX_LIST_ITEMS and all(isinstance(item, str) for item in value)


def _attribute(value: Any) -> dict[str, Any]:
    """A metadata value in the API's typed form."""
    if isinstance(value, bool):
        return {"type": "BOOLEAN", "booleanValue": value}
    if isinstance(value, int | float):
        return {"type": "NUMBER", "numberValue": value}
    if isinstance(value, str):
        return {"type": "STRING", "stringValue": value}
    return {"type": "STRING_LIST", "stringListValue": list(value)}
