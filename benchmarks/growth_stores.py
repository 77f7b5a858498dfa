"""The stores that store_growth.py puts beside FAISSStore, each behind the same few calls.

A store is given its vectors, keeps texts with them, and gives them back. Each is called as its own
documentation does; the defaults are its own but for what a comparison needs: cosine, and a file on the disk.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

try:
    import pysqlite3 as sqlite3  # some builds of Python have an SQLite that loads no extensions
except ImportError:
    import sqlite3

DIMENSION, BATCH = 384, 5_000


class Ours:
    """FAISSStore."""

    def build(self, folder: Path, ids: list[str], texts: list[str], vectors: Any) -> None:
        from langchain_core.documents import Document

        from llama_bedrock.retrievers import FAISSStore

        documents = [Document(text, id=id_) for id_, text in zip(ids, texts, strict=True)]
        self.store = FAISSStore.from_documents(documents, _given(), vectors=vectors)
        self.store.save(folder)

    def open(self, folder: Path) -> None:
        from llama_bedrock.retrievers import FAISSStore

        self.store = FAISSStore.load(folder, _given())

    def change(self, gone: list[str], ids: list[str], texts: list[str], vectors: Any) -> None:
        self.store.delete(gone)
        self.store.add_embeddings(list(zip(texts, vectors, strict=True)), ids=ids)
        self.store.save()

    def search(self, vector: Any, k: int) -> list[str]:
        return [found.page_content for found in self.store.similarity_search_by_vector(vector, k=k)]


class Community:
    """langchain-community's FAISS."""

    def build(self, folder: Path, ids: list[str], texts: list[str], vectors: Any) -> None:
        from langchain_community.vectorstores import FAISS

        first = list(zip(texts[:BATCH], vectors[:BATCH].tolist(), strict=True))
        self.store, self.folder = FAISS.from_embeddings(first, _given(), ids=ids[:BATCH]), folder
        for start in range(BATCH, len(ids), BATCH):  # all vectors as Python's numbers would take 12 GB
            part = slice(start, start + BATCH)
            pairs = list(zip(texts[part], vectors[part].tolist(), strict=True))
            self.store.add_embeddings(pairs, ids=ids[part])
        self.store.save_local(str(folder))

    def open(self, folder: Path) -> None:
        from langchain_community.vectorstores import FAISS

        # Written by this benchmark a moment ago.
        self.store = FAISS.load_local(str(folder), _given(), allow_dangerous_deserialization=True)
        self.folder = folder

    def change(self, gone: list[str], ids: list[str], texts: list[str], vectors: Any) -> None:
        self.store.delete(gone)
        self.store.add_embeddings(list(zip(texts, vectors.tolist(), strict=True)), ids=ids)
        self.store.save_local(str(self.folder))

    def search(self, vector: Any, k: int) -> list[str]:
        return [found.page_content for found in self.store.similarity_search_by_vector(vector, k=k)]


class Chroma:
    """chromadb, in a folder."""

    def open(self, folder: Path) -> None:
        import chromadb

        client = chromadb.PersistentClient(str(folder), chromadb.Settings(anonymized_telemetry=False))
        self.store = client.get_or_create_collection("texts", metadata={"hnsw:space": "cosine"})

    def build(self, folder: Path, ids: list[str], texts: list[str], vectors: Any) -> None:
        self.open(folder)
        for part in _parts(len(ids)):
            self.store.add(ids[part], embeddings=vectors[part], documents=texts[part])

    def change(self, gone: list[str], ids: list[str], texts: list[str], vectors: Any) -> None:
        self.store.delete(gone)
        self.store.add(ids, embeddings=vectors, documents=texts)

    def search(self, vector: Any, k: int) -> list[str]:
        return self.store.query(query_embeddings=[vector], n_results=k, include=["documents"])["documents"][0]


class LanceDB:
    """lancedb, without an index: it scans, as it does by default."""

    def open(self, folder: Path) -> None:
        import lancedb

        self.store = lancedb.connect(str(folder)).open_table("texts")

    def build(self, folder: Path, ids: list[str], texts: list[str], vectors: Any) -> None:
        import lancedb

        self.store = lancedb.connect(str(folder)).create_table("texts", self._table(ids, texts, vectors))

    def _table(self, ids: list[str], texts: list[str], vectors: Any) -> Any:
        import pyarrow as pa

        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        return pa.table({"id": ids, "text": texts, "vector": flat})

    def change(self, gone: list[str], ids: list[str], texts: list[str], vectors: Any) -> None:
        self.store.delete(f"id IN ({', '.join(map(repr, gone))})")
        self.store.add(self._table(ids, texts, vectors))

    def search(self, vector: Any, k: int) -> list[str]:
        found = self.store.search(vector).distance_type("cosine").select(["text"]).limit(k)
        return found.to_arrow()["text"].to_pylist()


class Qdrant:
    """qdrant-client's local mode."""

    def open(self, folder: Path) -> None:
        from qdrant_client import QdrantClient

        self.store = QdrantClient(path=str(folder))

    def build(self, folder: Path, ids: list[str], texts: list[str], vectors: Any) -> None:
        from qdrant_client.models import Distance, VectorParams

        self.open(folder)
        shape = VectorParams(size=DIMENSION, distance=Distance.COSINE)
        self.store.create_collection("texts", vectors_config=shape)
        for part in _parts(len(ids)):
            self._add(ids[part], texts[part], vectors[part])

    def _add(self, ids: list[str], texts: list[str], vectors: Any) -> None:
        from qdrant_client.models import Batch

        payloads = [{"text": text} for text in texts]
        points = Batch(ids=list(map(int, ids)), vectors=vectors.tolist(), payloads=payloads)
        self.store.upsert("texts", points)

    def change(self, gone: list[str], ids: list[str], texts: list[str], vectors: Any) -> None:
        self.store.delete("texts", points_selector=list(map(int, gone)))
        self._add(ids, texts, vectors)

    def search(self, vector: Any, k: int) -> list[str]:
        found = self.store.query_points("texts", query=vector, limit=k)
        return [point.payload["text"] for point in found.points]


class SqliteVec:
    """sqlite-vec, with the texts in the same file."""

    def open(self, folder: Path) -> None:
        import sqlite_vec

        folder.mkdir(exist_ok=True)
        self.store = sqlite3.connect(folder / "texts.sqlite")
        self.store.enable_load_extension(True)
        sqlite_vec.load(self.store)

    def build(self, folder: Path, ids: list[str], texts: list[str], vectors: Any) -> None:
        self.open(folder)
        columns = f"id INTEGER PRIMARY KEY, vector FLOAT[{DIMENSION}] distance_metric=cosine, +text TEXT"
        self.store.execute(f"CREATE VIRTUAL TABLE texts USING vec0({columns})")
        self._add(ids, texts, vectors)
        self.store.commit()

    def _add(self, ids: list[str], texts: list[str], vectors: Any) -> None:
        rows = ((int(i), v.tobytes(), t) for i, t, v in zip(ids, texts, vectors, strict=True))
        self.store.executemany("INSERT INTO texts(id, vector, text) VALUES (?, ?, ?)", rows)

    def change(self, gone: list[str], ids: list[str], texts: list[str], vectors: Any) -> None:
        self.store.executemany("DELETE FROM texts WHERE id = ?", ((int(id_),) for id_ in gone))
        self._add(ids, texts, vectors)
        self.store.commit()

    def search(self, vector: Any, k: int) -> list[str]:
        query = "SELECT text FROM texts WHERE vector MATCH ? AND k = ? ORDER BY distance"
        return [text for (text,) in self.store.execute(query, (vector.tobytes(), k))]


class Usearch:
    """usearch, which keeps no texts: they lie in a dict here, and are not saved."""

    def _index(self) -> Any:
        from usearch.index import Index

        return Index(ndim=DIMENSION, metric="cos")

    def build(self, folder: Path, ids: list[str], texts: list[str], vectors: Any) -> None:
        import numpy as np

        folder.mkdir(exist_ok=True)
        self.store, self.folder = self._index(), folder
        self.store.add(np.array(ids, np.int64), vectors)
        self.store.save(str(folder / "texts.usearch"))

    def open(self, folder: Path) -> None:
        self.store, self.folder = self._index(), folder
        self.store.load(str(folder / "texts.usearch"))

    def change(self, gone: list[str], ids: list[str], texts: list[str], vectors: Any) -> None:
        import numpy as np

        self.store.remove(np.array(gone, np.int64))
        self.store.add(np.array(ids, np.int64), vectors)
        self.store.save(str(self.folder / "texts.usearch"))

    def search(self, vector: Any, k: int) -> list[str]:
        return [str(key) for key in self.store.search(vector, k).keys.tolist()]


def _parts(count: int) -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, count, BATCH)]


def _given() -> Any:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    return DeterministicFakeEmbedding(size=DIMENSION)


STORES: dict[str, tuple[Any, str]] = {
    "FAISSStore": (Ours, "llama_bedrock"),
    "Chroma": (Chroma, "chromadb"),
    "LanceDB": (LanceDB, "lancedb"),
    "Qdrant local": (Qdrant, "qdrant_client"),
    "sqlite-vec": (SqliteVec, "sqlite_vec"),
    "usearch, no texts": (Usearch, "usearch"),
    "community FAISS": (Community, "langchain_community"),
}
"""Each with the package that it needs."""


def installed() -> list[str]:
    """The names of those that can run here."""
    names = [name for name, (_, package) in STORES.items() if importlib.util.find_spec(package)]
    loads = hasattr(sqlite3.Connection, "enable_load_extension")
    return [name for name in names if loads or name != "sqlite-vec"]
