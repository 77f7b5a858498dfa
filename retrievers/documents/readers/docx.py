"""Reader of Word's files: DOCX, DOCM, DOTX, DOTM.

python-docx opens the package and finds its parts. Its paragraphs and cells drop what stands in insertions,
content controls, text boxes, smart tags and notes, so the elements themselves are read here, with lxml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.archive import Parts, checked_xml, local_name, parse_xml
from llama_bedrock.retrievers.documents.readers.drawing import (
    chart_part_text,
    chosen,
    core_title,
    smart_art_text,
    table_row,
)
from llama_bedrock.retrievers.documents.readers.file_content import FileContent

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_VALUE, _ID, _TYPE = f"{_W}val", f"{_W}id", f"{_W}type"
# Word lets nobody make a table of more columns.
_MAX_COLUMNS = 63
_DELETED = frozenset({"del", "moveFrom", "delText", "delInstrText", "instrText"})
_CHARACTERS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def read_docx(content: FileContent) -> Iterator[Document]:
    """The text in reading order as Markdown-like text: headings, lists and tables keep their structure.

    Insertions are read, deletions are not. Notes and comments follow the paragraph that calls them, page
    headers come first and footers last.
    """
    docx = require("docx", "local")
    parts = Parts(content, "DOCX")
    document = parts.opened(docx.Document)
    parts.report_embedded()
    blocks = _Body(document, content).blocks()
    text = "\n\n".join(blocks).strip()
    if not text:
        raise ValueError("no text in it")
    title = core_title(document) or next(
        (block.lstrip("# ") for block in blocks if block.startswith("# ")), None
    )
    yield content.document(text, format="markdown", title=title)


class _Body:
    """The blocks of a document's text."""

    def __init__(self, document: Any, content: FileContent) -> None:
        self._part = document.part
        self._element = document.element
        self._content = content
        self._levels = _heading_levels(document.styles.element)
        self._notes = {kind: self._notes_of(kind) for kind in ("footnotes", "endnotes", "comments")}
        self._hidden = 0
        self._after: list[str] = []
        """What follows the paragraph that is being read: notes, text boxes."""

    def blocks(self) -> list[str]:
        """All blocks, page headers first and footers last."""
        body = self._element.find(f"{_W}body")
        if body is None:
            return []
        middle = list(self._blocks(body))
        for notes in self._notes.values():  # what no paragraph calls
            for number in list(notes):
                middle.extend(self._note(notes, number, ""))
        blocks = [*self._margins("header"), *middle, *self._margins("footer")]
        if self._hidden:
            self._content.report(f"{self._hidden:,} characters of hidden text are left out")
        return blocks

    def _margins(self, kind: str) -> list[str]:
        parts = (rel.target_part for rel in self._relations() if rel.reltype.endswith(f"/{kind}"))
        return list(dict.fromkeys(block for part in parts for block in self._blocks(_root(part))))

    def _relations(self) -> Iterable[Any]:
        return [rel for rel in self._part.rels.values() if not rel.is_external]

    def _notes_of(self, kind: str) -> dict[str, Any]:
        """The notes of a kind, by id."""
        for relation in self._relations():
            if relation.reltype.endswith(f"/{kind}"):
                root = _root(relation.target_part)
                return {
                    note.get(_ID, ""): note
                    for note in root.iterfind(f"{_W}{kind.removesuffix('s')}")
                    if note.get(_TYPE, "normal") == "normal"
                }
        return {}

    def _note(self, notes: dict[str, Any], number: str, mark: str) -> list[str]:
        note = notes.pop(number, None)  # a note that is called twice stands once
        if note is None:
            return []
        outer, self._after = self._after, []
        text = "\n".join(self._blocks(note))
        self._after = outer
        author = note.get(f"{_W}author")
        label = f"Comment by {author}: " if author else f"{mark}: " if mark else ""
        return [f"{label}{text}"] if text else []

    def _blocks(self, container: Any) -> Iterator[str]:
        self._content.budget.check_time()
        for element in container:
            name = local_name(element)
            if name == "p":
                yield from self._paragraph(element)
            elif name == "tbl":
                yield from self._table(element)
            elif name == "altChunk":
                self._content.report("a document inserted as a file of its own (altChunk) is left out")
            elif name == "AlternateContent":
                yield from self._blocks(chosen(element))
            elif name not in _DELETED and name not in ("sdtPr", "sdtEndPr", "tcPr", "sectPr", "pPr"):
                yield from self._blocks(element)

    def _paragraph(self, paragraph: Any) -> Iterator[str]:
        outer, self._after = self._after, []
        text = "".join(self._inline(paragraph)).strip()
        after, self._after = self._after, outer
        if text:
            yield self._marked(paragraph.find(f"{_W}pPr"), text)
        yield from after

    def _marked(self, properties: Any, text: str) -> str:
        """The text with the mark of a heading or list item."""
        if properties is None:
            return text
        style = _value(properties.find(f"{_W}pStyle"))
        outline = _value(properties.find(f"{_W}outlineLvl"))
        level = int(outline) + 1 if outline.isdigit() else self._levels.get(style, 0)
        if 1 <= level <= 9:
            return f"{'#' * min(level, 6)} {' '.join(text.split())}"
        is_item = properties.find(f"{_W}numPr") is not None or style.startswith("List")
        return f"- {text}" if is_item else text

    # What stands in a line

    def _inline(self, element: Any) -> Iterator[str]:
        for child in element:
            name = local_name(child)
            if name in ("t", "delText") and name not in _DELETED:
                yield child.text or ""
            elif name in _CHARACTERS:
                yield _CHARACTERS[name]
            elif name == "AlternateContent":
                yield from self._inline(chosen(child))
            elif reader := self._READERS.get(name):
                yield from reader(self, child)
            elif name == "r" and _is_hidden(child):
                self._hidden += sum(len(text.text or "") for text in child.iter(f"{_W}t"))
            elif name not in _DELETED and name not in ("pPr", "rPr", "sdtPr", "sdtEndPr", "rubyPr"):
                yield from self._inline(child)

    def _called(self, kind: str, reference: Any) -> Iterator[str]:
        number = reference.get(_ID, "")
        mark = "" if kind == "comments" else f"[^{number}]"
        if number in self._notes[kind] and mark:
            yield mark
        self._after.extend(self._note(self._notes[kind], number, mark))

    def _box(self, box: Any) -> Iterator[str]:
        self._after.extend(self._blocks(box))
        yield from ()

    def _ruby(self, ruby: Any) -> Iterator[str]:
        for part, form in (("rubyBase", "{}"), ("rt", "({})")):
            if (found := ruby.find(f"{_W}{part}")) is not None:
                yield form.format("".join(self._inline(found)))

    def _symbol(self, symbol: Any) -> Iterator[str]:
        code = symbol.get(f"{_W}char", "")
        # From F000 on, the characters of Symbol and Wingdings: pictures, no words.
        if len(code) == 4 and not code.upper().startswith(("D", "E", "F")):
            yield chr(int(code, 16))

    def _picture_name(self, properties: Any) -> Iterator[str]:
        if description := " ".join((properties.get("descr") or "").split()):
            self._after.append(f"[{description}]")
        yield from ()

    def _word_art(self, path: Any) -> Iterator[str]:
        if text := path.get("string"):
            self._after.append(text)
        yield from ()

    def _related(self, element: Any, attribute: str, read: Callable[[Any], str]) -> Iterator[str]:
        relation = self._part.rels.get(element.get(f"{_R}{attribute}", ""))
        if relation is not None and not relation.is_external and (text := read(relation.target_part)):
            self._after.append(text)
        yield from ()

    def _choice_field(self, choices: Any) -> Iterator[str]:
        """What is chosen in a drop-down list of the old kind; it is nowhere in the text."""
        chosen_ = choices.find(f"{_W}result")
        entries = choices.findall(f"{_W}listEntry")
        number = _value(chosen_) if chosen_ is not None else "0"
        if number.isdigit() and int(number) < len(entries):
            yield _value(entries[int(number)])

    _READERS: dict[str, Callable[[_Body, Any], Iterator[str]]] = {  # noqa: RUF012
        "footnoteReference": lambda self, e: self._called("footnotes", e),
        "endnoteReference": lambda self, e: self._called("endnotes", e),
        "commentReference": lambda self, e: self._called("comments", e),
        "txbxContent": lambda self, e: self._box(e),
        "ruby": lambda self, e: self._ruby(e),
        "sym": lambda self, e: self._symbol(e),
        "docPr": lambda self, e: self._picture_name(e),
        "textpath": lambda self, e: self._word_art(e),
        "chart": lambda self, e: self._related(e, "id", lambda part: chart_part_text(part, _root)),
        "relIds": lambda self, e: self._related(e, "dm", lambda part: smart_art_text(_root(part))),
        "ddList": lambda self, e: self._choice_field(e),
        "cNvPr": lambda self, e: iter(()),
    }

    # Tables

    def _table(self, table: Any) -> Iterator[str]:
        rows = [cells for row in _inside(table, "tr") if (cells := list(self._cells(row)))]
        rows = [row for row in rows if any(any(cell) for cell in row)]
        if len(rows) == 1 and len(rows[0]) == 1:
            yield from rows[0][0]  # a frame around text, or what lays out a page
            return
        if rows:
            yield "\n".join(table_row([_one_line(cell) for cell in row]) for row in rows)

    def _cells(self, row: Any) -> Iterator[list[str]]:
        properties = row.find(f"{_W}trPr")
        if properties is not None and properties.find(f"{_W}del") is not None:
            return
        for cell in _inside(row, "tc"):
            about = cell.find(f"{_W}tcPr")
            if about is not None:
                merge = about.find(f"{_W}vMerge")
                span = _value(about.find(f"{_W}gridSpan"))
                if span.isdigit() and int(span) > _MAX_COLUMNS:
                    self._content.report(f"a cell claims to span {int(span):,} columns; it is read once")
                if merge is not None and _value(merge) != "restart":
                    continue
            yield list(self._blocks(cell))


def _one_line(blocks: list[str]) -> str:
    """The blocks of a cell in one line; rows of a table in the cell are set apart by semicolons."""
    lines = (line.strip("| ") if line.startswith("| ") else line for b in blocks for line in b.split("\n"))
    joined = "; " if any(block.startswith("| ") for block in blocks) else " "
    return joined.join(" ".join(line.split()) for line in lines if line.strip())


def _inside(element: Any, name: str) -> Iterator[Any]:
    """Children of a name, also where content controls or marks stand between."""
    for child in element:
        found = local_name(child)
        if found == name:
            yield child
        elif found in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag"):
            yield from _inside(child, name)


def _is_hidden(run: Any) -> bool:
    hidden = run.find(f"{_W}rPr/{_W}vanish")
    return hidden is not None and hidden.get(_VALUE, "1") not in ("0", "false", "off")


def _value(element: Any) -> str:
    return "" if element is None else str(element.get(_VALUE, ""))


def _root(part: Any) -> Any:
    """The root element of a part, whether python-docx has parsed it or not."""
    found = getattr(part, "element", None)
    return found if found is not None else parse_xml(checked_xml(part.blob), "DOCX")


def _heading_levels(styles: Any) -> dict[str, int]:
    """Levels of the paragraph styles that are headings, by id; 1 is the highest.

    Word names them "heading 1" in every language; styles made from them are headings, too.
    """
    levels: dict[str, int] = {}
    based: dict[str, str] = {}
    for style in styles.iterfind(f"{_W}style"):
        id_, name = style.get(f"{_W}styleId", ""), _value(style.find(f"{_W}name")).lower()
        outline = _value(style.find(f"{_W}pPr/{_W}outlineLvl"))
        if name == "title":
            levels[id_] = 1
        elif name.startswith("heading ") and name[8:].isdigit():
            levels[id_] = int(name[8:])
        elif outline.isdigit() and int(outline) < 9:
            levels[id_] = int(outline) + 1
        elif base := _value(style.find(f"{_W}basedOn")):
            based[id_] = base
    for id_ in based:
        base, steps = based[id_], 0
        while base not in levels and base in based and steps < 20:
            base, steps = based[base], steps + 1
        if base in levels:
            levels[id_] = levels[base]
    return levels
