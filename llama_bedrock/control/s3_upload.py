"""Files into S3, in parts that outlive the process: after kill -9 the same call goes on where it was.

What is there already is recognised by its content: by the SHA-256 that S3 keeps of each part where it does,
else by the MD5 in its ETag. So nothing is written down on this machine, and another one can go on.
"""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llama_bedrock.control.model_folder import S3Calls, split_uri
from llama_bedrock.errors import BedrockNotFoundError, LlamaBedrockError

MIN_PART_BYTES = 5 * 1024 * 1024  # S3's own lower limit, for all parts but the last
_MAX_PARTS = 10_000
_PART_BYTES = 32 * 1024 * 1024
_WORKERS = 8


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How far an upload has come.

    Attributes:
        file: The file whose part has just arrived, or was found there.
        done: Bytes that are in S3, of all files.
        total: Bytes of all files.
        sent: Of `done`, bytes that this call has sent.
    """

    file: str
    done: int
    total: int
    sent: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a file, and what identifies its content."""

    number: int
    start: int
    data: bytes
    sha256: bytes
    md5: bytes

    @property
    def checksum(self) -> str:
        return b64encode(self.sha256).decode()

    def is_in(self, known: Mapping[str, Any] | None) -> bool:
        """True if this is the part that S3 lists."""
        if known is None or known["Size"] != len(self.data):
            return False
        if known.get("ChecksumSHA256"):
            return bool(known["ChecksumSHA256"] == self.checksum)
        return bool(known["ETag"].strip('"') == self.md5.hex())


@dataclass(slots=True)
class _Count:
    """What has arrived, counted by several threads."""

    total: int
    tell: Callable[[UploadProgress], None]
    done: int = 0
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, file: str, size: int, *, sent: bool) -> None:
        with self.lock:
            self.done += size
            self.sent += size if sent else 0
            self.tell(UploadProgress(file, self.done, self.total, self.sent))


class UploadStoppedError(LlamaBedrockError):
    """An upload was told to stop; calling again goes on where it was."""


def upload_files(
    s3: S3Calls,
    files: Mapping[str, Path],
    uri: str,
    *,
    progress: Callable[[UploadProgress], None] | None = None,
    part_bytes: int = _PART_BYTES,
    stop: threading.Event | None = None,
) -> int:
    """Bring files into S3 that are not there yet; parts of large ones are sent by several threads.

    Args:
        s3: Calls S3.
        files: Where each file is, by its name below `uri`.
        uri: ``s3://bucket/prefix``.
        progress: Called after each part; never by two threads at once.
        part_bytes: Bytes of a part. The same value must be used to go on; larger files get larger parts.
        stop: Once it is set no further part is sent.

    Returns:
        Bytes that were sent; 0 if everything was there.

    Raises:
        ValueError: The address is none, or a file changes while it is sent.
        LlamaBedrockError: S3 refused or failed, after retries; what was sent stays for the next call.
    """
    bucket, prefix = split_uri(uri)
    sizes = {name: path.stat().st_size for name, path in files.items()}
    count = _Count(sum(sizes.values()), progress or (lambda _: None))
    over = stop or threading.Event()
    # The small ones first: a mistake in the permissions shows before hours of weights.
    for name, path in sorted(files.items(), key=lambda item: sizes[item[0]]):
        key = f"{prefix}/{name}" if prefix else name
        one = _FileUpload(s3, bucket, key, name, path, sizes[name], max(part_bytes, MIN_PART_BYTES))
        one.run(count, over)
    return count.sent


@dataclass(frozen=True, slots=True)
class _FileUpload:
    s3: S3Calls
    bucket: str
    key: str
    name: str
    path: Path
    size: int
    part_bytes: int

    def run(self, count: _Count, stop: threading.Event) -> None:
        if self._is_there():
            count.add(self.name, self.size, sent=False)
        elif self.size <= self._part_size():
            (part,) = self._parts()
            self._call("put_object", Body=part.data, ChecksumSHA256=part.checksum)
            count.add(self.name, self.size, sent=True)
        else:
            self._send_parts(count, stop)

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self.s3.call("s3", operation, Bucket=self.bucket, Key=self.key, **arguments)

    def _part_size(self) -> int:
        least = -(-self.size // _MAX_PARTS)
        return self.part_bytes * -(-least // self.part_bytes) if least > self.part_bytes else self.part_bytes

    def _parts(self) -> Iterator[_Part]:
        size, number = self._part_size(), 0
        with self.path.open("rb") as file:
            for number, start in enumerate(range(0, max(self.size, 1), size), 1):
                data = file.read(size)
                if len(data) != min(size, self.size - start):
                    raise ValueError(f"{self.path} changes while it is uploaded: nothing may write to it")
                md5 = hashlib.md5(data, usedforsecurity=False).digest()
                yield _Part(number, start, data, hashlib.sha256(data).digest(), md5)

    def _is_there(self) -> bool:
        """Whether the object is this file, by the digest of its parts' digests."""
        try:
            head = self._call("head_object", ChecksumMode="ENABLED")
        except BedrockNotFoundError:
            return False
        if head["ContentLength"] != self.size:
            return False
        parts = [(part.sha256, part.md5) for part in self._parts()]
        if head.get("ChecksumSHA256"):
            wanted = head["ChecksumSHA256"].partition("-")[0]
            return wanted in _composites([sha256 for sha256, _ in parts], hashlib.sha256)
        etag = head["ETag"].strip('"').partition("-")[0]
        known = [b64encode(bytes.fromhex(etag)).decode()] if len(etag) == 32 else []
        return bool(set(known) & set(_composites([md5 for _, md5 in parts], hashlib.md5)))

    def _send_parts(self, count: _Count, stop: threading.Event) -> None:
        upload, known = self._begin()
        sent: dict[int, dict[str, Any]] = {}

        def send(part: _Part) -> None:
            if not stop.is_set():
                arguments = {"PartNumber": part.number, "Body": part.data, "ChecksumSHA256": part.checksum}
                sent[part.number] = self._call("upload_part", UploadId=upload, **arguments)
                count.add(self.name, len(part.data), sent=True)

        running: set[Future[None]] = set()
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="s3-upload") as pool:
            for part in self._parts():
                if part.is_in(known.get(part.number)):
                    sent[part.number] = known[part.number]
                    count.add(self.name, len(part.data), sent=False)
                    continue
                running.add(pool.submit(send, part))
                if len(running) >= _WORKERS:  # what waits is in memory
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    _raise_first(done)
            _raise_first(wait(running).done)
        if stop.is_set():
            raise UploadStoppedError(f"the upload of {self.name} was stopped; call again to go on")
        parts = [_completed(number, sent[number]) for number in sorted(sent)]
        self._call("complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": parts})

    def _begin(self) -> tuple[str, dict[int, dict[str, Any]]]:
        """An upload that was begun before, with its parts; else a new one."""
        listed = self.s3.call("s3", "list_multipart_uploads", Bucket=self.bucket, Prefix=self.key)
        own = [item for item in listed.get("Uploads") or () if item["Key"] == self.key]
        for item in sorted(own, key=lambda item: item["Initiated"], reverse=True):
            try:
                return item["UploadId"], self._known_parts(item["UploadId"])
            except BedrockNotFoundError:  # ended meanwhile
                continue
        return self._call("create_multipart_upload", ChecksumAlgorithm="SHA256")["UploadId"], {}

    def _known_parts(self, upload: str) -> dict[int, dict[str, Any]]:
        known: dict[int, dict[str, Any]] = {}
        marker = 0
        while True:
            page = self._call("list_parts", UploadId=upload, PartNumberMarker=marker)
            known |= {part["PartNumber"]: part for part in page.get("Parts") or ()}
            if not page.get("IsTruncated"):
                return known
            marker = page["NextPartNumberMarker"]


def _composites(digests: list[bytes], kind: Callable[[bytes], Any]) -> list[str]:
    """The digests that S3 may have of an object: of its only part, and of the digests of all its parts."""
    whole = [b64encode(digests[0]).decode()] if len(digests) == 1 else []
    return [*whole, b64encode(kind(b"".join(digests)).digest()).decode()]


def _completed(number: int, part: Mapping[str, Any]) -> dict[str, Any]:
    entry = {"PartNumber": number, "ETag": part["ETag"]}
    return entry | ({"ChecksumSHA256": part["ChecksumSHA256"]} if part.get("ChecksumSHA256") else {})


def _raise_first(futures: set[Future[None]]) -> None:
    for future in futures:
        future.result()
