"""The layout of FAISS files, checked before FAISS reads them.

FAISS believes the numbers in its files: a false one makes it ask for any amount of memory, or read beyond it,
at once or in a later search. A file must be what `vector_index` writes for these settings and this number of
vectors, to the last byte. Source of the layouts: FAISS's ``index_write.cpp``, the same from 1.12 to 1.15.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Bits, Floats, Slots, np
from llama_bedrock.retrievers.store import fast_scan

faiss = require("faiss", "local")

if TYPE_CHECKING:
    from llama_bedrock.retrievers.store.vector_index import IndexSettings, Structure

_BLOCK = 32
"""Vectors whose codes lie together for a fast scan."""
_MOST_LISTS = 1_000_000


class _Reader:
    """Reads a file from its begin to its end; whatever is not as expected is a ValueError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
        self._at = 0

    def take(self, kind: str, count: int = 1) -> Any:
        """The next numbers, as an array on the file."""
        size = np.dtype(kind).itemsize * count
        if count < 0 or size > len(self._bytes) - self._at:
            raise ValueError(f"{self._path} ends too early")
        self._at += size
        return np.frombuffer(self._bytes, kind, count, self._at - size)

    def number(self, kind: str) -> Any:
        return self.take(kind)[0].item()

    def vector(self, kind: str, count: int | None = None) -> Any:
        """The next numbers, behind their number, which must be the given one."""
        found = self.number("<u8")
        self.expect("length", found, found if count is None else count)
        return self.take(kind, found)

    def expect(self, name: str, found: object, wanted: object) -> None:
        """Refuse a value that is not the one it must be."""
        if found != wanted:
            raise ValueError(f"{self._path} has the {name} {found}, expected {wanted}")

    def require(self, name: str, holds: object) -> None:
        """Refuse what does not hold together."""
        if not bool(holds):
            raise ValueError(f"{self._path} has wrong {name}")

    def mark(self, wanted: bytes) -> None:
        """The four letters of a kind of index."""
        self.expect("kind", bytes(self.take("u1", 4)), wanted)

    def header(self, dimension: int, count: int, metrics: tuple[int, ...]) -> None:
        """What every index begins with."""
        self.expect("dimension", self.number("<i4"), dimension)
        self.expect("number of vectors", self.number("<i8"), count)
        self.take("<i8", 2)
        self.expect("state of training", self.number("u1"), 1)
        metric = self.number("<i4")
        self.expect("metric", metric, metric if metric in metrics else metrics[0])

    def end(self) -> None:
        """Refuse what lies behind the end."""
        self.expect("length", len(self._bytes), self._at)


def check(
    path: Path, dimension: int, count: int, settings: IndexSettings, structure: Structure
) -> Floats | None:
    """Refuse a file that is not what was written for such an index.

    Args:
        path: The file.
        dimension: Length of a vector.
        count: Number of vectors.
        settings: The settings of the store.
        structure: What the index is made of.

    Returns:
        The vectors, one a row, as they lie in the file; None if they are not stored as float32.

    Raises:
        ValueError: It is another one, or damaged; the message says where.
    """
    reader, metric = _Reader(path), metric_number(settings.metric)
    if structure.kind == "hnsw":
        reader.mark(b"IHNf" if structure.storage == "float32" else b"IHNs")
        reader.header(dimension, count, (metric,))
        _graph(reader, count, settings.neighbors)
    elif structure.kind == "fastscan":
        reader.mark(b"IxRF")
        reader.header(dimension, count, (metric,))
        _codes(reader, dimension, count, metric, fast_scan.groups(dimension, structure.trained_on))
    vectors = _vectors(reader, dimension, count, metric, structure.storage)
    if structure.kind == "fastscan":
        reader.expect("factor", reader.number("<f4"), 1.0)
    reader.end()
    return vectors


def metric_number(metric: str) -> int:
    """FAISS's number of a metric."""
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def _vectors(reader: _Reader, dimension: int, count: int, metric: int, storage: str) -> Floats | None:
    if storage == "float32":
        reader.mark(b"IxF2" if metric == faiss.METRIC_L2 else b"IxFI")
        reader.header(dimension, count, (metric,))
        vectors: Floats = reader.vector("<f4", count * dimension).reshape(count, dimension)
        return vectors
    reader.mark(b"IxSQ")
    reader.header(dimension, count, (metric,))
    size, _ = _quantizer(reader, dimension, storage)
    reader.vector("u1", count * size)
    return None


def _quantizer(reader: _Reader, dimension: int, storage: str) -> tuple[int, Floats]:
    """Bytes of a vector, and its ranges."""
    kind = faiss.ScalarQuantizer.QT_fp16 if storage == "fp16" else faiss.ScalarQuantizer.QT_8bit
    reader.expect("quantizer", reader.number("<i4"), kind)
    reader.take("<i4", 2)
    reader.expect("dimension", reader.number("<u8"), dimension)
    size = dimension * (2 if storage == "fp16" else 1)
    reader.expect("size of a vector", reader.number("<u8"), size)
    return size, reader.vector("<f4", 0 if storage == "fp16" else 2 * dimension)


def _codes(reader: _Reader, dimension: int, count: int, metric: int, groups: int) -> None:
    reader.mark(b"IPfs")
    reader.header(dimension, count, (metric, int(faiss.METRIC_L2)))
    for name, wanted in (("dimension", dimension), ("number of groups", groups), ("bits of a code", 4)):
        reader.expect(name, reader.number("<u8"), wanted)
    reader.vector("<f4", 16 * dimension)
    for name, wanted in (("way of scanning", 0), ("size of a block", _BLOCK), ("size of a batch", 0)):
        reader.expect(name, reader.number("<i4"), wanted)
    padded, pairs = -(-count // _BLOCK) * _BLOCK, -(-groups // 2)
    reader.expect("number of codes", reader.number("<u8"), padded)
    reader.expect("number of groups", reader.number("<u8"), 2 * pairs)
    reader.vector("u1", padded * pairs)


def _graph(reader: _Reader, count: int, neighbors: int) -> None:
    """Every link must lead to a vector that has its level: a walk reads on from there without a look."""
    fresh = faiss.IndexHNSWFlat(1, neighbors)
    chances = faiss.vector_to_array(fresh.hnsw.assign_probas)
    before = faiss.vector_to_array(fresh.hnsw.cum_nneighbor_per_level)
    reader.require("chances of a level", np.allclose(reader.vector("<f8", len(chances)), chances, atol=0))
    reader.require("links of a level", (reader.vector("<i4", len(before)) == before).all())
    levels = reader.vector("<i4", count)
    reader.require("levels", ((levels >= 1) & (levels <= len(chances))).all())
    offsets = reader.vector("<u8", count + 1)
    reader.require("places of links", offsets[0] == 0 and (np.diff(offsets) == before[levels]).all())
    links = reader.vector("<i4", int(offsets[-1]))
    reader.require("links", not len(links) or (links.min() >= -1 and links.max() < count))
    top = int(levels.max(initial=0))
    for level in range(1, top):
        starts = offsets[:-1][levels > level].astype(np.int64) + before[level]
        targets = links[starts[:, None] + np.arange(before[level + 1] - before[level])]
        reader.require("links", (levels[targets[targets >= 0]] > level).all())
    entry, highest = reader.number("<i4"), reader.number("<i4")
    reader.expect("highest level", highest, top - 1)
    reader.require("entry", entry == -1 if not count else 0 <= entry < count and levels[entry] == top)
    effort = reader.take("<i4", 3)
    reader.require("settings", (effort[:2] > 0).all() and effort[:2].max() < 2**20)


def vectors_in_cells(path: Path, dimension: int, count: int, storage: str) -> Floats:
    """The vectors of an index in cells (IVF), which stores were written with until version 0.1.

    Raises:
        ValueError: It is not such a file.
    """
    reader = _Reader(path)
    metrics = (int(faiss.METRIC_INNER_PRODUCT), int(faiss.METRIC_L2))
    reader.mark(b"IwFl" if storage == "float32" else b"IwSq")
    reader.header(dimension, count, metrics)
    cells, _ = reader.take("<u8", 2).tolist()
    reader.require("number of cells", cells <= _MOST_LISTS)
    reader.take("u1", 4)
    reader.header(dimension, cells, metrics)
    centres = reader.vector("<f4", cells * dimension).reshape(cells, dimension)
    reader.require("places of vectors", reader.number("u1") in (0, 1))
    reader.vector("<i8")
    size, ranges, is_residual = 4 * dimension, np.empty(0, np.float32), 0
    if storage != "float32":
        size, ranges = _quantizer(reader, dimension, storage)
        reader.expect("size of a vector", reader.number("<u8"), size)
        is_residual = reader.number("u1")
    vectors = np.zeros((count, dimension), np.float32)
    seen = np.zeros(count, np.bool_)
    for cell, codes, slots in _cells(reader, cells, size):
        reader.require("places of vectors", ((slots >= 0) & (slots < count)).all())
        vectors[slots] = _decoded(codes, storage, ranges) + (centres[cell] if is_residual else 0)
        seen[slots] = True
    reader.end()
    reader.require("places of vectors", seen.all())
    return vectors


def _cells(reader: _Reader, cells: int, size: int) -> list[tuple[int, Bits, Slots]]:
    """Of every cell that is not empty its number, the codes of its vectors, and their slots."""
    reader.mark(b"ilar")
    reader.expect("number of cells", reader.number("<u8"), cells)
    reader.expect("size of a vector", reader.number("<u8"), size)
    if bytes(reader.take("u1", 4)) == b"full":
        sizes = list(enumerate(reader.vector("<u8", cells).tolist()))
    else:
        sizes = [(cell, number) for cell, number in reader.vector("<u8").reshape(-1, 2).tolist()]
    reader.require("number of cells", all(cell < cells for cell, _ in sizes))
    return [
        (cell, reader.take("u1", number * size).reshape(number, size), reader.take("<i8", number))
        for cell, number in sizes
        if number
    ]


def _decoded(codes: Bits, storage: str, ranges: Floats) -> Floats:
    if storage == "float32":
        return np.ascontiguousarray(codes).view(np.float32)
    if storage == "fp16":
        return np.ascontiguousarray(codes).view(np.float16).astype(np.float32)
    least, span = ranges.reshape(2, -1)
    vectors: Floats = (least + (codes.astype(np.float32) + 0.5) / 255 * span).astype(np.float32)
    return vectors
