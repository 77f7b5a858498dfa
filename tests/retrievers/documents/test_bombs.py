"""Small files that unpack to gigabytes: each is one line in the problems, and the folder goes on.

Each is read in a process of its own, whose memory and time are measured.
"""

import io
import json
import resource
import subprocess
import sys
import zipfile
import zlib
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import docx
import openpyxl
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from llama_bedrock.retrievers import load_documents

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def saved(thing):
    data = io.BytesIO()
    thing.save(data)
    return data.getvalue()


def with_parts(data, **parts):
    """An archive with parts replaced or added."""
    out = io.BytesIO()
    parts = {name.replace("__", "/"): text for name, text in parts.items()}
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, text in parts.items():
            new.writestr(name, text)
    return out.getvalue()


def workbook(rows=(["a"], ["b"])):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return book


def grid_span():
    document = docx.Document()
    document.add_paragraph("beside it")
    cell = (
        "<w:tc><w:tcPr><w:gridSpan w:val='2000000000'/></w:tcPr><w:p><w:r><w:t>wide</w:t></w:r></w:p></w:tc>"
    )
    document.element.body.insert(0, parse_xml(f"<w:tbl {nsdecls('w')}><w:tr>{cell}{cell}</w:tr></w:tbl>"))
    return saved(document)


def shared_string():
    cells = "".join('<c t="s"><v>0</v></c>' for _ in range(10_000))
    data = saved(workbook())
    types = zipfile.ZipFile(io.BytesIO(data)).read("[Content_Types].xml").decode()
    strings = (
        '<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument'
        '.spreadsheetml.sharedStrings+xml"/></Types>'
    )
    return with_parts(
        data,
        **{
            "[Content_Types].xml": types.replace("</Types>", strings),
            "xl/sharedStrings.xml": f"<sst {MAIN}><si><t>{'x' * 1_000_000}</t></si></sst>",
            "xl/worksheets/sheet1.xml": f"<worksheet {MAIN}><sheetData><row>{cells}</row></sheetData></worksheet>",
        },
    )


def one_part_200_sheets():
    rows = "".join(f'<row><c t="inlineStr"><is><t>{"word " * 20}</t></is></c></row>' for _ in range(500))
    sheets = "".join(f'<sheet name="S{n}" sheetId="{n}" r:id="rId1"/>' for n in range(1, 201))
    return with_parts(
        saved(workbook()),
        **{
            "xl/worksheets/sheet1.xml": f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>",
            "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{RELATIONS}"><sheets>{sheets}</sheets></workbook>',
        },
    )


def row_two_thousand_million():
    rows = '<row r="2000000000"><c r="A2000000000" t="inlineStr"><is><t>far</t></is></c></row>'
    sheet = f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>"
    return with_parts(saved(workbook()), **{"xl/worksheets/sheet1.xml": sheet})


def media(size):
    out = io.BytesIO(saved(docx.Document()))
    with (
        zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("word/media/image1.png", "w", force_zip64=True) as part,
    ):
        for _ in range(size >> 20):
            part.write(bytes(1 << 20))
    return out.getvalue()


def entities():
    names = [f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(10)]
    document = f"<!DOCTYPE x [{''.join(names)}]><w:document {nsdecls('w')}><w:body><w:p><w:r><w:t>&e9;</w:t></w:r></w:p></w:body></w:document>"
    return document.encode()


def docx_entities(encoding="utf-8"):
    text = entities().decode()
    return with_parts(saved(docx.Document()), **{"word/document.xml": text.encode(encoding)})


def part_under_another_name():
    types = "".join(
        f'<Override PartName="/{name}" ContentType="{kind}"/>'
        for name, kind in (
            ("word/document.png", "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"),
        )
    )  # fmt: skip
    content = f"<w:document {nsdecls('w')}><w:body><w:p><w:r><w:t>{'x' * 200_000_000}</w:t></w:r></w:p></w:body></w:document>"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{types}</Types>',
        )
        file.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r" Type="{RELATIONS}/officeDocument" Target="word/document.png"/></Relationships>',
        )
        file.writestr("word/document.png", content)
    return out.getvalue()


def pdf_form_in_form():
    """Forms that draw the next one ten times, eight deep."""
    writer = PdfWriter()
    page = writer.add_blank_page(100, 100)
    form = None
    for _ in range(9):
        stream = DecodedStreamObject()
        stream.set_data(b"/F Do " * 10 if form else b"BT (x) Tj ET " * 200)
        stream.update(
            {NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Form")}
        )
        font = DictionaryObject({NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"), NameObject("/BaseFont"): NameObject("/Helvetica")})  # fmt: skip
        resources = {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        if form is not None:
            resources[NameObject("/XObject")] = DictionaryObject({NameObject("/F"): form})
        stream[NameObject("/Resources")] = DictionaryObject(resources)
        form = writer._add_object(stream)
    contents = DecodedStreamObject()
    contents.set_data(b"/F Do " * 10)
    page[NameObject("/Contents")] = writer._add_object(contents)
    page[NameObject("/Resources")] = DictionaryObject(
        {
            NameObject("/XObject"): DictionaryObject({NameObject("/F"): form}),
            NameObject("/Font"): resources[NameObject("/Font")],
        }
    )
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def pdf_operators():
    """A page of 1.9 million operators; packed it takes 5 KB."""
    writer = PdfWriter()
    contents = DecodedStreamObject()
    contents.set_data(b"q Q " * 950_000)
    page = writer.add_blank_page(100, 100)
    page[NameObject("/Contents")] = writer._add_object(contents.flate_encode())
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def pdf_object_stream():
    """Ten million objects in one stream, which packed takes 50 KB."""
    number = 10_000_000
    head, body = b"-1 0 " * number, b"<</A 1>>"
    packed = zlib.compress(head + body)
    out = io.BytesIO(b"%PDF-1.5\n")
    out.seek(0, io.SEEK_END)
    places = {}
    for key, text in (
        (1, b"<</Type/Catalog/Pages 10 0 R>>"),
        (
            2,
            b"<</Type/ObjStm/N %d/First %d/Filter/FlateDecode/Length %d>>stream\n%b\nendstream"
            % (number, len(head), len(packed), packed),
        ),
    ):
        places[key] = out.tell()
        out.write(b"%d 0 obj\n%b\nendobj\n" % (key, text))
    places[3] = out.tell()
    rows = [(1, places[1], 0), (1, places[2], 0), (1, places[3], 0), *((2, 2, n) for n in range(1000))]
    table = b"".join(bytes([kind]) + a.to_bytes(4, "big") + b.to_bytes(3, "big") for kind, a, b in rows)
    out.write(
        b"3 0 obj\n<</Type/XRef/W[1 4 3]/Index[1 3 10 1000]/Size 1010/Root 1 0 R/Length %d>>stream\n%b\n"
        b"endstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % (len(table), table, places[3])
    )
    return out.getvalue()


def repeated_cells():
    from odf import table
    from odf.opendocument import OpenDocumentSpreadsheet
    from odf.text import P

    document = OpenDocumentSpreadsheet()
    sheet = table.Table(name="S")
    for _ in range(2_000):
        row = table.TableRow()
        cell = table.TableCell(numbercolumnsrepeated=16_000)
        cell.addElement(P(text="some words in a cell"))
        row.addElement(cell)
        sheet.addElement(row)
    document.spreadsheet.addElement(sheet)
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def nested_messages():
    mail = MIMEText("deep")
    for _ in range(200):
        outer = MIMEMultipart()
        outer.attach(mail)
        mail = outer
    return mail.as_bytes()


BOMBS = {
    "span.docx": grid_span,
    "shared.xlsx": shared_string,
    "entities.docx": docx_entities,
    "entities16.docx": lambda: docx_entities("utf-16"),
    "entities.fodt": entities,
    "wide.csv": lambda: b"h" * 300_000 + b",x\n" + b"1,2\n" * 100_000,
    "rows.csv": lambda: b"a\n" * 2_000_000,
    "records.json": lambda: b'{"list": [' + b'{"a":{"b":1}},' * 500_001 + b"{}]}",
    "key.json": lambda: json.dumps({"x": [{"k" * 200_000: {str(n): n for n in range(5_000)}}, {}]}).encode(),
    "brackets.json": lambda: b"[" + b"[]," * 9_000_000 + b"[]]",
    "deep.json": lambda: b"[" * 200_000 + b"]" * 200_000,
    "deep.jsonl": lambda: b'{"a":' * 200_000 + b"\n",
    "tags.html": lambda: b"<b>x</b>" * 3_000_000,
    "nested.eml": nested_messages,
    "groups.rtf": lambda: b"{\\rtf1 " + b"{\\b x}" * 2_000_000 + b"}",
    "objects.pdf": pdf_object_stream,
    "operators.pdf": pdf_operators,
    "parts.docx": lambda: with_parts(saved(docx.Document()), **{f"p{n}": "" for n in range(21_000)}),
}
HEAVY = {
    "sheets.xlsx": one_part_200_sheets,
    "far.xlsx": row_two_thousand_million,
    "name.docx": part_under_another_name,
    "forms.pdf": pdf_form_in_form,
    "repeated.ods": repeated_cells,
    "media.docx": lambda: media(3 << 30),
}

REASONS = {
    "span.docx": "2,000,000,000 columns",
    "shared.xlsx": "its text takes more than",
    "sheets.xlsx": "199 sheets are others once more",
    "entities.docx": "DTD",
    "entities16.docx": "DTD",
    "entities.fodt": "DTD",
    "name.docx": "unpacks to",
    "wide.csv": "its text takes more than",
    "rows.csv": "more than 500,000 rows",
    "records.json": "more than 500,000 rows",
    "key.json": "its text takes more than",
    "brackets.json": "memory",
    "deep.json": "nested too deeply",
    "tags.html": "elements and attributes",
    "nested.eml": "nested",
    "groups.rtf": "over the limit",
    "parts.docx": "parts",
    "media.docx": "GB are left out",
    "far.xlsx": "takes too long",
    "objects.pdf": "50 MB of objects",
    "operators.pdf": "no text",
    "repeated.ods": "its text takes more than",
}

PROGRAM = """
import json, os, resource, sys, time
from llama_bedrock.retrievers import load_documents
import docx, openpyxl, pptx, pypdf, lxml.etree, striprtf.striprtf
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sorted(os.listdir(".")):
    problems = []
    started = time.process_time()
    documents = len(load_documents(name, on_error=problems.append))
    seconds = time.process_time() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([name, documents, [str(p) for p in problems], seconds, grown / 2**20]), flush=True)
"""


def read_bombs(tmp_path, bombs):
    for name, make in bombs.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(make())
        (folder / "zz.txt").write_text("the last file")
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert [name for name, *_ in results] == sorted(bombs)
    for name, documents, problems, seconds, gibibytes in results:
        assert documents >= 1, name  # the folder went on
        assert len(problems) == 1, (name, problems)
        assert name in problems[0]
        assert REASONS.get(name, "") in problems[0]
        assert "damaged" not in problems[0], problems
        assert "\n" not in problems[0]
        assert seconds < 10, (seconds, problems)
        assert gibibytes < 1, (gibibytes, problems)


def test_each_bomb_is_one_line_within_ten_seconds_and_a_gibibyte(tmp_path):
    read_bombs(tmp_path, BOMBS)


@pytest.mark.slow
def test_each_heavy_bomb_is_one_line_within_ten_seconds_and_a_gibibyte(tmp_path):
    read_bombs(tmp_path, HEAVY)


def test_a_file_larger_than_the_limit_is_not_read(tmp_path):
    with (tmp_path / "huge.docx").open("wb") as file:
        file.truncate(3 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="is over the limit of"):
        load_documents(tmp_path / "huge.docx", on_error=lambda problem: None)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000
