"""The changing half of FAISSStore: adding, replacing, deleting, and reading by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor

from llama_bedrock.retrievers.analysis import with_context
from llama_bedrock.retrievers.arrays import Floats
from llama_bedrock.retrievers.embeddings.batches import aembed_batches, embed_batches
from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings
from llama_bedrock.retrievers.store.collection import Collection
from llama_bedrock.retrievers.store.docstore import DocumentTable, Entry
from llama_bedrock.retrievers.store.selection import FilterLike
from llama_bedrock.retrievers.store.store_entries import (
    as_documents,
    as_entries,
    check_arguments,
    last_vectors,
)
from llama_bedrock.retrievers.store.store_search import Contents, StoreSearch, as_document

ADDED_AT_ONCE = 16_384
"""Documents in one change when a new store is filled."""


class StoreChanges(StoreSearch):
    """Changes of a store's contents, each whole or not at all."""

    _contextual: bool
    _embedding_id: str | None

    def __len__(self) -> int:
        return len(self._contents.collection)

    def __bool__(self) -> bool:
        return True  # an empty store is a store

    def documents(self) -> Iterator[Document]:
        """All documents, in the order they were added."""
        return (as_document(row) for row in self._contents.collection.iterate())

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add documents, or replace those whose id is known; all of them or, if anything fails, none.

        Args:
            documents: What to add.
            **kwargs: ``ids``: one for each document (None: its own ``id``, else a random one); of documents
                with the same id the last one counts. ``vectors``: the documents' vectors, where they are
                known already. ``batch_size``: texts in one call of ``embed_documents``; default 512.

        Returns:
            The ids, in the order of the documents.

        Raises:
            ValueError: Numbers of documents, ids and vectors differ; metadata is not JSON; or the vectors do
                not fit.
        """
        check_arguments(kwargs)
        contents = self._contents
        ids, entries = as_entries(documents, kwargs.get("ids"))
        texts = [self._searchable(entry.text, entry.metadata) for entry in entries]
        if kwargs.get("vectors") is not None:
            batches = last_vectors(kwargs["vectors"], ids)
        elif not texts:
            batches = []
        else:
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
            if ids is not None:
                raise ValueError("delete() takes ids or a filter, not both")
            ids = sorted(self.matching_ids(filter))
        with self._changing() as contents:
            contents.collection.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in that order; unknown ids are left out."""
        return [as_document(row) for row in self._contents.collection.get(ids)]

    def matching_ids(self, filter: FilterLike) -> set[str]:
        """The ids of all documents that a filter matches."""
        return self._contents.collection.matching_ids(filter)

    def vectors(self, ids: Sequence[str]) -> Floats:
        """The stored vectors of documents, one a row; of unit length if the metric is cosine.

        Raises:
            KeyError: An id is unknown.
        """
        return self._contents.collection.vectors(ids)

    def refit(self, embedding: Embeddings) -> None:
        """Use another embedding model from now on, and make every vector anew, in one change.

        Args:
            embedding: The new model; its vectors may have another length. An empty store only takes it.
        """
        with self._changing() as contents:
            old = contents.collection
            renewed = Collection(DocumentTable.temporary(), old.settings)
            _, entries = as_entries(list(self.documents()), None)
            for start in range(0, len(entries), ADDED_AT_ONCE):
                part = entries[start : start + ADDED_AT_ONCE]
                texts = [self._searchable(entry.text, entry.metadata) for entry in part]
                renewed.upsert(part, embed_batches(embedding, texts))
            renewed.version = old.version + 1
            self._embedding_id = None
            self._contents = Contents(renewed, embedding)

    def _fit(self, texts: Sequence[str]) -> tuple[Embeddings, list[Floats]]:
        """The embeddings; where LSA had to be fitted on the texts first, also their vectors, a by-product."""
        with self._changing() as contents:
            if contents.embedding is not None:
                return contents.embedding, []
            lsa = LSAEmbeddings()
            vectors = lsa.fit_array(texts)
            contents.embedding = lsa
            return lsa, [vectors]

    def embedded_text(self, document: Document) -> str:
        """What is embedded of a document; see ``contextual``."""
        return self._searchable(document.page_content, document.metadata)

    def _searchable(self, text: str, metadata: Mapping[str, Any]) -> str:
        return with_context(text, metadata) if self._contextual else text

    def _upsert(self, contents: Contents, entries: Sequence[Entry], batches: list[Floats]) -> None:
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
