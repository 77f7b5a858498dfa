"""`llama-bedrock index`: make or refresh the index of documents ahead of the first question."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from llama_bedrock.cli.model_options import Embeddings, FollowLinks, Region


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
    rich_markup_mode=None,
    add_completion=False,
    cls=_BuildUnlessNamed,
    no_args_is_help=True,
    subcommand_metavar="PATH | COMMAND",
    help="Index documents: `llama-bedrock index PATH` makes or refreshes the index that `ask` uses.",
    short_help="Make or refresh the index of documents",
)


@app.command("build")
def build(
    path: Annotated[Path, typer.Argument(help="File or folder with the documents.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew even if nothing changed.")] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Join what changes have left, for the fastest searches.")
    ] = False,
    max_file_mb: Annotated[
        float | None,
        typer.Option(
            "--max-file-mb",
            min=0.001,
            help="Largest text file that is read, in MB; it holds until changed. Default: 33.6.",
        ),
    ] = None,
    follow_links_outside: FollowLinks = None,
    embeddings: Embeddings = "auto",
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make or refresh the index of a file or folder (what `index PATH` does)."""
    from llama_bedrock.cli.backend import find_credentials
    from llama_bedrock.cli.kept_index import (
        choose_embeddings,
        index_facts,
        open_index,
        shown_progress,
        tell_about,
    )
    from llama_bedrock.cli.output import print_json, write
    from llama_bedrock.transport.connection import endpoint_override

    is_local = embeddings == "auto" and find_credentials() is None
    kind = choose_embeddings(embeddings, is_local=is_local, endpoint=endpoint_override())
    with shown_progress() as progress:
        index = open_index(
            path,
            embeddings=kind,
            region=region,
            rebuild=rebuild,
            max_file_bytes=None if max_file_mb is None else int(max_file_mb * 1_000_000),
            follow_links_outside=follow_links_outside,
            progress=progress,
        )
    if compact and index.store.compact():
        index.store.save()
    tell_about(index)
    if as_json:
        print_json(index_facts(index))
    else:
        state = "ready" if index.built else f"updated ({index.changes})" if index.changes else "up to date"
        write(f"{path}: {state}, {index.size}\n")


@app.command("migrate")
def migrate(
    path: Annotated[
        Path, typer.Argument(help="File or folder with the documents, or folder of a saved FAISSStore.")
    ],
    to: Annotated[
        str, typer.Option("--to", help="URL of a Qdrant or PostgreSQL server, or folder for a local Qdrant.")
    ] = "http://localhost:6333",
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Or table. Default: the name of the path.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="QDRANT_API_KEY", help="Key of the server.")
    ] = None,
    embeddings: Embeddings = "auto",
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Copy an index to Qdrant or pgvector, vectors included. Run again, it updates the copy."""
    from llama_bedrock.cli.index_migrate import copy_store, source_store
    from llama_bedrock.cli.output import counted, note, print_json, write
    from llama_bedrock.transport.connection import without_password

    store = source_store(path, embeddings=embeddings, region=region)
    name = collection or path.resolve().stem
    copied = copy_store(store, name, to, api_key)
    to = without_password(to)
    if as_json:
        print_json({"collection": name, "target": to, "passages": copied, "embeddings_in": str(store.folder)})
        return
    write(f"{to}: collection {name!r} holds {counted(copied, 'passage')}\n")
    note(f"Queries need the same embeddings: FAISSStore.load({str(store.folder)!r}).embeddings")


@app.command("import")
def import_store(
    path: Annotated[Path, typer.Argument(help="Folder that langchain-community's FAISS.save_local wrote.")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the FAISSStore; it must hold none yet.")],
    index_name: Annotated[str, typer.Option("--index-name", help="As in save_local.")] = "index",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Turn a store of langchain-community into a FAISSStore, vectors included: nothing is embedded again."""
    from llama_bedrock.cli.output import counted, note, print_json, write
    from llama_bedrock.retrievers import FAISSStore

    if (to / "CURRENT").exists():
        raise ValueError(f"{to} holds a FAISSStore already; choose another folder with --to")
    store = FAISSStore.from_langchain(path, index_name=index_name)
    store.save(to)
    if as_json:
        facts = {"passages": len(store), "dimension": store.dimension, "metric": store.metric}
        print_json({"source": str(path), "folder": str(to), **facts})
        return
    write(f"{to}: {counted(len(store), 'passage')} of {store.dimension} dimensions, by {store.metric}\n")
    note(f"Queries need the embeddings they were made with: FAISSStore.load({str(to)!r}, embedding)")
