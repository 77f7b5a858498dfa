"""Reader of EPUB: the chapters in their order, each read as the HTML that it is."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.readers.archive import Parts, parse_xml
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadLimitError
from llama_bedrock.retrievers.documents.readers.html import page_text

_PAGE_TYPES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "image/svg+xml"})
# Packages and chapters of EPUB 2 name a public DTD, which is nowhere read; a subset of its own is refused.
_PUBLIC_DTD = re.compile(rb"<!DOCTYPE[^\[<>]{0,500}>")


def read_epub(content: FileContent) -> Iterator[Document]:
    """One document per chapter that holds text, with its number as page."""
    parts = Parts(content, "EPUB")
    if parts.has("META-INF/encryption.xml") and parts.has("META-INF/rights.xml"):
        raise ValueError("protected against copying (DRM), so it cannot be read")
    container = parse_xml(parts.read("META-INF/container.xml"), "EPUB")
    package_name = next((e.get("full-path", "") for e in container.iter("{*}rootfile")), "")
    package = parse_xml(_PUBLIC_DTD.sub(b"", parts.read(package_name)), "EPUB")
    title = package.findtext(".//{http://purl.org/dc/elements/1.1/}title")
    items = {item.get("id"): item for item in package.iter("{*}item")}
    folder = posixpath.dirname(package_name)
    read: set[str] = set()
    found = False
    for number, reference in enumerate(package.iter("{*}itemref"), 1):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _PAGE_TYPES:
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href", "")).partition("#")[0]))
        if name in read:
            continue
        read.add(name)
        try:
            page = content.within(".xhtml", parts.read(name), name)
            text, heading = page_text(page.text(), content)
        except ReadLimitError:
            raise
        except ValueError as error:
            content.report(f"chapter {number} cannot be read ({error})")
            continue
        if text:
            found = True
            yield page.document(text, format="markdown", page=number, title=title or heading)
    if not found:
        raise ValueError("no text in it")
