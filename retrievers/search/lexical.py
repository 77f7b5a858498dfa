"""Lexical search: an index of texts by BM25, and such an index of a vector store's documents that
follows the store's changes.

A query's words are scored with BM25, and then something is added for every two neighbouring words of it that
are neighbours in the text too (the sequential dependence model, Metzler and Croft, SIGIR 2005). The
weight was chosen on one half of three query sets; on the other halves nDCG@10 of BM25 rose from .362 to .366
(Cranfield), .748 to .756 (cookbook-docs) and .507 to .514 (docstrings to functions).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import chain, compress, pairwise
from operator import or_
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from llama_bedrock.retrievers.analysis import AnalysedTexts
from llama_bedrock.retrievers.arrays import Floats, Mask, Slots, np
from llama_bedrock.retrievers.documents.searchable_text import searchable_text
from llama_bedrock.retrievers.filters import parse_filter
from llama_bedrock.retrievers.joining import grouped
from llama_bedrock.retrievers.search.term_segment import TermSegment
from llama_bedrock.retrievers.second_thread import in_second_thread
from llama_bedrock.retrievers.store.private_files import link_file
from llama_bedrock.text import TERMS_VERSION, is_lone_character, query_terms

K1 = 1.5
B = 0.75
PAIR_WEIGHT = 0.25
MAX_QUERY_TERMS = 512
"""Further words of a query are not searched for: it would take seconds, and a question has none."""
_PAIRED_CANDIDATES = 200
_FORMAT = 3
_NAME, _NUMBER = re.compile(r"terms-[0-9]{1,9}\.npz"), re.compile(r"[0-9]+")

SIDECAR = "lexical"
"""Name of the side files of a FAISSStore that hold its lexical index."""
_OVERFETCHED = 10
_ADDED_AT_ONCE = 50_000

logger = logging.getLogger(__name__)


TEXT_DIGEST_LENGTH = 24


def text_digest(text: str) -> str:
    """A short digest that tells whether a text has changed."""
    size = TEXT_DIGEST_LENGTH // 2
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


class BM25Index:
    """Texts by id, found by their words: BM25 (Lucene's variant, k1 1.5, b 0.75), in memory.

    The texts lie in segments that never change, so a change analyses and counts only what it adds; what a
    score has to know of all texts is put together for the terms of a query. So scores are those of an index
    built at once. Any number of threads may search and change it at the same time.
    """

    def __init__(self) -> None:
        self._segments: list[TermSegment] = []
        self._alive: list[Mask] = []
        self._searched: _Searched | None = None
        self._lock = threading.Lock()

    def add(self, texts: Mapping[str, str]) -> None:
        """Add texts by id; a known id is replaced."""
        keys = np.arange(len(texts), dtype=np.int64) + self.last_key + 1
        self.add_analysed(list(texts), AnalysedTexts.of(texts.values()), keys, replace=True)

    def add_analysed(
        self, ids: Sequence[str], texts: AnalysedTexts, keys: Slots, *, replace: bool = False
    ) -> None:
        """Add texts with rising keys, above those of all others.

        Args:
            ids: Their ids.
            texts: Their terms.
            keys: Their keys.
            replace: Whether known ids are replaced; else `keep` tells of them.
        """
        if not ids:
            return
        self.take(TermSegment.of(ids, texts, keys), replace=replace)

    def take(self, segment: TermSegment, *, replace: bool = False) -> None:
        """Add the texts of a segment; see `add_analysed`."""
        with self._lock:
            if replace:
                self._kill(set(segment.ids))
            self._segments = [*self._segments, segment]
            self._alive = [*self._alive, np.ones(len(segment), np.bool_)]
            self._changed()

    def remove(self, ids: Iterable[str]) -> None:
        """Remove texts; unknown ids are ignored."""
        with self._lock:
            self._kill(set(ids))
            self._changed()

    def _kill(self, ids: set[str]) -> None:
        self._alive = [
            alive & np.fromiter((id_ not in ids for id_ in segment.ids), np.bool_, len(segment))
            for segment, alive in zip(self._segments, self._alive, strict=True)
        ]

    def keep(self, alive: Callable[[Slots], Mask]) -> None:
        """Remove the texts whose keys are not alive."""
        with self._lock:
            self._alive = [alive(segment.keys) for segment in self._segments]
            self._changed()

    def _changed(self) -> None:
        """Join segments where there are too many, and leave out what is deleted where it is much."""
        pairs = [pair for pair in zip(self._segments, self._alive, strict=True) if pair[1].any()]
        living = [int(np.count_nonzero(alive)) for _, alive in pairs]
        dead = [len(alive) - number for (_, alive), number in zip(pairs, living, strict=True)]
        self._segments, self._alive = [], []
        for group in grouped(living, dead):
            segment, alive = pairs[group.first]
            if group.is_written:
                segment = TermSegment.joined(pairs[group.first : group.end])
                alive = np.ones(len(segment), np.bool_)
            self._segments.append(segment)
            self._alive.append(alive)
        self._searched = None

    @property
    def last_key(self) -> int:
        """The greatest key; 0 if there is none."""
        return int(self._segments[-1].keys[-1]) if self._segments else 0

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(alive)) for alive in self._alive)

    @property
    def is_loaded(self) -> bool:
        """Whether everything was read, so that its files may go."""
        return all(segment.is_loaded for segment in self._segments)

    def load_all(self, folder: Path | None) -> None:
        """Read what was not needed yet, from the folder where it is now.

        Raises:
            ValueError: A file is damaged.
            OSError: A file is gone.
        """
        self.find_in(folder)
        for segment in self._segments:
            segment.load()

    def find_in(self, folder: Path | None) -> None:
        """Read what was not needed yet from this folder: a save has linked its files there, and the one
        before goes.
        """
        for segment in self._segments:
            if segment.path is not None and folder is not None:
                segment.path = folder / segment.path.name

    def search(self, query: str, k: int, *, allowed: Collection[str] | None = None) -> dict[str, float]:
        """The best k ids that share a word with the query, with their scores, best first.

        Args:
            query: Any text.
            k: How many at most.
            allowed: Only these ids, if given.
        """
        searched = self._state()
        places, scores = searched.search(query, k, None if allowed is None else searched.places_of(allowed))
        return dict(zip(searched.ids(places), scores.tolist(), strict=True))

    def search_keys(self, query: str, k: int, *, allowed: Slots | None = None) -> dict[int, float]:
        """As `search`, with the keys of the texts."""
        searched = self._state()
        within = None if allowed is None else np.flatnonzero(np.isin(searched.keys, allowed))
        places, scores = searched.search(query, k, within)
        return dict(zip(searched.keys[places].tolist(), scores.tolist(), strict=True))

    def _state(self) -> _Searched:
        with self._lock:
            if self._searched is None:
                self._searched = _Searched(self._segments, self._alive)
            return self._searched

    def save(self, folder: Path, before: Path | None = None) -> None:
        """Write ``lexical.json`` and the segments.

        Args:
            folder: Where.
            before: Where it was saved last: what is there is linked, with the texts that are deleted since.
                Default: nothing is linked, and what is deleted is left out.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            pairs = list(zip(self._segments, self._alive, strict=True))
        taken = [int(_NUMBER.findall(segment.path.name)[0]) for segment, _ in pairs if segment.path]
        number = max(taken, default=0)
        names: list[str] = []
        for segment, alive in pairs:
            name = segment.path.name if segment.path else ""
            if before is not None and name and (before / name).is_file():
                link_file(before / name, folder / name)
            else:
                number += 1
                name = f"terms-{number}.npz"
                written = segment if alive.all() else TermSegment.joined([(segment, alive)])
                written.write(folder / name)
            names.append(name)
        about = {"format": _FORMAT, "analyzer": TERMS_VERSION, "segments": names}
        (folder / "lexical.json").write_text(json.dumps(about), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> BM25Index:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: There is none in the folder.
            ValueError: It is damaged, or of another version.
        """
        about = json.loads((folder / "lexical.json").read_text(encoding="utf-8"))
        if (about.get("format"), about.get("analyzer")) != (_FORMAT, TERMS_VERSION):
            raise ValueError(f"{folder / 'lexical.json'} is of another version of llama-bedrock")
        if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in about["segments"]):
            raise ValueError(f"{folder / 'lexical.json'} is damaged: it names other files than segments")
        index = cls()
        index._segments = [TermSegment.open(folder / name) for name in about["segments"]]
        index._alive = [np.ones(len(segment), np.bool_) for segment in index._segments]
        return index


class _Searched:
    """One state of the texts, as it is searched; what it finds out about terms is kept."""

    def __init__(self, segments: Sequence[TermSegment], alive: Sequence[Mask]) -> None:
        self._segments = list(segments)
        self._firsts = np.cumsum([0, *(len(segment) for segment in segments)])
        self._alive: Mask = np.concatenate([np.empty(0, np.bool_), *alive])
        self.keys: Slots = np.concatenate([np.empty(0, np.int64), *(segment.keys for segment in segments)])
        lengths = [np.empty(0, np.int64), *(segment.lengths for segment in segments)]
        self._lengths: Slots = np.concatenate(lengths)
        self._count = int(np.count_nonzero(self._alive))
        average = max(float(self._lengths[self._alive].mean()), 1.0) if self._count else 1.0
        self._damping: Floats = (K1 * (1 - B + B * self._lengths / average)).astype(np.float32)
        self.languages = frozenset(
            language
            for segment, mask in zip(segments, alive, strict=True)
            for language in (set(segment.languages) if mask.all() else compress(segment.languages, mask))
        )
        self._postings: dict[str, tuple[Slots, Floats, float]] = {}
        self._places: dict[str, int] | None = None

    def known(self, word: str) -> list[str]:
        """The terms that a word of a query stands for, if any text holds them."""
        if is_lone_character(word):
            return list(dict.fromkeys(k for s in self._segments for k in s.vocabulary if word in k))
        return [word] if any(word in segment.vocabulary for segment in self._segments) else []

    def _found(self, word: str) -> tuple[Slots, Floats, float]:
        """The places of the texts that hold a term, what it adds to the score of each, and its weight."""
        known = self._postings.get(word)
        if known is None:
            places, counts = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
            for first, segment in zip(self._firsts, self._segments, strict=False):
                number = segment.vocabulary.get(word)
                if number is not None:
                    own = slice(*segment.ends[number : number + 2].tolist())
                    places.append(segment.texts[own] + first)
                    counts.append(segment.counts[own])
            found, count = np.concatenate(places), np.concatenate(counts)
            living = self._alive[found]
            found, count = found[living], count[living]
            weight = math.log(1 + (self._count - len(found) + 0.5) / (len(found) + 0.5))
            added: Floats = np.float32(weight) * count / (count + self._damping[found])
            known = self._postings[word] = (found, added, weight)
        return known

    def search(self, query: str, k: int, allowed: Sequence[int] | Slots | None) -> tuple[Slots, Floats]:
        """The places of the best k texts for a query, and their scores."""
        wordings = [
            [known for word in words[:MAX_QUERY_TERMS] for known in self.known(word)]
            for words in query_terms(query, self.languages)
        ]
        if k < 1 or not any(wordings):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        scores: Floats = np.zeros(len(self._alive), np.float32)
        for word, times in reduce(or_, map(Counter, wordings)).items():
            places, added, _ = self._found(word)
            scores[places] += times * added
        if allowed is not None:
            masked = np.zeros_like(scores)
            masked[allowed] = scores[allowed]
            scores = masked
        best = _best(scores, max(k, _PAIRED_CANDIDATES))
        found = scores[best] + PAIR_WEIGHT * self._pair_scores(wordings, best)
        order = np.lexsort((best, -found))[:k]
        return best[order], found[order]

    def ids(self, places: Slots) -> list[str]:
        """The ids of the texts at these places."""
        owners = np.searchsorted(self._firsts, places, "right") - 1
        own = (places - self._firsts[owners]).tolist()
        return [self._segments[owner].ids[place] for owner, place in zip(owners.tolist(), own, strict=True)]

    def places_of(self, ids: Collection[str]) -> list[int]:
        """The places of the texts with these ids."""
        if self._places is None:
            every = chain.from_iterable(segment.ids for segment in self._segments)
            self._places = {id_: n for n, id_ in enumerate(every) if self._alive[n]}
        return [self._places[id_] for id_ in ids if id_ in self._places]

    def _pair_scores(self, wordings: Sequence[Sequence[str]], candidates: Any) -> Floats:
        """BM25 of the query's neighbouring words as units, for some texts.

        How many texts hold a pair is not counted; were its words independent, its idf would be the sum of
        theirs.
        """
        totals: Floats = np.zeros(len(candidates), dtype=np.float32)
        pairs = sorted({pair for wording in wordings for pair in pairwise(wording)})
        damping = self._damping[candidates]
        owners = np.searchsorted(self._firsts, candidates, "right") - 1
        for number in np.unique(owners).tolist():
            segment = self._segments[number]
            words = segment.vocabulary
            wanted = [pair for pair in pairs if pair[0] in words and pair[1] in words]
            if wanted:
                own = np.flatnonzero(owners == number)
                found = _pair_counts(segment, candidates[own] - self._firsts[number], wanted)
                weights = np.array(
                    [self._found(first)[2] + self._found(second)[2] for first, second in wanted]
                )
                totals[own] = weights @ (found / (found + damping[own]))
        return totals


def _pair_counts(segment: TermSegment, texts: Slots, pairs: Sequence[tuple[str, str]]) -> Slots:
    """How often each pair of neighbouring words (rows) stands in each of some texts (columns)."""
    known = list({word: None for pair in pairs for word in pair})
    places, count = {word: place for place, word in enumerate(known, 1)}, len(known) + 1
    marks = np.zeros(len(segment.vocabulary), np.int64)
    marks[[segment.vocabulary[word] for word in known]] = range(1, count)
    numbers = np.full(count * count, -1)
    numbers[[places[first] * count + places[second] for first, second in pairs]] = range(len(pairs))
    # One long text, of which only neighbours that are both marked are looked at. ("clip" is the fast way of
    # `take`; no place lies outside.)
    lengths = segment.lengths[texts]
    ends = np.cumsum(lengths)
    own = np.arange(ends[-1]) + np.repeat(segment.starts[texts] + lengths - ends, lengths)
    marked = marks.take(segment.terms.take(own, mode="clip"), mode="clip")
    is_marked = marked != 0
    heads = np.flatnonzero(is_marked[:-1] & is_marked[1:])
    rows = numbers.take(marked.take(heads) * count + marked.take(heads + 1))
    met = np.flatnonzero(rows >= 0)
    heads, rows = heads.take(met), rows.take(met)
    owners = np.searchsorted(ends, heads, "right")
    cells = (rows * len(texts) + owners)[heads + 1 < ends.take(owners)]
    counted: Slots = np.bincount(cells, minlength=len(pairs) * len(texts))
    return counted.reshape(len(pairs), len(texts))


def _best(scores: Floats, k: int) -> Any:
    """Positions of the k highest scores above 0, in no order."""
    best = np.argpartition(-scores, k)[:k] if k < len(scores) else np.arange(len(scores))
    return best[scores[best] > 0]


class StoreLexicalSide:
    """The lexical index of a FAISSStore, brought up to date when it is searched, and saved with the store.

    Args:
        store: The store; only what it shows publicly is used.
    """

    def __init__(self, store: Any) -> None:
        self._store = weakref.ref(store)  # the store refers to this, and goes with its last user
        self._lock = threading.Lock()
        self._index: BM25Index | None = None
        self._state: tuple[object, ...] | None = None
        self._prepared: TermSegment | None = None
        store.attach_sidecar(SIDECAR, self._save)

    @property
    def store(self) -> Any:
        """The store; None when nobody uses it any more."""
        return self._store()

    def search(self, query: str, k: int, filter: Any = None) -> dict[int, float]:
        """Scores of the best k keys that share a word with the query, among those the filter matches."""
        index = self._current(complete=True)
        if filter is None or filter == {}:
            return index.search_keys(query, k)
        # Most filters let many documents pass, and testing the best few is cheaper than listing all that
        # match.
        found = index.search_keys(query, _OVERFETCHED * k)
        matches = filter if callable(filter) else parse_filter(filter).matches  # type: ignore[union-attr]
        documents = self.store.with_keys(list(found))
        passed = [key for key in found if key in documents and matches(documents[key].metadata)]
        if len(passed) >= k or len(found) < _OVERFETCHED * k:
            return {key: found[key] for key in passed[:k]}
        return index.search_keys(query, k, allowed=self.store.matching_keys(filter))

    def _current(self, *, complete: bool) -> BM25Index:
        """The index of what the store holds now; complete: read from its files, and not only added to."""
        with self._lock:
            # Read before the documents: a change meanwhile is then seen at the next search, never missed.
            # The count tells apart two versions of one number.
            lineage = self.store.lineage
            state = (lineage, self.store.version, len(self.store))
            try:
                if self._index is None or self._state is None or self._state[0] is not lineage:
                    self._index = self._opened()
                    self._follow(self._index)
                elif state != self._state:
                    self._index.find_in(self.store.last_sidecar(SIDECAR))
                    self._follow(self._index)
                if complete and not self._index.is_loaded:
                    self._index.load_all(self.store.last_sidecar(SIDECAR))
            except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
                logger.warning("cannot use the saved lexical index, building it again: %s", error)
                self._index = BM25Index()
                self._follow(self._index)
            self._state = state
            return self._index

    def _opened(self) -> BM25Index:
        # One that was saved before a change is still a good beginning: `_follow` mends it.
        saved = self.store.last_sidecar(SIDECAR)
        return BM25Index() if saved is None else BM25Index.load(saved)

    @contextmanager
    def preparing(self, ids: Sequence[str], analysed: AnalysedTexts, places: Sequence[int]) -> Iterator[None]:
        """Make the segment of the texts that the block adds to an empty store, while it does: no text is read
        again or analysed again, and a second core has something to do.

        Args:
            ids: The ids of the documents, in the order in which they are added.
            analysed: The terms of texts.
            places: Of each document, the place of its text among them.
        """

        def made() -> TermSegment:
            return TermSegment.of(ids, analysed.part(places), np.arange(len(ids), dtype=np.int64))

        with in_second_thread(made, "lexical") as segment:
            yield
        self._prepared = segment.result()

    def _take_prepared(self, index: BM25Index) -> None:
        """Put into an empty index what was prepared, if that is what the store holds."""
        segment, self._prepared = self._prepared, None
        if segment is None or index.last_key or not len(segment) or len(segment) != len(self.store):
            return
        first = next(iter(self.store.documents_after(0)))
        # Keys rise by one in the order of insertion, and a document that is replaced gets another one. So the
        # documents are those of the segment, and as they were, if so many in a row are there, from the first.
        keys = np.arange(len(segment), dtype=np.int64) + first[0]
        last = next(iter(self.store.documents_after(int(keys[-1]) - 1)), None)
        ids = (first[1].id, last and last[1].id)
        if ids == (segment.ids[0], segment.ids[-1]) and self.store.alive(keys).all():
            segment.keys = keys
            index.take(segment)

    def _follow(self, index: BM25Index) -> None:
        """Make the index hold what the store holds; only texts that are new or changed are analysed."""
        index.keep(self.store.alive)
        self._take_prepared(index)
        added: dict[str, str] = {}
        keys: list[int] = []
        for key, document in self.store.documents_after(index.last_key):
            added[document.id] = searchable_text(document)
            keys.append(key)
            if len(added) >= _ADDED_AT_ONCE:
                index.add_analysed(list(added), AnalysedTexts.of(added.values()), np.array(keys, np.int64))
                added, keys = {}, []
        index.add_analysed(list(added), AnalysedTexts.of(added.values()), np.array(keys, np.int64))

    def _save(self, folder: Path) -> None:
        self._current(complete=False).save(folder, self.store.last_sidecar(SIDECAR))


class DocumentsLexicalSide:
    """The lexical index of documents given once, for vector stores that cannot list theirs."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = {document_key(document): document for document in documents}
        self._by_text = {document.page_content: key for key, document in self._documents.items()}
        self._index = BM25Index()
        self._index.add({key: searchable_text(document) for key, document in self._documents.items()})

    def search(self, query: str, k: int, allowed: Iterable[str] | None = None) -> dict[str, float]:
        """Scores of the best k keys that share a word with the query, among those allowed."""
        return self._index.search(query, k, allowed=None if allowed is None else list(allowed))

    def key(self, document: Document) -> str:
        """What a document that the store found is known by here.

        Stores may not give ids back (Qdrant's puts them into the metadata); then its text tells.
        """
        if document.id in self._documents:
            return str(document.id)
        return self._by_text.get(document.page_content, document_key(document))

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents with these keys, by key."""
        return {key: self._documents[key] for key in ids}


def document_key(document: Document) -> str:
    """What a document is known by on both sides: its id, or else its text."""
    return document.id if document.id is not None else document.page_content


# By the identity of the store, which keeps its side alive through the sidecar it attached.
_sides: WeakValueDictionary[int, StoreLexicalSide] = WeakValueDictionary()
_sides_lock = threading.Lock()


def lexical_side_of(store: VectorStore) -> StoreLexicalSide | None:
    """The lexical side of a store that lists its documents, shared by all its retrievers; None if it does
    not.
    """
    needed = ("documents_after", "alive", "lineage", "matching_keys", "attach_sidecar", "last_sidecar")
    if not all(hasattr(store, name) for name in needed):
        return None
    with _sides_lock:
        side = _sides.get(id(store))
        if side is None or side.store is not store:
            side = _sides[id(store)] = StoreLexicalSide(store)
        return side
