from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from llama_bedrock.retrievers import split_documents
from llama_bedrock.retrievers.documents.readers.plain_text import CODE_LANGUAGES

WORDS = st.text(alphabet="ab é日。.!? \n\t", max_size=30)
LINES = st.one_of(
    WORDS,
    st.sampled_from(
        ["# A", "## B #", "### C", "Title", "=====", "-----", "```", "~~~", "| a | b |", "- item", "---",
         "def f():", "class X:", "    return 1", "\x0c", "\u2028", "   ", "a" * 70, "one two " * 20, ""]
    ),
)  # fmt: skip
TEXTS = st.lists(LINES, max_size=25).map("\n".join)
FORMATS = st.sampled_from(
    [
        {"format": "text"},
        {"format": "markdown"},
        {"format": "rst"},
        {"format": "pdf", "page": 3},
        {"format": "record", "line": 4},
        {"format": "code", "language": "python", "line": 1},
        {"format": "code", "language": "go"},
        {"format": "code", "language": "yaml"},
        {},
    ]
)


@settings(max_examples=400, deadline=None)
@given(TEXTS, FORMATS, st.integers(1, 90), st.integers(0, 60))
def test_offsets_are_exact_and_nothing_but_white_space_is_lost(text, metadata, size, overlap):
    document = Document(page_content=text, metadata={"source": "a", "document_id": "d", **metadata})
    chunks = split_documents([document], chunk_size=size, chunk_overlap=min(overlap, size - 1))
    covered = set()
    for chunk in chunks:
        start, end = chunk.metadata["start_index"], chunk.metadata["end_index"]
        assert text[start:end] == chunk.page_content
        # Source code keeps the indentation of its first line.
        stripped = (
            chunk.page_content.rstrip() if metadata.get("format") == "code" else chunk.page_content.strip()
        )
        assert stripped == chunk.page_content != ""
        assert len(chunk.page_content) <= size
        covered.update(range(start, end))
    assert all(text[position].isspace() for position in set(range(len(text))) - covered)
    assert [c.metadata["end_index"] for c in chunks] == sorted({c.metadata["end_index"] for c in chunks})
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(20, 90))
def test_the_line_of_a_chunk_is_that_of_its_first_character(text, size):
    document = Document(page_content=text, metadata={"format": "markdown", "line": 1})
    for chunk in split_documents([document], chunk_size=size, chunk_overlap=5):
        assert chunk.metadata["line"] == 1 + text.count("\n", 0, chunk.metadata["start_index"])


def headings(text, format, size=60, overlap=0):
    document = Document(page_content=text, metadata={"format": format})
    chunks = split_documents([document], chunk_size=size, chunk_overlap=overlap)
    return [(chunk.metadata.get("heading"), chunk.page_content) for chunk in chunks]


def test_markdown_is_cut_at_headings_and_chunks_carry_their_path():
    text = (
        "Some words before the first heading.\n\n# A\n\nText of section A, a long one.\n\n## B\n\n"
        "Text of section B, a long one.\n\n```\n# no heading\n```\n\n# C\n\nText of section C, a long one."
    )
    assert headings(text, "markdown") == [
        (None, "Some words before the first heading."),
        ("A", "# A\n\nText of section A, a long one."),
        ("A > B", "## B\n\nText of section B, a long one.\n\n```\n# no heading\n```"),
        ("C", "# C\n\nText of section C, a long one."),
    ]


def test_restructured_text_levels_follow_the_order_of_their_styles():
    text = (
        "=====\nTitle\n=====\n\nIntroduction, some words of it.\n\n"
        "Part\n----\n\nText of the part, more of it.\n\n"
        "Detail\n~~~~~~\n\nText of the detail, more.\n\nOther\n-----\n\nText of the other part, more."
    )
    assert [heading for heading, _ in headings(text, "rst")] == [
        "Title",
        "Title > Part",
        "Title > Part > Detail",
        "Title > Other",
    ]


def test_a_lone_heading_is_joined_with_the_section_under_it():
    assert headings("# A\n\n## B\n\nText of section B, a long one.", "markdown") == [
        ("A > B", "# A\n\n## B\n\nText of section B, a long one.")
    ]


def test_short_sections_are_joined_under_the_headings_they_share():
    text = "# A\n\n## B\n\nb\n\n## C\n\nc\n\n## D\n\n" + "long text " * 9
    assert headings(text, "markdown", size=120)[0] == ("A", text.strip())


def test_long_prose_is_cut_at_paragraphs_then_at_sentences():
    text = "One sentence here. Another one there!\n\nA second paragraph. It has two sentences."
    assert [content for _, content in headings(text, "text", size=45)] == text.split("\n\n")
    assert [content for _, content in headings(text, "text", size=30)] == [
        "One sentence here.",
        "Another one there!",
        "A second paragraph.",
        "It has two sentences.",
    ]


def test_chunks_overlap_from_the_beginning_of_a_word():
    chunks = [
        content for _, content in headings("alpha beta gamma delta epsilon zeta", "text", size=24, overlap=8)
    ]
    assert chunks == ["alpha beta gamma", "gamma delta epsilon", "epsilon zeta"]


def test_code_is_cut_between_definitions():
    code = "import os\n\n\ndef first():\n    return os.getcwd()\n\n\ndef second():\n    return os.getpid()\n"
    chunks = split_documents(
        [Document(page_content=code, metadata={"format": "code", "language": "python", "line": 1})],
        chunk_size=40,
        chunk_overlap=0,
    )
    assert [(c.page_content.split("\n")[0], c.metadata["line"]) for c in chunks] == [
        ("import os", 1),
        ("def first():", 4),
        ("def second():", 8),
    ]


def test_documents_without_a_format_are_told_by_their_source():
    text = "# A\n\nText of section A, a long one.\n\n# B\n\nText of section B, a long one."
    documents = [Document(page_content=text, metadata={"source": f"a.{suffix}"}) for suffix in ("md", "txt")]
    chunks = split_documents(documents, chunk_size=60, chunk_overlap=0)
    assert [chunk.metadata.get("heading") for chunk in chunks] == ["A", "B", None, None]


def test_metadata_of_other_loaders_mean_what_they_mean_there():
    text = "One sentence here. Another one there! And a third one, which is longer."
    document = Document(page_content=text, metadata={"language": "en", "line": "12-14", "format": "text"})
    chunks = split_documents([document], chunk_size=40, chunk_overlap=0)
    assert chunks[0].page_content == "One sentence here. Another one there!"
    assert {chunk.metadata["line"] for chunk in chunks} == {"12-14"}


@pytest.mark.parametrize("language", sorted(set(CODE_LANGUAGES.values())))
def test_code_of_every_language_is_split(language):
    code = "\n".join(f"value{n} = {n};" for n in range(60))
    document = Document(page_content=code, metadata={"format": "code", "language": language})
    chunks = split_documents([document], chunk_size=100, chunk_overlap=0)
    assert "\n".join(chunk.page_content for chunk in chunks) == code


def test_ids_are_stable_and_metadata_is_kept():
    document = Document(
        page_content="one two three", metadata={"source": "a", "document_id": "d", "page": 7, "x": [1]}
    )
    [first] = split_documents([document])
    [again] = split_documents([document])
    assert first == again
    assert first.metadata == {**document.metadata, "start_index": 0, "end_index": 13}
    assert "start_index" not in document.metadata


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-1, 0), (10, 10), (10, -1)])
def test_sizes_that_make_no_sense_are_refused(size, overlap):
    with pytest.raises(ValueError, match=f"got {size} and {overlap}"):
        split_documents([], chunk_size=size, chunk_overlap=overlap)


def test_a_megabyte_without_a_single_space_is_split():
    chunks = split_documents([Document(page_content="x" * 1_000_000)], chunk_overlap=0)
    assert "".join(chunk.page_content for chunk in chunks) == "x" * 1_000_000


def test_chunks_of_source_code_begin_with_whole_lines():
    code = "class Herd:\n" + "\n".join(
        f'    def llama{n}(self):\n        return "hums {n} " * {n}\n' for n in range(30)
    )
    document = Document(
        page_content=code, metadata={"source": "herd.py", "format": "code", "language": "python"}
    )
    chunks = split_documents([document], chunk_size=300, chunk_overlap=60)
    lines = code.split("\n")
    assert len(chunks) > 5
    for chunk in chunks:
        assert set(chunk.page_content.split("\n")) <= set(lines)
    assert all(
        before.metadata["end_index"] > after.metadata["start_index"] for before, after in pairwise(chunks)
    )
