"""Every command: where it is, its line in the list of commands, and the examples under its `--help`.

The list is shown, and a command run, without importing the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from shutil import get_terminal_size
from typing import Any, get_type_hints

import typer
from typer.main import get_command

# Name → module below `llama_bedrock.cli`, its function or its group, and the line in the list.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "ask": ("ask", "ask", "Ask a question of your documents; the answer cites them"),
    "chat": ("chat", "chat", "Talk to a Llama"),
    "agent": ("agent", "agent", "Let a Llama work with tools"),
    "index": ("index", "app", "Make or refresh the index of documents"),
    "batch": ("batch", "app", "Answer files of prompts"),
    "eval": ("eval", "evaluate", "Measure retrieval, citations, latency and cost"),
    "prompt": ("prompt", "prompt", "Show the prompt that a message becomes"),
    "models": ("models", "models", "List the Llama models of Bedrock"),
    "serve": ("serve", "serve", "Serve Bedrock on this machine"),
    "ui": ("ui", "ui", "Open a page to ask your documents on"),
    "api": ("api", "api", "Serve OpenAI's API and MCP for Llama on Bedrock"),
    "mcp": ("mcp_command", "mcp", "Serve documents over MCP, on stdin and stdout"),
    "doctor": ("doctor", "doctor", "Check what works on this machine and account"),
    "cost": ("cost", "cost", "Estimate what a file of prompts costs"),
    "iam": ("iam_command", "iam", "Print the IAM policy that features need"),
    "import": ("import_command", "import_model", "Import a Llama into Bedrock"),
    "train": ("train", "train", "Fine-tune a Llama on Bedrock"),
    "deploy": ("deploy", "deploy", "Make a custom model callable"),
    "migrate-plan": ("migrate_plan", "migrate_plan", "Find Llama ids in source, and what follows them"),
}
OTHER_NAMES = {"import-model": "import"}  # beside `index import`, the clearer name

_EXAMPLES: dict[str, tuple[str, ...]] = {
    "ask": (
        'ask handbook "How many days of vacation are there?"',
        "cat question.txt | llama-bedrock ask handbook.pdf --json",
        'ask docs "What changed?" --engine openai:http://localhost:11434/v1#llama3.2',
    ),
    "chat": ("chat", "chat --docs handbook --thread work", "chat --model meta.llama3-1-8b-instruct-v1:0"),
    "agent": (
        'agent "How many llamas are on the farm Andes?" --tools farm.py:herd_size',
        'agent --mcp "npx -y @modelcontextprotocol/server-filesystem ." --docs handbook',
    ),
    "index": ("index handbook", "index handbook --rebuild --embeddings titan"),
    "index build": ("index handbook", "index build handbook --max-file-mb 100"),
    "index migrate": ("index migrate handbook --to qdrant-folder",),
    "index import": ("index import faiss_index --to store",),
    "batch": ("batch run prompts.jsonl --local", "batch estimate prompts.jsonl"),
    "batch run": ("batch run prompts.jsonl --max-usd 5", "batch run questions.csv --field question --local"),
    "batch estimate": ("batch estimate prompts.jsonl --model meta.llama3-3-70b-instruct-v1:0",),
    "batch submit": (
        "batch submit prompts.jsonl --s3 s3://bucket/batch --role-arn arn:aws:iam::123456789012:role/batch",
    ),
    "batch status": (
        "batch status arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/abc123def456",
    ),
    "batch results": (
        "batch results arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/abc123def456",
    ),
    "batch retry": ("batch retry arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/abc123def456",),
    "batch cancel": (
        "batch cancel arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/abc123def456",
    ),
    "eval": (
        "eval dataset --local --limit 20",
        "eval dataset --rows outcomes.jsonl --html report.html --verifier llama",
    ),
    "prompt": (
        'prompt "Why do llamas hum?" --system "Answer in one sentence." --format llama4',
        "cat message.txt | llama-bedrock prompt --json",
    ),
    "models": ("models llama4", 'models --for "long context, vision, cheapest in us"', "models --csv"),
    "serve": ("serve --docs handbook", "serve --engine openai:http://localhost:11434/v1#llama3.2"),
    "ui": ("ui handbook", "ui handbook --local --port 9000"),
    "api": ("api handbook", "api --key secret --host 0.0.0.0"),
    "mcp": ("mcp handbook --local",),
    "doctor": ("doctor", "doctor --model meta.llama4-scout-17b-instruct-v1:0 --region us-west-2 --no-call"),
    "cost": ("cost prompts.jsonl --output-tokens 300",),
    "iam": ("iam", "iam chat batch --region us-west-2"),
    "import": (
        "import my-llama --name my-llama --s3 s3://bucket/models --role-arn "
        "arn:aws:iam::123456789012:role/import",
    ),
    "import-model": ("import-model my-llama --check",),
    "train": ("train examples.jsonl --base meta.llama3-1-8b-instruct-v1:0 --check",),
    "deploy": (
        "deploy arn:aws:bedrock:us-west-2:123456789012:custom-model/meta.llama3-1-8b-instruct-v1:0:128k/"
        "abc123def456 --name support",
    ),
    "migrate-plan": ("migrate-plan .", "migrate-plan infrastructure --json"),
}

# A type as it is written → what its values are called under --help.
_WORDS = {"Path": "PATH", "str": "TEXT", "float": "NUMBER", "int": "NUMBER"}


def load_command(name: str) -> Any:
    """The command of a name, as click runs it; None if there is none."""
    entry = COMMANDS.get(OTHER_NAMES.get(name, name))
    if entry is None:
        return None
    module, attribute, line = entry
    found = getattr(import_module(f"llama_bedrock.cli.{module}"), attribute)
    app = found
    if not isinstance(found, typer.Typer):
        app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(found)
    add_examples(app, "" if app is not found else f"{name} ")
    command = get_command(app)
    for one in (command, *getattr(command, "commands", {}).values()):
        _name_values(one)
        _refuse_empty_values(one)
    command.name = name
    command.short_help = line
    if app is found:
        command.epilog = _epilog(name)
    return command


def list_commands(shown: Iterable[str]) -> list[tuple[str, str]]:
    """Names of commands with their lines."""
    return [(name, COMMANDS[name][2]) for name in shown if name in COMMANDS]


def add_examples(app: typer.Typer, before: str = "") -> None:
    """Give each command of an app its examples, and a line that fits in a list."""
    for command in app.registered_commands:
        command.epilog = _epilog(f"{before}{command.name}")
        said = (getattr(command.callback, "__doc__", None) or "").strip()
        command.short_help = re.split(r"[:;.](?:\s|\Z)", said, maxsplit=1)[0]


def _refuse_empty_values(command: Any) -> None:
    """Let no option or path be empty, as `--region "$UNSET"` is: the default would be taken in silence."""
    hints = get_type_hints(command.callback) if command.callback else {}
    for parameter in command.params:
        if parameter.param_type_name == "option" or "Path" in str(hints.get(parameter.name, "")):
            parameter.process_value = partial(_process_value, parameter, parameter.process_value)


def _process_value(parameter: Any, process_value: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    given = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(one, str) and not one.strip() for one in given):
        advice = "leave it out for the default" if parameter.param_type_name == "option" else "name one"
        raise typer.BadParameter(f"it is empty: {advice}", ctx=ctx, param=parameter)
    return process_value(ctx, value)


def _name_values(command: Any) -> None:
    """Call the values of options and arguments what people call them, not by their types in Python."""
    hints = get_type_hints(command.callback) if command.callback else {}
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            parameter.metavar = parameter.metavar or parameter.name.upper()
            parameter.display_type_rich = lambda ctx: None  # newer typers put the type beside the name
        elif parameter.metavar is None and not parameter.is_flag:
            hint = str(hints.get(parameter.name, ""))
            parameter.metavar = next((word for kind, word in _WORDS.items() if kind in hint), None)


def _epilog(name: str) -> str:
    """The examples, one a line; in a narrow terminal broken as a shell takes it."""
    lines = [line if " | " in line else f"llama-bedrock {line}" for line in _EXAMPLES[name]]
    width = get_terminal_size().columns - 2  # what `--help` indents by
    broken = (" \\\n      ".join(_pieces(line, width - 8)) for line in lines)
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in broken)


def _pieces(line: str, width: int) -> list[str]:
    """A command in pieces of a width, broken between its words; one that is quoted stays whole."""
    pieces = [""]
    for word in re.findall(r'(?:"[^"]*"|\S)+', line):
        if pieces[-1] and len(pieces[-1]) + 1 + len(word) > width:
            pieces.append("")
        pieces[-1] += f" {word}" if pieces[-1] else word
    return pieces
