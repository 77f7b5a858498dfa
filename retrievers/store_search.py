"""The searching half of FAISSStore: what LangChain calls, sync and async."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore

from llama_bedrock.retrievers.collection import Collection, Hit
from llama_bedrock.retrievers.docstore import Row
from llama_bedrock.retrievers.embedding_model import as_array
from llama_bedrock.retrievers.filters import parse_filter
from llama_bedrock.retrievers.search_queue import SearchQueue
from llama_bedrock.retrievers.selection import FilterLike

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors: TypeAlias = npt.NDArray[np.float32]
    Vector: TypeAlias = "Sequence[float] | Vectors"

Scored: TypeAlias = "list[tuple[Document, float]]"


class StoreSearch(VectorStore):
    """Similarity and diversity searches over a `Collection`.

    Every search takes ``k`` (number of documents, default 4) and ``filter`` (see `filters.py`; a function of
    the metadata works too, slowly). Scores are cosine similarity or inner product, greater is nearer; with
    ``metric="l2"`` the Euclidean distance, less is nearer.
    """

    _collection: Collection
    _queue: SearchQueue
    _embedding: Embeddings | None

    def similarity_search(
        self, query: str, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> list[Document]:
        """The k documents nearest to a text."""
        return _documents(self._search(self._embed_query(query), k, filter, kwargs))

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search`; concurrent searches are answered as one batch."""
        return _documents(await self._asearch(await self._aembed_query(query), k, filter, kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> Scored:
        """The k documents nearest to a text, with their scores."""
        return _scored(self._search(self._embed_query(query), k, filter, kwargs))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> Scored:
        """As `similarity_search_with_score`."""
        return _scored(await self._asearch(await self._aembed_query(query), k, filter, kwargs))

    def similarity_search_by_vector(
        self, embedding: Vector, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> list[Document]:
        """The k documents nearest to a vector."""
        return _documents(self._search(embedding, k, filter, kwargs))

    async def asimilarity_search_by_vector(
        self, embedding: Vector, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search_by_vector`."""
        return _documents(await self._asearch(embedding, k, filter, kwargs))

    def similarity_search_with_score_by_vector(
        self, embedding: Vector, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> Scored:
        """The k documents nearest to a vector, with their scores."""
        return _scored(self._search(embedding, k, filter, kwargs))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Vector, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> Scored:
        """As `similarity_search_with_score_by_vector`."""
        return _scored(await self._asearch(embedding, k, filter, kwargs))

    def similarity_search_batch(
        self, queries: list[str], k: int = 4, filter: FilterLike = None
    ) -> list[Scored]:
        """The k documents nearest to each of several texts, with their scores: faster than one by one."""
        if not queries:
            return []
        embedding = self._required_embedding()
        if embedding is None:
            return [[] for _ in queries]
        vectors = as_array([embedding.embed_query(query) for query in queries], len(queries))
        return [_scored(hits) for hits in self._collection.search(vectors, _checked(k), filter)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Some of the fetch_k documents nearest to a text, each chosen to be near it and unlike those before.

        Args:
            query: The text.
            k: Number of documents.
            fetch_k: Number to choose from.
            lambda_mult: 1 looks at nearness alone, 0 at difference alone.
            filter: Metadata filter.
            **kwargs: None are known.
        """
        return self._diverse(self._embed_query(query), k, fetch_k, lambda_mult, filter, kwargs)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`."""
        vector = await self._aembed_query(query)
        return await run_in_executor(None, self._diverse, vector, k, fetch_k, lambda_mult, filter, kwargs)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Vector,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, for a vector."""
        return self._diverse(embedding, k, fetch_k, lambda_mult, filter, kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Scores as relevance in [0, 1], 1 being nearest; they keep the order of the scores.

        Cosine is itself, with what points away from the query at 0. An inner product has no bounds, so it is
        put through the logistic function; a distance d becomes 1 / (1 + d).
        """
        match self._collection.settings.metric:
            case "cosine":
                return lambda score: min(1.0, max(0.0, score))
            case "inner_product":
                return _logistic
            case "l2":
                return lambda distance: 1.0 / (1.0 + distance)

    # Shared

    def _search(
        self, vector: Vector | None, k: int, filter_: FilterLike, kwargs: dict[str, Any]
    ) -> list[Hit]:
        _refuse_unknown(kwargs)
        if vector is None:
            return []
        [hits] = self._collection.search(as_array([vector], 1), _checked(k), filter_)
        return hits

    async def _asearch(
        self, vector: Vector | None, k: int, filter_: FilterLike, kwargs: dict[str, Any]
    ) -> list[Hit]:
        _refuse_unknown(kwargs)
        if vector is None:
            return []
        parsed = filter_ if callable(filter_) else parse_filter(filter_)
        return await self._queue.search(as_array([vector], 1), _checked(k), parsed)

    def _diverse(
        self,
        vector: Vector | None,
        k: int,
        fetch_k: int,
        lambda_mult: float,
        filter_: FilterLike,
        kwargs: dict[str, Any],
    ) -> list[Document]:
        _refuse_unknown(kwargs)
        if not 0 <= lambda_mult <= 1:
            raise ValueError(f"lambda_mult must be between 0 and 1, got {lambda_mult!r}")
        if vector is None:
            return []
        query = as_array([vector], 1)
        return _documents(
            self._collection.search_diverse(query, _checked(k), _checked(fetch_k), lambda_mult, filter_)
        )

    def _embed_query(self, text: str) -> Vector | None:
        embedding = self._required_embedding()
        return None if embedding is None else embedding.embed_query(text)

    async def _aembed_query(self, text: str) -> Vector | None:
        embedding = self._required_embedding()
        return None if embedding is None else await embedding.aembed_query(text)

    def _required_embedding(self) -> Embeddings | None:
        """The embeddings; None if the store is empty, where no query needs any.

        Raises:
            ValueError: There are documents, and no embeddings to search them with.
        """
        if not len(self._collection):
            return None
        if self._embedding is None:
            raise ValueError(
                "this store has vectors and no embedding: search by vector, or give it an embedding"
            )
        return self._embedding


def _document(row: Row) -> Document:
    _, id_, text, metadata = row
    return Document(page_content=text, metadata=json.loads(metadata), id=id_)


def _documents(hits: Sequence[Hit]) -> list[Document]:
    return [_document(hit.row) for hit in hits]


def _scored(hits: Sequence[Hit]) -> Scored:
    return [(_document(hit.row), hit.score) for hit in hits]


def _checked(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be a positive integer, got {k!r}")
    return k


def _refuse_unknown(kwargs: dict[str, Any]) -> None:
    # langchain-community's FAISS needs fetch_k with a filter; here k documents come back without it.
    unknown = set(kwargs) - {"fetch_k"}
    if unknown:
        raise TypeError(f"unknown search arguments {sorted(unknown)}; a search takes k and filter")


def _logistic(score: float) -> float:
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score))
    return math.exp(max(score, -700.0)) / (1.0 + math.exp(max(score, -700.0)))
