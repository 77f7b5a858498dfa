"""From an index of this program, or any saved FAISSStore, to Qdrant or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llama_bedrock._extras import require

if TYPE_CHECKING:
    from llama_bedrock.retrievers import FAISSStore

_POINTER = "CURRENT"  # of a saved FAISSStore


def source_store(path: Path, *, embeddings: str, region: str | None) -> FAISSStore:
    """The store to copy: the one saved in a folder, or the index of the documents there.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It holds nothing that can be read.
    """
    from llama_bedrock.cli.backend import find_credentials
    from llama_bedrock.cli.kept_index import (
        TITAN,
        choose_embeddings,
        open_index,
        shown_progress,
        tell_about,
        titan,
    )
    from llama_bedrock.retrievers import FAISSStore
    from llama_bedrock.transport.connection import endpoint_override

    if (path / _POINTER).is_file():
        return FAISSStore.load(path, titan(region) if embeddings == TITAN else None)
    is_local = embeddings == "auto" and find_credentials() is None
    kind = choose_embeddings(embeddings, is_local=is_local, endpoint=endpoint_override())
    with shown_progress() as progress:
        index = open_index(path, embeddings=kind, region=region, progress=progress)
    tell_about(index)
    return index.store


def copy_store(store: FAISSStore, name: str, target: str, api_key: str | None) -> int:
    """Copy a store and count what is in the collection or table then.

    Raises:
        ImportError: The extra ``qdrant`` or ``postgres`` is not installed.
        ConnectionError: The server cannot be reached, or does not do what it is asked.
        ValueError: The collection or table holds something else.
    """
    is_postgres = target.startswith(("postgresql://", "postgres://", "postgresql+psycopg://"))
    return _to_postgres(store, name, target) if is_postgres else _to_qdrant(store, name, target, api_key)


def _to_postgres(store: FAISSStore, table: str, address: str) -> int:
    from llama_bedrock.cli.kept_index import shown_progress
    from llama_bedrock.retrievers.indexing.migrate_postgres import migrate_to_postgres
    from llama_bedrock.transport.connection import without_password

    psycopg = require("psycopg", "postgres")
    with shown_progress() as tell:
        try:
            return migrate_to_postgres(
                store, table, address, on_progress=lambda done: tell("Copying", done, len(store))
            )
        except psycopg.Error as error:
            raise ConnectionError(f"PostgreSQL at {without_password(address)}: {error}") from error


def _to_qdrant(store: FAISSStore, collection: str, target: str, api_key: str | None) -> int:
    from llama_bedrock.cli.kept_index import shown_progress
    from llama_bedrock.retrievers.indexing.migrate import migrate_to_qdrant

    failures = require("qdrant_client.http.exceptions", "qdrant")
    with shown_progress() as tell:
        try:
            copied = migrate_to_qdrant(
                store,
                collection,
                target,
                api_key=api_key,
                on_progress=lambda done: tell("Copying", done, len(store)),
            )
        except (failures.ApiException, RuntimeError) as error:  # RuntimeError: the folder is in use
            raise ConnectionError(f"Qdrant at {target}: {error}") from error
    try:
        return int(copied.client.count(collection).count)
    finally:
        copied.client.close()
