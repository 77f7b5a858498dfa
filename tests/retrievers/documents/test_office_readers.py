"""PPTX, XLSX and EML. The archives are written by hand: just what the standards ask for."""

import io
import zipfile
from email.message import EmailMessage

import pytest

from llama_bedrock.retrievers import load_documents, split_documents

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
DRAWING = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    f'xmlns:r="{OFFICE}"'
)


def archive(**parts):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return data.getvalue()


def relations(**targets):
    items = "".join(
        f'<Relationship Id="{id_}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for id_, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{items}</Relationships>'


def shape(text, kind="body"):
    paragraphs = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    return f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>'


def table(*rows):
    def cell(text):
        return f"<a:tc><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    body = "".join(f"<a:tr>{''.join(map(cell, row))}</a:tr>" for row in rows)
    return f"<p:graphicFrame><a:graphic><a:graphicData><a:tbl>{body}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>"


def pptx(*slides, notes=None):
    ids = "".join(f'<p:sldId id="{256 + n}" r:id="s{n}"/>' for n in range(len(slides)))
    # Files are numbered in the order they were made, which is not that of the presentation.
    parts = {
        "ppt/presentation.xml": f"<p:presentation {DRAWING}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(
            **{f"s{n}": ("slide", f"slides/slide{len(slides) - n}.xml") for n in range(len(slides))}
        ),
    }
    for n, shapes in enumerate(slides):
        parts[f"ppt/slides/slide{len(slides) - n}.xml"] = (
            f"<p:sld {DRAWING}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
        )
    if notes:
        parts[f"ppt/slides/_rels/slide{len(slides)}.xml.rels"] = relations(
            r1=("notesSlide", "../notesSlides/notesSlide1.xml")
        )
        parts["ppt/notesSlides/notesSlide1.xml"] = (
            f"<p:notes {DRAWING}><p:cSld><p:spTree>{shape(notes)}{shape('7', 'sldNum')}</p:spTree></p:cSld></p:notes>"
        )
    return archive(**parts)


STYLES = (
    f'<styleSheet {MAIN}><numFmts><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd hh:mm"/>'
    '<numFmt numFmtId="165" formatCode="[Red]0.0&quot; days&quot;"/></numFmts>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/></cellXfs></styleSheet>'
)


def xlsx(sheets, shared=(), **parts):
    names = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, 1))
    strings = "".join(f"<si>{item}</si>" for item in shared)
    files = {
        "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{OFFICE}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(
            **{f"r{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)},
            rs=("sharedStrings", "sharedStrings.xml"),
            rt=("styles", "/xl/styles.xml"),
        ),
        "xl/sharedStrings.xml": f"<sst {MAIN}>{strings}</sst>",
        "xl/styles.xml": STYLES,
    }
    for n, rows in enumerate(sheets.values(), 1):
        body = "".join(f'<row r="{number}">{cells}</row>' for number, cells in rows.items())
        files[f"xl/worksheets/sheet{n}.xml"] = f"<worksheet {MAIN}><sheetData>{body}</sheetData></worksheet>"
    return archive(**files, **parts)


def load(tmp_path, name, data, **options):
    (tmp_path / name).write_bytes(data)
    return load_documents(tmp_path / name, **options)


def test_slides_come_in_the_order_of_the_presentation_with_titles_tables_and_notes(tmp_path):
    documents = load(
        tmp_path,
        "deck.pptx",
        pptx(
            shape("Llamas hum.\nThey spit, too.") + shape("About llamas", "title"),
            table(["Animal", "Height"], ["Llama", "1.8 m"]),
            notes="Mention alpacas.",
        ),
    )
    assert [(d.metadata["page"], d.page_content) for d in documents] == [
        (1, "# About llamas\n\nLlamas hum.\n\nThey spit, too.\n\nMention alpacas."),
        (2, "| Animal | Height |\n| Llama | 1.8 m |"),
    ]
    [first, _] = split_documents(documents)
    assert first.metadata["heading"] == "About llamas"


def test_rows_of_a_sheet_are_records_with_the_names_of_their_columns(tmp_path):
    documents = load(
        tmp_path,
        "book.xlsx",
        xlsx(
            {
                "Herd": {
                    1: '<c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>born</t></is></c><c r="D1" t="str"><v>kg</v></c>',
                    3: '<c r="A3" t="s"><v>1</v></c><c r="B3" s="1"><v>45292</v></c><c r="D3"><v>112.30000000000001</v></c>',
                    4: '<c r="A4" t="b"><v>1</v></c><c r="B4" s="2"><v>45292.5</v></c><c r="D4" s="3"><v>7</v></c>',
                },
                "Empty": {},
                "Notes": {1: '<c t="inlineStr"><is><t>Note</t></is></c>', 2: "<c><v>5</v></c>"},
            },
            shared=["<t>name</t>", "<r><t>Dal</t></r><r><t>ia</t></r><rPh><t>reading</t></rPh>"],
        ),
    )
    assert [(d.page_content, d.metadata["row"], d.metadata["heading"]) for d in documents] == [
        ("name: Dalia\nborn: 2024-01-01\nkg: 112.3", 3, "Herd"),
        ("name: TRUE\nborn: 2024-01-01 12:00:00\nkg: 7", 4, "Herd"),
        ("Note: 5", 2, "Notes"),
    ]
    assert len({document.id for document in documents}) == 3


@pytest.mark.parametrize("suffix", ["pptx", "xlsx"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04 cut short", "not a readable"),
        (archive(**{"other.txt": "x"}), "not a readable"),
        (archive(**{"ppt/presentation.xml": "<broken", "xl/workbook.xml": "<broken"}), "not a readable"),
        (archive(**{"bomb.xml": b"\0" * 140_000_000}), "its text unpacks to 140 MB, over the limit"),
    ],
    ids=["cut", "foreign", "broken", "too large"],
)
def test_a_damaged_archive_says_so(tmp_path, suffix, data, reason):
    with pytest.raises(ValueError, match=reason):
        load(tmp_path, f"file.{suffix}", data)


def test_a_deck_and_a_book_without_text_say_so(tmp_path):
    with pytest.raises(ValueError, match="no text in its 1 slides"):
        load(tmp_path, "deck.pptx", pptx(""))
    with pytest.raises(ValueError, match="tables without rows"):
        load(tmp_path, "book.xlsx", xlsx({"Empty": {}}))


def message(**headers):
    mail = EmailMessage()
    for name, value in headers.items():
        mail[name] = value
    return mail


def test_a_message_gives_headers_text_and_names_of_attachments(tmp_path):
    mail = message(Subject="Größe der Herde", From="ana@example.com", To="ben@example.com")
    mail.set_content("Zwölf Lamas.\nKein Alpaka.\n")
    mail.add_alternative("<p>other form</p>", subtype="html")
    mail.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="herd.pdf")
    [document] = load(tmp_path, "mail.eml", mail.as_bytes())
    assert document.page_content == (
        "Subject: Größe der Herde\nFrom: ana@example.com\nTo: ben@example.com\nAttachments: herd.pdf\n\n"
        "Zwölf Lamas.\nKein Alpaka."
    )
    assert document.metadata["title"] == "Größe der Herde"


def test_a_message_of_html_is_read_as_its_visible_text(tmp_path):
    mail = message(Subject="Hello")
    mail.set_content("<h1>Llamas</h1><script>x()</script><p>They <b>hum</b>.</p>", subtype="html")
    [document] = load(tmp_path, "mail.eml", mail.as_bytes())
    assert "They hum." in document.page_content.replace("**", "")
    assert "x()" not in document.page_content


def test_a_message_in_an_unknown_charset_is_read_all_the_same(tmp_path):
    data = b"Subject: s\nContent-Type: text/plain; charset=nosuch\nContent-Transfer-Encoding: 8bit\n\nGr\xf6\xdfe\n"
    [document] = load(tmp_path, "mail.eml", data)
    assert document.page_content.startswith("Subject: s\n\nGr")
