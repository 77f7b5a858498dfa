"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Local = Annotated[
    bool | None,
    typer.Option(
        "--local/--bedrock", help="Local engine or Bedrock. Default: Bedrock if credentials are found."
    ),
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Model id or ARN.")]
PromptFormat = Annotated[
    str | None, typer.Option("--format", help="Prompt format, for an ARN that hides the model.")
]
Region = Annotated[str | None, typer.Option("--region", "-r", help="AWS region.")]
Embeddings = Annotated[
    str, typer.Option("--embeddings", help="auto, lsa (nothing to download) or titan (Bedrock).")
]
Thread = Annotated[
    str | None,
    typer.Option(
        "--thread", "-t", help="Name of the conversation to go on with. Default in a terminal: default."
    ),
]
New = Annotated[bool, typer.Option("--new", help="Forget what was said in the conversation before.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Most tokens of an answer.")]
