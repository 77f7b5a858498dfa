"""LSA: embeddings fitted on the corpus itself, with nothing to download."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import or_
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from llama_bedrock._extras import require
from llama_bedrock.argument_kinds import refuses_wrong_kinds, refuses_wrong_kinds_in_methods
from llama_bedrock.retrievers.analysis import AnalysedTexts
from llama_bedrock.retrievers.arrays import Floats, Integers, Slots, counted, np, read_arrays, write_arrays
from llama_bedrock.retrievers.cores import cores, one_thread_in_blas
from llama_bedrock.text import TERMS_VERSION, query_terms

LSA_DIMENSIONS = 256
_MAX_TERMS = 50_000
"""The most frequent terms are kept; the rest could not matter in 256 dimensions, and BM25 sees them all."""
_MAX_FITTED = 10_000
"""Documents that the SVD is computed on, evenly spaced: more of them take longer and find no more."""
_OVERSAMPLED = 10
_ITERATIONS, _FEWER, _MANY = 4, 2, 5_000
"""Iterations of the SVD, and those of so many documents or more: there, vectors that are nearer to the
leading ones find no more. 27,141 functions by their docstrings: nDCG@10 .271 with eight, .272 with four, .282
with two; 8,967 chunks of Django's documentation by their headings: .279 with four, .285 with two."""
_ROWS_A_THREAD = 1_000
_KEPT_SAMPLE = 2_000
_K1, _B = 1.5, 0.75  # as in lexical.py
_FORMAT = 1


class OutdatedLSAError(ValueError):
    """A saved fit is of another version, whose terms are not those of today."""


@refuses_wrong_kinds
@refuses_wrong_kinds_in_methods()
class LSAEmbeddings(Embeddings):
    """Latent semantic analysis: the corpus's BM25-weighted terms, reduced by a truncated SVD.

    Nothing is downloaded, and fitting is deterministic. Vectors have unit length; a text without a known word
    has the zero vector. The vocabulary is that of the corpus at the time of the fit: documents added later
    are projected into the same space, and words that only they hold are not seen until the next fit (see
    ``index_folder``).

    Terms have BM25's weights: with TF-IDF's, nDCG@10 is level on prose, and lower in source code (docstrings
    to functions of Python's standard library: .367 instead of .406).

    Args:
        dimensions: Length of a vector; less for a corpus with fewer documents or terms. Default 256.

    Attributes:
        fitted_documents: Number of texts it was fitted on.
        kept: How much of a text its vector keeps, 0 to 1: the mean length that the texts, of length 1 before,
            have after the reduction. It falls as a corpus grows more varied than its dimensions.
    """

    def __init__(self, dimensions: int = LSA_DIMENSIONS) -> None:
        if dimensions < 1:
            raise ValueError(f"dimensions must be positive, got {dimensions}")
        self.dimensions = dimensions
        self.fitted_documents = 0
        self.kept = 1.0
        self._vocabulary: dict[str, int] = {}
        self._languages: set[str] = set()
        self._average_length = 1.0
        self._idf: Floats | None = None
        self._components: Floats | None = None
        self._fingerprint = ""

    @property
    def model_id(self) -> str:
        """Name and fingerprint of the fit: two objects with the same id give the same vectors."""
        return f"lsa-{self.dimensions}-{self._fingerprint or 'unfitted'}"

    def fit(self, texts: Iterable[str]) -> LSAEmbeddings:
        """Fit on the texts of a corpus, and return self.

        Raises:
            ValueError: There is no text with a word in it.
        """
        self.fit_analysed(AnalysedTexts.of(texts))
        return self

    def fit_array(self, texts: Iterable[str]) -> Floats:
        """Fit on the texts of a corpus, and return their vectors: in less time than one after the other.

        Raises:
            ValueError: There is no text with a word in it.
        """
        return self.vectors_of(self.fit_analysed(AnalysedTexts.of(texts)))

    def fit_analysed(self, texts: AnalysedTexts) -> Any:
        """Fit on texts whose terms are known; `vectors_of` what is returned gives theirs.

        Raises:
            ValueError: There is no text with a word in it.
        """
        count = len(texts)
        if not texts.vocabulary:
            raise ValueError("LSAEmbeddings.fit needs at least one text with a word in it")
        # By name, so that the fit does not depend on the order in which the terms turned up.
        names = sorted(texts.vocabulary)
        places = {name: place for place, name in enumerate(names)}
        ranks = np.fromiter(map(places.__getitem__, texts.vocabulary), np.int32, len(names))
        every = Frequencies.of(ranks[texts.terms], texts.lengths, len(names))
        found = np.bincount(every.terms, minlength=len(names))
        kept = np.argsort(-found, kind="stable")[:_MAX_TERMS]
        self._languages = set(texts.languages)
        self._vocabulary = {names[old]: new for new, old in enumerate(kept.tolist())}
        self._average_length = float(texts.lengths.mean())
        self._idf = np.log(1 + (count - found[kept] + 0.5) / (found[kept] + 0.5)).astype(np.float32)
        numbers = np.full(len(names), -1, np.int32)
        numbers[kept] = np.arange(len(kept), dtype=np.int32)
        matrix = self._weighted(every.renumbered(numbers))
        self._components = _leading(matrix[:: -(-count // _MAX_FITTED)], self.dimensions)
        self.kept = self._share_kept(matrix[:: -(-count // _KEPT_SAMPLE)])
        self.fitted_documents = count
        self._fingerprint = self._digest()
        return matrix

    def _share_kept(self, matrix: Any) -> float:
        matrix = matrix[matrix.getnnz(axis=1) > 0]
        return float(np.linalg.norm(matrix @ self._components, axis=1).mean()) if matrix.shape[0] else 1.0

    def _weights(self, counts: Frequencies) -> Floats:
        """BM25's weight of every term of every row, the rows of unit length."""
        damping = _K1 * (1 - _B + _B * counts.lengths / self._average_length)
        rows = np.repeat(np.arange(len(counts.lengths)), np.diff(counts.ends))
        weights = counts.values * (_K1 + 1) / (counts.values + damping[rows])
        weights = (weights * self._idf[counts.terms]).astype(np.float32)  # type: ignore[index]
        norms = np.sqrt(np.bincount(rows, weights.astype(np.float64) ** 2, minlength=len(counts.lengths)))
        array: Floats = weights / norms[rows].astype(np.float32)
        return array

    def _weighted(self, counts: Frequencies) -> Any:
        """The same as a sparse matrix."""
        shape = (len(counts.lengths), len(self._vocabulary))
        weights = _in_parts(lambda part: self._weights(counts.part(part)), len(counts.lengths))
        sparse = require("scipy.sparse", "local")
        return sparse.csr_matrix((np.concatenate(weights), counts.terms, counts.ends), shape=shape)

    def vectors_of(self, matrix: Any) -> Floats:
        """Unit vectors of texts that `fit_analysed` was given."""
        parts = _in_parts(lambda part: _units(matrix[part] @ self._components), matrix.shape[0])
        array: Floats = _joined(parts)
        return array

    def _digest(self) -> str:
        digest = hashlib.sha256(
            json.dumps([_FORMAT, TERMS_VERSION, self._average_length, list(self._vocabulary)]).encode()
        )
        digest.update(np.ascontiguousarray(self._idf).data)
        digest.update(np.ascontiguousarray(self._components).data)
        return digest.hexdigest()[:16]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Unit vectors of texts."""
        vectors: list[list[float]] = self.embed_array(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Unit vector of a text; zeros if it holds no word of the corpus."""
        self._check_fitted()
        wordings = query_terms(text, self._languages)
        words = reduce(or_, map(Counter, wordings))
        known = sorted(
            (self._vocabulary[word], count) for word, count in words.items() if word in self._vocabulary
        )
        # As `_weights` does it, in a tenth of its time for so few terms.
        terms = [term for term, _ in known]
        damping = _K1 * (1 - _B + _B * words.total() / self._average_length)
        idf = self._idf[terms].tolist()  # type: ignore[index]
        weights = [c * (_K1 + 1) / (c + damping) * rarity for (_, c), rarity in zip(known, idf, strict=True)]
        summed = np.array(weights, np.float32) @ self._components[terms]  # type: ignore[index]
        norm = math.sqrt(float(summed @ summed))
        # The terms' own norm comes first: what is next to nothing of it is nothing.
        own = math.sqrt(sum(weight * weight for weight in weights))
        vector: list[float] = (summed / (norm if norm > 1e-9 * own else own or 1.0)).tolist()
        return vector

    def embed_array(self, texts: Sequence[str]) -> Floats:
        """As :meth:`embed_documents`, as one ``len(texts) × dimensions`` array."""
        self._check_fitted()
        analysed = AnalysedTexts.of(texts)
        numbers = np.array([self._vocabulary.get(word, -1) for word in analysed.vocabulary], np.int32)
        counts = Frequencies.of(numbers[analysed.terms], analysed.lengths, len(self._vocabulary))
        if len(texts) != 1:
            return self.vectors_of(self._weighted(counts))
        # Importing scipy takes longer than all the rest of a short program.
        return _units((self._weights(counts) @ self._components[counts.terms])[None, :])  # type: ignore[index]

    def _check_fitted(self) -> None:
        if self._components is None:
            raise ValueError("LSAEmbeddings is not fitted: call fit(texts) first, or load a fitted one")

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As :meth:`embed_documents`: it computes, so there is nothing to wait for."""
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """As :meth:`embed_query`."""
        return self.embed_query(text)

    def save(self, folder: str | Path) -> None:
        """Write ``lsa.json`` and ``lsa.npz`` into a folder, which is made if it is missing. No pickle."""
        if self._components is None:
            raise ValueError("LSAEmbeddings is not fitted: there is nothing to save")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "format": _FORMAT,
            "analyzer": TERMS_VERSION,
            "dimensions": self.dimensions,
            "documents": self.fitted_documents,
            "average_length": self._average_length,
            "kept": self.kept,
            "languages": sorted(self._languages),
            "fingerprint": self._fingerprint,
            "vocabulary": list(self._vocabulary),
        }
        (folder / "lsa.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        write_arrays(folder / "lsa.npz", idf=self._idf, components=self._components)

    @classmethod
    def load(cls, folder: str | Path) -> LSAEmbeddings:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no saved LSA in the folder.
            OutdatedLSAError: It is of another version: fit it again on the texts.
            ValueError: It is damaged.
        """
        folder = Path(folder)
        about = json.loads((folder / "lsa.json").read_text(encoding="utf-8"))
        if (about.get("format"), about.get("analyzer")) != (_FORMAT, TERMS_VERSION):
            raise OutdatedLSAError(
                f"{folder / 'lsa.json'} is of another version of llama-bedrock: index the documents again"
            )
        embeddings = cls(about["dimensions"])
        embeddings._idf, embeddings._components = read_arrays(folder / "lsa.npz", "idf", "components")
        embeddings._vocabulary = {term: number for number, term in enumerate(about["vocabulary"])}
        embeddings.fitted_documents, embeddings._average_length = about["documents"], about["average_length"]
        embeddings.kept = about["kept"]
        embeddings._languages = set(about["languages"])
        embeddings._fingerprint = embeddings._digest()
        if embeddings._fingerprint != about["fingerprint"]:
            raise ValueError(f"{folder / 'lsa.npz'} is damaged: its checksum does not match")
        return embeddings


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How often each text holds each term, as the rows of a sparse matrix.

    Attributes:
        terms: Numbers of the terms, row after row.
        values: Their frequencies.
        ends: Where each row begins, and where the last ends.
        lengths: Number of words of each text, known or not.
    """

    terms: Any
    values: Any
    ends: Any
    lengths: Any

    @classmethod
    def of(cls, terms: Integers, lengths: Slots, count: int) -> Frequencies:
        """Count the terms of texts, given one after the other; those below 0 are unknown, and left out."""
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

        def counts(part: slice) -> Frequencies:
            return cls._of(terms[starts[part.start] : starts[part.stop]], lengths[part], count)

        parts = _in_parts(counts, len(lengths))
        found = np.cumsum([0, *(len(part.terms) for part in parts)])
        ends = [part.ends[1:] + before for part, before in zip(parts, found[:-1], strict=True)]
        return cls(
            _joined([part.terms for part in parts]),
            _joined([part.values for part in parts]),
            np.concatenate([np.zeros(1, np.int64), *ends]),
            lengths.astype(np.float32),
        )

    @classmethod
    def _of(cls, terms: Integers, lengths: Slots, count: int) -> Frequencies:
        pairs = np.repeat(np.arange(len(lengths)) * max(count, 1), lengths)
        pairs += terms
        known = terms >= 0
        pairs, values = counted(pairs if known.all() else pairs[known])
        rows, numbers = np.divmod(pairs, max(count, 1))
        ends = np.searchsorted(rows, np.arange(len(lengths) + 1))
        return cls(numbers.astype(np.int32), values.astype(np.float32), ends, lengths.astype(np.float32))

    def part(self, rows: slice) -> Frequencies:
        """Some rows of it."""
        ends = self.ends[rows.start : rows.stop + 1]
        own = slice(ends[0], ends[-1])
        return Frequencies(self.terms[own], self.values[own], ends - ends[0], self.lengths[rows])

    def renumbered(self, numbers: Integers) -> Frequencies:
        """The same with other numbers for the terms; those that get one below 0 are left out."""
        terms = numbers[self.terms]
        stays = terms >= 0
        ends = np.concatenate([[0], np.cumsum(stays)])[self.ends]
        return Frequencies(terms[stays], self.values[stays], ends, self.lengths)


def _leading(matrix: Any, dimensions: int) -> Floats:
    """The leading right singular vectors of a sparse matrix, as the columns of ``terms × dimensions``.

    By a randomized SVD (Halko, Martinsson and Tropp, 2011, algorithms 4.4 and 5.1), in which bases come from
    Gram matrices: exact enough for the leading vectors, and made of products of matrices, which use all
    cores. A number known to be less than the least square is taken off all of them, so that the others stand
    out more and each iteration does more (dynamic shifts, Feng, Yu and others, dashSVD, 2024).
    """
    matrix = matrix[matrix.getnnz(axis=1) > 0]
    turned = matrix.T.tocsr()
    rank = min(dimensions, *matrix.shape)
    size = min(rank + _OVERSAMPLED, *matrix.shape)
    start = np.random.default_rng(0).standard_normal((matrix.shape[1], size), np.float32)
    with one_thread_in_blas():  # the threads are ours: BLAS's wait for each other, and spin meanwhile
        basis, _ = _orthonormal(_product(matrix, start))
        shift = 0.0
        for _ in range(_ITERATIONS if matrix.shape[0] < _MANY else _FEWER):
            moved = _product(matrix, _product(turned, basis))
            moved -= np.float32(shift) * basis
            basis, lengths = _orthonormal(moved)
            shift = max(shift, (shift + float(lengths[-1])) / 2)
        right = _orthonormal(_product(turned, basis))[0][:, :rank]
    # Signs are arbitrary: the largest entry of every vector is made positive.
    signs = np.where(right.max(axis=0) < -right.min(axis=0), np.float32(-1), np.float32(1))
    components: Floats = np.ascontiguousarray(right * signs, dtype=np.float32)
    return components


def _orthonormal(vectors: Floats) -> tuple[Floats, Any]:
    """An orthonormal basis of what columns span, in the order of their principal axes, and their lengths."""
    rows = len(vectors)
    squares, axes = np.linalg.eigh(sum(_in_parts(lambda part: _gram(vectors[part]), rows)))
    leading = np.argsort(-squares)
    leading = leading[squares[leading] > 1e-9 * squares[leading[0]]]
    lengths = np.sqrt(squares[leading])
    scaled = (axes[:, leading] / lengths).astype(np.float32)
    return _joined(_in_parts(lambda part: vectors[part] @ scaled, rows)), lengths


def _gram(vectors: Floats) -> Any:
    """Products of the columns with each other, in double precision, without a copy of all in it."""
    total = np.zeros((vectors.shape[1],) * 2)
    for start in range(0, len(vectors), _ROWS_A_THREAD):
        exact = vectors[start : start + _ROWS_A_THREAD].astype(np.float64)
        total += exact.T @ exact
    return total


def _product(matrix: Any, dense: Floats) -> Floats:
    """A sparse matrix times a dense one, by as many threads as there are cores: scipy uses one."""
    # Terms are in the order of their frequency: half of the rows may hold nearly all entries.
    array: Floats = _joined(_in_parts(lambda part: matrix[part] @ dense, matrix.shape[0], matrix.indptr))
    return array


def _units(vectors: Floats) -> Floats:
    """Vectors of unit length; what is next to nothing becomes no longer."""
    norms: Any = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, np.where(norms > 1e-9, norms, 1), dtype=np.float32)


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _in_parts(work: Callable[[slice], Any], rows: int, ends: Any = None) -> list[Any]:
    """What some work gives for rows, a part of them in each core.

    Args:
        work: Takes rows.
        rows: How many there are.
        ends: Where the entries of each row begin, and the last ones end, if a part is to be one of entries.
    """
    workers = max(min(cores(), rows // _ROWS_A_THREAD), 1)
    between = np.linspace(0, rows if ends is None else ends[-1], workers + 1)[1:-1]
    between = between if ends is None else np.searchsorted(ends, between)
    parts = [slice(*cut) for cut in pairwise([0, *map(int, between), rows])]
    if workers < 2:
        return [work(parts[0])]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, parts))
