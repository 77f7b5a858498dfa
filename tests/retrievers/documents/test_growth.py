"""No public text function or reader takes more than linear time: four times the text, less than six times as
long, whatever unit it is made of.

The time is that of this process's own CPU, and a ratio that is too high is measured again, longer: a busy
machine makes no test fail.
"""

import io
import time
from contextlib import suppress
from functools import partial

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from ebooklib import epub
from langchain_core.documents import Document
from odf.opendocument import OpenDocumentText
from odf.text import P

from llama_bedrock.retrievers import split_documents
from llama_bedrock.retrievers.documents.headings import looks_like_rst, markdown_headings, rst_headings
from llama_bedrock.retrievers.documents.readers.by_format import reader_of
from llama_bedrock.retrievers.documents.readers.encodings import decode
from llama_bedrock.retrievers.documents.readers.file_content import FileContent
from llama_bedrock.retrievers.documents.readers.number_format import shown
from llama_bedrock.retrievers.documents.readers.pdf import is_unmapped, mended
from llama_bedrock.retrievers.filters import is_in, not_in, parse_filter, string_contains
from llama_bedrock.usage import estimate_tokens

UNITS = [
    " ", "\n", "\t", "a", "a ", "ab\n", "1 ", "1, ", "1,2;3|4\t", "#", "# ", "# a\n", "#\n", "=\n", "==\n", "a\n=\n",
    "-", "- a\n", "---\n", "a\n---\n", "```\n", "~~~", "`", "* ", "| ", "| a | b |\n", "<", "<a ", "<a href='", "<!--",
    "<!-- -->", "-->", "<p>", "</p>", "<div>", "<b></i>", "<pre> ", "<pre>", "<table><tr><td>", "<ul><li>", "&amp;", "&",
    "<script>", "<![CDATA[", "<svg>", '"', '""', '"a",', "'", "[", "]", "{", "}", '{"a":', "//", "From \n\n", "--b\n",
    "Subject: a\n", "\\'e4", "{\\b ", "}{", "/g1", "a-\n", "é", "日本", "\u00ad", "\\", "{#a}", "# {#",
]  # fmt: skip
READERS = [".txt", ".md", ".rst", ".py", ".html", ".csv", ".tsv", ".json", ".jsonl", ".ipynb", ".eml", ".mbox", ".mhtml", ".rtf"]  # fmt: skip


def reading(suffix):
    def read(text):
        with suppress(ValueError):
            list(reader_of(suffix)(FileContent("a", suffix, text.encode())))

    return read


def splitting(format):
    metadata = {"format": format, "language": "python"} if format == "code" else {"format": format}
    return lambda text: split_documents([Document(page_content=text, metadata=metadata)])


FUNCTIONS = {
    "markdown_headings": lambda text: list(markdown_headings(text)),
    "rst_headings": lambda text: list(rst_headings(text)),
    "looks_like_rst": looks_like_rst,
    "decode utf-8": lambda text: decode(text.encode()),
    "decode unknown": lambda text: decode(text.encode("cp1252", "ignore") + b"\xe9\xe8\xfc" * 5),
    "mended": mended,
    "is_unmapped": is_unmapped,
    "estimate_tokens": estimate_tokens,
    "number format": lambda text: shown(1.5, text),
    **{f"split {format}": splitting(format) for format in ("text", "markdown", "rst", "code")},
    **{f"read {suffix}": reading(suffix) for suffix in READERS},
}


def archived(save):
    """The bytes of a file that a format's own library saves."""
    data = io.BytesIO()
    save(data)
    return data.getvalue()


def docx_file(count, *, nested=False):
    document = docx.Document()
    for number in range(count):
        run = f"<w:r><w:t>paragraph {number}</w:t></w:r>"
        inner = (
            f"<w:sdt><w:sdtContent>{run}</w:sdtContent></w:sdt><w:ins w:id='1' w:author='a'>{run}</w:ins>"
            if nested
            else run
        )
        document.element.body.insert(0, parse_xml(f"<w:p {nsdecls('w')}>{inner}</w:p>"))
    return archived(document.save)


def docx_table(count):
    rows = "".join(f"<w:tr><w:tc><w:p><w:r><w:t>{n}</w:t></w:r></w:p></w:tc></w:tr>" for n in range(count))
    document = docx.Document()
    document.element.body.insert(0, parse_xml(f"<w:tbl {nsdecls('w')}>{rows}</w:tbl>"))
    return archived(document.save)


def xlsx_file(count, *, wide=False):
    book = openpyxl.Workbook()
    for row in [range(count)] * 3 if wide else [[n, f"text {n}"] for n in range(count)]:
        book.active.append(list(row))
    return archived(book.save)


def pptx_file(count):
    deck = pptx.Presentation()
    frame = deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_textbox(0, 0, 9, 9).text_frame
    frame.text = "\n".join(f"line {number}" for number in range(count))
    return archived(deck.save)


def odt_file(count):
    document = OpenDocumentText()
    for number in range(count):
        document.text.addElement(P(text=f"paragraph {number}"))
    return archived(document.write)


def epub_file(count):
    book = epub.EpubBook()
    pages = [
        epub.EpubHtml(title=f"{n}", file_name=f"{n}.xhtml", content=f"<p>page {n}</p>")
        for n in range(count // 10)
    ]
    for page in pages:
        book.add_item(page)
    book.spine = pages
    return archived(lambda data: epub.write_epub(data, book))


def pdf_tree(count, *, deep=False):
    """A PDF of empty pages, all under one node of the page tree or each under one of its own."""
    objects = {1: "/Type /Catalog /Pages 2 0 R"}
    kids = [*range(3, 3 + count)]
    nodes = ["/Type /Page /Parent 2 0 R /MediaBox [0 0 9 9]"] * count
    if deep:
        nodes = [
            f"/Type /Pages /Parent {n - 1} 0 R /Count 1 /Kids [{n + 1} 0 R]"
            if n < 2 + count
            else f"/Type /Page /Parent {n - 1} 0 R /MediaBox [0 0 9 9]"
            for n in kids
        ]
        kids = kids[:1]
    objects[2] = f"/Type /Pages /Count {1 if deep else count} /Kids [{' '.join(f'{n} 0 R' for n in kids)}]"
    objects |= {3 + number: node for number, node in enumerate(nodes)}
    body, places = b"%PDF-1.4\n", []
    for number, text in objects.items():
        places.append(len(body))
        body += f"{number} 0 obj <<{text}>> endobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{table}trailer <</Size {len(places) + 1} /Root 1 0 R>>"
    return body + f"{end}\nstartxref\n{len(body)}\n%%EOF".encode()


FILES = {
    "docx": (".docx", docx_file, 400),
    "docx, content controls": (".docx", partial(docx_file, nested=True), 300),
    "docx, table": (".docx", docx_table, 500),
    "xlsx": (".xlsx", xlsx_file, 400),
    "xlsx, columns": (".xlsx", partial(xlsx_file, wide=True), 500),
    "pptx": (".pptx", pptx_file, 800),
    "odt": (".odt", odt_file, 500),
    "epub": (".epub", epub_file, 400),
    "pdf, pages": (".pdf", pdf_tree, 100),
    "pdf, page tree": (".pdf", partial(pdf_tree, deep=True), 100),
    "csv, columns": (
        ".csv",
        lambda n: (",".join(f"c{i}" for i in range(n)) + "\n" + "1," * n + "\n").encode(),
        3_000,
    ),
    "csv, rows": (".csv", lambda n: ("a,b\n" + "1,2\n" * n).encode(), 500),
}


@pytest.mark.parametrize("kind", FILES)
def test_time_grows_no_faster_than_what_a_file_holds(kind):
    suffix, make, count = FILES[kind]
    small, large = make(count), make(4 * count)

    def read(data):
        with suppress(ValueError):
            list(reader_of(suffix)(FileContent("a", suffix, data)))

    read(small)
    # The best of some: what is slow by its nature is so each time.
    ratios = (seconds(read, large, 1) / max(seconds(read, small, 1), 0.002) for _ in range(6))
    assert any(ratio < 6 for ratio in ratios)


def test_filters_take_time_in_proportion_to_what_they_hold():
    def matching(size):
        texts = [f"value {number}" for number in range(size)]
        together = is_in("a", texts) & not_in("b", texts) | string_contains("c", "x" * size)
        metadata = {"a": texts[-1], "b": "other", "c": "x" * size * 2, "tags": texts}
        return lambda _: [parse_filter(together.to_dict()).matches(metadata) for _ in range(5)]

    small, large = matching(2_000), matching(8_000)
    assert any(seconds(large, "", 1) < 6 * max(seconds(small, "", 1), 0.002) for _ in range(6))


def seconds(function, text, times):
    best = float("inf")
    for _ in range(times):
        started = time.process_time()
        function(text)
        best = min(best, time.process_time() - started)
    return best


def ratio(function, unit, size, times):
    short = unit * max(size // len(unit), 1)
    before = seconds(function, short, times)
    after = seconds(function, short * 4, times)
    # What takes less than this is noise, and what takes little at this size cannot be quadratic.
    return 0.0 if after < 0.02 else after / max(before, 0.002)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_time_grows_no_faster_than_the_text(name):
    function = FUNCTIONS[name]
    function(UNITS[0])  # what is imported and compiled on first use
    slow = {}
    for unit in UNITS:
        if ratio(function, unit, 3_000, 1) >= 6:
            # Is it so at four times the size, too? Noise and caches are not.
            again = ratio(function, unit, 12_000, 2)
            if again >= 6:
                slow[unit] = again
    assert not slow


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_time_grows_no_faster_than_a_long_text(name):
    function = FUNCTIONS[name]
    slow = {}
    for unit in UNITS:
        if ratio(function, unit, 20_000, 1) >= 6 and (again := ratio(function, unit, 40_000, 2)) >= 6:
            slow[unit] = again
    assert not slow
