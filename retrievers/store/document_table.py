"""Documents and metadata of a FAISSStore in one SQLite file, with the metadata ready for filters.

The file may come from a stranger: it must have exactly our tables, which leaves no views or triggers to run,
and every statement has limits (https://sqlite.org/security.html).

Every document has a key, an integer that grows with every insertion and is never used again. Scalars of its
metadata are also rows of ``fields`` (`metadata_fields.py`), clustered by tag and value: a comparison is one
range of that table.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from llama_bedrock.retrievers.arrays import Slots, np
from llama_bedrock.retrievers.filters import Comparison
from llama_bedrock.retrievers.store.generations import StoreDamagedError
from llama_bedrock.retrievers.store.metadata_fields import TAGS, conditions, field_rows
from llama_bedrock.retrievers.store.working_folder import WorkingFolder

Row: TypeAlias = tuple[int, str, str, str]
"""Key, id, text, metadata as JSON."""

_SCHEMA = """
CREATE TABLE documents (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL, text TEXT NOT NULL
);
CREATE TABLE field_names (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE fields (tag INTEGER, value, key INTEGER, PRIMARY KEY (tag, value, key)) WITHOUT ROWID;
"""
_READING_SECONDS, _WRITING_SECONDS = 60.0, 600.0
"""What a statement may take, before it counts as one that a damaged file keeps from ending."""
_LONGEST = 2**28
"""Bytes of a text, or of the list of keys that a comparison finds: a damaged file may tell of any length."""
_STEPS = 100_000
"""Steps of SQLite's machine between two looks at the clock: some milliseconds."""
_VARIABLES = 500
"""Parameters in one statement; SQLite's own limit is 999 in old builds."""


_decode = json.JSONDecoder().raw_decode


class Entry(NamedTuple):
    """A document to be written: id, text, metadata, and the metadata as JSON."""

    id: str
    text: str
    metadata: Mapping[str, Any]
    encoded: str


class _Clock:
    """Stops what takes too long."""

    def __init__(self) -> None:
        self._end = math.inf

    def start(self, seconds: float) -> None:
        """Count anew."""
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether the time has passed: SQLite asks, and gives up the statement then."""
        return time.monotonic() > self._end


class _Connection(sqlite3.Connection):
    """A connection that trusts neither the schema nor the sizes in its file."""

    clock: _Clock

    def prepare(self, *, writable: bool) -> None:
        """Set the limits; a working file's journal is light, as nobody else reads it."""
        self.clock = _Clock()
        self.set_progress_handler(self.clock.is_over, _STEPS)
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        self.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
        self.execute("PRAGMA trusted_schema=OFF")
        self.execute("PRAGMA cell_size_check=ON")
        self.execute("PRAGMA mmap_size=0")
        if writable:
            # The working file is private to this process and is copied, with fsync, when the store is saved.
            self.execute("PRAGMA journal_mode=WAL")
            self.execute("PRAGMA synchronous=OFF")


_inherited: list[_Connection] = []
_TABLES = "SELECT type, name, tbl_name, sql FROM sqlite_schema"


@cache
def _our_tables() -> set[tuple[Any, ...]]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(_SCHEMA)
        return set(fresh.execute(_TABLES))


class DocumentTable:
    """The SQLite side of a store: rows by key, and keys by id or by comparison.

    Readers use a connection each and never wait; one thread at a time may write (the store sees to it).

    Args:
        path: The file.
        writable: False opens a finished file that nobody will change: no locks, no journal.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self.writable = writable
        self._owner = self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._finalizer = weakref.finalize(self, _close_all, self._idle)
        self._folder: WorkingFolder | None = None

    @classmethod
    def temporary(cls, source: DocumentTable | None = None) -> DocumentTable:
        """A writable table in a temporary folder, empty or a copy; the folder goes with the object."""
        folder = WorkingFolder()
        path = folder.path / "documents.sqlite"
        if source is not None:
            source.copy_to(path)
        table = cls(path, writable=True)
        table._folder = folder
        table._finalizer.detach()
        table._finalizer = weakref.finalize(table, _close_all, table._idle, folder)
        if source is None:
            with table._connection() as connection:
                connection.executescript(_SCHEMA)
        return table

    def check(self) -> None:
        """Refuse a file with other tables than ours, or with anything besides tables.

        Raises:
            StoreDamagedError: It is one, or no database.
        """
        with self._connection() as connection:
            found = set(connection.execute(_TABLES).fetchall())
            [encoding] = connection.execute("PRAGMA encoding").fetchone()
            if found != _our_tables() or encoding != "UTF-8":
                raise StoreDamagedError(f"{self.path} does not have exactly the tables of a FAISSStore")

    def _connect(self) -> _Connection:
        query = "mode=rwc" if self.writable else "mode=ro&immutable=1"
        uri = f"{self.path.absolute().as_uri()}?{query}"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        try:
            connection.prepare(writable=self.writable)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        with self._lock:
            if self._pid != os.getpid():
                # After a fork, SQLite's connections belong to the parent: they are neither used nor closed.
                _inherited.extend(self._idle)
                self._idle.clear()
                self._pid = os.getpid()
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or self._connect()
            connection.clock.start(_READING_SECONDS)
            yield connection
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._explained(error) from error
            raise
        with self._lock:
            self._idle.append(connection)

    def _explained(self, error: sqlite3.Error) -> Exception:
        """A full or failing disk is one thing, a damaged file another."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        if self.writable and code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            return OSError(errno.EIO, str(error), str(self.path))
        if isinstance(error, sqlite3.ProgrammingError):
            return error
        return StoreDamagedError(f"{self.path} is damaged ({error}): restore the store, or save it again")

    @property
    def is_own(self) -> bool:
        """Whether this process may change the file; a forked child shares its parent's."""
        return self.writable and self._owner == os.getpid()

    # Reading

    def rows(self, keys: Sequence[int]) -> dict[int, Row]:
        """The rows with these keys, by key."""
        statement = "SELECT key, id, text, metadata FROM documents WHERE key IN ({})"
        with self._connection() as connection:
            return {row[0]: row for row in _in_batches(connection, statement, list(keys))}

    def ids_by_key(self, keys: Sequence[int]) -> dict[int, str]:
        """The ids of the documents with these keys, by key."""
        with self._connection() as connection:
            return dict(
                _in_batches(connection, "SELECT key, id FROM documents WHERE key IN ({})", list(keys))
            )

    def keys_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Keys of the documents with these ids, by id; unknown ids are left out."""
        with self._connection() as connection:
            return dict(_in_batches(connection, "SELECT id, key FROM documents WHERE id IN ({})", list(ids)))

    def rows_of(self, ids: Sequence[str]) -> list[Row]:
        """The rows of the documents with these ids."""
        statement = "SELECT key, id, text, metadata FROM documents WHERE id IN ({})"
        with self._connection() as connection:
            return _in_batches(connection, statement, list(ids))

    def rows_after(self, key: int) -> list[Row]:
        """The next 1,000 rows in the order of their keys, which is that of their insertion."""
        with self._connection() as connection:
            query = "SELECT key, id, text, metadata FROM documents WHERE key > ? ORDER BY key LIMIT 1000"
            return connection.execute(query, (key,)).fetchall()

    def iterate_metadata(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Key and metadata of every document."""
        last = -1
        while True:
            with self._connection() as connection:
                rows = connection.execute(
                    "SELECT key, metadata FROM documents WHERE key > ? ORDER BY key LIMIT 1000", (last,)
                ).fetchall()
            if not rows:
                return
            for last, metadata in rows:
                yield last, read_metadata(metadata)

    def matching(self, comparison: Comparison, bound: Comparison | None = None) -> Slots:
        """Keys that satisfy a comparison, or a range, and perhaps keys of deleted documents.

        Its arguments are those of `metadata_fields.conditions`.
        """
        with self._connection() as connection:
            query = "SELECT number FROM field_names WHERE name = ?"
            field = connection.execute(query, (comparison.key,)).fetchone()
            parts = [] if field is None else conditions(comparison, bound, TAGS * field[0])
            keys = [_keys(connection, where, values) for where, values in parts]
        result: Slots = np.concatenate(keys) if keys else np.empty(0, np.int64)
        return result

    # Writing

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One change, all or nothing: what the block raises undoes it. The caller commits."""
        with self._connection() as connection:
            connection.execute("PRAGMA cache_size=-16000")  # KiB; scattered rows of fields stay in reach
            connection.execute("BEGIN IMMEDIATE")
            transaction = Transaction(connection)
            connection.clock.start(_WRITING_SECONDS)
            try:
                yield transaction
            finally:
                connection.clock.start(_WRITING_SECONDS)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                connection.execute("PRAGMA cache_size=-2000")
                connection.execute("PRAGMA shrink_memory")

    def copy_to(self, path: Path) -> None:
        """Write a compact copy that readers can open without locks; the caller syncs it to the disk."""
        path.unlink(missing_ok=True)
        with self._connection() as connection, closing(sqlite3.connect(path, isolation_level=None)) as target:
            target.execute("PRAGMA synchronous=OFF")
            connection.backup(target, pages=-1)
            target.execute("PRAGMA journal_mode=DELETE")


def read_metadata(encoded: str) -> dict[str, Any]:
    """Metadata as it was before `encode_metadata`.

    Raises:
        StoreDamagedError: It is no JSON object.
    """
    try:
        found, end = _decode(encoded)  # as `json.loads`, in half its time where nothing stands around it
        if type(found) is dict and end == len(encoded):
            return found
        return dict(json.loads(encoded))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreDamagedError(f"metadata of a document is damaged ({error}): restore the store") from None


def as_entry(row: Row) -> Entry:
    """A row to be written into another table."""
    _, id_, text, metadata = row
    return Entry(id_, text, read_metadata(metadata), metadata)


class Transaction:
    """An open change of a `DocumentTable`."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def commit(self) -> None:
        """Make the change visible to readers."""
        self._connection.clock.start(_WRITING_SECONDS)
        self._connection.execute("COMMIT")

    def delete(self, keys: Iterable[int]) -> None:
        """Delete rows. Their fields stay until `purge`: keys are never used again, so they match nothing."""
        self._connection.executemany("DELETE FROM documents WHERE key = ?", ((key,) for key in keys))

    def purge(self) -> None:
        """Delete the fields of deleted documents."""
        self._connection.execute("DELETE FROM fields WHERE key NOT IN (SELECT key FROM documents)")

    def insert(self, keys: Sequence[int], entries: Sequence[Entry]) -> None:
        """Insert documents under these keys."""
        self._connection.executemany(
            "INSERT INTO documents (key, id, text, metadata) VALUES (?, ?, ?, ?)",
            [(key, e.id, e.text, e.encoded) for key, e in zip(keys, entries, strict=True)],
        )
        tags = self._tags({name for entry in entries for name in entry.metadata})
        self._connection.executemany(
            "INSERT OR IGNORE INTO fields VALUES (?, ?, ?)", field_rows(keys, entries, tags)
        )

    def _tags(self, names: Iterable[str]) -> dict[str, int]:
        """The first tag of each field name; new names are entered."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO field_names (name) VALUES (?)", ((name,) for name in sorted(names))
        )
        return {
            name: TAGS * number
            for number, name in self._connection.execute("SELECT number, name FROM field_names")
        }


def _keys(connection: _Connection, where: str, parameters: Sequence[Any]) -> Slots:
    # One text with all keys is read three times faster than as many rows.
    joined, count = connection.execute(
        f"SELECT group_concat(key), count(*) FROM fields WHERE {where}", parameters
    ).fetchone()
    try:
        keys: Slots = np.fromstring(joined or "", dtype=np.int64, sep=",")
    except (ValueError, DeprecationWarning):
        keys = np.empty(0, np.int64)
    if len(keys) != count:
        raise sqlite3.DatabaseError("a key is no number")
    return keys


def _in_batches(connection: _Connection, statement: str, values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for start in range(0, len(values), _VARIABLES):
        part = values[start : start + _VARIABLES]
        found += connection.execute(statement.format(",".join("?" * len(part))), part).fetchall()
    return found


def _close_all(connections: list[_Connection], folder: WorkingFolder | None = None) -> None:
    while connections:
        connections.pop().close()
    if folder is not None:
        folder.delete()
