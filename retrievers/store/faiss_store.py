"""FAISSStore: a LangChain vector store on one machine, saved without pickle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings
from llama_bedrock.retrievers.store.collection import Collection
from llama_bedrock.retrievers.store.docstore import DocumentTable
from llama_bedrock.retrievers.store.index_settings import IndexSettings, Kind, Metric, Storage
from llama_bedrock.retrievers.store.store_changes import ADDED_AT_ONCE, StoreChanges
from llama_bedrock.retrievers.store.store_entries import as_documents
from llama_bedrock.retrievers.store.store_files import SavedStore, open_store, write_store
from llama_bedrock.retrievers.store.store_search import Contents


class FAISSStore(StoreChanges):
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
        kind: ``"flat"`` compares with every vector; ``"fastscan"`` scans short codes of all vectors and
            compares with the nearest of them (`fast_scan.py`); ``"hnsw"`` walks a graph; ``"ivf"`` looks into
            the nearest of many cells. ``"auto"`` (default) is flat up to 50,000 documents and fastscan above,
            and changes as the store grows.
        storage: ``"float32"`` (default), ``"fp16"`` (half the memory, recall .999) or ``"sq8"`` (a quarter,
            recall about .98). Exact means exact for the vectors as they are stored.
        neighbors: Links of a vector in the HNSW graph; default 32.
        ef_construction: Candidates looked at for each vector that enters the graph; default 40.
        ef_search: Candidates looked at in a search of the graph; default 128 up to 100,000 vectors, growing
            to 320 at 1,000,000: recall@10 about .98 and .96.
        nlist: Cells of IVF; default: about 3.2 √n.
        nprobe: Cells searched; default: 2 √nlist.
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
        nlist: int | None = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        contextual: bool = True,
        embedding_id: str | None = None,
    ) -> None:
        settings = IndexSettings(
            metric, kind, storage, neighbors, ef_construction, ef_search, nlist, nprobe, candidates
        )
        self._embedding_id = embedding_id
        self._saved: SavedStore | None = None
        self._sidecars: dict[str, Callable[[Path], None]] = {}
        self._contextual = contextual
        self._contents = Contents(Collection(DocumentTable.temporary(), settings), embedding)

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
            _, fitted = store._fit([store.embedded_text(document) for document in documents])
            vectors = fitted[0] if vectors is None else vectors
        for start in range(0, len(documents), ADDED_AT_ONCE):
            part = slice(start, start + ADDED_AT_ONCE)
            store.add_documents(
                documents[part],
                ids=None if ids is None else ids[part],
                vectors=None if vectors is None else vectors[part],
                batch_size=batch_size,
            )
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
            mmap: Share the vectors' file with other processes instead of reading it. The first change copies
                it.
            verify: True compares every file with its checksum. None (default) compares those whose size or
                time of change is not the one of the save; False none.

        Raises:
            FileNotFoundError: There is no store in the folder.
            StoreDamagedError: A file is missing, truncated, changed or foreign.
            ValueError: It was made with another embedding model, or needs ``embedding``.
        """
        saved, collection, embedding = open_store(
            Path(folder), embedding, embedding_id, mapped=mmap, verify=verify
        )
        store = cls.__new__(cls)
        store._embedding_id = embedding_id
        store._contextual = saved.generation.manifest["contextual"]
        store._saved = saved
        store._sidecars = {}
        store._contents = Contents(collection, embedding)
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
            self._contents = Contents(collection, embedding)
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
    def version(self) -> int:
        """Number of changes so far; it is saved with the store and never falls."""
        return self._contents.collection.version

    @property
    def kind(self) -> str:
        """The kind of index in use now: ``flat``, ``fastscan``, ``hnsw`` or ``ivf``."""
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
