"""Arrays in one .npz file, never unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from llama_bedrock._extras import require


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write named numpy arrays of numbers."""
    require("numpy", "local").savez(path, **arrays)


def read_arrays(path: Path, *names: str) -> list[Any]:
    """Read named arrays.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or holds what would have to be unpickled.
    """
    np = require("numpy", "local")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): index the documents again") from error
