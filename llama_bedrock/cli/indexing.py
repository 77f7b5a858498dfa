"""The index of a folder, made on first use and kept in the cache until the documents change.

An index is found by its content: the names and bytes of the files, and what made the vectors. It is built in
a folder of its own and renamed into place, so there is never half an index: not after Ctrl-C, and not when
two processes build the same one (the first to finish is used).
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

    from llama_bedrock.retrievers import FAISSStore

LSA = "lsa"
TITAN = "titan"

_FORMAT = 1  # raised when indexes of older versions must not be used
_ABOUT = "about.json"
_ABANDONED_SECONDS = 24 * 3600
_KEPT_SECONDS = 30 * 24 * 3600
_BLOCK = 1 << 20

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True, slots=True)
class OpenIndex:
    """An index, open.

    Attributes:
        store: The passages with their vectors.
        folder: Where it lies.
        documents: Number of documents; a PDF counts by page.
        passages: Number of passages.
        problems: Files that could not be read, each with the reason.
        built: True if it was made now, False if it was found.
        seconds: What that took.
    """

    store: FAISSStore
    folder: Path
    documents: int
    passages: int
    problems: tuple[str, ...]
    built: bool
    seconds: float


def open_index(
    path: Path | Sequence[Path],
    *,
    embeddings: str = LSA,
    region: str | None = None,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> OpenIndex:
    """Open the index of a file or folder, and make it first where there is none for its present content.

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
    started = time.perf_counter()
    tell = progress or (lambda step, done, total: None)
    paths = (path,) if isinstance(path, Path) else tuple(path)
    key = _content_key(paths, embeddings, region, tell)
    folder = cache_folder() / "indexes" / key
    if rebuild or not (folder / _ABOUT).is_file():
        problems, built = _build(paths, folder, embeddings, region, replace=rebuild, tell=tell), True
    else:
        problems, built = (), False
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    os.utime(folder / _ABOUT)  # the time of last use, by which old indexes are dropped
    from llama_bedrock.retrievers import FAISSStore

    store = FAISSStore.load(folder / "store", titan(region) if embeddings == TITAN else None)
    seconds = time.perf_counter() - started
    return OpenIndex(store, folder, about["documents"], about["passages"], tuple(problems), built, seconds)


def _content_key(paths: Sequence[Path], embeddings: str, region: str | None, tell: Progress) -> str:
    """Hash of everything the index depends on: file names as given, their bytes, and the settings."""
    from llama_bedrock.retrievers.documents import check_path, find_files
    from llama_bedrock.retrievers.readers import has_reader
    from llama_bedrock.version import __version__

    for path in paths:
        check_path(path)
    files = [found for path in paths for found in find_files(path, lambda problem: None)]
    digest = hashlib.blake2b(digest_size=16)
    digest.update(
        json.dumps([_FORMAT, __version__, embeddings, region if embeddings == TITAN else None]).encode()
    )
    for number, (file, source) in enumerate(files):
        tell("Looking for changes", number, len(files))
        if len(files) == 1 or has_reader(file):
            digest.update(f"\0{source}\0".encode("utf-8", "surrogatepass"))
            digest.update(_file_digest(file))
    return digest.hexdigest()


def _file_digest(file: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        return f"cannot be read: {error.errno}".encode()
    return digest.digest()


def _build(
    paths: Sequence[Path],
    folder: Path,
    embeddings: str,
    region: str | None,
    *,
    replace: bool,
    tell: Progress,
) -> tuple[str, ...]:
    """Make the index in a folder beside its place, and move it there when it is complete."""
    from llama_bedrock.retrievers import FAISSStore, HybridRetriever, load_documents, split_documents

    problems: list[str] = []
    tell("Reading documents", 0, 4)
    documents = [
        document
        for path in paths
        for document in load_documents(path, on_error=lambda problem: problems.append(str(problem)))
    ]
    tell("Splitting", 1, 4)
    passages = split_documents(documents)
    with _unfinished(folder) as new:
        tell(f"Embedding {len(passages):,} passages", 2, 4)
        store = FAISSStore.from_documents(passages, titan(region) if embeddings == TITAN else None)
        HybridRetriever(store=store)  # has the store save the index of words too
        tell("Saving", 3, 4)
        store.save(new / "store")
        about = {
            "paths": [os.path.abspath(path) for path in paths],
            "documents": len(documents),
            "passages": len(passages),
        }
        (new / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        if replace:
            _remove(folder)
        try:
            new.rename(folder)
        except OSError:
            if not (folder / _ABOUT).is_file():  # else another process was faster, with the same content
                raise
    _drop_old(folder.parent)
    return tuple(problems)


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
    """Say what was built and what could not be read; nothing where the index was found."""
    from llama_bedrock.cli.output import note

    if not index.built:
        return
    note(f"Indexed {index.documents:,} documents, {index.passages:,} passages, in {index.seconds:.1f} s.")
    for problem in index.problems[:5]:
        note(f"skipped {problem}")
    if len(index.problems) > 5:
        note(f"… and {len(index.problems) - 5} more that could not be read")


def index_facts(index: OpenIndex) -> dict[str, Any]:
    """The facts of an index as JSON-able values."""
    return {
        "folder": str(index.folder),
        "documents": index.documents,
        "passages": index.passages,
        "built": index.built,
        "seconds": round(index.seconds, 3),
        "problems": list(index.problems),
    }
