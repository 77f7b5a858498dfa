"""Vectors and documents kept in step: what a FAISSStore does, without LangChain and without embeddings."""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llama_bedrock.retrievers.arrays import Floats, Slots, np
from llama_bedrock.retrievers.store.document_table import DocumentTable, Entry, Row
from llama_bedrock.retrievers.store.generations import StoreDamagedError
from llama_bedrock.retrievers.store.locks import ReadWriteLock
from llama_bedrock.retrievers.store.slots import FilterLike, Selection, Selector, SlotTable
from llama_bedrock.retrievers.store.vector_index import IndexSettings, VectorIndex, normalised

logger = logging.getLogger(__name__)

_ADDED_AT_ONCE = {"flat": 4096, "fastscan": 4096, "hnsw": 1024}
"""Vectors added while searches wait: 10 to 80 ms at 384 dimensions."""
_LARGE = 1_000
"""Documents in a change that leaves much freed memory behind."""
_OVERFETCHED = 128
"""Dead slots that a scan may just find and drop, instead of testing every slot."""
_DEAD_SHARE = {"flat": 0.02, "fastscan": 0.1, "hnsw": 0.3}
"""Share of dead slots that makes compaction pay, by what it costs: copying the vectors, or building a
graph."""


class Hit(NamedTuple):
    """A document found.

    Attributes:
        row: Its key, id, text and metadata as JSON.
        score: Cosine or inner product (greater is nearer), or Euclidean distance (less is nearer).
        slot: Where its vector is, until the next change.
    """

    row: Row
    score: float
    slot: int


class Collection:
    """Documents with their vectors, searched and changed as one.

    Any number of threads may search; changes wait for each other, and stop searches only while they take
    effect. A change that fails leaves no trace.

    Args:
        documents: The SQLite side.
        settings: How vectors are compared, stored and searched.
        index: The FAISS side; None until the first vector tells the dimension.
        slots: Which document has which vector.
        version: Number of changes so far.
    """

    def __init__(
        self,
        documents: DocumentTable,
        settings: IndexSettings,
        index: VectorIndex | None = None,
        slots: SlotTable | None = None,
        version: int = 0,
    ) -> None:
        self.documents = documents
        self.settings = settings
        self.index = index
        self.slots = slots or SlotTable()
        self.version = version
        self.changing = threading.RLock()
        self._lock = ReadWriteLock()
        self._selector = Selector(documents, self.slots)

    def __len__(self) -> int:
        return self.slots.alive_count

    @property
    def dimension(self) -> int | None:
        """Length of a vector; None while nothing was ever added."""
        return None if self.index is None else self.index.dimension

    # Searching

    def search(self, queries: Floats, k: int, filter_: FilterLike = None) -> list[list[Hit]]:
        """The k nearest documents of each query that the filter matches, nearest first."""
        with self._lock.read():
            scores, slots = self._search(queries, k, filter_)
            return self._hits(scores, slots, k)

    def search_diverse(
        self, query: Floats, k: int, fetch_k: int, balance: float, filter_: FilterLike = None
    ) -> list[Hit]:
        """Some of the fetch_k nearest documents, each near the query and unlike those before it."""
        from langchain_core.vectorstores.utils import maximal_marginal_relevance

        with self._lock.read():
            if self.index is None:
                return []
            scores, slots = self._search(query, max(fetch_k, k), filter_)
            [hits] = self._hits(scores, slots, max(fetch_k, k))
            if not hits:
                return []
            found = self.index.vectors(np.array([hit.slot for hit in hits], dtype=np.int64))
        chosen = maximal_marginal_relevance(query[0], list(found), lambda_mult=balance, k=k)
        return [hits[number] for number in chosen]

    def _search(self, queries: Floats, k: int, filter_: FilterLike) -> tuple[Floats, Slots]:
        selection, spare = self._selection(filter_)
        if self.index is None or not self.slots.alive_count or (selection and not selection.count):
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if queries.shape[1] != self.index.dimension:
            raise ValueError(
                f"the query has {queries.shape[1]} dimensions and the store {self.index.dimension}: "
                "it was made with another embedding model"
            )
        queries = normalised(queries) if self.settings.metric == "cosine" else queries
        scores, slots = self.index.search(np.ascontiguousarray(queries, np.float32), k + spare, selection)
        if self.settings.metric == "l2":
            scores = np.sqrt(np.maximum(scores, 0))
        return scores, slots

    def _selection(self, filter_: FilterLike) -> tuple[Selection | None, int]:
        """The slots that may be found (None: all), and how many dead ones may come with them."""
        assert self.index is not None or not self.slots.count
        pending = self.index is not None and len(self.index) > self.slots.count
        if filter_ or callable(filter_):
            return self._selector.select(filter_), 0
        if pending or self.slots.dead > _OVERFETCHED:
            return self._selector.select(None), 0
        if self.slots.dead and self.index is not None and self.index.structure.kind == "hnsw":
            return self._selector.select(None), 0
        return None, self.slots.dead

    def _hits(self, scores: Floats, slots: Slots, k: int) -> list[list[Hit]]:
        keys = self.slots.keys
        found = [
            [
                (int(keys[slot]), float(score), int(slot))
                for score, slot in zip(*pair, strict=True)
                if slot >= 0
            ]
            for pair in zip(scores, slots, strict=True)
        ]
        living = [[hit for hit in hits if hit[0] > 0][:k] for hits in found]
        rows = self.documents.rows(list({hit[0] for hits in living for hit in hits}))
        try:
            return [[Hit(rows[key], score, slot) for key, score, slot in hits] for hits in living]
        except KeyError as error:
            raise StoreDamagedError(
                f"no document has the key {error} of a vector: restore the store"
            ) from None

    # Reading

    def get(self, ids: Sequence[str]) -> list[Row]:
        """The rows with these ids, in the order of the ids; unknown ones are left out, repeated ones come
        once.
        """
        with self._lock.read():
            keys = self.documents.keys_of(list(dict.fromkeys(ids)))
            rows = self.documents.rows(list(keys.values()))
        return [rows[keys[id_]] for id_ in dict.fromkeys(ids) if id_ in keys]

    def matching_ids(self, filter_: FilterLike) -> set[str]:
        """The ids of all documents that a filter matches."""
        with self._lock.read():
            keys = self.slots.keys[self._selector.select(filter_).slots]
            return set(self.documents.ids_of(keys.tolist()))

    def vectors(self, ids: Sequence[str]) -> Floats:
        """The stored vectors of documents, one per row.

        Raises:
            KeyError: An id is unknown.
        """
        with self._lock.read():
            keys = self.documents.keys_of(ids)
            unknown = [id_ for id_ in ids if id_ not in keys]
            if unknown:
                raise KeyError(f"no document has the id {unknown[0]!r}")
            if self.index is None:
                return np.empty((0, 0), np.float32)
            slots = self.slots.slots_of(np.array([keys[id_] for id_ in ids], np.int64))
            if len(slots) != len(ids):
                raise StoreDamagedError("some documents have no vector: restore the store")
            return self.index.vectors(slots)

    def iterate(self) -> Iterator[Row]:
        """All rows in the order of their insertion; a change meanwhile may or may not be seen."""
        for rows in self.documents.iterate():
            yield from rows

    # Changing

    def upsert(self, entries: Sequence[Entry], batches: list[Floats]) -> None:
        """Add documents; those whose id is known are replaced.

        Args:
            entries: The documents, each id once.
            batches: Their vectors, in as many arrays as is convenient; emptied while they are added.

        Raises:
            ValueError: A vector's length differs from the store's.
        """
        if not entries:
            return
        with self.changing, self._writable().transaction() as change:
            replaced = self.documents.keys_of([entry.id for entry in entries]) if len(self) else {}
            change.delete(replaced.values())
            change.insert(self.slots.next_key, entries)
            index = self._index_for(batches)
            try:
                self._add_vectors(index, batches)
                with self._lock.write():
                    change.commit()
                    self.index = index
                    self.slots.append(len(entries))
                    self._changed(list(replaced.values()))
            except BaseException:
                self._forget(index)
                raise
        self._restructure()
        if len(entries) >= _LARGE:
            _give_back_freed_memory()

    def _writable(self) -> DocumentTable:
        """The documents; before the first change, a copy of the saved generation's or a parent process's."""
        if not self.documents.is_own:
            copy = DocumentTable.temporary(self.documents)
            with self._lock.write():
                self.documents = copy
                self._selector = Selector(copy, self.slots)
        return self.documents

    def _index_for(self, batches: list[Floats]) -> VectorIndex:
        dimension = batches[0].shape[1]
        if self.index is None:
            return VectorIndex(dimension, self.settings)
        if dimension != self.index.dimension:
            raise ValueError(
                f"the new vectors have {dimension} dimensions and the store's {self.index.dimension}: "
                "a store holds vectors of one embedding model"
            )
        return self.index

    def _add_vectors(self, index: VectorIndex, batches: list[Floats]) -> None:
        step = _ADDED_AT_ONCE[index.structure.kind]
        while batches:
            batch = batches.pop(0)
            for start in range(0, len(batch), step):
                part = batch[start : start + step]
                vectors = normalised(part) if self.settings.metric == "cosine" else part
                with self._lock.write():
                    index.add(vectors)

    def _forget(self, index: VectorIndex) -> None:
        """Drop the vectors that were added after the last commit."""
        if index is not self.index:
            return
        with self._lock.write():
            added = len(index) - self.slots.count
            if added and not index.truncate(self.slots.count):
                self.slots.append(added, alive=False)

    def delete(self, ids: Sequence[str] | None) -> None:
        """Delete the documents with these ids, unknown ones aside; None: all documents."""
        with self.changing:
            if ids is None:
                self._delete_all()
                return
            keys = list(self.documents.keys_of(list(dict.fromkeys(ids))).values())
            if not keys:
                return
            with self._writable().transaction() as change:
                change.delete(keys)
                with self._lock.write():
                    change.commit()
                    self._changed(keys)
        self._restructure()

    def _delete_all(self) -> None:
        with self._writable().transaction() as change:
            change.delete_all()
            with self._lock.write():
                change.commit()
                next_key = self.slots.next_key
                self.slots = SlotTable()
                self.slots.next_key = next_key
                if self.index is not None:
                    self.index = VectorIndex(self.index.dimension, self.settings)
                self._changed([])

    def _changed(self, deleted: Sequence[int]) -> None:
        """After a commit, with the write lock held."""
        self.slots.kill(np.array(deleted, dtype=np.int64))
        self.version += 1
        self._selector = Selector(self.documents, self.slots)

    def _restructure(self) -> None:
        """Compact, and change the structure, where the numbers ask for it; searches go on meanwhile."""
        with self.changing:
            index, slots = self.index, self.slots
            if index is None:
                return
            wanted = index.wanted_structure(slots.alive_count)
            many_dead = slots.dead > max(_OVERFETCHED, _DEAD_SHARE[index.structure.kind] * slots.count)
            if wanted == index.structure and not many_dead:
                return
            rebuilt = index.rebuilt(slots.alive(), wanted)
            compacted = slots.compacted()
            with self._lock.write():
                self.index, self.slots = rebuilt, compacted
                self._selector = Selector(self.documents, compacted)
            if slots.dead:
                with self._writable().transaction() as change:
                    change.purge()
                    change.commit()
            logger.info("rebuilt the index of %d vectors as %s", len(rebuilt), wanted)


def _give_back_freed_memory() -> None:
    """Return freed memory to the operating system, where the C library would keep it (glibc).

    A large change leaves many small holes between what stays: half of the vectors' size at 70,000 documents
    of 384 dimensions (memory after build / vectors: 1.7 without this, 1.2 with it).
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
