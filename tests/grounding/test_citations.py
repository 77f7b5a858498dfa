"""Each mark becomes a citation with a statement, a quote that is in its document, and a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from llama_bedrock.grounding.citations import CitationReader
from llama_bedrock.grounding.claims import Claim
from llama_bedrock.grounding.quotes import ReadPassage
from llama_bedrock.grounding.words import WordVerifier
from llama_bedrock.prompts.passages import NO_ANSWER

MODEL = Document(
    "Llama 3.3 is a text model. It has 70 billion parameters.\n"
    "Its context window is 128,000 tokens, and it knows eight languages.\n\n"
    "- It calls tools.\n- It does not read images.",
    metadata={
        "source": "models.md",
        "document_id": "m",
        "line": 10,
        "start_index": 100,
        "heading": "Llama 3.3",
    },
)
PRICE = Document(
    "Prices. Llama 3.3 costs $0.72 per million input tokens in us-east-1.",
    metadata={"source": "prices.pdf", "document_id": "p", "page": 3},
)
DOCUMENTS = {1: MODEL, 2: PRICE}


def read(answer: str, *, step: int | None = None, documents=DOCUMENTS) -> CitationReader:
    reader = CitationReader(documents)
    step = step or max(1, len(answer))
    out, found = "", []
    for i in range(0, len(answer), step):
        text, citations = reader.feed(answer[i : i + step])
        out += text
        found += citations
    text, citations = reader.close()
    assert out + text == reader.text
    assert [*found, *citations] == reader.citations
    return reader


def brief(reader: CitationReader) -> list[tuple[int, str, str, bool | None]]:
    return [(c.number, reader.text[slice(*c.span)], c.quote, c.supported) for c in reader.citations]


CASES = {
    "a sentence": (
        "It has 70 billion parameters [1].",
        [(1, "It has 70 billion parameters [1]", "It has 70 billion parameters.", True)],
    ),
    "a mark behind the full stop": (
        "It calls tools. [1] It costs $0.72 [2].",
        [
            (1, "It calls tools. [1]", "- It calls tools.", True),
            (2, "It costs $0.72 [2]", "Llama 3.3 costs $0.72 per million input tokens in us-east-1.", None),
        ],
    ),
    "two claims in one sentence": (
        "It calls tools [1] and costs $0.72 per million input tokens [2].",
        [
            (1, "It calls tools [1]", "- It calls tools.", True),
            (
                2,
                "and costs $0.72 per million input tokens [2]",
                "Llama 3.3 costs $0.72 per million input tokens in us-east-1.",
                True,
            ),
        ],
    ),
    "leading marks": (
        "[1] says that it calls tools.",
        [(1, "[1] says that it calls tools.", "- It calls tools.", None)],
    ),
    "a number spelled otherwise": (
        "Llama 3.3 has 70B parameters [1].",
        [
            (
                1,
                "Llama 3.3 has 70B parameters [1]",
                "Llama 3.3 is a text model. It has 70 billion parameters.",
                None,
            )
        ],
    ),
    "a wrong number": (
        "Llama 3.3 has 405 billion parameters [1].",
        [
            (
                1,
                "Llama 3.3 has 405 billion parameters [1]",
                "Llama 3.3 is a text model. It has 70 billion parameters.",
                False,
            )
        ],
    ),
    "the wrong document": ("It calls tools [2].", [(2, "It calls tools [2]", "", None)]),
    "an invented fact": (
        "It was trained on a farm in Peru by shepherds [1].",
        [(1, "It was trained on a farm in Peru by shepherds [1]", "", None)],
    ),
    "a true quotation": (
        'The page says "its context window is 128,000 tokens" [1].',
        [
            (
                1,
                'The page says "its context window is 128,000 tokens" [1]',
                "Its context window is 128,000 tokens, and it knows eight languages.",
                None,
            )
        ],
    ),
    "a false quotation": (
        'The page says "its context window is far too small" [1].',
        [
            (
                1,
                'The page says "its context window is far too small" [1]',
                "Its context window is 128,000 tokens, and it knows eight languages.",
                None,
            )
        ],
    ),
    "two documents back one statement": (
        "Llama 3.3 has 70 billion parameters and costs $0.72 per million [1][2].",
        [
            (
                1,
                "Llama 3.3 has 70 billion parameters and costs $0.72 per million [1][2]",
                "Llama 3.3 is a text model. It has 70 billion parameters.",
                None,
            ),
            (
                2,
                "Llama 3.3 has 70 billion parameters and costs $0.72 per million [1][2]",
                "Llama 3.3 costs $0.72 per million input tokens in us-east-1.",
                None,
            ),
        ],
    ),
    "a list": (
        "It can:\n- call tools [1]\n- read no images [1]",
        [
            (1, "- call tools [1]", "- It calls tools.", True),
            (1, "- read no images [1]", "- It does not read images.", None),
        ],
    ),
    "marks on a line of their own": (
        "It calls tools.\n[1]",
        [(1, "It calls tools.\n[1]", "- It calls tools.", True)],
    ),
}


@pytest.mark.parametrize(("answer", "expected"), CASES.values(), ids=CASES)
def test_citations_whole_and_streamed(answer, expected):
    assert brief(read(answer)) == expected
    for step in (1, 2, 3, 7):
        assert brief(read(answer, step=step)) == expected


def test_place_in_the_source_is_told():
    citation = read("Its context window is 128,000 tokens [1].").citations[0]
    assert (citation.source, citation.document_id, citation.line) == ("models.md", "m", 11)
    start, end = citation.offsets
    assert MODEL.page_content[start - 100 : end - 100] == citation.quote
    assert citation.location == "models.md, line 11"
    price = read("It costs $0.72 per million input tokens [2].").citations[0]
    assert (price.page, price.line, price.location) == (3, None, "prices.pdf, page 3")


def test_a_citation_comes_while_the_answer_streams():
    reader = CitationReader(DOCUMENTS)
    assert reader.feed("It calls tools [1]. ")[1] == ()
    assert len(reader.feed("It costs")[1]) == 1


def test_grounded_fraction_counts_statements():
    assert read("It calls tools [1]. It is made of pure gold and silver.").grounded_fraction == 0.5
    assert read("It calls tools [1].").grounded_fraction == 1
    assert read("It eats 40 kilos of grass each day [1].").grounded_fraction == 0
    assert read("# Tools of the model\nIt can do this:\n- It calls tools [1]").grounded_fraction == 1
    assert read("").grounded_fraction == 0


def test_abbreviations_do_not_end_a_statement():
    reader = read("It calls tools, e.g. a search, vs. older ones [1].")
    assert reader.text[slice(*reader.citations[0].span)].startswith("It calls tools, e.g. a search")


def test_code_is_not_split_and_its_marks_stay():
    reader = read(
        "Run this. It calls tools:\n```python\nx = a[1]  # [99]. Next\nprint(x)\n```\nIt calls tools [1]."
    )
    assert reader.removed_marks == ()
    assert [c.number for c in reader.citations] == [1]
    assert "a[1]  # [99]. Next" in reader.text


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (NO_ANSWER, True),
        (NO_ANSWER.lower().rstrip("."), True),
        (f"{NO_ANSWER} See [1].", True),
        ("The passages do not mention any llama farms.", True),
        ("I could not find this in the documents.", True),
        ("It does not read images [1].", False),
        ("It calls tools.", False),
        ("", False),
    ],
)
def test_refusals_are_recognised(answer, refused):
    reader = read(answer)
    assert reader.says_no_answer is refused
    if refused:
        assert reader.citations == []


def test_every_quote_is_verbatim_in_its_document_on_real_text(shared_data):
    """Sentences of one document, cited from it and from another: support is found for the first kind."""
    import json
    import random

    path = shared_data / "retrieval" / "cookbook-docs" / "corpus.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()[:300]]
    documents = [
        Document(row.get("text") or row["title"], metadata={"source": str(i)}) for i, row in enumerate(rows)
    ]
    documents = [d for d in documents if len(d.page_content) > 500]
    random.seed(7)
    copied = guessed = wrong = 0
    for i, document in enumerate(documents[:100]):
        other = documents[(i + 37) % len(documents)]
        spans = [s for s in ReadPassage(document.page_content).sentences if 60 < s[1] - s[0] < 300]
        start, end = random.choice(spans or [(0, 200)])
        sentence = document.page_content[start:end]
        paraphrase = " ".join(
            w for w in sentence.split() if random.random() > 0.2
        )  # a fifth of the words is lost
        for statement in (sentence, paraphrase):
            (verdict,) = WordVerifier().invoke([Claim(statement, [document])])
            assert verdict.supported is not False
            assert verdict.span
            copied += statement is sentence and verdict.supported is True
            guessed += verdict.score >= 0.5
        wrong += WordVerifier().invoke([Claim(sentence, [other])])[0].supported is True
    assert copied >= 97  # of 100
    assert guessed >= 190  # of 200
    assert wrong <= 3  # of 100


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            [
                "It calls tools",
                " [1]",
                "[2]",
                "[99]",
                ". ",
                "\n",
                "! ",
                "`a[1]`",
                "e.g. ",
                "\n```\n",
                "70 billion",
                " ",
            ]
        ),
        max_size=15,
    ).map("".join),
    st.integers(1, 9),
)
def test_streamed_and_whole_agree_for_any_answer(answer, step):
    whole, streamed = read(answer), read(answer, step=step)
    assert brief(whole) == brief(streamed)
    assert whole.removed_marks == streamed.removed_marks
    assert whole.grounded_fraction == streamed.grounded_fraction
    for citation in whole.citations:
        assert citation.quote in DOCUMENTS[citation.number].page_content
        assert citation.mark[0] >= citation.span[0]
        assert citation.mark[1] <= citation.span[1]


@given(st.text(max_size=200), st.text(max_size=200))
def test_anything_by_anything_is_a_verdict(statement, text):
    (verdict,) = WordVerifier().invoke([Claim(statement, [Document(text)])])
    assert 0 <= verdict.score <= 1
    assert (verdict.span is not None) or not verdict.supported
    assert (verdict.passage is None) == (verdict.span is None)
