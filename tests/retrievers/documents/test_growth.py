"""No public text function or reader takes more than linear time: four times the text, less than six times as
long, whatever unit it is made of.

The time is that of this process's own CPU, and a ratio that is too high is measured again, longer: a busy
machine makes no test fail.
"""

import io
import re
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from ebooklib import epub
from langchain_core.documents import Document
from odf.draw import Frame, Page, TextBox
from odf.opendocument import OpenDocumentPresentation, OpenDocumentSpreadsheet, OpenDocumentText
from odf.style import MasterPage, PageLayout
from odf.table import Table, TableCell, TableRow
from odf.text import P

import llama_bedrock
from llama_bedrock import agents, retrievers
from llama_bedrock.agents.guards.tool_result_guard import shorten
from llama_bedrock.agents.rag.rag_prompt import Query, read_rewrite
from llama_bedrock.catalog.arn import parse_model_arn
from llama_bedrock.cli.aws_checks import missing_action
from llama_bedrock.cli.models import family
from llama_bedrock.cli.output import printable
from llama_bedrock.cli.session import answer_writer, screen
from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.grounding import source_list
from llama_bedrock.grounding.quantities import is_vague, quantities
from llama_bedrock.local.engines import pieces
from llama_bedrock.local.engines.completions import parse_event
from llama_bedrock.local.engines.interface import EngineError
from llama_bedrock.local.runtime.titan_embeddings import embed_text
from llama_bedrock.prompts import passages, special_tokens
from llama_bedrock.prompts.content import read_content
from llama_bedrock.prompts.images import read_image
from llama_bedrock.prompts.parse_back import parse_prompt
from llama_bedrock.retrievers import split_documents
from llama_bedrock.retrievers.documents import headings
from llama_bedrock.retrievers.documents.readers import archive, by_format
from llama_bedrock.retrievers.documents.readers.by_format import reader_of
from llama_bedrock.retrievers.documents.readers.encodings import decode, is_binary
from llama_bedrock.retrievers.documents.readers.file_content import FileContent, encodable
from llama_bedrock.retrievers.documents.readers.number_format import shown
from llama_bedrock.retrievers.documents.readers.pdf import is_unmapped, mended
from llama_bedrock.retrievers.documents.readers.plain_text import CODE_LANGUAGES, MARKDOWN, RST, TEXT
from llama_bedrock.retrievers.documents.searchable_text import with_context
from llama_bedrock.retrievers.filters import is_in, not_in, parse_filter, string_contains
from llama_bedrock.retrievers.search.lexical import text_digest
from llama_bedrock.text import Word, words
from llama_bedrock.tokens import estimate_tokens
from llama_bedrock.tools.json_answer import ResponseFormat, clean_json
from llama_bedrock.tools.parser.json_repair import repair
from llama_bedrock.tools.parser.source import Cut, Unreadable
from llama_bedrock.tools.parser.values import parse_literal
from llama_bedrock.tools.rendering import render_result
from llama_bedrock.transport.error_mapping import CallContext, check_json, json_object
from llama_bedrock.transport.response import parse_body

UNITS = [
    " ", "\n", "\t", "a", "a ", "ab\n", "1 ", "1, ", "1,2;3|4\t", "#", "# ", "# a\n", "#\n", "=\n", "==\n", "a\n=\n",
    "-", "- a\n", "---\n", "a\n---\n", "```\n", "~~~", "`", "* ", "| ", "| a | b |\n", "<", "<a ", "<a href='", "<!--",
    "<!-- -->", "-->", "<p>", "</p>", "<div>", "<b></i>", "<pre> ", "<pre>", "<table><tr><td>", "<ul><li>", "&amp;", "&",
    "<script>", "<![CDATA[", "<svg>", '"', '""', '"a",', "'", "[", "]", "{", "}", '{"a":', "//", "From \n\n", "--b\n",
    "Subject: a\n", "\\'e4", "{\\b ", "}{", "/g1", "a-\n", "é", "日本", "\u00ad", "\\", "{#a}", "# {#",
    "<passage 01234567 ", "</passage 01234567>\n", "<|eot_id|>", "<|start_header_id|>", '{"name": "a", ',
]  # fmt: skip
READERS = [".txt", ".md", ".rst", ".py", ".html", ".csv", ".json", ".jsonl", ".ipynb", ".eml", ".mbox", ".mhtml", ".rtf"]  # fmt: skip


def reading(suffix):
    def read(text):
        with suppress(ValueError):
            list(reader_of(suffix)(FileContent("a", suffix, text.encode())))

    return read


def refused(function):
    """The function, for texts that it may refuse."""

    def call(text):
        with suppress(ValueError, LlamaBedrockError, EngineError, Cut, Unreadable):
            function(text)

    return call


def splitting(format):
    metadata = {"format": format, "language": "python"} if format == "code" else {"format": format}
    return lambda text: split_documents([Document(page_content=text, metadata=metadata)])


OPENED = '<passage 0123456789abcdef number="1" source="a">\n'
ANY_OBJECT = ResponseFormat("answer")
# Public functions that take a text, by module and name; of what stands behind a comma, another way to call it.
OF_DOCUMENTS = {
    "headings.markdown_headings": lambda text: list(headings.markdown_headings(text)),
    "headings.rst_headings": lambda text: list(headings.rst_headings(text)),
    "headings.looks_like_rst": headings.looks_like_rst,
    "encodings.decode": lambda text: decode(text.encode()),
    "encodings.decode, unknown": lambda text: decode(text.encode("cp1252", "ignore") + b"\xe9\xe8\xfc" * 5),
    "encodings.is_binary": lambda text: is_binary(text.encode()),
    "file_content.encodable": lambda text: encodable(text + "\ud800"),
    "archive.checked_xml": lambda text: archive.checked_xml(
        f"<a>{text}".encode("utf-16").replace(b"<!", b"<")
    ),
    "archive.parse_xml": refused(lambda text: archive.parse_xml(f"<a>{text}</a>".encode(), "part")),
    "number_format.shown": lambda text: shown(1.5, text),
    "pdf.mended": mended,
    "pdf.is_unmapped": is_unmapped,
    "searchable_text.with_context": lambda text: with_context(text, {"title": text, "headings": [text]}),
    "lexical.text_digest": text_digest,
    "tokens.estimate_tokens": estimate_tokens,
}
OF_OTHER_PARTS = {
    "passages.parse_passages": lambda text: passages.parse_passages(OPENED + text),
    "passages.parse_question": lambda text: passages.parse_question(OPENED + text),
    "passages.parse_follow_up": lambda text: passages.parse_follow_up(
        f"{passages.STANDALONE_INSTRUCTION}\n{text}\nLast question: {text}"
    ),
    "parse_back.parse_prompt": refused(parse_prompt),
    "special_tokens.find": lambda text: special_tokens.find(text, "llama3.3"),
    "special_tokens.escape": lambda text: special_tokens.escape(text, "llama3.3"),
    "special_tokens.neutralise": lambda text: special_tokens.neutralise(text, "llama4", "escape", "a text"),
    "content.read_content": lambda text: read_content(text, "a text"),
    "images.read_image": refused(lambda text: read_image(f"data:image/png;base64,{text}", "an image")),
    "values.parse_literal": refused(parse_literal),
    "json_repair.repair": lambda text: repair(f'{{"name": "a", {text}', 0, knows=lambda name: True),
    "json_answer.clean_json": lambda text: clean_json(text, ANY_OBJECT),
    "rendering.render_result": render_result,
    "response.parse_body": refused(lambda text: parse_body(text.encode(), {}, CallContext("a", "b"))),
    "error_mapping.check_json": refused(lambda text: check_json(text.encode())),
    "error_mapping.json_object": lambda text: json_object(text.encode()),
    "quantities.quantities": lambda text: quantities(text, words(text, "en")),
    "quantities.is_vague": lambda text: is_vague(text, Word("1", len(text), len(text))),
    "source_list.shortened": source_list.shortened,
    "screen.shortened": lambda text: screen.shortened(text, 80),
    "answer_writer.block_ends": answer_writer.block_ends,
    "output.printable": printable,
    "aws_checks.missing_action": missing_action,
    "pieces.pieces": pieces.pieces,
    "pieces.forms": pieces.forms,
    "completions.parse_event": refused(parse_event),
    "titan_embeddings.embed_text": lambda text: embed_text(text, 256),
    "arn.parse_model_arn": refused(lambda text: parse_model_arn(f"arn:aws:bedrock:{text}")),
    "models.family": refused(family),
    "rag_prompt.read_rewrite": lambda text: read_rewrite(text, Query("And then?", (("user", text),))),
    "tool_result_guard.shorten": lambda text: shorten(text, 100, len),
}
ELSEWHERE = {
    "document_table.read_metadata": "one json.loads",
    "choosing.choose": "a line of the command line",
    "german_needs.in_english": "a line of the command line",
    "verify.verify_answer": "tests/grounding/test_verifiers.py",
    "verify.averify_answer": "tests/grounding/test_verifiers.py",
    "frames.chunk_frame": "writes a frame around a body",
    "text_chunks.text_chunk": "keeps the text as it is",
    "document_copies.constructed": "keeps the text as it is",
    "output.note": "prints what `printable` gives",
    "output.note_part": "prints what `printable` gives",
    "output.write": "prints what `printable` gives",
    "answer_record.verified_again": "calls `averify_answer`",
    "file_bytes.digest_of": "one digest of all bytes",
}
OF_DOCUMENTS |= {
    **{f"split {format}": splitting(format) for format in ("text", "markdown", "rst", "code")},
    **{f"read {suffix}": reading(suffix) for suffix in READERS},
}
_PUBLIC = re.compile(
    r"^(?:async )?def ([a-z]\w*)\(\s*(?:text|data|answer|body|content|encoded|html|markdown): (?:str|bytes)\b",
    re.MULTILINE,
)


def test_every_public_function_that_takes_a_text_is_measured():
    """Those of `llama_bedrock.text` are in tests/text/test_words.py."""
    roots = {Path(part.__file__).resolve().parent for part in (llama_bedrock, agents, retrievers)}
    found = {
        f"{path.stem}.{name}"
        for root in roots
        for path in root.glob("**/*.py")
        if path.name != "text.py"
        for name in _PUBLIC.findall(path.read_text(encoding="utf-8"))
    }
    assert (
        found - {name.partition(",")[0] for name in OF_DOCUMENTS | OF_OTHER_PARTS} - set(ELSEWHERE) == set()
    )


def test_every_reader_is_measured():
    measured = {*READERS, *(suffix for suffix, _, _ in FILES.values())}
    unmeasured = {reader_of(suffix) for suffix in by_format._READERS} - {reader_of(s) for s in measured}
    assert not unmeasured
    for kinds in (MARKDOWN, RST, TEXT, CODE_LANGUAGES):
        assert measured & set(kinds)


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


def odf_file(count, kind, *, flat=False):
    """A text, spreadsheet or presentation, in an archive or as one XML file."""
    document = kind()
    lines = [P(text=f"paragraph {number}") for number in range(count)]
    if kind is OpenDocumentText:
        parts = lines
    elif kind is OpenDocumentPresentation:
        layout = PageLayout(name="layout")
        master = MasterPage(name="master", pagelayoutname=layout)
        document.automaticstyles.addElement(layout)
        document.masterstyles.addElement(master)
        parts = [holding(Page(masterpagename=master), Frame(), TextBox(), line) for line in lines]
    else:
        parts = [Table(name="sheet")]
        for line in lines:
            parts[0].addElement(holding(TableRow(), TableCell(valuetype="string"), line))
    for part in parts:
        document.body.firstChild.addElement(part)
    return document.xml() if flat else archived(document.write)


def holding(outer, *inner):
    """An element that holds the next, and so on."""
    if inner:
        outer.addElement(holding(*inner))
    return outer


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
    "odt": (".odt", partial(odf_file, kind=OpenDocumentText), 500),
    "odp": (".odp", partial(odf_file, kind=OpenDocumentPresentation), 200),
    "ods": (".ods", partial(odf_file, kind=OpenDocumentSpreadsheet), 300),
    "fods": (".fods", partial(odf_file, kind=OpenDocumentSpreadsheet, flat=True), 300),
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


def slow_units(function, size, again):
    """The units of which four times as many take more than six times as long, at both sizes.

    Noise and caches are not so at both, nor each time.
    """
    function(UNITS[0])  # what is imported and compiled on first use
    doubtful = [unit for unit in UNITS if ratio(function, unit, size, 1) >= 6]
    return [unit for unit in doubtful if all(ratio(function, unit, again, 2) >= 6 for _ in range(4))]


@pytest.mark.parametrize("name", OF_DOCUMENTS)
def test_time_grows_no_faster_than_the_text(name):
    assert not slow_units(OF_DOCUMENTS[name], 3_000, 12_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_OTHER_PARTS)
def test_time_grows_no_faster_than_the_text_in_other_parts(name):
    assert not slow_units(OF_OTHER_PARTS[name], 3_000, 12_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_DOCUMENTS)
def test_time_grows_no_faster_than_a_long_text(name):
    assert not slow_units(OF_DOCUMENTS[name], 20_000, 40_000)
