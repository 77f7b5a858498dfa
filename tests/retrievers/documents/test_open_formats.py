"""OpenDocument, EPUB and RTF, made by odfpy and EbookLib; what striprtf reads is what others write."""

import pytest
from ebooklib import epub
from odf import dc, draw, office, presentation, style, table, text
from odf.opendocument import (
    OpenDocumentPresentation,
    OpenDocumentSpreadsheet,
    OpenDocumentText,
)

from llama_bedrock.retrievers import load_documents


def load(tmp_path, name, data, **options):
    (tmp_path / name).write_bytes(data)
    return load_documents(tmp_path / name, **options)


def saved(tmp_path, document, name):
    document.save(tmp_path / name)
    return load_documents(tmp_path / name)


def test_odt_reads_headings_lists_tables_notes_and_comments(tmp_path):
    document = OpenDocumentText()
    document.text.addElement(text.H(outlinelevel=2, text="Llamas"))
    paragraph = text.P(text="They hum")
    note = text.Note(noteclass="footnote", id="n1")
    note.addElement(text.NoteCitation(text="1"))
    body = text.NoteBody()
    body.addElement(text.P(text="When content."))
    note.addElement(body)
    paragraph.addElement(note)
    remark = office.Annotation()
    remark.addElement(dc.Creator(text="Ben"))
    remark.addElement(text.P(text="Really?"))
    paragraph.addElement(remark)
    document.text.addElement(paragraph)
    items = text.List()
    item = text.ListItem()
    item.addElement(text.P(text="one"))
    items.addElement(item)
    document.text.addElement(items)
    grid = table.Table(name="T")
    row = table.TableRow()
    for value in ("a", "b"):
        cell = table.TableCell()
        cell.addElement(text.P(text=value))
        row.addElement(cell)
    grid.addElement(row)
    document.text.addElement(grid)
    [loaded] = saved(tmp_path, document, "a.odt")
    assert loaded.page_content == (
        "## Llamas\n\nThey hum[^1]\n\n[^1]: When content.\n\nComment by Ben: Really?\n\n- one\n\n| a | b |"
    )


def test_odt_reads_insertions_text_boxes_and_spaces_and_no_deletions(tmp_path):
    document = OpenDocumentText()
    changes = text.TrackedChanges()
    region = text.ChangedRegion(check_grammar=False)
    deletion = text.Deletion()
    deletion.addElement(text.P(text="gone"))
    region.addElement(deletion)
    changes.addElement(region)
    document.text.addElement(changes)
    paragraph = text.P(text="kept")
    paragraph.addElement(text.S(c=2))
    paragraph.addElement(text.Span(text="styled"))
    frame = draw.Frame(anchortype="paragraph")
    box = draw.TextBox()
    box.addElement(text.P(text="in a box"))
    frame.addElement(box)
    paragraph.addElement(frame)
    document.text.addElement(paragraph)
    [loaded] = saved(tmp_path, document, "a.odt")
    assert loaded.page_content == "kept  styled\n\nin a box"


def test_odp_gives_a_document_per_slide(tmp_path):
    document = OpenDocumentPresentation()
    layout = style.PageLayout(name="layout")
    document.automaticstyles.addElement(layout)
    master = style.MasterPage(name="master", pagelayoutname=layout)
    document.masterstyles.addElement(master)
    for title in ("First", "Second"):
        page = draw.Page(masterpagename=master)
        for words, role in ((title, "title"), (f"About {title.lower()}.", "outline")):
            frame = draw.Frame()
            frame.setAttrNS("urn:oasis:names:tc:opendocument:xmlns:presentation:1.0", "class", role)
            box = draw.TextBox()
            box.addElement(text.P(text=words))
            frame.addElement(box)
            page.addElement(frame)
        notes = presentation.Notes()
        frame = draw.Frame()
        box = draw.TextBox()
        box.addElement(text.P(text="Say it slowly."))
        frame.addElement(box)
        notes.addElement(frame)
        page.addElement(notes)
        document.presentation.addElement(page)
    documents = saved(tmp_path, document, "a.odp")
    assert [(d.metadata["page"], d.page_content) for d in documents] == [
        (1, "# First\n\nAbout first.\n\nSay it slowly."),
        (2, "# Second\n\nAbout second.\n\nSay it slowly."),
    ]


def test_ods_gives_a_document_per_row_whatever_is_repeated(tmp_path):
    document = OpenDocumentSpreadsheet()
    sheet = table.Table(name="Herd")
    rows = [
        [("name", 1), ("kg", 1)],
        [("Ana", 1), ("112,3", 1)],
        [("", 1), ("", 16_000)],
        [("x", 3), ("", 16_000)],
    ]
    for number, cells in enumerate(rows):
        row = table.TableRow(**({"numberrowsrepeated": 1_000_000} if number == 2 else {}))
        for value, count in cells:
            cell = table.TableCell(numbercolumnsrepeated=count)
            if value:
                cell.addElement(text.P(text=value))
            row.addElement(cell)
        sheet.addElement(row)
    document.spreadsheet.addElement(sheet)
    documents = saved(tmp_path, document, "a.ods")
    assert [(d.page_content, d.metadata["row"], d.metadata["heading"]) for d in documents] == [
        ("name: Ana\nkg: 112,3", 2, "Herd"),
        ("name: x\nkg: x\ncolumn 3: x", 1_000_003, "Herd"),
    ]


def test_epub_gives_a_document_per_chapter_in_the_order_of_the_book(tmp_path):
    book = epub.EpubBook()
    book.set_identifier("b")
    book.set_title("The Llama Book")
    book.set_language("en")
    chapters = []
    for name in ("One", "Two"):
        chapter = epub.EpubHtml(title=name, file_name=f"{name}.xhtml", lang="en")
        chapter.content = f"<h1>{name}</h1><p>Chapter {name.lower()} &amp; more.</p>"
        book.add_item(chapter)
        chapters.append(chapter)
    book.add_item(epub.EpubNcx())
    book.spine = chapters[::-1]
    epub.write_epub(str(tmp_path / "a.epub"), book)
    documents = load_documents(tmp_path / "a.epub")
    assert [(d.metadata["page"], d.metadata["title"], d.page_content) for d in documents] == [
        (1, "The Llama Book", "# Two\n\nChapter two & more."),
        (2, "The Llama Book", "# One\n\nChapter one & more."),
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (rb"{\rtf1\ansi\ansicpg1252 Gr\'fc\'dfe \b bold\b0\par next\u8364?}", "Grüße bold\nnext€"),
        (
            rb"{\rtf1\ansi\ansicpg1251{\fonttbl{\f0\fcharset204 A;}}\f0 \'cf\'f0\'e8\'e2\'e5\'f2}",
            "Привет",
        ),
        (rb"{\rtf1\ansi{\pict\pngblip " + b"89504e47" * 9000 + rb"}after the picture}", "after the picture"),
        (rb"{\rtf1\ansi{\info{\title Notes}}{\*\generator x;}text}", "text"),
        (b"{\\rtf1\\ansi\\ansicpg1252 Gr\xfc\xdfe}", "Grüße"),
        (
            rb"{\rtf1 It hums.\chftn {\footnote \pard\plain {\up6\chftn }When \{content\}.} Loudly.}",
            "It hums. (When {content}.) Loudly.",
        ),
        (
            rb"{\rtf1{\headerl\pard Top\par}Body{\shp{\*\shpinst{\sp{\sn a}{\sv 1}}{\shptxt Box}}}{\*\atnid A}}",
            "Top\nBody\n\nBox",
        ),
        (
            rb"{\rtf1{\pict\jpegblip\bin ffd8}{\f2\b0\*\cs7 after a stray star} \\* kept}",
            "after a stray star \\* kept",
        ),
    ],
)
def test_rtf_gives_its_text(tmp_path, data, text):
    [document] = load(tmp_path, "a.rtf", data)
    assert document.page_content == text
    [document] = load(tmp_path, "without a name", data)
    assert document.page_content == text
