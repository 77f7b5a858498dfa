"""Whether something watches a library: instrumentations, recorders and stubs wrap its functions."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from llama_bedrock.transport.signing import is_own


class Places:
    """Functions that every call of a library passes, and whether they are still what their library made.

    Args:
        places: Module, class and names of methods.
    """

    def __init__(self, *places: tuple[str, str, str]) -> None:
        self._places = places
        self._pristine: list[tuple[Mapping[str, Any], str, Any]] | None = None

    def wrapped(self) -> str | None:
        """Return what has been wrapped or replaced, None while nothing has."""
        for namespace, name, known in self._pristine or ():
            if namespace.get(name) is not known:
                break
        else:
            if self._pristine is not None:
                return None
        return self._look()

    def _look(self) -> str | None:
        found: list[tuple[Mapping[str, Any], str, Any]] = []
        for module_name, class_name, names in self._places:
            module = import_module(module_name)
            cls = getattr(module, class_name)
            if cls.__module__ != module_name:
                return f"{module_name}.{class_name} is replaced"
            found.append((vars(module), class_name, cls))
            for name in names.split():
                function = vars(cls).get(name)
                if function is not None and not is_own(function):
                    return f"{module_name}.{class_name}.{name} is wrapped"
                found.append((vars(cls), name, function))
        self._pristine = found
        return None


_AIOHTTP = Places(
    ("aiohttp.client", "ClientSession", "__init__ _request"),
    ("aiohttp.connector", "TCPConnector", "connect"),
    ("aiohttp.connector", "BaseConnector", "connect"),
)


def aiohttp_is_watched() -> str | None:
    """Return what of aiohttp is wrapped or replaced, None while nothing is."""
    return _AIOHTTP.wrapped() if "aiohttp.client" in sys.modules else None
