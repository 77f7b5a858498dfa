"""The evaluation: numbers by hand, damaged data, a whole report; and what must hold on cookbook-docs."""

from __future__ import annotations

import json
import statistics
from html.parser import HTMLParser

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from llama_bedrock.agents.evaluation.rag_evaluation import (
    METRICS,
    Question,
    evaluate,
    load_dataset,
    retrieval_metrics,
)
from llama_bedrock.agents.evaluation.report import bar_chart, histogram, summary_rows, to_html
from llama_bedrock.grounding import Verdict
from llama_bedrock.local.engines.extractive import ExtractiveEngine
from llama_bedrock.prompts.passages import NO_ANSWER
from llama_bedrock.retrievers import FAISSStore, HybridRetriever

DOCUMENTS = [
    Document("Llamas eat grass and hay.", metadata={"source": "food"}),
    Document("Llamas carry thirty kilos.", metadata={"source": "work"}),
]


def test_retrieval_metrics_by_hand():
    found = [Document("", metadata={"source": s}) for s in ("x", "a", "a", "b", "y")]
    question = Question("1", "?", {"a": 3, "b": 1, "c": 1})
    assert retrieval_metrics(found, question, 10) == pytest.approx(
        {"ndcg": (3 / 1.58496 + 1 / 2) / (3 + 1 / 1.58496 + 1 / 2), "recall": 2 / 3, "mrr": 1 / 2}, abs=1e-4
    )
    assert retrieval_metrics(found, question, 1) == {"ndcg": 0, "recall": 0, "mrr": 0}
    assert retrieval_metrics(found, Question("1", "?"), 10) == {}
    assert retrieval_metrics([], question, 10)["ndcg"] == 0


def test_outcomes_and_summary(scripted):
    llm, _ = scripted(
        [
            "Llamas eat grass and hay [1]. They also love a glass of Swiss wine [2].",
            NO_ANSWER,
            RuntimeError("the engine broke"),
        ]
    )
    questions = [
        Question("1", "What do llamas eat?", {"food": 1}, "Grass and hay."),
        Question("2", "What do llamas drink?", {"drink": 1}),
        Question("3", "What do llamas think?"),
    ]
    seen = []
    result = evaluate(llm, RunnableLambda(lambda q: DOCUMENTS), questions, k=2, on_outcome=seen.append)
    first, second, third = result.outcomes
    assert [outcome.question.id for outcome in seen] == ["1", "2", "3"]
    assert first.metrics == {
        "ndcg": 1, "recall": 1, "mrr": 1, "answered": 1, "abstained_wrong": 0, "citations": 2,
        "quotes_exact": 0.5, "cites_relevant": 1, "answer_in_context": 1, "answer_recall": 1,
    }  # fmt: skip
    assert second.metrics["answered"] == 0
    assert second.metrics["answer_in_context"] == 0
    assert third.answer is None
    assert third.error
    summary = result.summary
    assert (summary["questions"], summary["errors"], summary["answered"]) == (3, 1, 0.5)
    assert (summary["quotes_exact"], summary["abstained_wrong"]) == (0.5, 0.5)
    assert not [name for name in summary if name.startswith("judged")]  # nobody judged
    assert summary["ndcg"] == 0.5
    assert summary["usd"] > 0
    assert summary["total_p95"] >= summary["total_p50"] > 0
    assert json.loads(json.dumps(result.to_dict()))["summary"]["errors"] == 1
    rows = {name: value for name, value, _ in summary_rows(result)}
    assert rows["quotes exact"] == "0.500"
    assert set(METRICS) >= {name.replace(" ", "_") for name in rows} & set(METRICS)


def test_a_right_abstention_counts_as_right(scripted, tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "food", "text": "Llamas eat grass and hay."}')
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "1", "text": "What do llamas think?", "unanswerable": true}\n'
        '{"_id": "2", "text": "What do llamas dream?", "unanswerable": true}\n'
        '{"_id": "3", "text": "What do llamas eat?"}\n'
        '{"_id": "4", "text": "Do llamas eat hay?"}'
    )
    llm, _ = scripted([NO_ANSWER, "They dream of grass [1].", "Grass and hay [1].", NO_ANSWER])
    data = load_dataset(tmp_path)
    summary = evaluate(llm, RunnableLambda(lambda q: list(data.documents)), data.questions).summary
    assert (summary["abstained_right"], summary["answered"], summary["abstained_wrong"]) == (0.5, 0.5, 0.5)


def test_a_judges_verdicts_are_reported_in_three_states(scripted):
    llm, _ = scripted(["Llamas eat grass [1]. They drink water [2]. They hum [1]."])
    judge = RunnableLambda(lambda claims: [Verdict(True), Verdict(False), Verdict(None)])
    result = evaluate(llm, RunnableLambda(lambda q: DOCUMENTS), [Question("1", "What?")], verifier=judge)
    summary = result.summary
    for name in ("judged_supported", "judged_unsupported", "judged_undecided", "grounded_fraction"):
        assert summary[name] == pytest.approx(1 / 3)
    page = to_html(result)
    assert page.count('class="good"') == page.count('class="open"') == 1
    assert page.count('class="bad"') == 2  # the citation, and the whole question
    assert "not decided" in page


class Balanced(HTMLParser):
    """Fails on a tag that is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_whole_file_and_escapes_everything(scripted):
    evil = "<script>alert(1)</script>"
    documents = [Document(f"Llamas eat {evil} hay.", metadata={"source": evil})]
    llm, _ = scripted([f"Llamas eat {evil} hay [1].", RuntimeError(evil)])
    result = evaluate(llm, RunnableLambda(lambda q: documents), [Question("1", evil), Question("2", "x")])
    page = to_html(result, title=evil)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "script" not in parser.seen
    assert parser.seen.count("svg") >= 2
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded from anywhere


def test_plots_of_odd_values():
    assert histogram([]) == ""
    assert histogram([1.0]).count("<rect") == 24
    assert "nan" not in bar_chart([]) + bar_chart([("a", 2.0), ("b", -1.0)])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.jsonl", None, "corpus.jsonl: No such file"),
        ("corpus.jsonl", "{", "corpus.jsonl, line 1: not JSON"),
        ("corpus.jsonl", "[" * 200_000, "corpus.jsonl, line 1: not JSON"),
        ("queries.jsonl", '{"_id": 1}', "queries.jsonl, line 1: an object with _id and text"),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\na\tb", "qrels.tsv, line 2: query, document and gain"),
    ],
)
def test_damaged_datasets_name_file_and_line(tmp_path, name, content, message):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "?"}\n')
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        load_dataset(tmp_path)


def cookbook(shared_data, scripted, limit):
    data = load_dataset(shared_data / "retrieval" / "cookbook-docs", limit=limit)
    retriever = HybridRetriever(store=FAISSStore.from_documents(list(data.documents), None), k=6)
    llm, _ = scripted(ExtractiveEngine(), temperature=0)
    return data, evaluate(llm, retriever, data.questions, k=6)


def check(data, result):
    texts = {document.metadata["source"]: document.page_content for document in data.documents}
    citations = [c for outcome in result.outcomes for c in outcome.answer.citations]
    assert len(citations) >= len(data.questions)
    assert result.summary["quotes_exact"] >= 0.95
    assert sum(c.supported is True for c in citations) / len(citations) >= 0.8  # the engine copies
    for citation in citations:
        if citation.offsets:
            assert texts[citation.source][slice(*citation.offsets)] == citation.quote
    times = {
        step: statistics.median(o.seconds[step] for o in result.outcomes if step in o.seconds)
        for step in ("first_token", "total")
    }
    assert times["first_token"] < 0.3
    assert times["total"] < 1


@pytest.mark.slow
def test_cookbook_docs_first_questions(shared_data, scripted):
    check(*cookbook(shared_data, scripted, 20))


@pytest.mark.slow
def test_cookbook_docs_all_questions(shared_data, scripted):
    data, result = cookbook(shared_data, scripted, None)
    check(data, result)
    assert result.summary["ndcg"] > 0.75
    assert result.summary["answered"] > 0.9


def test_states_are_told_in_words_and_abstentions_counted(scripted):
    llm, _ = scripted([NO_ANSWER, NO_ANSWER, "They fly [1].", "Llamas eat grass."])
    questions = [
        Question("1", "What is their wifi?", unanswerable=True),
        Question("2", "What do llamas eat?"),
        Question("3", "How do they fly?", unanswerable=True),
        Question("4", "What else?"),
    ]
    result = evaluate(llm, RunnableLambda(lambda q: DOCUMENTS), questions)
    rows = {name: (value, meaning) for name, value, meaning in summary_rows(result)}
    assert rows["abstained right"][0] == "0.500"
    assert rows["abstained right"][1].endswith("(1 of 2)")
    assert rows["abstained wrong"][1].endswith("(1 of 2)")
    assert rows["answered"][1].endswith("(1 of 2)")
    page = to_html(result)
    for words in (
        "✓ rightly not answered",
        "✗ not answered",
        "✗ answered, though the documents hold no answer",
        "? cites nothing",
    ):
        assert words in page
    assert page.count('<th scope="row">') == len(rows)
    assert page.count('<th scope="col">') == 3
    assert page.count("<svg") == page.count('role="img" aria-label="')
    assert "Seconds: " not in page
