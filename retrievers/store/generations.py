"""How a store lies on disk: finished generations, one pointer, and locks.

    folder/
      CURRENT                 name of the current generation, and the checksum of its manifest
      writer.lock             held by the one process that saves
      generation-000007/      never changed once CURRENT names it
        manifest.json         format, settings, counts, embedding model; size, time, SHA-256 of every file
        in-use.lock           held, shared, by every process that has the generation open
        vectors.faiss  slots.npy  documents.sqlite      the oldest part of the store
        vectors-3.faiss  slots-3.npy  documents-3.sqlite  …  the parts that came later
        [dead.npy]  [embedding/…]  [sidecars/<name>/…]

What has not changed is a hard link to the file of the generation before, so a save writes what is new.
A save writes a new generation, syncs it to the disk, and renames a new CURRENT over the old one: whatever
moment the process dies at, CURRENT names a whole generation. Older generations are deleted at the next save
once no process has them open.

A folder may come from a stranger, who can make the checksums fit. So no name leads out of it and no link is
followed (`private_files.py`), what the manifest says is checked before it is used, and only files that it
names are opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_bedrock.retrievers.filters import shown
from llama_bedrock.retrievers.store.locks import FileLock
from llama_bedrock.retrievers.store.private_files import (
    ForeignFileError,
    check_file,
    delete_unfinished,
    is_real_folder,
    make_folder,
    make_private,
    open_file,
    read_file,
    replace_file,
    sync_file,
    sync_folder,
    write_file,
)

FORMAT = 2
_READ = (1, FORMAT)
"""Format 1 is that of a store in one part."""
_POINTER = "CURRENT"
_MANIFEST = "manifest.json"
_IN_USE = "in-use.lock"
_WRITER = "writer.lock"
_PREFIX = "generation-"
_NAME = re.compile(r"generation-[0-9]{6,18}")
_POINTER_BYTES, _MANIFEST_BYTES = 4096, 2**24
_MOST_FILES = 1000
_PARALLEL = 2
_SYNCED_AT_ONCE = 8
_SMALL = 2**20
"""Bytes up to which a checksum is not worth a thread."""
_held = threading.local()


class StoreError(ValueError):
    """A saved store cannot be used as asked; the message says why and what to do."""


class StoreDamagedError(StoreError):
    """A file of the store is missing, truncated, changed or not of this kind."""


class StoreLockedError(StoreError):
    """Another process is saving into the folder."""


class StoreChangedError(StoreError):
    """Another process has saved the store since it was opened here; saving would lose its changes."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished generation, open: it is not deleted while this object lives.

    Attributes:
        path: Its folder.
        manifest: What its manifest says.
        lock: Keeps it from being deleted.
    """

    path: Path
    manifest: dict[str, Any]
    lock: FileLock | None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def is_kept(self) -> bool:
        """Whether nobody deletes its files meanwhile, open or not: Windows has no such locks."""
        return self.lock is not None and os.name != "nt"

    def file(self, name: str) -> Path:
        """A file that the manifest names; others are not opened.

        Raises:
            StoreDamagedError: It names no such file.
        """
        if name not in self.manifest["files"]:
            raise StoreDamagedError(f"{self.path / _MANIFEST} names no {name}: the store is damaged")
        return self.path / name

    def folder(self, name: str) -> Path:
        """A folder all of whose files the manifest names.

        Raises:
            StoreDamagedError: It holds another one.
        """
        path = self.path / name
        if is_real_folder(path):
            for found in path.rglob("*"):
                if found.is_symlink() or not found.is_dir():
                    self.file(found.relative_to(self.path).as_posix())
        return path


def current_name(folder: Path) -> str | None:
    """Name of the generation that CURRENT names; None if there is no store.

    Raises:
        StoreDamagedError: CURRENT is not of this kind.
    """
    pointer = _read_pointer(folder)
    return pointer[0] if pointer else None


def open_generation(folder: Path, *, verify: bool | None = None) -> Generation:
    """Open the current generation, whatever other processes do meanwhile.

    Args:
        folder: The store's folder.
        verify: True compares every file with its checksum; None those only whose size or time is not that of
            the save (as git does), so that opening does not read everything; False none.

    Raises:
        FileNotFoundError: There is no store in the folder.
        StoreDamagedError: A file is missing, truncated, changed or foreign.
    """
    for _ in range(100):
        pointer = _read_pointer(folder)
        if pointer is None:
            raise FileNotFoundError(
                f"there is no FAISSStore in {folder}; store.save({str(folder)!r}) makes one"
            )
        name, checksum = pointer
        path = folder / name
        if path.is_symlink():
            raise StoreDamagedError(f"{path} is a link: it is not followed; copy the whole store")
        try:
            lock = _lock_generation(path)
        except BlockingIOError:
            time.sleep(0.01)  # it is being deleted, so there is a newer one
            continue
        manifest = _read(path / _MANIFEST, _MANIFEST_BYTES)
        if manifest is None:
            if _read_pointer(folder) != pointer:
                continue  # it was replaced and deleted between the two steps
            raise StoreDamagedError(f"{path / _MANIFEST} is missing: the store is damaged; save it again")
        if hashlib.sha256(manifest).hexdigest() != checksum:
            raise StoreDamagedError(f"{path / _MANIFEST} does not match its checksum in {folder / _POINTER}")
        generation = Generation(path, _parse_manifest(manifest, path), lock)
        check_files(generation, verify=verify)
        return generation
    raise StoreLockedError(f"{folder} is being saved over and over; try again")


def check_files(generation: Generation, *, verify: bool | None) -> None:
    """Compare the files with the manifest; see `open_generation`.

    Raises:
        StoreDamagedError: One is missing, truncated or changed.
    """
    doubtful: dict[Path, str] = {}
    for name, facts in generation.manifest["files"].items():
        path = generation.path / name
        try:
            found = check_file(generation.path, name)
        except ForeignFileError as error:
            raise StoreDamagedError(f"{error}: the store is damaged, or not ours") from None
        except (FileNotFoundError, NotADirectoryError):
            raise StoreDamagedError(f"{path} is missing: the store is damaged; save it again") from None
        if found.st_size != facts["size"]:
            raise StoreDamagedError(
                f"{path} has {found.st_size} bytes and should have {facts['size']}: it is damaged"
            )
        if verify or (verify is None and found.st_mtime_ns != facts["modified_ns"]):
            doubtful[path] = facts["sha256"]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for path, checksum in zip(doubtful, pool.map(_checksum, doubtful), strict=True):
            if checksum != doubtful[path]:
                raise StoreDamagedError(
                    f"{path} does not match its checksum: it is damaged; restore it or save again"
                )


@contextmanager
def writing(folder: Path, *, timeout: float = 10.0) -> Iterator[None]:
    """Be the one process that writes to a folder; within the block, the same thread may do so again.

    Raises:
        StoreLockedError: Another process (or thread) is, for longer than the timeout in seconds.
    """
    make_folder(folder)
    held: set[str] = _held.__dict__.setdefault("folders", set())
    name = str(folder.resolve())
    if name in held:
        yield
        return
    try:
        lock = FileLock(folder / _WRITER, timeout=timeout)
    except ForeignFileError as error:
        raise StoreDamagedError(str(error)) from None
    except BlockingIOError:
        raise StoreLockedError(
            f"another process is writing to {folder}; wait for it to end, or use another folder"
        ) from None
    held.add(name)
    try:
        yield
    finally:
        held.discard(name)
        lock.release()


def write_generation(
    folder: Path, write: Callable[[Path], dict[str, Any]], before: Generation | None = None
) -> Generation:
    """Write a new generation and make it the current one. Call it within `writing`.

    Args:
        folder: The store's folder.
        write: Writes the files into the folder it is given; returns what the manifest is to say of them.
        before: The generation whose files it may hard-link: what is known of them is not found out again.
    """
    delete_unused(folder)
    path = _new_generation(folder, current_name(folder))
    lock = FileLock(path / _IN_USE, shared=True)
    try:
        facts = {**write(path), "format": FORMAT}
        with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
            # To wait for the disk takes longest, and many files are synced in the time of one.
            facts["files"], waiting = _seal(path, before, pool)
            encoded = json.dumps(facts, indent=1, sort_keys=True).encode()
            waiting.append(pool.submit(write_file, path / _MANIFEST, encoded))
            for done in waiting:
                done.result()
            folders = [path, *(found for found in path.rglob("*") if found.is_dir())]
            for directory in folders:
                make_private(directory)
            list(pool.map(sync_folder, [*folders, folder]))
        pointer = {"generation": path.name, "sha256": hashlib.sha256(encoded).hexdigest()}
        replace_file(folder / _POINTER, json.dumps(pointer).encode())
    except BaseException:
        if current_name(folder) != path.name:  # a full disk is not filled further
            lock.release()
            shutil.rmtree(path, ignore_errors=True)
        raise
    return Generation(path, facts, lock)


def _new_generation(folder: Path, current: str | None) -> Path:
    """A folder that was not there before."""
    number = int(current.removeprefix(_PREFIX)) if current else 0
    while True:
        number += 1
        path = folder / f"{_PREFIX}{number:06}"
        with suppress(FileExistsError):  # a stranger's, or one that cannot be deleted
            path.mkdir(mode=0o700)
            os.close(open_file(path / _IN_USE, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            return path


def _read(path: Path, most: int) -> bytes | None:
    try:
        return read_file(path, most)
    except ForeignFileError as error:
        raise StoreDamagedError(f"{error}: it was not written by FAISSStore") from None


def _read_pointer(folder: Path) -> tuple[str, str] | None:
    encoded = _read(folder / _POINTER, _POINTER_BYTES)
    if encoded is None:
        return None
    try:
        pointer = json.loads(encoded)
        name, checksum = pointer["generation"], pointer["sha256"]
        if not _NAME.fullmatch(name):
            raise ValueError(name)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreDamagedError(f"{folder / _POINTER} was not written by FAISSStore, or is damaged") from None
    return name, checksum


def _parse_manifest(encoded: bytes, path: Path) -> dict[str, Any]:
    try:
        manifest = dict(json.loads(encoded))
    except (ValueError, TypeError, RecursionError):
        raise StoreDamagedError(f"{path / _MANIFEST} was not written by FAISSStore") from None
    if manifest.get("format") not in _READ:
        raise StoreError(
            f"{path} has format {shown(manifest.get('format'))} and this version of llama-bedrock reads "
            f"{FORMAT}: index the documents again, or install the version that wrote it"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or len(files) > _MOST_FILES or not all(map(_is_facts, files.values())):
        raise StoreDamagedError(f"{path / _MANIFEST} names no files, or wrong ones")
    return manifest


def _is_facts(facts: object) -> bool:
    return (
        isinstance(facts, dict)
        and all(type(facts.get(name)) is int for name in ("size", "modified_ns"))
        and isinstance(facts.get("sha256"), str)
    )


def _lock_generation(path: Path) -> FileLock | None:
    try:
        return FileLock(path / _IN_USE, shared=True)
    except BlockingIOError:
        raise
    except ForeignFileError as error:
        raise StoreDamagedError(str(error)) from None
    except OSError:
        # A copy of the folder without locks, a file system that has none, or a generation just deleted (its
        # manifest is missing too).
        return None


def delete_unused(folder: Path) -> None:
    """Delete the generations that are neither current nor open anywhere. Call it within `writing`."""
    keep = current_name(folder)
    delete_unfinished(folder / _POINTER)
    for path in folder.glob(f"{_PREFIX}*"):
        if path.name == keep or not _NAME.fullmatch(path.name) or not is_real_folder(path):
            continue
        # The manifest goes first: a reader that comes meanwhile sees that the generation is gone.
        with suppress(OSError, ForeignFileError):
            lock = FileLock(path / _IN_USE)
            (path / _MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
            lock.release()


def _seal(
    path: Path, before: Generation | None, pool: ThreadPoolExecutor
) -> tuple[dict[str, Any], list[Future[Any]]]:
    """Size, time and checksum of every file, which the manifest keeps, and what syncs the new ones to the
    disk. Of a hard link to a file of the generation before they are known.
    """
    facts: dict[str, Any] = {}
    new: list[str] = []
    for found in sorted(path.rglob("*")):
        name = found.relative_to(path).as_posix()
        if found.is_dir() or name == _IN_USE:
            continue
        known = before.manifest["files"].get(name) if before is not None else None
        if known is not None and _is_same_file(found, before.path / name):  # type: ignore[union-attr]
            facts[name] = known
        else:
            if found.lstat().st_nlink > 1:
                _unlink_from_others(found)
            _set_time(found)
            new.append(name)
    waiting = [pool.submit(sync_file, path / name) for name in new]
    small = [name for name in new if (path / name).stat().st_size < _SMALL]
    checksums = dict(zip(small, map(_checksum, (path / name for name in small)), strict=True))
    large = [name for name in new if name not in checksums]
    checksums |= zip(large, pool.map(_checksum, (path / name for name in large)), strict=True)
    for name in new:
        found_facts = (path / name).stat()
        facts[name] = {
            "size": found_facts.st_size,
            "modified_ns": found_facts.st_mtime_ns,
            "sha256": checksums[name],
        }
    return facts, waiting


def _unlink_from_others(path: Path) -> None:
    """Make a file of its own of one that has other names, in another store."""
    copy = path.with_name(f"{path.name}.copy")
    shutil.copyfile(path, copy, follow_symlinks=False)
    os.replace(copy, path)


def _is_same_file(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(one.lstat(), other.lstat())
    return False


def _set_time(path: Path) -> None:
    """Set the time of change back by a second with random nanoseconds: a later one, however soon, shows."""
    make_private(path)
    modified_ns = time.time_ns() - 10**9 - secrets.randbelow(10**8)
    os.utime(path, ns=(modified_ns, modified_ns))


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
