"""Reader of PowerPoint's files: PPTX, PPTM, PPSX, POTX.

python-pptx opens the package and tells the order of the slides. Shapes are read as elements: it knows neither
SmartArt nor what stands in an old and a new form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.archive import Parts, checked_xml, local_name, parse_xml
from llama_bedrock.retrievers.documents.readers.drawing import (
    DRAWING,
    chart_part_text,
    chosen,
    core_title,
    paragraphs,
    smart_art_text,
    table_rows,
)
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadLimitError

_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


def read_pptx(content: FileContent) -> Iterator[Document]:
    """One document per slide that holds text: its title as heading, paragraphs, tables, charts, SmartArt,
    notes, comments.
    """
    pptx = require("pptx", "local")
    parts = Parts(content, "PPTX")
    deck = parts.opened(pptx.Presentation)
    slides = [deck.part.rels.get(s.get(f"{_R}id", "")) for s in deck.element.iterfind("{*}sldIdLst/{*}sldId")]
    parts.report_embedded()
    title = core_title(deck)
    found = False
    told: set[str] = set()
    for number, slide in enumerate(slides, 1):
        if slide is None:
            content.report(f"slide {number} is missing")
            continue
        try:
            text = "\n\n".join([*_slide(slide.target_part), *_behind(slide.target_part, told)])
        except ReadLimitError:
            raise
        except Exception as error:  # noqa: BLE001  one damaged slide must not hide the others
            content.report(f"slide {number} cannot be read ({error})")
            continue
        if text:
            found = True
            yield content.document(text, format="markdown", part=str(number), page=number, title=title)
    if not found:
        raise ValueError(f"no text in its {len(slides)} slides")


def _slide(part: Any) -> Iterator[str]:
    blocks = list(_shapes(_root(part).find("{*}cSld/{*}spTree"), part))
    yield from sorted(blocks, key=lambda block: not block.startswith("# "))
    for relation in part.rels.values():
        if relation.is_external:
            continue
        kind = relation.reltype.rpartition("/")[2]
        if kind == "notesSlide":
            yield from _shapes(_root(relation.target_part).find("{*}cSld/{*}spTree"), relation.target_part)
        elif kind == "comments":
            yield from _comments(_root(relation.target_part))


def _behind(part: Any, told: set[str]) -> Iterator[str]:
    """The words that a slide shows of its layout and master, with the first slide that shows them.

    What their placeholders say ("Click to edit") is shown on no slide.
    """
    if _root(part).get("showMasterSp") in ("0", "false"):
        return
    for relation in part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if relation.is_external or kind not in ("slideLayout", "slideMaster"):
            continue
        behind = relation.target_part
        if behind.partname not in told:
            told.add(behind.partname)
            tree = _root(behind).find("{*}cSld/{*}spTree")
            for shape in tree if tree is not None else ():
                if local_name(shape) in ("sp", "grpSp") and _placeholder(shape) is None:
                    yield from paragraphs(shape)
        if kind == "slideLayout":
            yield from _behind(behind, told)


def _comments(root: Any) -> Iterator[str]:
    """Comments of both kinds: plain text in older files, paragraphs in newer ones."""
    for comment in root:
        text = " ".join(paragraphs(comment)) or " ".join(e.text or "" for e in comment.iter("{*}text"))
        if text.strip():
            yield f"Comment: {text.strip()}"


def _shapes(tree: Any, part: Any) -> Iterator[str]:
    for shape in tree if tree is not None else ():
        name = local_name(shape)
        if name in ("grpSp", "AlternateContent"):
            yield from _shapes(chosen(shape) if name == "AlternateContent" else shape, part)
        elif name in ("Choice", "Fallback"):
            yield from _shapes(shape, part)
        elif name == "graphicFrame":
            yield from _graphic(shape, part)
        elif name == "sp" and _placeholder(shape) in ("dt", "sldNum", "sldImg"):
            # PowerPoint's own number or today's date is no word of the slide; a date that was typed is.
            yield from (text for text in paragraphs(shape, fields=False) if not text.isdecimal())
        elif name == "sp" and _placeholder(shape) in ("title", "ctrTitle"):
            if title := " ".join(paragraphs(shape)):
                yield f"# {title}"
        elif name == "pic":
            about = shape.find("{*}nvPicPr/{*}cNvPr")
            if about is not None and (described := " ".join((about.get("descr") or "").split())):
                yield f"[{described}]"
        else:
            yield from paragraphs(shape)


def _graphic(frame: Any, part: Any) -> Iterator[str]:
    for table in frame.iter(f"{DRAWING}tbl"):
        if rows := list(table_rows(table)):
            yield "\n".join(rows)
    readers: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
        ("{*}chart", "id", lambda part: chart_part_text(part, _root)),
        ("{*}relIds", "dm", lambda part: smart_art_text(_root(part))),
    )
    for tag, attribute, read in readers:
        for reference in frame.iter(tag):
            relation = part.rels.get(reference.get(f"{_R}{attribute}", ""))
            if relation is None or relation.is_external:
                continue
            if text := read(relation.target_part):
                yield text


def _placeholder(shape: Any) -> str | None:
    found = shape.find("{*}nvSpPr/{*}nvPr/{*}ph")
    return None if found is None else str(found.get("type", "body"))


def _root(part: Any) -> Any:
    """The root element of a part, whether python-pptx has parsed it or not."""
    found = getattr(part, "_element", None)
    return found if found is not None else parse_xml(checked_xml(part.blob), "PPTX")
