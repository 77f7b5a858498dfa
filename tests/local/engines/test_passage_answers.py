"""Answers from passages: the right sentence, its citation, and no answer where there is none."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.local.engines.passage_answers import (
    answer_from_passages,
    bm25,
    find_answer,
    split_units,
)
from llama_bedrock.local.engines.pieces import forms
from llama_bedrock.prompts.passages import Passage

HANDBOOK = [
    Passage(
        1,
        "Every employee has 28 days of paid vacation a year. Unused days expire on 31 March.",
        "handbook.md",
        "Vacation",
    ),
    Passage(
        2,
        "Parental leave lasts 16 weeks. It can be taken within two years of the birth.",
        "handbook.md",
        "Parental leave",
    ),
    Passage(
        3,
        "# Expenses\n\nYou can claim:\n\n- train tickets\n- hotels up to 120 EUR a night\n- meals\n\n"
        "Send receipts to finance@example.com.",
        "expenses.md",
    ),
    Passage(
        4,
        "| Office | City | Opened |\n|---|---|---|\n| North | Oslo | 2011 |\n| South | Rome | 2019 |",
        "offices.md",
        "Offices",
    ),
    Passage(
        5,
        "The office was founded by Maria Keller in Zurich. The team moved there because rents were low.",
        "history.md",
    ),
    Passage(6, "Start the server:\n\n```\npython -m server --port 8080\n```\n", "guide.md", "Install"),
]


@pytest.mark.parametrize(
    ("question", "number", "holds"),
    [
        ("How many days of vacation do employees have?", 1, "28 days"),
        ("When do unused vacation days expire?", 1, "31 March"),
        ("How long is parental leave?", 2, "16 weeks"),
        ("What can I claim as expenses?", 3, "hotels up to 120 EUR"),
        ("Where do I send receipts?", 3, "finance@example.com"),
        ("When did the office in Rome open?", 4, "2019"),
        ("Who founded the office?", 5, "Maria Keller"),
        ("Why did the team move to Zurich?", 5, "because rents were low"),
        ("How do I start the server?", 6, "python -m server"),
    ],
)
def test_a_question_is_answered_from_the_passage_that_holds_the_find_answer(question, number, holds):
    statements = find_answer(question, HANDBOOK)
    assert statements[0].number == number
    assert any(holds in statement.text for statement in statements)


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "How do I bake sourdough bread?",
        "Who won the 2010 world cup?",
        "What is the boiling point of nitrogen?",
        "How many vacation days did Napoleon have in 1812?",
        "",
        "???",
    ],
)
def test_a_question_the_passages_do_not_answer_has_no_find_answer(question):
    assert find_answer(question, HANDBOOK) == []


def test_of_a_table_the_row_that_answers_is_said_under_the_names_of_its_columns():
    table = "| Model | Window |\n|---|---|\n| A 3.1 | 8,192 tokens |\n| A 3.3 | 128,000 tokens |"
    said = [unit.text for unit in find_answer("How big is the window of A 3.3?", [Passage(1, table, "w.md")])]
    assert said[0] == "| Model | Window |"
    assert "| A 3.3 | 128,000 tokens |" in said


def test_a_line_with_bars_in_it_is_no_table():
    text = "Tokens such as `<|eot_id|>` end a turn and are\nescaped in text."
    (unit,) = find_answer("Which tokens end a turn?", [Passage(1, text, "a.md")])
    assert unit.text == "Tokens such as `<|eot_id|>` end a turn and are escaped in text."


def test_without_passages_there_is_no_answer():
    assert find_answer("How long is parental leave?", []) == []
    assert find_answer("How long is parental leave?", [Passage(1, "  \n", "a.md")]) == []


def test_an_answer_quotes_the_passage_word_by_word():
    for question in ("How long is parental leave?", "What can I claim?", "When did the office in Rome open?"):
        for unit in find_answer(question, HANDBOOK):
            source = next(p.text for p in HANDBOOK if p.number == unit.number)
            assert unit.text in " ".join(source.split())


def test_footnote_marks_of_a_source_are_not_taken_for_citations():
    passage = Passage(1, "The bridge was built in 1932 [12] by hand.", "a")
    assert (
        answer_from_passages("When was the bridge built?", [passage])
        == "The bridge was built in 1932 by hand. [1]"
    )


def test_an_example_of_asking_this_very_question_is_no_answer():
    question = "When do unused days expire?"
    manual = Passage(9, f'```bash\nllama-bedrock ask handbook "{question}"\n```', "cli.md", "Commands")
    assert find_answer(question, [manual]) == []
    assert {unit.number for unit in find_answer(question, [manual, *HANDBOOK])} == {1}


def test_headings_lists_tables_and_code_are_units_of_their_kind():
    text = (
        "# Guide\n\nA line that is broken\nin the middle. Next one.\n\n- first\n- second one\n  goes on\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n\ny = 2\n```\nEnd.\n\n```\nnever closed"
    )
    assert [(unit.kind, unit.text) for unit in split_units(Passage(1, text, "a.md"))] == [
        ("heading", "Guide"),
        ("prose", "A line that is broken in the middle."),
        ("prose", "Next one."),
        ("item", "- first"),
        ("item", "- second one goes on"),
        ("row", "| a | b |"),
        ("row", "| 1 | 2 |"),
        ("code", "x = 1\n\ny = 2"),
        ("prose", "End."),
        ("code", "never closed"),
    ]


def test_overlapping_passages_are_quoted_once():
    text = "Parental leave lasts 16 weeks. It can be taken within two years of the birth."
    units = find_answer("How long does parental leave last?", [Passage(1, text, "a"), Passage(2, text, "a")])
    assert {unit.number for unit in units} == {1}


def test_a_long_block_of_code_is_no_answer_where_a_sentence_is():
    code = "\n".join(f"server.run(port={port})  # the server listens" for port in range(40))
    passage = Passage(1, f"The server listens on port 8080.\n\n```\n{code}\n```\n", "a")
    assert [unit.kind for unit in find_answer("Which port does the server listen on?", [passage])] == [
        "prose"
    ]


@given(question=st.text(max_size=60), texts=st.lists(st.text(max_size=200), max_size=4))
@settings(deadline=None)
def test_any_question_about_any_text_is_answered_with_text_from_it(question, texts):
    passages = [Passage(number, text, "x") for number, text in enumerate(texts, start=1)]
    for unit in find_answer(question, passages):
        assert 1 <= unit.number <= len(texts)
        assert "".join(unit.text.split()) in "".join(texts[unit.number - 1].split())


@pytest.mark.slow
def test_questions_about_real_documentation_beat_the_first_words_of_the_best_passage(shared_data):
    """Answers out of BM25's best four passages hold more of the reference answers than the first 110 words of the
    best passage do, and than as many of its words as the answer has; on both halves of the questions, of which
    one was used to set the numbers. A question that is refused counts as nothing.
    """
    from langchain_core.documents import Document

    from llama_bedrock.retrievers.documents.split import split_documents
    from llama_bedrock.retrievers.search.lexical import BM25Index

    folder = shared_data / "retrieval" / "cookbook-docs"
    read = lambda name: [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]  # noqa: E731
    chunks = split_documents(
        [
            Document(d["text"], metadata={"source": d["_id"], "title": d["title"]})
            for d in read("corpus.jsonl")
        ]
    )
    index = BM25Index()
    index.add({str(at): chunk.page_content for at, chunk in enumerate(chunks)})
    shares = []
    for query in read("queries.jsonl"):
        found = [chunks[int(at)] for at in index.search(query["text"], 4)]
        passages = [
            Passage(n, c.page_content, "x", c.metadata.get("heading")) for n, c in enumerate(found, 1)
        ]
        wanted = set(forms(query["answer"]))
        said = answer_from_passages(query["text"], passages)
        best = found[0].page_content.split()
        texts = (said, " ".join(best[:110]), " ".join(best[: len(said.split())]))
        shares.append([len(wanted.intersection(forms(text))) / len(wanted) for text in texts])
    for half in (shares[::2], shares[1::2]):
        ours, first, as_many = (sum(column) / len(half) for column in zip(*half, strict=True))
        assert ours >= max(first, as_many) + 0.05
        assert ours >= 0.6


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12), min_size=1, max_size=8),
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True),
)
@settings(max_examples=50, deadline=None)
def test_sentences_score_as_bm25s_scores_them(documents, asked):
    bm25s = pytest.importorskip("bm25s")
    index = bm25s.BM25(k1=1.2, b=0.5)
    index.index(documents, show_progress=False)
    known = [form for form in asked if form in index.vocab_dict]
    expected = index.get_scores(known).tolist() if known else [0.0] * len(documents)
    assert bm25(asked, [Counter(document) for document in documents]) == pytest.approx(expected, abs=1e-5)
