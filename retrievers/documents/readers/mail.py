"""Reader of e-mail messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.file_content import FileContent
from llama_bedrock.retrievers.documents.readers.html import read_html

_SHOWN = ("Subject", "From", "To", "Cc", "Date")


def read_mail(content: FileContent) -> Iterator[Document]:
    """One document: subject, sender, receivers, date, then the text. Of attachments the names are kept."""
    message = message_from_bytes(content.data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    headers = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    body = _body(message, content)
    if not headers and not body:
        raise ValueError("no message in it")
    names = [name for part in message.iter_attachments() if (name := part.get_filename())]
    attached = [f"Attachments: {', '.join(names)}"] if names else []
    text = "\n\n".join(part for part in ("\n".join([*headers, *attached]), body) if part)
    yield content.document(text, format="text", title=_header(message, "Subject"))


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())


def _body(message: EmailMessage, content: FileContent) -> str:
    part = message.get_body(("plain", "html"))
    if part is None:
        return ""
    try:
        text = part.get_content()
    except (LookupError, UnicodeDecodeError):  # a charset that is unknown, or not the one it is in
        text = part.get_payload(decode=True).decode("latin-1")  # type: ignore[union-attr]
    if part.get_content_subtype() == "html":
        page = replace(content, data=text.encode("utf-8", "replace"), encoding="utf-8")
        text = "\n\n".join(document.page_content for document in read_html(page))
    return str(text).replace("\r\n", "\n").strip()
