"""The index of a folder, made on first use, kept in the cache, and brought up to date when files change.

An index is made in a folder of its own and renamed into place, so there is never half an index: not after
Ctrl-C, and not when two processes make the same one (the first to finish is used). Later changes are saved in
one atomic step.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_bedrock.cli.cache_folder import cache_folder

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from llama_bedrock.retrievers import FAISSStore, IndexReport

LSA = "lsa"
TITAN = "titan"

_FORMAT = 2  # raised when indexes of older versions must not be used
_ABOUT = "about.json"
_ABANDONED_SECONDS = 24 * 3600
_KEPT_SECONDS = 30 * 24 * 3600
_BUSY_SECONDS = 600.0  # how long another process may take to index the same files
_BUSY_POLL = 0.2

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
        """Number of files."""
        return sum(report.added + report.changed + report.unchanged for report in self.reports)

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
    progress: Progress | None = None,
) -> OpenIndex:
    """Open the index of a file or folder: made where there is none, else brought up to date.

    Args:
        path: File or folder, or several, indexed together.
        embeddings: ``"lsa"``, which needs nothing, or ``"titan"``, Bedrock's Titan Text Embeddings V2.
        region: AWS region for Titan.
        rebuild: Make it anew even if there is one.
        progress: Told about each step.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It holds nothing that can be read; the message says why.
    """
    from llama_bedrock.retrievers.documents import check_path
    from llama_bedrock.retrievers.persistence import StoreDamagedError

    started = time.perf_counter()
    tell = progress or (lambda step, done, total: None)
    paths = (path,) if isinstance(path, Path) else tuple(path)
    for one in paths:
        check_path(one)
    model = titan(region) if embeddings == TITAN else None
    folder = cache_folder() / "indexes" / _key(paths, embeddings, region)
    reports: tuple[IndexReport, ...] | None = None
    if not rebuild and (folder / _ABOUT).is_file():
        with suppress(StoreDamagedError):  # a cache that is damaged is made anew
            store, reports = _updated(paths, folder, model, tell)
    built = reports is None
    if reports is None:
        store, reports = _build(paths, folder, model, tell)
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


def _updated(
    paths: Sequence[Path], folder: Path, model: Embeddings | None, tell: Progress
) -> tuple[FAISSStore, tuple[IndexReport, ...]]:
    """Open an index and bring it up to date; waits where another process is doing just that."""
    from llama_bedrock.retrievers import FAISSStore
    from llama_bedrock.retrievers.persistence import StoreChangedError, StoreLockedError

    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        store = FAISSStore.load(folder / "store", model)
        try:
            return store, _indexed(paths, store, tell)
        except (StoreLockedError, StoreChangedError):
            if time.monotonic() > deadline:
                raise
            tell("Waiting for another process", 0, 1)
            time.sleep(_BUSY_POLL)


def _build(
    paths: Sequence[Path], folder: Path, model: Embeddings | None, tell: Progress
) -> tuple[FAISSStore, tuple[IndexReport, ...]]:
    """Make the index in a folder beside its place, and move it there when it is complete."""
    from llama_bedrock.retrievers import FAISSStore

    with _unfinished(folder) as new:
        store = FAISSStore(model)
        reports = _indexed(paths, store, tell)
        store.save(new / "store")
        about = {"paths": [os.path.abspath(path) for path in paths]}
        (new / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        _remove(folder)
        try:
            new.rename(folder)
        except OSError:
            if not (folder / _ABOUT).is_file():  # else another process was faster, with the same content
                raise
    _drop_old(folder.parent)
    return FAISSStore.load(folder / "store", model), reports


def _indexed(paths: Sequence[Path], store: FAISSStore, tell: Progress) -> tuple[IndexReport, ...]:
    from llama_bedrock.retrievers import index_folder

    names = {"scan": "Looking for changes", "read": "Reading files", "embed": "Embedding", "save": "Saving"}
    return tuple(
        index_folder(
            path,
            store,
            on_progress=lambda stage, done, total: tell(names[stage], done, total),
            on_error=lambda problem: None,  # it is in the report
        )
        for path in paths
    )


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, which is gone afterwards unless it was renamed."""
    new = folder.with_name(f"unfinished-{secrets.token_hex(8)}")
    try:
        new.mkdir(parents=True)
    except OSError as error:
        advice = "set XDG_CACHE_HOME to a folder that can be written"
        raise OSError(f"cannot keep the index in {new.parent}: {error.strerror}; {advice}") from error
    try:
        yield new
    finally:
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
    from llama_bedrock.cli.output import stderr

    console = stderr()
    if not console.is_terminal:
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
    """Say what was made or changed and what could not be read; nothing where all was as before."""
    from llama_bedrock.cli.output import counted, note

    if index.built:
        size = f"{counted(index.files, 'file')}, {counted(len(index.store), 'passage')}"
        note(f"Indexed {size}, in {index.seconds:.1f} s.")
    elif index.changes:
        note(f"Updated the index ({index.changes}) in {index.seconds:.1f} s.")
    else:
        return
    for problem in index.problems[:5]:
        note(f"skipped {problem}")
    if len(index.problems) > 5:
        note(f"… and {len(index.problems) - 5} more that could not be read")


def index_facts(index: OpenIndex) -> dict[str, Any]:
    """The facts of an index as JSON-able values."""
    counts = ("added", "changed", "removed", "unchanged", "embedded", "duplicates")
    return {
        "folder": str(index.folder),
        "files": index.files,
        "passages": len(index.store),
        "built": index.built,
        **{name: sum(getattr(report, name) for report in index.reports) for name in counts},
        "seconds": round(index.seconds, 3),
        "problems": list(index.problems),
    }
