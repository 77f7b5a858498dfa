"""FAISSStore: a LangChain vector store on one machine, saved without pickle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from llama_bedrock.argument_kinds import refuses_wrong_kinds, refuses_wrong_kinds_in_methods
from llama_bedrock.retrievers.arrays import Floats, Mask, Slots
from llama_bedrock.retrievers.documents.searchable_text import query_text, with_context
from llama_bedrock.retrievers.embeddings.batches import aembed_batches, as_array, embed_batches
from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings
from llama_bedrock.retrievers.filters import parse_filter
from llama_bedrock.retrievers.store.collection import Collection, Hit, Vectors
from llama_bedrock.retrievers.store.document_table import Entry
from llama_bedrock.retrievers.store.entries import (
    as_document,
    as_documents,
    as_entries,
    check_arguments,
    checked_k,
    last_vectors,
    refuse_unknown_search,
)
from llama_bedrock.retrievers.store.langchain_import import (
    INDEX_NAME,
    holds_langchain_store,
    read_langchain_store,
)
from llama_bedrock.retrievers.store.saved_store import SavedStore, open_store, write_store
from llama_bedrock.retrievers.store.search_queue import Found, SearchQueue
from llama_bedrock.retrievers.store.slots import FilterLike
from llama_bedrock.retrievers.store.vector_index import IndexSettings, Kind, Metric, Storage
from llama_bedrock.unknown_arguments import refuse_unknown

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
        self.key_queue = SearchQueue(collection.search_keys)

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


ADDED_AT_ONCE = 16_384
"""Documents in one change when a new store is filled."""


@refuses_wrong_kinds
@refuses_wrong_kinds_in_methods("add_texts", "aadd_texts")
class FAISSStore(VectorStore):
    """Documents found by their vectors, with FAISS, on this machine.

        store = FAISSStore.from_documents(documents)          # LSA embeddings, fitted on the documents
        store.similarity_search("token limit", k=4, filter={"lang": "en", "year": {"$gte": 2024}})
        store.save("index")
        store = FAISSStore.load("index")

    Adding a document whose id is known replaces it; a change that fails leaves no trace. Filters
    (`filters.py`) are evaluated before the search, so k documents come back whenever k match. Threads,
    processes and event loops may search at the same time; async searches that come together are answered
    together.

    Changes are kept in memory (documents: in a temporary file) until `save`. In a folder, one process saves
    at a time and any number read; a reader keeps the generation it opened, until `reload`.

    Side files: what belongs to the store but is made by others, such as a lexical index, is saved in the same
    atomic generation. ``attach_sidecar(name, write)`` has ``write(folder)`` called in every `save`;
    ``sidecar(name)`` is the folder as it was saved, or None if it does not belong to the present ``version``
    of the store. ``documents()`` lists the documents, ``version`` counts the changes, and
    ``matching_ids(filter)`` evaluates a filter alone.

    Args:
        embedding: Makes vectors of texts; None: `LSAEmbeddings`, fitted on the first documents that are
            added.
        metric: ``"cosine"`` (default), ``"inner_product"`` or ``"l2"`` (Euclidean distance).
        kind: ``"flat"`` compares with every vector, or proves by rounded ones that it need not
            (`byte_scan.py`); ``"fastscan"`` scans short codes of all vectors and compares with the nearest of
            them (`fast_scan.py`); ``"hnsw"`` walks a graph. ``"auto"`` (default) is flat up to 10,000
            documents and fastscan above, and changes as the store grows.
        storage: ``"float32"`` (default), ``"fp16"`` (half the memory, recall .999) or ``"sq8"`` (a quarter,
            recall about .98). Exact means exact for the vectors as they are stored.
        neighbors: Links of a vector in the HNSW graph; default 32.
        ef_construction: Candidates looked at for each vector that enters the graph; default 40.
        ef_search: Candidates looked at in a search of the graph; default 128 up to 100,000 vectors, growing
            to 320 at 1,000,000: recall@10 about .98 and .96.
        candidates: Vectors that a fastscan compares with; default 320 up to 100,000 vectors, growing to 800
            at 1,000,000, and at least 8 × k: recall@10 .999 and .99.
        contextual: Embed a document with the ``title`` and ``heading`` of its metadata, where it has them, in
            front of its text (`analysis.with_context`); False: its text alone.
        embedding_id: Names the embedding model in the saved store; default: found on the embedding object.

    Raises:
        ValueError: A setting is out of its range.
    """

    def __init__(
        self,
        embedding: Embeddings | None = None,
        *,
        metric: Metric = "cosine",
        kind: Kind = "auto",
        storage: Storage = "float32",
        neighbors: int = 32,
        ef_construction: int = 40,
        ef_search: int | None = None,
        candidates: int | None = None,
        contextual: bool = True,
        embedding_id: str | None = None,
    ) -> None:
        settings = IndexSettings(metric, kind, storage, neighbors, ef_construction, ef_search, candidates)
        self._embedding_id = embedding_id
        self._saved: SavedStore | None = None
        self._sidecars: dict[str, Callable[[Path], None]] = {}
        self._contextual = contextual
        self._lineage = object()
        self._contents = Contents(Collection(settings), embedding)

    # Making, saving, opening

    @classmethod
    def from_documents(
        cls, documents: list[Document], embedding: Embeddings | None = None, **kwargs: Any
    ) -> Self:
        """A new store with these documents.

        Args:
            documents: What to add; an ``id`` of its own or a random one names each.
            embedding: Makes vectors of texts; None: `LSAEmbeddings`, fitted on the documents.
            **kwargs: The arguments of `add_documents`, and the constructor's settings.

        Raises:
            ValueError: As in `add_documents`; or there is no text to fit LSA on.
        """
        ids, vectors = kwargs.pop("ids", None), kwargs.pop("vectors", None)
        batch_size = kwargs.pop("batch_size", None)
        store = cls(embedding, **kwargs)
        if embedding is None:
            _, fitted = store._fit([*store.embedded_texts(documents)])
            vectors = fitted[0] if vectors is None else vectors
        store._fill(documents, ids, vectors, batch_size)
        return store

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A new store with these texts; see `from_documents`."""
        documents = as_documents(texts, metadatas)
        return cls.from_documents(documents, embedding, ids=ids, **kwargs)

    @classmethod
    def from_langchain(
        cls,
        path_or_store: Any,
        embedding: Embeddings | None = None,
        *,
        index_name: str = INDEX_NAME,
        **settings: Any,
    ) -> Self:
        """A new store with what is in one of langchain-community's FAISS; nothing is embedded again.

        The metric stays what it was. Scores of ``"l2"`` are distances here and squared distances there; see
        docs/coming-from-langchain-aws.md. Documents that are added later are embedded as there, without their
        titles (``contextual=False``).

        Args:
            path_or_store: The folder that ``FAISS.save_local`` wrote, or the ``FAISS`` object. The folder's
                pickle is read by `langchain_import`, which knows documents and refuses anything else.
            embedding: The embeddings it was made with; None: those of the object. A folder does not say them:
                without, the store is searched by vector, or saved, and given them when it is loaded.
            index_name: As in ``FAISS.save_local``.
            **settings: The constructor's.

        Raises:
            FileNotFoundError: There is no such store in the folder.
            ValueError: It is none, or holds something else than documents.
        """
        found = read_langchain_store(path_or_store, index_name)
        given = {"metric": found.metric, "contextual": False, **settings}
        store = cls(embedding if embedding is not None else found.embedding, **given)
        store._fill(found.documents, None, found.vectors, None)
        return store

    def _fill(self, documents: list[Document], ids: Any, vectors: Any, batch_size: int | None) -> None:
        """Add the first documents."""
        with self._contents.collection.filling(len(documents)):
            for start in range(0, len(documents), ADDED_AT_ONCE):
                part = slice(start, start + ADDED_AT_ONCE)
                own = None if ids is None else ids[part], None if vectors is None else vectors[part]
                self.add_documents(documents[part], ids=own[0], vectors=own[1], batch_size=batch_size)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        embedding: Embeddings | None = None,
        *,
        embedding_id: str | None = None,
        mmap: bool = True,
        verify: bool | None = None,
    ) -> Self:
        """Open a saved store.

        Args:
            folder: Where it was saved.
            embedding: The embeddings it was made with; None: the ones saved with it (`LSAEmbeddings` only).
            embedding_id: Says which model ``embedding`` is, where the object does not tell or tells it
                differently.
            mmap: Share the vectors' files with other processes instead of reading them.
            verify: True compares every file with its checksum. None (default) compares those whose size or
                time of change is not the one of the save; False none.

        Raises:
            FileNotFoundError: There is no store in the folder.
            StoreDamagedError: A file is missing, truncated, changed or foreign.
            ValueError: It was made with another embedding model, or needs ``embedding``.
        """
        try:
            saved, collection, embedding = open_store(
                Path(folder), embedding, embedding_id, mapped=mmap, verify=verify
            )
        except FileNotFoundError:
            if not holds_langchain_store(Path(folder)):
                raise
            raise FileNotFoundError(
                f"{folder} holds a store of langchain-community: FAISSStore.from_langchain({str(folder)!r}, "
                "embedding) takes it over without embedding anything again; save it into another folder"
            ) from None
        store = cls.__new__(cls)
        store._embedding_id = embedding_id
        store._contextual = saved.generation.manifest["contextual"]
        store._saved = saved
        store._sidecars = {}
        store._lineage = object()
        store._contents = Contents(collection, embedding)
        store._fit_outdated()
        return store

    def save(self, folder: str | Path | None = None) -> None:
        """Save the store, or its changes, in one atomic step.

        Args:
            folder: Where; default: where it was opened or saved last. A store that is there is replaced.

        Raises:
            ValueError: There is no folder; nothing was ever added; or the metadata of the embeddings cannot
                be saved.
            StoreLockedError: Another process is saving there.
            StoreChangedError: Another process has saved there since this store was opened.
        """
        if folder is None and self._saved is None:
            raise ValueError("this store was never saved: give save() a folder")
        target = Path(folder) if folder is not None else self._saved.folder  # type: ignore[union-attr]
        with self._changing() as contents:
            self._saved = write_store(
                target,
                contents.collection,
                (contents.embedding, self._embedding_id, self._contextual),
                self._sidecars,
                self._saved,
            )

    def compact(self) -> bool:
        """Join the parts that changes have left, and drop what is deleted; `save` writes the result.

        Saves do so by and by, so that a store never takes half as much room again as a new one; this is for
        the fastest searches, and takes as long as building. Searches go on meanwhile.

        Returns:
            Whether there was anything to do.
        """
        with self._changing() as contents:
            return contents.collection.compact()

    def reload(self) -> bool:
        """Open the folder's current generation, if another process has saved one; True if so. Unsaved changes
        are lost.

        Raises:
            ValueError: The store was never saved.
        """
        if self._saved is None:
            raise ValueError("this store was never saved: there is nothing to reload")
        with self._changing() as contents:
            if self._saved.is_current():
                return False
            # LSA may have been fitted again; the one that belongs to the vectors is saved with them.
            embedding = None if isinstance(contents.embedding, LSAEmbeddings) else contents.embedding
            self._saved, collection, embedding = open_store(
                self._saved.folder, embedding, self._embedding_id, mapped=True, verify=None
            )
            # Another one before and after, so that no search takes an old key for one of today.
            self._lineage, self._contents = object(), Contents(collection, embedding)
            self._lineage = object()
            self._fit_outdated()
            return True

    # What it is

    @property
    def embeddings(self) -> Embeddings | None:
        """The embeddings; None before the first documents, where LSA is to be fitted on them."""
        return self._contents.embedding

    @property
    def folder(self) -> Path | None:
        """Where the store was opened or saved last."""
        return self._saved.folder if self._saved else None

    @property
    def generation(self) -> str | None:
        """Name of the generation that was opened or saved last; another process may have saved since."""
        return self._saved.generation.name if self._saved else None

    @property
    def version(self) -> int:
        """Number of changes so far; it is saved with the store and never falls."""
        return self._contents.collection.version

    @property
    def kind(self) -> str:
        """The kind of index in use now: ``flat``, ``fastscan`` or ``hnsw``."""
        collection = self._contents.collection
        structure = (
            collection.settings.structure(0) if collection.index is None else collection.index.structure
        )
        return structure.kind

    @property
    def metric(self) -> Metric:
        """How vectors are compared."""
        return self._contents.collection.settings.metric

    @property
    def dimension(self) -> int | None:
        """Length of a vector; None while nothing was ever added."""
        return self._contents.collection.dimension

    def attach_sidecar(self, name: str, write: Callable[[Path], None]) -> None:
        """Have ``write(folder)`` called in every `save`, to write side files of this name into the
        generation.

        Raises:
            ValueError: The name is not a plain file name.
        """
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"a sidecar's name must be a plain file name, got {name!r}")
        self._sidecars[name] = write

    def sidecar(self, name: str) -> Path | None:
        """Folder of the side files saved with exactly this version of the store; None if there are none."""
        return self._saved.sidecar(name, self.version) if self._saved else None

    def last_sidecar(self, name: str) -> Path | None:
        """Folder of the side files of the generation that was opened or saved last, whatever was changed
        since; None if it has none of this name.
        """
        return self._saved.last_sidecar(name) if self._saved else None

    @property
    def lineage(self) -> object:
        """Another object after each `reload`; while it is the same, a key is that of one document."""
        return self._lineage

    # Changing and reading

    def __len__(self) -> int:
        return len(self._contents.collection)

    def __bool__(self) -> bool:
        return True  # an empty store is a store

    def documents(self) -> Iterator[Document]:
        """All documents, in the order they were added."""
        return (document for _, document in self.documents_after(0))

    def documents_after(self, key: int) -> Iterator[tuple[int, Document]]:
        """Documents with their keys, those with greater keys than this: the ones added or replaced since it
        was the greatest. Keys are numbers from 1 on, and never used again.
        """
        return ((row[0], as_document(row)) for row in self._contents.collection.iterate(key))

    def alive(self, keys: Slots) -> Mask:
        """Which of these keys belong to documents that are there still."""
        return self._contents.collection.alive(keys)

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add documents, or replace those whose id is known; all of them or, if anything fails, none.

        Args:
            documents: What to add.
            **kwargs: ``ids``: one for each document (None: its own ``id``, else a random one); of documents
                with the same id the last one counts. ``vectors``: theirs, where they are known already, or
                a function that gives them, called when the texts are written. ``batch_size``: texts in one
                call of ``embed_documents``; default 512.

        Returns:
            The ids, in the order of the documents.

        Raises:
            ValueError: Numbers of documents, ids and vectors differ; metadata is not JSON; or the vectors do
                not fit.
        """
        check_arguments(kwargs)
        contents = self._contents
        ids, entries = as_entries(documents, kwargs.get("ids"))
        batches: Vectors = []
        if kwargs.get("vectors") is not None:
            batches = last_vectors(kwargs["vectors"], ids)
        elif entries:
            texts = [self._searchable(entry.text, entry.metadata) for entry in entries]
            embedding, batches = self._fit(texts)
            batches = batches or embed_batches(embedding, texts, kwargs.get("batch_size"))
        self._upsert(contents, entries, batches)
        return ids

    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """As `add_documents`; embedding is awaited, the rest is done in a thread."""
        if kwargs.get("vectors") is not None:
            return await run_in_executor(None, lambda: self.add_documents(documents, **kwargs))
        check_arguments(kwargs)
        contents = self._contents
        ids, entries = as_entries(documents, kwargs.get("ids"))
        texts = [self._searchable(entry.text, entry.metadata) for entry in entries]
        if not texts:
            return []
        embedding, batches = await run_in_executor(None, self._fit, texts)
        batches = batches or await aembed_batches(embedding, texts, kwargs.get("batch_size"))
        await run_in_executor(None, self._upsert, contents, entries, batches)
        return ids

    def add_embeddings(
        self,
        text_embeddings: Sequence[tuple[str, Sequence[float]]],
        metadatas: list[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
    ) -> list[str]:
        """Add texts with vectors that are known already; see `add_documents`."""
        pairs = list(text_embeddings)
        documents = as_documents([text for text, _ in pairs], metadatas)
        return self.add_documents(documents, ids=ids, vectors=[vector for _, vector in pairs])

    def delete(self, ids: list[str] | None = None, *, filter: FilterLike = None, **kwargs: Any) -> bool:
        """Delete documents: those with these ids, or those that match a filter; with neither, all of them.

        Returns:
            True. Ids that are unknown are no error.
        """
        if kwargs:
            raise TypeError(f"delete() takes ids or a filter, got {sorted(kwargs)}")
        if filter is not None:
            if ids is not None or filter == {}:  # which names nothing, and is not meant to name everything
                raise ValueError("delete() takes ids, or a filter that is not empty, or neither for all")
            ids = sorted(self.matching_ids(filter))
        with self._changing() as contents:
            contents.collection.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in that order; unknown ids are left out."""
        return [as_document(row) for row in self._contents.collection.get(ids)]

    def with_keys(self, keys: Sequence[int]) -> dict[int, Document]:
        """The documents with these keys, by key, as far as they are there still."""
        return {key: as_document(row) for key, row in self._contents.collection.rows(keys).items()}

    def matching_keys(self, filter: FilterLike) -> Slots:
        """The keys of all documents that a filter matches, rising."""
        return self._contents.collection.matching_keys(filter)

    def matching_ids(self, filter: FilterLike) -> set[str]:
        """The ids of all documents that a filter matches."""
        return self._contents.collection.matching_ids(filter)

    def vectors(self, ids: Sequence[str]) -> Floats:
        """The stored vectors of documents, one per row; of unit length if the metric is cosine.

        Raises:
            KeyError: An id is unknown.
        """
        return self._contents.collection.vectors(ids)

    def vectors_with_keys(self, keys: Sequence[int]) -> Floats:
        """As `vectors`, of those of the documents with these keys that are there still."""
        return self._contents.collection.living_vectors(keys)

    def refit(self, embedding: Embeddings) -> None:
        """Use another embedding model from now on, and make every vector anew, in one change.

        Args:
            embedding: The new model; its vectors may have another length. An empty store only takes it.
        """
        with self._changing() as contents:
            old = contents.collection
            if old.dimension is None:  # nothing was ever added
                contents.embedding, self._embedding_id, old.version = embedding, None, old.version + 1
                return
            renewed = Collection(old.settings, next_key=old.next_key)
            _, entries = as_entries(list(self.documents()), None)
            for start in range(0, len(entries), ADDED_AT_ONCE):
                part = entries[start : start + ADDED_AT_ONCE]
                texts = [self._searchable(entry.text, entry.metadata) for entry in part]
                renewed.upsert(part, embed_batches(embedding, texts))
            renewed.version = old.version + 1
            self._embedding_id, self._contents = None, Contents(renewed, embedding)

    def _fit_outdated(self) -> None:
        """Fit LSA again where the saved fit is of an older version, whose terms are not those of today."""
        embedding = self._contents.embedding
        if isinstance(embedding, LSAEmbeddings) and not embedding.fitted_documents and len(self):
            self.refit(embedding.fit(self.embedded_texts(self.documents())))

    def _fit(self, texts: Sequence[str]) -> tuple[Embeddings, list[Floats]]:
        """The embeddings; where LSA had to be fitted on the texts first, also their vectors, a by-product."""
        with self._changing() as contents:
            if contents.embedding is not None:
                return contents.embedding, []
            lsa = LSAEmbeddings()
            vectors = lsa.fit_array(texts)
            contents.embedding = lsa
            return lsa, [vectors]

    def embedded_texts(self, documents: Iterable[Document]) -> Iterator[str]:
        """What is embedded of documents; see ``contextual``."""
        return (self._searchable(document.page_content, document.metadata) for document in documents)

    def _searchable(self, text: str, metadata: Mapping[str, Any]) -> str:
        return with_context(text, metadata) if self._contextual else text

    def _upsert(self, contents: Contents, entries: Sequence[Entry], batches: Vectors) -> None:
        with contents.collection.changing:
            if contents is not self._contents:
                raise RuntimeError(
                    "the store was reloaded or refitted while these documents were embedded; add them again"
                )
            contents.collection.upsert(entries, batches)

    @contextmanager
    def _changing(self) -> Iterator[Contents]:
        """The contents, which nobody else changes or exchanges meanwhile."""
        while True:
            contents = self._contents
            with contents.collection.changing:
                if contents is self._contents:
                    yield contents
                    return

    # Searching

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

    def nearest_keys(self, embedding: Vector, k: int, filter: FilterLike) -> list[tuple[int, float]]:
        """As `similarity_search_with_score_by_vector`, with keys, where few of the documents are shown."""
        return self._contents.collection.search_keys(as_array([embedding], 1), checked_k(k), filter)[0]

    async def anearest_keys(self, embedding: Vector, k: int, filter: FilterLike) -> list[tuple[int, float]]:
        """As `nearest_keys`."""
        return await _queued(self._contents.key_queue, embedding, k, filter)

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
        vectors = as_array([embedding.embed_query(query_text(query)) for query in queries], len(queries))
        return [_scored(hits) for hits in contents.collection.search(vectors, checked_k(k), filter)]

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
        vector = None if embedding is None else embedding.embed_query(query_text(query))
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
        vector = None if embedding is None else await embedding.aembed_query(query_text(query))
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

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """Return a retriever of this store.

        Args:
            **kwargs: ``search_type``, ``search_kwargs`` (what a search takes, as ``{"k": 10}``), ``tags``,
                ``metadata`` and ``name``.

        Raises:
            UnknownArgumentError: Another was given.
        """
        hints = dict.fromkeys(("k", "filter", "fetch_k", "lambda_mult"), "use search_kwargs={…}")
        refuse_unknown("as_retriever", kwargs, VectorStoreRetriever.model_fields, hints)
        return super().as_retriever(**kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Scores as relevance in [0, 1], 1 being nearest; they keep the order of the scores.

        Cosine is itself, with what points away from the query at 0. An inner product has no bounds, so it is
        put through the logistic function; a distance d becomes 1 / (1 + d).
        """
        match self._contents.collection.settings.metric:
            case "cosine":
                return lambda score: min(1.0, max(0.0, score))
            case "inner_product":
                return lambda score: 1.0 / (1.0 + math.exp(-max(score, -700.0)))
            case "l2":
                return lambda distance: 1.0 / (1.0 + distance)

    def _search_text(self, query: str, k: int, filter_: FilterLike, kwargs: dict[str, Any]) -> list[Hit]:
        contents = self._contents
        embedding = contents.model()
        vector = None if embedding is None else embedding.embed_query(query_text(query))
        return _search(contents, vector, k, filter_, kwargs)

    async def _asearch_text(
        self, query: str, k: int, filter_: FilterLike, kwargs: dict[str, Any]
    ) -> list[Hit]:
        contents = self._contents
        embedding = contents.model()
        vector = None if embedding is None else await embedding.aembed_query(query_text(query))
        return await _asearch(contents, vector, k, filter_, kwargs)


def _search(
    contents: Contents, vector: Vector | None, k: int, filter_: FilterLike, kwargs: dict[str, Any]
) -> list[Hit]:
    refuse_unknown_search(kwargs)
    if vector is None:
        return []
    return contents.collection.search(as_array([vector], 1), checked_k(k), filter_)[0]


async def _asearch(
    contents: Contents, vector: Vector | None, k: int, filter_: FilterLike, kwargs: dict[str, Any]
) -> list[Hit]:
    refuse_unknown_search(kwargs)
    return [] if vector is None else await _queued(contents.queue, vector, k, filter_)


async def _queued(queue: SearchQueue[Found], vector: Vector, k: int, filter_: FilterLike) -> Found:
    parsed = filter_ if callable(filter_) else parse_filter(filter_)
    return await queue.search(as_array([vector], 1), checked_k(k), parsed)


def _diverse(
    contents: Contents,
    vector: Vector | None,
    k: int,
    fetch_k: int,
    lambda_mult: float,
    filter_: FilterLike,
    kwargs: dict[str, Any],
) -> list[Document]:
    refuse_unknown_search(kwargs)
    if not 0 <= lambda_mult <= 1:
        raise ValueError(f"lambda_mult must be between 0 and 1, got {lambda_mult!r}")
    if vector is None:
        return []
    query, collection = as_array([vector], 1), contents.collection
    return _documents(
        collection.search_diverse(query, checked_k(k), checked_k(fetch_k), lambda_mult, filter_)
    )


def _documents(hits: Sequence[Hit]) -> list[Document]:
    return [as_document(hit.row) for hit in hits]


def _scored(hits: Sequence[Hit]) -> Scored:
    return [(as_document(hit.row), hit.score) for hit in hits]
