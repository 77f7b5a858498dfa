"""Load files and folders into LangChain documents.

``load_documents`` is the way in. It finds the files (:func:`find_files`), reads each with the reader of its
format (``readers/by_format.py``) and reports what it could not read instead of failing on it. Splitting is
``split.py``.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from llama_bedrock.argument_kinds import AtLeastOne, refuses_wrong_kinds
from llama_bedrock.retrievers.documents.readers.by_format import (
    SUPPORTED_FORMATS,
    has_reader,
    read_file,
    unreadable_reason,
)
from llama_bedrock.retrievers.documents.readers.file_bytes import OUTSIDE, is_inside, suffix_of
from llama_bedrock.retrievers.documents.readers.file_content import (
    MAX_FILE_BYTES,
    CustomReader,
    ReadLimitError,
    ReadSettings,
)

if TYPE_CHECKING:
    from langchain_core.documents import Document

logger = logging.getLogger(__name__)

SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "site-packages"})
"""Folders that hold other people's code or caches. Hidden ones (a leading dot) are skipped too."""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file, or a part of one, that could not be read."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


def _log_problem(problem: FileProblem) -> None:
    logger.warning("skipped %s", problem)


@refuses_wrong_kinds
def load_documents(
    path: str | os.PathLike[str],
    *,
    on_error: Callable[[FileProblem], None] | None = None,
    encoding: str | None = None,
    max_file_bytes: AtLeastOne = MAX_FILE_BYTES,
    readers: Mapping[str, CustomReader] | None = None,
    follow_links_outside: bool = False,
) -> list[Document]:
    """Read a file, or every readable file of a folder, into documents.

    PDF gives one document per page, PPTX one per slide, EPUB one per chapter, MBOX one per message; CSV,
    XLSX, ODS, JSON lines and JSON lists of objects give one per row; every other format one per file. HTML
    and word processors' files become Markdown-like text, so that their headings survive. Metadata:
    ``source`` (path as given, joined with the path inside the folder), ``document_id``, ``format`` and, where
    known, ``title``, ``page`` (or slide, from 1), ``line`` (from 1), ``language`` (source code). A row in
    BEIR's form (``_id``, ``title``, ``text``) keeps its id and title. docs/retrieval.md tells what is read of
    each format.

    A folder is walked in sorted order. Hidden files and folders, ``node_modules``, Python environments and
    saved FAISSStores are left out; folder links are followed once, so a loop of links ends. Files of unknown
    name are read if their content is text. Links that lead out of the folder are reported and not followed:
    a folder that somebody else made could hold one to a file of yours.

    Args:
        path: File or folder.
        on_error: Called for each file (or page, or row) that cannot be read, which is then skipped, with what
            to do about it; ``problems.append`` collects them. Default: a warning in the log.
        encoding: Encoding of text files, by any name the web knows it by. Default: the byte order mark, else
            what the file declares, else UTF-8, else what it looks like.
        max_file_bytes: Larger text files are reported, not read; PDF, Office's formats and mail, which hold
            images too, may be eight times as large. Default 32 MiB.
        readers: Functions that read files of a suffix, before ours: ``{".xyz": function}``. A function takes
            the path, and returns Markdown, or an iterable of Markdown texts or documents. Packages register
            theirs as entry points of the group ``llama_bedrock.readers``, named by the suffix.
        follow_links_outside: Read also what links that lead out of the folder lead to.

    Returns:
        The documents, in the order of their files.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It holds nothing that can be read, or a suffix is none; the message says why.
    """
    problems: list[FileProblem] = []

    def report(problem: FileProblem) -> None:
        problems.append(problem)
        (on_error or _log_problem)(problem)

    root = check_path(path)
    bounds = None if follow_links_outside else bounds_of(path)
    settings = ReadSettings(encoding, max_file_bytes, check_readers(readers), bounds)
    documents: list[Document] = []
    ignored: Counter[str] = Counter()
    read = 0
    is_file = root.is_file()
    for source in find_files(path, report, follow_links_outside=follow_links_outside):
        if not is_file and not has_reader(source, settings):
            ignored[suffix_of(source) or os.path.basename(source)] += 1
            if reason := unreadable_reason(source):
                report(FileProblem(source, reason))
            continue
        documents.extend(read_reported(source, source, settings, report))
        read += 1
    if not documents:
        raise ValueError(nothing_found(path, problems, ignored, read))
    return documents


def check_readers(readers: Mapping[str, CustomReader] | None) -> dict[str, CustomReader]:
    """Readers by suffix in lower case, with its dot.

    Raises:
        ValueError: A suffix is none, or a reader cannot be called.
    """
    checked = {}
    for suffix, reader in (readers or {}).items():
        if not suffix.strip(".") or "/" in suffix or not callable(reader):
            raise ValueError(
                f'readers takes functions by suffix, as in {{".xyz": f}}; got {suffix!r}: {reader!r}'
            )
        checked[f".{suffix.lstrip('.').lower()}"] = reader
    return checked


def check_path(path: str | os.PathLike[str]) -> Path:
    """The path, if there is something at it.

    Raises:
        FileNotFoundError: There is no such file or folder.
    """
    root = Path(path)
    try:
        root.stat()
    except OSError as error:
        if isinstance(error, PermissionError):
            raise ValueError(f"no permission to read {os.fspath(path)}") from error
        raise FileNotFoundError(f"no such file or folder: {os.fspath(path)}") from error
    return root


def bounds_of(path: str | os.PathLike[str]) -> str | None:
    """Real path of the folder that nothing read may lie outside of; None for a single file."""
    return os.path.realpath(path) if os.path.isdir(path) else None


def find_files(
    path: str | os.PathLike[str],
    report: Callable[[FileProblem], None],
    *,
    follow_links_outside: bool = False,
) -> Iterator[str]:
    """The files under a path, in a fixed order.

    Args:
        path: File or folder.
        report: Called for each folder that cannot be listed, and for each link that leads out of the path.
        follow_links_outside: Follow links that lead out of the path, too.
    """
    root = Path(path)
    if not root.is_dir():
        yield os.fspath(path)
        return
    bounds = None if follow_links_outside else bounds_of(path)
    # Folders are told apart by device and inode, so that a link back up the tree ends the walk there.
    seen: set[tuple[int, int]] = set()
    pending = [os.fspath(path)]
    while pending:
        folder = pending.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=_NAME)
        except OSError as error:
            report(FileProblem(folder, describe_error(error)))
            continue
        folders = []
        for entry in entries:  # of which there are many: what most are not is asked without a call
            if entry.name[0] == ".":
                continue
            if bounds is not None and (entry.is_symlink() or _HAS_JUNCTIONS) and _leads_out(entry, bounds):
                report(FileProblem(entry.path, OUTSIDE))
            elif _is_folder(entry):
                if not _is_skipped(entry):
                    folders.append(entry.path)
            else:
                yield entry.path
        pending.extend(reversed(folders))


_NAME = attrgetter("name")
_HAS_JUNCTIONS = os.name == "nt"


def _leads_out(entry: os.DirEntry[str], root: str) -> bool:
    is_junction = getattr(entry, "is_junction", bool)  # from Python 3.12 on
    if not (entry.is_symlink() or is_junction()):
        return False
    return not is_inside(os.path.realpath(entry.path), root)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself, for one: reading it gives the reason


def _is_skipped(entry: os.DirEntry[str]) -> bool:
    def holds(name: str) -> bool:
        return os.path.exists(os.path.join(entry.path, name))

    # A FAISSStore among the documents it was made of, or is being made of.
    is_store = (holds("CURRENT") and holds("writer.lock")) or holds("indexing.lock")
    return entry.name in SKIPPED_FOLDERS or holds("pyvenv.cfg") or is_store


def read_reported(
    file: str | os.PathLike[str],
    source: str,
    settings: ReadSettings,
    report: Callable[[FileProblem], None],
    use: Callable[[Iterator[Document]], list[Document]] = list,
    on_bytes: Callable[[bytes], None] = lambda data: None,
) -> list[Document]:
    """The documents of one file; nothing, and a report, if it cannot be read.

    Args:
        file: The file.
        source: What its documents give as their source.
        settings: How to read it.
        report: Called for the file, or each part of it, that cannot be read.
        use: What to make of the documents while they are read, so that a large file is not held twice.
        on_bytes: As in `read_file`.
    """
    parts: dict[str, None] = {}  # of equal reasons one is enough

    def report_part(reason: str) -> None:
        if reason not in parts and len(parts) < _MOST_PARTS:
            report(FileProblem(source, reason))
        parts[reason] = None

    try:
        return use(read_file(file, source, settings, report_part, on_bytes))
    except ImportError:
        raise  # a missing extra concerns every file of the format: the caller has to install it
    except Exception as error:  # a damaged file raises whatever its parser runs into
        logger.debug("cannot read %s", source, exc_info=True)
        # That nothing was found is no news where the reasons were told.
        if not parts or isinstance(error, ReadLimitError):
            report(FileProblem(source, describe_error(error)))
        return []
    finally:
        if len(parts) > _MOST_PARTS:
            report(FileProblem(source, f"… and {len(parts) - _MOST_PARTS:,} more parts that cannot be read"))


_MOST_PARTS = 20


def describe_error(error: Exception) -> str:
    """One line that says what went wrong with a file."""
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "it is gone, or a link to nothing"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, MemoryError):
        return "reading it takes more memory than there is; split the file"
    if isinstance(error, RecursionError):
        return "damaged, or nested too deeply"
    message = " ".join(str(error).split())
    return (
        message
        if isinstance(error, ValueError) and message
        else f"damaged ({message or type(error).__name__})"
    )


def nothing_found(
    path: str | os.PathLike[str], problems: list[FileProblem], ignored: Counter[str], read: int = 0
) -> str:
    """One line that says why there is nothing to read at a path.

    Args:
        path: The path.
        problems: What could not be read.
        ignored: Suffixes of the files that have no reader, with their numbers.
        read: Number of files that were read, and held nothing.
    """
    name = os.fspath(path)
    if ignored and not read:
        found = ", ".join(f"{count} × {suffix}" for suffix, count in ignored.most_common(5))
        return f"no supported documents in {name} (found {found}); supported: {SUPPORTED_FORMATS}"
    if len(problems) == 1:
        return (
            f"nothing to read in {name}: {problems[0].reason if problems[0].source == name else problems[0]}"
        )
    if problems:
        return f"nothing to read in {name}: {len(problems)} files cannot be read, the first is {problems[0]}"
    return f"{'no text in the files of' if read else 'no files in'} {name}; supported: {SUPPORTED_FORMATS}"
