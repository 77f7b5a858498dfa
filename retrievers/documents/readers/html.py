"""Reader of HTML: its visible text as Markdown, so that headings, lists, tables and code stay what they
are.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.encodings import codec_of
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadingBudget, ReadLimitError

_INVISIBLE = frozenset({
    "script", "style", "noscript", "template", "head", "nav", "iframe", "object", "rp", "defs", "metadata",
    "datalist",
})  # fmt: skip
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "li", "main", "ol", "p",
    "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", "h1", "h2", "h3", "h4",
    "h5", "h6", "option", "textarea", "legend", "svg",
})  # fmt: skip
_DECLARED = re.compile(rb"""<meta[^>]{0,500}?charset\s{0,9}=\s{0,9}["']?([\w:.-]{1,40})""", re.IGNORECASE)
_XML_DECLARED = re.compile(rb"""^\s{0,99}<\?xml[^>]{0,200}?encoding\s{0,9}=\s{0,9}["']([\w:.-]{1,40})""")
_HIDDEN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)
_HEADING = re.compile(r"h([1-6])")
# An element or attribute takes about 120 bytes of libxml2's memory: 3 million are 360 MB.
_MAX_NODES = 3_000_000
_FED = 1 << 16


def read_html(content: FileContent) -> Iterator[Document]:
    """The visible text of a page. Scripts, styles, navigation and hidden elements are left out; of images
    the texts that stand for them are kept.
    """
    text, title = page_text(content.text(_declared(content.data)), content)
    if not text:
        if content.suffix == ".svg":
            return  # a picture without words
        raise ValueError("no visible text in it")
    yield content.document(text, format="markdown", title=title)


def _declared(data: bytes) -> str | None:
    found = _XML_DECLARED.match(data[:400]) or _DECLARED.search(data[:4096])
    label = found[1].decode("ascii", "replace") if found else None
    return label if label and codec_of(label) else None


def page_text(page: str, content: FileContent) -> tuple[str, str | None]:
    """The visible text of a page as Markdown, and its title.

    Args:
        page: HTML or XHTML.
        content: The file it is in, for its budget and reports.

    Raises:
        ReadLimitError: The page takes more than it may.
    """
    if page.count("<") + page.count("=") > _MAX_NODES:
        raise ReadLimitError(f"it holds more than {_MAX_NODES:,} elements and attributes; split the file")
    root = _parsed(page, content.budget)
    if root is None:
        content.report("its elements are nested deeper than any browser shows; read without structure")
        return _bare_text(page), None
    text = _MarkdownWriter(content.budget).write(root)
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    named = root.find(".//head/title")
    title = " ".join("".join(named.itertext()).split()) if named is not None else None
    return text, title or (heading[1] if heading else None)


def _parsed(page: str, budget: ReadingBudget) -> Any:
    """The root of a page; None where it is nested so deep that the parser gives up."""
    etree = require("lxml.etree", "local")
    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True, no_network=True
    )
    # libxml2 ends a text at a null character, and takes CDATA sections, as HTML does, for comments.
    data = page.replace("\0", "\ufffd").replace("<![CDATA[", "").encode("utf-8", "replace")
    for start in range(0, len(data), _FED):
        budget.check_time()
        parser.feed(data[start : start + _FED])
    try:
        root = parser.close()
    except etree.XMLSyntaxError:
        return etree.Element("html")  # nothing in it that is an element or text
    too_deep = any("depth" in entry.message.lower() for entry in parser.feed_error_log)
    return None if too_deep else root


_TAG = re.compile(r"<[!/?a-zA-Z][^<>]*>")


def _bare_text(page: str) -> str:
    """The words of a page without its tags."""
    for name in ("script", "style"):
        pieces = re.split(f"<{name}\\b", page, flags=re.IGNORECASE)
        ends = (
            re.split(f"</{name}[^>]{{0,99}}>", piece, maxsplit=1, flags=re.IGNORECASE) for piece in pieces[1:]
        )
        page = pieces[0] + " ".join(end[1] for end in ends if len(end) > 1)
    return re.sub(r"\s+", " ", html.unescape(_TAG.sub(" ", page))).strip()


def _is_hidden(element: Any) -> bool:
    if element.tag == "input":
        return bool(element.get("type", "").lower() == "hidden")
    # "until-found" is found by a browser's search, so it is by ours.
    hidden = element.get("hidden")
    if hidden is not None and hidden.lower() != "until-found":
        return True
    style = element.get("style")
    return style is not None and _HIDDEN.search(style[:2000]) is not None


class _MarkdownWriter:
    """Walks the tree with an explicit stack: recursion would end at pages nested a thousand deep."""

    def __init__(self, budget: ReadingBudget) -> None:
        self._parts: list[str] = []
        self._pre = 0
        self._fence = "```"
        self._budget = budget

    def write(self, root: Any) -> str:
        """The text of a tree."""
        self._fence = _fence_for(root)
        stack: list[tuple[Any, bool]] = [(root, False)]
        while stack:
            node, closing = stack.pop()
            if closing:
                self._close(node.tag)
                self._text(node.tail or "")
                continue
            if not isinstance(node.tag, str) or node.tag in _INVISIBLE or _is_hidden(node):
                self._text(node.tail or "")
                continue
            self._open(node.tag)
            self._text(node.text or "")
            self._alternative(node)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node))
        self._budget.check_time()
        text = "".join(self._parts)
        text = "\n".join(map(_without_trailing_blanks, text.split("\n")))
        return re.sub(r"\n{3,}", "\n\n", text).strip()

    def _alternative(self, node: Any) -> None:
        """The text that stands for an image, and what stands in a field."""
        if node.tag in ("img", "area") or (node.tag == "input" and node.get("type", "").lower() == "image"):
            self._text(node.get("alt") or "")
        elif node.tag == "input" and node.get("type", "text").lower() in (
            "text",
            "submit",
            "button",
            "email",
        ):
            self._text(node.get("value") or "")

    def _text(self, text: str) -> None:
        if not text:
            return
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
        elif name == "rt":
            self._parts.append("(")
        elif name in ("td", "th"):
            self._parts.append("| ")
        elif name in ("li", "tr"):
            self._parts.append("\n- " if name == "li" else "\n")
        elif name == "pre":
            self._pre += 1
            self._parts.append(f"\n\n{self._fence}\n" if self._pre == 1 else "\n")
        elif heading := _HEADING.fullmatch(name):
            self._parts.append("\n" if self._pre else f"\n\n{'#' * int(heading[1])} ")
        elif name in _BLOCKS and not self._after_marker():
            self._parts.append("\n" if self._pre else "\n\n")

    def _close(self, name: str) -> None:
        if name == "rt":
            self._parts.append(")")
        elif name in ("td", "th"):
            self._parts.append(" ")
        elif name == "tr":
            self._parts.append("|")
        elif name == "pre":
            self._pre -= 1
            self._parts.append("\n" if self._pre else f"\n{self._fence}\n\n")
        elif name in _BLOCKS and name not in ("li", "tbody", "thead", "tfoot"):
            self._parts.append("\n" if self._pre else "\n\n")

    def _after_marker(self) -> bool:
        """True right after a list or heading marker: ``<li><p>text`` is one line."""
        return bool(self._parts) and self._parts[-1].endswith(("- ", "# ", "| "))


def _without_trailing_blanks(line: str) -> str:
    return line.rstrip(" \t")


def _fence_for(root: Any) -> str:
    """A fence longer than any row of backticks in a page that shows code."""
    if root.find(".//pre") is None:
        return "```"
    return "`" * (1 + max(map(len, re.findall("`{3,}", "".join(root.itertext()))), default=2))
