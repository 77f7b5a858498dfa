"""What users do not see at once, in files made by the formats' own libraries: it is read, or one line tells of it."""

from __future__ import annotations

import copy
import io
import zipfile
from xml.etree.ElementTree import tostring

import docx
import openpyxl
import pptx
import pypdf
import pytest
from docx.enum.style import WD_STYLE_TYPE
from odf import draw, text
from odf.chart import Chart, Title
from odf.opendocument import OpenDocumentChart, OpenDocumentSpreadsheet, OpenDocumentText
from odf.table import Table, TableCell, TableRow
from openpyxl.cell.text import PhoneticText, Text
from openpyxl.chart import BarChart, Reference
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from llama_bedrock.retrievers import load_documents


@pytest.fixture
def read(tmp_path):
    """Function: name and what its library saves → the texts, and the reasons that are reported."""

    def load(name, thing):
        problems = []
        thing.save(str(tmp_path / name))
        documents = load_documents(tmp_path / name, on_error=problems.append)
        return [d.page_content for d in documents], [problem.reason for problem in problems]

    return load


def test_hidden_text_of_word_is_counted_and_that_of_a_style_is_read(read):
    document = docx.Document()
    paragraph = document.add_paragraph("shown")
    paragraph.add_run("secret").font.hidden = True
    document.add_paragraph("more ").add_run("secrets").font.hidden = True
    styled = document.styles.add_style("Quiet", WD_STYLE_TYPE.CHARACTER)
    styled.font.hidden = True
    document.add_paragraph().add_run("by its style", "Quiet")
    assert read("a.docx", document) == (
        ["shown\n\nmore\n\nby its style"],
        ["13 characters of hidden text are left out"],
    )


def test_hidden_sheets_rows_and_columns_of_excel_are_read(read):
    book = openpyxl.Workbook()
    book.active.append(["name", "kg"])
    book.active.append(["Ana", 112])
    book.active.row_dimensions[2].hidden = True
    book.active.column_dimensions["B"].hidden = True
    for state in ("hidden", "veryHidden"):
        sheet = book.create_sheet(state)
        sheet.append([f"in a {state} sheet"])
        sheet.sheet_state = state
    assert read("a.xlsx", book) == (["name: Ana\nkg: 112", "in a hidden sheet", "in a veryHidden sheet"], [])


def test_page_headers_and_footers_of_excel_are_read_without_their_codes(read):
    book = openpyxl.Workbook()
    book.active.append(["Ana"])
    book.active.oddHeader.center.text = "Herd & wool"
    book.active.oddHeader.center.size = 14
    book.active.oddHeader.center.font = "Arial,Bold"
    book.active.oddFooter.right.text = "Page &[Page] of &N"
    texts, problems = read("a.xlsx", book)
    assert texts[0] == "Ana"
    assert "Herd & wool" in texts[1]
    assert "Page of" in texts[1]
    assert not problems


def test_phonetic_guides_of_excel_are_read(read, tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["駅", "東京"])
    string = Text(t="東京", rPh=[PhoneticText(sb=0, eb=2, t="トウキョウ")]).to_tree("si")
    guide = tostring(string.find("rPh"), "unicode")
    book.save(tmp_path / "plain.xlsx")
    with zipfile.ZipFile(tmp_path / "plain.xlsx") as old, zipfile.ZipFile(tmp_path / "a.xlsx", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            for written in ("東京", "&#26481;&#20140;"):  # in a part of their own, or in their cells
                data = data.replace(f"{written}</t>".encode(), f"{written}</t>{guide}".encode())
            new.writestr(name, data)
    documents = load_documents(tmp_path / "a.xlsx")
    assert [d.page_content for d in documents] == ["駅 | 東京", "東京 (トウキョウ)"]
    assert documents[-1].metadata["heading"] == "phonetic guides"


def test_hidden_slides_and_the_words_of_layout_and_master_are_read(read):
    deck = pptx.Presentation()
    blank = deck.slide_layouts[6]
    for words in ("First", "Second"):
        deck.slides.add_slide(blank).shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = words
    deck.slides[1].element.set("show", "0")
    for place, words in ((blank, "Layout of the herd"), (deck.slide_master, "Confidential")):
        box = deck.slides[0].shapes.add_textbox(0, 0, Inches(1), Inches(1))
        box.text_frame.text = words
        place.shapes.element.append(copy.deepcopy(box.element))
        box.element.getparent().remove(box.element)
    assert read("a.pptx", deck) == (["First\n\nLayout of the herd\n\nConfidential", "Second"], [])


def test_files_embedded_in_office_files_are_named_and_workbooks_of_charts_are_not(read):
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    data = CategoryChartData()
    data.categories = ["May"]
    data.add_series("Wool", (3,))
    slide.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, 0, 0, Inches(1), Inches(1), data)
    assert read("chart.pptx", deck)[1] == []
    slide.shapes.add_ole_object(io.BytesIO(b"a workbook"), "Excel.Sheet.12", 0, 0)
    (reason,) = read("object.pptx", deck)[1]
    assert reason.startswith("files embedded in it are left out: ppt/embeddings/")
    assert "," not in reason
    book = openpyxl.Workbook()
    book.active.append(["kg", 3])
    chart = BarChart()
    chart.add_data(Reference(book.active, min_col=2, min_row=1))
    book.active.add_chart(chart)
    assert read("chart.xlsx", book)[1] == []


def test_files_attached_to_a_pdf_and_forms_that_are_on_no_page_are_named(tmp_path):
    from reportlab.pdfgen.canvas import Canvas

    printed = io.BytesIO()
    canvas = Canvas(printed)
    canvas.drawString(72, 700, "Llamas eat hay.")
    canvas.save()
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(printed.getvalue()))
    writer.add_attachment("herd.csv", b"name,kg")
    names = pypdf.generic.NameObject
    form = pypdf.generic.DictionaryObject({names("/XFA"): pypdf.generic.ArrayObject()})
    writer.root_object[names("/AcroForm")] = form
    writer.write(str(tmp_path / "a.pdf"))
    problems = []
    (page,) = load_documents(tmp_path / "a.pdf", on_error=problems.append)
    assert page.page_content.strip() == "Llamas eat hay."
    assert [problem.reason for problem in problems] == [
        "its form (XFA) is on no page: open it in Acrobat and print it to PDF",
        "files embedded in it are left out: herd.csv",
    ]


@pytest.mark.parametrize("suffix", [".odt", ".ods"])
def test_charts_embedded_in_opendocument_are_read(read, suffix):
    chart = OpenDocumentChart()
    drawn = Chart(attributes={"class": "chart:bar"})
    title = Title()
    title.addElement(text.P(text="Wool by month"))
    drawn.addElement(title)
    chart.chart.addElement(drawn)
    document = OpenDocumentText() if suffix == ".odt" else OpenDocumentSpreadsheet()
    frame = draw.Frame(width="5cm", height="5cm")
    frame.addElement(draw.Object(href=document.addObject(chart)))
    paragraph = text.P(text="Ana")
    paragraph.addElement(frame)
    if suffix == ".odt":
        document.text.addElement(paragraph)
    else:
        table, row, cell = Table(name="Herd"), TableRow(), TableCell()
        cell.addElement(paragraph)
        row.addElement(cell)
        table.addElement(row)
        document.spreadsheet.addElement(table)
    texts, problems = read(f"a{suffix}", document)
    assert "\n\n".join(texts) == "Ana\n\nWool by month"
    assert problems == []
