"""Vectors and documents kept in step: what a FAISSStore does, without LangChain and without embeddings.

A collection is made of parts, oldest first: each has some documents, their vectors, and which of them are
deleted since. A part that was saved never changes but for that, so a change costs what it changes, however
large the store is. New documents go into a part in memory. Parts are joined when there are too many of them
to search, and rewritten when much of them is deleted (`_restructure`).
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

from llama_bedrock.retrievers.arrays import Floats, Mask, Slots, np
from llama_bedrock.retrievers.joining import grouped
from llama_bedrock.retrievers.store.document_table import DocumentTable, Entry, Row, as_entry
from llama_bedrock.retrievers.store.generations import Generation, StoreDamagedError
from llama_bedrock.retrievers.store.locks import ReadWriteLock
from llama_bedrock.retrievers.store.slots import FilterLike, Selector, SlotTable
from llama_bedrock.retrievers.store.vector_index import (
    COMPARED_FOR_EACH,
    FOR_EACH_OF_MANY,
    IndexSettings,
    Structure,
    VectorIndex,
    as_units,
    normalised,
)

Vectors: TypeAlias = "list[Floats] | Callable[[], list[Floats]]"
"""Vectors of new documents in some arrays, or what gives them."""

logger = logging.getLogger(__name__)

_ADDED_AT_ONCE = {"flat": 4096, "fastscan": 4096, "hnsw": 1024}
"""Vectors added while searches wait: 10 to 80 ms at 384 dimensions."""
_LARGE = 1_000
"""Documents in a change that leaves much freed memory behind."""
_FEW, _OVERFETCHED = 8, 128
"""Dead slots that a scan may just find and drop, at first and then, instead of testing every slot."""
_FILLED_AT_ONCE = 131_072
"""Documents of a new collection whose codes are learnt once, of all: the vectors lie in memory twice then."""
_MERGED = 4_096
"""Vectors of saved parts that a search without a filter goes through as if they were one part: a copy of some
megabytes, and one call of FAISS instead of several (30 µs each)."""
_CODED = 2_000
"""Documents of a part beside a large one that is scanned by codes, from which on it has the same codes."""
_DEAD_SHARE = {"flat": 0.02, "fastscan": 0.1, "hnsw": 0.3}
"""Share of dead slots that makes compaction of a part in memory pay, by what it costs: copying the vectors,
or building a graph. When a saved part is written again, `joining` tells."""


class Hit(NamedTuple):
    """A document found.

    Attributes:
        row: Its key, id, text and metadata as JSON.
        score: Cosine or inner product (greater is nearer), or Euclidean distance (less is nearer).
    """

    row: Row
    score: float


@dataclass(eq=False)
class Part:
    """Some documents of a collection.

    Attributes:
        documents: The SQLite side; it may still hold documents that are deleted.
        slots: Which document has which vector, and which are deleted.
        index: The FAISS side; None while there is no vector.
        number: Names its files in a generation; None: it is not saved yet.
        generation: Where they are; it stays as long as this refers to it.
    """

    documents: DocumentTable
    slots: SlotTable
    index: VectorIndex | None = None
    number: int | None = None
    generation: Generation | None = None

    @classmethod
    def empty(cls, next_key: int) -> Part:
        """A part in memory, for documents with keys from this one on."""
        slots = SlotTable()
        slots.next_key = next_key
        return cls(DocumentTable.temporary(), slots)

    @cached_property
    def selector(self) -> Selector:
        """Evaluates filters on it; deleted after every change."""
        return Selector(self.documents, self.slots)

    @property
    def is_open(self) -> bool:
        """Whether documents may be added to it."""
        return self.number is None and self.documents.is_own

    def keys_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Keys of its living documents with these ids."""
        found = self.documents.keys_of(ids) if self.slots.alive_count else {}
        living = self._living(list(found.values()))
        return {id_: key for id_, key in found.items() if key in living}

    def rows_of(self, ids: Sequence[str]) -> dict[str, Row]:
        """Its living documents with these ids, by id."""
        found = self.documents.rows_of(ids) if self.slots.alive_count else []
        living = self._living([row[0] for row in found])
        return {row[1]: row for row in found if row[0] in living}

    def rows_after(self, key: int) -> tuple[list[Row], int | None]:
        """Some living rows with greater keys, and the key to go on from; None at the end."""
        rows = self.documents.rows_after(key)
        living = self._living([row[0] for row in rows])
        return [row for row in rows if row[0] in living], rows[-1][0] if rows else None

    def _living(self, keys: list[int]) -> set[int]:
        return set(self.slots.keys[self.slots.slots_of(np.array(keys, np.int64))].tolist())

    def changed(self) -> None:
        """Forget what was found out about it before a change."""
        self.__dict__.pop("selector", None)

    def search(self, queries: Floats, k: int, filter_: FilterLike, for_each: int) -> tuple[Floats, Slots]:
        """Scores and keys of the k nearest documents of each query, nearest first; key 0 where there are
        fewer, and perhaps keys below 0, of deleted ones, besides them.
        """
        index, keys = self.index, self.slots.keys
        nothing = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if index is None or not self.slots.alive_count:
            return nothing
        dead = self.slots.dead
        is_filtered = filter_ is not None and filter_ != {}
        is_adding = len(index) > self.slots.count
        if not is_filtered and not is_adding and not (dead and index.structure.kind == "hnsw"):
            # As many of the dead are among the nearest as of all, or somewhat more.
            likely = _FEW + 2 * k * dead // self.slots.alive_count
            for spare in dict.fromkeys((min(dead, likely), min(dead, likely + _OVERFETCHED))):
                scores, slots = index.search(queries, k + spare, None, for_each)
                found = _keys(keys, slots)
                wanted = min(k, self.slots.alive_count)
                if dead <= spare or ((found > 0).sum(axis=1) >= wanted).all():
                    return scores, found
        selection = self.selector.select(filter_ if is_filtered else None)
        if not selection.count:
            return nothing
        scores, slots = index.search(queries, k, selection, for_each)
        return scores, _keys(keys, slots)


def _keys(keys: Slots, slots: Slots) -> Slots:
    found: Slots = np.where(slots >= 0, keys[slots], 0) if len(keys) else np.zeros_like(slots)
    return found


class Collection:
    """Documents with their vectors, searched and changed as one.

    Any number of threads may search; changes wait for each other, and stop searches only while they take
    effect. A change that fails leaves no trace.

    Args:
        settings: How vectors are compared, stored and searched.
        parts: Where the documents are; default: there are none.
        dimension: Length of a vector; None until the first one tells.
        next_key: Key of the next document.
        version: Number of changes so far.
    """

    def __init__(
        self,
        settings: IndexSettings,
        parts: Sequence[Part] = (),
        dimension: int | None = None,
        next_key: int = 1,
        version: int = 0,
    ) -> None:
        self.settings = settings
        self.parts = list(parts)
        self.dimension = dimension
        self.next_key = next_key
        self.version = version
        self.changing = threading.RLock()
        self._lock = ReadWriteLock()
        self._view: list[Part] | None = None
        self._merged: tuple[list[Part], VectorIndex] | None = None
        self._is_filling = False

    def __len__(self) -> int:
        return sum(part.slots.alive_count for part in self.parts)

    @property
    def index(self) -> VectorIndex | None:
        """The vectors of the oldest part, which has the most."""
        return self.parts[0].index if self.parts else None

    # Searching

    def search(self, queries: Floats, k: int, filter_: FilterLike = None) -> list[list[Hit]]:
        """The k nearest documents of each query that the filter matches, nearest first."""
        with self._lock.read():
            return self._search(queries, k, filter_)

    def search_keys(
        self, queries: Floats, k: int, filter_: FilterLike = None
    ) -> list[list[tuple[int, float]]]:
        """As `search`: keys and scores alone, where few of the documents are shown."""
        with self._lock.read():
            return self._nearest(queries, k, filter_, FOR_EACH_OF_MANY)

    def search_diverse(
        self, query: Floats, k: int, fetch_k: int, balance: float, filter_: FilterLike = None
    ) -> list[Hit]:
        """Some of the fetch_k nearest documents, each near the query and unlike those before it."""
        from langchain_core.vectorstores.utils import maximal_marginal_relevance

        with self._lock.read():
            [hits] = self._search(query, max(fetch_k, k), filter_)
            if not hits:
                return []
            found = self._vectors([hit.row[0] for hit in hits])
        chosen = maximal_marginal_relevance(query[0], list(found), lambda_mult=balance, k=k)
        return [hits[number] for number in chosen]

    def _search(self, queries: Floats, k: int, filter_: FilterLike) -> list[list[Hit]]:
        living = self._nearest(queries, k, filter_)
        rows = self._rows({key for hits in living for key, _ in hits})
        try:
            return [[Hit(rows[key], score) for key, score in hits] for hits in living]
        except KeyError as error:
            raise _without_document(error) from None

    def _nearest(
        self, queries: Floats, k: int, filter_: FilterLike, for_each: int = COMPARED_FOR_EACH
    ) -> list[list[tuple[int, float]]]:
        """Keys and scores of the k nearest documents of each query."""
        if self.dimension is None or not len(self):
            return [[] for _ in queries]
        if queries.shape[1] != self.dimension:
            raise ValueError(
                f"the query has {queries.shape[1]} dimensions and the store {self.dimension}: "
                "it was made with another embedding model"
            )
        queries = as_units(queries) if self.settings.metric == "cosine" else queries
        queries = np.ascontiguousarray(queries, np.float32)
        is_filtered = filter_ is not None and filter_ != {}
        parts = self.parts if is_filtered else self._viewed()
        found = [part.search(queries, k, filter_, for_each) for part in parts]
        scores, keys = found[0] if len(found) == 1 else self._joined(found)
        if self.settings.metric == "l2":
            scores = np.sqrt(np.maximum(scores, 0))
        return [
            [(key, score) for key, score in zip(*pair, strict=True) if key > 0][:k]
            for pair in zip(keys.tolist(), scores.tolist(), strict=True)
        ]

    def _viewed(self) -> list[Part]:
        """The parts, with those as one that are saved, small, and beside each other."""
        if self._view is None:
            saved = [part for part in self.parts if part.number is not None]
            first, count = len(saved), 0
            while first and _is_merged(saved[first - 1], saved[-1], count):
                first -= 1
                count += saved[first].slots.count
            small = saved[first:]
            self._view = self.parts if len(small) < 2 else [*saved[:first], self._as_one(small)]
            self._view += self.parts[len(saved) :] if len(small) > 1 else []
        return self._view

    def _as_one(self, parts: list[Part]) -> Part:
        if self._merged is None or self._merged[0] != parts:
            pairs = [(part.index, np.ones(part.slots.count, np.bool_)) for part in parts if part.index]
            (first, every), *others = pairs
            self._merged = parts, first.rebuilt(every, first.structure, others)
        slots = SlotTable(np.concatenate([part.slots.keys for part in parts]))
        return Part(parts[0].documents, slots, self._merged[1], 0)

    def _joined(self, found: Sequence[tuple[Floats, Slots]]) -> tuple[Floats, Slots]:
        """What several parts found, nearest first."""
        scores = np.concatenate([scores for scores, _ in found], axis=1)
        keys = np.concatenate([keys for _, keys in found], axis=1)
        order = np.argsort(scores if self.settings.metric == "l2" else -scores, axis=1, kind="stable")
        return np.take_along_axis(scores, order, 1), np.take_along_axis(keys, order, 1)

    def _rows(self, keys: set[int]) -> dict[int, Row]:
        """Rows by key."""
        rows: dict[int, Row] = {}
        for part, own in self._by_part(keys):
            rows |= part.documents.rows(own)
        return rows

    def _by_part(self, keys: set[int]) -> Iterator[tuple[Part, list[int]]]:
        """Each part with its own of these keys, which rise from part to part."""
        for part in reversed(self.parts):
            if not keys:
                return
            first = part.slots.first_key
            own = {key for key in keys if key >= first}
            keys = keys - own
            if own:
                yield part, list(own)

    # Reading

    def rows(self, keys: Sequence[int]) -> dict[int, Row]:
        """Rows of the living documents among these keys, by key."""
        with self._lock.read():
            living = self._living(keys)
            found = self._rows(set(living))
        for key in living:
            if key not in found:
                raise _without_document(key)
        return found

    def get(self, ids: Sequence[str]) -> list[Row]:
        """The rows with these ids, in the order of the ids; unknown ones are left out, repeated ones come
        once.
        """
        unique = list(dict.fromkeys(ids))
        rows: dict[str, Row] = {}
        with self._lock.read():
            for part in self.parts:
                rows |= part.rows_of(unique)
        return [rows[id_] for id_ in unique if id_ in rows]

    def _keys_of(self, ids: Sequence[str]) -> dict[str, int]:
        keys: dict[str, int] = {}
        for part in self.parts:
            keys |= part.keys_of(ids)
        return keys

    def matching_keys(self, filter_: FilterLike) -> Slots:
        """The keys of all documents that a filter matches, rising."""
        with self._lock.read():
            found = [part.slots.keys[part.selector.select(filter_).slots] for part in self.parts]
        return np.concatenate([np.empty(0, np.int64), *found])

    def matching_ids(self, filter_: FilterLike) -> set[str]:
        """The ids of all documents that a filter matches."""
        ids: set[str] = set()
        with self._lock.read():
            for part in self.parts:
                keys = part.slots.keys[part.selector.select(filter_).slots]
                ids.update(part.documents.ids_by_key(keys.tolist()).values())
        return ids

    def vectors(self, ids: Sequence[str]) -> Floats:
        """The stored vectors of documents, one per row.

        Raises:
            KeyError: An id is unknown.
        """
        with self._lock.read():
            keys = self._keys_of(list(dict.fromkeys(ids)))
            unknown = [id_ for id_ in ids if id_ not in keys]
            if unknown:
                raise KeyError(f"no document has the id {unknown[0]!r}")
            return self._vectors([keys[id_] for id_ in ids])

    def living_vectors(self, keys: Sequence[int]) -> Floats:
        """The stored vectors of the living documents among these keys."""
        with self._lock.read():
            vectors, missing = self._vectors_of(keys)
        return vectors[~missing] if missing.any() else vectors

    def _living(self, keys: Sequence[int]) -> list[int]:
        wanted = np.array(keys, np.int64)
        found: list[int] = wanted[self._alive(wanted)].tolist()
        return found

    def _vectors(self, keys: Sequence[int]) -> Floats:
        vectors, missing = self._vectors_of(keys)
        if missing.any():
            raise StoreDamagedError("some documents have no vector: restore the store")
        return vectors

    def _vectors_of(self, keys: Sequence[int]) -> tuple[Floats, Mask]:
        """The vectors of documents, and which of these are not there."""
        wanted = np.array(keys, np.int64)
        vectors = np.empty((len(keys), self.dimension or 0), np.float32)
        missing = np.ones(len(keys), np.bool_)
        for part in self.parts:
            places = part.slots.places(wanted)
            own = np.flatnonzero(places >= 0)
            if len(own) and part.index is not None:
                vectors[own] = part.index.vectors(places[own])
                missing[own] = False
        return vectors, missing

    def iterate(self, after: int = 0) -> Iterator[Row]:
        """All rows in the order of their insertion; a change meanwhile may or may not be seen.

        Args:
            after: Only those whose key is greater.
        """
        for part in list(self.parts):
            last: int | None = after
            while last is not None:
                with self._lock.read():
                    rows, last = part.rows_after(last)
                yield from rows

    def alive(self, keys: Slots) -> Mask:
        """Which of these keys belong to documents that are not deleted."""
        with self._lock.read():
            return self._alive(keys)

    def _alive(self, keys: Slots) -> Mask:
        found: Mask = np.zeros(len(keys), np.bool_)
        are_rising = bool((keys[1:] > keys[:-1]).all())
        for part in self.parts:
            ends = (part.slots.first_key, part.slots.next_key)
            own = slice(*np.searchsorted(keys, ends)) if are_rising else slice(None)
            found[own] |= part.slots.holds(keys[own])
        return found

    # Changing

    def upsert(self, entries: Sequence[Entry], batches: Vectors) -> None:
        """Add documents; those whose id is known are replaced.

        Args:
            entries: The documents, each id once.
            batches: Their vectors, in as many arrays as is convenient; emptied while they are added. Of a
                function, what it gives once the documents are written: another thread makes them meanwhile.

        Raises:
            ValueError: A vector's length differs from the store's.
        """
        if not entries:
            return
        with self.changing:
            part = self._open_part()
            with part.documents.transaction() as change:
                replaced = list(self._keys_of([entry.id for entry in entries]).values())
                change.delete(replaced)
                change.insert(range(part.slots.next_key, part.slots.next_key + len(entries)), entries)
                is_seen = part in self.parts
                if not is_seen:
                    change.commit()  # while the vectors are made; if anything fails, the part goes whole
                batches = batches() if callable(batches) else batches
                dimension = self._checked_dimension(batches)
                index = part.index or self._new_index(dimension, batches)
                try:
                    self._add_vectors(index, batches)
                    with self._lock.write():
                        if is_seen:
                            change.commit()
                        else:
                            self.parts = [*self.parts, part]
                        part.index, self.dimension = index, dimension
                        part.slots.append(len(entries))
                        self.next_key = part.slots.next_key
                        self._changed(replaced)
                except BaseException:
                    self._forget(part, index)
                    raise
            self._restructure()
        if len(entries) >= _LARGE:
            _give_back_freed_memory()

    def _open_part(self) -> Part:
        """The part that new documents go into: the newest, if it is in memory, or another."""
        newest = self.parts[-1] if self.parts else None
        if newest is None or newest.number is not None or not newest.documents.writable:
            return Part.empty(self.next_key)
        if not newest.documents.is_own:  # a parent process's, which goes on with it
            copy = DocumentTable.temporary(newest.documents)
            with self._lock.write():
                newest.documents = copy
                newest.changed()
        return newest

    def _new_index(self, dimension: int, batches: list[Floats]) -> VectorIndex:
        """One for the first documents of a part; those of an empty collection tell how it is made."""
        count = sum(map(len, batches))
        if self.parts or self._is_filling or count > _FILLED_AT_ONCE:
            return VectorIndex(dimension, self.settings)
        index = VectorIndex(dimension, self.settings, self.settings.structure(count))
        if not index.is_trained:
            every = batches[0] if len(batches) == 1 else np.concatenate(batches)
            index.train(self._comparable(every[:: index.training_step(count)]))
        return index

    def _comparable(self, vectors: Floats) -> Floats:
        return normalised(vectors) if self.settings.metric == "cosine" else vectors

    def _checked_dimension(self, batches: list[Floats]) -> int:
        dimension: int = batches[0].shape[1]
        if self.dimension not in (None, dimension):
            raise ValueError(
                f"the new vectors have {dimension} dimensions and the store's {self.dimension}: "
                "a store holds vectors of one embedding model"
            )
        return dimension

    def _add_vectors(self, index: VectorIndex, batches: list[Floats]) -> None:
        step = _ADDED_AT_ONCE[index.structure.kind]
        while batches:
            batch = batches.pop(0)
            for start in range(0, len(batch), step):
                part = batch[start : start + step]
                vectors = self._comparable(part)
                with self._lock.write():
                    index.add(vectors)

    def _forget(self, part: Part, index: VectorIndex) -> None:
        """Drop the vectors that were added after the last commit."""
        if index is not part.index:
            return
        with self._lock.write():
            added = len(index) - part.slots.count
            if added and not index.truncate(part.slots.count):
                part.slots.append(added, alive=False)
                self.next_key = part.slots.next_key

    def delete(self, ids: Sequence[str] | None) -> None:
        """Delete the documents with these ids, unknown ones aside; None: all documents."""
        with self.changing:
            if ids is None:
                with self._lock.write():
                    self.parts = []
                    self._changed([])
                return
            keys = list(self._keys_of(list(dict.fromkeys(ids))).values())
            if not keys:
                return
            newest = self.parts[-1]
            if newest.number is None and newest.documents.writable:
                newest = self._open_part()
            if newest.is_open and max(keys) >= newest.slots.first_key:
                with newest.documents.transaction() as change:
                    change.delete(keys)
                    with self._lock.write():
                        change.commit()
                        self._changed(keys)
            else:
                with self._lock.write():
                    self._changed(keys)
            self._restructure()

    def _changed(self, deleted: Sequence[int]) -> None:
        """After a commit, with the write lock held."""
        keys = np.array(deleted, dtype=np.int64)
        for part in self.parts:
            part.slots.kill(keys)
            part.changed()
        self._view = None
        self.version += 1

    # Parts

    @contextmanager
    def filling(self, count: int) -> Iterator[None]:
        """So many documents are added within, and not searched: their structure is made once, at the end."""
        self._is_filling = count <= _FILLED_AT_ONCE
        try:
            yield
        finally:
            self._is_filling = False
        with self.changing:
            self._restructure()
        if count >= _LARGE:
            _give_back_freed_memory()

    def _restructure(self) -> None:
        """Join, compact, and change the structure of parts, where the numbers ask for it; searches go on
        meanwhile.
        """
        if self._is_filling:
            return
        parts = [part for part in self.parts if part.slots.alive_count]
        groups = grouped([part.slots.alive_count for part in parts], [part.slots.dead for part in parts])
        done = [
            self._rebuilt(parts[group.first : group.end])
            if group.is_written or self._is_outgrown(parts[group.first])
            else parts[group.first]
            for group in groups
        ]
        if done != self.parts:
            with self._lock.write():
                self.parts, self._view = done, None

    def compact(self) -> bool:
        """Join all parts and leave out what is deleted; whether there was anything to do."""
        with self.changing:
            parts = [part for part in self.parts if part.slots.alive_count]
            if parts == self.parts and len(parts) < 2 and not any(part.slots.dead for part in parts):
                return False
            joined = [self._rebuilt(parts)] if parts else []
            with self._lock.write():
                self.parts, self._view, self._merged = joined, None, None
            return True

    def saved(self, generation: Generation, numbers: Sequence[int], tables: Sequence[DocumentTable]) -> None:
        """From now on the parts are what was saved of them.

        Args:
            generation: Where.
            numbers: The number of each part there.
            tables: Its documents there.
        """
        with self._lock.write():
            for part, number, table in zip(self.parts, numbers, tables, strict=True):
                if part.documents.writable:
                    part.documents = table
                    part.changed()
                else:
                    part.documents.path = table.path  # its connections lead to the same file
                if part.index is not None:
                    part.index.find_in(generation.path)
                part.number, part.generation = number, generation
            self._view = None

    def _is_outgrown(self, part: Part) -> bool:
        """Whether a part needs another structure; or, in memory, fewer slots."""
        if part.index is None:
            return False
        count, kind = part.slots.alive_count, part.index.structure.kind
        if self._wanted([part], count)[0] != part.index.structure:
            return True
        dead = part.slots.dead
        return part.number is None and dead > max(_OVERFETCHED, _DEAD_SHARE[kind] * part.slots.count)

    def _wanted(self, parts: Sequence[Part], count: int) -> tuple[Structure, VectorIndex | None]:
        """The structure for the documents of some parts, and the large part whose codes they have too."""
        every = [part.index for part in self.parts if part.index is not None]
        own = [part.index for part in parts if part.index is not None]
        large = max([*every, *own], key=len)
        if large in own or large.structure.kind != "fastscan" or count < _CODED:
            return (large if large in own else own[0]).wanted_structure(count), None
        return large.structure, large

    def _rebuilt(self, parts: Sequence[Part]) -> Part:
        """One part with the living documents of several, in their order."""
        oldest = parts[0]
        count = sum(part.slots.alive_count for part in parts)
        pairs = [(part.index, part.slots.alive()) for part in parts if part.index is not None]
        wanted, learnt = self._wanted(parts, count)
        index = pairs[0][0].rebuilt(pairs[0][1], wanted, pairs[1:], learnt)
        keys = np.concatenate([part.slots.keys[part.slots.alive()] for part in parts])
        slots = SlotTable(keys)
        slots.next_key = parts[-1].slots.next_key
        documents = oldest.documents
        if len(parts) > 1 or slots.count < oldest.slots.count:
            if not oldest.is_open:
                documents = DocumentTable.temporary(oldest.documents)
            with documents.transaction() as change:
                change.delete(np.abs(oldest.slots.keys[~oldest.slots.alive()]).tolist())
                for part in parts[1:]:
                    last: int | None = 0
                    while last is not None:
                        rows, last = part.rows_after(last)
                        change.insert([row[0] for row in rows], [as_entry(row) for row in rows])
                change.purge()
                change.commit()
        logger.info("rebuilt %d parts of the index as %s of %d vectors", len(parts), wanted, len(index))
        return Part(documents, slots, index, generation=oldest.generation)


def _without_document(key: object) -> StoreDamagedError:
    return StoreDamagedError(f"no document has the key {key} of a vector: restore the store")


def _is_merged(part: Part, last: Part, count: int) -> bool:
    """Whether a part is searched together with those after it, which have so many vectors."""
    if part.index is None or last.index is None or count + part.slots.count > _MERGED:
        return False
    structure = part.index.structure
    return structure == last.index.structure and structure.kind == "flat" and structure.storage != "sq8"


def _give_back_freed_memory() -> None:
    """Return freed memory to the operating system, where the C library would keep it (glibc).

    A large change leaves many small holes between what stays: half of the vectors' size at 70,000 documents
    of 384 dimensions (memory after build / vectors: 1.7 without this, 1.2 with it).
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
