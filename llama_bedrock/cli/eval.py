"""`llama-bedrock eval`: how well a model and the retriever answer the questions of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import AnswerOptions, MaxTokens, takes_options

if TYPE_CHECKING:
    from llama_bedrock.agents.evaluation.outcome_log import OutcomeLog
    from llama_bedrock.agents.evaluation.rag_evaluation import Dataset, Evaluation, Outcome
    from llama_bedrock.cli.backend import Backend
    from llama_bedrock.retrievers import HybridRetriever


@takes_options
def evaluate(
    dataset: Annotated[
        Path, typer.Argument(help="Folder with corpus.jsonl, queries.jsonl and, if there is one, qrels.tsv.")
    ],
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Ask only so many questions.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a report with plots and every answer to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, every question included.")] = False,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", help="File that each outcome is added to; run again, those in it are kept."),
    ] = None,
    *,
    options: AnswerOptions,
    k: Annotated[
        int, typer.Option("--k", "-k", min=1, max=100, help="Documents to retrieve, and to judge.")
    ] = 10,
    max_tokens: MaxTokens = 1024,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=64, help="Questions at a time; latencies need 1.")
    ] = 1,
) -> None:
    """Measure retrieval, citations, latency and cost on a dataset in BEIR's format."""
    from llama_bedrock.agents import evaluation
    from llama_bedrock.agents.evaluation.outcome_log import OutcomeLog
    from llama_bedrock.cli.output import counted, note, print_json

    if html is not None and not html.absolute().parent.is_dir():
        raise ValueError(f"--html {html}: there is no folder {html.parent}")
    if rows is not None and not rows.absolute().parent.is_dir():
        raise ValueError(f"--rows {rows}: there is no folder {rows.parent}")
    data = evaluation.load_dataset(dataset, limit=limit)
    if not data.documents or not data.questions:
        raise ValueError(f"{dataset} holds no {'questions' if data.documents else 'documents'}")
    options.check_verifier()
    with options.open_backend(temperature=0.0, max_tokens=max_tokens) as backend:
        retriever = _retriever(data, backend, k=k, embeddings=options.embeddings, region=options.region)
        settings = {
            "dataset": dataset.name,
            "answered by": backend.name,
            "verifier": options.verifier,
            "k": k,
            "max_tokens": max_tokens,
        }
        log = OutcomeLog(rows or _own_rows(dataset, settings), data, settings)
        done = log.done(data.questions)
        if done:
            note(f"{counted(len(done), 'outcome')} kept from {log.path}")
        with _shown_rows(data, done, log, quiet=as_json) as on_outcome:
            result = evaluation.evaluate(
                backend.llm,
                retriever,
                data.questions,
                k=k,
                max_concurrency=concurrency,
                on_outcome=on_outcome,
                verifier=options.open_verifier(backend),
                done=done,
                settings={**settings, "concurrency": concurrency},
            )
    if rows is None:
        log.path.unlink(missing_ok=True)  # it was there for the case that the run is cut off
    if html is not None:
        _write_html(result, html, dataset.name)
    print_json(result.to_dict()) if as_json else _print_table(result)
    _end(result)


def _retriever(
    data: Dataset, backend: Backend, *, k: int, embeddings: str, region: str | None
) -> HybridRetriever:
    """A hybrid retriever over the dataset's documents, made for this run."""
    from llama_bedrock.cli.kept_index import TITAN, choose_embeddings, shown_progress, titan
    from llama_bedrock.retrievers import FAISSStore, HybridRetriever
    from llama_bedrock.transport.connection import endpoint_override

    kind = choose_embeddings(embeddings, is_local=backend.is_local, endpoint=endpoint_override())
    with shown_progress() as tell:
        tell(f"Indexing {len(data.documents):,} documents", 0, 1)
        store = FAISSStore.from_documents(list(data.documents), titan(region) if kind == TITAN else None)
        return HybridRetriever(store=store, k=k)


def _own_rows(dataset: Path, settings: dict[str, Any]) -> Path:
    """The file of a run that names none: another one for each dataset and choice of settings."""
    from hashlib import blake2b

    from llama_bedrock.cli.user_folders import cache_folder
    from llama_bedrock.retrievers.store.private_files import make_folder

    name = blake2b(repr([dataset.absolute(), settings]).encode(), digest_size=8).hexdigest()
    folder = cache_folder() / "evaluations"
    make_folder(folder)
    return folder / f"{dataset.name}-{name}.jsonl"


@contextmanager
def _shown_rows(
    data: Dataset, done: dict[str, Outcome], log: OutcomeLog, *, quiet: bool
) -> Iterator[Callable[[Outcome], None]]:
    """Function to call after each question: its outcome is kept, and shown as a line.

    Ctrl-C says how many are kept, and where.
    """
    from threading import Lock

    from llama_bedrock.agents.evaluation.report import outcome_state
    from llama_bedrock.cli.kept_index import shown_progress
    from llama_bedrock.cli.output import note, stdout

    ready, lock, total = len(done), Lock(), len(data.questions)
    console = stdout()

    def count(outcome: Outcome) -> None:
        nonlocal ready
        with lock:
            log.append(outcome)
            ready += 1
            tell(f"Question {min(ready + 1, total)} of {total}", ready, total)
            if not quiet:
                state, words = outcome_state(outcome)
                sign = {True: "\N{CHECK MARK}", False: "\N{BALLOT X}", None: "?"}[state]
                seconds = f", {outcome.seconds['total']:.1f} s" if "total" in outcome.seconds else ""
                text = " ".join(outcome.question.text.split())
                line = f"{sign} {ready}/{total} {text} ({words}{seconds})"
                console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)

    # Lines that come on the same terminal are progress enough, and a bar would stand among them.
    bar = shown_progress() if quiet or not console.is_terminal else nullcontext(lambda *_: None)
    try:
        with bar as tell:
            tell(f"Question {ready + 1} of {total}", ready, total)
            yield count
    except KeyboardInterrupt:
        note(f"{ready} of {total} outcomes are kept in {log.path}; the same command goes on from there.")
        raise


def _write_html(result: Evaluation, path: Path, name: str) -> None:
    from llama_bedrock.agents.evaluation.report import to_html
    from llama_bedrock.cli.output import note

    path.write_text(to_html(result, title=f"Evaluation on {name}"), encoding="utf-8")
    note(f"report: {path}")


def _print_table(result: Evaluation) -> None:
    from rich.table import Table

    from llama_bedrock.agents.evaluation.report import summary_rows
    from llama_bedrock.cli.output import stdout

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", style="dim")
    for row in summary_rows(result):
        table.add_row(*row)
    stdout().print(table)


def _end(result: Evaluation) -> None:
    """Fail where every question failed; name the first failure where some did."""
    from llama_bedrock.cli.exit_codes import SERVICE_FAILURE
    from llama_bedrock.cli.output import note

    failed = [outcome for outcome in result.outcomes if outcome.answer is None]
    if failed:
        note(f"{len(failed)} of {len(result.outcomes)} questions failed; the first: {failed[0].error}")
    if len(failed) == len(result.outcomes):
        raise typer.Exit(SERVICE_FAILURE)
