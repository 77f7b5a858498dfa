"""The lexical half of hybrid retrieval: an index of a vector store's documents that follows the store's
changes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from llama_bedrock.retrievers.documents.searchable_text import searchable_text
from llama_bedrock.retrievers.filters import parse_filter
from llama_bedrock.retrievers.search.lexical import BM25Index, LexicalIndex, text_digest

logger = logging.getLogger(__name__)

SIDECAR = "lexical"
"""Name of the side files of a FAISSStore that hold its lexical index."""
LARGE = 50_000
"""Documents from which tantivy is used, if it is installed: bm25s would build for seconds after every
change."""
_OVERFETCHED = 10
_ADDED_AT_ONCE = 10_000


class StoreLexicalSide:
    """The lexical index of a FAISSStore, brought up to date when it is searched, and saved with the store.

    Args:
        store: The store; only what it shows publicly is used: ``documents()``, ``version``, ``matching_ids``,
            ``get_by_ids``, ``attach_sidecar`` and ``sidecar``.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._index: LexicalIndex | None = None
        self._state: tuple[int, int] | None = None
        # An index saved with an older version of the store is still a good beginning: `_follow` mends it.
        self._saved = store.sidecar(SIDECAR)
        store.attach_sidecar(SIDECAR, self._save)

    def search(self, query: str, k: int, filter: Any = None) -> dict[str, float]:
        """Scores of the best k ids that share a word with the query, among those the filter matches."""
        index = self._current()
        if filter is None or filter == {}:
            return index.search(query, k)
        # Most filters let many documents pass, and testing the best few is cheaper than listing all that
        # match.
        found = index.search(query, _OVERFETCHED * k)
        matches = filter if callable(filter) else parse_filter(filter).matches  # type: ignore[union-attr]
        documents = {document.id: document for document in self.store.get_by_ids(list(found))}
        passed = [id_ for id_ in found if id_ in documents and matches(documents[id_].metadata)]
        if len(passed) >= k or len(found) < _OVERFETCHED * k:
            return {id_: found[id_] for id_ in passed[:k]}
        return index.search(query, k, allowed=self.store.matching_ids(filter))

    def key(self, document: Document) -> str:
        """The document's id."""
        return str(document.id)

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents with these ids, by id."""
        return {str(document.id): document for document in self.store.get_by_ids(list(ids))}

    def _current(self) -> LexicalIndex:
        with self._lock:
            # Read before the documents: a change meanwhile is then seen at the next search, never missed.
            # The count tells apart two versions of one number, after a reload.
            state = (self.store.version, len(self.store))
            if self._index is None:
                self._index = self._load()
            elif state != self._state:
                self._follow(self._index)
            self._state = state
            return self._index

    def _load(self) -> LexicalIndex:
        if self._saved is not None and self._saved.is_dir():
            try:
                index = load_lexical_index(self._saved)
            except (ValueError, KeyError, OSError, ImportError) as error:
                logger.warning("cannot use the saved lexical index, building it again: %s", error)
            else:
                if self.store.sidecar(SIDECAR) != self._saved:
                    self._follow(index)
                return index
        index = new_lexical_index(len(self.store))
        self._follow(index)
        return index

    def _follow(self, index: LexicalIndex) -> None:
        """Make the index hold what the store holds; only texts that are new or changed are analysed."""
        known = dict(index.digests())
        added: dict[str, str] = {}
        for document in self.store.documents():
            text = searchable_text(document)
            if known.pop(document.id, None) != text_digest(text):
                added[document.id] = text
            if len(added) >= _ADDED_AT_ONCE:
                index.add(added)
                added = {}
        if known:
            index.remove(known)
        if added:
            index.add(added)

    def _save(self, folder: Path) -> None:
        self._current().save(folder)


class DocumentsLexicalSide:
    """The lexical index of documents given once, for vector stores that cannot list theirs."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = {document_key(document): document for document in documents}
        self._by_text = {document.page_content: key for key, document in self._documents.items()}
        self._index = new_lexical_index(len(self._documents))
        self._index.add({key: searchable_text(document) for key, document in self._documents.items()})

    def search(self, query: str, k: int, allowed: Iterable[str] | None = None) -> dict[str, float]:
        """Scores of the best k keys that share a word with the query, among those allowed."""
        return self._index.search(query, k, allowed=None if allowed is None else list(allowed))

    def key(self, document: Document) -> str:
        """What a document that the store found is known by here.

        Stores may not give ids back (Qdrant's puts them into the metadata); then its text tells.
        """
        if document.id in self._documents:
            return str(document.id)
        return self._by_text.get(document.page_content, document_key(document))

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents with these keys, by key."""
        return {key: self._documents[key] for key in ids}


def document_key(document: Document) -> str:
    """What a document is known by on both sides: its id, or else its text."""
    return document.id if document.id is not None else document.page_content


# By the identity of the store, which keeps its side alive through the sidecar it attached.
_sides: WeakValueDictionary[int, StoreLexicalSide] = WeakValueDictionary()
_sides_lock = threading.Lock()


def lexical_side_of(store: VectorStore) -> StoreLexicalSide | None:
    """The lexical side of a store that lists its documents, shared by all its retrievers; None if it does
    not.
    """
    needed = ("documents", "version", "matching_ids", "attach_sidecar", "sidecar")
    if not all(hasattr(store, name) for name in needed):
        return None
    with _sides_lock:
        side = _sides.get(id(store))
        if side is None or side.store is not store:
            side = _sides[id(store)] = StoreLexicalSide(store)
        return side


def new_lexical_index(documents: int) -> LexicalIndex:
    """An empty index that suits a number of documents."""
    if documents >= LARGE and find_spec("tantivy") is not None:
        from llama_bedrock.retrievers.search.lexical_tantivy import TantivyIndex

        return TantivyIndex()
    return BM25Index()


def load_lexical_index(folder: Path) -> LexicalIndex:
    """Read an index of either kind; see `LexicalIndex.load`."""
    if (folder / "tantivy").is_dir():
        from llama_bedrock.retrievers.search.lexical_tantivy import TantivyIndex

        return TantivyIndex.load(folder)
    return BM25Index.load(folder)
