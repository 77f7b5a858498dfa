"""What is known of indexed folders: which files there were, and which chunks of a store are theirs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.load import FileProblem, find_files
from llama_bedrock.retrievers.documents.readers.file_bytes import file_digest
from llama_bedrock.retrievers.documents.searchable_text import searchable_text
from llama_bedrock.retrievers.search.lexical import TEXT_DIGEST_LENGTH, text_digest

_FORMAT = 2
_READ = (1, _FORMAT)
"""Format 1 lists each chunk by itself."""
_RACY_NS = 2_000_000_000
_FEW_ASKED = 64
"""Digests that are found in less time by reading the text that holds all of them than by splitting it."""
_NO_MORE: list[Any] = [[], None, []]
"""What most files have in place of duplicates, a problem and notes."""


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
    """The chunks of a file, kept as three texts until they are looked at: most files do not change.

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
        # So long are so many digests and the blanks between them: each run that follows reads all of them.
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


class OwnedTexts:
    """The digests of the texts that files have in the store.

    A run that adds little asks for few of them: those are looked for in the digests as they were saved, which
    takes a fraction of the time that a set of them all takes to make.

    Args:
        chunks: The chunks of the files.
    """

    def __init__(self, chunks: Sequence[Chunks]) -> None:
        self._added: set[str] = set()
        self._chunks = chunks
        self._text: str | None = None
        self._asked = 0

    def add(self, digest: str) -> None:
        """One more."""
        self._added.add(digest)

    def __contains__(self, digest: str) -> bool:
        if digest in self._added:
            return True
        if self._text is None:
            self._text = " ".join([chunks.packed()[1] for chunks in self._chunks])
        self._asked += 1
        if self._asked > _FEW_ASKED:
            self._added.update(self._text.split())
            self._text = ""
            return digest in self._added
        return digest in self._text


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


@dataclass(slots=True)
class Folder:
    """An indexed file or folder.

    Attributes:
        settings: Everything besides the files that chunks depend on; with other settings all files are read
            again.
        files: By source.
    """

    settings: str
    files: dict[str, KnownFile] = field(default_factory=dict)

    def chunks(self) -> Iterable[Chunk]:
        """All its chunks in the store."""
        return (chunk for file in self.files.values() for chunk in file.chunks)


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

    def encode(self, only: Mapping[str, Iterable[str]] | None = None) -> bytes:
        """It as bytes, for a file.

        Args:
            only: The folders and sources that changed, to be put upon an older manifest by `update`; default:
                all.
        """
        folders = {}
        for name in self.folders if only is None else only:
            folder = self.folders[name]
            sources = list(folder.files) if only is None else list(only[name])
            folders[name] = {
                "settings": folder.settings,
                "files": {s: encode_known(folder.files[s]) for s in sources if s in folder.files},
                "gone": [source for source in sources if source not in folder.files],
            }
        facts = {"format": _FORMAT, "store_version": self.store_version, "folders": folders}
        return json.dumps(facts).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Manifest:
        """Read what `encode` made of all folders.

        Raises:
            ValueError: It is damaged, or of another version.
        """
        manifest = cls()
        manifest.update(encoded)
        return manifest

    def update(self, encoded: bytes) -> dict[str, list[str]]:
        """Put upon it what `encode` made of the changes since; returns the sources by folder.

        Raises:
            ValueError: It is damaged, or of another version.
        """
        try:
            facts = json.loads(encoded)
            if facts["format"] not in _READ:
                raise ValueError("it is of another version of llama-bedrock")
            sources: dict[str, list[str]] = {}
            for name, found in facts["folders"].items():
                folder = self.folders.setdefault(name, Folder(""))
                folder.settings = _text(found["settings"])
                gone = [_text(source) for source in found.get("gone", ())]
                for source in gone:
                    folder.files.pop(source, None)
                folder.files |= {source: decode_known(file) for source, file in found["files"].items()}
                sources[name] = [*found["files"], *gone]
            self.store_version = facts["store_version"]
            return sources
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"the manifest of the indexed folders is damaged ({error})") from error


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
    on_file: Callable[[int], None],
    *,
    follow_links_outside: bool = False,
) -> list[FoundFile]:
    """All files under a path with size and time, in the order in which they are read."""
    found = []
    files = find_files(path, report, follow_links_outside=follow_links_outside)
    for number, source in enumerate(files, 1):
        try:
            status = os.stat(source)
        except OSError:
            found.append(FoundFile(source, -1, 0))  # a link to nothing: reading it gives the reason
        else:
            found.append(FoundFile(source, status.st_size, status.st_mtime_ns))
        on_file(number)
    return found


def compare(known: Folder, found: Iterable[FoundFile], is_ours: Callable[[FoundFile], bool]) -> Changes:
    """What has to be done for the store to hold what was found.

    Args:
        known: What was indexed before, with the same settings.
        found: The files there are.
        is_ours: Whether a file that is not known is one we read.
    """
    read: list[FoundFile] = []
    touched: list[FoundFile] = []
    present: set[str] = set()
    for file in found:
        present.add(file.source)
        before = known.files.get(file.source)
        if before is None:
            if is_ours(file):
                read.append(file)
        elif before.size != file.size:
            read.append(file)
        elif before.modified_ns != file.modified_ns:
            (touched if file_digest(file.source) == before.digest else read).append(file)
        elif before.problem is not None and not before.digest and file_digest(file.source):
            read.append(file)  # permission to read it leaves its time as it was
    removed = [source for source in known.files if source not in present]
    return _with_heirs(Changes(read, touched, removed), known, found)


def _with_heirs(changes: Changes, known: Folder, found: Iterable[FoundFile]) -> Changes:
    """Read also the files whose duplicates were in the store for a file that is gone or may have lost
    them.
    """
    going = {file.source for file in changes.read} | set(changes.removed)
    lost = {text for source in going & known.files.keys() for text in known.files[source].chunks.contents}
    heirs = {
        source
        for source, file in known.files.items()
        if source not in going and not lost.isdisjoint(file.duplicates)
    }
    if not heirs:
        return changes
    wanted = heirs | {file.source for file in changes.read}
    read = [file for file in found if file.source in wanted]
    touched = [file for file in changes.touched if file.source not in heirs]
    return Changes(read, touched, changes.removed)
