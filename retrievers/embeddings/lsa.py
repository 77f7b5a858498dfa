"""LSA: embeddings fitted on the corpus itself, with nothing to download."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats, np, read_arrays, write_arrays
from llama_bedrock.text import TERMS_VERSION, analysed, query_terms, terms

LSA_DIMENSIONS = 256
_MAX_TERMS = 50_000
"""The most frequent terms are kept; the rest could not matter in 256 dimensions, and BM25 sees them all."""
_MAX_FITTED = 20_000
"""Documents that the SVD is computed on, evenly spaced: more of them cost minutes and change little."""
_OVERSAMPLED = 10
_KEPT_SAMPLE = 2_000
_K1, _B = 1.5, 0.75  # as in lexical.py
_FORMAT = 1


class OutdatedLSAError(ValueError):
    """A saved fit is of another version, whose terms are not those of today."""


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
        self._fit(_count(self._analysed(texts), {}))
        return self

    def fit_array(self, texts: Iterable[str]) -> Floats:
        """Fit on the texts of a corpus, and return their vectors: in less time than one after the other.

        Raises:
            ValueError: There is no text with a word in it.
        """
        return self._vectors(self._fit(_count(self._analysed(texts), {})))

    def _analysed(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """The terms of the texts to be fitted on, whose languages are noted."""
        self._languages = set()
        for text in texts:
            words, language = analysed(text)
            self._languages.add(language)
            yield words

    def _fit(self, counts: _Counts) -> _Counts:
        """Fit, and return the counts with the terms numbered as they are from now on."""
        if not counts.vocabulary:
            raise ValueError("LSAEmbeddings.fit needs at least one text with a word in it")
        found = np.bincount(counts.terms, minlength=len(counts.vocabulary))
        names = list(counts.vocabulary)
        kept = sorted(range(len(names)), key=lambda number: (-found[number], names[number]))[:_MAX_TERMS]
        texts = len(counts.lengths)
        self._vocabulary = {names[old]: new for new, old in enumerate(kept)}
        self._average_length = float(counts.lengths.mean())
        self._idf = np.log(1 + (texts - found[kept] + 0.5) / (found[kept] + 0.5)).astype(np.float32)
        counts = counts.renumbered(kept, self._vocabulary)
        matrix = self._weighted(counts)
        step = -(-texts // _MAX_FITTED)
        self._components = self._reduce(matrix[::step])
        self.kept = self._share_kept(matrix[:: -(-texts // _KEPT_SAMPLE)])
        self.fitted_documents = texts
        self._fingerprint = self._digest()
        return counts

    def _reduce(self, matrix: Any) -> Floats:
        """The right singular vectors, as the columns of ``terms × dimensions``, by a randomized SVD.

        As scikit-learn's, but for the last step: of the small matrix that is left (dimensions × terms) the
        singular vectors come from its Gram matrix, which takes a hundredth of the time of its SVD, and is
        exact enough for the leading ones.
        """
        extmath = require("sklearn.utils.extmath", "local")
        matrix = matrix[matrix.getnnz(axis=1) > 0]
        rank = min(self.dimensions, *matrix.shape)
        size = min(rank + _OVERSAMPLED, *matrix.shape)
        basis = extmath.randomized_range_finder(matrix, size=size, n_iter=5, random_state=0)
        small = (matrix.T @ basis).astype(np.float64)
        squares, vectors = np.linalg.eigh(small.T @ small)
        leading = np.argsort(-squares)[:rank]
        leading = leading[squares[leading] > 1e-9 * squares[leading[0]]]
        right = small @ (vectors[:, leading] / np.sqrt(squares[leading]))
        # Signs are arbitrary: the largest entry of every vector is made positive.
        signs = np.sign(right[np.abs(right).argmax(axis=0), np.arange(len(leading))])
        components: Floats = np.ascontiguousarray(right * signs, dtype=np.float32)
        return components

    def _share_kept(self, matrix: Any) -> float:
        matrix = matrix[matrix.getnnz(axis=1) > 0]
        return float(np.linalg.norm(matrix @ self._components, axis=1).mean()) if matrix.shape[0] else 1.0

    def _weights(self, counts: _Counts) -> Floats:
        """BM25's weight of every term of every row, the rows of unit length."""
        damping = _K1 * (1 - _B + _B * counts.lengths / self._average_length)
        rows = np.repeat(np.arange(len(counts.lengths)), np.diff(counts.ends))
        weights = counts.values * (_K1 + 1) / (counts.values + damping[rows])
        weights = (weights * self._idf[counts.terms]).astype(np.float32)  # type: ignore[index]
        norms = np.sqrt(np.bincount(rows, weights.astype(np.float64) ** 2, minlength=len(counts.lengths)))
        weights /= norms[rows].astype(np.float32)
        return weights

    def _weighted(self, counts: _Counts) -> Any:
        """The same as a sparse matrix."""
        shape = (len(counts.lengths), len(self._vocabulary))
        sparse = require("scipy.sparse", "local")
        return sparse.csr_matrix((self._weights(counts), counts.terms, counts.ends), shape=shape)

    def _vectors(self, counts: _Counts) -> Floats:
        if len(counts.lengths) == 1:  # a query: importing scipy takes longer than all the rest of a short program
            vectors = (self._weights(counts) @ self._components[counts.terms])[None, :]
        else:
            vectors = self._weighted(counts) @ self._components
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        array: Floats = (vectors / np.where(norms > 1e-9, norms, 1)).astype(np.float32)
        return array

    def _digest(self) -> str:
        digest = hashlib.sha256(
            json.dumps([_FORMAT, TERMS_VERSION, self._average_length, list(self._vocabulary)]).encode()
        )
        digest.update(self._idf.tobytes())  # type: ignore[union-attr]
        digest.update(self._components.tobytes())  # type: ignore[union-attr]
        return digest.hexdigest()[:16]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Unit vectors of texts."""
        vectors: list[list[float]] = self.embed_array(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Unit vector of a text; zeros if it holds no word of the corpus."""
        self._check_fitted()
        wordings = query_terms(text, self._languages)
        words = list(reduce(or_, map(Counter, wordings)).elements())
        vector: list[float] = self._vectors(_count([words], self._vocabulary, grow=False))[0].tolist()
        return vector

    def embed_array(self, texts: Sequence[str]) -> Floats:
        """As :meth:`embed_documents`, as one ``len(texts) × dimensions`` array."""
        self._check_fitted()
        return self._vectors(_count(map(terms, texts), self._vocabulary, grow=False))

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
class _Counts:
    """How often each text holds each term, as the rows of a sparse matrix.

    Attributes:
        terms: Numbers of the terms, row after row.
        values: Their frequencies.
        ends: Where each row begins, and where the last ends.
        lengths: Number of words of each text, known or not.
        vocabulary: Numbers of the terms.
    """

    terms: Any
    values: Any
    ends: Any
    lengths: Any
    vocabulary: dict[str, int]

    def renumbered(self, kept: Sequence[int], vocabulary: dict[str, int]) -> _Counts:
        """The same counts with other numbers, for the terms that are kept alone."""
        numbers = np.full(len(self.vocabulary), -1, dtype=np.int32)
        numbers[kept] = np.arange(len(kept), dtype=np.int32)
        terms = numbers[self.terms]
        stays = terms >= 0
        ends = np.concatenate([[0], np.cumsum(stays)])[self.ends]
        return _Counts(terms[stays], self.values[stays], ends, self.lengths, vocabulary)


def _count(texts: Iterable[Collection[str]], vocabulary: dict[str, int], *, grow: bool = True) -> _Counts:
    """Count the terms of texts; those that the vocabulary does not hold are entered, or else left out."""
    numbers, values, ends, lengths = array("i"), array("f"), array("q", [0]), array("f")
    for words in texts:
        lengths.append(len(words))
        if grow:
            found = Counter([vocabulary.setdefault(word, len(vocabulary)) for word in words])
        else:
            found = Counter([vocabulary[word] for word in words if word in vocabulary])
        numbers.extend(found.keys())
        values.extend(found.values())
        ends.append(len(numbers))
    return _Counts(
        np.frombuffer(numbers, np.int32) if numbers else np.empty(0, np.int32),
        np.frombuffer(values, np.float32) if values else np.empty(0, np.float32),
        np.frombuffer(ends, np.int64),
        np.frombuffer(lengths, np.float32) if lengths else np.empty(0, np.float32),
        vocabulary,
    )
