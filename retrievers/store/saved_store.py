"""What a FAISSStore writes into a generation, and how it is opened again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import np, read_array
from llama_bedrock.retrievers.embeddings.batches import identity
from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings, OutdatedLSAError
from llama_bedrock.retrievers.store.collection import Collection, Part
from llama_bedrock.retrievers.store.document_table import DocumentTable
from llama_bedrock.retrievers.store.generations import (
    Generation,
    StoreChangedError,
    StoreDamagedError,
    StoreError,
    current_name,
    delete_unused,
    open_generation,
    write_generation,
    writing,
)
from llama_bedrock.retrievers.store.private_files import is_plain_name, link_file, sync_file
from llama_bedrock.retrievers.store.slots import SlotTable
from llama_bedrock.retrievers.store.vector_index import IndexSettings, Structure, VectorIndex

faiss = require("faiss", "local")

_VECTORS, _SLOTS, _DOCUMENTS = "vectors.faiss", "slots.npy", "documents.sqlite"
_DEAD = "dead.npy"
_EMBEDDING = "embedding"
_EMBEDDING_FILES = (f"{_EMBEDDING}/lsa.json", f"{_EMBEDDING}/lsa.npz")
_SIDECARS = "sidecars"
_COUNTS = ("documents", "next_key", "version")
_MOST_DIMENSIONS = 2**20
_MOST_PARTS = 100
_FEW = 1_000
"""Documents that are written sooner than a thread is started for it."""
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
    """

    folder: Path
    generation: Generation

    def is_current(self) -> bool:
        """True if no process has saved another generation."""
        return current_name(self.folder) == self.generation.name

    def sidecar(self, name: str, version: int) -> Path | None:
        """Folder of side files that were saved with this version of the store."""
        if self.generation.manifest["version"] != version or name not in self.generation.manifest["sidecars"]:
            return None
        return self.last_sidecar(name)

    def last_sidecar(self, name: str) -> Path | None:
        """Folder of side files that were saved with the generation, whatever was changed since."""
        if name not in self.generation.manifest["sidecars"]:
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
        parts = _read_parts(generation, settings, mapped=mapped)
        if sum(part.slots.alive_count for part in parts) != manifest["documents"]:
            raise ValueError("its manifest tells another number of documents than it has")
        saved_embedding = _read_embedding(generation) if embedding is None else None
    except (StoreError, FileNotFoundError):
        raise
    except _MALFORMED as error:
        raise StoreDamagedError(
            f"{path} cannot be read ({error}): the store is damaged; save it again"
        ) from error
    embedding = saved_embedding or _matching_embedding(manifest["embedding"], embedding, embedding_id)
    next_key = max([manifest["next_key"], *(part.slots.next_key for part in parts)])
    collection = Collection(settings, parts, manifest["dimension"], next_key, manifest["version"])
    return SavedStore(folder, generation), collection, embedding


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
        and (manifest["format"] == 1 or _are_parts(manifest["parts"]))
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


def _are_parts(parts: object) -> bool:
    return (
        isinstance(parts, list)
        and len(parts) <= _MOST_PARTS
        and all(isinstance(part, dict) and type(part["number"]) is int for part in parts)
        and len({part["number"] for part in parts}) == len(parts)
        and all(0 <= part["number"] < 2**62 for part in parts)
    )


def _read_parts(generation: Generation, settings: IndexSettings, *, mapped: bool) -> list[Part]:
    manifest = generation.manifest
    if manifest["format"] == 1:
        facts = [{"number": 0, "structure": manifest["structure"]}]
    else:
        facts = manifest["parts"]
    dead = read_array(generation.file(_DEAD), "|u1") if _DEAD in manifest["files"] else None
    parts: list[Part] = []
    for known in facts:
        slots = SlotTable.read(generation.file(_name(_SLOTS, known["number"])))
        if dead is not None:
            own, dead = np.split(dead, [-(-slots.count // 8)])
            slots.bury(own)
        if parts and slots.first_key < parts[-1].slots.next_key:
            raise ValueError("the keys of its parts do not rise")
        part = Part(_read_documents(generation, known["number"]), slots, None, known["number"], generation)
        if manifest["dimension"] is not None:
            part.index = _read_index(generation, settings, known, slots.count, mapped=mapped)
            if known["structure"]["kind"] != part.index.structure.kind:
                part.number = None  # an older version's, which is not linked but written as it is now
        elif slots.count:
            raise ValueError("it has documents and no vectors")
        parts.append(part)
    if dead is not None and len(dead):
        raise ValueError(f"{_DEAD} is of another length than the store")
    return [part for part in parts if part.slots.count]


def _name(name: str, number: int) -> str:
    """Name of a file of a part."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}-{number}{dot}{suffix}" if number else name


def _read_documents(generation: Generation, number: int) -> DocumentTable:
    documents = DocumentTable(generation.file(_name(_DOCUMENTS, number)), writable=False)
    documents.check()
    return documents


def _read_index(
    generation: Generation, settings: IndexSettings, known: Mapping[str, Any], count: int, *, mapped: bool
) -> VectorIndex:
    path = generation.file(_name(_VECTORS, known["number"]))
    dimension, facts = generation.manifest["dimension"], dict(known["structure"])
    facts.pop("nlist", None)
    if facts["kind"] == "ivf":
        return VectorIndex.from_cells(path, dimension, count, settings, facts["storage"])
    structure = Structure(**facts)
    return VectorIndex.read(
        path, dimension, count, settings, structure, mapped=mapped, later=generation.is_kept
    )


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
    with writing(folder):
        if saved is not None and (not _same_folder(saved.folder, folder) or current_name(folder) is None):
            saved = None  # another folder, or it was deleted: there is nothing to build on or to lose
        if saved is not None and not saved.is_current():
            raise StoreChangedError(
                f"another process has saved {folder} since this store was opened: reload() drops the changes "
                "made here; save() into another folder keeps both"
            )
        numbers = _numbers(collection.parts)

        def write(path: Path) -> dict[str, Any]:
            with ThreadPoolExecutor(3) as pool:  # for what is large; the disk has begun with it then
                large = _write_parts(path, collection.parts, numbers, saved, pool)
                embedding = pool.submit(_write_embedding, path, model, saved)
                written = _write_sidecars(path, sidecars, saved, collection.version)
                for done in large:
                    done.result()
                return {
                    "embedding": embedding.result(),
                    "contextual": model[2],
                    "sidecars": written,
                    **_facts(collection, numbers),
                }

        generation = write_generation(folder, write, saved.generation if saved is not None else None)
        tables = [
            DocumentTable(generation.path / _name(_DOCUMENTS, number), writable=False) for number in numbers
        ]
        collection.saved(generation, numbers, tables)
        if saved is not None and saved.generation.lock is not None:
            saved.generation.lock.release()
        delete_unused(folder)
        return SavedStore(folder, generation)


def _numbers(parts: Sequence[Part]) -> list[int]:
    """The number of each part: what it has, or one above all others."""
    least = max([-1, *(part.number for part in parts if part.number is not None)]) + 1
    fresh = count(least)
    return [next(fresh) if part.number is None else part.number for part in parts]


def _facts(collection: Collection, numbers: Sequence[int]) -> dict[str, Any]:
    return {
        "settings": asdict(collection.settings),
        "parts": [
            {"number": number, "structure": asdict(part.index.structure) if part.index is not None else None}
            for part, number in zip(collection.parts, numbers, strict=True)
        ],
        "dimension": collection.dimension,
        "documents": len(collection),
        "next_key": collection.next_key,
        "version": collection.version,
        "faiss": faiss.__version__,
        "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_parts(
    path: Path,
    parts: Sequence[Part],
    numbers: Sequence[int],
    saved: SavedStore | None,
    pool: ThreadPoolExecutor,
) -> list[Future[None]]:
    """Write the parts that are new, and link the files of the others; returns what the pool still writes."""
    large = []
    for part, number in zip(parts, numbers, strict=True):
        names = [path / _name(name, number) for name in (_SLOTS, _VECTORS, _DOCUMENTS)]
        if part.number is not None and saved is not None and part.generation is saved.generation:
            for name in names:
                link_file(saved.generation.path / name.name, name)
            continue
        slots, vectors, documents = names
        part.slots.write(slots)
        jobs: list[tuple[Callable[[Path], object], Path]] = [(part.documents.copy_to, documents)]
        if part.index is not None:
            jobs.append((part.index.write, vectors))
        for write, name in jobs:
            if part.slots.count < _FEW:
                write(name)
            else:
                large.append(pool.submit(_write_synced, write, name))
    if any(part.slots.dead for part in parts):
        dead = [np.packbits(~part.slots.alive(), bitorder="little") for part in parts]
        with (path / _DEAD).open("wb") as file:
            np.lib.format.write_array(file, np.concatenate(dead), allow_pickle=False)
    return large


def _write_synced(write: Callable[[Path], object], path: Path) -> None:
    write(path)
    sync_file(path)


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
            shutil.copytree(
                old, path / _SIDECARS / name, copy_function=lambda old, new: link_file(Path(old), Path(new))
            )
            names[name] = None
    return sorted(names)


def _write_embedding(
    path: Path, model: tuple[Embeddings | None, str | None, bool], saved: SavedStore | None
) -> dict[str, Any]:
    embedding, embedding_id, _ = model
    if embedding is None:
        return {"id": embedding_id, "saved": False}
    is_lsa = isinstance(embedding, LSAEmbeddings)
    facts = {"id": embedding_id or identity(embedding), "saved": is_lsa}
    if isinstance(embedding, LSAEmbeddings):
        if saved is not None and saved.generation.manifest["embedding"] == facts and embedding_id is None:
            (path / _EMBEDDING).mkdir()
            for name in _EMBEDDING_FILES:
                link_file(saved.generation.file(name), path / name)
        else:
            embedding.save(path / _EMBEDDING)
    return facts


def _read_embedding(generation: Generation) -> Embeddings | None:
    """The embeddings that were saved with the store, if any; unfitted if they are of an older version."""
    if not generation.manifest["embedding"]["saved"]:
        return None
    folder = generation.folder(_EMBEDDING)
    for name in _EMBEDDING_FILES:
        generation.file(name)
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
