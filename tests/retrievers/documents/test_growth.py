"""No public text function or reader takes more than linear time: four times the text, less than six times as
long, whatever unit it is made of.

The time is that of this process's own CPU, and a ratio that is too high is measured again, longer: a busy
machine makes no test fail.
"""

import time
from contextlib import suppress

import pytest
from langchain_core.documents import Document

from llama_bedrock.retrievers import split_documents
from llama_bedrock.retrievers.documents.headings import looks_like_rst, markdown_headings, rst_headings
from llama_bedrock.retrievers.documents.readers.by_format import reader_of
from llama_bedrock.retrievers.documents.readers.encodings import decode
from llama_bedrock.retrievers.documents.readers.file_content import FileContent
from llama_bedrock.retrievers.documents.readers.number_format import shown
from llama_bedrock.retrievers.documents.readers.pdf import is_unmapped, mended

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
    "number format": lambda text: shown(1.5, text),
    **{f"split {format}": splitting(format) for format in ("text", "markdown", "rst", "code")},
    **{f"read {suffix}": reading(suffix) for suffix in READERS},
}


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
