"""The index of a folder, made on first use, kept in the cache, and brought up to date when files change.

An index is made in a folder of its own and renamed into place, so there is never half an index: not after
Ctrl-C, and not when two processes make the same one (one waits for the other). Vectors that were paid for
are kept there when making it is interrupted, for a day. Later changes are saved in one atomic step.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_bedrock.cli.user_folders import cache_folder

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from llama_bedrock.retrievers import FAISSStore, IndexReport

LSA = "lsa"
TITAN = "titan"

_FORMAT = 3  # raised when indexes of older versions must not be used
_ABOUT = "about.json"
_LONGEST_ABOUT = 1 << 20  # bytes
_PAID_FOR = ("index-journal", "CURRENT")  # of an interrupted `index_folder`: what is worth keeping
_ABANDONED_SECONDS = 24 * 3600
_KEPT_SECONDS = 30 * 24 * 3600
_BUSY_SECONDS = 600.0  # how long another process may take to index the same files
_BUSY_POLL = 0.2

_REMEMBERED = {"max_file_bytes": int, "follow_links_outside": bool}

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True, slots=True)
class OpenIndex:
    """An index, open and up to date.

    Attributes:
        store: The passages with their vectors.
        folder: Where it lies.
        reports: What was done, for each path.
        built: True if it was made now, False if it was found.
        seconds: What that took.
    """

    store: FAISSStore
    folder: Path
    reports: tuple[IndexReport, ...]
    built: bool
    seconds: float

    @property
    def files(self) -> int:
        """Files of which something is in the index."""
        known = sum(report.added + report.changed + report.unchanged for report in self.reports)
        return known - self.unread

    @property
    def unread(self) -> int:
        """Files of a format that can be read, of which nothing could be."""
        return sum(report.unread for report in self.reports)

    @property
    def size(self) -> str:
        """What it holds, for people: ``"3 files, 12 passages"``."""
        from llama_bedrock.cli.output import counted

        return f"{counted(self.files, 'file')}, {counted(len(self.store), 'passage')}"

    @property
    def changes(self) -> str:
        """What changed since the last time, for people; empty if nothing did."""
        counts = {
            name: sum(getattr(report, name) for report in self.reports)
            for name in ("added", "changed", "removed")
        }
        return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)

    @property
    def problems(self) -> tuple[str, ...]:
        """Files that could not be read, each with the reason."""
        return tuple(str(problem) for report in self.reports for problem in report.unreadable)


def open_index(
    path: Path | Sequence[Path],
    *,
    embeddings: str = LSA,
    region: str | None = None,
    rebuild: bool = False,
    max_file_bytes: int | None = None,
    follow_links_outside: bool | None = None,
    progress: Progress | None = None,
) -> OpenIndex:
    """Open the index of a file or folder: made where there is none, else brought up to date.

    Args:
        path: File or folder, or several, indexed together.
        embeddings: ``"lsa"``, which needs nothing, or ``"titan"``, Bedrock's Titan Text Embeddings V2.
        region: AWS region for Titan.
        rebuild: Make it anew even if there is one.
        max_file_bytes: Largest text file that is read; default: as the last time, or in `index_folder`.
        follow_links_outside: Read what links that lead out of the folder lead to; default: as the last time,
            or not.
        progress: Told about each step.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It holds nothing that can be read; the message says why.
    """
    from llama_bedrock.retrievers.documents.load import check_path

    started = time.perf_counter()
    tell = progress or (lambda step, done, total: None)
    paths = (path,) if isinstance(path, Path) else tuple(path)
    for one in paths:
        check_path(one)
    model = titan(region) if embeddings == TITAN else None
    folder = cache_folder() / "indexes" / _key(paths, embeddings, region)
    asked = {"max_file_bytes": max_file_bytes, "follow_links_outside": follow_links_outside}
    work = _Work(
        paths, folder, model, {name: value for name, value in asked.items() if value is not None}, tell
    )
    store, reports, built = _made(work, rebuild=rebuild)
    with suppress(OSError):  # a cache that cannot be written is as good to read
        os.utime(folder / _ABOUT)  # the time of last use, by which old indexes are dropped
    if not len(store):
        raise ValueError(f"{', '.join(map(str, paths))}: there are no documents any more")
    return OpenIndex(store, folder, reports, built, time.perf_counter() - started)


def _key(paths: Sequence[Path], embeddings: str, region: str | None) -> str:
    """Name of the index of these paths with these settings.

    A path counts as it is given, too: sources are named after it.
    """
    from llama_bedrock.version import __version__

    places = [[str(path), os.path.abspath(path)] for path in paths]
    facts = [_FORMAT, __version__, embeddings, region if embeddings == TITAN else None, places]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be indexed, where to, and how."""

    paths: Sequence[Path]
    folder: Path
    model: Embeddings | None
    asked: Mapping[str, Any]
    """Options of `index_folder` that were given now."""
    tell: Progress

    def options(self) -> dict[str, Any]:
        """Options of `index_folder`: those given now, else those of the last run."""
        return {**self.remembered(), **self.asked}

    def remember(self, folder: Path) -> None:
        """Write what later runs have to know."""
        from llama_bedrock.retrievers.store.private_files import replace_file

        about = {"paths": [os.path.abspath(path) for path in self.paths], **self.options()}
        replace_file(folder / _ABOUT, json.dumps(about).encode())

    def remembered(self) -> dict[str, Any]:
        """The options of the last run, which hold until others are given."""
        from llama_bedrock.retrievers.store.private_files import read_file

        with suppress(OSError, ValueError, RecursionError):
            about = json.loads(read_file(self.folder / _ABOUT, _LONGEST_ABOUT) or b"{}")
            about = about if isinstance(about, dict) else {}
            return {name: about[name] for name, kind in _REMEMBERED.items() if type(about.get(name)) is kind}
        return {}


def _made(work: _Work, *, rebuild: bool) -> tuple[FAISSStore, tuple[IndexReport, ...], bool]:
    """The index up to date, and whether it was made anew; waits where another process is doing just that."""
    from llama_bedrock.retrievers.store.generations import (
        StoreChangedError,
        StoreDamagedError,
        StoreLockedError,
    )

    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            if not rebuild and (work.folder / _ABOUT).is_file():
                with suppress(StoreDamagedError):  # a cache that is damaged is made anew
                    return *_updated(work), False
            return *_build(work, rebuild=rebuild), True
        except (StoreLockedError, StoreChangedError):
            if time.monotonic() > deadline:
                raise
            work.tell("Waiting for another process", 0, 1)
            time.sleep(_BUSY_POLL)


def _updated(work: _Work) -> tuple[FAISSStore, tuple[IndexReport, ...]]:
    """Open the index and bring it up to date."""
    from llama_bedrock.retrievers import FAISSStore
    from llama_bedrock.retrievers.store.generations import StoreDamagedError

    before = work.remembered()
    try:
        store = FAISSStore.load(work.folder / "store", work.model)
    except FileNotFoundError as error:
        raise StoreDamagedError(f"{work.folder} has no store") from error
    reports = _indexed(work, store, True)
    if work.options() != before:
        work.remember(work.folder)
    return store, reports


def _build(work: _Work, *, rebuild: bool) -> tuple[FAISSStore, tuple[IndexReport, ...]]:
    """Make the index in a folder beside its place, and move it there when it is complete.

    What another process has put there meanwhile has the same content, and may be in use: it stays.
    """
    from llama_bedrock.retrievers import FAISSStore
    from llama_bedrock.retrievers.store.generations import StoreChangedError

    before = _identity(work.folder)
    with _unfinished(work.folder, is_costly=work.model is not None) as new:
        store = _begun(new / "store", work.model)
        reports = _indexed(work, store, new / "store")
        try:
            work.remember(new)
            if before is not None and (rebuild or _identity(work.folder) == before):
                _remove(work.folder)
            new.rename(work.folder)
        except OSError:
            if not (work.folder / _ABOUT).is_file():  # else another process was faster
                raise
    _drop_old(work.folder.parent)
    try:
        return FAISSStore.load(work.folder / "store", work.model), reports
    except FileNotFoundError as error:
        raise StoreChangedError(f"{work.folder} was replaced meanwhile") from error


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another of its name; None where there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begun(folder: Path, model: Embeddings | None) -> FAISSStore:
    """A new store, or the one of an interrupted run that had indexed the first of several paths."""
    from llama_bedrock.retrievers import FAISSStore
    from llama_bedrock.retrievers.store.generations import StoreDamagedError

    try:
        return FAISSStore.load(folder, model)
    except FileNotFoundError:
        return FAISSStore(model)
    except StoreDamagedError:
        _remove(folder)
        return FAISSStore(model)


def _indexed(work: _Work, store: FAISSStore, save: bool | Path) -> tuple[IndexReport, ...]:
    from llama_bedrock.retrievers import index_folder

    names = {"scan": "Looking for changes", "read": "Reading files", "embed": "Embedding", "save": "Saving"}
    return tuple(
        index_folder(
            path,
            store,
            on_progress=lambda stage, done, total: work.tell(names[stage], done, total),
            on_error=lambda problem: None,  # it is in the report
            save=save,
            **work.options(),
        )
        for path in work.paths
    )


@contextmanager
def _unfinished(folder: Path, *, is_costly: bool) -> Iterator[Path]:
    """A new folder beside `folder`, which is gone afterwards unless it was renamed.

    Where vectors cost money, the next run finds the folder again if it holds some: its name is fixed.
    """
    from llama_bedrock.retrievers.store.generations import StoreLockedError
    from llama_bedrock.retrievers.store.private_files import make_folder

    name = folder.name if is_costly else secrets.token_hex(8)
    new = folder.with_name(f"unfinished-{name}")
    try:
        make_folder(new.parent)
        new.mkdir(mode=0o700, exist_ok=is_costly)
    except OSError as error:
        advice = "set XDG_CACHE_HOME to a folder that can be written"
        raise OSError(f"cannot keep the index in {new.parent}: {error.strerror}; {advice}") from error
    try:
        yield new
    except StoreLockedError:  # another process is making it there
        raise
    except BaseException:
        if not is_costly or not any((new / "store" / name).exists() for name in _PAID_FOR):
            _remove(new)
        raise
    else:
        _remove(new)


def _remove(folder: Path) -> None:
    """Take a folder out of the way in one step, then delete it."""
    gone = folder.with_name(f"unfinished-{secrets.token_hex(8)}")
    with suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _drop_old(indexes: Path) -> None:
    """Delete indexes nobody has used for a month, and what killed processes left behind."""
    now = time.time()
    for folder in indexes.iterdir():
        unfinished = folder.name.startswith("unfinished-")
        marker = folder if unfinished else folder / _ABOUT
        with suppress(OSError):
            if now - marker.stat().st_mtime > (_ABANDONED_SECONDS if unfinished else _KEPT_SECONDS):
                shutil.rmtree(folder, ignore_errors=True)


def titan(region: str | None) -> Embeddings:
    """Bedrock's Titan embeddings; where there are credentials, that is what the default is."""
    from llama_bedrock.cli.backend import find_credentials, no_credentials
    from llama_bedrock.retrievers import default_embeddings

    if find_credentials() is None:
        raise no_credentials("use --embeddings lsa")

    return default_embeddings([], region_name=region)


def choose_embeddings(asked: str, *, is_local: bool, endpoint: str | None) -> str:
    """The embeddings of a command: Titan where Bedrock answers and langchain-aws is installed.

    Args:
        asked: ``"auto"``, ``"lsa"`` or ``"titan"``.
        is_local: Whether the local engine answers.
        endpoint: The endpoint that stands in for AWS; it serves Llama, not Titan.

    Raises:
        ValueError: There is no such choice.
    """
    import importlib.util

    if asked not in ("auto", LSA, TITAN):
        raise ValueError(f"--embeddings is auto, lsa or titan, not {asked!r}")
    if asked != "auto":
        return asked
    on_aws = not is_local and endpoint is None
    return TITAN if on_aws and importlib.util.find_spec("langchain_aws") else LSA


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A progress bar on stderr while the block lasts; nothing where stderr is no terminal."""
    console = None
    if sys.stderr.isatty():
        from llama_bedrock.cli.output import stderr

        console = stderr()
    if console is None or not console.is_interactive:
        yield lambda step, done, total: None
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("", total=None)

        def tell(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total)

        yield tell


def tell_about(index: OpenIndex) -> None:
    """Say what was made or changed, and what could not be read: once by name, later by number."""
    from llama_bedrock.cli.output import note

    if index.built:
        note(f"Indexed {index.size}, in {index.seconds:.1f} s.")
    elif index.changes:
        note(f"Updated the index ({index.changes}) in {index.seconds:.1f} s.")
    elif index.problems:
        first = index.problems[0]
        more = f"; {len(index.problems) - 1} more" if len(index.problems) > 1 else ""
        note(f"could not be read: {first}{more} (index PATH --json lists all)")
        return
    for problem in index.problems[:5]:
        note(f"skipped {problem}")
    if len(index.problems) > 5:
        note(f"… and {len(index.problems) - 5} more that could not be read (index PATH --json lists all)")


def index_facts(index: OpenIndex) -> dict[str, Any]:
    """The facts of an index as JSON-able values."""
    counts = ("added", "changed", "removed", "unchanged", "embedded", "duplicates")
    return {
        "folder": str(index.folder),
        "files": index.files,
        "unread": index.unread,
        "passages": len(index.store),
        "built": index.built,
        **{name: sum(getattr(report, name) for report in index.reports) for name in counts},
        "seconds": round(index.seconds, 3),
        "problems": list(index.problems),
    }
