"""Reader of PDF, with pypdf."""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from langchain_core.documents import Document

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, ReadLimitError

_SECONDS_PER_PAGE = 4.0
# Numbers, texts and operators of a page or a form, which pypdf reads before it asks us the first time: some 5
# microseconds each (measured). A page of a novel has 3,000, a dense map 100,000.
_MOST_TOKENS = 300_000
_PACE = 0.2  # seconds by which the time for a file grows with each page that was read
_LISTED_PAGES = 10
# Of the characters of a page; text in a font without meaning is nearly all of this kind, a formula or a
# bullet here and there is not.
_MOST_UNMAPPED = 0.3
# Names that fonts give their glyphs where nothing says which letters they are: /g12, /uni0A03, (cid:7).
_GLYPH_NAMES = re.compile(r"/[A-Za-z]{1,4}\d{1,5}\b|/uni[0-9A-Fa-f]{4}|/[A-Za-z]\d+_\d+|\(cid:\d+\)")
_UNMAPPED = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]|[\U000f0000-\U0010ffff]")
# Encodings of Asian fonts whose codes pypdf can read: Unicode, GBK, Big5, Shift-JIS.
_ENCODINGS_OF_LETTERS = ("/Uni", "/GB", "/ETen", "/90ms")
# Of one stream of objects, unpacked: pypdf reads all at once, a megabyte in about a second. Programs that
# write PDF put some hundreds of objects into one.
_MOST_OBJECT_BYTES = 5_000_000
_NO_TABLE = b"\nstartxref\n0\n%%EOF\n"
_OBJECT = re.compile(rb"\s(\d{1,10})\s{1,20}(\d{1,5})\s{1,20}obj")
_OBJECT_HERE = re.compile(rb"\s{0,20}(\d{1,10})\s{1,20}(\d{1,5})\s{0,20}obj")
_LINE_END = re.compile(r"([^\W\d_]{1,60})[-\u2010\u00ad]\n[ \t]{0,20}([^\W\d_]{1,60})")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_SPACED = re.compile(r"(?:[^\W\d_] ){4,}[^\W\d_](?= |$)")

# pypdf tells about every oddity of a file; without a handler, Python prints that to the terminal.
logging.getLogger("pypdf").addHandler(logging.NullHandler())


class _TooSlowError(Exception):
    """A page takes too long."""


def read_pdf(content: FileContent) -> Iterator[Document]:
    """One document per page that holds text: what is printed, what was filled into forms, and comments."""
    pypdf = require("pypdf", "local")
    try:
        reader = _opened(pypdf, content)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("encrypted; save it without its password")
        page_count = len(reader.pages)
    except pypdf.errors.DependencyError as error:
        raise ValueError("encrypted with AES: pip install cryptography, or save it unencrypted") from error
    except NotImplementedError as error:
        raise ValueError("encrypted for some readers; save it without encryption") from error
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # a damaged file raises whatever pypdf runs into
        content.budget.check_time()
        name = "" if isinstance(error, pypdf.errors.PyPdfError) else f"{type(error).__name__}: "
        raise ValueError(f"not a readable PDF ({name}{error})") from error
    title = _pdf_title(reader)
    _report_beside_pages(reader, content)
    found = False
    unread: list[int] = []
    pictures: list[int] = []
    for number in range(1, page_count + 1):
        content.budget.check_time()
        try:
            page = reader.pages[number - 1]
            read = _page(pypdf, page)
        except (ReadLimitError, MemoryError):
            raise
        except _TooSlowError:
            content.report(f"page {number} takes too long to read, and is left out")
            continue
        except Exception as error:  # noqa: BLE001  one damaged page must not hide the others
            content.report(f"page {number} cannot be read ({type(error).__name__}: {error})")
            continue
        content.budget.allow(_PACE)
        if read.is_unreadable:
            unread.append(number)
        if read.lost:
            content.report(f"page {number}: a part of it cannot be read ({read.lost})")
        if read.text.strip():
            found = True
            yield content.document(read.text, format="pdf", part=str(number), page=number, title=title)
        if read.is_empty and _has_image(page):
            pictures.append(number)
    if unread:
        content.report(f"{_pages(unread)}: the fonts do not say which letters they show; OCR the file first")
    if pictures and found:
        content.report(f"{_pages(pictures)}: images without text, which need OCR first")
    if not found and not unread:
        raise ValueError(f"no text in its {page_count} pages (scanned images need OCR first)")


def _opened(pypdf: Any, content: FileContent) -> Any:
    """Pypdf's reader, which keeps to the file's time also where it reads no page: a megabyte may hold a
    hundred thousand objects. What lacks its table of objects is searched for them, and so is one whose
    table is wrong: once, where pypdf would search the file for each.
    """

    @cache
    def found() -> Mapping[tuple[int, int], int]:
        matches = _OBJECT.finditer(content.data)
        return {(int(m[2]), int(m[1])): m.start(1) for m in reversed(list(matches))}  # the first counts

    class TimedReader(pypdf.PdfReader):  # type: ignore[misc]
        def get_object(self, indirect_reference: Any) -> Any:
            content.budget.check_time()
            whole = isinstance(indirect_reference, int)
            number = indirect_reference if whole else indirect_reference.idnum
            key = (0 if whole else indirect_reference.generation, number)
            if key not in self.resolved_objects and number not in self.xref_objStm:
                places = self.xref.setdefault(key[0], {})
                place = places.get(number)
                head = _OBJECT_HERE.match(content.data, place) if place else None
                if head is None or (int(head[2]), int(head[1])) != key:
                    if key in found():
                        places[number] = found()[key]
                    elif not self.xref_free_entry.get(key[0], {}).get(number):
                        return None  # pypdf would search the whole file for each
            return super().get_object(indirect_reference)

        def cache_indirect_object(self, *args: Any, **options: Any) -> Any:
            content.budget.check_time()
            return super().cache_indirect_object(*args, **options)

        def _get_object_from_stream(self, indirect_reference: Any) -> Any:
            number = self.xref_objStm[indirect_reference.idnum][0]
            stream = pypdf.generic.IndirectObject(number, 0, self).get_object()
            if hasattr(stream, "get_data") and len(stream.get_data()) > _MOST_OBJECT_BYTES:
                raise ReadLimitError(
                    f"it holds {len(stream.get_data()) / 1e6:.0f} MB of objects in one stream"
                )
            return super()._get_object_from_stream(indirect_reference)

    try:
        return TimedReader(io.BytesIO(content.data))
    except pypdf.errors.PdfReadError:
        with suppress(pypdf.errors.PyPdfError):
            return TimedReader(io.BytesIO(content.data + _NO_TABLE))
        raise


def _report_beside_pages(reader: Any, content: FileContent) -> None:
    try:
        root = reader.root_object
        form = root.get("/AcroForm", {}).get_object()
        if "/XFA" in form and not form.get("/Fields", ()):
            content.report("its form (XFA) is on no page: open it in Acrobat and print it to PDF")
        names = list(reader.attachments)
    except Exception:  # noqa: BLE001  what is damaged beside the pages is no reason to skip them
        return
    if names:
        content.report(f"files embedded in it are left out: {', '.join(names[:5])}")


def _pages(numbers: list[int]) -> str:
    listed = ", ".join(map(str, numbers[:_LISTED_PAGES]))
    more = f" and {len(numbers) - _LISTED_PAGES} more" if len(numbers) > _LISTED_PAGES else ""
    return f"{'page' if len(numbers) == 1 else 'pages'} {listed}{more}"


def _pdf_title(reader: Any) -> str | None:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:  # noqa: BLE001  damaged document information is no reason to skip the pages
        return None
    return title.strip() if isinstance(title, str) else None


class _Page(NamedTuple):
    """What was read of a page."""

    text: str
    """Without what is printed if that is unreadable."""
    is_empty: bool
    """Whether nothing is printed on it."""
    is_unreadable: bool
    lost: str
    """Why a form on it could not be read."""


def _page(pypdf: Any, page: Any) -> _Page:
    try:
        with pypdf.apply_configuration(stream_parsing_work_maximum_count=_MOST_TOKENS):
            printed, without_letters, lost = _printed(page)
    except pypdf.errors.LimitReachedError as error:
        if "number of tokens" in str(error):
            raise _TooSlowError from error
        raise
    filled_in = _filled_in(page)
    if is_unmapped(printed) or without_letters > _MOST_UNMAPPED * sum(map(len, printed.split())):
        return _Page(filled_in, False, True, lost)  # what was filled in is in no font
    text = f"{printed.strip()}\n\n{filled_in}".strip() if filled_in else printed
    return _Page(text, not printed.strip(), False, lost)


def _printed(page: Any) -> tuple[str, int, str]:
    """The text of a page's content, mended; how many of its letters are in fonts that do not say which they
    are; and why a form on it could not be read.
    """
    unknown, lost = 0, ""

    def count(text: str, matrix: Any, text_matrix: Any, font: Any, size: Any) -> None:
        nonlocal unknown
        if font is not None and _is_without_letters(font):
            unknown += sum(map(len, text.split()))

    deadline = time.thread_time() + _SECONDS_PER_PAGE

    def check(*_: Any) -> None:
        if time.thread_time() > deadline:
            raise _TooSlowError

    def form(*args: Any, **options: Any) -> str:
        nonlocal lost
        try:
            return str(type(page).extract_xform_text(page, *args, **options))
        except Exception as error:  # pypdf passes over these, and goes on behind the form
            lost = f"{type(error).__name__}: {error}"
            raise

    page.extract_xform_text = form
    text = page.extract_text(visitor_operand_before=check, visitor_text=count)
    check()
    return mended(text), unknown, lost


def _is_without_letters(font: Any) -> bool:
    """True for a font whose codes are numbers of glyphs, with nothing that tells their letters; pypdf takes
    the numbers for those of letters.
    """
    if font.get("/Subtype") != "/Type0" or "/ToUnicode" in font:
        return False
    encoding = font.get("/Encoding")
    return isinstance(encoding, str) and not encoding.startswith(_ENCODINGS_OF_LETTERS)


def mended(text: str) -> str:
    """The text of a page with the words whole that were set in two lines or letter by letter.

    A word is joined without the hyphen of its line's end, unless the page has it with a hyphen elsewhere.
    """
    whole = set(_WORD.findall(text.lower())) if "-\n" in text or "\u2010\n" in text else set()

    def joined(match: re.Match[str]) -> str:
        first, second = match[1], match[2]
        if not second[0].islower():
            return match[0] if first[-1].isupper() or second[0].isupper() else f"{first}{second}"
        hyphenated = f"{first}-{second}".lower() in whole and f"{first}{second}".lower() not in whole
        return f"{first}-{second}" if hyphenated else f"{first}{second}"

    text = _LINE_END.sub(joined, text)
    text = _SPACED.sub(lambda match: match[0].replace(" ", ""), text)
    return re.sub(r"(?<=\S)[ \t]{2,}(?=\S)", " ", text) if "  " in text else text


def is_unmapped(text: str) -> bool:
    """True for text of a font that does not say which letters it shows: names of glyphs, or no characters."""
    letters = sum(not character.isspace() for character in text)
    if not letters:
        return False
    unmapped = len(_UNMAPPED.findall(text)) + sum(map(len, _GLYPH_NAMES.findall(text)))
    return unmapped > _MOST_UNMAPPED * letters


# What was filled in


def _filled_in(page: Any) -> str:
    """Values of form fields, and comments, in lines."""
    annotations = page.get("/Annots")
    lines: dict[str, None] = {}
    for reference in annotations.get_object() if annotations is not None else ():
        annotation = reference.get_object()
        kind = annotation.get("/Subtype") if hasattr(annotation, "get") else None
        if kind == "/Widget":
            name, value = _field(annotation)
            if value:
                lines[f"{name}: {value}" if name else value] = None
        elif kind not in ("/Link", "/Popup", None) and (text := _string(annotation.get("/Contents"))):
            lines[text] = None
    return "\n".join(lines)


def _field(widget: Any) -> tuple[str, str]:
    """A form field's name, for people where there is one, and its value as shown; all may be a parent's."""
    name, value, node = "", "", widget
    shown: dict[str, str] = {}
    for _ in range(10):
        name = name or _string(node.get("/TU")) or _string(node.get("/T"))
        shown = shown or _choices(node.get("/Opt"))
        value = value or _value(node.get("/V"), shown)
        parent = node.get("/Parent")
        if parent is None or (name and value):
            break
        node = parent.get_object()
    return name, value


def _choices(options: Any) -> dict[str, str]:
    """What a list shows for the values that it stores, where these differ."""
    options = options.get_object() if hasattr(options, "get_object") else options
    pairs = [pair.get_object() for pair in options if isinstance(pair.get_object(), list)] if options else []
    return {_string(pair[0]): _string(pair[1]) for pair in pairs if len(pair) == 2}


def _value(value: Any, shown: Mapping[str, str]) -> str:
    value = value.get_object() if hasattr(value, "get_object") else value
    texts = map(_string, value if isinstance(value, list) else [value])
    return ", ".join(shown.get(text, text).removeprefix("/") for text in texts if text not in ("", "/Off"))


def _string(value: Any) -> str:
    value = value.get_object() if hasattr(value, "get_object") else value
    value = value.get_data() if hasattr(value, "get_data") else value  # long texts may be streams
    if isinstance(value, bytes):
        value = value.decode(
            "utf-16" if value.startswith((b"\xfe\xff", b"\xff\xfe")) else "latin-1", "replace"
        )
    return value.replace("\r\n", "\n").replace("\r", "\n").strip() if isinstance(value, str) else ""


def _has_image(page: Any) -> bool:
    try:
        objects = page["/Resources"].get_object()["/XObject"].get_object().values()
        return any(o.get_object().get("/Subtype") == "/Image" for o in objects)
    except Exception:  # noqa: BLE001  damaged resources: nothing to tell about
        return False
