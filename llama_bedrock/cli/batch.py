"""`llama-bedrock batch`: files of prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import Local, MaxTokens, Model, PromptFormat, Region

if TYPE_CHECKING:
    from llama_bedrock.control import BatchProgress

app = typer.Typer(
    help="Answer files of prompts.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def batch() -> None:
    """Answer files of prompts."""


@app.command("run")
def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Prompts: .jsonl, .csv, .tsv or .parquet.", exists=True)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSONL of the answers. Default: FILE.answers.jsonl.")
    ] = None,
    field: Annotated[str | None, typer.Option("--field", help="Member or column that is the prompt.")] = None,
    local: Local = None,
    model: Model = None,
    prompt_format: PromptFormat = None,
    region: Region = None,
    max_tokens: MaxTokens = 1024,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0, max=1)] = None,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", min=0, help="Stop before this many US dollars are spent.")
    ] = None,
    max_in_flight: Annotated[
        int, typer.Option("--max-in-flight", min=1, help="Most records worked on at a time.")
    ] = 256,
    unordered: Annotated[bool, typer.Option("--unordered", help="Write answers as they finished.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again for what failed.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Drop what an earlier run finished.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Answer every record of a file by live calls; run it again, and it goes on where it was."""
    import asyncio
    from dataclasses import asdict

    from llama_bedrock.cli.backend import ModelChoice, open_backend
    from llama_bedrock.cli.output import counted, note, print_json, write
    from llama_bedrock.control import abatch_file

    output = output or file.with_name(f"{file.name}.answers.jsonl")
    settings: tuple[tuple[str, Any], ...] = (("max_tokens", max_tokens), ("temperature", temperature))
    with open_backend(ModelChoice(model, region, local, prompt_format, settings)) as backend:
        if backend.note:
            note(backend.note)
        with _shown_progress() as on_progress:
            done = asyncio.run(
                abatch_file(
                    backend.llm,
                    file,
                    output,
                    field=field,
                    max_in_flight=max_in_flight,
                    max_usd=max_usd,
                    ordered=not unordered,
                    retry_failed=retry_failed,
                    restart=restart,
                    on_progress=on_progress,
                )
            )
    if as_json:
        print_json({**asdict(done), "output": None if done.stopped else str(output)})
    elif done.stopped is None:
        failed = f", {done.failed:,} failed" if done.failed else ""
        cost = f", ${done.usd:.4f}" if done.usd else ""
        write(f"{counted(done.answered, 'answer')}{failed}{cost}: {output}\n")
    else:
        note(
            f"stopped by --max-usd after {counted(done.answered, 'answer')} (${done.usd or 0:.4f}); "
            "run it again with more to go on"
        )
    if done.failed or done.stopped:
        raise typer.Exit(1)


@contextmanager
def _shown_progress() -> Iterator[Callable[[BatchProgress], None]]:
    """Show how far a run is, in a terminal; elsewhere nothing, for the figures come at the end."""
    from llama_bedrock.cli.output import stderr

    console = stderr()
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("reading the file") as status:

        def show(progress: BatchProgress) -> None:
            cost = "" if progress.usd is None else f", ${progress.usd:.4f}"
            failed = f", {progress.failed:,} failed" if progress.failed else ""
            status.update(f"{progress.answered:,} answered{failed}, {progress.rate:.0f} a second{cost}")

        yield show
