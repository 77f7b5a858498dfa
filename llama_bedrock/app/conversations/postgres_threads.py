"""What several servers that share conversations in PostgreSQL have to know of one another: which of them is
answering in which conversation.

The claim is an advisory lock of PostgreSQL, held by one connection of the process: it ends with the process,
however that ends, so that no conversation stays locked by a server that is gone.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_KEY = "hashtextextended('llama-bedrock ' || %s, 0)"
_NEWEST = "SELECT thread_id, MAX(checkpoint_id) FROM checkpoints WHERE checkpoint_ns = '' GROUP BY 1"


class PostgresThreads:
    """The conversations of a LangGraph checkpointer in PostgreSQL.

    Args:
        connection: A psycopg `AsyncConnection`, or an `AsyncConnectionPool`, of which one connection is kept.
    """

    def __init__(self, connection: Any) -> None:
        self._given = connection
        self._kept: Any = None
        self._order = asyncio.Lock()

    async def take(self, name: str) -> bool:
        """Claim a conversation; False if another process has it."""
        return bool((await self._rows(f"SELECT pg_try_advisory_lock({_KEY})", (name,)))[0][0])

    async def give(self, name: str) -> None:
        """Give a claim back."""
        await self._rows(f"SELECT pg_advisory_unlock({_KEY})", (name,))

    async def newest(self) -> dict[str, str]:
        """The id of the newest checkpoint of every thread."""
        return dict(await self._rows(_NEWEST))

    async def aclose(self) -> None:
        """Give the connection back, and with it the claims."""
        kept, self._kept = self._kept, None
        if kept is not None and kept is not self._given:
            await kept.close()
            await self._given.putconn(kept)

    async def _rows(self, query: str, values: tuple[str, ...] = ()) -> list[Any]:
        from psycopg.rows import tuple_row

        async with self._order:
            if self._kept is not None and self._kept.closed:  # its claims went with it
                await self.aclose()
            if self._kept is None:
                pooled = hasattr(self._given, "getconn")
                self._kept = await self._given.getconn() if pooled else self._given
            async with self._kept.cursor(row_factory=tuple_row) as cursor:
                await cursor.execute(query, values)
                return list(await cursor.fetchall())


def postgres_threads(checkpointer: BaseCheckpointSaver[str] | None) -> PostgresThreads | None:
    """The conversations of a checkpointer, if it keeps them in PostgreSQL."""
    module = sys.modules.get("langgraph.checkpoint.postgres.aio")
    if module is None or not isinstance(checkpointer, module.AsyncPostgresSaver):
        return None
    return PostgresThreads(checkpointer.conn)
