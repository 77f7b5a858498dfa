"""The FAISS side of a FAISSStore: vectors, and how they are searched.

Vectors sit in slots, numbered from 0 in the order of their insertion. The structure follows the settings and
the number of vectors; a change of structure builds a new one from the old one's vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats, Mask, Slots, np
from llama_bedrock.retrievers.cores import cores
from llama_bedrock.retrievers.store import faiss_file, fast_scan
from llama_bedrock.retrievers.store.byte_scan import ByteScan
from llama_bedrock.retrievers.store.faiss_threads import BLAS_BATCH, openmp_threads, search_in_parts
from llama_bedrock.retrievers.store.split_scan import SplitScan

faiss = require("faiss", "local")

if TYPE_CHECKING:
    from llama_bedrock.retrievers.store.slots import Selection

Kind: TypeAlias = Literal["auto", "flat", "fastscan", "hnsw"]
Storage: TypeAlias = Literal["float32", "fp16", "sq8"]
Metric: TypeAlias = Literal["cosine", "inner_product", "l2"]

FLAT_LIMIT = 10_000
"""``auto`` compares with every vector up to here and scans codes above: at 16,000 × 384 a query takes a third
of the time then, with recall@10 .998 for random vectors, and to learn the codes takes .3 s once."""
TRAINING_MINIMUM = 1_000
"""Vectors needed to learn the ranges of ``sq8`` or the codes of ``fastscan``; fewer are kept as float32 and
compared one by one."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How vectors are compared, stored and searched; see `FAISSStore` for the meaning of each.

    Raises:
        ValueError: A setting is out of its range.
    """

    metric: Metric = "cosine"
    kind: Kind = "auto"
    storage: Storage = "float32"
    neighbors: int = 32
    ef_construction: int = 40
    ef_search: int | None = None
    candidates: int | None = None

    def __post_init__(self) -> None:
        for name, choices in (("metric", Metric), ("kind", Kind), ("storage", Storage)):
            if getattr(self, name) not in get_args(choices):
                known = ", ".join(get_args(choices))
                raise ValueError(f"{name} must be one of {known}; got {getattr(self, name)!r}")
        for name in ("neighbors", "ef_construction", "ef_search", "candidates"):
            value = getattr(self, name)
            least, most = (2, 1024) if name == "neighbors" else (1, 2**30)
            if value is not None and (type(value) is not int or not least <= value <= most):
                raise ValueError(f"{name} must be an integer from {least} to {most:,}, got {value!r}")

    def structure(self, count: int, current: Structure | None = None) -> Structure:
        """The structure for this many vectors; the current one where it still serves."""
        kind = self._kind(count, current)
        storage = self.storage
        if storage == "sq8" and count < TRAINING_MINIMUM:
            storage = "float32"
        if kind in ("flat", "hnsw"):
            return Structure(kind, storage)
        if (
            current
            and (current.kind, current.storage) == (kind, storage)
            and current.trained_on / 4 < count < 4 * current.trained_on
        ):
            return current
        return Structure(kind, storage, count)

    def _kind(self, count: int, current: Structure | None) -> Literal["flat", "fastscan", "hnsw"]:
        if self.kind == "auto":
            # A store that shrinks keeps its codes down to half the limit: no rebuilding back and forth.
            limit = FLAT_LIMIT if current is None or current.kind == "flat" else FLAT_LIMIT // 2
            return "flat" if count <= limit else "fastscan"
        if self.kind == "fastscan" and count < TRAINING_MINIMUM:
            return "flat"
        return self.kind


@dataclass(frozen=True, slots=True)
class Structure:
    """What a FAISS index is made of.

    Attributes:
        kind: ``flat`` compares with every vector, ``fastscan`` with those whose short codes are near,
            ``hnsw`` walks a graph.
        storage: How a vector is stored.
        trained_on: Number of vectors when the codes of ``fastscan`` were learnt.
    """

    kind: Literal["flat", "fastscan", "hnsw"]
    storage: Storage
    trained_on: int = 0

    def __post_init__(self) -> None:
        is_known = self.kind in ("flat", "fastscan", "hnsw") and self.storage in get_args(Storage)
        if not is_known or type(self.trained_on) is not int or not 0 <= self.trained_on < 2**40:
            raise ValueError(f"there is no structure {self.kind!r} of {self.storage!r}")


_COPIED_AT_ONCE = 16_384
_FEW_READ = 1_000
"""Vectors that are taken from a file without reading it all."""
_CANDIDATES = 128
"""Looked at in a search of the graph, up to 100,000 vectors."""
_SCANNED_PER_CANDIDATE = 27
"""Selected vectors that are compared in the time the graph takes for one candidate: 85 ns and 2.3 µs at 384
dimensions, both in proportion to them. At 100,000 vectors a tenth of them costs the same either way: 1 ms."""
_COMPARED = 320
"""Vectors compared after a scan of the codes, up to 100,000 vectors; at least this many for each wanted:"""
COMPARED_FOR_EACH = 8
FOR_EACH_OF_MANY = 4
"""Where few of those that are found are shown: of 100, as `HybridRetriever` fuses them, the ten nearest are
found as well by 400 as by 800: nDCG@10 of three collections of up to 13,000 texts is the same to four digits,
and the ten documents are in .993 and more of the questions."""


class VectorIndex:
    """Vectors in slots, searched one by one, by their codes, or through a graph.

    Not thread-safe for changes: the collection holds its lock around `add` and `truncate`.

    Args:
        dimension: Length of a vector.
        settings: How vectors are compared, stored and searched.
        structure: What the index is made of; default: what the settings ask for with no vectors.
        saved: The file of such an index, and how many vectors are in it; default: an empty one.
    """

    def __init__(
        self,
        dimension: int,
        settings: IndexSettings,
        structure: Structure | None = None,
        saved: tuple[Path, int] | None = None,
    ) -> None:
        self.dimension = dimension
        self.settings = settings
        self.structure = structure or settings.structure(0)
        self._bytes, self._split = ByteScan(), SplitScan()
        self._saved = saved
        if saved is None:
            self._index = _build(dimension, settings, self.structure)

    @cached_property
    def _index(self) -> Any:
        """The FAISS index. One that was saved is read when somebody searches or copies it: of a million
        vectors that takes longer than all else that a change among them needs.
        """
        path, _ = self._checked()
        return _read(path, mapped=True)

    def _checked(self) -> tuple[Path, Floats | None]:
        """The file of one that was saved, and the vectors in it; see `faiss_file.check`."""
        assert self._saved is not None, "the constructor makes any other"
        path, count = self._saved
        return path, faiss_file.check(path, self.dimension, count, self.settings, self.structure)

    def __len__(self) -> int:
        if "_index" not in self.__dict__ and self._saved is not None:
            return self._saved[1]
        return int(self._index.ntotal)

    def find_in(self, folder: Path) -> None:
        """Read what was not needed yet from this folder: a save has linked its file there, and the one before
        goes.
        """
        if self._saved is not None:
            self._saved = folder / self._saved[0].name, self._saved[1]

    # Changing

    def add(self, vectors: Floats) -> None:
        """Put vectors into the next slots."""
        self._bytes, self._split = ByteScan(), SplitScan()
        with openmp_threads(cores()):
            self._index.add(vectors)

    def truncate(self, count: int) -> bool:
        """Forget the slots from count on; False where the structure cannot."""
        if count == len(self):
            return True
        if self.structure.kind in ("hnsw", "fastscan"):
            return False
        self._bytes, self._split = ByteScan(), SplitScan()
        self._index.remove_ids(faiss.IDSelectorRange(count, len(self)))
        return True

    def rebuilt(
        self,
        kept: Mask,
        structure: Structure,
        others: Sequence[tuple[VectorIndex, Mask]] = (),
        learnt: VectorIndex | None = None,
    ) -> VectorIndex:
        """Another index, of the given structure, with the kept slots only, renumbered from 0; behind them
        those of others.

        Args:
            kept: The slots to keep.
            structure: What the new index is made of.
            others: Further indexes, with the slots to keep of them.
            learnt: One of this structure whose codes it takes over; default: it learns them.
        """
        new = VectorIndex(self.dimension, self.settings, structure)
        sources = [(index, np.flatnonzero(mask)) for index, mask in ((self, kept), *others)]
        if learnt is not None:
            fast_scan.take_over(new._index, learnt._index)
        elif not new.is_trained:
            step = new.training_step(sum(len(slots) for _, slots in sources))
            new.train(np.concatenate([index.vectors(slots[::step]) for index, slots in sources]))
        with openmp_threads(cores()):
            for index, slots in sources:
                for start in range(0, len(slots), _COPIED_AT_ONCE):
                    new._index.add(index.vectors(slots[start : start + _COPIED_AT_ONCE]))
        return new

    @property
    def is_trained(self) -> bool:
        """Whether vectors can be added, or something has to be learnt from some of them before."""
        return bool(self._index.is_trained)

    def training_step(self, count: int) -> int:
        """Of so many vectors, those this far from each other are enough to `train` it."""
        wanted = TRAINING_MINIMUM
        if self.structure.kind == "fastscan":
            wanted = fast_scan.sample_size(self.structure.trained_on)
        return max(1, count // wanted)

    def train(self, sample: Floats) -> None:
        """Learn what the structure needs to know from some of the vectors."""
        if self.structure.kind == "fastscan":
            # Many short steps, in which OpenMP's threads would wait for each other.
            with openmp_threads(1):
                fast_scan.train(self._index, sample, unit=self.settings.metric == "cosine")
        else:
            with openmp_threads(cores()):
                self._index.train(sample)

    def wanted_structure(self, count: int) -> Structure:
        """The structure that the settings ask for with this many vectors."""
        return self.settings.structure(count, self.structure)

    # Reading

    @property
    def ef_search(self) -> int:
        """Candidates that a search of the graph looks at.

        The default grows with the graph. Measured at 384 dimensions: 128 find .99 of the ten nearest among
        100,000 vectors and .93 among 1,000,000; there 320 find .96, in 1 ms.
        """
        return self.settings.ef_search or math.ceil(_CANDIDATES * self._growth())

    def _growth(self) -> float:
        return math.pow(max(1.0, len(self) / 100_000), 0.4)

    def candidates(self, k: int, for_each: int = COMPARED_FOR_EACH) -> int:
        """Vectors that are compared after a scan of the codes, to find k.

        The default grows with their number. Measured at 384 dimensions: 320 among 100,000 vectors find .999
        of the ten nearest, 800 among 1,000,000 .99.
        """
        default = max(math.ceil(_COMPARED * self._growth()), for_each * k)
        return max(self.settings.candidates or default, k)

    def vectors(self, slots: Slots) -> Floats:
        """The stored vectors of slots (what is left of them after ``fp16`` or ``sq8``)."""
        if "_index" not in self.__dict__ and len(slots) < _FEW_READ:
            _, saved = self._checked()
            if saved is not None:
                return saved[slots]
        vectors: Floats = self._index.reconstruct_batch(np.ascontiguousarray(slots, dtype=np.int64))
        return vectors

    def search(
        self, queries: Floats, k: int, selection: Selection | None, for_each: int = COMPARED_FOR_EACH
    ) -> tuple[Floats, Slots]:
        """The k nearest slots of each query, nearest first; slot -1 where there are fewer.

        Args:
            queries: One a row, normalised if the metric is cosine.
            k: How many.
            selection: The slots that may be found; None for all.
            for_each: Vectors compared for each wanted one after a scan of codes; there is a least number.
        """
        available = len(self) if selection is None else selection.count
        k = min(k, available)
        return search_in_parts(lambda part: self._search(part, k, selection, for_each), queries)

    def _search(
        self, queries: Floats, k: int, selection: Selection | None, for_each: int
    ) -> tuple[Floats, Slots]:
        compared = self.candidates(k, for_each)
        if selection is not None and self._scans(selection, k, compared):
            return self._scan(queries, k, selection)
        if self.structure.kind == "fastscan":
            return self._scan_codes(queries, k, selection, min(len(self), compared))
        if (found := self._scan_bytes(queries, k)) is not None:
            return found
        scores, slots = self._index.search(queries, k, params=self._parameters(k, selection))
        if self.structure.kind != "flat" and (slots < 0).any():
            # The graph did not reach k vectors that exist.
            return self._scan(queries, k, selection)
        return scores, slots

    def _scan_codes(
        self, queries: Floats, k: int, selection: Selection | None, candidates: int
    ) -> tuple[Floats, Slots]:
        """Compare with the candidates that the codes name."""
        if selection is None:
            is_split = len(queries) == 1 and self.structure.storage == "float32"
            split = self._split.search(self._index, queries, k, candidates) if is_split else None
            return split or fast_scan.search(self._index, queries, k, candidates)
        found = fast_scan.search_selected(self._index, queries, k, candidates, selection)
        return self._scan(queries, k, selection) if found is None else found

    def _scan_bytes(self, queries: Floats, k: int) -> tuple[Floats, Slots] | None:
        """The exact nearest of all, where they can be told by bytes; many queries are faster without."""
        is_served = self.structure == Structure("flat", "float32") and self.settings.metric != "l2"
        if not is_served or len(queries) >= BLAS_BATCH:
            return None
        return self._bytes.search(self._index, queries, k)

    def _scans(self, selection: Selection, k: int, compared: int) -> bool:
        """Whether comparing the query with every selected vector costs less than another search."""
        if self.structure.kind == "flat":
            return True
        if self.structure.kind == "fastscan":
            return fast_scan.compares_all(len(self), compared, selection)
        candidates = max(self.ef_search, k) * self._effort(selection)
        return selection.count <= max(k, _SCANNED_PER_CANDIDATE * candidates)

    def _effort(self, selection: Selection | None) -> float:
        """How many times more candidates to look at when few vectors are selected.

        Measured at 100,000 × 384: with ef_search / √share, recall@10 stays above .98 from a share of 1 % on;
        with a constant 128 it falls to .71 there, and to .14 at 0.1 %.
        """
        return 1.0 if selection is None else math.sqrt(len(self) / max(selection.count, 1))

    def _parameters(self, k: int, selection: Selection | None) -> Any:
        chosen = {} if selection is None else {"sel": faiss.IDSelectorBitmap(selection.bitmap)}
        effort = self._effort(selection)
        if self.structure.kind == "hnsw":
            candidates = min(math.ceil(max(self.ef_search, k) * effort), max(k, len(self)))
            return faiss.SearchParametersHNSW(efSearch=candidates, **chosen)
        return faiss.SearchParameters(**chosen) if chosen else None

    def _scan(self, queries: Floats, k: int, selection: Selection | None) -> tuple[Floats, Slots]:
        """Compare with every selected vector: the true nearest (of the stored vectors)."""
        flat = self._exact()
        if selection is None:
            scores, slots = flat.search(queries, k)
        elif self.structure.storage == "float32":
            # With an array of ids, FAISS reads those vectors and no others.
            selector = faiss.IDSelectorArray(selection.slots)
            scores, slots = flat.search(queries, k, params=faiss.SearchParameters(sel=selector))
        else:
            selector = faiss.IDSelectorBitmap(selection.bitmap)
            scores, slots = flat.search(queries, k, params=faiss.SearchParameters(sel=selector))
        return scores, slots

    def _exact(self) -> Any:
        """The FAISS index that holds the vectors themselves."""
        match self.structure.kind:
            case "hnsw":
                return faiss.downcast_index(self._index.storage)
            case "fastscan":
                return fast_scan.exact_part(self._index)
            case _:
                return self._index

    # Files

    def write(self, path: Path) -> dict[str, Any]:
        """Write the FAISS file; returns what `read` needs to know about it."""
        faiss.write_index(self._index, str(path))
        return asdict(self.structure)

    @classmethod
    def read(
        cls,
        path: Path,
        dimension: int,
        count: int,
        settings: IndexSettings,
        structure: Structure,
        *,
        mapped: bool,
        later: bool = False,
    ) -> VectorIndex:
        """Open what `write` wrote.

        Args:
            path: The file.
            dimension: Length of a vector.
            count: Number of vectors.
            settings: How they are compared, stored and searched.
            structure: What the index is made of.
            mapped: Share the pages of the file with other processes.
            later: Read it when it is needed first; until then nobody may delete it.

        Raises:
            ValueError: It is no such file, or one of other vectors.
        """
        faiss_file.check(path, dimension, count, settings, structure)
        index = cls(dimension, settings, structure, (path, count))
        if not (mapped and later) or structure.kind == "hnsw":  # the check has gone through the graph
            index._index = _read(path, mapped=mapped)
        return index

    @classmethod
    def from_cells(
        cls, path: Path, dimension: int, count: int, settings: IndexSettings, storage: str
    ) -> VectorIndex:
        """The vectors of an index in cells (IVF), which older versions wrote, to be compared one by one.

        Raises:
            ValueError: It is no such file.
        """
        index = cls(dimension, settings, Structure("flat", "float32"))
        index.add(faiss_file.vectors_in_cells(path, dimension, count, storage))
        return index


def normalised(vectors: Floats) -> Floats:
    """Unit vectors; zeros stay zeros."""
    norms: Any = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, np.where(norms > 0, norms, 1), dtype=np.float32)


def as_units(queries: Floats) -> Floats:
    """Queries as unit vectors: as `normalised`, and for one of them in a third of the time."""
    if len(queries) != 1:
        return normalised(queries)
    norm = math.sqrt(queries[0] @ queries[0])
    return queries / np.float32(norm) if norm > 0 else np.zeros_like(queries)


def _build(dimension: int, settings: IndexSettings, structure: Structure) -> Any:
    metric = faiss_file.metric_number(settings.metric)
    quantizer = {
        "float32": None,
        "fp16": faiss.ScalarQuantizer.QT_fp16,
        "sq8": faiss.ScalarQuantizer.QT_8bit,
    }[structure.storage]
    match structure.kind:
        case "flat" | "fastscan":
            if quantizer is None:
                exact = faiss.IndexFlat(dimension, metric)
            else:
                exact = faiss.IndexScalarQuantizer(dimension, quantizer, metric)
            if structure.kind == "flat":
                return exact
            return fast_scan.new_index(dimension, metric, exact, structure.trained_on)
        case "hnsw":
            if quantizer is None:
                index = faiss.IndexHNSWFlat(dimension, settings.neighbors, metric)
            else:
                index = faiss.IndexHNSWSQ(dimension, quantizer, settings.neighbors, metric)
            index.hnsw.efConstruction = settings.ef_construction
            return index


def _read(path: Path, *, mapped: bool) -> Any:
    # Added in FAISS 1.11; without it the file is read into memory.
    flag = getattr(faiss, "IO_FLAG_MMAP_IFC", None) if mapped else None
    try:
        if flag is not None:
            return faiss.read_index(str(path), flag)
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise ValueError(
            f"{path} is not a FAISS index that this version of faiss can read: {error}"
        ) from error
