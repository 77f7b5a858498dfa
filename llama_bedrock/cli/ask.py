"""`llama-bedrock ask`: a question about documents, answered with citations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_bedrock.cli.model_options import AnswerOptions, FollowLinks, Passages, Plain, takes_options

if TYPE_CHECKING:
    from llama_bedrock.agents import RagChain
    from llama_bedrock.cli.backend import Backend
    from llama_bedrock.grounding.answers import Citation, RagAnswer
    from llama_bedrock.retrievers import HybridRetriever

LONGEST_QUESTION = 20_000
"""Characters; Bedrock's Retrieve takes no more either."""
_ANSWER_TOKENS = 1024
_VERDICTS = {
    True: ("\N{CHECK MARK}", "green"),
    None: ("?", "dim"),
    False: ("\N{BALLOT X}", "yellow"),
}


@takes_options
def ask(
    path: Annotated[Path, typer.Argument(help="File or folder with the documents.")],
    question: Annotated[
        str | None, typer.Argument(help="The question; - or nothing reads it from stdin.")
    ] = None,
    *,
    options: AnswerOptions,
    k: Passages = 6,
    follow_links_outside: FollowLinks = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON when the answer is complete.")] = False,
    plain: Plain = False,
) -> None:
    """Ask a question of your documents; the answer cites them.

    The index is made on first use and kept until the documents change.
    """
    from llama_bedrock.agents import create_rag_chain
    from llama_bedrock.cli.session.input_lines import argument_or_stdin

    asked = check_question(argument_or_stdin(question, "question"))
    options.check_verifier()
    with options.open_backend(in_process=True, temperature=0.0, max_tokens=_ANSWER_TOKENS) as backend:
        problems: list[str] = []
        retriever = open_retriever(
            path,
            backend,
            k=k,
            embeddings=options.embeddings,
            region=options.region,
            follow_links_outside=follow_links_outside,
            problems=problems,
        )
        chain = create_rag_chain(backend.llm, retriever, verifier=options.open_verifier(backend))
        if as_json:
            _print_json(chain.invoke(asked), backend, problems)
        else:
            show_answer(stream_answer(chain, asked, plain=plain))


def check_question(question: str) -> str:
    """The question without white space around it.

    Raises:
        ValueError: It is empty or too long to be a question.
    """
    question = question.strip()
    if not question:
        raise ValueError("the question is empty")
    if len(question) > LONGEST_QUESTION:
        raise ValueError(
            f"the question has {len(question):,} characters; at most {LONGEST_QUESTION:,} are searched for. "
            "Put long texts into the documents"
        )
    return question


def open_retriever(
    path: Path | Sequence[Path],
    backend: Backend,
    *,
    k: int,
    embeddings: str,
    region: str | None,
    follow_links_outside: bool | None = None,
    problems: list[str] | None = None,
) -> HybridRetriever:
    """The retriever over the documents of a path, or of several; their index is made if need be.

    Args:
        path: File or folder, or several.
        backend: What answers.
        k: Passages to retrieve.
        embeddings: ``"auto"``, ``"lsa"`` or ``"titan"``.
        region: AWS region for Titan.
        follow_links_outside: As in `open_index`.
        problems: Takes the files, and parts of files, that could not be read.
    """
    from llama_bedrock.cli.kept_index import choose_embeddings, open_index, shown_progress, tell_about
    from llama_bedrock.retrievers import HybridRetriever
    from llama_bedrock.transport.connection import endpoint_override

    kind = choose_embeddings(embeddings, is_local=backend.is_local, endpoint=endpoint_override())
    with shown_progress() as progress:
        index = open_index(
            path,
            embeddings=kind,
            region=region,
            follow_links_outside=follow_links_outside,
            progress=progress,
        )
    tell_about(index)
    if problems is not None:
        problems.extend(index.problems)
    return HybridRetriever(store=index.store, k=k)


def stream_answer(chain: RagChain, question: str, *, plain: bool = False) -> RagAnswer:
    """Print the answer as it is written, and return it whole.

    Args:
        chain: What answers.
        question: The question.
        plain: Print it raw in a terminal, too.
    """
    from llama_bedrock.cli.session.answer_writer import answer_writer
    from llama_bedrock.grounding.answers import RagAnswerChunk

    total = RagAnswerChunk()
    writer = answer_writer(plain)
    try:
        for chunk in chain.stream(question):
            writer.feed(chunk.text)
            total = total + chunk
    finally:
        writer.end()
    return total.to_answer()


def show_answer(answer: RagAnswer) -> None:
    """Print what belongs under a streamed answer: the sources with their quotes, and remarks."""
    from llama_bedrock.cli.output import note
    from llama_bedrock.grounding.source_list import by_number

    if answer.stop_reason == "length":
        note("The answer was cut at its most tokens.")
    if answer.removed_marks:
        note(f"Removed marks that name no passage: {' '.join(answer.removed_marks)}")
    cited = by_number(answer)
    if cited:
        _show_sources(cited)
    elif not answer.no_answer:
        note("The answer cites no source.")


def _show_sources(cited: dict[int, list[Citation]]) -> None:
    """The sources by number: a link where the terminal has them, the verdict in words, and the quotes."""
    from llama_bedrock.cli.output import has_links, is_piped, say, stdout
    from llama_bedrock.grounding.source_list import QUOTES_SHOWN, file_link, shortened, verdict_on

    quotes = {
        number: [f"“{shortened(quote)}”" for quote in dict.fromkeys(c.quote for c in citations if c.quote)]
        for number, citations in cited.items()
    }
    quotes = {number: some[:QUOTES_SHOWN] for number, some in quotes.items()}
    if is_piped():
        say("", "")
        for number, citations in cited.items():
            _, verdict = verdict_on(citations)
            say(f"[{number}] ", citations[0].location + (f" ({verdict})" if verdict else ""))
            for quote in quotes[number]:
                say("    ", quote)
        return
    from rich.padding import Padding
    from rich.style import Style
    from rich.text import Text

    console = stdout()
    links = has_links()
    console.print()
    for number, citations in cited.items():
        first, (state, verdict) = citations[0], verdict_on(citations)
        link = file_link(first) if links else None
        head, line = Text(f"[{number}] ", "bold"), Text(first.location, Style(link=link))
        sign, style = _VERDICTS[state]
        reason = next((f": {c.reason}" for c in citations if c.supported is False and c.reason), "")
        judged = Text(f"{sign} {verdict or 'supported'}{reason}", style=style)
        fits = head.cell_len + line.cell_len + 1 + judged.cell_len <= console.width
        line.append(" " if fits else "\n").append_text(judged)
        say(head, line)
        for quote in quotes[number]:
            console.print(Padding(Text(quote, style="dim"), (0, 0, 0, 4), expand=False))


def _print_json(answer: RagAnswer, backend: Backend, problems: list[str]) -> None:
    from llama_bedrock.cli.output import print_json

    print_json(
        {"answered_by": backend.name, "local": backend.is_local, **answer.to_dict(), "problems": problems}
    )
