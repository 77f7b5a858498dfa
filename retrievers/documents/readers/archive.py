"""ZIP archives of XML parts (Office, OpenDocument, EPUB), opened so that no small one takes all memory."""

from __future__ import annotations

import io
import lzma
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from llama_bedrock._extras import require
from llama_bedrock.retrievers.documents.readers.file_content import (
    MAX_FILE_BYTES,
    FileContent,
    ReadLimitError,
)

_Opened = TypeVar("_Opened")

_MAX_UNPACKED = 4 * MAX_FILE_BYTES
_MAX_MEDIA = 1 << 30
_MAX_PARTS = 20_000
# An element or attribute takes about 120 bytes of libxml2's memory: 3 million are 360 MB.
_MAX_NODES = 3_000_000
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_PASSWORD = "encrypted: save it without its password"
# Encodings in which markup is ASCII, so that a search for it finds it all.
_PLAIN_ENCODINGS = re.compile(
    r"(?i)utf-?8|us-ascii|ascii|iso-?8859-\d+|latin-?1|windows-125\d|cp125\d|koi8-[ru]"
)
_XML_ENCODING = re.compile(rb"""^<\?xml[^>]{0,200}?encoding\s{0,9}=\s{0,9}["']([\w.-]{1,40})["']""")
_HOLDS_TEXT = re.compile(
    r"/(?:word/(?:header|footer|footnotes|endnotes|comments)|ppt/(?:slides|notesSlides)/|xl/(?:worksheets/|sharedStrings))"
)
# What a damaged part of an archive raises when it is unpacked, by its method of compression.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError)
# What the libraries for Office's files raise over a damaged one.
REFUSALS = (zipfile.BadZipFile, KeyError, TypeError, AttributeError, SyntaxError, OSError, ValueError)
# Without these, nothing is known of what an Office file holds; all or nearly all text stands in the last two.
_NEEDED = frozenset({"[Content_Types].xml", "_rels/.rels", "xl/sharedStrings.xml", "content.xml"})
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/([A-Za-z]{1,40})/([A-Za-z]{1,40})")
_STRICT_NAMES = {b"extendedProperties": b"extended-properties", b"customProperties": b"custom-properties"}


def open_archive(content: FileContent, kind: str) -> zipfile.ZipFile:
    """The archive, if its directory is sound.

    Raises:
        ValueError: It is none, or encrypted; the message says which.
        ReadLimitError: It has more parts than any document.
    """
    if content.data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in content.data:
            raise ValueError(_PASSWORD)
        raise ValueError(f"not a {kind} but Office's format of before 2007: open it and save it as {kind}")
    if content.data.count(b"PK\x01\x02") > _MAX_PARTS:
        raise ReadLimitError(f"it holds more than {_MAX_PARTS:,} parts")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content.data))
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ValueError(f"not a readable {kind} ({error})") from error
    if any(entry.flag_bits & 1 for entry in archive.infolist()):
        raise ValueError(_PASSWORD)
    return archive


class DamagedPartError(ValueError):
    """A part of an archive cannot be unpacked, or is no XML."""


class Parts:
    """The XML parts of an archive: their sizes are counted, and DTDs refused.

    Args:
        content: The file.
        kind: What it is, for messages.
        as_trees: Whether all of it is to be held as trees, which take many times the memory of their text.
    """

    def __init__(self, content: FileContent, kind: str, *, as_trees: bool = True) -> None:
        self.archive = open_archive(content, kind)
        self._kind, self._content, self._as_trees = kind, content, as_trees
        self._unpacked = self._nodes = 0
        self._left_out: dict[str, str] = {}
        entries = self.archive.infolist()
        media = sum(entry.file_size for entry in entries if not _is_text_name(entry.filename))
        if media > _MAX_MEDIA:
            content.report(f"images and other parts that unpack to {media / 1e9:.1f} GB are left out")
        text = sum(entry.file_size for entry in entries if _is_text_name(entry.filename))
        if text > _MAX_UNPACKED:
            raise ReadLimitError(f"its text unpacks to {text / 1e6:.0f} MB, over the limit")

    def names(self) -> list[str]:
        """Names of the parts, in the order of the archive, without those that were left out."""
        return list(self.archive.NameToInfo)  # of equal names the last counts, as everywhere

    def has(self, name: str) -> bool:
        """True if there is such a part."""
        return name in self.archive.NameToInfo

    def read(self, name: str) -> bytes:
        """The bytes of a part.

        Raises:
            DamagedPartError: It cannot be unpacked.
            ValueError: There is no such part.
            ReadLimitError: The parts read so far unpack to more than they may.
        """
        self._content.budget.check_time()
        try:
            size = self.archive.getinfo(name).file_size
            self._unpacked += size
            if self._unpacked > _MAX_UNPACKED:
                raise ReadLimitError(f"its text unpacks to {self._unpacked / 1e6:.0f} MB, over the limit")
            return self.archive.read(name)
        except KeyError as error:
            raise ValueError(f"not a readable {self._kind} ({error})") from error
        except _DAMAGE as error:
            raise DamagedPartError(f"its part {name} is damaged ({error or type(error).__name__})") from error

    def leave_out(self, name: str, reason: str) -> None:
        """Read the archive as if it had no such part, and report that.

        Raises:
            ValueError: Nothing can be read without it.
        """
        if name in _NEEDED:
            raise ValueError(f"not a readable {self._kind} ({reason})")
        self._left_out[name] = reason
        del self.archive.NameToInfo[name]
        self._content.report(f"{reason}: left out")

    def tree_if_sound(self, name: str) -> Any | None:
        """The root of an XML part; None if there is none, or a damaged one, which is reported.

        Raises:
            ReadLimitError: It holds more than it may.
        """
        try:
            return self.tree(name) if self.has(name) else None
        except DamagedPartError as error:
            self.leave_out(name, str(error))
            return None

    def report_embedded(self) -> None:
        """Tell of files that an Office file holds as they are; workbooks of charts are read as charts."""
        charts = b" ".join(
            self.read(n) for n in self.names() if "/charts/_rels/" in n or "/chartex/_rels/" in n
        )
        found = [
            name
            for name in self.names()
            if re.search(r"/embeddings/[^/]|/.*\.(?:docx|pptx|pdf)$", name, re.IGNORECASE)
            and posixpath.basename(name).encode() not in charts
        ]
        if found:
            more = ", …" if len(found) > 5 else ""
            self._content.report(f"files embedded in it are left out: {', '.join(found[:5])}{more}")

    def xml(self, name: str) -> bytes:
        """The bytes of an XML part, checked.

        Raises:
            ValueError: It is missing or damaged, or holds a DTD.
            ReadLimitError: It holds more than it may.
        """
        data = checked_xml(self.read(name))
        if self._as_trees:
            self._nodes += data.count(b"<") + data.count(b"=")
            if self._nodes > _MAX_NODES:
                raise ReadLimitError(f"it holds more than {_MAX_NODES:,} elements and attributes")
        return data

    def tree(self, name: str) -> Any:
        """The root of an XML part, as lxml's element.

        Raises:
            DamagedPartError: It cannot be unpacked, or is no XML.
            ValueError: It is missing, or holds a DTD.
        """
        return self._parsed(name, self.xml(name))

    def _parsed(self, name: str, data: bytes) -> Any:
        try:
            return parse_xml(data, self._kind)
        except ValueError as error:
            raise DamagedPartError(f"its part {name} is damaged ({error.__cause__ or error})") from error

    def opened(self, open_file: Callable[[io.BytesIO], _Opened]) -> _Opened:
        """What a library for Office's files makes of it; of a file that it refuses, without the parts that
        are no XML.

        Raises:
            ValueError: It refuses that, too.
        """
        try:
            return open_file(self.office_file())
        except ReadLimitError:
            raise
        except REFUSALS as error:
            refusal: Exception = error
        self._unpacked = self._nodes = 0
        for name in self.names():
            # A library that takes no tree of a part reads it as far as it is sound.
            if name.endswith((".xml", ".rels")) and (self._as_trees or not _HOLDS_TEXT.match(f"/{name}")):
                self.tree_if_sound(name)
        if self._left_out:
            self._unpacked = self._nodes = 0
            with suppress(*REFUSALS):
                return open_file(self.office_file())
        reason = "; ".join(self._left_out.values()) or re.sub(
            r"file '<_io\.BytesIO[^>]*>'", "it", str(refusal)
        )
        raise ValueError(f"not a readable {self._kind} ({reason})") from refusal

    def office_file(self) -> io.BytesIO:
        """The archive with its text alone, in the form that the libraries for Office's files take.

        They would unpack every image, refuse templates and files with macros, and not know the namespaces
        that "Strict Open XML" files have. Damaged parts are left out.
        """
        lean = io.BytesIO()
        # What relates the parts comes last, when it is known which are damaged.
        entries = sorted(self.archive.NameToInfo.values(), key=lambda entry: entry.filename.endswith(".rels"))
        with zipfile.ZipFile(lean, "w") as archive:
            for entry in entries:
                try:
                    archive.writestr(entry.filename, self._office_part(entry))
                except DamagedPartError as error:
                    self.leave_out(entry.filename, str(error))
        lean.seek(0)
        return lean

    def _office_part(self, entry: zipfile.ZipInfo) -> bytes:
        # A web page inserted as it is (altChunk) is no XML, and has a DOCTYPE that is no bomb.
        if entry.is_dir() or _is_page(entry.filename) or not self._begins_like_xml(entry):
            return b""
        data = self.xml(entry.filename)
        if entry.filename.endswith(".rels"):
            data = self._sound_relations(entry.filename, data)
        if entry.filename == "[Content_Types].xml":
            for kind, plain in _PLAIN_TYPES:
                data = kind.sub(plain, data)
        return _STRICT.sub(_transitional, data) if b"purl.oclc.org" in data else data

    def _sound_relations(self, name: str, data: bytes) -> bytes:
        """Relations without those to parts that are not there, for which the libraries give the file up."""
        root = self._parsed(name, data)
        folder = posixpath.dirname(posixpath.dirname(name))
        missing = []
        for relation in root:
            target = posixpath.normpath(
                posixpath.join("/", folder, relation.get("Target", "").partition("#")[0])
            )
            if relation.get("TargetMode") != "External" and not self.has(target.lstrip("/")):
                missing.append((relation, target))
        for relation, target in missing:
            if not target.startswith("/xl/worksheets/"):  # openpyxl passes over these itself
                root.remove(relation)
            if _HOLDS_TEXT.match(target) and target.lstrip("/") not in self._left_out:
                self._content.report(f"its part {target} is missing")
        return require("lxml.etree", "local").tostring(root) if missing else data

    def _begins_like_xml(self, entry: zipfile.ZipInfo) -> bool:
        try:
            with self.archive.open(entry) as part:
                head = part.read(64)
        except (*_DAMAGE, ValueError):
            return _is_text_name(entry.filename)  # reading it whole will tell
        return head.lstrip(b"\xef\xbb\xbf\xfe\xff \t\r\n\0").startswith(b"<")


def _is_page(name: str) -> bool:
    return name.lower().endswith((".html", ".htm", ".xhtml", ".mht", ".mhtml"))


def _is_text_name(name: str) -> bool:
    return name.lower().endswith((".xml", ".rels", ".html", ".xhtml", ".htm", ".opf", ".ncx", ".css"))


def _transitional(match: re.Match[bytes]) -> bytes:
    family, name = match[1], _STRICT_NAMES.get(match[2], match[2])
    return b"http://schemas.openxmlformats.org/%s/2006/%s" % (family, name)


_PLAIN_TYPES = tuple(
    (re.compile(pattern), b"application/vnd.openxmlformats-officedocument." + plain + b".main+xml")
    for pattern, plain in (
        (
            rb"application/vnd\.(?:ms-word\.(?:document|template)\.macroEnabled(?:Template)?"
            rb"|openxmlformats-officedocument\.wordprocessingml\.template)\.main\+xml",
            b"wordprocessingml.document",
        ),
        (
            rb"application/vnd\.(?:ms-powerpoint\.(?:presentation|slideshow|template)\.macroEnabled"
            rb"|openxmlformats-officedocument\.presentationml\.(?:template|slideshow))\.main\+xml",
            b"presentationml.presentation",
        ),
    )
)


def checked_xml(data: bytes) -> bytes:
    """XML without a DTD, in an encoding in which one would have been seen.

    Raises:
        ValueError: It has one: no office program writes them, and entities can unpack to gigabytes.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or data[:4].count(b"\0") >= 1:
        try:
            text = data.decode("utf-16" if data[:1] in (b"\xff", b"\xfe") else _wide(data))
        except UnicodeError as error:
            raise ValueError(f"damaged XML ({error})") from error
        text = re.sub(r"^\ufeff?<\?xml[^>]{0,300}\?>", "", text)
        data = text.encode("utf-8", "replace")
    declared = _XML_ENCODING.match(data.lstrip(b"\xef\xbb\xbf \r\n\t")[:300])
    if declared and not _PLAIN_ENCODINGS.fullmatch(declared[1].decode("ascii", "replace")):
        raise ValueError(f"XML in an encoding that is not read ({declared[1].decode('ascii', 'replace')})")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("its XML has a DTD, which is refused: entities can unpack to gigabytes")
    return data


def _wide(data: bytes) -> str:
    return "utf-16-be" if data[:1] == b"\0" else "utf-16-le"


def parse_xml(data: bytes, kind: str) -> Any:
    """The root of XML that was checked, as lxml's element.

    Raises:
        ValueError: It is damaged.
    """
    etree = require("lxml.etree", "local")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True,
        huge_tree=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not a readable {kind} ({error})") from error
    if root is None:
        raise ValueError(f"not a readable {kind} (an empty part)")
    return root


def local_name(element: Any) -> str:
    """An element's name without its namespace; empty for a comment or instruction."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
