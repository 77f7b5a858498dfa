"""Packages whose public names are imported when first used: a program pays for what it needs alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llama_bedrock._extras import require


def lazy_names(
    package: str, homes: Mapping[str, Iterable[str]], needs: Mapping[str, Sequence[str]] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package, which has them as ``__all__`` too.

    Args:
        package: The package's ``__name__``.
        homes: Module, named relative to the package (``".store.faiss_store"``) or whole → its public names.
        needs: Module of ``homes`` → the extra that it needs, and what is imported to see whether it is there.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        extra, *modules = (needs or {}).get(home_of[name], [""])
        for module in modules:
            require(module, extra)
        value = getattr(importlib.import_module(home_of[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return list(sys.modules[package].__all__)

    return __getattr__, __dir__
