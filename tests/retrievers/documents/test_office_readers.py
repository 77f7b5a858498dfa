"""Word's, PowerPoint's and Excel's files, made by the libraries of their formats."""

import copy
import datetime
import io
import zipfile

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.oxml import parse_xml as pptx_xml
from pptx.util import Inches

from llama_bedrock.retrievers import load_documents, split_documents

W = nsdecls("w")
BOX = (
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:v="urn:schemas-microsoft-com:vml"'
)


def saved(thing):
    data = io.BytesIO()
    thing.save(data)
    return data.getvalue()


def load(tmp_path, name, data, **options):
    (tmp_path / name).write_bytes(data)
    return load_documents(tmp_path / name, **options)


def rewritten(data, change):
    """The archive with each part's name and bytes changed by a function; None drops a part."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if (changed := change(name, old.read(name))) is not None:
                new.writestr(name, changed)
    return out.getvalue()


# DOCX


def word(*blocks):
    """A DOCX with block elements, given as XML, in its body."""
    document = docx.Document()
    for block in blocks:
        document.element.body.insert(len(document.element.body) - 1, parse_xml(block))
    return document


def paragraph(inside):
    return f"<w:p {W} {BOX}>{inside}</w:p>"


def run(text):
    return f"<w:r><w:t xml:space='preserve'>{text}</w:t></w:r>"


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (
            f"{run('within ')}<w:del w:id='1' w:author='a'><w:r><w:delText>30</w:delText></w:r></w:del>"
            f"<w:ins w:id='2' w:author='a'>{run('90')}</w:ins>{run(' days')}",
            "within 90 days",
        ),
        (f"<w:moveFrom w:id='1' w:author='a'>{run('old')}</w:moveFrom>{run('place')}", "place"),
        (f"<w:moveTo w:id='1' w:author='a'>{run('moved here')}</w:moveTo>", "moved here"),
        (
            f"<w:sdt><w:sdtPr/><w:sdtContent>{run('inline ')}<w:sdt><w:sdtContent>{run('and nested')}</w:sdtContent></w:sdt></w:sdtContent></w:sdt>",
            "inline and nested",
        ),
        (
            f"<w:smartTag w:uri='u' w:element='e'>{run('smart ')}</w:smartTag><w:customXml w:element='e'>{run('custom')}</w:customXml>",
            "smart custom",
        ),
        (
            "<w:r><w:fldChar w:fldCharType='begin'/></w:r><w:r><w:instrText> DATE </w:instrText></w:r>"
            f"<w:r><w:fldChar w:fldCharType='separate'/></w:r>{run('1 May')}<w:r><w:fldChar w:fldCharType='end'/></w:r>"
            f"<w:fldSimple w:instr=' AUTHOR '>{run(' by Ana')}</w:fldSimple>",
            "1 May by Ana",
        ),
        (
            f"<w:r><w:ruby><w:rubyPr/><w:rt>{run('かんじ')}</w:rt><w:rubyBase>{run('漢字')}</w:rubyBase></w:ruby></w:r>",
            "漢字(かんじ)",
        ),
        (f"<w:hyperlink>{run('a link')}</w:hyperlink><w:r><w:tab/><w:noBreakHyphen/></w:r>", "a link\t-"),
        (
            "<w:r><w:fldChar w:fldCharType='begin'><w:ffData><w:ddList><w:result w:val='1'/>"
            "<w:listEntry w:val='red'/><w:listEntry w:val='green'/></w:ddList></w:ffData></w:fldChar></w:r>",
            "green",
        ),
        (
            f"{run('above')}<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wp:inline><a:graphic><a:graphicData>"
            f"<wps:wsp><wps:txbx><w:txbxContent><w:p>{run('in the box')}</w:p></w:txbxContent></wps:txbx></wps:wsp>"
            "</a:graphicData></a:graphic></wp:inline></w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox>"
            f"<w:txbxContent><w:p>{run('in the box')}</w:p></w:txbxContent></v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>",
            "above\n\nin the box",
        ),
        (
            "<w:r><w:pict><v:shape><v:textbox><w:txbxContent><w:p>"
            f"{run('an old box')}</w:p></w:txbxContent></v:textbox></v:shape></w:pict></w:r>",
            "an old box",
        ),
        ("<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>" + run("shown"), "shown"),
    ],
)
def test_docx_reads_what_word_shows_in_a_paragraph(tmp_path, inside, text):
    [document] = load(tmp_path, "a.docx", saved(word(paragraph(inside))))
    assert document.page_content == text


def test_docx_reads_content_controls_and_tables_in_tables(tmp_path):
    cell = f"<w:tc><w:p>{run('{}')}</w:p></w:tc>"
    nested = f"<w:tbl><w:tr>{cell.format('x')}{cell.format('y')}</w:tr></w:tbl>"
    merged = "<w:tc><w:tcPr><w:gridSpan w:val='2'/><w:vMerge{}/></w:tcPr><w:p>" + run("{}") + "</w:p></w:tc>"
    [document] = load(
        tmp_path,
        "a.docx",
        saved(
            word(
                f"<w:sdt {W}><w:sdtContent><w:p>{run('a block control')}</w:p></w:sdtContent></w:sdt>",
                f"<w:tbl {W}><w:tr>{merged.format(' w:val=' + chr(39) + 'restart' + chr(39), 'wide')}{cell.format('b')}</w:tr>"
                f"<w:tr>{merged.format('', 'covered')}{cell.format('c')}</w:tr>"
                f"<w:sdt><w:sdtContent><w:tr>{cell.format('in a control')}<w:tc>{nested}<w:p/></w:tc></w:tr></w:sdtContent></w:sdt>"
                f"<w:tr><w:trPr><w:del w:id='1' w:author='a'/></w:trPr>{cell.format('deleted')}</w:tr></w:tbl>",
            )
        ),
    )
    assert document.page_content == "a block control\n\n| wide | b |\n| c |\n| in a control | x | y |"


def test_docx_reads_headers_footers_and_comments(tmp_path):
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Confidential"
    document.sections[0].footer.paragraphs[0].text = "Llama Ltd."
    remarked = document.add_paragraph("A remarkable claim.")
    document.add_comment(remarked.runs, text="Says who?", author="Ben", initials="B")
    [loaded] = load(tmp_path, "a.docx", saved(document))
    assert loaded.page_content == (
        "Confidential\n\nA remarkable claim.\n\nComment by Ben: Says who?\n\nLlama Ltd."
    )


def test_docx_reads_footnotes_and_endnotes_after_the_paragraph_that_calls_them(tmp_path):
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.opc.packuri import PackURI
    from docx.opc.part import Part

    document = word(
        paragraph(
            run("Llamas hum")
            + "<w:r><w:footnoteReference w:id='2'/></w:r><w:r><w:endnoteReference w:id='3'/></w:r>"
        ),
        paragraph(run("They spit.")),
    )
    for kind, number, text in (("footnote", 2, "When content."), ("endnote", 3, "Usually.")):
        xml = f"<w:{kind}s {W}><w:{kind} w:type='separator' w:id='0'><w:p>{run('---')}</w:p></w:{kind}><w:{kind} w:id='{number}'><w:p>{run(text)}</w:p></w:{kind}></w:{kind}s>"
        content_type = f"application/vnd.openxmlformats-officedocument.wordprocessingml.{kind}s+xml"
        part = Part(PackURI(f"/word/{kind}s.xml"), content_type, xml.encode(), document.part.package)
        document.part.relate_to(part, getattr(RELATIONSHIP_TYPE, f"{kind}s".upper()))
    [loaded] = load(tmp_path, "a.docx", saved(document))
    assert loaded.page_content == (
        "Llamas hum[^2][^3]\n\n[^2]: When content.\n\n[^3]: Usually.\n\nThey spit."
    )


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("docm", "ms-word.document.macroEnabled"),
        ("dotx", "openxmlformats-officedocument.wordprocessingml.template"),
        ("dotm", "ms-word.template.macroEnabledTemplate"),
    ],
)
def test_word_templates_and_files_with_macros_are_read(tmp_path, suffix, kind):
    document = docx.Document()
    document.add_heading("Ein Titel", 1)
    plain = b"openxmlformats-officedocument.wordprocessingml.document.main"
    data = rewritten(saved(document), lambda name, part: part.replace(plain, f"{kind}.main".encode()))
    [loaded] = load(tmp_path, f"a.{suffix}", data)
    assert loaded.page_content == "# Ein Titel"


def test_a_heading_is_told_by_its_style_whatever_that_is_called(tmp_path):
    document = docx.Document()
    style = document.styles.add_style("Kapitel", 1)
    style.base_style = document.styles["Heading 2"]
    document.add_paragraph("Erstes", style="Kapitel")
    [loaded] = load(tmp_path, "a.docx", saved(document))
    assert loaded.page_content == "## Erstes"


# PPTX


def deck():
    presentation = pptx.Presentation()
    presentation.core_properties.title = ""
    return presentation


def test_pptx_reads_titles_tables_notes_charts_and_groups(tmp_path):
    presentation = deck()
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = "About llamas"
    first.placeholders[1].text = "Llamas hum.\nThey spit, too."
    first.notes_slide.notes_text_frame.text = "Mention alpacas."
    second = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = second.shapes.add_table(2, 2, 0, 0, Inches(2), Inches(1)).table
    for (row, column), text in {(0, 0): "Animal", (1, 0): "Llama", (1, 1): "1.8 m"}.items():
        table.cell(row, column).text = text
    table.cell(0, 0).merge(table.cell(0, 1))
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "In a group"
    data = CategoryChartData()
    data.categories = ["East", "West"]
    data.add_series("Herds", (3, 5))
    chart = second.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 9, 9, data).chart
    chart.chart_title.text_frame.text = "Where they live"
    documents = load(tmp_path, "deck.pptx", saved(presentation))
    assert [(d.metadata["page"], d.page_content) for d in documents] == [
        (1, "# About llamas\n\nLlamas hum.\n\nThey spit, too.\n\nMention alpacas."),
        (
            2,
            "| Animal |\n| Llama | 1.8 m |\n\nIn a group\n\nWhere they live\n|  | Herds |\n| East | 3 |\n| West | 5 |",
        ),
    ]
    [chunk, *_] = split_documents(documents)
    assert chunk.metadata["heading"] == "About llamas"


def test_pptx_reads_the_labels_and_all_levels_of_a_chart(tmp_path):
    presentation = deck()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    data = CategoryChartData()
    peru, chile = data.add_category("Peru"), data.add_category("Chile")
    for country, town in ((peru, "Cusco"), (peru, "Puno"), (chile, "Arica")):
        country.add_sub_category(town)
    data.add_series("Herds", (3, 5, 4))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 9, 9, data).chart
    chart.plots[0].series[0].points[1].data_label.text_frame.text = "after the drought"
    [document] = load(tmp_path, "deck.pptx", saved(presentation))
    assert document.page_content.split("\n") == [
        "after the drought",
        "|  | Herds |",
        "| Peru, Cusco | 3 |",
        "| Puno | 5 |",
        "| Chile, Arica | 4 |",
    ]


def test_pptx_reads_what_was_typed_where_dates_and_numbers_stand(tmp_path):
    presentation = deck()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    layout = {p.placeholder_format.type: p for p in presentation.slide_layouts[6].placeholders}
    for kind in (PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.SLIDE_NUMBER):
        slide.shapes.clone_placeholder(layout[kind])
    typed, number = slide.placeholders
    typed.text_frame.text = "Given in Lima on 3 May"
    field = number.text_frame.paragraphs[0]._p.get_or_add_endParaRPr()
    names = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    field.addprevious(pptx_xml(f'<a:fld {names} id="{{0}}" type="slidenum"><a:t>page 71</a:t></a:fld>'))
    [document] = load(tmp_path, "deck.pptx", saved(presentation))
    assert document.page_content == "Given in Lima on 3 May"


def test_pptx_reads_all_of_the_notes(tmp_path):
    deck = pptx.Presentation()
    notes = deck.slides.add_slide(deck.slide_layouts[6]).notes_slide
    notes.notes_text_frame.text = "Say hello"
    box = copy.deepcopy(notes.notes_placeholder._element)
    box.find(".//{*}t").text = "In a box"
    box.find(".//{*}nvPr").clear()
    notes.shapes._spTree.append(box)
    assert contents(load(tmp_path, "a.pptx", saved(deck))) == ["Say hello\n\nIn a box"]


def test_pptx_reads_smart_art(tmp_path):
    from pptx.opc.package import Part
    from pptx.opc.packuri import PackURI

    presentation = deck()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    data = (
        f'<dgm:dataModel xmlns:dgm="{drawing}/diagram" xmlns:a="{drawing}/main"><dgm:ptLst>'
        "<dgm:pt modelId='1'><dgm:t><a:bodyPr/><a:p><a:r><a:t>Shear</a:t></a:r></a:p></dgm:t></dgm:pt>"
        "<dgm:pt modelId='2'><dgm:t><a:bodyPr/><a:p><a:r><a:t>Spin</a:t></a:r></a:p></dgm:t></dgm:pt></dgm:ptLst></dgm:dataModel>"
    )
    content_type = "application/vnd.openxmlformats-officedocument.drawingml.diagramData+xml"
    part = Part(PackURI("/ppt/diagrams/data1.xml"), content_type, presentation.part.package, data.encode())
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    number = slide.part.relate_to(part, f"{office}/diagramData")
    frame = slide.shapes.add_table(1, 1, 0, 0, 9, 9)._element
    graphic = frame.find(".//{*}graphicData")
    graphic.remove(graphic[0])
    graphic.append(
        parse_xml(f'<dgm:relIds xmlns:dgm="{drawing}/diagram" xmlns:r="{office}" r:dm="{number}"/>')
    )
    [loaded] = load(tmp_path, "deck.pptx", saved(presentation))
    assert loaded.page_content == "- Shear\n- Spin"


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("pptm", "ms-powerpoint.presentation.macroEnabled"),
        ("ppsx", "openxmlformats-officedocument.presentationml.slideshow"),
    ],
)
def test_slide_shows_and_decks_with_macros_are_read(tmp_path, suffix, kind):
    presentation = deck()
    presentation.slides.add_slide(presentation.slide_layouts[5]).shapes.title.text = "Show"
    plain = b"openxmlformats-officedocument.presentationml.presentation.main"
    data = rewritten(saved(presentation), lambda name, part: part.replace(plain, f"{kind}.main".encode()))
    assert [d.page_content for d in load(tmp_path, f"a.{suffix}", data)] == ["# Show"]


# XLSX


def book(**sheets):
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return workbook


def contents(documents):
    return [d.page_content for d in documents]


def test_xlsx_gives_a_document_per_row_with_the_names_of_its_columns(tmp_path):
    workbook = book(
        Herd=[
            ["name", "born", None, "kg"],
            [],
            ["Ana", datetime.date(2024, 1, 1), None, 112.3],
            ["Ben", None, "x"],
        ],
        Notes=[["text"], [5]],
    )
    documents = load(tmp_path, "book.xlsx", saved(workbook))
    assert [(d.page_content, d.metadata["row"], d.metadata["heading"]) for d in documents] == [
        ("name: Ana\nborn: 2024-01-01\nkg: 112.3", 3, "Herd"),
        ("name: Ben\ncolumn 3: x", 4, "Herd"),
        ("text: 5", 2, "Notes"),
    ]
    assert len({document.id for document in documents}) == 3


def test_names_of_columns_that_are_empty_are_read(tmp_path):
    workbook = book(Herd=[["name", "born", "sheared by"], ["Ana", 2024], ["Ben", 2023]])
    assert contents(load(tmp_path, "a.xlsx", saved(workbook)))[2:] == ["sheared by"]
    (tmp_path / "a.csv").write_text("name,born,sheared by\nAna,2024,\n")
    assert contents(load_documents(tmp_path / "a.csv")) == ["name: Ana\nborn: 2024", "sheared by"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"</styleSheet>", b'<cellStyles><cellStyle xfId="0"/></cellStyles></styleSheet>'),
        (b"<cellXfs", b"<cellXfs mistyped='1'"),
        (b'<color theme="1"', b'<color rgb="FED+"'),
        (b"<fonts", b"<!--" + b" " * 600_000 + b"--><fonts"),
    ],
)
def test_damaged_styles_hide_no_cell(tmp_path, old, new):
    workbook = book(Herd=[["name", "born"], ["Ana", datetime.date(2024, 1, 1)]])
    data = rewritten(saved(workbook), lambda name, part: part.replace(old, new) if "styles" in name else part)
    assert contents(load(tmp_path, "a.xlsx", data)) == ["name: Ana\nborn: 2024-01-01"]


def test_damaged_properties_hide_no_cell(tmp_path):
    data = rewritten(
        saved(book(Herd=[["name"], ["Ana"]])),
        lambda name, part: part.replace(b"T", b"?") if name == "docProps/core.xml" else part,
    )
    assert contents(load(tmp_path, "a.xlsx", data)) == ["name: Ana"]


def test_sheets_that_the_workbook_does_not_name_are_reported(tmp_path):
    data = rewritten(
        saved(book(Herd=[["name"], ["Ana"]], Lost=[["name"], ["Bo"]])),
        lambda name, part: part.replace(b'r:id="rId2"', b'r:id=""') if name == "xl/workbook.xml" else part,
    )
    problems = []
    assert contents(load(tmp_path, "a.xlsx", data, on_error=problems.append)) == ["name: Ana"]
    assert [p.reason for p in problems] == ["the workbook does not list xl/worksheets/sheet2.xml: left out"]


def test_what_openpyxl_does_not_know_is_no_line_on_the_terminal(tmp_path, recwarn):
    workbook = book(Herd=[["name"], ["Ana"]])
    unknown = b'<extLst><ext uri="{78C0D931-6437-407d-A8EE-F0AAD7539E65}"/></extLst></worksheet>'
    data = rewritten(
        saved(workbook),
        lambda name, part: part.replace(b"</worksheet>", unknown) if "sheet1" in name else part,
    )
    assert contents(load(tmp_path, "a.xlsx", data)) == ["name: Ana"]
    assert not recwarn.list


def test_a_part_that_is_missing_hides_no_other(tmp_path):
    document = docx.Document()
    document.add_paragraph("Read me.")
    document.sections[0].header.paragraphs[0].text = "Gone"
    data = rewritten(
        saved(document), lambda name, part: None if "header" in name or "theme" in name else part
    )
    problems = []
    assert contents(load(tmp_path, "a.docx", data, on_error=problems.append)) == ["Read me."]
    assert [problem.reason for problem in problems] == ["its part /word/header1.xml is missing"]


def test_damaged_properties_hide_no_text(tmp_path):
    document = docx.Document()
    document.add_paragraph("Read me.")
    twice = b'<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/></Relationships>'
    data = rewritten(
        saved(document),
        lambda name, part: part.replace(b"</Relationships>", twice) if name == "_rels/.rels" else part,
    )
    assert contents(load(tmp_path, "a.docx", data)) == ["Read me."]


def test_sheets_of_one_row_or_one_cell_and_lines_above_a_table_are_read(tmp_path):
    workbook = book(
        One=[["only", "row"]],
        Cell=[["cell"]],
        Report=[["Sales of 2024"], ["Region", "Sum"], ["East", 5]],
        Bare=[[1, 2], [3, 4]],
    )
    assert contents(load(tmp_path, "a.xlsx", saved(workbook))) == [
        "only | row",
        "cell",
        "Sales of 2024",
        "Region: East\nSum: 5",
        "column 1: 1\ncolumn 2: 2",
        "column 1: 3\ncolumn 2: 4",
    ]


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.125, "0.00%", "12.50%"),
        (0.5, "0%", "50%"),
        (1234567.891, "#,##0.00", "1,234,567.89"),
        (1234.5, '"€"#,##0.00', "€1,234.50"),
        (1234.5, "[$€-407]#,##0.00", "€1,234.50"),
        (1234.5, '#,##0.00\\ "kg"', "1,234.50 kg"),
        (-5, "#,##0;(#,##0)", "(5)"),
        (-5, "0.0", "-5.0"),
        (2.5, "0", "3"),
        (7, "000", "007"),
        (0.1 + 0.2, "General", "0.3"),
        (12345678901, "General", "12345678901"),
        (12345.678, "0.00E+00", "1.23E+04"),
        (1500000, "0.0,,", "1.5"),
        (3, '0 "of 5"', "3 of 5"),
        (3.5, "#.##", "3.5"),
        (True, "General", "TRUE"),
        (datetime.datetime(2024, 3, 1, 14, 5, 9), "yyyy-mm-dd h:mm:ss", "2024-03-01 14:05:09"),
        (datetime.datetime(2024, 3, 1), "dd.mm.yyyy", "01.03.2024"),
        (datetime.datetime(2024, 3, 1), "d mmm yy", "1 Mar 24"),
        (datetime.datetime(2024, 3, 1), "dddd, mmmm d", "Friday, March 1"),
        (datetime.datetime(2024, 3, 1, 14, 5), "h:mm AM/PM", "2:05 PM"),
        (datetime.time(14, 5), "h:mm", "14:05"),
        (datetime.timedelta(hours=30, minutes=5), "[h]:mm:ss", "30:05:00"),
    ],
)
def test_numbers_and_dates_are_as_shown(tmp_path, value, code, text):
    workbook = book(A=[["a", "b"], ["x", value]])
    workbook["A"]["B2"].number_format = code
    assert contents(load(tmp_path, "a.xlsx", saved(workbook))) == [f"a: x\nb: {text}"]


def test_xlsx_reads_comments_and_charts_and_reports_formulas_without_results(tmp_path):
    workbook = book(A=[["Region", "Sum"], ["East", 5], ["All", "=SUM(B2:B2)"]])
    sheet = workbook["A"]
    sheet["B2"].comment = Comment("estimated", "Ana")
    chart = BarChart()
    chart.title = "Sales"
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=2), titles_from_data=True)
    sheet.add_chart(chart)
    problems = []
    documents = load(tmp_path, "a.xlsx", saved(workbook), on_error=problems.append)
    assert contents(documents)[:2] == ["Region: East\nSum: 5", "Region: All"]
    assert any("Comment on B2: estimated" in text for text in contents(documents))
    assert any("Sales" in text for text in contents(documents))
    assert [p.reason.split(";")[0] for p in problems] == [
        "1 formulas are saved without results, and left out"
    ]


def strict(data):
    """The file in the namespaces of Strict Open XML, as Excel and Word save on request."""
    names = {
        b"http://schemas.openxmlformats.org/spreadsheetml/2006/main": b"http://purl.oclc.org/ooxml/spreadsheetml/main",
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main": b"http://purl.oclc.org/ooxml/wordprocessingml/main",
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships": b"http://purl.oclc.org/ooxml/officeDocument/relationships",
    }

    def change(name, part):
        for old, new in names.items():
            part = part.replace(old, new)
        return part

    return rewritten(data, change)


def test_strict_open_xml_is_read(tmp_path):
    workbook = book(A=[["a", "b"], ["x", 1]])
    assert contents(load(tmp_path, "a.xlsx", strict(saved(workbook)))) == ["a: x\nb: 1"]
    document = docx.Document()
    document.add_paragraph("strictly")
    assert contents(load(tmp_path, "a.docx", strict(saved(document)))) == ["strictly"]


def test_workbooks_with_macros_are_read(tmp_path):
    plain = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main"
    macros = b"application/vnd.ms-excel.sheet.macroEnabled.main"
    data = rewritten(saved(book(A=[["a"], ["x"]])), lambda name, part: part.replace(plain, macros))
    assert contents(load(tmp_path, "a.xlsm", data)) == ["a: x"]


# What is none


def archive(**parts):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return data.getvalue()


@pytest.mark.parametrize("suffix", ["docx", "pptx", "xlsx", "odt", "epub"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04 cut short", "not a readable"),
        (archive(**{"other.txt": "x"}), "not a readable"),
        (archive(**{"[Content_Types].xml": "<broken", "content.xml": "<broken", "META-INF/container.xml": "<b"}), "not a readable"),
        (archive(**{"bomb.xml": b"\0" * 140_000_000}), "its text unpacks to 140 MB, over the limit"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500), "of before 2007"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + "EncryptedPackage".encode("utf-16-le"), "encrypted: save it without"),
    ],
    ids=["cut", "foreign", "broken", "too large", "old", "encrypted"],
)  # fmt: skip
def test_a_damaged_archive_says_so(tmp_path, suffix, data, reason):
    with pytest.raises(ValueError, match=reason):
        load(tmp_path, f"file.{suffix}", data)


def test_files_without_text_say_so(tmp_path):
    presentation = deck()
    presentation.slides.add_slide(presentation.slide_layouts[6])
    with pytest.raises(ValueError, match="no text in its 1 slides"):
        load(tmp_path, "deck.pptx", saved(presentation))
    with pytest.raises(ValueError, match="tables without rows"):
        load(tmp_path, "book.xlsx", saved(book(Empty=[])))
    with pytest.raises(ValueError, match="no text in it"):
        load(tmp_path, "a.docx", saved(docx.Document()))
