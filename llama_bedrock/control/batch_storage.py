"""The input of a batch job in S3: parts of bounded size, sent while they are written, and a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any

from llama_bedrock.control.batch_records import RecordInput
from llama_bedrock.control.model_folder import S3Calls, read_object, split_uri
from llama_bedrock.control.s3_upload import MIN_PART_BYTES, UploadStoppedError

MANIFEST = "manifest.json"
_IDS = "record-ids.json"
_PIECE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What a job may have: quotas of the account, by default those of the user guide.

    Attributes:
        least_records: Fewest records of a job.
        job_records: Most records of a job.
        file_records: Most records of a file.
        file_bytes: Most bytes of a file.
        job_bytes: Most bytes of a job.
    """

    least_records: int = 100
    job_records: int = 50_000
    file_records: int = 50_000
    file_bytes: int = 10**9
    job_bytes: int = 5 * 10**9


@dataclass(frozen=True, slots=True)
class InputPart:
    """A file of records.

    Attributes:
        job: Number of the job that it belongs to.
        file: Its name.
        first: Index of its first record among the inputs.
        records: How many there are.
        bytes: Its size.
        sha256: Its digest.
    """

    job: int
    file: str
    first: int
    records: int
    bytes: int
    sha256: str


@dataclass(slots=True)
class BatchManifest:
    """All that is known of a batch: with the address of one of its jobs nothing else is needed.

    Attributes:
        name: Its name, and the beginning of those of its jobs.
        root: ``s3://bucket/prefix/name``, below which everything lies.
        model: What `BatchModel.written` gives.
        parts: The files, in the order of the inputs.
        continued: Records whose answer goes on with words of the assistant.
        has_ids: Whether records were given ids.
    """

    name: str
    root: str
    model: Mapping[str, Any]
    parts: list[InputPart] = field(default_factory=list)
    continued: list[int] = field(default_factory=list)
    has_ids: bool = False

    @property
    def records(self) -> int:
        """Records of all parts."""
        return sum(part.records for part in self.parts)

    @property
    def jobs(self) -> int:
        """How many jobs there are."""
        return self.parts[-1].job + 1 if self.parts else 0

    def job_name(self, job: int) -> str:
        """Name of a job."""
        return f"{self.name}-{job}"

    def input_uri(self, job: int) -> str:
        """Where a job reads."""
        return f"{self.root}/input-{job}/"

    @property
    def output_uri(self) -> str:
        """Where the jobs write, each into a folder of its id."""
        return f"{self.root}/output/"

    def write(self, s3: S3Calls) -> None:
        """Put it beside the input."""
        bucket, prefix = split_uri(self.root)
        body = json.dumps({"version": 1, **asdict(self)}, ensure_ascii=False).encode()
        s3.call("s3", "put_object", Bucket=bucket, Key=f"{prefix}/{MANIFEST}", Body=body)

    @classmethod
    def read(cls, s3: S3Calls, root: str) -> BatchManifest:
        """Read the manifest below a root.

        Raises:
            ValueError: It is none of ours.
            LlamaBedrockError: It cannot be read.
        """
        bucket, prefix = split_uri(root)
        try:
            held = json.loads(read_object(s3, bucket, f"{prefix}/{MANIFEST}"))
            if held.pop("version") != 1:
                raise ValueError("its version is not known")
            parts = [InputPart(**part) for part in held.pop("parts")]
            return cls(**{**held, "root": root}, parts=parts)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{root}/{MANIFEST} is no manifest of a batch: {error}") from error

    def read_ids(self, s3: S3Calls) -> list[str] | None:
        """The ids that records were given, None where they were given none."""
        if not self.has_ids:
            return None
        bucket, prefix = split_uri(self.root)
        return [json.loads(line) for line in read_object(s3, bucket, f"{prefix}/{_IDS}").splitlines()]


class S3Writer:
    """An object that is sent while it is written; it appears when it is closed.

    Args:
        s3: Calls S3.
        uri: Where the object is to be.
    """

    def __init__(self, s3: S3Calls, uri: str) -> None:
        self._s3 = s3
        self._where = dict(zip(("Bucket", "Key"), split_uri(uri), strict=True))
        self._buffer = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._upload: str | None = None
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Digest of what was written."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self._buffer += data
        self._digest.update(data)
        self.size += len(data)
        if len(self._buffer) >= max(_PIECE_BYTES, MIN_PART_BYTES):
            self._send()

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self._s3.call("s3", operation, **self._where, **arguments)

    def _send(self) -> None:
        if self._upload is None:
            self._upload = self._call("create_multipart_upload")["UploadId"]
        number = len(self._parts) + 1
        sent = self._call("upload_part", UploadId=self._upload, PartNumber=number, Body=bytes(self._buffer))
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self._buffer.clear()

    def close(self) -> None:
        """Make the object appear."""
        if self._upload is None:
            self._call("put_object", Body=bytes(self._buffer))
            return
        if self._buffer:
            self._send()
        parts = {"Parts": self._parts}
        self._call("complete_multipart_upload", UploadId=self._upload, MultipartUpload=parts)

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._upload is not None:
            self._call("abort_multipart_upload", UploadId=self._upload)


def write_input(
    s3: S3Calls, manifest: BatchManifest, records: Iterator[RecordInput], limits: BatchLimits, stop: Event
) -> None:
    """Write records as files of jobs, within the limits, and note them in the manifest.

    Raises:
        ValueError: A record is larger than a file may be, or there are too few of them for a job.
        UploadStoppedError: `stop` was set.
        LlamaBedrockError: S3 refused or failed.
    """
    writing = _Writing(s3, manifest, limits)
    try:
        for index, record in enumerate(records):
            if stop.is_set():
                raise UploadStoppedError("the upload was stopped; nothing was submitted")
            writing.add(index, record)
        writing.finish()
        _check_least(manifest, limits)
    except BaseException:
        writing.abort()
        raise
    manifest.write(s3)


def _check_least(manifest: BatchManifest, limits: BatchLimits) -> None:
    for job in range(max(1, manifest.jobs)):
        count = sum(part.records for part in manifest.parts if part.job == job)
        if count < limits.least_records:
            which = f"job {job + 1} of {manifest.jobs} would have" if manifest.jobs > 1 else "there are"
            raise ValueError(
                f"{which} {count} records, and the quota wants at least {limits.least_records} for a job: "
                "answer them live, with abatch_file or batch"
            )


class _Writing:
    def __init__(self, s3: S3Calls, manifest: BatchManifest, limits: BatchLimits) -> None:
        self._s3, self._manifest, self._limits = s3, manifest, limits
        self._part: S3Writer | None = None
        self._ids: S3Writer | None = None
        self._job = self._job_bytes = self._job_records = 0
        self._first = self._records = 0

    def add(self, index: int, record: RecordInput) -> None:
        limits = self._limits
        line = json.dumps(
            {"recordId": record_id(index), "modelInput": record.body}, ensure_ascii=False
        ).encode()
        line += b"\n"
        if len(line) > min(limits.file_bytes, limits.job_bytes):
            raise ValueError(
                f"input {index} has {len(line):,} bytes, and a file may have {limits.file_bytes:,}"
            )
        size = 0 if self._part is None else self._part.size
        if self._job_records >= limits.job_records or self._job_bytes + len(line) > limits.job_bytes:
            self._close_part()
            self._job, self._job_bytes, self._job_records = self._job + 1, 0, 0
        elif self._records >= limits.file_records or size + len(line) > limits.file_bytes:
            self._close_part()
        if self._part is None:
            self._first, self._records = index, 0
            self._part = S3Writer(self._s3, f"{self._manifest.input_uri(self._job)}{self._file()}")
        self._part.write(line)
        self._records += 1
        self._job_records += 1
        self._job_bytes += len(line)
        if record.continues:
            self._manifest.continued.append(index)
        if record.id is not None:
            if self._ids is None:
                self._ids = S3Writer(self._s3, f"{self._manifest.root}/{_IDS}")
                self._manifest.has_ids = True
            self._ids.write(json.dumps(record.id, ensure_ascii=False).encode() + b"\n")

    def _file(self) -> str:
        return f"part-{len(self._manifest.parts):05d}.jsonl"

    def _close_part(self) -> None:
        if self._part is None:
            return
        self._part.close()
        part = InputPart(
            self._job, self._file(), self._first, self._records, self._part.size, self._part.sha256
        )
        self._manifest.parts.append(part)
        self._part, self._records = None, 0

    def finish(self) -> None:
        self._close_part()
        if self._ids is not None:
            self._ids.close()

    def abort(self) -> None:
        """Take back what was sent, as far as S3 lets us; the error that led here matters more."""
        from contextlib import suppress

        from llama_bedrock.errors import LlamaBedrockError

        with suppress(LlamaBedrockError):
            for writer in (self._part, self._ids):
                if writer is not None:
                    writer.abort()
            for part in self._manifest.parts:
                bucket, key = split_uri(f"{self._manifest.input_uri(part.job)}{part.file}")
                self._s3.call("s3", "delete_object", Bucket=bucket, Key=key)
            if self._ids is not None:
                bucket, key = split_uri(f"{self._manifest.root}/{_IDS}")
                self._s3.call("s3", "delete_object", Bucket=bucket, Key=key)


def record_id(index: int) -> str:
    """The id of a record in a job's files: 11 letters and digits, as the user guide's examples have."""
    return f"LB{index:09d}"


def record_index(record: str) -> int:
    """The index that `record_id` wrote.

    Raises:
        ValueError: It is none of ours.
    """
    if not record.startswith("LB") or not record[2:].isdigit():
        raise ValueError(f"record {record!r} is none of this batch")
    return int(record[2:])
