"""The examples under each command's `--help`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

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


def add_examples(app: typer.Typer, before: str = "") -> None:
    """Give each command of an app, and of its groups, its examples, and a line that fits in a list."""
    for command in app.registered_commands:
        command.epilog = _epilog(f"{before}{command.name}")
        said = (getattr(command.callback, "__doc__", None) or "").strip()
        command.short_help = re.split(r"[:;.](?:\s|\Z)", said, maxsplit=1)[0]
    for group in app.registered_groups:
        if group.typer_instance is not None:
            group.epilog = _epilog(f"{before}{group.name}")
            add_examples(group.typer_instance, f"{before}{group.name} ")


def _epilog(name: str) -> str:
    lines = [line if " | " in line else f"llama-bedrock {line}" for line in _EXAMPLES[name]]
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
