"""PDF, made by reportlab and pypdf."""

import io
import logging
import re

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import FreeText
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, TextStringObject
from reportlab.pdfbase.cidfonts import CIDFont, UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfgen.canvas import Canvas

from llama_bedrock.retrievers import load_documents
from llama_bedrock.retrievers.documents.readers import pdf
from llama_bedrock.retrievers.documents.readers.pdf import is_unmapped, mended


def printed(*pages, draw=lambda canvas, text: canvas.drawString(72, 720, text)):
    data = io.BytesIO()
    canvas = Canvas(data)
    for page in pages:
        draw(canvas, page)
        canvas.showPage()
    canvas.save()
    return data.getvalue()


def load(tmp_path, data, **options):
    (tmp_path / "a.pdf").write_bytes(data)
    return load_documents(tmp_path / "a.pdf", **options)


def test_form_values_are_read(tmp_path):
    def form(canvas, text):
        canvas.drawString(72, 720, text)
        canvas.acroForm.textfield(name="city", tooltip="City", value="Cusco", x=72, y=600)
        canvas.acroForm.checkbox(name="agreed", checked=True, x=72, y=500)
        canvas.acroForm.checkbox(name="refused", checked=False, x=72, y=450)
        canvas.acroForm.choice(name="animal", value="Llama", options=["Llama", "Alpaca"], x=72, y=400)
        canvas.acroForm.choice(
            name="size", value="small", options=[("small", "s1"), ("tall", "s2")], x=72, y=350
        )

    [document] = load(tmp_path, printed("Where do you live?", draw=form))
    assert document.page_content.split("\n\n") == [
        "Where do you live?",
        "City: Cusco\nagreed: Yes\nanimal: Llama\nsize: small",
    ]


def test_free_text_annotations_are_read(tmp_path):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(printed("A page."))))
    writer.add_annotation(0, FreeText(text="Written by hand", rect=(50, 50, 200, 80)))
    out = io.BytesIO()
    writer.write(out)
    [document] = load(tmp_path, out.getvalue())
    assert document.page_content.split() == ["A", "page.", "Written", "by", "hand"]


def test_text_of_fonts_that_name_no_letters_is_reported_and_not_indexed(tmp_path):
    """A font whose ToUnicode maps every letter to a private character, as broken converters write it.

    What was filled in on such a page is in no font.
    """

    def draw(canvas, text):
        canvas.drawString(72, 720, text)
        if text == "Unreadable form.":
            canvas.acroForm.textfield(name="city", tooltip="City", value="Cusco", x=72, y=600)

    pages = ("Readable.", "Unreadable form.", "Unreadable.")
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(printed(*pages, draw=draw))))
    font = DictionaryObject(writer.pages[1]["/Resources"]["/Font"]["/F1"].get_object())
    cmap = b"1 begincodespacerange <00> <ff> endcodespacerange 1 beginbfrange <20> <7f> <e020> endbfrange"
    from pypdf.generic import StreamObject

    stream = StreamObject()
    stream.set_data(cmap)
    font[NameObject("/ToUnicode")] = writer._add_object(stream)
    fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
    for page in writer.pages[1:]:
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    out = io.BytesIO()
    writer.write(out)
    problems = []
    documents = load(tmp_path, out.getvalue(), on_error=problems.append)
    assert [(d.metadata["page"], d.page_content.strip()) for d in documents] == [
        (1, "Readable."),
        (2, "City: Cusco"),
    ]
    assert [p.reason for p in problems] == [
        "pages 2, 3: the fonts do not say which letters they show; OCR the file first"
    ]


@pytest.mark.parametrize(
    ("text", "unmapped"),
    [
        ("/g12/g45/g7/g3 /g12/g99", True),
        ("/uni0041/uni0042/uni0043", True),
        ("(cid:12)(cid:13)(cid:9)", True),
        ("\ue001\ue002 \ue003", True),
        ("\x01\x02\x03\x04", True),
        ("The path /etc/p1 and the flag (cid:3), in a sentence of words.", False),
        ("∑ α ∈ ℝ \ue001", False),
        ("", False),
    ],
)
def test_unmapped_text_is_told_from_text(text, unmapped):
    assert is_unmapped(text) is unmapped


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("the retrie-\nval of docu-\nments", "the retrieval of documents"),
        ("a well-known and well-\nknown thing", "a well-known and well-known thing"),
        ("Hewlett-\nPackard", "Hewlett-\nPackard"),
        ("soft\u00ad\nware", "software"),
        ("S U M M A R Y of it", "SUMMARY of it"),
        ("too   many blanks", "too many blanks"),
        ("a - b\nc", "a - b\nc"),
        ("pages 3-\n5", "pages 3-\n5"),
    ],
)
def test_words_set_apart_are_made_whole(text, whole):
    assert mended(text) == whole


def test_pypdf_tells_the_terminal_nothing(tmp_path, capfd, caplog):
    data = printed("Some text.").replace(b"startxref\n", b"startxref\n9")
    with caplog.at_level(logging.CRITICAL):
        [document] = load(tmp_path, data)
    assert document.page_content.strip() == "Some text."
    assert capfd.readouterr() == ("", "")


def test_pages_that_are_images_are_named(tmp_path):
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    def draw(canvas, text):
        if text:
            canvas.drawString(72, 720, text)
        else:
            canvas.drawImage(ImageReader(Image.new("RGB", (8, 8))), 0, 0)

    problems = []
    documents = load(tmp_path, printed("One.", "", "Three.", draw=draw), on_error=problems.append)
    assert [d.metadata["page"] for d in documents] == [1, 3]
    assert [p.reason for p in problems] == ["page 2: images without text, which need OCR first"]


@pytest.mark.slow
def test_a_page_that_takes_too_long_is_named_and_the_others_are_read(tmp_path, monkeypatch):
    import llama_bedrock.retrievers.documents.readers.pdf as reader

    monkeypatch.setattr(reader, "_SECONDS_PER_PAGE", 0.15)

    def draw(canvas, text):
        for _ in range(40_000 if text == "slow" else 1):
            canvas.drawString(72, 720, text)

    problems = []
    documents = load(tmp_path, printed("one", "slow", "three", draw=draw), on_error=problems.append)
    assert [d.page_content.strip() for d in documents] == ["one", "three"]
    assert [p.reason for p in problems] == ["page 2 takes too long to read, and is left out"]


def test_a_value_that_a_field_has_from_its_parent_is_read(tmp_path):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(printed("A page."))))
    parent = writer._add_object(
        DictionaryObject(
            {NameObject("/T"): TextStringObject("name"), NameObject("/V"): TextStringObject("Ana")}
        )
    )
    widget = DictionaryObject({NameObject("/Subtype"): NameObject("/Widget"), NameObject("/Parent"): parent})
    writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(widget)])
    out = io.BytesIO()
    writer.write(out)
    [document] = load(tmp_path, out.getvalue())
    assert document.page_content.endswith("name: Ana")


@pytest.mark.parametrize(
    ("font", "readable"),
    [(UnicodeCIDFont("HeiseiMin-W3"), True), (CIDFont("HeiseiMin-W3", "EUC-H"), False)],
    ids=["codes of letters", "codes of a font's own"],
)
def test_codes_that_are_no_letters_are_not_taken_for_such(tmp_path, font, readable):
    """Fonts of Japanese PDFs mostly say by number which glyph they show, and not which letter it is."""
    registerFont(font)

    def draw(canvas, text):
        canvas.setFont(font.fontName, 12)
        canvas.drawString(72, 720, text)

    problems = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("pypdf"), "propagate", False)
        data = printed("日本語" if readable else "\u00c6\u00fc\u00cb\u00dc\u00b8\u00ec", draw=draw)
        (tmp_path / "b.txt").write_text("There is another.")
        (tmp_path / "a.pdf").write_bytes(data)
        documents = load_documents(tmp_path, on_error=problems.append)
    texts = [d.page_content.strip() for d in documents]
    assert texts == (["日本語", "There is another."] if readable else ["There is another."])
    assert [p.reason for p in problems] == (
        [] if readable else ["page 1: the fonts do not say which letters they show; OCR the file first"]
    )


def test_a_file_without_its_table_of_objects_is_read(tmp_path):
    """As a download that was cut off leaves it."""
    data = printed("First page.", "Second page.")
    [first, second] = load(tmp_path, data[: data.rindex(b"startxref")])
    assert [first.page_content.strip(), second.page_content.strip()] == ["First page.", "Second page."]


def test_objects_that_the_table_does_not_place_are_found_in_one_search(tmp_path, caplog):
    """Each would be searched for through the whole file by pypdf, which tells of it."""
    data = printed(*(f"Page {number}." for number in range(20)))
    data = re.sub(rb"\d{10} 00000 n", b"0000000003 00000 n", data)
    texts = [page.page_content.strip() for page in load(tmp_path, data)]
    assert texts == [f"Page {number}." for number in range(20)]
    assert not [record for record in caplog.records if "found" in record.msg or "repaired" in record.msg]


def test_objects_that_a_damaged_file_lacks_are_not_searched_for_one_by_one(tmp_path, caplog):
    """Pypdf would read the whole file for each of them: 18 seconds for a handbook with 200 cuts."""
    data = printed("The page is read.")
    number = re.search(rb"(\d+) 0 obj\n<<\n/Author", data)[1]
    data = data.replace(b"/MediaBox", b"/Annots [ %s 0 R 901 0 R 902 0 R ] /MediaBox" % number, 1)
    data = data.replace(number + b" 0 obj", number + b" 0 jbo")
    lacked = PdfReader(io.BytesIO(data)).get_object(901)
    assert lacked is None
    assert "not defined" in caplog.text  # what pypdf says after such a search
    caplog.clear()
    [page] = load(tmp_path, data)
    assert page.page_content.strip() == "The page is read."
    assert "not defined" not in caplog.text


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_long_value_of_a_field_may_be_a_stream(tmp_path, encoding):
    def form(canvas, text):
        canvas.acroForm.textfield(name="story", value="short", x=72, y=600)

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(printed("", draw=form))))
    stream = DecodedStreamObject()
    stream.set_data("Once there was a llama.".encode(encoding))
    writer.pages[0]["/Annots"][0].get_object()[NameObject("/V")] = writer._add_object(stream)
    out = io.BytesIO()
    writer.write(out)
    [document] = load(tmp_path, out.getvalue())
    assert "Once there was a llama." in document.page_content


def with_content(data, content, page=0, *, form=False):
    """The PDF with other content on a page, or in the form that is drawn on it."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    made = DecodedStreamObject()
    made.set_data(content)
    if form:
        drawn = writer.pages[page]["/Resources"]["/XObject"]
        [name] = drawn
        made[NameObject("/Subtype")] = NameObject("/Form")
        made[NameObject("/Resources")] = drawn[name]["/Resources"]
        drawn[NameObject(name)] = writer._add_object(made)
    else:
        writer.pages[page][NameObject("/Contents")] = writer._add_object(made)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_a_page_of_too_many_operators_is_skipped_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "_MOST_TOKENS", 1_000)
    data = with_content(printed("First page.", "Second page."), b"q Q " * 501)
    problems = []
    [document] = load(tmp_path, data, on_error=problems.append)
    assert document.metadata["page"] == 2
    assert [p.reason for p in problems] == ["page 1 takes too long to read, and is left out"]


@pytest.mark.parametrize("content", [b"(never ended", b"q Q " * 501], ids=["damaged", "too long"])
def test_a_form_that_cannot_be_read_is_named_and_hides_no_text_beside_it(tmp_path, monkeypatch, content):
    def draw(canvas, text):
        canvas.beginForm("drawing")
        canvas.drawString(72, 600, "In the form.")
        canvas.endForm()
        canvas.drawString(72, 720, text)
        canvas.doForm("drawing")

    data = printed("Beside it.", draw=draw)
    assert "In the form." in load(tmp_path, data)[0].page_content
    monkeypatch.setattr(pdf, "_MOST_TOKENS", 1_000)
    problems = []
    [document] = load(tmp_path, with_content(data, content, form=True), on_error=problems.append)
    assert document.page_content.strip() == "Beside it."
    [problem] = problems
    assert problem.reason.startswith("page 1: a part of it cannot be read (")
