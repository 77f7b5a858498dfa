"""How well a model and a retriever answer questions about documents, in numbers.

Works with any chat model, Bedrock or local. What can be counted is counted; what needs judgement, whether a
statement follows from what it cites, is asked of a verifier if one is given, and of none otherwise: the words
that found a quote do not measure how good it is.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from types import NoneType
from typing import Any, cast

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from llama_bedrock.agents.rag.rag_chain import Model, Retriever, create_rag_chain
from llama_bedrock.agents.rag.rag_prompt import unwrap
from llama_bedrock.argument_kinds import AtLeastOne, refuses_wrong_kinds
from llama_bedrock.grounding.answers import Citation, RagAnswer, RagAnswerChunk, document_source
from llama_bedrock.grounding.claims import Verifier
from llama_bedrock.grounding.quotes import read
from llama_bedrock.grounding.verify import NoVerifier
from llama_bedrock.grounding.words import WordVerifier
from llama_bedrock.text import content_words, sentences

_HELD = 0.5  # share of the words of a statement that a document must hold

METRICS = {
    "ndcg": "nDCG@k of the retrieved documents",
    "recall": "share of the relevant documents among the first k",
    "mrr": "mean reciprocal rank of the first relevant document",
    "answer_in_context": "share of questions whose answer the model was shown",
    "answered": "share of answerable questions that got an answer",
    "abstained_right": "share of unanswerable questions that were not answered, as is right",
    "abstained_wrong": "share of answerable questions that were not answered",
    "quotes_exact": "share of citations whose quote stands in its document at the place told",
    "cites_relevant": "share of answers that quote a relevant document",
    "judged_supported": "share of citations that the judge found to be supported",
    "judged_unsupported": "share of citations that the judge found not to be supported",
    "judged_undecided": "share of citations that the judge left open",
    "grounded_fraction": "share of the answers' statements with a citation that the judge supports",
    "answer_recall": "share of the reference answer's words that the answer holds",
}
"""What the metrics of a summary mean; each is between 0 and 1, and absent where the data do not allow it."""


_OF_CITATIONS = {"quotes_exact", "judged_supported", "judged_unsupported", "judged_undecided"}


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Question:
    """A question of a dataset.

    Attributes:
        id: Its id in the dataset.
        text: The question.
        relevant: Gain (over 0) of each relevant document, by the document's ``metadata["source"]``.
        answer: A reference answer; None where the dataset has none.
        unanswerable: The documents hold no answer: not to answer is right.
    """

    id: str
    text: str
    relevant: Mapping[str, float] = field(default_factory=dict)
    answer: str | None = None
    unanswerable: bool = False


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Dataset:
    """Documents and questions about them."""

    documents: tuple[Document, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question, its answer, and the metrics of both.

    Attributes:
        question: The question.
        answer: The answer; None when the call failed.
        error: What failed; None when nothing did.
        metrics: By the names of :data:`METRICS`, without those that cannot be told; ``citations`` is a
            count.
        seconds: ``retrieve``, ``first_token`` (from the end of retrieval) and ``total``.
        usd: Price of the tokens by the catalogue; None where it knows none.
    """

    question: Question
    answer: RagAnswer | None
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of every question, and what they come to.

    Attributes:
        outcomes: In the order of the dataset.
        settings: What was evaluated, for the report.
    """

    outcomes: tuple[Outcome, ...]
    settings: Mapping[str, Any]

    @property
    def summary(self) -> dict[str, float]:
        """The metrics over all questions.

        Means over the questions that have the metric; of quotes and the judge's verdicts over all citations.
        Then ``questions``, ``errors``, seconds at the 50th and 95th percentile, tokens, and US dollars in all
        and per question.
        """
        done = [outcome for outcome in self.outcomes if outcome.answer is not None]
        totals: dict[str, float] = {"questions": len(self.outcomes), "errors": len(self.outcomes) - len(done)}
        for name in METRICS:
            measured = [outcome.metrics for outcome in done if name in outcome.metrics]
            weights = [m["citations"] if name in _OF_CITATIONS else 1.0 for m in measured]
            if measured and sum(weights):
                totals[name] = statistics.fmean((m[name] for m in measured), weights)
        totals["citations"] = sum(outcome.metrics.get("citations", 0) for outcome in done)
        for step in ("retrieve", "first_token", "total"):
            times = sorted(outcome.seconds[step] for outcome in done if step in outcome.seconds)
            for share in (50, 95):
                if times:
                    totals[f"{step}_p{share}"] = times[min(len(times) - 1, len(times) * share // 100)]
        usages = [outcome.answer.usage for outcome in done if outcome.answer and outcome.answer.usage]
        totals["input_tokens"] = sum(usage["input_tokens"] for usage in usages)
        totals["output_tokens"] = sum(usage["output_tokens"] for usage in usages)
        prices = [outcome.usd for outcome in done if outcome.usd is not None]
        if prices:
            totals["usd"] = sum(prices)
            totals["usd_per_question"] = sum(prices) / len(prices)
        return totals

    def to_dict(self) -> dict[str, Any]:
        """Settings, summary and every outcome as JSON-able values; documents by source only."""
        return {
            "settings": dict(self.settings),
            "summary": {name: round(value, 4) for name, value in self.summary.items()},
            "questions": [_outcome_dict(outcome) for outcome in self.outcomes],
        }


@refuses_wrong_kinds
def load_dataset(folder: str | Path, *, limit: AtLeastOne | None = None) -> Dataset:
    """Read a dataset in BEIR's format.

    Args:
        folder: With ``corpus.jsonl`` (``_id``, ``text``, ``title``), ``queries.jsonl`` (``_id``, ``text``,
            and if there are reference answers ``answer``; ``"unanswerable": true`` where the documents hold
            none) and ``qrels.tsv`` (query, document, gain; may be absent).
        limit: Read only so many questions.

    Raises:
        ValueError: A file is missing or damaged; the error names the file and line.
    """
    root = Path(folder)
    documents = tuple(_document(row) for row in _rows(root / "corpus.jsonl"))
    relevant = _judgements(root / "qrels.tsv")
    questions = [
        Question(
            str(row["_id"]),
            str(row["text"]),
            relevant.get(str(row["_id"]), {}),
            row.get("answer"),
            row.get("unanswerable") is True,
        )
        for row in _rows(root / "queries.jsonl")
    ]
    return Dataset(documents, tuple(questions[:limit]))


@refuses_wrong_kinds
def evaluate(
    model: Model,
    retriever: Retriever,
    questions: Sequence[Question],
    *,
    k: AtLeastOne = 10,
    max_concurrency: AtLeastOne = 1,
    on_outcome: Callable[[Outcome], None] | None = None,
    settings: Mapping[str, Any] | None = None,
    verifier: Verifier | None = None,
    done: Mapping[str, Outcome] | None = None,
    **chain_options: Any,
) -> Evaluation:
    """Ask every question and measure retrieval, answers and their quotes, latency and cost.

    Args:
        model: The chat model that answers.
        retriever: Gives documents, best first; those of one ``metadata["source"]`` count as one document.
        questions: Of :func:`load_dataset`, or of your own.
        k: Rank up to which retrieval is judged.
        max_concurrency: Questions asked at the same time; latencies are only comparable at 1.
        on_outcome: Called after each question, for progress.
        settings: Noted in the result, for the report.
        verifier: A judge of the citations, such as :class:`~llama_bedrock.grounding.LlamaJudge`, whose
            verdicts are reported. None: nothing is judged.
        done: Outcomes of an earlier run by the ids of their questions, which are not asked again.
        **chain_options: Passed to :func:`~llama_bedrock.agents.create_rag_chain`.
    """

    def ask(question: Question) -> Outcome:
        if done and question.id in done:
            return done[question.id]
        outcome = _ask(model, retriever, question, k, {"verifier": verifier, **chain_options})
        if on_outcome:
            on_outcome(outcome)
        return outcome

    with ThreadPoolExecutor(max_workers=max(1, max_concurrency)) as pool:
        outcomes = tuple(pool.map(ask, questions))
    noted = {"model": getattr(unwrap(model), "model", type(model).__name__), "k": k, **(settings or {})}
    return Evaluation(outcomes, noted)


def _ask(
    model: Model, retriever: Retriever, question: Question, k: int, chain_options: Mapping[str, Any]
) -> Outcome:
    started = perf_counter()
    try:
        found = retriever.invoke(question.text)
        retrieved = perf_counter()
        same: Runnable[str, list[Document]] = RunnableLambda(lambda _: found)
        total, first_token = RagAnswerChunk(), None
        for chunk in create_rag_chain(model, same, **chain_options).stream(question.text):
            if chunk.text and first_token is None:
                first_token = perf_counter() - retrieved
            total = total + chunk
    except Exception as error:  # noqa: BLE001 - one question that fails does not end an evaluation
        return Outcome(question, None, f"{type(error).__name__}: {error}")
    answer = total.to_answer()
    seconds = {"retrieve": retrieved - started, "total": perf_counter() - started}
    if first_token is not None:
        seconds["first_token"] = first_token
    judged = not isinstance(chain_options["verifier"], (NoneType, WordVerifier, NoVerifier))
    metrics = {**retrieval_metrics(found, question, k), **answer_metrics(answer, question, judged=judged)}
    return Outcome(question, answer, None, metrics, seconds, _usd(answer))


@refuses_wrong_kinds
def retrieval_metrics(found: Sequence[Document], question: Question, k: AtLeastOne) -> dict[str, float]:
    """nDCG, recall and reciprocal rank at k of a ranking; nothing without judgements."""
    if not question.relevant:
        return {}
    ranking = list(dict.fromkeys(document_source(document) for document in found))[:k]
    gains = [question.relevant.get(source, 0.0) for source in ranking]
    ideal = sorted(question.relevant.values(), reverse=True)[:k]
    first = next((rank for rank, gain in enumerate(gains, start=1) if gain), None)
    return {
        "ndcg": _dcg(gains) / _dcg(ideal),
        "recall": sum(gain > 0 for gain in gains) / len(question.relevant),
        "mrr": 1 / first if first else 0.0,
    }


@refuses_wrong_kinds
def answer_metrics(answer: RagAnswer, question: Question, *, judged: bool = False) -> dict[str, float]:
    """What an answer is like, and how it compares with what the dataset knows.

    Args:
        answer: The answer.
        question: The question, with what the dataset knows of it.
        judged: The citations were verified by something else than the words that found them.
    """
    metrics: dict[str, float] = {"citations": len(answer.citations)}
    if question.unanswerable:
        metrics["abstained_right"] = float(answer.no_answer)
    else:
        metrics["answered"] = float(not answer.no_answer)
        metrics["abstained_wrong"] = float(answer.no_answer)
    if answer.citations:
        exact = sum(_is_exact(answer, citation) for citation in answer.citations)
        metrics["quotes_exact"] = exact / len(answer.citations)
    if judged and not answer.no_answer:
        metrics["grounded_fraction"] = answer.grounded_fraction
        for name, verdict in (("supported", True), ("unsupported", False), ("undecided", None)):
            share = sum(citation.supported is verdict for citation in answer.citations)
            if answer.citations:
                metrics[f"judged_{name}"] = share / len(answer.citations)
    if question.relevant and not answer.no_answer:
        quoted = [citation for citation in answer.citations if citation.quote]
        metrics["cites_relevant"] = float(any(c.source in question.relevant for c in quoted))
    shown = {document_source(document) for document in answer.documents}
    if question.answer:
        metrics["answer_in_context"] = float(any(_holds(d, question.answer) for d in answer.documents))
        metrics["answer_recall"] = _recall(question.answer, answer.text)
    elif question.relevant:
        metrics["answer_in_context"] = float(bool(shown & set(question.relevant)))
    return metrics


def _is_exact(answer: RagAnswer, citation: Citation) -> bool:
    """Whether a quote is verbatim what stands at its offsets; no quote is none."""
    if not citation.quote or citation.offsets is None:
        return False
    document = answer.documents[citation.number - 1]
    base = document.metadata.get("start_index")
    start = citation.offsets[0] - (base if isinstance(base, int) else 0)
    return document.page_content[start : start + len(citation.quote)] == citation.quote


def _holds(document: Document, reference: str) -> bool:
    """Whether a document holds a reference answer: it has half of the words of half of its statements."""
    parts = [reference[start:end] for start, end in sentences(reference)]
    statements = [part for part in parts if content_words(part)]
    found = (passage.look_for(said) for s in statements for said, (passage,) in [read(s, "", [document])])
    held = sum(place.share >= _HELD for place in found)
    return bool(statements) and 2 * held >= len(statements)


def _recall(reference: str, text: str) -> float:
    wanted = {word.form for word in content_words(reference)}
    said = {word.form for word in content_words(text)}
    return len(wanted & said) / len(wanted) if wanted else 0.0


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _usd(answer: RagAnswer) -> float | None:
    if not answer.usage:
        return 0.0
    return cast("float | None", cast("dict[str, Any]", answer.usage).get("total_cost"))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror or error}; a dataset has corpus.jsonl and queries.jsonl"
        ) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict) or "_id" not in row or "text" not in row:
            raise ValueError(f"{path}, line {number}: an object with _id and text is needed")
        yield row


def _document(row: Mapping[str, Any]) -> Document:
    name, title, text = str(row["_id"]), str(row.get("title") or ""), str(row["text"])
    whole = text if text.lstrip().startswith(title) else f"{title}\n\n{text}"
    metadata = {"source": name, "document_id": name, "start_index": 0, **({"title": title} if title else {})}
    return Document(whole, metadata=metadata)


def _judgements(path: Path) -> dict[str, dict[str, float]]:
    judged: dict[str, dict[str, float]] = {}
    if not path.exists():
        return judged
    for number, line in enumerate(path.read_text("utf-8").splitlines()[1:], start=2):
        parts = line.split("\t")
        try:
            query, document, gain = parts[0], parts[1], float(parts[2])
        except (IndexError, ValueError):
            raise ValueError(
                f"{path}, line {number}: query, document and gain are needed, with tabs"
            ) from None
        if gain > 0:
            judged.setdefault(query, {})[document] = gain
    return judged


def _outcome_dict(outcome: Outcome) -> dict[str, Any]:
    answer = outcome.answer
    shown = None
    if answer is not None:
        shown = {
            "text": answer.text,
            "no_answer": answer.no_answer,
            "documents": [document_source(document) for document in answer.documents],
            "citations": [citation.to_dict() for citation in answer.citations],
        }
    return {
        "question": asdict(outcome.question),
        "answer": shown,
        "error": outcome.error,
        "metrics": {name: round(value, 4) for name, value in outcome.metrics.items()},
        "seconds": {name: round(value, 4) for name, value in outcome.seconds.items()},
        "usd": outcome.usd,
    }
