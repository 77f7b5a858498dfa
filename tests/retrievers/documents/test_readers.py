import json
from contextlib import suppress

import pytest

from llama_bedrock.retrievers import load_documents, split_documents


def pdf(*pages, title=None):
    """A PDF with one line of text a page, written by hand."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>"
        % (b" ".join(b"%d 0 R" % (5 + 2 * n) for n in range(len(pages))), len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (%s) >>" % (title or "").encode(),
    ]
    for number, text in enumerate(pages):
        stream = b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % text.encode() if text else b""
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (6 + 2 * number)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    count = len(objects) + 1
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    xref = b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    trailer = b"trailer << /Size %d /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF" % (count, len(data))
    return data + xref + trailer


def load(tmp_path, name, data, **options):
    file = tmp_path / name
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load_documents(file, **options)


def test_pdf_gives_a_document_a_page_that_holds_text(tmp_path):
    documents = load(tmp_path, "report.pdf", pdf("First page.", "", "Third page.", title="The Report"))
    assert [(d.page_content, d.metadata["page"], d.metadata["title"]) for d in documents] == [
        ("First page.", 1, "The Report"),
        ("Third page.", 3, "The Report"),
    ]
    assert "line" not in documents[0].metadata


def test_equal_pages_of_a_pdf_have_ids_of_their_own(tmp_path):
    documents = load(tmp_path, "report.pdf", pdf("Blank on purpose.", "Blank on purpose."))
    assert len({document.id for document in documents}) == 2


def test_a_pdf_without_text_and_a_truncated_one_say_so(tmp_path):
    with pytest.raises(ValueError, match="no text in its 2 pages"):
        load(tmp_path, "scan.pdf", pdf("", ""))
    whole = pdf("First page.", "Second page.")
    for cut in (40, len(whole) // 3):
        with pytest.raises(ValueError, match="nothing to read in") as caught:
            load(tmp_path, "cut.pdf", whole[:cut])
        assert "\n" not in str(caught.value)


def test_an_encrypted_pdf_says_so(tmp_path):
    import io

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("Secret."))))
    writer.encrypt("password", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    with pytest.raises(ValueError, match="encrypted"):
        load(tmp_path, "secret.pdf", out.getvalue())


def test_docx_keeps_headings_lists_and_tables_in_their_order(tmp_path):
    import docx

    document = docx.Document()
    document.add_heading("Release notes", 0)
    document.add_heading("Changes", 1)
    document.add_paragraph("Faster.")
    document.add_paragraph("Smaller", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, values in zip(table.rows, (("Model", "Tokens"), ("3.3", "128k")), strict=True):
        for cell, value in zip(row.cells, values, strict=True):
            cell.text = value
    document.add_heading("Details", 2)
    document.add_paragraph("Fine print.")
    document.save(tmp_path / "notes.docx")
    [loaded] = load_documents(tmp_path / "notes.docx")
    assert loaded.page_content == (
        "# Release notes\n\n# Changes\n\nFaster.\n\n- Smaller\n\n| Model | Tokens |\n| 3.3 | 128k |\n\n"
        "## Details\n\nFine print."
    )
    assert loaded.metadata["title"] == "Release notes"
    [chunk] = [
        c for c in split_documents([loaded], chunk_size=40, chunk_overlap=0) if "Fine" in c.page_content
    ]
    assert chunk.metadata["heading"] == "Changes > Details"


def test_html_gives_its_visible_text_as_markdown(tmp_path):
    [document] = load(
        tmp_path,
        "page.html",
        """<!doctype html><html><head><title>The  Page</title><style>p {}</style></head><body>
        <nav><a href="/">Home</a></nav><h1>Llama</h1><p>Runs on <b>Bedrock</b>, they&nbsp;say.<br>Fast.</p>
        <!-- not shown --><script>var hidden = 1;</script><h2>Use</h2><ul><li>one</li><li><p>two</p></li></ul>
        <pre>  code   kept</pre>
        <table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table></body></html>""",
    )
    assert document.page_content == (
        "# Llama\n\nRuns on Bedrock, they say.\nFast.\n\n## Use\n\n- one\n- two\n\n"
        "```\n  code   kept\n```\n\n| a | b |\n| 1 | 2 |"
    )
    assert document.metadata["title"] == "The Page"


@pytest.mark.parametrize(
    ("declared", "encoding", "text"),
    [
        ("iso-8859-2", "iso-8859-2", "Łódź"),
        ("utf-8", "utf-8", "Łódź"),
        ("", "utf-8", "Łódź"),
        ("", "cp1252", "“Grüße”"),
        ("iso-8859-1", "cp1252", "“Grüße”"),
        ("ascii", "utf-8", "Grüße"),
        ("no-such", "utf-8", "Łódź"),
        ("utf-8", "cp1252", "Grüße"),
        ("utf-16", "utf-8", "Łódź"),
    ],
)
def test_html_is_read_in_the_encoding_it_declares_unless_it_cannot_be(tmp_path, declared, encoding, text):
    meta = f'<meta http-equiv="Content-Type" content="text/html; charset={declared}">' if declared else ""
    page = f"<html><head>{meta}</head><body><p>{text}</p></body></html>"
    [document] = load(tmp_path, "page.html", page.encode(encoding))
    assert document.page_content == text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "page", ["https://example.com/a", "<?xml version='1.0'?><rss><p>https://example.com/a</p></rss>"]
)
def test_html_that_looks_like_something_else_is_read_without_warnings(tmp_path, page):
    [document] = load(tmp_path, "page.html", page)
    assert document.page_content == "https://example.com/a"


def test_html_nested_thousands_deep_is_read(tmp_path):
    [document] = load(tmp_path, "deep.html", "<div>" * 20_000 + "bottom" + "</div>" * 20_000)
    assert document.page_content == "bottom"


def test_rst_takes_its_title_from_the_first_heading(tmp_path):
    [document] = load(tmp_path, "index.rst", "=====\nTitle\n=====\n\nText.\n\nPart\n----\n\nMore.\n")
    assert document.metadata["title"] == "Title"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\ntitle: 'From the front'\ntags: x\n---\n# Heading\n", "From the front"),
        ("```sh\n# comment\n```\n\n# Heading #\n", "Heading"),
        ("Set\n===\n", "Set"),
        ("## only a second level\n", None),
    ],
)
def test_markdown_takes_its_title_from_front_matter_or_its_first_heading(tmp_path, text, title):
    [document] = load(tmp_path, "a.md", text)
    assert document.metadata.get("title") == title


def test_csv_gives_a_document_a_row_with_the_line_it_begins_on(tmp_path):
    documents = load(tmp_path, "models.csv", 'name,note\nLlama 3,"two\nlines"\n\nLlama 4,\n,,extra\n')
    assert [(d.page_content, d.metadata["line"]) for d in documents] == [
        ("name: Llama 3\nnote: two\nlines", 2),
        ("name: Llama 4", 5),
        ("column 3: extra", 6),
    ]


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t"), ("a.csv", "|")])
def test_csv_finds_out_its_delimiter(tmp_path, name, mark):
    documents = load(
        tmp_path, name, "\n".join(mark.join(row) for row in (("a", "b"), ("1", "2,5"), ("3", "4")))
    )
    assert [d.page_content for d in documents] == ["a: 1\nb: 2,5", "a: 3\nb: 4"]


def test_beir_rows_keep_id_title_and_simple_fields(tmp_path):
    rows = [
        {
            "_id": "d1",
            "title": "Wings",
            "text": "In a slipstream.",
            "metadata": {"author": "b", "refs": [1]},
            "year": 1958,
        },
        {"_id": "d2", "title": "Plates", "text": "Plates in a flow."},
        {"_id": 3, "text": "No title."},
    ]
    documents = load(tmp_path, "corpus.jsonl", "\n".join(map(json.dumps, rows)))
    assert [(d.id, d.page_content) for d in documents] == [
        ("d1", "Wings\n\nIn a slipstream.\n\nmetadata.author: b\nmetadata.refs: 1\nyear: 1958"),
        ("d2", "Plates in a flow."),
        ("3", "No title."),
    ]
    assert documents[0].metadata == {
        "source": str(tmp_path / "corpus.jsonl"),
        "document_id": "d1",
        "format": "record",
        "title": "Wings",
        "line": 1,
        "author": "b",
        "year": 1958,
    }


def test_rows_of_one_file_that_share_an_id_are_told_apart(tmp_path):
    documents = load(tmp_path, "a.jsonl", '{"id": 1, "text": "one"}\n{"id": 1, "text": "two"}\n')
    chunks = split_documents(documents)
    assert len({chunk.id for chunk in chunks}) == 2


def test_a_broken_line_of_json_lines_is_reported_and_the_others_are_read(tmp_path):
    problems = []
    documents = load(
        tmp_path, "a.jsonl", '{"text": "one"}\n{"text": \n{"text": "three"}\n', on_error=problems.append
    )
    assert [(d.page_content, d.metadata["line"]) for d in documents] == [("one", 1), ("three", 3)]
    assert [p.reason.split(" (")[0] for p in problems] == ["line 2 is not JSON"]


def test_json_lists_give_a_document_a_record_and_other_json_stays_text(tmp_path):
    records = load(tmp_path, "a.json", '[{"name": "x", "size": {"w": 1}, "tags": ["a", "b"]}, {"text": "y"}]')
    assert [d.page_content for d in records] == ["name: x\nsize.w: 1\ntags: a, b", "y"]
    [config] = load(tmp_path, "b.json", '{\n  "port": 8080\n}')
    assert config.page_content == '{\n  "port": 8080\n}'
    assert config.metadata["language"] == "json"


def test_deeply_nested_json_is_reported(tmp_path):
    with pytest.raises(ValueError, match="nested too deeply"):
        load(tmp_path, "deep.json", "[" * 100_000 + "]" * 100_000)


def test_notebooks_give_text_and_code_without_outputs(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "1"}]},
        {"cell_type": "code", "source": ""},
    ]
    notebook = {"cells": cells, "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4}
    [document] = load(tmp_path, "a.ipynb", json.dumps(notebook))
    assert document.page_content == "# Title\ntext\n\n```python\nprint(1)\n```"


def test_source_code_names_its_language(tmp_path):
    [document] = load(tmp_path, "main.go", "package main\n")
    assert (document.metadata["format"], document.metadata["language"]) == ("code", "go")


@pytest.mark.parametrize(
    "name", ["a.txt", "a.md", "a.html", "a.pdf", "a.docx", "a.csv", "a.json", "a.jsonl", "a.ipynb", "a.rst"]
)
def test_no_damage_to_a_file_raises_anything_but_a_reported_reason(tmp_path, name):
    from random import Random

    random = Random(name)
    sample = {"a.pdf": pdf("Some text."), "a.json": b'[{"text": "x"}]', "a.jsonl": b'{"text": "x"}\n'}.get(
        name, b"# a\n,b\n"
    )
    if name == "a.docx":
        import docx

        docx.Document().save(tmp_path / name)
        sample = (tmp_path / name).read_bytes()
    for _ in range(60):
        damaged = bytearray(sample)
        for _ in range(random.randint(1, 8)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        problems = []
        with suppress(ValueError):  # nothing readable was left
            load(tmp_path, name, bytes(damaged[: random.randint(0, len(damaged))]), on_error=problems.append)
        assert all("\n" not in str(problem) for problem in problems)
