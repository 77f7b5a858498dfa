"""`llama-bedrock cost`: what a file of prompts would cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import PromptFormat
from llama_bedrock.cli.shell_completion import complete_models, complete_regions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_bedrock import ChatLlamaBedrock

_SERVICE_DEFAULT = 512  # max_gen_len, where a request does not say it (Bedrock user guide, Meta Llama models)
_KEYS = ("messages", "prompt", "input", "question", "text")
_RECORDS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
# What a request may hold beside its texts: counted elsewhere, or of no weight.
_NOT_READ = frozenset({
    "tools", "tool_choice", "response_format", "stop", "temperature", "top_p",
    "max_tokens", "max_completion_tokens", "max_gen_len",
})  # fmt: skip


def cost(
    file: Annotated[
        Path, typer.Argument(help="Prompts: one per line, or JSON Lines (requests, batch records).")
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model id or ARN.", autocompletion=complete_models)
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", "-r", help="AWS region, for its prices.", autocompletion=complete_regions),
    ] = None,
    prompt_format: PromptFormat = None,
    output_tokens: Annotated[
        int | None,
        typer.Option(
            "--output-tokens", min=0, help="Tokens of an answer. Default: the most that is asked for."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", help="tokenizer.model or tokenizer.json, to count exactly.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate what a file of prompts costs, on demand and as a batch job. Nothing is sent.

    A line of JSON has a prompt (prompt, messages, question, input, text), or is a batch record of Bedrock or
    OpenAI.
    """
    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.cli.backend import DEFAULT_MODEL
    from llama_bedrock.cli.output import print_json
    from llama_bedrock.usage import costs_at, list_price

    fmt: Any = prompt_format
    llm = ChatLlamaBedrock(
        model=model or DEFAULT_MODEL, region_name=region, prompt_format=fmt, tokenizer=tokenizer
    )
    prompts = read = written = 0
    for number, prompt in _prompts(file):
        prompts += 1
        try:
            tokens, asked = _tokens(llm, prompt)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{file}, line {number}: {error}") from error
        read += tokens
        written += asked if output_tokens is None else output_tokens
    if not prompts:
        raise ValueError(f"{file} holds no prompts")
    told: dict[str, Any] = {"model": llm.model, "region": region, "prompts": prompts}
    told |= {"input_tokens": read, "output_tokens": written, "output_is_a_limit": output_tokens is None}
    usage = {"input_tokens": read, "output_tokens": written}
    for name, batch in (("on_demand", False), ("batch", True)):
        if price := list_price(llm.model, region, batch=batch):
            told[name] = costs_at((price.input, price.output), usage)
    print_json(told) if as_json else _print(told)


def _prompts(file: Path) -> Iterator[tuple[int, Any]]:
    """The prompts of a file with their lines: records as `batch` reads them; of other files each line."""
    from llama_bedrock.control.prompt_file import read_prompt_file

    try:
        if file.suffix.lower() in _RECORDS:
            for record in read_prompt_file(file):
                if record.error is not None:
                    why = record.error.removeprefix(f"line {record.line} is ")
                    raise ValueError(f"{file}, line {record.line}: {why}")
                yield record.line, record.value
            return
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{file} cannot be read: it is no UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not line.startswith("{"):
            yield number, line
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}, line {number}: no JSON: {line[:40]}") from error


def _tokens(llm: ChatLlamaBedrock, prompt: Any) -> tuple[int, int]:
    """Tokens of a prompt, and the most that its answer may have."""
    if isinstance(prompt, str):
        return llm.get_num_tokens(llm.render_prompt(prompt).text), _SERVICE_DEFAULT
    if not isinstance(prompt, dict):
        raise ValueError(f"a prompt is a text or an object, not {type(prompt).__name__}")
    body = prompt.get("modelInput") or prompt.get("body") or prompt
    most = next(
        (body[key] for key in ("max_gen_len", "max_tokens", "max_completion_tokens") if key in body), None
    )
    most = _SERVICE_DEFAULT if most is None else int(most)
    if "modelInput" in prompt and isinstance(body.get("prompt"), str):
        return llm.get_num_tokens(body["prompt"]), most  # the whole text, template and all
    from llama_bedrock.control.prompt_file import refuse_lost

    key = next((key for key in _KEYS if body.get(key)), None)
    if key is None:
        raise ValueError(f"none of {', '.join(_KEYS)} is there")
    refuse_lost(body, {key, *_NOT_READ}, 'put it into "messages", or it is not counted')
    messages = llm._convert_input(body[key]).to_messages()
    return llm.get_num_tokens_from_messages(messages, tools=body.get("tools")), most


def _print(told: dict[str, Any]) -> None:
    from llama_bedrock.cli.output import counted, note, say, usd

    most = "at most " if told["output_is_a_limit"] else ""
    tokens = f"about {told['input_tokens']:,} tokens in, {most}{told['output_tokens']:,} out"
    say("", f"{counted(told['prompts'], 'prompt')} for {told['model']}: {tokens}")
    for name, label in (("on_demand", "on demand"), ("batch", "batch job")):
        if name not in told:
            continue
        costs = told[name]
        parts = f"{usd(costs['input_cost'])} in, {most}{usd(costs['output_cost'])} out"
        say(f"{label}: ", f"{most}{usd(costs['total_cost'])} ({parts})")
    if "on_demand" not in told:
        note(
            "The catalogue has no price for this model and region. Imported models cost units and minutes: "
            "see ImportedModelCost."
        )
