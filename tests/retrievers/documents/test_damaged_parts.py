"""One damaged part of an archive hides no other: it is left out and named, unless all text stands in it."""

import io
import re
import zipfile

import docx
import openpyxl
import pptx
import pytest
from ebooklib import epub
from odf import dc
from odf.opendocument import OpenDocumentText
from odf.text import P
from openpyxl.comments import Comment
from pptx.util import Inches

from llama_bedrock.retrievers import load_documents


def saved(save):
    data = io.BytesIO()
    save(data)
    return data.getvalue()


def docx_file():
    document = docx.Document()
    document.core_properties.title = "A title"
    document.add_heading("First heading", 1)
    document.add_paragraph("In the body.")
    document.sections[0].header.paragraphs[0].text = "In the header"
    document.sections[0].footer.paragraphs[0].text = "In the footer"
    return saved(document.save)


def pptx_file():
    deck = pptx.Presentation()
    for number in (1, 2, 3):
        slide = deck.slides.add_slide(deck.slide_layouts[6])
        slide.shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = f"On slide {number}"
        slide.notes_slide.notes_text_frame.text = f"Note {number}"
    return saved(deck.save)


def xlsx_file():
    book = openpyxl.Workbook()
    for number in (1, 2, 3):
        sheet = book.active if number == 1 else book.create_sheet()
        sheet.append(["name", "born"])
        sheet.append([f"Llama {number}", 2000 + number])
    sheet["A1"].comment = Comment("A remark", "a")
    return saved(book.save)


def odt_file():
    document = OpenDocumentText()
    document.text.addElement(P(text="In the body."))
    document.meta.addElement(dc.Title(text="A title"))
    within = OpenDocumentText()
    within.text.addElement(P(text="In an object."))
    document.addObject(within)
    return saved(document.write)


def epub_file():
    book = epub.EpubBook()
    book.set_title("A title")
    pages = [
        epub.EpubHtml(title=f"{n}", file_name=f"{n}.xhtml", content=f"<p>Chapter {n}</p>") for n in (1, 2, 3)
    ]
    for page in pages:
        book.add_item(page)
    book.spine = pages
    return saved(lambda data: epub.write_epub(data, book))


# By format: how a file is made, the parts without which nothing can be read, and what is said in which part.
FILES = {
    "docx": (docx_file, r"\[Content|_rels/\.rels|word/document\.xml", {
        "In the body.": "word/document.xml", "In the header": "word/header1.xml|word/_rels/document",
        "In the footer": "word/footer1.xml|word/_rels/document",
    }),
    "pptx": (pptx_file, r"\[Content|_rels/\.rels|ppt/presentation\.xml|ppt/_rels/pres", {
        **{f"On slide {n}": rf"ppt/slides/slide{n}\.xml" for n in (1, 2, 3)},
        **{f"Note {n}": rf"ppt/slides/(_rels/)?slide{n}\.xml|notesSlide{n}\.xml" for n in (1, 2, 3)},
    }),
    "xlsx": (xlsx_file, r"\[Content|_rels/\.rels|xl/workbook|xl/_rels/work|sharedStrings", {
        **{f"Llama {n}\nborn: {2000 + n}": f"sheets/sheet{n}.xml" for n in (1, 2, 3)},
        "A remark": "comment",
    }),
    "odt": (odt_file, r"^content\.xml", {
        "In the body.": r"^content\.xml", "In an object.": "^Object 1/content.xml",
    }),
    "epub": (epub_file, r"META-INF/container|content\.opf", {
        f"Chapter {n}": rf"{n}\.xhtml" for n in (1, 2, 3)
    }),
}  # fmt: skip


def with_wrong_bytes(data, name):
    """The archive with bytes of a part changed: it cannot be unpacked, or has another checksum."""
    entry = zipfile.ZipFile(io.BytesIO(data)).getinfo(name)
    start = entry.header_offset + 30 + len(entry.filename.encode()) + entry.compress_size // 2
    return data[:start] + bytes(255 - byte for byte in data[start : start + 4]) + data[start + 4 :]


def cut(data, name):
    """The archive with a part of which the second half is missing, packed as if that were all of it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            part = old.read(entry)
            new.writestr(entry, part[: len(part) // 2] if entry == name else part)
    return out.getvalue()


@pytest.mark.parametrize("damaged", [with_wrong_bytes, cut])
@pytest.mark.parametrize("suffix", FILES)
def test_a_damaged_part_hides_no_other(tmp_path, suffix, damaged):
    make, needed, said = FILES[suffix]
    data, path = make(), tmp_path / f"file.{suffix}"
    (tmp_path / "beside.txt").write_text("The folder goes on.")
    path.write_bytes(data)
    read = "\n\n".join(document.page_content for document in load_documents(path))
    assert not [text for text in said if text not in read]
    for name in zipfile.ZipFile(io.BytesIO(data)).namelist():
        if name.endswith(
            ("mimetype", ".bin", ".jpeg", ".vml", "Object 1/styles.xml")
        ):  # nobody looks at these
            continue
        path.write_bytes(damaged(data, name))
        problems = []
        documents = load_documents(tmp_path, on_error=problems.append)
        text = "\n\n".join(document.page_content for document in documents)
        if re.search(needed, name):
            # Half a sheet or package may hold rows; what cannot be read is told in either case.
            assert problems, name
        else:
            lost = [part for part, where in said.items() if part not in text and not re.search(where, name)]
            assert not lost, (name, lost, problems)
            if not (damaged is cut and all(part in text for part in said)):
                reasons = " ".join(problem.reason for problem in problems)
                assert name in reasons or re.search("cannot be read|read without structure", reasons), (
                    name,
                    reasons,
                )


def test_the_manifest_of_openoffice_may_name_a_dtd(tmp_path):
    """Which is read for one word only: whether the file is encrypted."""
    doctype = (
        b'<!DOCTYPE manifest:manifest PUBLIC "-//OpenOffice.org//DTD Manifest 1.0//EN" "Manifest.dtd">\n'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(odt_file())) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(
                name, part.replace(b"<manifest:", doctype + b"<manifest:", 1) if "manifest" in name else part
            )
    (tmp_path / "a.odt").write_bytes(out.getvalue())
    problems = []
    [document] = load_documents(tmp_path / "a.odt", on_error=problems.append)
    assert "In the body." in document.page_content
    assert problems == []


def test_a_folder_in_a_workbook_is_no_part(tmp_path):
    path = tmp_path / "a.xlsx"
    path.write_bytes(xlsx_file())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("xl/drawings/", b"")
    problems = []
    load_documents(path, on_error=problems.append)
    assert problems == []
