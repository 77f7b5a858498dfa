"""What is known of indexed folders: which files there were, and which chunks of a store are theirs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from llama_bedrock.retrievers.documents.load import FileProblem, find_files
from llama_bedrock.retrievers.documents.readers.file_bytes import file_digest
from llama_bedrock.retrievers.indexing.known_files import Chunk, KnownColumns, KnownFiles, decode_known

_MAGIC = b"llama-bedrock folders 3\n"
_READ = (1, 2)
"""Formats of older versions, which are JSON; 1 lists each chunk by itself."""
_RACY_NS = 2_000_000_000


@dataclass(slots=True)
class Folder:
    """An indexed file or folder.

    Attributes:
        settings: Everything besides the files that chunks depend on; with other settings all files are read
            again.
        files: By source.
    """

    settings: str
    files: KnownFiles = field(default_factory=KnownFiles)

    def chunks(self) -> Iterable[Chunk]:
        """All its chunks in the store."""
        return (chunk for file in self.files.values() for chunk in file.chunks)


@dataclass(slots=True)
class ManifestPart:
    """What one file of a manifest tells: all of it, or what has changed since an older file.

    Attributes:
        store_version: As in `Manifest`.
        settings: Of each folder.
        columns: The files of each folder.
    """

    store_version: int | None
    settings: dict[str, str]
    columns: dict[str, KnownColumns]

    def encode(self) -> bytes:
        """It as bytes, for a file."""
        folders, blocks = [], []
        for name, columns in self.columns.items():
            lengths, own = columns.encoded()
            folders.append({"name": name, "settings": self.settings[name], **lengths})
            blocks += own
        header = _MAGIC + json.dumps({"store_version": self.store_version, "folders": folders}).encode()
        # The arrays begin at whole numbers of eight bytes.
        return b"".join([header, b" " * (-len(header) % 8), b"\n" + bytes(7), *blocks])

    @classmethod
    def decode(cls, encoded: bytes | memoryview) -> ManifestPart:
        """What `encode` gave; the bytes are kept, and must not change.

        Raises:
            ValueError: It is damaged, or of another version.
        """
        try:
            data = memoryview(encoded)
            if bytes(data[: len(_MAGIC)]) != _MAGIC:
                raise ValueError("it is of another version of llama-bedrock")
            end = _end_of_line(data, len(_MAGIC))
            facts = json.loads(bytes(data[len(_MAGIC) : end]))
            part = cls(facts["store_version"], {}, {})
            data = data[end + 8 :]
            for folder in facts["folders"]:
                name = _text(folder["name"])
                part.settings[name] = _text(folder["settings"])
                part.columns[name], data = KnownColumns.decoded(folder, data)
            if len(data):
                raise ValueError("something lies behind its end")
            return part
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(error) from error


def _end_of_line(data: memoryview, start: int) -> int:
    """Where the first line from a place on ends."""
    length = 4096
    while (end := bytes(data[start : start + length]).find(b"\n")) < 0:
        if start + length >= len(data):
            raise ValueError("it has no header")
        length *= 2
    return start + end


def _damaged(error: Exception) -> ValueError:
    return ValueError(f"the manifest of the indexed folders is damaged ({error})")


@dataclass(slots=True)
class Manifest:
    """The folders indexed into one store, by absolute path.

    Attributes:
        folders: What is known of each.
        store_version: Version of the store when they were indexed; if it has changed, somebody else changed
            it.
    """

    folders: dict[str, Folder] = field(default_factory=dict)
    store_version: int | None = None

    def encode(self) -> bytes:
        """It as bytes, for a file."""
        return self.part({name: folder.files.everything() for name, folder in self.folders.items()}).encode()

    def part(self, columns: dict[str, KnownColumns]) -> ManifestPart:
        """What is to be told of its folders in one file."""
        settings = {name: self.folders[name].settings for name in columns}
        return ManifestPart(self.store_version, settings, columns)

    @classmethod
    def of(cls, parts: Sequence[ManifestPart]) -> Manifest:
        """What the files of a manifest tell, oldest first.

        Raises:
            ValueError: They do not belong together.
        """
        manifest = cls()
        for part in parts:
            manifest.store_version = part.store_version
            for name, settings in part.settings.items():
                manifest.folders[name] = Folder(settings)
        try:
            manifest.keep(parts)
        except ValueError as error:
            raise _damaged(error) from error
        return manifest

    def keep(self, parts: Sequence[ManifestPart]) -> None:
        """From now on its files are what was saved of them in these parts."""
        for name, folder in self.folders.items():
            folder.files = KnownFiles.saved([part.columns[name] for part in parts if name in part.columns])

    @classmethod
    def decode(cls, encoded: bytes) -> Manifest:
        """Read what `encode` made, or an older version's.

        Raises:
            ValueError: It is damaged, or of another version.
        """
        if encoded.startswith(_MAGIC):
            return cls.of([ManifestPart.decode(encoded)])
        return cls.of_json([encoded])

    @classmethod
    def of_json(cls, parts: Iterable[bytes]) -> Manifest:
        """Read a manifest of older versions, in one or several files; none of it counts as saved.

        Raises:
            ValueError: It is damaged, or of another version.
        """
        manifest = cls()
        try:
            for encoded in parts:
                facts = json.loads(encoded)
                if facts["format"] not in _READ:
                    raise ValueError("it is of another version of llama-bedrock")
                for name, found in facts["folders"].items():
                    folder = manifest.folders.setdefault(name, Folder(""))
                    folder.settings = _text(found["settings"])
                    for source in found.get("gone", ()):
                        folder.files.pop(_text(source), None)
                    known = found["files"].items()
                    folder.files.update({source: decode_known(file) for source, file in known})
                manifest.store_version = facts["store_version"]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(error) from error
        return manifest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("settings are no text")
    return value


class FoundFile(NamedTuple):
    """A file as it is now."""

    source: str
    size: int
    modified_ns: int

    def remembered_time(self) -> int:
        """Its time of change, if no later change can share it; see `KnownFile`."""
        return self.modified_ns if self.modified_ns < time.time_ns() - _RACY_NS else 0


class FoundFiles:
    """The files of a folder as they are now, in columns: with an object for each, Python's garbage collector
    would look at all others.

    Attributes:
        sources: Of each file.
        sizes: The same.
        times: Of its last change.
    """

    def __init__(self, files: Sequence[FoundFile] = ()) -> None:
        self.sources = [file.source for file in files]
        self.sizes = [file.size for file in files]
        self.times = [file.modified_ns for file in files]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, number: int) -> FoundFile:
        return FoundFile(self.sources[number], self.sizes[number], self.times[number])


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between a folder and what is known of it.

    Attributes:
        read: Files to be read: new, changed, and those that there is permission to read now.
        touched: Files with another time and the same content.
        removed: Sources of files that are gone.
    """

    read: list[FoundFile]
    touched: list[FoundFile]
    removed: list[str]


Report: TypeAlias = Callable[[FileProblem], None]


def scan(
    path: str | os.PathLike[str],
    report: Report,
    on_file: Callable[[int], None] | None = None,
    *,
    follow_links_outside: bool = False,
) -> FoundFiles:
    """All files under a path with size and time, in the order in which they are read."""
    found = FoundFiles()
    sizes, times, look = found.sizes, found.times, os.stat
    for source in find_files(path, report, follow_links_outside=follow_links_outside):
        try:
            status = look(source)
        except OSError:
            sizes.append(-1)  # a link to nothing: reading it gives the reason
            times.append(0)
        else:
            sizes.append(status.st_size)
            times.append(status.st_mtime_ns)
        found.sources.append(source)
        if on_file is not None:
            on_file(len(sizes))
    return found


def compare(
    known: Folder,
    found: FoundFiles,
    is_ours: Callable[[FoundFile], bool],
    again: Collection[str] = (),
) -> Changes:
    """What has to be done for the store to hold what was found.

    Args:
        known: What was indexed before, with the same settings.
        found: The files there are.
        is_ours: Whether a file that is not known is one we read.
        again: Files to be read again, whether they have changed or not.
    """
    read: list[FoundFile] = []
    touched: list[FoundFile] = []
    doubtful, all_there = known.files.doubtful(found.sources, found.sizes, found.times)
    if again:
        doubtful = sorted({*doubtful, *(n for n, source in enumerate(found.sources) if source in again)})
    for file in map(found.__getitem__, doubtful):
        before = known.files.get(file.source)
        if before is None:
            if is_ours(file):
                read.append(file)
        elif before.size != file.size or file.source in again:
            read.append(file)
        elif before.modified_ns != file.modified_ns:
            (touched if file_digest(file.source) == before.digest else read).append(file)
        elif before.problem is not None and not before.digest and file_digest(file.source):
            read.append(file)  # permission to read it leaves its time as it was
    present: set[str] = set() if all_there else set(found.sources)
    removed = [] if all_there else [source for source in known.files if source not in present]
    return _with_heirs(Changes(read, touched, removed), known, found)


def _with_heirs(changes: Changes, known: Folder, found: FoundFiles) -> Changes:
    """Read also the files whose duplicates were in the store for a file that is gone or may have lost
    them.
    """
    going = {file.source for file in changes.read} | set(changes.removed)
    files = (known.files.get(source) for source in going)
    lost = {text for file in files if file is not None for text in file.chunks.contents}
    heirs = known.files.with_duplicates(lost) - going if lost else set()
    if not heirs:
        return changes
    wanted = heirs | {file.source for file in changes.read}
    read = [found[number] for number, source in enumerate(found.sources) if source in wanted]
    touched = [file for file in changes.touched if file.source not in heirs]
    return Changes(read, touched, changes.removed)
