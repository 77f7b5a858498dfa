"""What an index is written to: a FAISSStore, or any other LangChain vector store."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from llama_bedrock.retrievers.arrays import np
from llama_bedrock.retrievers.embeddings.batches import identity
from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings
from llama_bedrock.retrievers.indexing.analysis_ahead import AnalysisAhead
from llama_bedrock.retrievers.indexing.backends import IndexEngine
from llama_bedrock.retrievers.indexing.folder_manifest import Folder, Manifest, ManifestPart
from llama_bedrock.retrievers.indexing.known_files import Chunk
from llama_bedrock.retrievers.indexing.vector_journal import VectorJournal
from llama_bedrock.retrievers.joining import first_to_join
from llama_bedrock.retrievers.search.lexical import lexical_side_of
from llama_bedrock.retrievers.second_thread import in_second_thread
from llama_bedrock.retrievers.store.faiss_store import FAISSStore
from llama_bedrock.retrievers.store.generations import (
    StoreChangedError,
    StoreDamagedError,
    StoreLockedError,
    current_name,
)
from llama_bedrock.retrievers.store.locks import FileLock
from llama_bedrock.retrievers.store.private_files import (
    ForeignFileError,
    link_file,
    make_folder,
    map_file,
    read_file,
    replace_file,
)

logger = logging.getLogger(__name__)

MANIFEST_FILE = "manifest.bin"
_OLD_FILE = "manifest.json"
SIDECAR = "folders"
"""Name of the side files of a FAISSStore that hold it."""
_JOURNAL = "index-journal"
_LOCK = "indexing.lock"
_MANIFEST_BYTES = 2**31
_MOST_TOLD, _FEW = 1.25, 100
"""The files of a manifest may tell of so many more than there are; below a hundred it does not matter."""
_AT_ONCE = 2048
_ADDED_AT_ONCE = 16_384
_WRITTEN_MEANWHILE = 131_072


class _HoldsOthers(Exception):
    """The store has other documents, of this or another thread: their vectors are made anew, too."""


class IndexTarget(Protocol):
    """Where chunks go, and where the manifest is kept."""

    @property
    def manifest(self) -> Manifest:
        """What is known of the folders indexed so far; it is changed in place."""

    @property
    def chunks_at_once(self) -> int | None:
        """How many chunks to bring at a time; None: all of them."""

    @property
    def is_atomic(self) -> bool:
        """Whether nothing is kept before `finish`."""

    @property
    def is_unsaved(self) -> bool:
        """Whether `finish` is called for even if no file has changed."""

    def lost(self, folder: Folder) -> set[str]:
        """Sources whose chunks are not all in the store any more."""

    def open(self) -> AbstractContextManager[None]:
        """Keep other processes from changing it; called before the first change.

        Raises:
            StoreLockedError: One is.
            StoreChangedError: One has, since the manifest was read.
        """

    def strays(self, path: str) -> set[str]:
        """Ids of chunks of a folder that are in the store although no manifest tells of them."""

    def expect(self, size: int) -> None:
        """So many bytes of files will be read."""

    def foresee(self, documents: Sequence[Document]) -> None:
        """Chunks that will probably be added later."""

    def add(
        self,
        documents: Sequence[Document],
        chunks: Sequence[Chunk],
        known: Folder,
        engine: IndexEngine,
        tell: Callable[[int, int], None],
    ) -> int:
        """Add chunks.

        Args:
            documents: The chunks as documents.
            chunks: The same, as the manifest remembers them.
            known: Chunks that were in the store before, whose vectors may be of use.
            engine: Embeds.
            tell: Told how many texts are embedded, of how many.

        Returns:
            How many texts were embedded for it.
        """

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks."""

    def checkpoint(self) -> None:
        """Keep what was done so far."""

    def finish(self) -> bool:
        """Keep what was done. Returns whether the embeddings were fitted again."""


class ManifestSide:
    """The manifest of a FAISSStore, written by every save of it from now on: what changed, in a file of its
    own beside the older ones, which are joined by and by.
    """

    def __init__(self, store: FAISSStore) -> None:
        self._store = weakref.ref(store)  # the store refers to this, and goes with its last user
        self.manifest = Manifest()
        self._files: dict[str, ManifestPart] = {}
        """What is in the files, by name, oldest first."""
        self._lineage = store.lineage
        folder = store.sidecar(SIDECAR)
        if folder is not None:
            try:
                self._read(folder)
            except (ValueError, OSError) as error:
                logger.warning("cannot use the saved manifest, reading all files again: %s", error)
                self.manifest, self._files = Manifest(), {}
        store.attach_sidecar(SIDECAR, self._write)

    @property
    def store(self) -> FAISSStore | None:
        """The store; None when nobody uses it any more."""
        return self._store()

    def _read(self, folder: Path) -> None:
        names = sorted((path.name for path in folder.glob("manifest*.bin")), key=_number)
        if names:
            self._files = {name: ManifestPart.decode(map_file(folder / name)) for name in names}
            self.manifest = Manifest.of(list(self._files.values()))
            return
        names = sorted((path.name for path in folder.glob("manifest*.json")), key=_number)
        self.manifest = Manifest.of_json(read_file(folder / n, _MANIFEST_BYTES) or b"" for n in names)

    def _write(self, folder: Path) -> None:
        store = self.store
        assert store is not None, "it is the store that calls this"
        before = store.last_sidecar(SIDECAR)
        is_same = before is not None and self._lineage is store.lineage
        if not is_same or not all((before / name).is_file() for name in self._files):  # type: ignore[operator]
            self._files = {}
        parts = self._files
        sizes = [sum(map(len, part.columns.values())) for part in parts.values()]
        sizes.append(sum(known.files.changed for known in self.manifest.folders.values()))
        first = first_to_join(sizes)
        if not parts or sum(sizes) > _MOST_TOLD * max(sum(map(_size, self._folders())), _FEW):
            first = 0
        names = list(parts)
        for name in names[:first]:
            link_file(before / name, folder / name)  # type: ignore[operator]
        joined = [parts[name] for name in names[first:]]
        new = self._part(joined if first else None)
        name = f"manifest-{_number(names[-1]) + 1}.bin" if first else MANIFEST_FILE
        encoded = new.encode()
        (folder / name).write_bytes(encoded)  # the save syncs it to the disk, with all the others
        self._files = {name: parts[name] for name in names[:first]} | {name: ManifestPart.decode(encoded)}
        self._lineage = store.lineage
        self.manifest.keep(list(self._files.values()))

    def _folders(self) -> Iterable[Folder]:
        return self.manifest.folders.values()

    def _part(self, joined: Sequence[ManifestPart] | None) -> ManifestPart:
        """What a new file tells: what has changed, and what those files told that it takes the place of; or
        all.
        """
        folders = self.manifest.folders.items()
        if joined is None:
            return self.manifest.part({name: folder.files.everything() for name, folder in folders})
        columns = {}
        for name, folder in folders:
            columns[name] = folder.files.changes([p.columns[name] for p in joined if name in p.columns])
        return self.manifest.part(columns)


def _size(folder: Folder) -> int:
    return len(folder.files)


def _number(name: str) -> int:
    """The place of a file of the manifest: the later, the higher; `MANIFEST_FILE` is the first."""
    digits = name.removeprefix("manifest").partition(".")[0].removeprefix("-")
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


_sides: WeakValueDictionary[int, ManifestSide] = WeakValueDictionary()
_sides_lock = threading.Lock()


def manifest_side_of(store: FAISSStore) -> ManifestSide:
    """The manifest of a store, the same object for every index run in this process."""
    with _sides_lock:
        side = _sides.get(id(store))
        if side is None or side.store is not store:
            side = _sides[id(store)] = ManifestSide(store)
        return side


class FAISSTarget:
    """A FAISSStore. The manifest is saved with it, in the same atomic step.

    Until that step, vectors are written into a journal in the store's folder as they are computed, so an
    interrupted run does not compute them again.

    Args:
        store: The store.
        batch_size: Texts in one call of the embedding model.
        refit_growth: Growth of the corpus, as a share, at which LSA is fitted again.
        folder: Where to save the store; None leaves that to the caller.
    """

    def __init__(self, store: FAISSStore, batch_size: int, refit_growth: float, folder: Path | None) -> None:
        self._store = store
        self._batch_size = batch_size
        self._refit_growth = refit_growth
        self._folder = folder
        self._side = manifest_side_of(store)
        self._journal: VectorJournal | None = None
        self._ahead = AnalysisAhead()
        self._lexical = lexical_side_of(store)  # has the store save its lexical index too

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep other processes from indexing into the same folder meanwhile.

        Raises:
            StoreLockedError: One is.
            StoreChangedError: There is another store in the folder.
        """
        with ExitStack() as stack:
            folder = self._folder
            stack.enter_context(self._ahead)
            if folder is not None:
                stack.enter_context(_locked(folder, f"another process is indexing into {folder}"))
                self._check_current(folder)
                embeddings = self._store.embeddings
                if embeddings is not None and not isinstance(embeddings, LSAEmbeddings):
                    journal = VectorJournal(folder / _JOURNAL, identity(embeddings), self._store.dimension)
                    self._journal = stack.enter_context(journal)
            yield

    def _check_current(self, folder: Path) -> None:
        name = current_name(folder)
        if name is None:
            return
        if not self._is_here():
            raise StoreChangedError(
                f"{folder} holds a saved store: open it with FAISSStore.load to bring it up to date, "
                "or choose another folder"
            )
        if name != self._store.generation:
            raise StoreChangedError(
                f"another process has saved {folder} since this store was opened: reload() it, then index"
            )

    @property
    def manifest(self) -> Manifest:
        """What is known of the folders indexed so far."""
        return self._side.manifest

    @property
    def chunks_at_once(self) -> int | None:
        """All of them where LSA has to be fitted on them first."""
        return None if self._store.embeddings is None else _AT_ONCE

    @property
    def is_atomic(self) -> bool:
        """Yes; the journal keeps what would be lost."""
        return True

    @property
    def is_unsaved(self) -> bool:
        """Whether the store has changes that its folder has not, or has to be saved in another."""
        return self._folder is not None and (not self._is_here() or self._store.sidecar(SIDECAR) is None)

    def _is_here(self) -> bool:
        folder = self._store.folder
        return folder is not None and os.path.realpath(folder) == os.path.realpath(self._folder or folder)

    def lost(self, folder: Folder) -> set[str]:
        """Sources whose chunks somebody has deleted since."""
        if self._store.version == self.manifest.store_version:
            return set()
        ids = [id_ for file in folder.files.values() for id_ in file.chunks.ids]
        present = self._present(ids)
        return {
            source
            for source, file in folder.files.items()
            if any(id_ not in present for id_ in file.chunks.ids)
        }

    def strays(self, path: str) -> set[str]:
        """Ids of chunks of this folder in a store that lost its manifest, or never had one."""
        recorded = {chunk.id for folder in self.manifest.folders.values() for chunk in folder.chunks()}
        return {
            str(document.id)
            for document in self._store.documents()
            if document.id not in recorded
            and "start_index" in document.metadata
            and _lies_under(document.metadata.get("source"), path)
        }

    def expect(self, size: int) -> None:
        """Have what finds terms meanwhile made ready, where LSA is to be fitted."""
        if self._store.embeddings is None:
            self._ahead.expect(size)

    def foresee(self, documents: Sequence[Document]) -> None:
        """Have their terms found meanwhile, where LSA is to be fitted on them."""
        if self._store.embeddings is None:
            self._ahead.take(self._store.embedded_texts(documents))

    def add(
        self,
        documents: Sequence[Document],
        chunks: Sequence[Chunk],
        known: Folder,
        engine: IndexEngine,
        tell: Callable[[int, int], None],
    ) -> int:
        """Add the chunks that are not in the store yet; a text whose vector is known is not embedded."""
        present = self._present([chunk.id for chunk in chunks])
        fresh = [
            (document, chunk)
            for document, chunk in zip(documents, chunks, strict=True)
            if not _same(present.get(chunk.id), document)
        ]
        if not fresh:
            return 0
        embedded = self._store.embedded_texts(document for document, _ in fresh)
        texts = {chunk.vector: text for (_, chunk), text in zip(fresh, embedded, strict=True)}
        if self._store.embeddings is None:
            self._fit_and_add(fresh, texts)
            return len(texts)
        vectors = self._known_vectors(texts.keys(), known)
        missing = [digest for digest in texts if digest not in vectors]
        vectors |= self._embedded(missing, [texts[digest] for digest in missing], engine, tell)
        self._add_vectors(fresh, vectors)
        return len(missing)

    def _fit_and_add(self, fresh: Sequence[tuple[Document, Chunk]], texts: Mapping[str, str]) -> None:
        """Fit LSA on texts while their documents are written, which one core does, and then add the vectors.

        Args:
            fresh: The documents.
            texts: What is embedded of them, by their chunks' digests.
        """
        lsa = LSAEmbeddings()
        analysed = self._ahead.analysed(list(texts.values()))
        order = {digest: place for place, digest in enumerate(texts)}
        places = [order[chunk.vector] for _, chunk in fresh]
        # A store may embed less of a document than it is found by (``contextual=False``).
        less = (c.vector != c.content and texts[c.vector] == d.page_content for d, c in fresh)
        lexical = None if any(less) else self._lexical

        def fit() -> Any:
            found = analysed()
            with ExitStack() as stack:
                if lexical is not None:
                    ids = [chunk.id for _, chunk in fresh]
                    stack.enter_context(lexical.preparing(ids, found, places))
                return lsa.vectors_of(lsa.fit_analysed(found))[places]

        with in_second_thread(fit, "lsa") as fitted:

            def vectors() -> Any:
                """Those of the first documents, once they are written; the store has its embeddings then."""
                if self._store.dimension is not None:
                    raise _HoldsOthers
                found = fitted.result()[:_WRITTEN_MEANWHILE]
                self._store.refit(lsa)
                return found

            first = 0
            with suppress(_HoldsOthers):
                self._add_part(fresh[:_WRITTEN_MEANWHILE], vectors)
                first = min(len(fresh), _WRITTEN_MEANWHILE)
            if not first:
                fitted.result()
                self._store.refit(lsa)
            for start in range(first, len(fresh), _ADDED_AT_ONCE):
                part = slice(start, start + _ADDED_AT_ONCE)
                self._add_part(fresh[part], fitted.result()[part])

    def _add_vectors(self, fresh: Sequence[tuple[Document, Chunk]], vectors: Mapping[str, Any]) -> None:
        for start in range(0, len(fresh), _ADDED_AT_ONCE):
            part = fresh[start : start + _ADDED_AT_ONCE]
            self._add_part(part, np.stack([vectors[chunk.vector] for _, chunk in part]))

    def _add_part(self, part: Sequence[tuple[Document, Chunk]], vectors: Any) -> None:
        self._store.add_documents(
            [document for document, _ in part], ids=[chunk.id for _, chunk in part], vectors=vectors
        )

    def _known_vectors(self, digests: Iterable[str], known: Folder) -> dict[str, Any]:
        """Vectors of texts that are in the store or in the journal already."""
        journal = self._journal.vectors if self._journal else {}
        found = {digest: journal[digest] for digest in digests if digest in journal}
        stored = {chunk.vector: chunk.id for chunk in known.chunks()}
        wanted = {digest: stored[digest] for digest in digests if digest in stored and digest not in found}
        present = self._present(list(wanted.values()))
        wanted = {digest: id_ for digest, id_ in wanted.items() if id_ in present}
        if wanted:
            found |= zip(wanted, self._store.vectors(list(wanted.values())), strict=True)
        return found

    def _embedded(
        self,
        digests: list[str],
        texts: list[str],
        engine: IndexEngine,
        tell: Callable[[int, int], None],
    ) -> dict[str, Any]:
        embeddings = self._store.embeddings
        assert embeddings is not None
        vectors: dict[str, Any] = {}
        done = 0
        for batch in engine.embed(embeddings, texts, self._batch_size) if texts else ():
            part = digests[done : done + len(batch)]
            if self._journal is not None:
                self._journal.add(part, batch)
            vectors |= zip(part, batch, strict=True)
            done += len(batch)
            tell(done, len(digests))
        return vectors

    def _present(self, ids: list[str]) -> dict[str, Document]:
        return {str(document.id): document for document in self._store.get_by_ids(ids)}

    def delete(self, ids: Sequence[str]) -> None:
        if ids:
            self._store.delete(list(ids))

    def checkpoint(self) -> None:
        """Nothing is kept by halves."""

    def finish(self) -> bool:
        """Fit LSA again if the corpus has outgrown it, and save the store."""
        refitted = False
        embeddings = self._store.embeddings
        if isinstance(embeddings, LSAEmbeddings):
            fitted, now = max(embeddings.fitted_documents, 1), len(self._store)
            if now > fitted * (1 + self._refit_growth):
                logger.info("fitting LSA again: %d chunks, and %d when it was fitted", now, fitted)
                texts = self._store.embedded_texts(self._store.documents())
                self._store.refit(LSAEmbeddings(embeddings.dimensions).fit(texts))
                refitted = True
        self.manifest.store_version = self._store.version
        if self._folder is not None:
            self._store.save(self._folder)
            if self._journal is not None:
                self._journal.delete()
        return refitted


class ForeignTarget:
    """Any other vector store. It embeds by itself; the manifest lies in a folder of its own.

    Args:
        store: The store; it must take ``ids`` in ``add_documents`` and ``delete``.
        state: Folder for the manifest.
    """

    def __init__(self, store: VectorStore, state: Path) -> None:
        self._store = store
        self._state = state
        self._encoded = _encoded_manifest(state)
        self._manifest = Manifest() if self._encoded is None else Manifest.decode(self._encoded)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep other processes from using the same state meanwhile.

        Raises:
            StoreLockedError: One is.
        """
        with _locked(self._state, f"another process is indexing with {self._state}"):
            if _encoded_manifest(self._state) != self._encoded:
                raise StoreChangedError(f"another process has indexed with {self._state}: index again")
            yield

    @property
    def manifest(self) -> Manifest:
        """What is known of the folders indexed so far."""
        return self._manifest

    @property
    def chunks_at_once(self) -> int | None:
        """So many that little is embedded again after an interruption."""
        return _AT_ONCE // 4

    @property
    def is_atomic(self) -> bool:
        return False

    @property
    def is_unsaved(self) -> bool:
        """No: what is done is kept at once."""
        return False

    def lost(self, folder: Folder) -> set[str]:
        """Nothing that could be told."""
        return set()

    def strays(self, path: str) -> set[str]:
        """Nothing that could be told."""
        return set()

    def expect(self, size: int) -> None:
        """Nothing could be done before."""

    def foresee(self, documents: Sequence[Document]) -> None:
        """Nothing could be done before."""

    def add(
        self,
        documents: Sequence[Document],
        chunks: Sequence[Chunk],
        known: Folder,
        engine: IndexEngine,
        tell: Callable[[int, int], None],
    ) -> int:
        """Add chunks; the store embeds them."""
        if documents:
            self._store.add_documents(list(documents), ids=[chunk.id for chunk in chunks])
            tell(len(documents), len(documents))
        return len(documents)

    def delete(self, ids: Sequence[str]) -> None:
        if ids:
            self._store.delete(list(ids))

    def checkpoint(self) -> None:
        """Write the manifest: what is in the store by now is not embedded again."""
        self._encoded = self._manifest.encode()
        replace_file(self._state / MANIFEST_FILE, self._encoded)
        (self._state / _OLD_FILE).unlink(missing_ok=True)

    def finish(self) -> bool:
        """Write the manifest."""
        self.checkpoint()
        return False


@contextmanager
def _locked(folder: Path, busy: str) -> Iterator[None]:
    """Hold the lock of those who index into a folder."""
    make_folder(folder)
    try:
        lock = FileLock(folder / _LOCK)
    except ForeignFileError as error:
        raise StoreDamagedError(str(error)) from None
    except BlockingIOError:
        raise StoreLockedError(f"{busy}; wait for it to end") from None
    try:
        yield
    finally:
        lock.release()


def _encoded_manifest(folder: Path) -> bytes | None:
    found = read_file(folder / MANIFEST_FILE, _MANIFEST_BYTES)
    return read_file(folder / _OLD_FILE, _MANIFEST_BYTES) if found is None else found


def _lies_under(source: object, path: str) -> bool:
    return isinstance(source, str) and (source == path or source.startswith(os.path.join(path, "")))


def _same(present: Document | None, document: Document) -> bool:
    return (
        present is not None
        and present.page_content == document.page_content
        and present.metadata == document.metadata
    )
