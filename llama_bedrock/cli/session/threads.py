"""Where conversations are kept: LangGraph's SQLite checkpointer, in one file of the user's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from llama_bedrock._extras import require
from llama_bedrock.cli.user_folders import conversations_file

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_BUSY_SECONDS = 10.0  # how long to wait for another process that writes


@asynccontextmanager
async def open_memory(*, saved: bool) -> AsyncIterator[BaseCheckpointSaver[str]]:
    """A checkpointer while the block lasts.

    Args:
        saved: True for the file, False for one that is forgotten with the process.

    Raises:
        ImportError: The extra ``agents`` is not installed.
        OSError: The file cannot be written, or is no database.
    """
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
