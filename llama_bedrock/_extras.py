"""Optional dependencies: imported when first needed, and named by their extra when missing."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: Dotted name of the module to import, such as ``"faiss"``.
        extra: The extra of this distribution that installs it, such as ``"local"``.

    Raises:
        ImportError: The module is not installed; the message holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise ImportError(
            f'{module} is not installed; it comes with the extra: pip install "llama-bedrock[{extra}]"'
        ) from error
