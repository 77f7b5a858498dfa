"""Lexical search (BM25) behind one interface: bm25s in memory, tantivy for large stores."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from llama_bedrock._extras import require
from llama_bedrock.retrievers.analysis import ANALYZER_VERSION, terms

K1 = 1.5
B = 0.75
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
        """The best k ids that share a word with the query, with their BM25 scores, best first.

        Args:
            query: Any text.
            k: How many at most.
            allowed: Only these ids, if given.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the index into a folder, which is made if it is missing. No pickle."""

    @abstractmethod
    def ids(self) -> Collection[str]:
        """The ids in the index."""

    def __len__(self) -> int:
        return len(self.ids())


class BM25Index(LexicalIndex):
    """BM25 with bm25s (Lucene's variant, k1 1.5, b 0.75).

    bm25s computes every score when it indexes, so a change means building again (3 s for 100,000 short texts): it is put
    off until the next search. The texts' terms are kept, so nothing is analysed twice.
    """

    def __init__(self) -> None:
        self._vocabulary: dict[str, int] = {}
        self._documents: dict[str, Any] = {}  # id → array of term numbers
        self._order: list[str] = []
        self._position: dict[str, int] = {}
        self._index: Any = None
        self._lock = threading.Lock()

    def add(self, texts: Mapping[str, str]) -> None:
        """Add texts by id; a known id is replaced."""
        np = require("numpy", "local")
        analysed = {identity: terms(text) for identity, text in texts.items()}
        with self._lock:
            for identity, words in analysed.items():
                numbers = [self._vocabulary.setdefault(word, len(self._vocabulary)) for word in words]
                self._documents[identity] = np.array(numbers, dtype=np.int32)
            self._index = None

    def remove(self, ids: Iterable[str]) -> None:
        """Remove texts; unknown ids are ignored."""
        with self._lock:
            for identity in ids:
                if self._documents.pop(identity, None) is not None:
                    self._index = None

    def ids(self) -> Collection[str]:
        """The ids in the index."""
        return self._documents.keys()

    def search(self, query: str, k: int, *, allowed: Collection[str] | None = None) -> dict[str, float]:
        """The best k ids that share a word with the query, with their BM25 scores, best first."""
        np = require("numpy", "local")
        with self._lock:
            index, order, position = self._built()
            numbers = [self._vocabulary[word] for word in terms(query) if word in self._vocabulary]
        if index is None or not numbers or k < 1:
            return {}
        scores = index.get_scores_from_ids(numbers)
        if allowed is not None:
            chosen = np.fromiter((position[i] for i in allowed if i in position), dtype=np.int64)
            masked = np.zeros_like(scores)
            masked[chosen] = scores[chosen]
            scores = masked
        best = np.argpartition(-scores, k)[:k] if k < len(scores) else np.arange(len(scores))
        best = best[scores[best] > 0]
        best = best[np.lexsort((best, -scores[best]))]
        return {order[number]: float(scores[number]) for number in best}

    def _built(self) -> tuple[Any, list[str], dict[str, int]]:
        if self._index is None and any(len(numbers) for numbers in self._documents.values()):
            bm25s = require("bm25s", "local")
            self._order = list(self._documents)
            self._position = {identity: number for number, identity in enumerate(self._order)}
            index = bm25s.BM25(k1=K1, b=B, method="lucene")
            index.build_index_from_ids
            corpus = [self._documents[identity].tolist() for identity in self._order]
            index.index((corpus, self._vocabulary), create_empty_token=False, show_progress=False)
            self._index = index
        return self._index, self._order, self._position

    def save(self, folder: Path) -> None:
        """Write ``lexical.json`` and ``lexical.npz``."""
        np = require("numpy", "local")
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            lengths = np.array([len(numbers) for numbers in self._documents.values()], dtype=np.int64)
            numbers = np.concatenate([*self._documents.values(), np.empty(0, dtype=np.int32)])
            about = {
                "format": _FORMAT,
                "analyzer": ANALYZER_VERSION,
                "vocabulary": list(self._vocabulary),
                "ids": list(self._documents),
            }
        (folder / "lexical.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        np.savez(folder / "lexical.npz", lengths=lengths, terms=numbers)

    @classmethod
    def load(cls, folder: Path) -> BM25Index:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is none in the folder.
            ValueError: It is of another version.
        """
        np = require("numpy", "local")
        about = json.loads((folder / "lexical.json").read_text(encoding="utf-8"))
        if (about.get("format"), about.get("analyzer")) != (_FORMAT, ANALYZER_VERSION):
            raise ValueError(f"{folder / 'lexical.json'} is of another version of llama-bedrock")
        index = cls()
        with np.load(folder / "lexical.npz", allow_pickle=False) as arrays:
            parts = np.split(arrays["terms"], np.cumsum(arrays["lengths"])[:-1]) if about["ids"] else []
        index._vocabulary = {word: number for number, word in enumerate(about["vocabulary"])}
        index._documents = dict(zip(about["ids"], parts, strict=True))
        return index
