"""Hybrid retrieval: BM25 and vectors, fused."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Self, TypeAlias

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore
from pydantic import Field, PrivateAttr, model_validator

from llama_bedrock.retrievers.arrays import np
from llama_bedrock.retrievers.documents.searchable_text import query_text, searchable_text
from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings
from llama_bedrock.retrievers.search.fusion import Fusion, fuse
from llama_bedrock.retrievers.search.lexical import (
    DocumentsLexicalSide,
    StoreLexicalSide,
    lexical_side_of,
)
from llama_bedrock.unknown_arguments import STRICT, StrictArguments

Scored: TypeAlias = "list[tuple[Any, float]]"
"""What the dense side found, best first: documents, of a FAISSStore their keys, since few are shown."""
_Key: TypeAlias = "str | int"
"""What a document is known by on both sides: of a FAISSStore its key, else as the lexical side says."""
_DenseQuery: TypeAlias = "str | list[float]"
_Steps: TypeAlias = "Generator[_DenseQuery, Scored, list[Document]]"

ALPHA = 0.5
"""Weight of the dense side; of LSA's, less, by the share of a text that it keeps: over 25 collections of
prose and source code that raises nDCG@10 from .538 to .541, and by up to .023 where LSA alone is poor."""
FEEDBACK = 3
"""Documents of the first ranking that the query vector is moved towards, where the embeddings are LSA."""
_FEEDBACK_WEIGHT = 0.8
_OVERFETCHED = 5


@dataclass(frozen=True, slots=True)
class _Call:
    """The options of one call, checked."""

    k: int
    weights: tuple[float, float]
    fusion: Fusion
    filter: Any
    candidates: int
    feedback: int

    @property
    def dense(self) -> dict[str, Any]:
        """What the store is searched with."""
        return {} if self.filter is None else {"filter": self.filter}


@dataclass(frozen=True, slots=True)
class _Step:
    """What a retrieval wants to know from the vector store next, or its result."""

    wanted: _DenseQuery = ""
    result: list[Document] | None = None


class HybridRetriever(StrictArguments, BaseRetriever):
    """Finds documents by their words (BM25) and by their vectors, and fuses the two rankings.

        retriever = HybridRetriever(store=store, k=4)
        retriever.invoke("What is the context window?", k=8, alpha=0.7, filter={"source": "guide.md"})

    Documents come with ``score`` (fused), ``dense_score`` and ``lexical_score`` in their metadata, ``None``
    where that side did not find them. A chunk is found by its title and heading path as well as by its text.

    Every option but ``store`` and ``documents`` can be given per call too. The lexical index of a FAISSStore
    is built at the first search, follows its changes, and is saved with it from then on.

    With LSA embeddings the query's vector is first moved towards the best documents of a first ranking
    (pseudo-relevance feedback). Chosen on one half of the questions, on the other it takes nDCG@10 from .393
    to .398 (Cranfield), .767 to .797 (cookbook-docs), and .491 to .483 and .440 to .438 (docstrings to
    functions of Python's standard library and of scikit-learn); ``feedback=0`` turns it off. All numbers:
    ``benchmarks/retrieval_quality.py``.

    Args:
        store: Where the vectors are: a FAISSStore, or any LangChain vector store, with ``documents``.
        k: How many documents to return. Default 4.
        alpha: Weight of the dense side, 0 to 1; the lexical side has the rest. Default 0.5; with LSA, which
            sees less of a collection the larger and more varied it is, half of `LSAEmbeddings.kept`.
        weights: Instead of alpha: weights of the dense and the lexical side, of any sum.
        fusion: ``"minmax"`` (scores scaled to [0, 1]; default) or ``"rrf"`` (reciprocal ranks).
        filter: Metadata filter, as the store takes it.
        candidates: How many documents each side brings, at least k. Default 100.
        feedback: Documents used for feedback; default 3 for a store with LSA embeddings, else 0.
        documents: The texts for the lexical side, where the store cannot list its own. They are matched with
            the store's by id, or by text if they have none.

    Raises:
        ValueError: An option is out of range, or the store cannot list its documents and none are given.
    """

    model_config = STRICT

    store: VectorStore
    k: int = Field(default=4, ge=1)
    alpha: float | None = Field(default=None, ge=0, le=1)
    weights: tuple[float, float] | None = None
    fusion: Fusion = "minmax"
    filter: Any = None
    candidates: int = Field(default=100, ge=1)
    feedback: int | None = Field(default=None, ge=0)
    documents: Sequence[Document] | None = Field(default=None, repr=False)

    _own: ClassVar[tuple[str, ...]] = ("_lexical", "_lock")
    _follows: ClassVar[tuple[str, ...]] = ("_lexical",)
    _lexical: StoreLexicalSide | DocumentsLexicalSide | None = PrivateAttr(default=None)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.documents is None and lexical_side_of(self.store) is None:
            raise ValueError(
                f"{type(self.store).__name__} cannot list its documents: give them to "
                "HybridRetriever(documents=…) for the lexical side"
            )
        self._call({})
        return self

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        retrieval, steps, step = self._begun(query, kwargs)
        while step.result is None:
            step = _advance(steps, retrieval.search_dense(step.wanted))
        return step.result

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        retrieval, steps, step = await run_in_executor(None, self._begun, query, kwargs)
        while step.result is None:
            found = await retrieval.asearch_dense(step.wanted)
            step = await run_in_executor(None, _advance, steps, found)
        return step.result

    def _begun(self, query: str, kwargs: Mapping[str, Any]) -> tuple[_Retrieval, _Steps, _Step]:
        """A retrieval, its steps, and what the first one wants."""
        retrieval = _Retrieval(self.store, self._call(kwargs), self._lexical_side())
        steps = retrieval.steps(query_text(query))
        return retrieval, steps, _advance(steps, None)

    def _call(self, kwargs: Mapping[str, Any]) -> _Call:
        """The options of a call: its own, else the retriever's.

        Raises:
            ValueError: One is unknown or out of range.
        """
        known = ("k", "alpha", "weights", "fusion", "filter", "candidates", "feedback")
        if unknown := sorted(set(kwargs) - set(known)):
            raise ValueError(f"HybridRetriever takes {', '.join(known)} in a call, not {', '.join(unknown)}")
        options = {name: getattr(self, name) for name in known} | dict(kwargs)
        for name in ("k", "candidates"):
            if isinstance(options[name], bool) or not isinstance(options[name], int) or options[name] < 1:
                raise ValueError(f"{name} must be a positive integer, got {options[name]!r}")
        alpha = self._default_alpha() if options["alpha"] is None else options["alpha"]
        if not isinstance(alpha, Real) or not 0 <= float(alpha) <= 1:
            raise ValueError(f"alpha must be between 0 and 1, got {alpha!r}")
        feedback = options["feedback"]
        if feedback is None:
            by_vector = hasattr(self.store, "similarity_search_with_score_by_vector")
            feedback = FEEDBACK if by_vector and isinstance(self.store.embeddings, LSAEmbeddings) else 0
        # alpha of a call goes before weights of the retriever.
        weights = None if "alpha" in kwargs and "weights" not in kwargs else options["weights"]
        weights = tuple(weights or (alpha, 1 - alpha))
        fuse([{}, {}], weights, options["fusion"])  # checks them
        candidates = max(options["candidates"], options["k"])
        return _Call(options["k"], weights, options["fusion"], options["filter"], candidates, feedback)

    def _default_alpha(self) -> float:
        embeddings = self.store.embeddings
        return ALPHA * (embeddings.kept if isinstance(embeddings, LSAEmbeddings) else 1)

    def _lexical_side(self) -> StoreLexicalSide | DocumentsLexicalSide:
        with self._lock:
            if self._lexical is None:
                if self.documents is not None:
                    self._lexical = DocumentsLexicalSide(self.documents)
                else:
                    self._lexical = lexical_side_of(self.store)
                    assert self._lexical is not None
            return self._lexical


@dataclass(frozen=True, slots=True)
class _Retrieval:
    """One retrieval: its steps, whether or not the store is awaited between them.

    Attributes:
        store: What is searched by vector.
        call: How.
        side: What is searched by words.
    """

    store: Any
    call: _Call
    side: StoreLexicalSide | DocumentsLexicalSide

    def steps(self, query: str) -> _Steps:
        """Yields what the store is to be searched for, and is sent what it found."""
        while True:
            lineage = None if self._is_foreign else self.store.lineage
            shown = yield from self._attempt(query)
            if self._is_foreign or lineage is self.store.lineage:
                return shown
            # The store was reloaded meanwhile: its keys are those of other documents now.

    def _attempt(self, query: str) -> _Steps:
        is_dense = bool(self.call.weights[0])
        if not (is_dense and self.call.feedback):
            # A foreign store's own filter is known only from what it lets pass.
            is_asked = is_dense or (self.call.filter is not None and self._is_foreign)
            found = (yield query) if is_asked else []
            return self._ranked(found, self._lexical_scores(query, found))
        embeddings = self.store.embeddings
        if embeddings is None or not hasattr(self.store, "similarity_search_with_score_by_vector"):
            name = type(self.store).__name__
            raise ValueError(f"feedback needs a store that is searched by vector, and {name} is not")
        vector = embeddings.embed_query(query)
        if not any(vector):  # LSA knows none of its words
            return self._ranked([], self._lexical_scores(query, []))
        found = yield vector
        lexical = self._lexical_scores(query, found)
        if vectors := self._best_vectors(found, lexical, embeddings):
            found = yield _moved(vector, vectors)
        return self._ranked(found, lexical)

    def search_dense(self, wanted: _DenseQuery) -> Scored:
        store, depth = self.store, self._depth()
        found: Scored
        if not self._is_foreign and store.embeddings is not None and len(store):
            if isinstance(wanted, str):
                wanted = store.embeddings.embed_query(wanted)
            found = store.nearest_keys(wanted, depth, self.call.filter)
            return found
        if isinstance(wanted, str):
            return [*store.similarity_search_with_score(wanted, k=depth, **self.call.dense)]
        found = store.similarity_search_with_score_by_vector(wanted, k=depth, **self.call.dense)
        return found

    async def asearch_dense(self, wanted: _DenseQuery) -> Scored:
        store, depth = self.store, self._depth()
        found: Scored
        if not self._is_foreign and store.embeddings is not None and len(store):
            if isinstance(wanted, str):
                wanted = await store.embeddings.aembed_query(wanted)
            found = await store.anearest_keys(wanted, depth, self.call.filter)
            return found
        if isinstance(wanted, str):
            return [*await store.asimilarity_search_with_score(wanted, k=depth, **self.call.dense)]
        if not hasattr(store, "asimilarity_search_with_score_by_vector"):
            return await run_in_executor(None, self.search_dense, wanted)
        found = await store.asimilarity_search_with_score_by_vector(wanted, k=depth, **self.call.dense)
        return found

    def _depth(self) -> int:
        """How many documents to ask the store for: more where its answer also decides what the filter lets
        pass.
        """
        return self.call.candidates * (
            _OVERFETCHED if self.call.filter is not None and self._is_foreign else 1
        )

    @property
    def _is_foreign(self) -> bool:
        return not isinstance(self.side, StoreLexicalSide)

    def _lexical_scores(self, query: str, found: Scored) -> Mapping[Any, float]:
        if not self.call.weights[1]:
            return {}
        if isinstance(self.side, StoreLexicalSide):
            return self.side.search(query, self.call.candidates, self.call.filter)
        # The language of the store's filters is its own: what it let pass is known from what it found.
        allowed = None if self.call.filter is None else [self.side.key(one) for one, _ in found]
        return self.side.search(query, self.call.candidates, allowed)

    def _fused(
        self, found: Scored, lexical: Mapping[Any, float], k: int
    ) -> tuple[list[tuple[_Key, float]], Mapping[Any, float]]:
        """The best k keys with their scores, and the scores of the dense side."""
        dense = self._dense_scores(found[: self.call.candidates])
        return fuse([dense, lexical], self.call.weights, self.call.fusion, k), dense

    def _dense_scores(self, found: Scored) -> Mapping[Any, float]:
        """Scores by key, higher being better: stores that give distances list them in rising order."""
        sign = -1.0 if found and found[0][1] < found[-1][1] else 1.0
        if not isinstance(self.side, StoreLexicalSide):
            # Of documents that share a key the first, nearest, counts.
            return {self.side.key(one): sign * float(score) for one, score in reversed(found)}
        return dict(found) if sign > 0 else {key: -score for key, score in found}

    def _ranked(self, found: Scored, lexical: Mapping[Any, float]) -> list[Document]:
        ranked, dense = self._fused(found, lexical, self.call.k)
        documents = self._documents([key for key, _ in ranked], found)
        shown = []
        for key, score in ranked:
            if document := documents.get(key):  # else it was deleted meanwhile
                scores = {"score": score, "dense_score": dense.get(key), "lexical_score": lexical.get(key)}
                if self._is_foreign:  # it may be the caller's
                    document = Document(document.page_content, id=document.id, metadata={**document.metadata})
                document.metadata.update(scores)
                shown.append(document)
        return shown

    def _documents(self, keys: Sequence[Any], found: Scored) -> Mapping[Any, Document]:
        if isinstance(self.side, StoreLexicalSide):
            own: Mapping[int, Document] = self.store.with_keys(keys)
            return own
        documents = {self.side.key(one): one for one, _ in found if isinstance(one, Document)}
        missing = [key for key in keys if key not in documents]
        return documents | self.side.documents(missing) if missing else documents

    def _best_vectors(
        self, found: Scored, lexical: Mapping[Any, float], embeddings: Embeddings
    ) -> Sequence[Sequence[float]]:
        """The vectors of the best documents."""
        keys = [key for key, _ in self._fused(found, lexical, self.call.feedback)[0]]
        if not self._is_foreign:
            vectors: Sequence[Sequence[float]] = list(self.store.vectors_with_keys(keys))
            return vectors
        documents = self._documents(keys, found)
        texts = [searchable_text(documents[key]) for key in keys if key in documents]
        return embeddings.embed_documents(texts) if texts else []


def _advance(steps: _Steps, found: Scored | None) -> _Step:
    """Run to the next search of the store, or to the end; a StopIteration cannot leave a thread."""
    try:
        return _Step(wanted=next(steps) if found is None else steps.send(found))
    except StopIteration as end:
        return _Step(result=end.value)


def _moved(vector: Sequence[float], towards: Sequence[Sequence[float]]) -> list[float]:
    """The query's direction, moved towards the mean direction of some documents (Rocchio), of unit length."""
    rows = np.asarray([vector, *towards], dtype=np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    shares = np.full(len(rows), _FEEDBACK_WEIGHT / len(towards), np.float32)
    shares[0] = 1.0
    moved = (shares / np.maximum(lengths, 1e-12)) @ rows
    unit: list[float] = (moved / max(math.sqrt(float(moved @ moved)), 1e-12)).tolist()
    return unit
