"""Files of a folder that strangers may have filled: nothing outside it is read or written through them.

A name is one plain component or several; every folder on the way, and the file, must be real: a link, a pipe
or a device is refused. What is written is the owner's alone (folders 0700, files 0600).
"""

from __future__ import annotations

import mmap
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for its other end
_UNFINISHED = ".new"
_NOT_IN_NAMES = set("/\\:")
_MAPPED = 2**16
"""Bytes from which on a file is mapped; smaller ones are read as soon."""
_LONGEST = 1000  # characters of a name with its folders


class ForeignFileError(ValueError):
    """What stands at a name is a link, a pipe, or otherwise no file of ours."""


def is_plain_name(name: object) -> bool:
    """Whether a name is one component that stays in its folder, on every system."""
    return (
        isinstance(name, str)
        and 0 < len(name) < 256
        and not name.startswith(".")
        and name.isprintable()  # neither NUL nor half a character, nor what turns a line around
        and not set(name) & _NOT_IN_NAMES
    )


def check_file(folder: Path, name: str) -> os.stat_result:
    """The facts of a file inside a folder.

    Args:
        folder: The folder, which itself is trusted.
        name: One or more components, joined by ``/``.

    Raises:
        ForeignFileError: A component is not plain, or a link; or it is no file.
        FileNotFoundError: There is none.
    """
    parts = PurePosixPath(name).parts
    if not parts or len(name) > _LONGEST or not all(map(is_plain_name, parts)):
        raise ForeignFileError(f"{ascii(name)[:100]} is no name of a file inside {folder}")
    path = folder
    for part in parts[:-1]:
        path = path / part
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise ForeignFileError(f"{path} is a link, or no folder")
    facts = (path / parts[-1]).lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise ForeignFileError(f"{path / parts[-1]} is a link, or no file")
    return facts


def is_real_folder(path: Path) -> bool:
    """Whether there is a folder, and not a link to one."""
    with suppress(OSError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


def open_file(path: Path, flags: int) -> int:
    """Open a file that is no link; made, if the flags say so, as the owner's alone.

    Raises:
        ForeignFileError: It is a link, a pipe, a socket or a folder.
        OSError: It cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | _NO_LINK | _NO_WAIT, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise ForeignFileError(f"{path} is a link: it is not followed") from error
        if path.exists() and not path.is_file():
            raise ForeignFileError(f"{path} is no plain file") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ForeignFileError(f"{path} is no plain file")
    return descriptor


def read_file(path: Path, most: int) -> bytes | None:
    """The bytes of a file; None if there is none.

    Raises:
        ForeignFileError: It is a link or a pipe, or larger than ``most`` bytes.
    """
    try:
        descriptor = open_file(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ForeignFileError(f"{path} is larger than {most:,} bytes")
    return content


def map_file(path: Path) -> memoryview:
    """The bytes of a file that never changes, read where they are looked at.

    Raises:
        FileNotFoundError: There is none.
        ForeignFileError: It is a link or a pipe.
    """
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        if os.fstat(file.fileno()).st_size < _MAPPED:
            return memoryview(file.read())
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def write_file(path: Path, content: bytes) -> None:
    """Write a new file and sync it to the disk.

    Raises:
        FileExistsError: There is one.
    """
    with os.fdopen(open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: whole, or as it was; synced to the disk. A link there is replaced."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}{_UNFINISHED}")
    try:
        write_file(temporary, content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def link_file(old: Path, new: Path) -> None:
    """Give a finished file another name, or copy it where there are no hard links."""
    try:
        os.link(old, new, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(old, new, follow_symlinks=False)


def delete_unfinished(path: Path) -> None:
    """Delete what killed processes left of `replace_file`; call it where no other can be writing the file."""
    for found in path.parent.glob(f"{path.name}.*{_UNFINISHED}"):
        with suppress(OSError):
            found.unlink()


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, as the owner's alone; one that is there stays as it is."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def make_private(path: Path) -> None:
    """Take a file or folder from all but its owner."""
    with suppress(OSError):  # a file system without modes
        path.chmod(0o700 if path.is_dir() else 0o600)


def sync_file(path: Path) -> None:
    """Sync what was written into a file to the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Sync the names in a folder to the disk."""
    if os.name == "nt":
        return  # folders cannot be opened there; NTFS journals renames
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
