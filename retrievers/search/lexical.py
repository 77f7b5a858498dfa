"""Lexical search: an index of texts by BM25 (bm25s), and such an index of a vector store's documents that
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
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from operator import or_
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats, Integers, np, read_arrays, write_arrays
from llama_bedrock.retrievers.documents.searchable_text import searchable_text
from llama_bedrock.retrievers.filters import parse_filter
from llama_bedrock.text import TERMS_VERSION, analysed, is_lone_character, query_terms

bm25s = require("bm25s", "local")

K1 = 1.5
B = 0.75
PAIR_WEIGHT = 0.25
MAX_QUERY_TERMS = 512
"""Further words of a query are not searched for: it would take seconds, and a question has none."""
_PAIRED_CANDIDATES = 200
_FORMAT = 2

SIDECAR = "lexical"
"""Name of the side files of a FAISSStore that hold its lexical index."""
_OVERFETCHED = 10
_ADDED_AT_ONCE = 10_000

logger = logging.getLogger(__name__)


def text_digest(text: str) -> str:
    """A short digest that tells whether a text has changed."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class BM25Index:
    """Texts by id, found by their words: BM25 with bm25s (Lucene's variant, k1 1.5, b 0.75), in memory.

    bm25s computes every score when it builds, so a change means building again (3 s for 100,000 short texts):
    that is put off until the next search. The texts' terms are kept, so nothing is analysed twice. Any number
    of threads may search and change it at the same time.
    """

    def __init__(self) -> None:
        self._vocabulary: dict[str, int] = {}
        self._documents: dict[str, Integers] = {}
        self._digests: dict[str, str] = {}
        self._languages: dict[str, str] = {}
        self._built: _BuiltIndex | None = None
        self._lock = threading.Lock()

    def add(self, texts: Mapping[str, str]) -> None:
        """Add texts by id; a known id is replaced."""
        found = {identity: analysed(text) for identity, text in texts.items()}
        digests = {identity: text_digest(text) for identity, text in texts.items()}
        with self._lock:
            for identity, (words, language) in found.items():
                self._languages[identity] = language
                numbers = [self._vocabulary.setdefault(word, len(self._vocabulary)) for word in words]
                self._documents[identity] = np.array(numbers, dtype=np.int32)
            self._digests.update(digests)
            self._built = None

    def remove(self, ids: Iterable[str]) -> None:
        """Remove texts; unknown ids are ignored."""
        with self._lock:
            for identity in ids:
                if self._documents.pop(identity, None) is not None:
                    del self._digests[identity], self._languages[identity]
                    self._built = None

    def digests(self) -> Mapping[str, str]:
        """The ids in the index, each with the digest (:func:`text_digest`) of its text."""
        return self._digests

    def __len__(self) -> int:
        return len(self._digests)

    def search(self, query: str, k: int, *, allowed: Collection[str] | None = None) -> dict[str, float]:
        """The best k ids that share a word with the query, with their scores, best first.

        Args:
            query: Any text.
            k: How many at most.
            allowed: Only these ids, if given.
        """
        with self._lock:
            if k < 1 or not any(map(len, self._documents.values())):
                return {}
            built = self._build()
            wordings = [
                [number for word in words[:MAX_QUERY_TERMS] for number in self._numbers(word)]
                for words in query_terms(query, built.languages)
            ]
        return built.search(wordings, k, allowed) if any(wordings) else {}

    def _numbers(self, word: str) -> list[int]:
        if is_lone_character(word):
            return [number for known, number in self._vocabulary.items() if word in known]
        return [self._vocabulary[word]] if word in self._vocabulary else []

    def _build(self) -> _BuiltIndex:
        if self._built is None:
            self._built = _BuiltIndex(self._documents, self._vocabulary, frozenset(self._languages.values()))
        return self._built

    def save(self, folder: Path) -> None:
        """Write ``lexical.json`` and ``lexical.npz``, with the scores, so that nothing is built when it is
        opened.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            about = {
                "format": _FORMAT,
                "analyzer": TERMS_VERSION,
                "vocabulary": list(self._vocabulary),
                "digests": dict(self._digests),
                "languages": [self._languages[identity] for identity in self._digests],
            }
            arrays = [self._documents[identity] for identity in self._digests]
            scores = self._build().scores if any(map(len, arrays)) else {}
        (folder / "lexical.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        lengths = np.array([len(numbers) for numbers in arrays], dtype=np.int64)
        numbers = np.concatenate([*arrays, np.empty(0, np.int32)])
        write_arrays(folder / "lexical.npz", lengths=lengths, terms=numbers, **scores)

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
        index = cls()
        numbers, lengths = read_arrays(folder / "lexical.npz", "terms", "lengths")
        if len(lengths) != len(about["digests"]) or lengths.sum() != len(numbers):
            raise ValueError(f"{folder / 'lexical.npz'} does not belong to lexical.json: it is damaged")
        parts = np.split(numbers, np.cumsum(lengths)[:-1]) if len(lengths) else []
        index._vocabulary = {word: number for number, word in enumerate(about["vocabulary"])}
        index._documents = dict(zip(about["digests"], parts, strict=True))
        index._digests = about["digests"]
        index._languages = dict(zip(about["digests"], about["languages"], strict=True))
        if len(numbers):
            names = ("data", "indices", "indptr")
            scores = dict(zip(names, read_arrays(folder / "lexical.npz", *names), strict=True))
            if len(scores["indptr"]) != len(index._vocabulary) + 1:
                raise ValueError(f"{folder / 'lexical.npz'} does not belong to lexical.json: it is damaged")
            languages = frozenset(about["languages"])
            index._built = _BuiltIndex(index._documents, index._vocabulary, languages, scores)
        return index


class _BuiltIndex:
    """The scores of one state of the texts; never changed."""

    def __init__(
        self,
        documents: Mapping[str, Integers],
        vocabulary: Mapping[str, int],
        languages: frozenset[str],
        scores: Mapping[str, Any] | None = None,
    ) -> None:
        self.languages = languages
        self._ids = list(documents)
        self._texts = list(documents.values())
        self._position = {identity: number for number, identity in enumerate(self._ids)}
        self._lengths = np.array([len(numbers) for numbers in self._texts], dtype=np.int64)
        self._average = max(float(self._lengths.mean()), 1.0)
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene")
        if scores is None:
            corpus = [numbers.tolist() for numbers in self._texts]
            self._index.index((corpus, dict(vocabulary)), create_empty_token=False, show_progress=False)
        else:
            self._index.scores = {**scores, "num_docs": len(self._ids)}
            self._index.nonoccurrence_array = None
        found = np.diff(self._index.scores["indptr"])
        self._idf = np.log(1 + (len(self._ids) - found + 0.5) / (found + 0.5))

    @property
    def scores(self) -> dict[str, Any]:
        """The arrays of bm25s's sparse matrix."""
        return {name: self._index.scores[name] for name in ("data", "indices", "indptr")}

    def search(
        self, wordings: Sequence[Sequence[int]], k: int, allowed: Collection[str] | None
    ) -> dict[str, float]:
        """The best k ids for a query, given as the numbers of its terms in each language."""
        query = list(reduce(or_, map(Counter, wordings)).elements())
        scores = self._index.get_scores_from_ids(query)
        if allowed is not None:
            positions = [self._position[identity] for identity in allowed if identity in self._position]
            masked = np.zeros_like(scores)
            masked[positions] = scores[positions]
            scores = masked
        best = _best(scores, max(k, _PAIRED_CANDIDATES))
        found = scores[best] + PAIR_WEIGHT * self._pair_scores(wordings, best)
        order = np.lexsort((best, -found))[:k]
        return {self._ids[best[number]]: float(found[number]) for number in order}

    def _pair_scores(self, wordings: Sequence[Sequence[int]], candidates: Any) -> Floats:
        """BM25 of the query's neighbouring words as units, for some texts.

        How many texts hold a pair is not counted; were its words independent, its idf would be the sum of
        theirs.
        """
        totals: Floats = np.zeros(len(candidates), dtype=np.float32)
        pairs = {pair for wording in wordings for pair in pairwise(wording)}
        if not pairs or not len(candidates):
            return totals
        # One long text, with a term that no query has between the candidates.
        joined = np.concatenate([part for number in candidates for part in (self._texts[number], [-1])])
        owner = np.repeat(np.arange(len(candidates)), self._lengths[candidates] + 1)[:-1]
        damping = K1 * (1 - B + B * self._lengths[candidates] / self._average)
        for first, second in pairs:
            hits = owner[(joined[:-1] == first) & (joined[1:] == second)]
            counts = np.bincount(hits, minlength=len(candidates))
            totals += (self._idf[first] + self._idf[second]) * counts / (counts + damping)
        return totals


def _best(scores: Floats, k: int) -> Any:
    """Positions of the k highest scores above 0, in no order."""
    best = np.argpartition(-scores, k)[:k] if k < len(scores) else np.arange(len(scores))
    return best[scores[best] > 0]


class StoreLexicalSide:
    """The lexical index of a FAISSStore, brought up to date when it is searched, and saved with the store.

    Args:
        store: The store; only what it shows publicly is used: ``documents()``, ``version``, ``matching_ids``,
            ``get_by_ids``, ``attach_sidecar`` and ``sidecar``.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._index: BM25Index | None = None
        self._state: tuple[int, int] | None = None
        # An index saved with an older version of the store is still a good beginning: `_follow` mends it.
        self._saved = store.sidecar(SIDECAR)
        store.attach_sidecar(SIDECAR, self._save)

    def search(self, query: str, k: int, filter: Any = None) -> dict[str, float]:
        """Scores of the best k ids that share a word with the query, among those the filter matches."""
        index = self._current()
        if filter is None or filter == {}:
            return index.search(query, k)
        # Most filters let many documents pass, and testing the best few is cheaper than listing all that
        # match.
        found = index.search(query, _OVERFETCHED * k)
        matches = filter if callable(filter) else parse_filter(filter).matches  # type: ignore[union-attr]
        documents = {document.id: document for document in self.store.get_by_ids(list(found))}
        passed = [id_ for id_ in found if id_ in documents and matches(documents[id_].metadata)]
        if len(passed) >= k or len(found) < _OVERFETCHED * k:
            return {id_: found[id_] for id_ in passed[:k]}
        return index.search(query, k, allowed=self.store.matching_ids(filter))

    def key(self, document: Document) -> str:
        """The document's id."""
        return str(document.id)

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents with these ids, by id."""
        return {str(document.id): document for document in self.store.get_by_ids(list(ids))}

    def _current(self) -> BM25Index:
        with self._lock:
            # Read before the documents: a change meanwhile is then seen at the next search, never missed.
            # The count tells apart two versions of one number, after a reload.
            state = (self.store.version, len(self.store))
            if self._index is None:
                self._index = self._load()
            elif state != self._state:
                self._follow(self._index)
            self._state = state
            return self._index

    def _load(self) -> BM25Index:
        if self._saved is not None and self._saved.is_dir():
            try:
                index = BM25Index.load(self._saved)
            except (ValueError, KeyError, OSError, ImportError) as error:
                logger.warning("cannot use the saved lexical index, building it again: %s", error)
            else:
                if self.store.sidecar(SIDECAR) != self._saved:
                    self._follow(index)
                return index
        index = BM25Index()
        self._follow(index)
        return index

    def _follow(self, index: BM25Index) -> None:
        """Make the index hold what the store holds; only texts that are new or changed are analysed."""
        known = dict(index.digests())
        added: dict[str, str] = {}
        for document in self.store.documents():
            text = searchable_text(document)
            if known.pop(document.id, None) != text_digest(text):
                added[document.id] = text
            if len(added) >= _ADDED_AT_ONCE:
                index.add(added)
                added = {}
        if known:
            index.remove(known)
        if added:
            index.add(added)

    def _save(self, folder: Path) -> None:
        self._current().save(folder)


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
    needed = ("documents", "version", "matching_ids", "attach_sidecar", "sidecar")
    if not all(hasattr(store, name) for name in needed):
        return None
    with _sides_lock:
        side = _sides.get(id(store))
        if side is None or side.store is not store:
            side = _sides[id(store)] = StoreLexicalSide(store)
        return side
