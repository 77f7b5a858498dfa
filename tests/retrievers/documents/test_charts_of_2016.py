"""Waterfalls, treemaps and their like, which Office keeps in parts of another form than its older charts; and what
is drawn on a chart. No library writes them: the parts are as Office does, in files of the formats' own libraries.
"""

import io
import zipfile

import docx
import openpyxl
import pptx
import pytest
from docx.opc.packuri import PackURI as WordURI
from docx.opc.part import Part as WordPart
from docx.oxml import parse_xml as word_xml
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.opc.package import Part
from pptx.opc.packuri import PackURI
from pptx.oxml import parse_xml

from llama_bedrock.retrievers import load_documents

CX = "http://schemas.microsoft.com/office/drawing/2014/chartex"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
RELATION = "http://schemas.microsoft.com/office/2014/relationships/chartEx"
CONTENT = "application/vnd.ms-office.chartex+xml"
NAMES = f'xmlns:cx="{CX}" xmlns:a="{A}" xmlns:r="{R}" xmlns:mc="{MC}" xmlns:p="{P}"'


def points(*values):
    given = ((at, value) for at, value in enumerate(values) if value is not None)
    return "".join(f'<cx:pt idx="{at}">{value}</cx:pt>' for at, value in given)


WATERFALL = f"""<cx:chartSpace {NAMES}><cx:chartData><cx:data id="0">
<cx:strDim type="cat"><cx:f>Sheet1!$A$2:$A$4</cx:f><cx:lvl ptCount="3">{points("Shearing", "Feed", "Vet")}</cx:lvl></cx:strDim>
<cx:numDim type="val"><cx:f>Sheet1!$B$2:$B$4</cx:f><cx:lvl ptCount="3" formatCode="General">{points(120, None, -30)}</cx:lvl></cx:numDim>
</cx:data></cx:chartData><cx:chart>
<cx:title><cx:tx><cx:rich><a:p><a:r><a:t>Where the money goes</a:t></a:r></a:p></cx:rich></cx:tx></cx:title>
<cx:plotArea><cx:plotAreaRegion><cx:series layoutId="waterfall"><cx:tx><cx:txData><cx:f>Sheet1!$B$1</cx:f><cx:v>Soles</cx:v></cx:txData></cx:tx>
<cx:dataId val="0"/></cx:series></cx:plotAreaRegion>
<cx:axis id="1"><cx:title><cx:tx><cx:txData><cx:v>Kinds of cost</cx:v></cx:txData></cx:tx></cx:title></cx:axis></cx:plotArea></cx:chart></cx:chartSpace>"""
SUNBURST = f"""<cx:chartSpace {NAMES}><cx:chartData><cx:data id="0">
<cx:strDim type="cat"><cx:lvl ptCount="2"><cx:pt idx="0"><cx:v>Cusco</cx:v></cx:pt><cx:pt idx="1"><cx:v>Puno</cx:v></cx:pt></cx:lvl>
<cx:lvl ptCount="2"><cx:pt idx="0"><cx:v>Peru</cx:v></cx:pt></cx:lvl></cx:strDim>
<cx:numDim type="size"><cx:lvl ptCount="2"><cx:pt idx="0"><cx:v>22</cx:v></cx:pt><cx:pt idx="1"><cx:v>12</cx:v></cx:pt></cx:lvl></cx:numDim>
</cx:data></cx:chartData><cx:chart><cx:plotArea><cx:plotAreaRegion><cx:series layoutId="sunburst"><cx:dataId val="0"/></cx:series>
</cx:plotAreaRegion></cx:plotArea></cx:chart></cx:chartSpace>"""
TOLD = {
    WATERFALL: [
        "Where the money goes",
        "Kinds of cost",
        "|  | Soles |",
        "| Shearing | 120 |",
        "| Feed |  |",
        "| Vet | -30 |",
    ],
    SUNBURST: ["| Peru, Cusco | 22 |", "| Puno | 12 |"],
}
CANNOT = "This chart isn't available in your version of PowerPoint."


@pytest.fixture
def lines(tmp_path):
    """Function: name and bytes of a file → the lines that are read of it."""

    def load(name, data):
        (tmp_path / name).write_bytes(data)
        problems = []
        documents = load_documents(tmp_path / name, on_error=problems.append)
        assert problems == []
        return [line for document in documents for line in document.page_content.split("\n") if line]

    return load


def saved(thing):
    out = io.BytesIO()
    thing.save(out)
    return out.getvalue()


@pytest.mark.parametrize("chart", [WATERFALL, SUNBURST], ids=["waterfall", "sunburst"])
def test_powerpoint(lines, chart):
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    part = Part(PackURI("/ppt/charts/chartEx1.xml"), CONTENT, slide.part.package, chart.encode())
    frame = (
        f'<mc:AlternateContent {NAMES}><mc:Choice Requires="cx1"><p:graphicFrame><p:nvGraphicFramePr>'
        '<p:cNvPr id="2" name="Chart 1"/><p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr><p:xfrm/>'
        f'<a:graphic><a:graphicData uri="{CX}"><cx:chart r:id="{slide.part.relate_to(part, RELATION)}"/>'
        "</a:graphicData></a:graphic></p:graphicFrame></mc:Choice><mc:Fallback><p:sp><p:nvSpPr>"
        '<p:cNvPr id="3" name="x"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/><a:p><a:r>'
        f"<a:t>{CANNOT}</a:t></a:r></a:p></p:txBody></p:sp></mc:Fallback></mc:AlternateContent>"
    )
    slide.shapes._spTree.append(parse_xml(frame))
    assert lines("a.pptx", saved(deck)) == TOLD[chart]


def test_word(lines):
    document = docx.Document()
    part = WordPart(WordURI("/word/charts/chartEx1.xml"), CONTENT, WATERFALL.encode(), document.part.package)
    relation = document.part.relate_to(part, RELATION)
    drawing = (
        '<w:drawing xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
        f'{NAMES}><a:graphic><a:graphicData uri="{CX}"><cx:chart r:id="{relation}"/></a:graphicData></a:graphic></w:drawing>'
    )
    document.add_paragraph("Costs").add_run()._r.append(word_xml(drawing))
    assert lines("a.docx", saved(document)) == ["Costs", *TOLD[WATERFALL]]


def test_excel(lines):
    book = openpyxl.Workbook()
    book.active.append(["Costs"])
    drawing = (
        f'<xdr:wsDr xmlns:xdr="x" {NAMES}><mc:AlternateContent><mc:Choice><cx:chart r:id="rId1"/></mc:Choice><mc:Fallback>'
        f"<a:p><a:r><a:t>{CANNOT}</a:t></a:r></a:p></mc:Fallback></mc:AlternateContent></xdr:wsDr>"
    )
    out = io.BytesIO(saved(book))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("xl/charts/chartEx1.xml", WATERFALL)
        archive.writestr("xl/drawings/drawing1.xml", drawing)
    read = lines("a.xlsx", out.getvalue())
    assert [line for line in TOLD[WATERFALL] if line not in read] == []
    assert not any("available" in line for line in read)


def test_what_is_drawn_on_a_chart_is_read(lines):
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    data = CategoryChartData()
    data.categories = ["Cusco"]
    data.add_series("Herds", (3,))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 9, 9, data).chart
    drawn = f'<c:userShapes xmlns:c="c" xmlns:a="{A}"><a:p><a:r><a:t>Drought of 1983</a:t></a:r></a:p></c:userShapes>'
    kind = "application/vnd.openxmlformats-officedocument.drawingml.chartshapes+xml"
    shapes = Part(PackURI("/ppt/drawings/drawing1.xml"), kind, slide.part.package, drawn.encode())
    chart.part.relate_to(shapes, f"{R}/chartUserShapes")
    assert lines("a.pptx", saved(deck)) == ["|  | Herds |", "| Cusco | 3 |", "Drought of 1983"]
