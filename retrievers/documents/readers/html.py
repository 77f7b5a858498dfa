"""Reader of HTML: its visible text as Markdown, so that headings, lists, tables and code stay what they
are.
"""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.encodings import decode
from llama_bedrock.retrievers.documents.readers.file_content import FileContent

_INVISIBLE = frozenset(
    {"script", "style", "noscript", "template", "svg", "head", "nav", "iframe", "object", "select"}
)
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "li", "main", "ol", "p",
    "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", "h1", "h2", "h3", "h4",
    "h5", "h6",
})  # fmt: skip
_DECLARED = re.compile(rb"""<meta[^>]*charset\s*=\s*["']?([\w-]+)""", re.IGNORECASE)
_HEADING = re.compile(r"h([1-6])")


def read_html(content: FileContent) -> Iterator[Document]:
    """The visible text of a page. Scripts, styles and navigation are left out."""
    bs4 = require("bs4", "local")
    with warnings.catch_warnings():
        # It doubts short texts (is it a URL?) and pages with an XML declaration; this is a file that says it
        # is HTML.
        warnings.simplefilter("ignore", UserWarning)
        soup = bs4.BeautifulSoup(decode(content.data, _encoding(content)), "html.parser")
    text = _MarkdownWriter(bs4).write(soup)
    if not text:
        raise ValueError("no visible text in it")
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    title = " ".join(soup.title.get_text().split()) if soup.title else None
    yield content.document(text, format="markdown", title=title or (heading[1] if heading else None))


def _encoding(content: FileContent) -> str | None:
    """The encoding that was asked for, or that the page declares; None if neither, or if Python has no
    such.
    """
    declared = _DECLARED.search(content.data[:2048])
    name = content.encoding or (declared[1].decode() if declared else None)
    if name is None or content.encoding:
        return name
    try:
        found = codecs.lookup(name).name
        content.data.decode(found)
    except (LookupError, UnicodeDecodeError):
        return None
    # Pages that say Latin-1 mean Windows-1252, says the HTML standard.
    return None if found in ("iso8859-1", "ascii") else found


class _MarkdownWriter:
    """Walks the tree with an explicit stack: recursion would end at pages nested a thousand deep."""

    def __init__(self, bs4: Any) -> None:
        self._tag, self._string, self._comment = bs4.Tag, bs4.NavigableString, bs4.element.PreformattedString
        self._parts: list[str] = []
        self._pre = 0

    def write(self, root: Any) -> str:
        stack: list[tuple[Any, bool]] = [(root, False)]
        while stack:
            node, closing = stack.pop()
            if closing:
                self._close(node.name)
            elif isinstance(node, self._tag):
                if node.name in _INVISIBLE:
                    continue
                self._open(node.name)
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(node.contents))
            elif isinstance(node, self._string) and not isinstance(node, self._comment):
                self._text(str(node))
        text = "".join(self._parts)
        text = re.sub(r"[ \t]+\n", "\n", text)
        return re.sub(r"\n{3,}", "\n\n", text).strip()

    def _text(self, text: str) -> None:
        if self._pre:
            self._parts.append(text)
            return
        text = re.sub(r"\s+", " ", text)
        if not self._parts or self._parts[-1].endswith(("\n", " ")):
            text = text.lstrip(" ")
        if text:
            self._parts.append(text)

    def _open(self, name: str) -> None:
        if name == "br":
            self._parts.append("\n")
        elif name in ("td", "th"):
            self._parts.append("| ")
        elif name in ("li", "tr"):
            self._parts.append("\n- " if name == "li" else "\n")
        elif name == "pre":
            self._pre += 1
            self._parts.append("\n\n```\n")
        elif heading := _HEADING.fullmatch(name):
            self._parts.append(f"\n\n{'#' * int(heading[1])} ")
        elif name in _BLOCKS and not self._after_marker():
            self._parts.append("\n\n")

    def _close(self, name: str) -> None:
        if name in ("td", "th"):
            self._parts.append(" ")
        elif name == "tr":
            self._parts.append("|")
        elif name == "pre":
            self._pre -= 1
            self._parts.append("\n```\n\n")
        elif name in _BLOCKS and name not in ("li", "tbody", "thead", "tfoot"):
            self._parts.append("\n\n")

    def _after_marker(self) -> bool:
        """True right after a list or heading marker: ``<li><p>text`` is one line."""
        return bool(self._parts) and self._parts[-1].endswith(("- ", "# ", "| "))
