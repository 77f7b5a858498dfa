"""Readers of mail: messages (EML), mailboxes (MBOX) and web pages saved as mail (MHTML)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import Message
from pathlib import PurePath
from typing import Any

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.encodings import decode
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadLimitError
from llama_bedrock.retrievers.documents.readers.html import page_text

_SHOWN = ("Subject", "From", "To", "Cc", "Date")
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_FROM_LINE = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From [^\r\n]+\r?\n")
_MAX_PARTS = 1_000
_MAX_DEPTH = 20
_DOCUMENTS = (
    ".pdf .docx .docm .pptx .ppsx .xlsx .xlsm .odt .ods .odp .rtf .epub .csv .tsv .json .jsonl .md .rst"
)
_READ_ATTACHMENTS = frozenset(_DOCUMENTS.split())


def read_mail(content: FileContent) -> Iterator[Document]:
    """One document: subject, sender, receivers, date, names of attachments, then all its text, messages
    attached to it included. Attached documents become documents of their own.
    """
    yield from _message_documents(content, content.data, "")


def read_mbox(content: FileContent) -> Iterator[Document]:
    """One document per message, as of a message by itself."""
    found = False
    for number, data in enumerate(_messages(content.data), 1):
        try:
            for document in _message_documents(content, data, str(number)):
                found = True
                yield document
        except ReadLimitError:
            raise
        except ValueError as error:
            content.report(f"message {number} cannot be read ({error})")
    if not found:
        raise ValueError("no message in it")


def read_mhtml(content: FileContent) -> Iterator[Document]:
    """The page, as of HTML by itself."""
    message = message_from_bytes(content.data, policy=policy.compat32)
    pages = [
        part for part in _parts(message) if part.get_content_type() in ("text/html", "application/xhtml+xml")
    ]
    if not pages:
        raise ValueError("no page in it")
    texts = [page_text(_text_of(part, content), content) for part in pages]
    text = "\n\n".join(text for text, _ in texts if text)
    if not text:
        raise ValueError("no visible text in it")
    title = next((title for _, title in texts if title), None) or _header(message, "Subject")
    yield content.document(text, format="markdown", title=title)


def _messages(data: bytes) -> Iterator[bytes]:
    """The messages of a mailbox: each begins with a "From " line after an empty one."""
    starts = [
        match.start() for match in re.finditer(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From [^\r\n]+\r?\n", data)
    ]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        body = data[start:end].partition(b"\n")[2]
        yield re.sub(rb"^>(>*From )", rb"\1", body, flags=re.MULTILINE)


def _message_documents(content: FileContent, data: bytes, part: str) -> Iterator[Document]:
    try:
        message = message_from_bytes(data, policy=policy.compat32)
    except RecursionError:
        raise ValueError("parts nested too deeply") from None
    reader = _MessageReader(content)
    text = reader.text(message)
    if not text:
        raise ValueError("no message in it")
    yield content.document(text, format="text", part=part, title=_header(message, "Subject"))
    for name, attached in reader.documents:
        yield from _attached(content, name, attached, part)


def _attached(content: FileContent, name: str, data: bytes, part: str) -> Iterator[Document]:
    from llama_bedrock.retrievers.documents.readers.by_format import reader_of

    suffix = PurePath(name).suffix.lower()
    try:
        for document in reader_of(suffix)(content.within(suffix, data, f"{part}\0{name}")):
            document.metadata["attachment"] = name
            yield document
    except (ReadLimitError, ImportError):
        raise
    except Exception as error:  # noqa: BLE001  a damaged attachment must not hide the message
        content.report(f"attachment {name} cannot be read ({error})")


class _MessageReader:
    """The words of one message, and the documents attached to it."""

    def __init__(self, content: FileContent) -> None:
        self._content = content
        self._count = 0
        self.documents: list[tuple[str, bytes]] = []

    def text(self, message: Message, depth: int = 0) -> str:
        """Headers, names of attachments, text."""
        headers = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
        names: list[str] = []
        texts = [text for text in self._texts(message, names, depth) if text]
        if names:
            headers.append(f"Attachments: {', '.join(names)}")
        return "\n\n".join(["\n".join(headers), *texts] if headers else texts)

    def _texts(self, part: Message, names: list[str], depth: int) -> Iterator[str]:
        self._count += 1
        if self._count > _MAX_PARTS or depth > _MAX_DEPTH:
            raise ReadLimitError(f"more than {_MAX_PARTS:,} parts, or parts nested {_MAX_DEPTH} deep")
        kind = part.get_content_type()
        payload: Any = part.get_payload()
        if kind == "message/rfc822" and isinstance(payload, list):
            for inner in payload:
                yield f"Attached message:\n\n{self.text(inner, depth + 1)}"
        elif isinstance(payload, list):
            chosen = _alternative(payload) if kind == "multipart/alternative" else payload
            for inner in chosen:
                yield from self._texts(inner, names, depth + 1)
        else:
            yield from self._leaf(part, names)

    def _leaf(self, part: Message, names: list[str]) -> Iterator[str]:
        kind, name = part.get_content_type(), _file_name(part)
        if name:
            names.append(name)
        if kind.startswith("multipart/"):  # its boundary is nowhere: what is there is text, markers and all
            yield str(part.get_payload()).strip()
        elif name and PurePath(name).suffix.lower() in _READ_ATTACHMENTS:
            data = part.get_payload(decode=True)
            if isinstance(data, bytes):
                self.documents.append((name, data))
        elif kind in _PAGE_TYPES:
            yield page_text(_text_of(part, self._content), self._content)[0]
        elif kind.startswith(("text/", "message/")):
            yield _text_of(part, self._content).strip()


def _alternative(parts: list[Message]) -> list[Message]:
    """Of several forms of one text, the plain one, unless it is empty; else the one that programs show."""
    for part in parts:
        if part.get_content_type() == "text/plain" and str(part.get_payload()).strip():
            return [part]
    return parts[-1:]


def _parts(message: Message) -> Iterator[Message]:
    for count, part in enumerate(message.walk()):
        if count > _MAX_PARTS:
            raise ReadLimitError(f"more than {_MAX_PARTS:,} parts")
        yield part


def _text_of(part: Message, content: FileContent) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    charset = part.get_content_charset()
    try:
        return decode(data, content.encoding, declared=charset, report=content.report)
    except ValueError:
        return decode(data, "latin-1")


def _header(message: Message, name: str) -> str:
    """A header's text on one line, whatever its encoding says."""
    value = message.get(name)
    if value is None:
        return ""
    try:
        text = str(make_header(decode_header(str(value)))) if isinstance(value, str) else str(value)
    except (LookupError, ValueError):
        text = str(value)
    return " ".join(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename()
    except (LookupError, ValueError, TypeError):
        return "an attachment"
    if not name:
        return ""
    with suppress(LookupError, ValueError):
        name = str(make_header(decode_header(name)))
    return " ".join(name.encode("utf-8", "replace").decode().split())[:200]
