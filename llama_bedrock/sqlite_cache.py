"""A cache of answers in one SQLite file, for LangChain's ``cache=`` and for embeddings."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessage, message_to_dict, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation

from llama_bedrock.argument_kinds import refuses_wrong_kinds, refuses_wrong_kinds_in_methods

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (
  key BLOB PRIMARY KEY, value BLOB NOT NULL, made INTEGER NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kept_used ON kept (used);
"""
_APPLICATION_ID = 0x4C424361  # "LBCa", so that a file of another program is not taken for a cache
_WAIT_SECONDS = 10.0
_USED_SECONDS = 600  # a find is written down at most this often: reading stays reading
_LOOK_EVERY = 64  # writes between two looks at the size
_FULL = 0.9  # share of max_mb that is left when the oldest are removed


@refuses_wrong_kinds
@refuses_wrong_kinds_in_methods()
class SQLiteCache(BaseCache):
    """Keeps answers in one SQLite file: many threads and processes, bounded in size and age, no pickle.

    Answers are JSON, which can hold data alone: a file that somebody else has changed gives wrong answers
    at worst, it runs nothing. A full disk, a locked or a damaged file is logged as a warning, and the model
    is asked; a cache fails no call.

    Example:
        ```python
        cache = SQLiteCache("answers.db", max_mb=100, max_age=7 * 24 * 3600)
        llm = ChatLlamaBedrock(model="us.meta.llama3-3-70b-instruct-v1:0", cache=cache)
        ```

    Args:
        path: The file; it is made, with its folder, readable by its owner alone.
        max_mb: Size of the file in megabytes (10^6 bytes); the longest unused are removed first. Default 256.
        max_age: Seconds after which an answer is no longer used. Default: none.

    Raises:
        ValueError: A bound is not positive, or the file is something else than a cache.
        OSError: The file cannot be made.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, max_mb: float = 256.0, max_age: float | None = None
    ) -> None:
        for name, value in (("max_mb", max_mb), ("max_age", max_age)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.path = Path(path)
        self._max_bytes = max_mb * 1e6
        self._max_age = max_age
        self._lock = threading.Lock()
        self._writes = self._written = 0
        self._process = -1
        self._connection: sqlite3.Connection | None = None
        with self._lock:
            self._open()

    # -- LangChain's interface -----------------------------------------------------------------------------

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return the answers kept for a prompt and settings, None if there are none."""
        value = self.get(_key("answer", prompt, llm_string))
        try:
            return None if value is None else [_generation(kept) for kept in json.loads(value)]
        except (ValueError, KeyError, TypeError, RecursionError) as error:  # another version's, or damaged
            logger.warning(
                "an answer in the cache %s cannot be read, the model is asked: %s", self.path, error
            )
            return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep answers."""
        value = json.dumps([_record(generation) for generation in return_val], ensure_ascii=False)
        self.put({_key("answer", prompt, llm_string): value.encode()})

    def clear(self, **kwargs: Any) -> None:
        """Remove all that is kept, vectors too."""
        self._run(lambda connection: connection.execute("DELETE FROM kept"))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._process == os.getpid():
                self._closing()
            self._connection = None

    # -- vectors -------------------------------------------------------------------------------------------

    def vectors(self, model: str, texts: Sequence[str]) -> list[list[float] | None]:
        """Return the vectors kept for texts, in their order, None where there is none.

        Args:
            model: Names the embedding model and the settings that change its vectors.
            texts: The texts.
        """
        found = (self.get(_key("vector", model, text)) for text in texts)
        return [None if value is None else _vector(value) for value in found]

    def keep_vectors(self, model: str, texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> None:
        """Keep vectors of texts, in double precision.

        Args:
            model: As for `vectors`.
            texts: The texts.
            vectors: One per text.
        """
        pairs = zip(texts, vectors, strict=True)
        self.put({_key("vector", model, text): array("d", vector).tobytes() for text, vector in pairs})

    # -- the file ------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """Return what is kept under a key, unless it is too old."""
        now = time.time()  # with its fraction: what is kept in one second has an order too

        def read(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT value, made, used FROM kept WHERE key = ?", (key,)).fetchone()
            if row is None or (self._max_age is not None and now - row[1] >= self._max_age):
                return None
            if now - row[2] > _USED_SECONDS:
                connection.execute("UPDATE kept SET used = ? WHERE key = ?", (now, key))
            return bytes(row[0])

        return self._run(read)

    def put(self, values: dict[bytes, bytes]) -> None:
        """Keep values under keys, in one transaction."""
        now = time.time()  # with its fraction: what is kept in one second has an order too
        rows = [(key, value, now, now) for key, value in values.items()]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", rows)
                self._writes += len(rows)
                self._written += sum(map(len, values.values()))
                # A small file is looked at more often: 64 answers may be as much as it is to hold.
                if self._writes >= _LOOK_EVERY or self._written > self._max_bytes * (1 - _FULL) / 2:
                    self._writes = self._written = 0
                    self._shrink(connection, now)

        self._run(write)

    def _shrink(self, connection: sqlite3.Connection, now: float) -> None:
        if self._max_age is not None:
            connection.execute("DELETE FROM kept WHERE made <= ?", (now - self._max_age,))
        pages, free, page = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        size = (pages - free) * page
        if size <= self._max_bytes:
            return
        (held,) = connection.execute("SELECT total(length(value) + length(key)) FROM kept").fetchone()
        excess = (size - self._max_bytes * _FULL) * held / size  # of an answer's pages it fills a part
        kept = connection.execute("SELECT key, length(value) FROM kept ORDER BY used, made")
        gone = []
        for key, length in kept:
            if excess <= 0:
                break
            gone.append((key,))
            excess -= length + len(key)
        connection.executemany("DELETE FROM kept WHERE key = ?", gone)

    def _run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result | None:
        with self._lock:
            try:
                return work(self._open())
            except sqlite3.Error as error:
                logger.warning("the cache %s cannot be used, the model is asked: %s", self.path, error)
                return None

    def _open(self) -> sqlite3.Connection:
        # A connection must not be used on both sides of a fork.
        if self._connection is None or self._process != os.getpid():
            self._connection, self._process = _connect(self.path), os.getpid()
            self._closing = weakref.finalize(self, self._connection.close)
        return self._connection


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False, isolation_level=None)
    try:
        known = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if known != _APPLICATION_ID and tables:
            raise ValueError(f"{path} is a database of something else; give the cache a file of its own")
        if known != _APPLICATION_ID:
            connection.execute("PRAGMA auto_vacuum = FULL")  # before the first table, or it has no effect
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id={_APPLICATION_ID}; COMMIT;"
            )
        connection.execute("PRAGMA synchronous = NORMAL")  # a crash may lose the last answers, never the file
        connection.execute("PRAGMA trusted_schema = OFF")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise OSError(f"the cache {path} cannot be opened: {error}") from error
        raise ValueError(f"{path} is no SQLite file; give the cache a file of its own") from error
    except ValueError:
        connection.close()
        raise
    return connection


def _key(*parts: str) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _record(generation: Generation) -> dict[str, Any]:
    message = getattr(generation, "message", None)
    if isinstance(message, AIMessage):
        return {"message": message_to_dict(message), "info": generation.generation_info}
    return {"text": generation.text, "info": generation.generation_info}


def _generation(record: dict[str, Any]) -> Generation:
    if "text" in record:
        return Generation(text=record["text"], generation_info=record["info"])
    (message,) = messages_from_dict([record["message"]])
    if not isinstance(message, AIMessage):
        raise ValueError(f"a message of type {message.type} is no answer")
    return ChatGeneration(message=message, generation_info=record["info"])


def _vector(value: bytes) -> list[float]:
    numbers = array("d")
    numbers.frombytes(value)
    return numbers.tolist()
