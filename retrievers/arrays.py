"""numpy for the modules that cannot work without it, names for its arrays, and arrays in files."""

from __future__ import annotations

import io
import math
import os
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from llama_bedrock._extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "local")

__all__ = [
    "Bits",
    "Floats",
    "Integers",
    "Mask",
    "Slots",
    "counted",
    "np",
    "read_array",
    "read_arrays",
    "write_arrays",
]

Floats: TypeAlias = "np.typing.NDArray[np.float32]"
"""Vectors (one per row), one vector, or scores."""
Slots: TypeAlias = "np.typing.NDArray[np.int64]"
"""Slots of a vector index, or keys of documents."""
Integers: TypeAlias = "np.typing.NDArray[np.int32]"
Mask: TypeAlias = "np.typing.NDArray[np.bool_]"
Bits: TypeAlias = "np.typing.NDArray[np.uint8]"
"""Eight flags in each byte, the first one in its lowest bit."""


def counted(numbers: Slots) -> tuple[Slots, Slots]:
    """The numbers that occur, rising, and how often each does; what is given is sorted in its place.

    As `np.unique` does it, without the copies of what is large.
    """
    numbers.sort()
    is_first = np.ones(len(numbers), np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    return numbers[starts], np.diff(starts, append=len(numbers))


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write named arrays of numbers into one ``.npz`` file."""
    np.savez(path, **arrays)


def read_array(path: Path, kind: str) -> Any:
    """Read one row of numbers from a ``.npy`` file.

    Args:
        path: The file.
        kind: Their type, such as ``"<i8"``.

    Raises:
        ValueError: It is damaged, or holds other numbers.
    """
    array = _array(path.read_bytes(), path)
    if array.dtype != np.dtype(kind) or array.ndim != 1:
        raise ValueError(f"{path} holds {array.dtype.str} of {array.ndim} dimensions, not one row of {kind}")
    return array


def read_arrays(path: Path, *names: str, is_checked: bool = True) -> list[Any]:
    """Read named arrays of a ``.npz`` file; nothing is unpickled or unpacked.

    Args:
        path: The file.
        names: The arrays.
        is_checked: Whether to compare them with their checksums, which takes longer than to read them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or not as `write_arrays` writes it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [archive.getinfo(f"{name}.npy") for name in names]
            # A packed member of a kilobyte may hold a gigabyte: ours are stored as they are.
            if any(m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size for m in members):
                raise ValueError("its arrays are packed")
            read = archive.read if is_checked else partial(_unchecked, archive)
            return [_array(read(member), path) for member in members]
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, ValueError, LookupError, EOFError, OSError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged ({error}): index the documents again") from error


def _unchecked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member, without a look at its checksum."""
    file: Any = archive.fp
    if member.file_size > os.fstat(file.fileno()).st_size:
        raise ValueError("it ends too early")
    file.seek(member.header_offset + 26)  # where it tells the lengths of its name and of a further field
    lengths = [int.from_bytes(file.read(2), "little") for _ in range(2)]
    file.seek(sum(lengths), os.SEEK_CUR)
    content: bytes = file.read(member.file_size)
    return content


def _array(content: bytes, path: Path) -> Any:
    """The array that a ``.npy`` file holds; numpy itself would believe any size that its header tells."""
    file = io.BytesIO(content)
    try:
        np.lib.format.read_magic(file)
        shape, is_fortran, kind = np.lib.format.read_array_header_1_0(file)
    except (ValueError, EOFError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    size = kind.itemsize * math.prod(shape)
    if kind.hasobject or is_fortran or min(shape, default=0) < 0 or size != len(content) - file.tell():
        raise ValueError(f"{path} is damaged: its header tells of another size or kind of numbers")
    return np.frombuffer(content, kind, offset=file.tell()).reshape(shape)
