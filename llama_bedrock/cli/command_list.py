"""Every command: where it is, its line in the list of commands, and the examples under its `--help`.

The list is shown, and a command run, without importing the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from typing import Any

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
    "batch status": ("batch status arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/abc",),
    "batch results": ("batch results arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/abc",),
    "batch retry": ("batch retry arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/abc",),
    "batch cancel": ("batch cancel arn:aws:bedrock:us-west-2:123456789012:model-invocation-job/abc",),
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
    "deploy": ("deploy arn:aws:bedrock:us-west-2:123456789012:custom-model/abc --name support",),
    "migrate-plan": ("migrate-plan .", "migrate-plan infrastructure --json"),
}


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


def _epilog(name: str) -> str:
    lines = [line if " | " in line else f"llama-bedrock {line}" for line in _EXAMPLES[name]]
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
