"""The way out when one machine is not enough: a FAISSStore into PostgreSQL with pgvector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llama_bedrock._extras import require
from llama_bedrock.argument_kinds import AtLeastOne, refuses_wrong_kinds
from llama_bedrock.retrievers.indexing.migrate import batches

if TYPE_CHECKING:
    from llama_bedrock.retrievers.store.faiss_store import FAISSStore

_DRIVER = "postgresql+psycopg://"
_OURS = "copied from a FAISSStore by llama-bedrock"  # the table's comment: only such a table is changed
_STRATEGIES = {"cosine": "COSINE_DISTANCE", "inner_product": "INNER_PRODUCT", "l2": "EUCLIDEAN"}


@refuses_wrong_kinds
def migrate_to_postgres(
    store: FAISSStore,
    table: str,
    address: str,
    *,
    metadata_columns: Sequence[str] = ("source",),
    batch_size: AtLeastOne = 256,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Copy a store into a table that LangChain's `PGVectorStore` reads. Nothing is embedded again; run again,
    it brings the copy up to date.

    Args:
        store: What to copy.
        table: The table; made if it is missing.
        address: ``postgresql://user:password@host/database``; the database needs the extension pgvector.
        metadata_columns: Metadata with a text column of their own, beside the whole of it as JSON: what is
            filtered by.
        batch_size: Documents in one request.
        on_progress: Called with the number of documents copied, after each request.

    Returns:
        Rows of the table.

    Raises:
        ImportError: The extra ``postgres`` is not installed.
        ValueError: The store is empty, or there is a table of this name that no earlier copy made, or one of
            vectors of another size or with other columns.
    """
    postgres, psycopg = require("langchain_postgres", "postgres"), require("psycopg", "postgres")
    if store.dimension is None:
        raise ValueError("the store is empty: there is nothing to migrate")
    address = address.replace(_DRIVER, "postgresql://", 1)
    with psycopg.connect(address, autocommit=True) as connection:
        engine = postgres.PGEngine.from_connection_string(_DRIVER + address.partition("://")[2])
        try:
            _prepare(connection, psycopg.sql, engine, store.dimension, table, metadata_columns)
            _copy(store, engine, table, metadata_columns, batch_size, on_progress)
        finally:
            engine._run_as_sync(engine.close())
        return _delete_strays(connection, psycopg.sql, table, store)


def _prepare(
    connection: Any, sql: Any, engine: Any, dimension: int, table: str, columns: Sequence[str]
) -> None:
    column = require("langchain_postgres", "postgres").Column
    found = connection.execute(
        "SELECT obj_description(attrelid), attname, atttypmod FROM pg_attribute "
        "WHERE attrelid = to_regclass(quote_ident(%s)) AND attnum > 0",
        [table],
    ).fetchall()
    if not found:
        engine.init_vectorstore_table(
            table,
            vector_size=dimension,
            id_column=column("langchain_id", "TEXT"),
            metadata_columns=[column(name, "TEXT") for name in columns],
        )
        comment = sql.SQL("COMMENT ON TABLE {} IS {}")
        connection.execute(comment.format(sql.Identifier(table), sql.Literal(_OURS)))
        return
    sizes = {name: size for _, name, size in found}
    if found[0][0] != _OURS:
        raise ValueError(f"there is a table {table!r} that holds something else; choose another name")
    if sizes.get("embedding") != dimension or not sizes.keys() >= set(columns):
        raise ValueError(
            f"the table {table!r} holds vectors of size {sizes.get('embedding')} and the columns "
            f"{', '.join(sizes)}, not vectors of size {dimension} and {', '.join(columns)}; choose another "
            "name, or drop it first"
        )


def _copy(
    store: FAISSStore,
    engine: Any,
    table: str,
    columns: Sequence[str],
    batch_size: int,
    on_progress: Callable[[int], None] | None,
) -> None:
    postgres = require("langchain_postgres", "postgres")
    strategies = require("langchain_postgres.v2.indexes", "postgres").DistanceStrategy
    strategy = strategies[_STRATEGIES[store.metric]]
    target = postgres.PGVectorStore.create_sync(
        engine, store.embeddings, table, metadata_columns=list(columns), distance_strategy=strategy
    )
    copied = 0
    for batch in batches(store.documents(), batch_size):
        ids = [str(document.id) for document in batch]
        target.add_embeddings(
            [document.page_content for document in batch],
            [vector.tolist() for vector in store.vectors(ids)],
            [document.metadata for document in batch],
            ids,
        )
        copied += len(batch)
        if on_progress is not None:
            on_progress(copied)


def _delete_strays(connection: Any, sql: Any, table: str, store: FAISSStore) -> int:
    """Delete the rows of an earlier copy whose documents the store no longer holds; return what is left."""
    name = sql.Identifier(table)
    kept = list(map(str, store.matching_ids(None)))
    connection.execute(sql.SQL("DELETE FROM {} WHERE NOT langchain_id = ANY(%s)").format(name), [kept])
    return int(connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone()[0])
