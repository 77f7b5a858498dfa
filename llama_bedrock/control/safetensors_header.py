"""The header of a safetensors file: which tensors it has, of which type and shape, and where.

Format: 8 bytes, little-endian, with the length of a JSON object; the object; the tensors. Each entry has
``dtype``, ``shape`` and ``data_offsets`` (begin and end, counted from the end of the header), and
``__metadata__`` is one of texts. https://huggingface.co/docs/safetensors/en/index#format
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

# Bytes of an element; the format's own list (dtypes of less than a byte are left to its library).
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("F64", "I64", "U64"), 8),
}
_MAX_HEADER = 100_000_000  # the limit of the safetensors library
_FIRST_READ = 65_536
LFS_POINTER = b"version https://git-lfs"
"""Begin of the file that Git LFS leaves where the real one was not downloaded."""


class HeaderError(ValueError):
    """The file is no whole safetensors file; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What the header says of a tensor.

    Attributes:
        dtype: Such as ``"BF16"``.
        shape: Its dimensions.
        size: Bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int


def read_header(read: Callable[[int, int], bytes], size: int) -> dict[str, Tensor]:
    """Read the header of a file, and compare it with the file's length.

    Args:
        read: Returns the bytes from a position up to another.
        size: Length of the file in bytes.

    Raises:
        HeaderError: The file is damaged, cut, or something else.
    """
    first = read(0, min(size, _FIRST_READ))
    if first.startswith(LFS_POINTER):
        raise HeaderError("it is a Git LFS pointer, not the file: run `git lfs pull`")
    if size < 8:
        raise HeaderError(f"it has {size} bytes and no header: download it again")
    length = int.from_bytes(first[:8], "little")
    if length > _MAX_HEADER:
        raise HeaderError("it does not begin as a safetensors file: save the weights as safetensors")
    end = 8 + length
    if end > size:
        raise HeaderError(f"it ends inside its header, after {size:,} of {end:,} bytes: download it again")
    text = first[8:end] if end <= len(first) else first[8:] + read(len(first), end)
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise HeaderError("its header is no JSON: the file is damaged, download it again") from None
    if not isinstance(entries, dict):
        raise HeaderError("its header is no JSON object: the file is damaged, download it again")
    entries.pop("__metadata__", None)
    return _checked(entries, size - end)


def _checked(entries: dict[str, Any], size: int) -> dict[str, Tensor]:
    """The tensors, which must fill the rest of the file without holes and overlaps."""
    tensors: dict[str, Tensor] = {}
    places: list[tuple[int, int, str]] = []
    for name, entry in entries.items():
        try:
            begin, end = entry["data_offsets"]
            tensor = Tensor(str(entry["dtype"]), tuple(map(int, entry["shape"])), end - begin)
        except (TypeError, KeyError, ValueError):
            raise HeaderError(f"its header does not say where {name!r} is: the file is damaged") from None
        wanted = _BYTES.get(tensor.dtype, 0) * prod(tensor.shape)
        if tensor.size < 0 or (tensor.dtype in _BYTES and tensor.size != wanted):
            raise HeaderError(
                f"the tensor {name!r} has {tensor.size:,} bytes where its shape takes {wanted:,}: "
                "the file is damaged"
            )
        tensors[name] = tensor
        places.append((begin, end, name))
    at = 0
    for begin, end, name in sorted(places):
        if begin != at:
            raise HeaderError(f"the tensor {name!r} begins at {begin:,}, not at {at:,}: the file is damaged")
        at = end
    if at > size:
        raise HeaderError(f"it is cut: {size:,} of {at:,} bytes of tensors are there: download it again")
    if at < size:
        raise HeaderError(f"it has {size - at:,} bytes that belong to no tensor: the file is damaged")
    return tensors
