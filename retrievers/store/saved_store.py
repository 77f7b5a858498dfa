"""What a FAISSStore writes into a generation, and how it is opened again."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from llama_bedrock._extras import require
from llama_bedrock.retrievers.embeddings.batches import identity
from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings, OutdatedLSAError
from llama_bedrock.retrievers.store.collection import Collection
from llama_bedrock.retrievers.store.document_table import DocumentTable
from llama_bedrock.retrievers.store.generations import (
    Generation,
    StoreChangedError,
    StoreDamagedError,
    StoreError,
    current_name,
    delete_unused,
    open_generation,
    seal_file,
    write_generation,
    writing,
)
from llama_bedrock.retrievers.store.private_files import is_plain_name
from llama_bedrock.retrievers.store.slots import SlotTable
from llama_bedrock.retrievers.store.vector_index import IndexSettings, Structure, VectorIndex

faiss = require("faiss", "local")

_VECTORS = "vectors.faiss"
_SLOTS = "slots.npy"
_DOCUMENTS = "documents.sqlite"
_EMBEDDING = "embedding"
_SIDECARS = "sidecars"
_COUNTS = ("documents", "next_key", "version")
_MOST_DIMENSIONS = 2**20
_MALFORMED = (
    ValueError, TypeError, LookupError, AttributeError, OSError, ArithmeticError, RecursionError, MemoryError
)  # fmt: skip
"""What reading a file that somebody made up can raise."""


class EmbeddingMismatchError(StoreError):
    """The store was made with another embedding model: its vectors mean nothing to this one."""


@dataclass(frozen=True, slots=True)
class SavedStore:
    """A store as it lies in a folder.

    Attributes:
        folder: Where.
        generation: The generation that was opened or written.
        index: Refers to the FAISS index as it was written, if it still exists. While the collection has this
            one, with as many slots, its file is linked and not written again.
        slots: Number of its slots then.
        source: The generation whose files the collection reads, until it changes; it stays open for that.
    """

    folder: Path
    generation: Generation
    index: weakref.ref[VectorIndex] | None
    slots: int
    source: Generation | None

    @classmethod
    def of(
        cls, folder: Path, generation: Generation, collection: Collection, source: Generation | None
    ) -> SavedStore:
        """The collection as it is now, saved as this generation."""
        index = None if collection.index is None else weakref.ref(collection.index)
        is_mapped = collection.index is not None and collection.index.is_mapped
        read = source if is_mapped or not collection.documents.writable else None
        return cls(folder, generation, index, collection.slots.count, read)

    def holds(self, collection: Collection) -> bool:
        """True if the vectors of the collection are those in the generation's file."""
        index = self.index and self.index()
        return index is not None and index is collection.index and self.slots == collection.slots.count

    def is_current(self) -> bool:
        """True if no process has saved another generation."""
        return current_name(self.folder) == self.generation.name

    def sidecar(self, name: str, version: int) -> Path | None:
        """Folder of side files that were saved with this version of the store."""
        if self.generation.manifest["version"] != version or name not in self.generation.manifest["sidecars"]:
            return None
        return self.generation.folder(f"{_SIDECARS}/{name}")


def open_store(
    folder: Path, embedding: Embeddings | None, embedding_id: str | None, *, mapped: bool, verify: bool | None
) -> tuple[SavedStore, Collection, Embeddings | None]:
    """Open the current generation of a folder, with the embeddings it belongs to; see `FAISSStore.load`."""
    generation = open_generation(folder, verify=verify)
    path, manifest = generation.path, generation.manifest
    try:
        _check_manifest(manifest)
        settings = _read_settings(manifest["settings"])
        slots = SlotTable.read(generation.file(_SLOTS), manifest["next_key"])
        index = None
        if manifest["dimension"] is not None:
            index = _read_index(generation, settings, slots.count, mapped=mapped)
        elif slots.count:
            raise ValueError("it has documents and no vectors")
        if slots.alive_count != manifest["documents"]:
            raise ValueError("its manifest tells another number of documents than it has")
        saved_embedding = _read_embedding(generation) if embedding is None else None
        documents = DocumentTable(generation.file(_DOCUMENTS), writable=False)
        documents.check()
    except (StoreError, FileNotFoundError):
        raise
    except _MALFORMED as error:
        raise StoreDamagedError(
            f"{path} cannot be read ({error}): the store is damaged; save it again"
        ) from error
    embedding = saved_embedding or _matching_embedding(manifest["embedding"], embedding, embedding_id)
    collection = Collection(documents, settings, index, slots, manifest["version"])
    return SavedStore.of(folder, generation, collection, generation), collection, embedding


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    """Refuse values of a wrong type, before they are compared or put into a message."""
    embedding, dimension = manifest["embedding"], manifest["dimension"]
    is_known = (
        isinstance(embedding["id"], str | None)
        and type(embedding["saved"]) is bool
        and type(manifest["contextual"]) is bool
        and all(type(manifest[name]) is int and 0 <= manifest[name] < 2**62 for name in _COUNTS)
        and (dimension is None or (type(dimension) is int and 0 < dimension <= _MOST_DIMENSIONS))
        and isinstance(manifest["sidecars"], list)
        and all(map(is_plain_name, manifest["sidecars"]))
    )
    if not is_known:
        raise ValueError("its manifest holds a value of a wrong type")


def _read_settings(facts: dict[str, Any]) -> IndexSettings:
    facts = dict(facts)
    if facts["kind"] == "ivf":  # until version 0.1
        facts["kind"] = "auto"
    for name in ("nlist", "nprobe"):
        facts.pop(name, None)
    return IndexSettings(**facts)


def _read_index(generation: Generation, settings: IndexSettings, count: int, *, mapped: bool) -> VectorIndex:
    path, dimension = generation.file(_VECTORS), generation.manifest["dimension"]
    facts = dict(generation.manifest["structure"])
    facts.pop("nlist", None)
    if facts["kind"] == "ivf":
        return VectorIndex.from_cells(path, dimension, count, settings, facts["storage"])
    return VectorIndex.read(path, dimension, count, settings, Structure(**facts), mapped=mapped)


def write_store(
    folder: Path,
    collection: Collection,
    model: tuple[Embeddings | None, str | None, bool],
    sidecars: Mapping[str, Callable[[Path], None]],
    saved: SavedStore | None,
) -> SavedStore:
    """Save a collection as a new generation; see `FAISSStore.save`. Nobody may change it meanwhile.

    Args:
        folder: Where.
        collection: What.
        model: The embeddings, their name if the caller gave one, and whether titles are embedded too.
        sidecars: What writes the side files, by their name.
        saved: The generation that the collection comes from, if any.
    """
    embedding, embedding_id, contextual = model
    source = saved.source if saved is not None else None
    with writing(folder):
        if saved is not None and (not _same_folder(saved.folder, folder) or current_name(folder) is None):
            saved = None  # another folder, or it was deleted: there is nothing to build on or to lose
        if saved is not None and not saved.is_current():
            raise StoreChangedError(
                f"another process has saved {folder} since this store was opened: reload() drops the changes "
                "made here; save() into another folder keeps both"
            )
        known: dict[str, Any] = {}

        def write(path: Path) -> dict[str, Any]:
            known.update(_write_files(path, collection, saved))
            names = _write_sidecars(path, sidecars, saved, collection.version)
            return {
                "embedding": _write_embedding(path, embedding, embedding_id),
                "contextual": contextual,
                "sidecars": names,
                **_facts(collection),
            }

        generation = write_generation(folder, write, known)
        result = SavedStore.of(folder, generation, collection, source)
        for old in (saved.generation, source) if saved is not None else ():
            if old is not None and old.lock is not None and old is not result.source:
                old.lock.release()
        delete_unused(folder)
        return result


def _facts(collection: Collection) -> dict[str, Any]:
    return {
        "settings": asdict(collection.settings),
        "structure": None if collection.index is None else asdict(collection.index.structure),
        "dimension": collection.dimension,
        "documents": len(collection),
        "next_key": collection.slots.next_key,
        "version": collection.version,
        "faiss": faiss.__version__,
        "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_files(path: Path, collection: Collection, saved: SavedStore | None) -> dict[str, Any]:
    """Write vectors, slots and documents, or link those of the last generation that are the same still;
    returns what is known of the large ones. Each is sealed while the other is written.
    """
    collection.slots.write(path / _SLOTS)
    known: dict[str, Any] = {}
    if saved is not None and not collection.documents.writable:
        known |= _link(_DOCUMENTS, saved.generation, path)
    if saved is not None and saved.holds(collection):
        known |= _link(_VECTORS, saved.generation, path)
    with ThreadPoolExecutor(1) as pool:
        copied = None
        if _DOCUMENTS not in known:
            copied = pool.submit(_copy_documents, collection, path / _DOCUMENTS)
        if collection.index is not None and _VECTORS not in known:
            collection.index.write(path / _VECTORS)
            known[_VECTORS] = seal_file(path / _VECTORS)
        if copied is not None:
            known[_DOCUMENTS] = copied.result()
    return known


def _copy_documents(collection: Collection, path: Path) -> dict[str, Any]:
    collection.documents.copy_to(path)
    return seal_file(path)


def _link(name: str, generation: Generation, path: Path) -> dict[str, Any]:
    with suppress(OSError):  # no hard links here: it is written again
        os.link(generation.path / name, path / name)
        return {name: generation.manifest["files"][name]}
    return {}


def _write_sidecars(
    path: Path, sidecars: Mapping[str, Callable[[Path], None]], saved: SavedStore | None, version: int
) -> list[str]:
    names = dict.fromkeys(sidecars)
    for name, write in sidecars.items():
        folder = path / _SIDECARS / name
        folder.mkdir(parents=True)
        write(folder)
    for name in saved.generation.manifest["sidecars"] if saved else ():
        old = saved.sidecar(name, version) if saved else None
        if name not in names and old is not None:
            shutil.copytree(old, path / _SIDECARS / name)
            names[name] = None
    return sorted(names)


def _write_embedding(path: Path, embedding: Embeddings | None, embedding_id: str | None) -> dict[str, Any]:
    if embedding is None:
        return {"id": embedding_id, "saved": False}
    saved = isinstance(embedding, LSAEmbeddings)
    if isinstance(embedding, LSAEmbeddings):
        embedding.save(path / _EMBEDDING)
    return {"id": embedding_id or identity(embedding), "saved": saved}


def _read_embedding(generation: Generation) -> Embeddings | None:
    """The embeddings that were saved with the store, if any; unfitted if they are of an older version."""
    if not generation.manifest["embedding"]["saved"]:
        return None
    folder = generation.folder(_EMBEDDING)
    for name in ("lsa.json", "lsa.npz"):
        generation.file(f"{_EMBEDDING}/{name}")
    try:
        return LSAEmbeddings.load(folder)
    except OutdatedLSAError:
        return LSAEmbeddings()


def _matching_embedding(
    facts: Mapping[str, Any], embedding: Embeddings | None, embedding_id: str | None
) -> Embeddings | None:
    """The given embeddings, if they are the ones that the store was made with."""
    if embedding is None:
        if facts["id"] is None:
            return None
        raise EmbeddingMismatchError(
            f"the store was made with the embedding model {facts['id']}, which is not saved with it: "
            "give load() the embedding"
        )
    given = embedding_id or identity(embedding)
    if facts["id"] is not None and given != facts["id"]:
        raise EmbeddingMismatchError(
            f"the store was made with the embedding model {facts['id']} and cannot be searched with {given}; "
            "if they are the same, say so with embedding_id"
        )
    return embedding


def _same_folder(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
