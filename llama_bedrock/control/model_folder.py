"""The files of a model where they lie, in a folder or in S3: names, sizes, and pieces of their content."""

from __future__ import annotations

import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.error_mapping import CallContext

# The pattern of `s3Uri` in botocore's model of bedrock (1.44), with the two parts as groups.
_S3_URI = re.compile(
    r"s3://(?P<bucket>[a-z0-9][-.a-z0-9]{1,61}[a-z0-9])"
    r"(?:/(?P<prefix>[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?)?/?"
)
_READS = 3  # of a body that breaks off


class S3Calls(Protocol):
    """What calls S3: `SyncTransport`."""

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]: ...


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix (without a slash at its ends) of an S3 address that Bedrock's jobs take.

    Raises:
        ValueError: It is none.
    """
    match = _S3_URI.fullmatch(uri)
    if match is None:
        raise ValueError(
            f"{uri!r} is not an S3 address that Bedrock takes: s3://bucket/folder, of letters, digits and "
            "-!_*'(). between the slashes"
        )
    return match["bucket"], match["prefix"] or ""


class ModelFolder(ABC):
    """The files of one model.

    Attributes:
        where: Path or S3 address.
        sizes: Bytes by name, for the files of the folder itself, without those of folders in it.
        unreadable: Why, by name, for files that are there and cannot be read.
    """

    def __init__(self, where: str, sizes: Mapping[str, int], unreadable: Mapping[str, str]) -> None:
        self.where = where
        self.sizes = dict(sorted(sizes.items()))
        self.unreadable = dict(unreadable)

    @abstractmethod
    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of a file from `start` up to `end`, which is not in it; None for its end."""

    @abstractmethod
    def models_below(self) -> list[str]:
        """Folders in this one, up to three deep, that hold a `config.json`."""


class LocalFolder(ModelFolder):
    """A folder of this machine; links are followed, as the cache of the Hugging Face hub is made of them.

    Raises:
        FileNotFoundError: There is no such folder.
        NotADirectoryError: It is a file.
    """

    def __init__(self, path: Path) -> None:
        sizes: dict[str, int] = {}
        unreadable: dict[str, str] = {}
        self.path = path
        for name in sorted(os.listdir(path)):
            try:
                found = (path / name).stat()
            except OSError as error:
                unreadable[name] = "its link leads nowhere" if (path / name).is_symlink() else str(error)
                continue
            if stat.S_ISREG(found.st_mode):
                sizes[name] = found.st_size
                if not os.access(path / name, os.R_OK):
                    unreadable[name] = "no permission to read it"
        super().__init__(str(path), sizes, unreadable)

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        with (self.path / name).open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(end - start)

    def models_below(self) -> list[str]:
        found = [path for depth in ("*/", "*/*/", "*/*/*/") for path in self.path.glob(f"{depth}config.json")]
        return sorted(str(path.parent.relative_to(self.path)) for path in found)


class S3Folder(ModelFolder):
    """A prefix of a bucket.

    Args:
        uri: ``s3://bucket/prefix``.
        s3: Calls S3.

    Raises:
        ValueError: It is no such address.
        LlamaBedrockError: The bucket cannot be read.
    """

    def __init__(self, uri: str, s3: S3Calls) -> None:
        self.bucket, self.prefix = split_uri(uri)
        self._s3 = s3
        self.modified: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        self._below: list[str] = []
        for item in list_objects(s3, self.bucket, self.prefix):
            name = item["Key"][len(self.prefix) :].lstrip("/")
            if name.endswith("/config.json") and name.count("/") <= 3:
                self._below.append(name.removesuffix("/config.json"))
            if name and "/" not in name:
                sizes[name] = item["Size"]
                self.modified[name] = item["LastModified"]
        super().__init__(uri, sizes, {})

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b""
        key = f"{self.prefix}/{name}" if self.prefix else name
        within = (
            {} if not start and end is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        )
        return read_object(self._s3, self.bucket, key, **within)

    def models_below(self) -> list[str]:
        return sorted(self._below)


def list_objects(s3: S3Calls, bucket: str, prefix: str) -> list[dict[str, Any]]:
    """All objects below a prefix."""
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = s3.call("s3", "list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", **more)
        found += page.get("Contents") or ()
        if not page.get("NextContinuationToken"):
            return found
        more = {"ContinuationToken": page["NextContinuationToken"]}


def read_object(s3: S3Calls, bucket: str, key: str, **arguments: Any) -> bytes:
    """The content of an object, asked for again when the connection breaks while it is read.

    Raises:
        LlamaBedrockError: It cannot be read.
    """

    def read() -> bytes:
        body = s3.call("s3", "get_object", Bucket=bucket, Key=key, **arguments)["Body"]
        try:
            content: bytes = body.read()
        finally:
            body.close()
        return content

    return _again(read)


def _again(read: Callable[[], bytes]) -> bytes:
    for attempt in range(1, _READS + 1):
        try:
            return read()
        except LlamaBedrockError:
            raise  # retried below already
        except Exception as error:
            mapped = CallContext("GetObject").from_exception(error)
            if mapped is None:
                raise
            if attempt == _READS or not mapped.is_retryable:
                raise mapped from error
    raise AssertionError("the last attempt returns or raises")


def open_folder(source: str | Path, s3: Callable[[], S3Calls]) -> ModelFolder:
    """The files at a path or an S3 address.

    Raises:
        ValueError: The address is none.
        OSError: There is no such folder.
    """
    if str(source).startswith("s3:"):
        return S3Folder(str(source), s3())
    return LocalFolder(Path(source))
