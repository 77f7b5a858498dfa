"""Documents and metadata of a FAISSStore in one SQLite file, with the metadata ready for filters.

Every document has a key, an integer that grows with every insertion and is never used again. Scalars of its
metadata are also rows of ``fields`` (`metadata_fields.py`), clustered by tag and value: a comparison is one
range of that table.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from llama_bedrock.retrievers.arrays import Slots, np
from llama_bedrock.retrievers.filters import Comparison
from llama_bedrock.retrievers.store.metadata_fields import TAGS, conditions, field_rows

Row: TypeAlias = tuple[int, str, str, str]
"""Key, id, text, metadata as JSON."""

_SCHEMA = """
CREATE TABLE documents (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL, text TEXT NOT NULL
);
CREATE TABLE field_names (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE fields (tag INTEGER, value, key INTEGER, PRIMARY KEY (tag, value, key)) WITHOUT ROWID;
"""
_VARIABLES = 500
"""Parameters in one statement; SQLite's own limit is 999 in old builds."""


class Entry(NamedTuple):
    """A document to be written: id, text, metadata, and the metadata as JSON."""

    id: str
    text: str
    metadata: Mapping[str, Any]
    encoded: str


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
        self._idle: list[sqlite3.Connection] = []
        self._finalizer = weakref.finalize(self, _close_all, self._idle)

    @classmethod
    def temporary(cls, source: DocumentTable | None = None) -> DocumentTable:
        """A writable table in a temporary folder, empty or a copy; the folder goes with the object."""
        path = Path(tempfile.mkdtemp(prefix="llama-bedrock-")) / "documents.sqlite"
        if source is not None:
            source.copy_to(path)
        table = cls(path, writable=True)
        table._finalizer.detach()
        table._finalizer = weakref.finalize(table, _close_all, table._idle, path.parent, os.getpid())
        if source is None:
            with table._connection() as connection:
                connection.executescript(_SCHEMA)
        return table

    def _connect(self) -> sqlite3.Connection:
        query = "mode=rwc" if self.writable else "mode=ro&immutable=1"
        uri = f"{self.path.absolute().as_uri()}?{query}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        if self.writable:
            # The working file is private to this process and is copied, with fsync, when the store is saved.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
        return connection

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._pid != os.getpid():
                # After a fork, SQLite's connections belong to the parent.
                self._idle.clear()
                self._pid = os.getpid()
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    @property
    def is_own(self) -> bool:
        """Whether this process may change the file; a forked child shares its parent's."""
        return self.writable and self._owner == os.getpid()

    # Reading

    def rows(self, keys: Sequence[int]) -> dict[int, Row]:
        """The rows with these keys, by key."""
        with self._connection() as connection:
            found = _in_batches(
                connection, "SELECT key, id, text, metadata FROM documents WHERE key IN ({})", list(keys)
            )
            return {row[0]: row for row in found}

    def ids_of(self, keys: Sequence[int]) -> list[str]:
        """The ids of the documents with these keys."""
        with self._connection() as connection:
            found = _in_batches(connection, "SELECT id FROM documents WHERE key IN ({})", list(keys))
            return [row[0] for row in found]

    def keys_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Keys of the documents with these ids, by id; unknown ids are left out."""
        with self._connection() as connection:
            return dict(_in_batches(connection, "SELECT id, key FROM documents WHERE id IN ({})", list(ids)))

    def iterate(self, batch: int = 1000) -> Iterator[list[Row]]:
        """All rows in the order of their insertion, a batch at a time; none is held open between batches."""
        last = -1
        while True:
            with self._connection() as connection:
                rows = connection.execute(
                    "SELECT key, id, text, metadata FROM documents WHERE key > ? ORDER BY key LIMIT ?",
                    (last, batch),
                ).fetchall()
            if not rows:
                return
            yield rows
            last = rows[-1][0]

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
                yield last, json.loads(metadata)

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
            try:
                yield transaction
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                connection.execute("PRAGMA cache_size=-2000")
                connection.execute("PRAGMA shrink_memory")

    def copy_to(self, path: Path) -> None:
        """Write a compact copy that readers can open without locks; the caller syncs it to the disk."""
        path.unlink(missing_ok=True)
        with self._connection() as connection:
            target = sqlite3.connect(path, isolation_level=None)
            try:
                target.execute("PRAGMA synchronous=OFF")
                connection.backup(target, pages=-1)
                target.execute("PRAGMA journal_mode=DELETE")
            finally:
                target.close()


class Transaction:
    """An open change of a `DocumentTable`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def commit(self) -> None:
        """Make the change visible to readers."""
        self._connection.execute("COMMIT")

    def delete(self, keys: Iterable[int]) -> None:
        """Delete rows. Their fields stay until `purge`: keys are never used again, so they match nothing."""
        self._connection.executemany("DELETE FROM documents WHERE key = ?", ((key,) for key in keys))

    def delete_all(self) -> None:
        """Delete everything."""
        for table in ("documents", "fields", "field_names"):
            self._connection.execute(f"DELETE FROM {table}")

    def purge(self) -> None:
        """Delete the fields of deleted documents."""
        self._connection.execute("DELETE FROM fields WHERE key NOT IN (SELECT key FROM documents)")

    def insert(self, first_key: int, entries: Sequence[Entry]) -> None:
        """Insert documents under keys from first_key on."""
        self._connection.executemany(
            "INSERT INTO documents (key, id, text, metadata) VALUES (?, ?, ?, ?)",
            [(key, entry.id, entry.text, entry.encoded) for key, entry in enumerate(entries, first_key)],
        )
        tags = self._tags({name for entry in entries for name in entry.metadata})
        self._connection.executemany(
            "INSERT OR IGNORE INTO fields VALUES (?, ?, ?)", field_rows(first_key, entries, tags)
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


def _keys(connection: sqlite3.Connection, where: str, parameters: Sequence[Any]) -> Slots:
    # One text with all keys is read three times faster than as many rows.
    [joined] = connection.execute(
        f"SELECT group_concat(key) FROM fields WHERE {where}", parameters
    ).fetchone()
    keys: Slots = np.fromstring(joined or "", dtype=np.int64, sep=",")
    return keys


def _in_batches(connection: sqlite3.Connection, statement: str, values: list[Any]) -> Iterator[Any]:
    for start in range(0, len(values), _VARIABLES):
        part = values[start : start + _VARIABLES]
        yield from connection.execute(statement.format(",".join("?" * len(part))), part)


def _close_all(connections: list[sqlite3.Connection], folder: Path | None = None, owner: int = 0) -> None:
    while connections:
        connections.pop().close()
    if folder is not None and os.getpid() == owner:  # a forked child must not take the parent's files away
        shutil.rmtree(folder, ignore_errors=True)
