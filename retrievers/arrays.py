"""numpy for the modules that cannot work without it, names for its arrays, and arrays in files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from llama_bedrock._extras import require

if TYPE_CHECKING:
    import numpy as np
else:
    np = require("numpy", "local")

__all__ = ["Bits", "Floats", "Integers", "Mask", "Slots", "np", "read_arrays", "write_arrays"]

Floats: TypeAlias = "np.typing.NDArray[np.float32]"
"""Vectors (one per row), one vector, or scores."""
Slots: TypeAlias = "np.typing.NDArray[np.int64]"
"""Slots of a vector index, or keys of documents."""
Integers: TypeAlias = "np.typing.NDArray[np.int32]"
Mask: TypeAlias = "np.typing.NDArray[np.bool_]"
Bits: TypeAlias = "np.typing.NDArray[np.uint8]"
"""Eight flags in each byte, the first one in its lowest bit."""


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write named arrays of numbers into one ``.npz`` file."""
    np.savez(path, **arrays)


def read_arrays(path: Path, *names: str) -> list[Any]:
    """Read named arrays of a ``.npz`` file; nothing is unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or holds what would have to be unpickled.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): index the documents again") from error
