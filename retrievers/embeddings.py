"""Embeddings: LSA fitted on the corpus, with nothing to download, and the default that AWS credentials change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from llama_bedrock._extras import require
from llama_bedrock.retrievers.analysis import ANALYZER_VERSION, terms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from langchain_core.documents import Document

LSA_DIMENSIONS = 256
_MAX_TERMS = 100_000
_FORMAT = 1


class LSAEmbeddings(Embeddings):
    """Latent semantic analysis: stemmed TF-IDF, reduced by a truncated SVD fitted on the corpus.

    Fitting is deterministic. Vectors have unit length; a text without a known word has the zero vector. The vocabulary
    is the corpus's at the time of the fit: documents added later are projected into the same space, so words that only
    they hold are not seen until the next fit (``index_folder`` refits when the corpus has grown enough).

    Args:
        dimensions: Length of a vector; less for a corpus with fewer documents or terms. Default 256.
    """

    def __init__(self, dimensions: int = LSA_DIMENSIONS) -> None:
        if dimensions < 1:
            raise ValueError(f"dimensions must be positive, got {dimensions}")
        self.dimensions = dimensions
        self.fitted_documents = 0
        self._vocabulary: dict[str, int] = {}
        self._idf: npt.NDArray[np.float32] | None = None
        self._components: npt.NDArray[np.float32] | None = None
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
        np, sparse = require("numpy", "local"), require("scipy.sparse", "local")
        counted = [_count(text) for text in texts]
        frequencies: dict[str, int] = {}
        for counts in counted:
            for term in counts:
                frequencies[term] = frequencies.get(term, 0) + 1
        if not frequencies:
            raise ValueError("LSAEmbeddings.fit needs at least one text with a word in it")
        kept = sorted(frequencies, key=lambda term: (-frequencies[term], term))[:_MAX_TERMS]
        self._vocabulary = {term: number for number, term in enumerate(kept)}
        self.fitted_documents = len(counted)
        document_frequency = np.array([frequencies[term] for term in kept], dtype=np.float32)
        self._idf = (np.log((1 + len(counted)) / (1 + document_frequency)) + 1).astype(np.float32)
        matrix = self._tfidf(counted, np, sparse)
        self._components = self._reduce(matrix[matrix.getnnz(axis=1) > 0], np)
        self._fingerprint = self._digest()
        return self

    def _reduce(self, matrix: Any, np: Any) -> Any:
        """The right singular vectors, as rows of ``terms × dimensions``."""
        extmath = require("sklearn.utils.extmath", "local")
        rank = min(self.dimensions, *matrix.shape)
        _, singular_values, right = extmath.randomized_svd(matrix, rank, n_iter=5, random_state=0)
        right = right[singular_values > 1e-6 * singular_values[0]]
        return np.ascontiguousarray(right.T, dtype=np.float32)

    def _tfidf(self, counted: Sequence[dict[str, int]], np: Any, sparse: Any) -> Any:
        """Unit-length rows of (1 + log tf) · idf."""
        columns: list[int] = []
        values: list[int] = []
        ends = [0]
        for counts in counted:
            for term, count in counts.items():
                number = self._vocabulary.get(term)
                if number is not None:
                    columns.append(number)
                    values.append(count)
            ends.append(len(columns))
        weights = 1 + np.log(np.array(values, dtype=np.float32))
        numbers = np.array(columns, dtype=np.int32)
        weights *= self._idf[numbers] if len(numbers) else 1  # type: ignore[index]
        matrix = sparse.csr_matrix((weights, numbers, ends), shape=(len(counted), len(self._vocabulary)))
        norms = np.sqrt(matrix.multiply(matrix).sum(axis=1)).A1
        return sparse.diags(1 / np.where(norms > 0, norms, 1)) @ matrix

    def _digest(self) -> str:
        digest = hashlib.sha256(json.dumps([_FORMAT, ANALYZER_VERSION, list(self._vocabulary)]).encode())
        digest.update(self._idf.tobytes())  # type: ignore[union-attr]
        digest.update(self._components.tobytes())  # type: ignore[union-attr]
        return digest.hexdigest()[:16]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Unit vectors of texts."""
        vectors: list[list[float]] = self.embed_array(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Unit vector of a text; zeros if it holds no word of the corpus."""
        return self.embed_documents([text])[0]

    def embed_array(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """As :meth:`embed_documents`, as one ``len(texts) × dimensions`` array."""
        if self._components is None:
            raise ValueError("LSAEmbeddings is not fitted: call fit(texts) first, or load a fitted one")
        np, sparse = require("numpy", "local"), require("scipy.sparse", "local")
        vectors = self._tfidf([_count(text) for text in texts], np, sparse) @ self._components
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        array: npt.NDArray[np.float32] = (vectors / np.where(norms > 1e-9, norms, 1)).astype(np.float32)
        return array

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
        np = require("numpy", "local")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "format": _FORMAT,
            "analyzer": ANALYZER_VERSION,
            "dimensions": self.dimensions,
            "documents": self.fitted_documents,
            "fingerprint": self._fingerprint,
            "vocabulary": list(self._vocabulary),
        }
        (folder / "lsa.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        np.savez(folder / "lsa.npz", idf=self._idf, components=self._components)

    @classmethod
    def load(cls, folder: str | Path) -> LSAEmbeddings:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no saved LSA in the folder.
            ValueError: It is damaged, or of another version.
        """
        np = require("numpy", "local")
        folder = Path(folder)
        about = json.loads((folder / "lsa.json").read_text(encoding="utf-8"))
        if (about.get("format"), about.get("analyzer")) != (_FORMAT, ANALYZER_VERSION):
            raise ValueError(
                f"{folder / 'lsa.json'} is of another version of llama-bedrock: index the documents again"
            )
        embeddings = cls(about["dimensions"])
        with np.load(folder / "lsa.npz", allow_pickle=False) as arrays:
            embeddings._idf, embeddings._components = arrays["idf"], arrays["components"]
        embeddings._vocabulary = {term: number for number, term in enumerate(about["vocabulary"])}
        embeddings.fitted_documents = about["documents"]
        embeddings._fingerprint = embeddings._digest()
        if embeddings._fingerprint != about["fingerprint"]:
            raise ValueError(f"{folder / 'lsa.npz'} is damaged: its checksum does not match")
        return embeddings


def _count(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for term in terms(text):
        counts[term] = counts.get(term, 0) + 1
    return counts


def default_embeddings(documents: Iterable[Document | str], *, region_name: str | None = None) -> Embeddings:
    """Titan Text Embeddings V2 on Bedrock where AWS credentials are found, else LSA fitted on the documents.

    Args:
        documents: What LSA is fitted on.
        region_name: AWS region; default: the one of the environment or profile.
    """
    if _has_aws_credentials():
        aws = require("langchain_aws", "aws")
        embeddings: Embeddings = aws.BedrockEmbeddings(
            model_id="amazon.titan-embed-text-v2:0", region_name=region_name
        )
        return embeddings
    return LSAEmbeddings().fit(d if isinstance(d, str) else d.page_content for d in documents)


def _has_aws_credentials() -> bool:
    session = require("botocore.session", "aws").Session()
    return session.get_credentials() is not None
