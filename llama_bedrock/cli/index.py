"""`llama-bedrock index`: make or refresh the index of documents ahead of the first question."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _BuildUnlessNamed(TyperGroup):
    """Takes `index PATH` for `index build PATH`, so that the common case needs no further word."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["build", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = ["build", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_BuildUnlessNamed,
    no_args_is_help=True,
    subcommand_metavar="PATH | COMMAND",
    help="Index documents: `llama-bedrock index PATH` makes or refreshes the index that `ask` uses.",
)


@app.command("build")
def build(
    path: Annotated[Path, typer.Argument(help="File or folder with the documents.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew even if nothing changed.")] = False,
    embeddings: Annotated[
        str, typer.Option("--embeddings", help="auto, lsa (nothing to download) or titan (Bedrock).")
    ] = "auto",
    region: Annotated[str | None, typer.Option("--region", "-r", help="AWS region, for titan.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make or refresh the index of a file or folder (what `index PATH` does)."""
    from llama_bedrock.cli.backend import endpoint_override, find_credentials
    from llama_bedrock.cli.indexing import (
        choose_embeddings,
        index_facts,
        open_index,
        shown_progress,
        tell_about,
    )
    from llama_bedrock.cli.output import print_json, write

    is_local = embeddings == "auto" and find_credentials() is None
    kind = choose_embeddings(embeddings, is_local=is_local, endpoint=endpoint_override())
    with shown_progress() as progress:
        index = open_index(path, embeddings=kind, region=region, rebuild=rebuild, progress=progress)
    tell_about(index)
    if as_json:
        print_json(index_facts(index))
    else:
        state = "ready" if index.built else "up to date"
        write(f"{path}: {state}, {index.documents:,} documents, {index.passages:,} passages\n")
