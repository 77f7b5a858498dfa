"""Lexical search (BM25) behind one interface: bm25s in memory here, tantivy for large stores in
`lexical_tantivy.py`.

Both score a query's words with BM25, and then add something for every two neighbouring words of the query
that are neighbours in the text too (the sequential dependence model, Metzler and Croft, SIGIR 2005). The
weight was chosen on one half of three query sets; on the other halves nDCG@10 of BM25 rose from .362 to .366
(Cranfield), .748 to .756 (cookbook-docs) and .507 to .514 (docstrings to functions).
"""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats, Integers, np, read_arrays, write_arrays
from llama_bedrock.text import TERMS_VERSION, is_lone_character, terms

K1 = 1.5
B = 0.75
PAIR_WEIGHT = 0.25
MAX_QUERY_TERMS = 512
"""Further words of a query are not searched for: it would take seconds, and a question has none."""
_PAIRED_CANDIDATES = 200
_FORMAT = 1


class LexicalIndex(ABC):
    """Texts by id, found by their words."""

    @abstractmethod
    def add(self, texts: Mapping[str, str]) -> None:
        """Add texts by id; a known id is replaced."""

    @abstractmethod
    def remove(self, ids: Iterable[str]) -> None:
        """Remove texts; unknown ids are ignored."""

    @abstractmethod
    def search(self, query: str, k: int, *, allowed: Collection[str] | None = None) -> dict[str, float]:
        """The best k ids that share a word with the query, with their scores, best first.

        Args:
            query: Any text.
            k: How many at most.
            allowed: Only these ids, if given.
        """

    @abstractmethod
    def digests(self) -> Mapping[str, str]:
        """The ids in the index, each with the digest (:func:`text_digest`) of its text."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the index into a folder, which is made if it is missing. No pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: There is none in the folder.
            ValueError: It is damaged, or of another version.
        """

    def __len__(self) -> int:
        return len(self.digests())


def text_digest(text: str) -> str:
    """A short digest that tells whether a text has changed."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class BM25Index(LexicalIndex):
    """BM25 with bm25s (Lucene's variant, k1 1.5, b 0.75), in memory.

    bm25s computes every score when it builds, so a change means building again (3 s for 100,000 short texts):
    that is put off until the next search. The texts' terms are kept, so nothing is analysed twice. Any number
    of threads may search and change it at the same time.
    """

    def __init__(self) -> None:
        self._vocabulary: dict[str, int] = {}
        self._documents: dict[str, Integers] = {}
        self._digests: dict[str, str] = {}
        self._built: _BuiltIndex | None = None
        self._lock = threading.Lock()

    def add(self, texts: Mapping[str, str]) -> None:
        """Add texts by id; a known id is replaced."""
        analysed = {identity: terms(text) for identity, text in texts.items()}
        digests = {identity: text_digest(text) for identity, text in texts.items()}
        with self._lock:
            for identity, words in analysed.items():
                numbers = [self._vocabulary.setdefault(word, len(self._vocabulary)) for word in words]
                self._documents[identity] = np.array(numbers, dtype=np.int32)
            self._digests.update(digests)
            self._built = None

    def remove(self, ids: Iterable[str]) -> None:
        """Remove texts; unknown ids are ignored."""
        with self._lock:
            for identity in ids:
                if self._documents.pop(identity, None) is not None:
                    del self._digests[identity]
                    self._built = None

    def digests(self) -> Mapping[str, str]:
        """The ids in the index, each with the digest of its text."""
        return self._digests

    def search(self, query: str, k: int, *, allowed: Collection[str] | None = None) -> dict[str, float]:
        """The best k ids that share a word with the query, with their scores, best first."""
        words = terms(query)[:MAX_QUERY_TERMS]
        with self._lock:
            numbers = [number for word in words for number in self._numbers(word)]
            if not numbers or k < 1 or not any(map(len, self._documents.values())):
                return {}
            built = self._build()
        return built.search(numbers, k, allowed)

    def _numbers(self, word: str) -> list[int]:
        if is_lone_character(word):
            return [number for known, number in self._vocabulary.items() if word in known]
        return [self._vocabulary[word]] if word in self._vocabulary else []

    def _build(self) -> _BuiltIndex:
        if self._built is None:
            self._built = _BuiltIndex(self._documents, self._vocabulary)
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
            }
            arrays = [self._documents[identity] for identity in self._digests]
            scores = self._build().scores if any(map(len, arrays)) else {}
        (folder / "lexical.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        lengths = np.array([len(numbers) for numbers in arrays], dtype=np.int64)
        numbers = np.concatenate([*arrays, np.empty(0, np.int32)])
        write_arrays(folder / "lexical.npz", lengths=lengths, terms=numbers, **scores)

    @classmethod
    def load(cls, folder: Path) -> BM25Index:
        """Read what `save` wrote."""
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
        if len(numbers):
            names = ("data", "indices", "indptr")
            scores = dict(zip(names, read_arrays(folder / "lexical.npz", *names), strict=True))
            if len(scores["indptr"]) != len(index._vocabulary) + 1:
                raise ValueError(f"{folder / 'lexical.npz'} does not belong to lexical.json: it is damaged")
            index._built = _BuiltIndex(index._documents, index._vocabulary, scores)
        return index


class _BuiltIndex:
    """The scores of one state of the texts; never changed."""

    def __init__(
        self,
        documents: Mapping[str, Integers],
        vocabulary: Mapping[str, int],
        scores: Mapping[str, Any] | None = None,
    ) -> None:
        bm25s = require("bm25s", "local")
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

    def search(self, query: Sequence[int], k: int, allowed: Collection[str] | None) -> dict[str, float]:
        """The best k ids for the numbers of a query's terms."""
        scores = self._index.get_scores_from_ids(query)
        if allowed is not None:
            positions = [self._position[identity] for identity in allowed if identity in self._position]
            masked = np.zeros_like(scores)
            masked[positions] = scores[positions]
            scores = masked
        best = _best(scores, max(k, _PAIRED_CANDIDATES))
        found = scores[best] + PAIR_WEIGHT * self._pair_scores(query, best)
        order = np.lexsort((best, -found))[:k]
        return {self._ids[best[number]]: float(found[number]) for number in order}

    def _pair_scores(self, query: Sequence[int], candidates: Any) -> Floats:
        """BM25 of the query's neighbouring words as units, for some texts.

        How many texts hold a pair is not counted; were its words independent, its idf would be the sum of
        theirs.
        """
        totals: Floats = np.zeros(len(candidates), dtype=np.float32)
        pairs = set(pairwise(query))
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
