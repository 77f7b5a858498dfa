"""`llama-bedrock batch`: files of prompts, answered live or as batch inference jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import Local, MaxTokens, Model, PromptFormat, Region

if TYPE_CHECKING:
    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.control import BatchJob, BatchProgress, BatchResult, BatchStatus

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="Answer files of prompts.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_Arn = Annotated[str, typer.Argument(metavar="ARN", help="ARN of one of the batch's jobs.")]
_File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Prompts: .jsonl, .csv, .tsv or .parquet.", exists=True)
]
_Field = Annotated[str | None, typer.Option("--field", help="Member or column that is the prompt.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the answers to this file. Default: stdout.")
]


@app.callback()
def batch() -> None:
    """Answer files of prompts."""


@app.command("run")
def run(
    file: _File,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSONL of the answers. Default: FILE.answers.jsonl.")
    ] = None,
    field: _Field = None,
    local: Local = None,
    model: Model = None,
    prompt_format: PromptFormat = None,
    region: Region = None,
    max_tokens: MaxTokens = 1024,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, max=1, help="Higher: more varied answers.")
    ] = None,
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
    from llama_bedrock.cli.output import counted, note, print_json, usd, write
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
        cost = f", {usd(done.usd)}" if done.usd else ""
        write(f"{counted(done.answered, 'answer')}{failed}{cost}: {output}\n")
        if done.failed:
            note(f'{output} says why, in "error"; --retry-failed asks again.')
    else:
        note(
            f"stopped by --max-usd after {counted(done.answered, 'answer')} ({usd(done.usd or 0)}); "
            "run it again with more to go on"
        )
    if done.failed or done.stopped:
        raise typer.Exit(1)


@app.command("estimate")
def estimate(
    file: _File,
    field: _Field = None,
    model: Model = None,
    prompt_format: PromptFormat = None,
    region: Region = None,
    max_tokens: MaxTokens = 1024,
    requests_per_minute: Annotated[
        int | None, typer.Option("--requests-per-minute", min=1, help="Quota of live calls.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option("--tokens-per-minute", min=1, help="Quota of tokens of live calls.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Tell the tokens of a file of prompts, what they cost live and as a batch job, and how long it takes."""
    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.cli.backend import DEFAULT_MODEL
    from llama_bedrock.cli.output import counted, print_json, usd, write

    llm = ChatLlamaBedrock(model=model or DEFAULT_MODEL, region_name=region, prompt_format=prompt_format)
    told = _estimated(llm, file, field, max_tokens)
    load = (told["records"] - told["unreadable"], told["input_tokens"] + told["most_output_tokens"])
    quotas = zip(load, (requests_per_minute, tokens_per_minute), strict=True)
    minutes = max((size / quota for size, quota in quotas if quota), default=None)
    if as_json:
        print_json({**told, "most_live_minutes": minutes})
        return
    write(f"{counted(told['records'], 'record')} ({told['unreadable']:,} cannot be read), ")
    write(f"{told['input_tokens']:,} input tokens (estimated)\n")
    write(f"at most {told['most_output_tokens']:,} output tokens (--max-tokens {max_tokens:,} for each)\n")
    for name in ("live", "batch"):
        least, most = told[f"{name}_least_usd"], told[f"{name}_most_usd"]
        shown = "no price in the catalogue" if least is None else f"{usd(least)} to {usd(most)}"
        write(f"{name:>5}: {shown}\n")
    if minutes is not None:
        write(f"live, by the quotas: at most {minutes:,.0f} minutes\n")


def _estimated(llm: ChatLlamaBedrock, file: Path, field: str | None, max_tokens: int) -> dict[str, Any]:
    from llama_bedrock.control.prompt_file import as_input, read_prompt_file
    from llama_bedrock.usage import costs_at, list_price

    records = unreadable = tokens = 0
    for record in read_prompt_file(file):
        records += 1
        try:
            if record.error is not None:
                raise ValueError(record.error)
            messages = llm._convert_input(as_input(record.value, field)).to_messages()
            tokens += llm.get_num_tokens_from_messages(messages)
        except ValueError:
            unreadable += 1
    most = (records - unreadable) * max_tokens
    told: dict[str, Any] = {
        "records": records,
        "unreadable": unreadable,
        "input_tokens": tokens,
        "most_output_tokens": most,
    }
    for name, batch in (("live", False), ("batch", True)):
        price = list_price(llm.model, llm.region_name, batch=batch)
        for key, output in (("least", 0), ("most", most)):
            usage = {"input_tokens": tokens, "output_tokens": output}
            cost = None if price is None else costs_at((price.input, price.output), usage)["total_cost"]
            told[f"{name}_{key}_usd"] = cost
    return told


@app.command("submit")
def submit(
    file: _File,
    s3: Annotated[str, typer.Option("--s3", help="Where input and output lie: s3://bucket/prefix.")],
    role_arn: Annotated[str, typer.Option("--role-arn", help="Role with which Bedrock reads and writes it.")],
    field: _Field = None,
    model: Model = None,
    prompt_format: PromptFormat = None,
    region: Region = None,
    max_tokens: MaxTokens = 1024,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, max=1, help="Higher: more varied answers.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the batch. Default: of the time.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end.")] = False,
    as_json: _Json = False,
) -> None:
    """Submit a file of prompts as batch inference jobs; print their ARNs."""
    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.cli.backend import DEFAULT_MODEL
    from llama_bedrock.cli.output import counted, note, print_json, write
    from llama_bedrock.control import BatchJob

    llm = ChatLlamaBedrock(
        model=model or DEFAULT_MODEL,
        region_name=region,
        prompt_format=prompt_format,
        max_tokens=max_tokens,
        temperature=temperature,
    )
    job = BatchJob(llm, file, s3=s3, role_arn=role_arn, field=field, name=name).submit()
    if as_json:
        print_json({"name": job.name, "arns": job.arns, "records": job.status().records})
    else:
        write("".join(f"{arn}\n" for arn in job.arns))
        note(f"{counted(job.status().records, 'record')}; results: llama-bedrock batch results {job.arns[0]}")
    if wait:
        _tell(job.wait(_Waiting()), as_json=False)


@app.command("status")
def status(
    arn: _Arn,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end.")] = False,
    as_json: _Json = False,
) -> None:
    """Tell how far a batch is."""
    job = _taken_up(arn)
    _tell(job.wait(_Waiting()) if wait else job.status(), as_json=as_json)


@app.command("results")
def results(arn: _Arn, output: _Output = None) -> None:
    """Write the answers of a batch that has ended as JSONL, in the order of the input."""
    _write(_taken_up(arn).results(), output)


@app.command("retry")
def retry(arn: _Arn, output: _Output = None) -> None:
    """Send the records without an answer again, live; write what came of them as JSONL."""
    _write(_taken_up(arn).retry_failed(), output)


@app.command("cancel")
def cancel(arn: _Arn) -> None:
    """Stop a batch; what is finished can be read."""
    job = _taken_up(arn)
    job.cancel()
    _tell(job.status(), as_json=False)


def _taken_up(arn: str) -> BatchJob:
    from llama_bedrock.control import BatchJob

    return BatchJob.from_arn(arn)


def _tell(status: BatchStatus, *, as_json: bool) -> None:
    from dataclasses import asdict

    from llama_bedrock.cli.output import print_json, write

    if as_json:
        print_json({**asdict(status), "ended": status.ended})
        return
    failed = f", {status.failed:,} failed" if status.failed else ""
    write(f"{status.status}: {status.processed:,} of {status.records:,} records{failed}\n")
    for message in status.messages:
        write(f"{message}\n")


class _Waiting:
    """Says what goes on when it changes."""

    def __init__(self) -> None:
        self._last: object = None

    def __call__(self, status: BatchStatus) -> None:
        from llama_bedrock.cli.output import note

        state = (status.status, status.processed)
        if state != self._last:
            note(f"{status.status}: {status.processed:,} of {status.records:,} records")
        self._last = state


def _write(found: Iterator[BatchResult], output: Path | None) -> None:
    import json
    from contextlib import nullcontext

    from llama_bedrock.cli.output import counted, note, write
    from llama_bedrock.control.live_batch import answer_fields

    failed = 0
    with nullcontext() if output is None else output.open("w", encoding="utf-8") as file:
        for result in found:
            line: dict[str, Any] = {"index": result.index}
            if result.id is not None:
                line["id"] = result.id
            if result.message is not None:
                line |= answer_fields(result.message)
            if result.parsed is not None:
                line |= answer_fields(result.parsed)
            if result.error is not None:
                failed += 1
                line["error"] = {"type": type(result.error).__name__, "message": str(result.error)}
            text = json.dumps(line, ensure_ascii=False) + "\n"
            write(text) if file is None else file.write(text)
    if failed:
        note(f"{counted(failed, 'record')} without an answer; llama-bedrock batch retry sends them again")
        raise typer.Exit(1)


@contextmanager
def _shown_progress() -> Iterator[Callable[[BatchProgress], None]]:
    """Show how far a run is, in a terminal; elsewhere nothing, for the figures come at the end."""
    from llama_bedrock.cli.output import stderr, usd

    console = stderr()
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("reading the file") as status:

        def show(progress: BatchProgress) -> None:
            cost = "" if progress.usd is None else f", {usd(progress.usd)}"
            failed = f", {progress.failed:,} failed" if progress.failed else ""
            status.update(f"{progress.answered:,} answered{failed}, {progress.rate:.0f} a second{cost}")

        yield show
