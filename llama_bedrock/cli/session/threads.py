"""Where conversations are kept: LangGraph's checkpointers, in one file of the user's or in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from llama_bedrock._extras import require
from llama_bedrock.cli.user_folders import conversations_file

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_SETUP_LOCK = 0x4C6C616D61  # any number of ours
_BUSY_SECONDS = 10.0  # how long to wait for another process that writes


@asynccontextmanager
async def open_memory(*, saved: bool, address: str | None = None) -> AsyncIterator[BaseCheckpointSaver[str]]:
    """A checkpointer while the block lasts.

    Args:
        saved: True for the file, False for one that is forgotten with the process.
        address: Of a PostgreSQL database, ``postgresql://…``, instead of the file.

    Raises:
        ImportError: The extra ``agents``, or ``postgres``, is not installed.
        OSError: The file cannot be written, or is no database; or the database cannot be reached.
    """
    if address is not None:
        async with _postgres(address) as kept:
            yield kept
        return
    if not saved:
        yield require("langgraph.checkpoint.memory", "agents").InMemorySaver()
        return
    saver = require("langgraph.checkpoint.sqlite.aio", "agents").AsyncSqliteSaver
    sqlite = require("aiosqlite", "agents")
    path = conversations_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)  # conversations are private
    except OSError as error:
        advice = "set XDG_DATA_HOME to a folder that can be written"
        raise OSError(f"cannot keep conversations in {path.parent}: {error.strerror}; {advice}") from error
    async with sqlite.connect(path, timeout=_BUSY_SECONDS) as connection:
        memory = saver(connection)
        try:
            await memory.setup()
        except sqlite.Error as error:
            raise OSError(f"cannot keep conversations in {path}: {error}; move the file away") from error
        yield memory


@asynccontextmanager
async def _postgres(address: str) -> AsyncIterator[BaseCheckpointSaver[str]]:
    """A checkpointer that several servers can share."""
    saver = require("langgraph.checkpoint.postgres.aio", "postgres").AsyncPostgresSaver
    psycopg, pools = require("psycopg", "postgres"), require("psycopg_pool", "postgres")
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": psycopg.rows.dict_row}
    try:
        where = psycopg.conninfo.conninfo_to_dict(address, connect_timeout=_BUSY_SECONDS)
        place = f"{where.get('host', 'this machine')}/{where.get('dbname', '')}"  # without the password
        async with await psycopg.AsyncConnection.connect(address, **options) as connection:
            # Two servers that start together would make the tables twice.
            await connection.execute(f"SELECT pg_advisory_lock({_SETUP_LOCK})")
            await saver(connection).setup()
    except psycopg.ProgrammingError as error:
        raise ValueError("--conversations wants postgresql://user:password@host/database") from error
    except psycopg.Error as error:
        raise OSError(f"cannot keep conversations in PostgreSQL at {place}: {error}") from error
    pool_of = partial(pools.AsyncConnectionPool, min_size=1, max_size=20, open=False)
    async with pool_of(address, kwargs=options) as pool:
        yield saver(pool)
