"""The files of an indexed folder as they were when they were indexed, and their chunks in the store.

Most files do not change. So what is saved of them stays as the bytes that were saved: columns, by which all
are compared at once, and a line of JSON for each file, which is read when that file is asked for. A run that
finds one file changed reads the line of that file, however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from langchain_core.documents import Document

from llama_bedrock.retrievers.arrays import Mask, Slots, np
from llama_bedrock.retrievers.documents.searchable_text import searchable_text
from llama_bedrock.retrievers.search.lexical import TEXT_DIGEST_LENGTH, text_digest

_NO_MORE: list[Any] = [[], None, []]
"""What most files have in place of duplicates, a problem and notes."""
_PROBLEM, _NOTES = 1, 2
_TIMES = 2**64 - 1
"""Times are compared by their last 64 bits: a file may be of the year 2400, or of before 1970."""
_COLUMNS = {
    "positions": "<i8",
    "sizes": "<i8",
    "times": "<u8",
    "ends": "<i8",
    "counts": "<i8",
    "copied": "<i8",
    "marks": "|u1",
}
"""One number for each file, and their types."""
_FEW_ASKED = 64
"""Texts that are found in less time one by one than by sorting all there are."""


_SPLIT_SOONER = 10
"""All sources are split in the time in which one in so many is read by itself."""


class Chunk(NamedTuple):
    """A chunk in the store.

    Attributes:
        id: Its id there.
        content: Digest of its text, by which duplicates are told.
        vector: Digest of what is embedded, its text with title and headings: the same digest, the same
            vector.
    """

    id: str
    content: str
    vector: str

    @classmethod
    def of(cls, document: Document) -> Chunk:
        """The chunk a split document becomes."""
        text, embedded = document.page_content, searchable_text(document)
        digest = text_digest(text)
        return cls(str(document.id), digest, digest if embedded == text else text_digest(embedded))


class Chunks:
    """The chunks of a file, kept as three texts until they are looked at.

    Args:
        chunks: The chunks.
    """

    __slots__ = ("_columns", "_count")

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self._columns: list[list[str] | str] = [list(column) for column in zip(*chunks, strict=True)]
        self._columns = self._columns or [[], [], []]
        self._count = len(self._columns[0])

    @classmethod
    def unpacked(cls, columns: Sequence[str]) -> Chunks:
        """What `packed` gave.

        Raises:
            ValueError: It did not give that.
        """
        ids, contents, vectors = columns
        if not (type(ids) is type(contents) is type(vectors) is str):
            raise ValueError("chunks are no texts")
        count = ids.count(" ") + 1 if ids else 0
        # So long are so many digests and the blanks between them.
        length = count * (TEXT_DIGEST_LENGTH + 1) - 1 if count else 0
        if not (len(contents) == len(vectors) == length or _size(contents) == _size(vectors) == count):
            raise ValueError("chunks lack a part")
        chunks = cls.__new__(cls)
        chunks._columns, chunks._count = [ids, contents, vectors], count
        return chunks

    def packed(self) -> list[str]:
        """Ids, digests of texts, and digests of what is embedded, each joined by blanks, which none has."""
        return [column if isinstance(column, str) else " ".join(column) for column in self._columns]

    def _column(self, number: int) -> list[str]:
        column = self._columns[number]
        return column if isinstance(column, list) else column.split(" ") if column else []

    @property
    def ids(self) -> list[str]:
        """The id of each."""
        return self._column(0)

    @property
    def contents(self) -> list[str]:
        """The digest of the text of each."""
        return self._column(1)

    @property
    def vectors(self) -> list[str]:
        """The digest of what is embedded of each."""
        return self._column(2)

    def append(self, chunk: Chunk) -> None:
        """Add one at the end."""
        columns = [self._column(number) for number in range(3)]
        for column, part in zip(columns, chunk, strict=True):
            column.append(part)
        self._columns = list(columns)
        self._count += 1

    def __iter__(self) -> Iterator[Chunk]:
        return map(Chunk, self.ids, self.contents, self.vectors)

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunks) and self.packed() == other.packed()


def _size(column: str) -> int:
    return column.count(" ") + 1 if column else 0


@dataclass(slots=True)
class KnownFile:
    """A file as it was when it was indexed.

    Attributes:
        size: In bytes.
        modified_ns: Time of its last change; 0 if it was so recent that another change could share it, as git
            does: the content decides then.
        digest: Of its bytes.
        chunks: Its chunks in the store.
        duplicates: Content digests of chunks that are in the store for another file.
        problem: Why it could not be read.
        notes: Each reason, if there are several, and what could not be read of a file that was.
    """

    size: int
    modified_ns: int
    digest: str
    chunks: Chunks = field(default_factory=Chunks)
    duplicates: list[str] = field(default_factory=list)
    problem: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def marks(self) -> int:
        """Whether it has a problem, and notes, as a number."""
        return (self.problem is not None) * _PROBLEM + bool(self.notes) * _NOTES


def encode_known(file: KnownFile) -> list[Any]:
    """The facts of a file as JSON holds them."""
    # Lists: keys would be most of the bytes, and of the time.
    chunks = file.chunks.packed()
    return [file.size, file.modified_ns, file.digest, chunks, file.duplicates, file.problem, file.notes]


def decode_known(facts: list[Any]) -> KnownFile:
    """What `encode_known` was given.

    Raises:
        ValueError: The facts are not of its form.
    """
    size, modified_ns, digest, columns, *rest = facts
    if not columns or isinstance(columns[0], list):  # format 1
        columns = [" ".join(column) for column in zip(*columns, strict=True)] or ["", "", ""]
    file = KnownFile(size, modified_ns, digest, Chunks.unpacked(columns), *rest)
    if not (type(size) is type(modified_ns) is int and type(digest) is str):
        raise ValueError("a file's facts are of a wrong type")
    if rest != _NO_MORE and not all(
        type(text) is str for text in (*file.duplicates, *file.notes, file.problem or "")
    ):
        raise ValueError("a file's facts are of a wrong type")
    return file


def _as_times(times: Sequence[int]) -> Any:
    try:
        return np.array(times, np.int64).view(np.uint64)
    except OverflowError:
        return np.array([time & _TIMES for time in times], np.uint64)


def _begins(digests: Sequence[str]) -> Any:
    """The first eight characters of digests, as numbers: those that differ here are different."""
    return np.array(digests, "S8").view("<u8")


@dataclass(eq=False)
class KnownColumns:
    """What one file of a manifest tells of the files of a folder.

    Attributes:
        positions: The place of each file among all that the manifest's files tell of.
        sizes: As in `KnownFile`.
        times: The same.
        ends: Where the line of each file ends in ``records``.
        counts: How many chunks each has.
        copied: How many duplicates.
        marks: As in `KnownFile`.
        gone: The places of files that are gone.
        contents: The begins of the digests of the texts of all chunks.
        copies: The same of the duplicates.
        text: The sources, joined by NUL.
        records: The lines.
    """

    positions: Slots
    sizes: Slots
    times: Any
    ends: Slots
    counts: Slots
    copied: Slots
    marks: Any
    gone: Slots
    contents: Any
    copies: Any
    text: bytes | memoryview
    records: bytes | memoryview

    def __len__(self) -> int:
        """How many files it tells something of."""
        return len(self.positions) + len(self.gone)

    @classmethod
    def of(cls, files: Mapping[str, KnownFile], positions: Sequence[int]) -> KnownColumns:
        """The columns of some files."""
        known = files.values()
        lines = [json.dumps(encode_known(file)).encode() for file in known]
        return cls(
            np.array(positions, np.int64),
            np.array([file.size for file in known], np.int64),
            _as_times([file.modified_ns for file in known]),
            np.cumsum([len(line) for line in lines], dtype=np.int64),
            np.array([len(file.chunks) for file in known], np.int64),
            np.array([len(file.duplicates) for file in known], np.int64),
            np.array([file.marks for file in known], np.uint8),
            np.empty(0, np.int64),
            _begins([digest for file in known for digest in file.chunks.contents]),
            _begins([digest for file in known for digest in file.duplicates]),
            "\0".join(files).encode("utf-8", "surrogatepass"),
            b"".join(lines),
        )

    @property
    def sources(self) -> list[str]:
        """The source of each file."""
        return _decoded(self.text).split("\0") if len(self.positions) else []

    def are_sources(self, sources: Sequence[str]) -> bool:
        """Whether these are the sources of all files, in their order: as one text, in a fifth of the time."""
        wanted = "\0".join(sources).encode("utf-8", "surrogatepass")
        # A memoryview is compared byte by byte, ten times slower.
        return np.array_equal(np.frombuffer(wanted, np.uint8), np.frombuffer(self.text, np.uint8))

    def source(self, row: int) -> str:
        """The source of a file."""
        begin, end = (int(self._breaks[row - 1]) + 1 if row else 0), self._breaks[row]
        return _decoded(self.text[begin:end])

    @cached_property
    def _breaks(self) -> Slots:
        """Where each source ends."""
        found: Slots = np.flatnonzero(np.frombuffer(self.text, np.uint8) == 0)
        return np.append(found, len(self.text))

    def sources_of(self, rows: Slots) -> list[str]:
        """The sources of some files."""
        if len(rows) * _SPLIT_SOONER < len(self.positions):
            return [self.source(row) for row in rows.tolist()]
        sources = self.sources
        return [sources[row] for row in rows.tolist()]

    def line(self, row: int) -> bytes:
        """The line of a file."""
        return bytes(self.records[self.ends[row - 1] if row else 0 : self.ends[row]])

    def known(self, row: int) -> KnownFile:
        """A file.

        Raises:
            ValueError: Its line is damaged.
        """
        try:
            return decode_known(json.loads(self.line(row)))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"what the index knows of {self.source(row)!r} is damaged ({error}): restore the store, or "
                "index the folder into a new one"
            ) from error

    def take(self, rows: Slots, positions: Slots) -> KnownColumns:
        """Some of the files, with other places."""
        lines = [self.line(row) for row in rows.tolist()]
        return KnownColumns(
            positions,
            self.sizes[rows],
            self.times[rows],
            np.cumsum([len(line) for line in lines], dtype=np.int64),
            self.counts[rows],
            self.copied[rows],
            self.marks[rows],
            np.empty(0, np.int64),
            _runs(self.contents, self.counts, rows),
            _runs(self.copies, self.copied, rows),
            "\0".join(self.sources_of(rows)).encode("utf-8", "surrogatepass"),
            b"".join(lines),
        )

    @classmethod
    def joined(cls, parts: Sequence[KnownColumns], gone: Slots) -> KnownColumns:
        """Some columns as one."""
        parts = [part for part in parts if len(part.positions)]
        if not parts:
            parts = [cls.of({}, [])]
        lengths = np.cumsum([0, *(len(part.records) for part in parts)])
        ends = [part.ends + first for part, first in zip(parts, lengths, strict=False)]
        names = ("positions", "sizes", "times", "ends", "counts", "copied", "marks")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(
            **columns | {"ends": np.concatenate(ends)},
            gone=gone,
            contents=np.concatenate([part.contents for part in parts]),
            copies=np.concatenate([part.copies for part in parts]),
            text=b"\0".join(bytes(part.text) for part in parts),
            records=b"".join(part.records for part in parts),
        )

    def encoded(self) -> tuple[dict[str, int], list[bytes]]:
        """The lengths of its parts, and the parts, each filled up to whole numbers of eight bytes."""
        lengths = {
            "files": len(self.positions),
            "gone": len(self.gone),
            "contents": len(self.contents),
            "copies": len(self.copies),
            "text": len(self.text),
            "records": len(self.records),
        }
        arrays = [np.asarray(getattr(self, name), kind) for name, kind in _COLUMNS.items()]
        arrays += [
            np.asarray(self.gone, "<i8"),
            np.asarray(self.contents, "<u8"),
            np.asarray(self.copies, "<u8"),
        ]
        blocks = [*(array.tobytes() for array in arrays), bytes(self.text), bytes(self.records)]
        return lengths, [block + bytes(-len(block) % 8) for block in blocks]

    @classmethod
    def decoded(cls, lengths: Mapping[str, Any], data: memoryview) -> tuple[KnownColumns, memoryview]:
        """What `encoded` gave, read from the begin of some bytes; and the bytes behind it.

        Raises:
            ValueError: They are not what it gave.
        """
        names = ("files", "gone", "contents", "copies", "text", "records")
        files, gone, contents, copies, text, records = (lengths[name] for name in names)
        kinds = [(kind, files) for kind in _COLUMNS.values()]
        kinds += [("<i8", gone), ("<u8", contents), ("<u8", copies), ("|u1", text), ("|u1", records)]
        found: list[Any] = []
        for kind, count in kinds:
            size = np.dtype(kind).itemsize
            if type(count) is not int or not 0 <= count <= len(data) // size:
                raise ValueError("its lengths do not fit")
            found.append(np.frombuffer(data, kind, count))
            data = data[size * count + -size * count % 8 :]
        found[-2:] = [array.data for array in found[-2:]]
        columns = cls(*found)
        if not columns._holds_together():
            raise ValueError("its parts do not belong together")
        return columns, data

    def _holds_together(self) -> bool:
        rows = len(self.positions)
        is_rising = bool((np.diff(self.positions) > 0).all())
        ends = np.concatenate([[0], self.ends])
        return bool(
            is_rising
            and (np.diff(ends) >= 0).all()
            and ends[-1] == len(self.records)
            and all((column >= 0).all() for column in (self.counts, self.copied, self.positions, self.gone))
            and _total(self.counts) == len(self.contents)
            and _total(self.copied) == len(self.copies)
            and (not rows or len(self._breaks) == rows)
            and ((np.frombuffer(self.text, np.int8) >= 0).all() or _decoded(self.text))
        )


def _decoded(text: bytes | memoryview) -> str:
    return bytes(text).decode("utf-8", "surrogatepass")


def _is_range(places: Slots) -> bool:
    """Whether rising places are all from 0 on."""
    return not len(places) or (int(places[0]) == 0 and int(places[-1]) == len(places) - 1)


def _total(counts: Slots) -> float:
    """A sum that no number that a stranger wrote turns around."""
    return float(counts.astype(np.float64).sum())


def _runs(values: Any, counts: Slots, rows: Slots) -> Any:
    """Those values that belong to some rows, of which each has so many."""
    taken = counts[rows]
    starts = (np.cumsum(counts) - counts)[rows]
    return values[np.repeat(starts - np.cumsum(taken) + taken, taken) + np.arange(taken.sum())]


class _Saved:
    """All that the files of a manifest tell of a folder, the later ones upon the older ones.

    Args:
        layers: What each tells, oldest first.

    Raises:
        ValueError: They do not belong together.
    """

    def __init__(self, layers: Sequence[KnownColumns] = ()) -> None:
        self.layers = list(layers)
        most = sum(map(len, layers))
        told = [column for layer in layers for column in (layer.positions, layer.gone)]
        places = max((int(np.max(column)) + 1 for column in told if len(column)), default=0)
        if places > most:
            raise ValueError("it tells of places that there are not")
        self.rows: Slots = np.full(places, -1, np.int64)
        self.sizes, self.times = np.zeros(places, np.int64), np.zeros(places, np.uint64)
        self.counts, self.copied = np.zeros(places, np.int64), np.zeros(places, np.int64)
        self.marks: Any = np.zeros(places, np.uint8)
        self.firsts = np.cumsum([0, *(len(layer.positions) for layer in layers)])
        for layer, first in zip(layers, self.firsts.tolist(), strict=False):
            self._check_names(layer)
            # Most often the first layer has all, in a row.
            at = slice(len(layer.positions)) if _is_range(layer.positions) else layer.positions
            self.rows[at] = np.arange(first, first + len(layer.positions))
            self.rows[layer.gone] = -1
            for name in ("sizes", "times", "counts", "copied", "marks"):
                getattr(self, name)[at] = getattr(layer, name)
        self.alive: Slots = np.flatnonzero(self.rows >= 0)
        is_first = bool(layers) and len(layers[0].positions) == places and _is_range(layers[0].positions)
        self._first = layers[0] if is_first else None  # it names them all, in their order
        # Places of files that are soon asked for: most runs ask for few.
        last = layers[-1:] if len(layers) > 1 else ()
        self.near = {
            s: p for layer in last for s, p in zip(layer.sources, layer.positions.tolist(), strict=True)
        }

    def _check_names(self, layer: KnownColumns) -> None:
        """A file keeps its place."""
        rows = self.rows[layer.positions]
        known = np.flatnonzero(rows >= 0)
        if len(known) and self._sources_of(rows[known]) != layer.sources_of(known):
            raise ValueError("two files have one place")

    def _sources_of(self, rows: Slots) -> list[str]:
        """The sources of files in some rows."""
        sources = [""] * len(rows)
        for layer, first in zip(self.layers, self.firsts.tolist(), strict=False):
            own = np.flatnonzero((rows >= first) & (rows < first + len(layer.positions)))
            for number, source in zip(own.tolist(), layer.sources_of(rows[own] - first), strict=True):
                sources[number] = source
        return sources

    @cached_property
    def names(self) -> list[str]:
        """The sources of all files that are there."""
        return self._sources_of(self.rows[self.alive])

    def name(self, place: int) -> str:
        """The source of the file at a place."""
        layer, row = self._layer(int(self.rows[place]))
        return layer.source(row)

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each file, by source."""
        return dict(zip(self.names, self.alive.tolist(), strict=True))

    def place(self, source: str) -> int:
        """The place of a file; -1 if it is not known."""
        found = self.near.get(source)
        return self.places.get(source, -1) if found is None else found

    def places_of(self, sources: Sequence[str]) -> Slots:
        """The place of each file, -1 for those that are not known."""
        if len(sources) == len(self.alive):
            if self._first is not None and len(self.alive) == len(self.rows):
                is_same = self._first.are_sources(sources)
            else:
                is_same = self.names == sources
            if is_same:
                return self.alive
        known = self.places
        return np.array([known.get(source, -1) for source in sources], np.int64)

    def known(self, place: int) -> KnownFile:
        """The file at a place."""
        layer, row = self._layer(int(self.rows[place]))
        return layer.known(row)

    def _layer(self, row: int) -> tuple[KnownColumns, int]:
        number = int(np.searchsorted(self.firsts, row, "right")) - 1
        return self.layers[number], row - int(self.firsts[number])

    def taken(self, places: Slots, *, anew: bool = False) -> list[KnownColumns]:
        """The columns of files at some places; anew: with places from 0 on."""
        parts = []
        rows = self.rows[places]
        numbers: Slots = np.arange(len(places)) if anew else places
        for layer, first in zip(self.layers, self.firsts.tolist(), strict=False):
            own = np.flatnonzero((rows >= first) & (rows < first + len(layer.positions)))
            if len(own):
                parts.append(layer.take(rows[own] - first, numbers[own]))
        return parts

    def owners(self, begin: Any, *, duplicates: bool = False) -> Iterator[int]:
        """The places of the files that have texts whose digests begin so, or such duplicates."""
        for layer, first in zip(self.layers, self.firsts.tolist(), strict=False):
            values = layer.copies if duplicates else layer.contents
            hits = np.flatnonzero(values == begin)
            if len(hits):
                ends = np.cumsum(layer.copied if duplicates else layer.counts)
                rows = np.unique(np.searchsorted(ends, hits, "right"))
                places = layer.positions[rows]
                yield from places[self.rows[places] == rows + first].tolist()


class KnownFiles(MutableMapping[str, KnownFile]):
    """The files of a folder by source: what is saved of them, and what has changed since.

    Args:
        files: Files that are not saved.
    """

    def __init__(self, files: Mapping[str, KnownFile] | None = None) -> None:
        self._saved = _Saved()
        self._own: dict[str, KnownFile | None] = dict(files or {})

    @classmethod
    def saved(cls, layers: Sequence[KnownColumns]) -> KnownFiles:
        """What the files of a manifest tell, oldest first.

        Raises:
            ValueError: They do not belong together.
        """
        files = cls()
        files._saved = _Saved(layers)
        return files

    def copy(self) -> KnownFiles:
        """The same files; a change of one leaves the other as it is."""
        files = KnownFiles()
        files._saved, files._own = self._saved, dict(self._own)
        return files

    @property
    def changed(self) -> int:
        """How many are not as they are saved."""
        return len(self._own)

    def __getitem__(self, source: str) -> KnownFile:
        if source in self._own:
            file = self._own[source]
            if file is None:
                raise KeyError(source)
            return file
        place = self._saved.place(source)
        if place < 0:
            raise KeyError(source)
        return self._saved.known(place)

    def __contains__(self, source: object) -> bool:
        if source in self._own:
            return self._own[source] is not None
        return isinstance(source, str) and self._saved.place(source) >= 0

    def __setitem__(self, source: str, file: KnownFile) -> None:
        self._own[source] = file

    def __delitem__(self, source: str) -> None:
        if source not in self:
            raise KeyError(source)
        if self._saved.place(source) >= 0:
            self._own[source] = None
        else:
            del self._own[source]

    def __len__(self) -> int:
        new = sum(file is not None and self._saved.place(s) < 0 for s, file in self._own.items())
        gone = sum(file is None for file in self._own.values())
        return len(self._saved.alive) + new - gone

    def __iter__(self) -> Iterator[str]:
        saved = self._saved
        for source in saved.names:
            if source not in self._own or self._own[source] is not None:
                yield source
        yield from (s for s, file in self._own.items() if file is not None and saved.place(s) < 0)

    # What is asked of all files at once

    def doubtful(
        self, sources: Sequence[str], sizes: Sequence[int], times: Sequence[int]
    ) -> tuple[list[int], bool]:
        """Which of the files that there are may not be as they are known, and whether all others are there.

        Returns:
            Numbers of sources: those that are not known, have another size or time, or a problem; and False
            if a file that is known may be missing.
        """
        saved = self._saved
        places = saved.places_of(sources)
        is_known = places >= 0
        rows = np.where(is_known, places, 0)
        same = np.zeros(len(sources), np.bool_)
        if len(saved.rows):
            same = is_known & (saved.sizes[rows] == np.array(sizes, np.int64))
            same &= saved.times[rows] == _as_times(times)
            same &= saved.marks[rows] & _PROBLEM == 0
        for number, source in enumerate(sources) if self._own else ():
            same[number] &= source not in self._own
        numbers = np.flatnonzero(~same)
        found = zip(numbers.tolist(), places[numbers].tolist(), strict=True)
        saved.near |= {sources[number]: place for number, place in found}
        return numbers.tolist(), not self._own and int(is_known.sum()) == len(saved.alive)

    def with_notes(self) -> Iterator[tuple[str, KnownFile]]:
        """The files of which not all could be read."""
        saved = self._saved
        for place in saved.alive[saved.marks[saved.alive] & _NOTES > 0].tolist():
            if (source := saved.name(place)) not in self._own:
                yield source, saved.known(place)
        yield from ((s, file) for s, file in self._own.items() if file is not None and file.notes)

    def with_duplicates(self, digests: Iterable[str]) -> set[str]:
        """The files that have one of these texts, which another file has in the store."""
        wanted, saved = set(digests), self._saved
        found = {s for s, file in self._own.items() if file and not wanted.isdisjoint(file.duplicates)}
        known = [begins for layer in saved.layers if len(begins := layer.copies)]
        asked = _begins(sorted(wanted))
        asked = asked[np.isin(asked, np.concatenate(known))] if known else asked[:0]
        places = {place for begin in asked for place in saved.owners(begin, duplicates=True)}
        for place in sorted(places):
            source = saved.name(place)
            if source not in self._own and not wanted.isdisjoint(saved.known(place).duplicates):
                found.add(source)
        return found

    def totals(self) -> tuple[int, int, int]:
        """How many chunks there are, how many duplicates, and how many files with a problem."""
        saved = self._saved
        places = saved.alive
        others = [place for source in self._own if (place := saved.place(source)) >= 0]
        totals = []
        for column in (saved.counts, saved.copied, saved.marks & _PROBLEM):
            totals.append(int(column[places].sum()) - int(column[np.array(others, np.int64)].sum()))
        own = [file for file in self._own.values() if file is not None]
        return (
            totals[0] + sum(len(file.chunks) for file in own),
            totals[1] + sum(len(file.duplicates) for file in own),
            totals[2] + sum(file.problem is not None for file in own),
        )

    # Saving

    def everything(self) -> KnownColumns:
        """The columns of all files."""
        own = {source: file for source, file in self._own.items() if file is not None}
        overlaid = [self._saved.place(source) for source in self._own]
        places = self._saved.alive[~np.isin(self._saved.alive, overlaid)]
        parts = self._saved.taken(places, anew=True)
        first = len(places)
        return _in_order(
            [*parts, KnownColumns.of(own, range(first, first + len(own)))], np.empty(0, np.int64)
        )

    def changes(self, older: Sequence[KnownColumns]) -> KnownColumns:
        """The columns of what has changed since it was saved, and of all that some layers tell of."""
        saved, own = self._saved, self._own
        told = [column for layer in older for column in (layer.positions, layer.gone)]
        places: Slots = np.unique(np.concatenate([np.empty(0, np.int64), *told]))
        at = {source: saved.place(source) for source in own}
        fresh = iter(range(len(saved.rows), len(saved.rows) + len(own)))
        now = {source: file for source, file in own.items() if file is not None}
        positions = [at[source] if at[source] >= 0 else next(fresh) for source in now]
        places = places[~np.isin(places, [place for place in at.values() if place >= 0])]
        gone = [at[source] for source, file in own.items() if file is None and at[source] >= 0]
        is_gone = saved.rows[places] < 0
        parts = [*saved.taken(places[~is_gone]), KnownColumns.of(now, positions)]
        return _in_order(parts, np.concatenate([places[is_gone], np.array(gone, np.int64)]))


def _in_order(parts: Sequence[KnownColumns], gone: Slots) -> KnownColumns:
    """Columns as one, by place."""
    whole = KnownColumns.joined(parts, gone)
    order = np.argsort(whole.positions, kind="stable")
    if (np.diff(order) > 0).all():
        return whole
    ordered = whole.take(order, whole.positions[order])
    ordered.gone = gone
    return ordered


class OwnedTexts:
    """The digests of the texts that files have in the store.

    Args:
        files: The files.
        without: Those of them whose texts do not count.
    """

    def __init__(self, files: KnownFiles, without: set[str]) -> None:
        own = {s: f for s, f in files._own.items() if f is not None and s not in without}
        self._added = {digest for file in own.values() for digest in file.chunks.contents}
        self._saved = files._saved
        others = (self._saved.place(source) for source in {*files._own, *without})
        self._others = {place for place in others if place >= 0}
        self._asked = 0
        self._sorted: tuple[Any, Slots] | None = None
        self._last: tuple[int, list[str]] = (-1, [])

    def add(self, digest: str) -> None:
        """One more."""
        self._added.add(digest)

    def __contains__(self, digest: str) -> bool:
        if digest in self._added:
            return True
        if not len(self._saved.rows):  # a first index, which asks for every text
            return False
        [begin] = _begins([digest])
        self._asked += 1
        owners = self._saved.owners(begin) if self._asked <= _FEW_ASKED else self._owners(begin)
        return any(digest in self._contents(place) for place in owners if place not in self._others)

    def _contents(self, place: int) -> list[str]:
        if self._last[0] != place:
            self._last = place, self._saved.known(place).chunks.contents
        return self._last[1]

    def _owners(self, begin: Any) -> list[int]:
        """As `_Saved.owners`, where many are asked for."""
        if self._sorted is None:
            self._sorted = self._in_order()
        begins, places = self._sorted
        first, end = np.searchsorted(begins, begin, "left"), np.searchsorted(begins, begin, "right")
        return list(dict.fromkeys(places[first:end].tolist()))

    def _in_order(self) -> tuple[Any, Slots]:
        """The begins of all digests that count, rising, and the places of the files that have them."""
        saved = self._saved
        counts: Mask = np.ones(len(saved.rows), np.bool_)
        counts[np.array(sorted(self._others), np.int64)] = False
        begins, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for layer, first in zip(saved.layers, saved.firsts.tolist(), strict=False):
            places = layer.positions
            valid = counts[places] & (saved.rows[places] == np.arange(first, first + len(places)))
            begins.append(layer.contents[np.repeat(valid, layer.counts)])
            owners.append(np.repeat(places[valid], layer.counts[valid]))
        found, at = np.concatenate(begins), np.concatenate(owners)
        order = np.argsort(found, kind="stable")
        return found[order], at[order]
