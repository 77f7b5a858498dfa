"""ZIP archives of XML parts that refer to each other, as Office writes them."""

from __future__ import annotations

import io
import posixpath
import zipfile
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from llama_bedrock.retrievers.documents.readers.file_content import MAX_FILE_BYTES

_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MAX_UNPACKED = 4 * MAX_FILE_BYTES


class Package:
    """An archive of XML parts that refer to each other by relation ids."""

    def __init__(self, data: bytes, kind: str) -> None:
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise ValueError(f"not a readable {kind} ({error}); is it encrypted?") from error
        unpacked = sum(
            e.file_size for e in self._archive.infolist() if e.filename.endswith((".xml", ".rels"))
        )
        if unpacked > _MAX_UNPACKED:
            raise ValueError(f"its text unpacks to {unpacked / 1e6:.0f} MB, over the limit")
        self._kind = kind

    def part(self, name: str) -> Element:
        """The root of a part."""
        try:
            return ElementTree.fromstring(self._archive.read(name))
        except (KeyError, zipfile.BadZipFile, ElementTree.ParseError) as error:
            raise ValueError(f"not a readable {self._kind} ({error})") from error

    def has(self, name: str) -> bool:
        """True if there is such a part."""
        return name in self._archive.NameToInfo

    def related(self, name: str) -> dict[str, tuple[str, str]]:
        """What a part refers to: by relation id, the last word of its type, and the part's name."""
        folder, file = posixpath.split(name)
        relations = f"{folder}/_rels/{file}.rels"
        if not self.has(relations):
            return {}
        return {
            relation.get("Id", ""): (
                relation.get("Type", "").rsplit("/", 1)[-1],
                posixpath.normpath(posixpath.join("/", folder, relation.get("Target", ""))).lstrip("/"),
            )
            for relation in self.part(relations)
            if relation.get("TargetMode") != "External"
        }

    def title(self) -> str | None:
        """The title in its properties."""
        if not self.has("docProps/core.xml"):
            return None
        title = self.part("docProps/core.xml").findtext("{http://purl.org/dc/elements/1.1/}title")
        return title.strip() if title else None
