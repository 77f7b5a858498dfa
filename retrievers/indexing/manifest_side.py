"""The manifest of a FAISSStore's folders, saved with the store."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from weakref import WeakValueDictionary

from llama_bedrock.retrievers.indexing.folder_manifest import Manifest
from llama_bedrock.retrievers.store.faiss_store import FAISSStore

logger = logging.getLogger(__name__)

MANIFEST_FILE = "manifest.json"
SIDECAR = "folders"
"""Name of the side files of a FAISSStore that hold it."""


class ManifestSide:
    """The manifest of a FAISSStore, written by every save of it from now on."""

    def __init__(self, store: FAISSStore) -> None:
        self.store = store
        self.manifest = Manifest()
        folder = store.sidecar(SIDECAR)
        if folder is not None:
            try:
                self.manifest = Manifest.read(folder / MANIFEST_FILE)
            except (ValueError, OSError) as error:
                logger.warning("cannot use the saved manifest, reading all files again: %s", error)
        store.attach_sidecar(SIDECAR, self._write)

    def _write(self, folder: Path) -> None:
        self.manifest.write(folder / MANIFEST_FILE)


_sides: WeakValueDictionary[int, ManifestSide] = WeakValueDictionary()
_sides_lock = threading.Lock()


def manifest_side_of(store: FAISSStore) -> ManifestSide:
    """The manifest of a store, the same object for every index run in this process."""
    with _sides_lock:
        side = _sides.get(id(store))
        if side is None or side.store is not store:
            side = _sides[id(store)] = ManifestSide(store)
        return side
