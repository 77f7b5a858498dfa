"""Answers from passages: the right sentence, its citation, and no answer where there is none."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.local.engines.lexicon import stem, terms, words
from llama_bedrock.local.engines.reader import answer
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
        ("What is the command to start the server?", 6, "python -m server"),
    ],
)
def test_a_question_is_answered_from_the_passage_that_holds_the_answer(question, number, holds):
    statements = answer(question, HANDBOOK)
    assert {statement.number for statement in statements} == {number}
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
def test_a_question_the_passages_do_not_answer_has_no_answer(question):
    assert answer(question, HANDBOOK) == []


VERSIONS = [
    Passage(
        1,
        "Model A 3.1 and Model A 3.2 reached their end of life on 7 July 2026.\n\n"
        "Model A 3.3 is legacy. Its end of life is 30 March 2027.",
        "life.md",
    ),
    Passage(
        2, "| Model | Window |\n|---|---|\n| A 3.1 | 8,192 tokens |\n| A 3.3 | 128,000 tokens |", "windows.md"
    ),
]


def test_a_version_is_not_answered_with_what_is_said_of_another_one():
    text = " ".join(s.text for s in answer("When does Model A 3.3 reach its end of life?", VERSIONS))
    assert "30 March 2027" in text
    assert "7 July" not in text


def test_of_a_table_the_row_that_answers_is_said_under_the_names_of_its_columns():
    said = [s.text for s in answer("What is the window of Model A 3.3?", VERSIONS) if s.number == 2]
    assert said == ["| Model | Window |", "| A 3.3 | 128,000 tokens |"]


def test_words_in_addresses_answer_nothing():
    links = "See https://example.com/set-region/aws-account and https://example.com/region-of-aws."
    assert answer("How do I set the AWS region?", [Passage(1, links, "links.md")]) == []


def test_a_line_with_bars_in_it_is_no_table():
    text = "Tokens such as `<|eot_id|>` end a turn and are\nescaped in text."
    (statement,) = answer("Which tokens end a turn?", [Passage(1, text, "a.md")])
    assert statement.text == "Tokens such as `<|eot_id|>` end a turn and are escaped in text."


def test_without_passages_there_is_no_answer():
    assert answer("How long is parental leave?", []) == []
    assert answer("How long is parental leave?", [Passage(1, "  \n", "a.md")]) == []


def test_a_question_about_two_things_is_answered_from_both():
    statements = answer("How long is parental leave, and how many vacation days are paid a year?", HANDBOOK)
    assert {statement.number for statement in statements} == {1, 2}


def test_an_answer_quotes_the_passage_word_by_word():
    for question in ("How long is parental leave?", "What can I claim?", "When did the office in Rome open?"):
        for statement in answer(question, HANDBOOK):
            source = next(p.text for p in HANDBOOK if p.number == statement.number)
            assert statement.text in " ".join(source.split())


def test_footnote_marks_of_a_source_are_not_taken_for_citations():
    (statement,) = answer(
        "When was the bridge built?", [Passage(1, "The bridge was built in 1932 [12] by hand.", "a")]
    )
    assert statement.text == "The bridge was built in 1932 by hand."


@pytest.mark.parametrize(
    ("forms", "same"),
    [
        ("create creates created creating creation", True),
        ("evaluate evaluation evaluating", True),
        ("policy policies", True),
        ("stop stopped stopping stops", True),
        ("use using used uses", True),
        ("child children", True),
        ("user universe", False),
        ("news new", True),
        ("organ organic", False),
    ],
)
def test_forms_of_a_word_have_one_stem(forms, same):
    assert (len({stem(word) for word in forms.split()}) == 1) is same


def test_words_are_split_at_case_digits_and_underscores():
    assert words("maxTokens max_tokens llama3 v1.2 Don't 東京") == [
        "max", "tokens", "max", "tokens", "llama", "3", "v", "1.2", "don't", "東", "京",
    ]  # fmt: skip


@given(question=st.text(max_size=60), texts=st.lists(st.text(max_size=200), max_size=4))
@settings(deadline=None)
def test_any_question_about_any_text_is_answered_with_text_from_it(question, texts):
    passages = [Passage(number, text, "x") for number, text in enumerate(texts, start=1)]
    for statement in answer(question, passages):
        assert 1 <= statement.number <= len(texts)
        assert set(terms(statement.text)) <= set(terms(texts[statement.number - 1])) | set(terms("a"))


def test_a_thousand_passages_are_read_in_time():
    import time

    passages = [Passage(n, HANDBOOK[n % 6].text * 3, "x") for n in range(1, 1001)]
    start = time.process_time()
    answer("How many days of vacation do employees have?", passages)
    assert time.process_time() - start < 5


@pytest.mark.slow
def test_quality_on_real_documentation_stays(shared_data):
    """Questions of people about product documentation, with BM25's best four passages; both halves of the
    set.
    """
    from langchain_core.documents import Document

    from llama_bedrock.retrievers.documents.split import split_documents
    from llama_bedrock.retrievers.search.lexical import BM25Index

    folder = shared_data / "retrieval" / "cookbook-docs"
    read = lambda name: [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]  # noqa: E731
    documents = [
        Document(d["text"], metadata={"source": d["_id"], "title": d["title"]}) for d in read("corpus.jsonl")
    ]
    chunks = split_documents(documents)
    index = BM25Index()
    index.add({str(at): chunk.page_content for at, chunk in enumerate(chunks)})
    relevant: dict[str, set[str]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            relevant.setdefault(query, set()).add(document)
    answered = clean = right = 0
    queries = read("queries.jsonl")
    for query in queries:
        found = [chunks[int(at)] for at in index.search(query["text"], 4)]
        passages = [
            Passage(n, c.page_content, c.metadata["source"], c.metadata.get("heading"))
            for n, c in enumerate(found, 1)
        ]
        statements = answer(query["text"], passages)
        cited = {passages[s.number - 1].source for s in statements}
        wanted = set(terms(query["answer"])) - set(terms(query["text"]))
        said = set(terms(" ".join(s.text for s in statements)))
        answered += bool(statements)
        clean += bool(statements) and cited <= relevant[query["_id"]]
        right += len(wanted & said) >= 0.5 * len(wanted)
        assert all(re.search(r"\S", s.text) for s in statements)
    assert answered >= 0.9 * len(queries)
    assert clean >= 0.65 * len(queries)
    assert right >= 0.42 * len(queries)


def test_an_example_of_asking_this_very_question_is_no_answer():
    question = "When do unused days expire?"
    manual = Passage(9, f'```bash\nllama-bedrock ask handbook "{question}"\n```', "cli.md", "Commands")
    assert answer(question, [manual]) == []
    assert {statement.number for statement in answer(question, [manual, *HANDBOOK])} == {1}
