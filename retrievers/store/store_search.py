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

from llama_bedrock.retrievers.arrays import Floats
from llama_bedrock.retrievers.embeddings.batches import as_array
from llama_bedrock.retrievers.filters import parse_filter
from llama_bedrock.retrievers.store.collection import Collection, Hit
from llama_bedrock.retrievers.store.docstore import Row
from llama_bedrock.retrievers.store.search_queue import SearchQueue
from llama_bedrock.retrievers.store.selection import FilterLike

if TYPE_CHECKING:
    Vector: TypeAlias = "Sequence[float] | Floats"

Scored: TypeAlias = "list[tuple[Document, float]]"


class Contents:
    """What a store searches at one time: vectors, documents, and the embeddings that belong to them.

    A store that is reloaded or refitted exchanges it in one step, so that no search mixes old with new.
    """

    def __init__(self, collection: Collection, embedding: Embeddings | None) -> None:
        self.collection = collection
        self.embedding = embedding
        self.queue = SearchQueue(collection.search)

    def model(self) -> Embeddings | None:
        """The embeddings; None if there are no documents, where no query needs any.

        Raises:
            ValueError: There are documents, and no embeddings to search them with.
        """
        if not len(self.collection):
            return None
        if self.embedding is None:
            raise ValueError(
                "this store has vectors and no embedding: search by vector, or give it an embedding"
            )
        return self.embedding


class StoreSearch(VectorStore):
    """Similarity and diversity searches over a `Collection`.

    Every search takes ``k`` (number of documents, default 4) and ``filter`` (see `filters.py`; a function of
    the metadata works too, slowly). Scores are cosine similarity or inner product, greater is nearer; with
    ``metric="l2"`` the Euclidean distance, less is nearer.
    """

    _contents: Contents

    def similarity_search(
        self, query: str, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> list[Document]:
        """The k documents nearest to a text."""
        return _documents(self._search_text(query, k, filter, kwargs))

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search`; concurrent searches are answered as one batch."""
        return _documents(await self._asearch_text(query, k, filter, kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> Scored:
        """The k documents nearest to a text, with their scores."""
        return _scored(self._search_text(query, k, filter, kwargs))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> Scored:
        """As `similarity_search_with_score`."""
        return _scored(await self._asearch_text(query, k, filter, kwargs))

    def similarity_search_by_vector(
        self, embedding: Vector, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> list[Document]:
        """The k documents nearest to a vector."""
        return _documents(_search(self._contents, embedding, k, filter, kwargs))

    async def asimilarity_search_by_vector(
        self, embedding: Vector, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search_by_vector`."""
        return _documents(await _asearch(self._contents, embedding, k, filter, kwargs))

    def similarity_search_with_score_by_vector(
        self, embedding: Vector, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> Scored:
        """The k documents nearest to a vector, with their scores."""
        return _scored(_search(self._contents, embedding, k, filter, kwargs))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Vector, k: int = 4, filter: FilterLike = None, **kwargs: Any
    ) -> Scored:
        """As `similarity_search_with_score_by_vector`."""
        return _scored(await _asearch(self._contents, embedding, k, filter, kwargs))

    def similarity_search_batch(
        self, queries: list[str], k: int = 4, filter: FilterLike = None
    ) -> list[Scored]:
        """The k documents nearest to each of several texts, with their scores: faster than one by one."""
        if not queries:
            return []
        contents = self._contents
        embedding = contents.model()
        if embedding is None:
            return [[] for _ in queries]
        vectors = as_array([embedding.embed_query(query) for query in queries], len(queries))
        return [_scored(hits) for hits in contents.collection.search(vectors, _checked(k), filter)]

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
        contents = self._contents
        embedding = contents.model()
        vector = None if embedding is None else embedding.embed_query(query)
        return _diverse(contents, vector, k, fetch_k, lambda_mult, filter, kwargs)

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
        contents = self._contents
        embedding = contents.model()
        vector = None if embedding is None else await embedding.aembed_query(query)
        return await run_in_executor(
            None, _diverse, contents, vector, k, fetch_k, lambda_mult, filter, kwargs
        )

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
        return _diverse(self._contents, embedding, k, fetch_k, lambda_mult, filter, kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Scores as relevance in [0, 1], 1 being nearest; they keep the order of the scores.

        Cosine is itself, with what points away from the query at 0. An inner product has no bounds, so it is
        put through the logistic function; a distance d becomes 1 / (1 + d).
        """
        match self._contents.collection.settings.metric:
            case "cosine":
                return lambda score: min(1.0, max(0.0, score))
            case "inner_product":
                return _logistic
            case "l2":
                return lambda distance: 1.0 / (1.0 + distance)

    def _search_text(self, query: str, k: int, filter_: FilterLike, kwargs: dict[str, Any]) -> list[Hit]:
        contents = self._contents
        embedding = contents.model()
        vector = None if embedding is None else embedding.embed_query(query)
        return _search(contents, vector, k, filter_, kwargs)

    async def _asearch_text(
        self, query: str, k: int, filter_: FilterLike, kwargs: dict[str, Any]
    ) -> list[Hit]:
        contents = self._contents
        embedding = contents.model()
        vector = None if embedding is None else await embedding.aembed_query(query)
        return await _asearch(contents, vector, k, filter_, kwargs)


def _search(
    contents: Contents, vector: Vector | None, k: int, filter_: FilterLike, kwargs: dict[str, Any]
) -> list[Hit]:
    _refuse_unknown(kwargs)
    if vector is None:
        return []
    [hits] = contents.collection.search(as_array([vector], 1), _checked(k), filter_)
    return hits


async def _asearch(
    contents: Contents, vector: Vector | None, k: int, filter_: FilterLike, kwargs: dict[str, Any]
) -> list[Hit]:
    _refuse_unknown(kwargs)
    if vector is None:
        return []
    parsed = filter_ if callable(filter_) else parse_filter(filter_)
    return await contents.queue.search(as_array([vector], 1), _checked(k), parsed)


def _diverse(
    contents: Contents,
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
    query, collection = as_array([vector], 1), contents.collection
    return _documents(collection.search_diverse(query, _checked(k), _checked(fetch_k), lambda_mult, filter_))


def as_document(row: Row) -> Document:
    """The document of a row."""
    _, id_, text, metadata = row
    return Document(page_content=text, metadata=json.loads(metadata), id=id_)


def _documents(hits: Sequence[Hit]) -> list[Document]:
    return [as_document(hit.row) for hit in hits]


def _scored(hits: Sequence[Hit]) -> Scored:
    return [(as_document(hit.row), hit.score) for hit in hits]


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
