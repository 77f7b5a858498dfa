"""The bytes of files that somebody else may have made: each opened once, and judged by what was opened."""

from __future__ import annotations

import errno
import hashlib
import os
import stat

_BLOCK = 1 << 20
# Opening a pipe would wait for its other end. What is a file at a look may be a pipe when it is opened.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
OUTSIDE = (
    "a link that leads out of the folder (follow_links_outside=True, on the command line "
    "--follow-links-outside, follows it)"
)
_NO_FILE = (errno.ENXIO, errno.ENODEV)  # a socket, a device that is not there


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix of a file's name in lower case, with its dot; empty if it has none."""
    return os.path.splitext(path)[1].lower().rstrip(".")


def open_file(path: str | os.PathLike[str], bounds: str | None = None) -> tuple[int, int]:
    """Open a file for reading: its descriptor, and its size in bytes.

    Args:
        path: The file.
        bounds: Real path of a folder; what was opened must lie in it. A look before the opening would not do:
            a folder or file may become a link in between.

    Raises:
        ValueError: It is a pipe, a device, a folder, or lies outside the bounds.
        OSError: It cannot be opened.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise ValueError("not a regular file") from error
        raise
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file")
    if bounds is not None and not _lies_in(bounds, path, descriptor, facts):
        os.close(descriptor)
        raise ValueError(OUTSIDE)
    return descriptor, facts.st_size


def _lies_in(bounds: str, path: str | os.PathLike[str], descriptor: int, opened: os.stat_result) -> bool:
    try:
        real = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # not on Linux: the path is looked at again, and must still lead to what was opened
        try:
            real = os.path.realpath(path)
            found = os.lstat(real)
        except OSError:
            return False
        if (found.st_dev, found.st_ino) != (opened.st_dev, opened.st_ino):
            return False
    return is_inside(real, bounds)


def is_inside(real: str, bounds: str) -> bool:
    """Whether a real path is a folder's, or lies in it."""
    return real == bounds or real.startswith(bounds.rstrip(os.sep) + os.sep)


def read_bytes(path: str | os.PathLike[str], most: int, bounds: str | None = None) -> tuple[bytes, int]:
    """The bytes of a file, one more than the most at most, and its size; ``bounds`` as in `open_file`.

    Raises:
        ValueError: It is a pipe, a device, a folder, or lies outside the bounds.
        OSError: It cannot be read.
    """
    descriptor, size = open_file(path, bounds)
    try:
        data = os.read(descriptor, min(size, most) + 1)
        # A file may grow meanwhile, and one of /proc says that it is empty.
        while data and len(data) != size and len(data) <= most:
            block = os.read(descriptor, min(_BLOCK, most + 1 - len(data)))
            if not block:
                break
            data += block
        return data, max(size, len(data))
    finally:
        os.close(descriptor)


def digest_of(data: bytes) -> str:
    """Digest of bytes, by which a change is told."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """Digest of a file's bytes; empty if it cannot be read, or is no file."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        descriptor, _ = open_file(path)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()
