"""The examples of docs/retrieval.md with readers of other projects, run where these are installed."""

import importlib.util

import openpyxl
import pytest

from llama_bedrock.retrievers import load_documents

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "page.html").write_text("<h1>Llamas</h1><p>They hum when they are content.</p>")
    book = openpyxl.Workbook()
    book.active.append(["name", "kg"])
    book.active.append(["Ana", 112])
    book.save(tmp_path / "herd.xlsx")
    return tmp_path


def test_markitdown_reads_for_us(folder):
    converter = pytest.importorskip("markitdown").MarkItDown()
    if importlib.util.find_spec("pandas") is None:
        pytest.skip("markitdown[xlsx] is not installed")
    documents = load_documents(
        folder, readers={".xlsx": lambda path: converter.convert(path).text_content}, on_error=print
    )
    assert any("Ana" in d.page_content and d.metadata["source"].endswith(".xlsx") for d in documents)


def test_unstructured_reads_for_us(folder):
    partition = pytest.importorskip("unstructured.partition.html").partition_html
    problems = []
    (folder / "a.txt").write_text("beside it")
    documents = load_documents(
        folder,
        readers={".html": lambda path: "\n\n".join(map(str, partition(filename=str(path))))},
        on_error=problems.append,
    )
    if any("Failed to download" in problem.reason for problem in problems):
        pytest.skip("unstructured wants to download a model of spaCy")
    documents = [d for d in documents if d.metadata["source"].endswith(".html")]
    assert [d.page_content for d in documents] == ["Llamas\n\nThey hum when they are content."]


def test_docling_reads_for_us(folder):
    converter = pytest.importorskip("docling.document_converter").DocumentConverter()
    documents = load_documents(
        folder / "page.html",
        readers={".html": lambda path: converter.convert(path).document.export_to_markdown()},
    )
    assert "They hum" in documents[0].page_content
