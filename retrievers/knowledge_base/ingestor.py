"""Documents into a Bedrock Knowledge Base: directly, or through S3 and an ingestion job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from langchain_core.documents import Document
from pydantic import Field, field_validator

from llama_bedrock.argument_kinds import refuses_wrong_kinds_in_methods
from llama_bedrock.retrievers.knowledge_base.kb_connection import KnowledgeBaseConnection
from llama_bedrock.retrievers.knowledge_base.uploads import Upload, read_uploads, s3_objects, split_s3_uri
from llama_bedrock.transport.steps import Pause, Request, Steps, Transports, adrive, drive
from llama_bedrock.unknown_arguments import Named

AGENT_SERVICE = "bedrock-agent"

_BATCH = 10  # documents of one IngestKnowledgeBaseDocuments or GetKnowledgeBaseDocuments
_FIRST_POLL, _LAST_POLL = 0.5, 10.0  # seconds
_INDEXED = frozenset({"INDEXED", "PARTIALLY_INDEXED", "METADATA_PARTIALLY_INDEXED"})
_FAILED = frozenset({"FAILED", "IGNORED", "NOT_FOUND", "METADATA_UPDATE_FAILED"})
_JOB_ENDED = frozenset({"COMPLETE", "FAILED", "STOPPED"})

Phase = Literal["upload", "index"]


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingestion has come.

    Attributes:
        phase: ``"upload"`` while documents are sent, then ``"index"`` while the service works.
        done: Documents sent, or indexed or failed.
        total: Documents in all.
        failed: Documents that failed so far.
    """

    phase: Phase
    done: int
    total: int
    failed: int = 0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of the documents.

    Attributes:
        indexed: Ids of documents that can be found now; of a job only their number is known: `statistics`.
        failed: Reason by document id; of a job by position.
        pending: Ids that the service had not finished when `wait` was False or the time was over.
        job_id: Of the ingestion job, where there was one.
        job_status: ``"COMPLETE"``, ``"FAILED"``, ``"STOPPED"``, or a running state.
        statistics: Counts of the job as the service gives them.
    """

    indexed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    job_id: str | None = None
    job_status: str | None = None
    statistics: dict[str, int] = field(default_factory=dict)


_Steps: TypeAlias = Steps[IngestReport]
Source: TypeAlias = Iterable[Document] | str | Path
OnProgress: TypeAlias = Callable[[IngestProgress], None]


@refuses_wrong_kinds_in_methods()
class KnowledgeBaseIngestor(KnowledgeBaseConnection):
    """Put documents into a Knowledge Base and take them out.

        ingestor = KnowledgeBaseIngestor(knowledge_base_id="ABCDEFGHIJ", data_source_id="KLMNOPQRST")
        report = ingestor.ingest("docs/", progress=print)

    Without `s3_uri` documents are sent directly, ten at a time; the data source must be of type CUSTOM. With
    it they are written to S3, where the data source reads, and an ingestion job is run.

    Documents are LangChain documents, or the path of a file or folder, whose files are sent as they are. A
    document's id is its ``id``, ``metadata["document_id"]``, its file's path, or a hash of source and text;
    sending an id again replaces the document. Metadata that the service can filter by (text, numbers, bools,
    lists of texts) are sent along.

    Args:
        data_source_id: The 10 letters and digits of the data source's id.
        s3_uri: ``s3://bucket/prefix`` that the data source reads; None sends directly.
        s3_endpoint_url: Another endpoint for S3.
        endpoint_url: Another endpoint for ``bedrock-agent``; else ``AWS_ENDPOINT_URL_BEDROCK_AGENT``.

    Raises:
        ValueError: A setting has no meaning.
    """

    data_source_id: str = Field(pattern="^[0-9a-zA-Z]{10}$")
    s3_uri: str | None = None
    s3_endpoint_url: Named | None = None

    @field_validator("s3_uri")
    @classmethod
    def _check_s3_uri(cls, value: str | None) -> str | None:
        if value is not None:
            split_s3_uri(value)
        return value

    def ingest(
        self,
        documents: Source,
        *,
        wait: bool = True,
        timeout: float | None = None,
        progress: OnProgress | None = None,
    ) -> IngestReport:
        """Send documents, and wait until they can be found.

        Args:
            documents: LangChain documents, or the path of a file or folder.
            wait: False returns once everything is sent.
            timeout: Seconds to wait for the service; None waits as long as it takes. What is not finished
                then is `pending` in the report, or has a running `job_status`.
            progress: Called with an `IngestProgress` after every step.

        Raises:
            ValueError: There are no documents, or one is larger than the service takes.
            LlamaBedrockError: The service refused or failed.
        """
        return drive(self._steps(read_uploads(documents), wait, timeout, progress), self._services())

    async def aingest(
        self,
        documents: Source,
        *,
        wait: bool = True,
        timeout: float | None = None,
        progress: OnProgress | None = None,
    ) -> IngestReport:
        """Send documents without blocking the event loop; see `ingest`."""
        uploads = await asyncio.to_thread(read_uploads, documents)
        return await adrive(self._steps(uploads, wait, timeout, progress), self._services())

    def delete(self, ids: Iterable[str]) -> IngestReport:
        """Take documents out of a data source of type CUSTOM.

        Args:
            ids: Ids as `ingest` reports them.
        """
        return drive(self._delete_steps(list(ids)), self._services())

    async def adelete(self, ids: Iterable[str]) -> IngestReport:
        """Take documents out without blocking the event loop; see `delete`."""
        return await adrive(self._delete_steps(list(ids)), self._services())

    def _steps(
        self, uploads: list[Upload], wait: bool, timeout: float | None, progress: OnProgress | None
    ) -> _Steps:
        if not uploads:
            raise ValueError("there are no documents to ingest")
        deadline = None if timeout is None else time.monotonic() + timeout
        tell = progress or _silent
        if self.s3_uri is not None:
            return self._s3_steps(uploads, wait, deadline, tell)
        return self._direct_steps(uploads, wait, deadline, tell)

    def _direct_steps(
        self, uploads: list[Upload], wait: bool, deadline: float | None, tell: OnProgress
    ) -> _Steps:
        total = len(uploads)
        states = _States()
        for start in range(0, total, _BATCH):
            batch = [upload.to_document() for upload in uploads[start : start + _BATCH]]
            response = yield self._request("ingest_knowledge_base_documents", documents=batch)
            states.take(response)
            tell(IngestProgress("upload", min(start + _BATCH, total), total, len(states.failed)))
        poll = _FIRST_POLL
        while wait and states.pending and (deadline is None or time.monotonic() < deadline):
            yield Pause(poll)
            poll = min(poll * 2, _LAST_POLL)
            asked = list(states.pending)
            for start in range(0, len(asked), _BATCH):
                names = [_custom(name) for name in asked[start : start + _BATCH]]
                states.take((yield self._request("get_knowledge_base_documents", documentIdentifiers=names)))
            failed = len(states.failed)
            tell(IngestProgress("index", total - len(states.pending), total, failed))
        return IngestReport(states.indexed, states.failed, list(states.pending))

    def _s3_steps(
        self, uploads: list[Upload], wait: bool, deadline: float | None, tell: OnProgress
    ) -> _Steps:
        total = len(uploads)
        bucket, prefix = split_s3_uri(self.s3_uri or "")
        for number, upload in enumerate(uploads, 1):
            for key, body in s3_objects(upload, prefix):
                yield Request("s3", "put_object", {"Bucket": bucket, "Key": key, "Body": body})
            tell(IngestProgress("upload", number, total))
        job = (yield self._request("start_ingestion_job"))["ingestionJob"]
        poll = _FIRST_POLL
        while wait and job["status"] not in _JOB_ENDED and (deadline is None or time.monotonic() < deadline):
            yield Pause(poll)
            poll = min(poll * 2, _LAST_POLL)
            response = yield self._request("get_ingestion_job", ingestionJobId=job["ingestionJobId"])
            job = response["ingestionJob"]
            counts = job.get("statistics") or {}
            done = sum(counts.get(f"numberOf{what}", 0) for what in _FINISHED_COUNTS)
            tell(IngestProgress("index", min(done, total), total, counts.get("numberOfDocumentsFailed", 0)))
        reasons = {str(n): reason for n, reason in enumerate(job.get("failureReasons") or (), 1)}
        return IngestReport(
            failed=reasons,
            job_id=job["ingestionJobId"],
            job_status=job["status"],
            statistics=dict(job.get("statistics") or {}),
        )

    def _delete_steps(self, ids: list[str]) -> _Steps:
        states = _States()
        for start in range(0, len(ids), _BATCH):
            names = [_custom(name) for name in ids[start : start + _BATCH]]
            states.take((yield self._request("delete_knowledge_base_documents", documentIdentifiers=names)))
        return IngestReport([], states.failed, list(states.pending))

    def _request(self, operation: str, **arguments: Any) -> Request:
        base = self.knowledge_base_id.rpartition("/")[2]
        names = {"knowledgeBaseId": base, "dataSourceId": self.data_source_id}
        return Request(AGENT_SERVICE, operation, {**names, **arguments})

    def _services(self) -> Transports:
        return Transports(
            lambda service: self._s3_transport() if service == "s3" else self._sync_transport(),
            lambda _: self._async_transport(),
        )

    def _s3_transport(self) -> Any:
        from dataclasses import replace

        from llama_bedrock.transport.sync import SyncTransport

        # A Bedrock key does not open S3.
        return SyncTransport(
            replace(self._transport_settings(), endpoint_url=self.s3_endpoint_url, api_key=None, client=None)
        )


_FINISHED_COUNTS = (
    "NewDocumentsIndexed",
    "ModifiedDocumentsIndexed",
    "DocumentsFailed",
    "DocumentsSkipped",
)


@dataclass(slots=True)
class _States:
    """The latest state of each document."""

    indexed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)

    def take(self, response: dict[str, Any]) -> None:
        """Take the ``documentDetails`` of a response."""
        for detail in response.get("documentDetails", ()):
            identifier = detail["identifier"]
            name = (identifier.get("custom") or {}).get("id") or (identifier.get("s3") or {}).get("uri", "")
            status = detail["status"]
            self.pending.pop(name, None)
            if status in _INDEXED:
                self.indexed.append(name)
            elif status in _FAILED:
                self.failed[name] = detail.get("statusReason") or status
            else:
                self.pending[name] = status


def _custom(name: str) -> dict[str, Any]:
    return {"dataSourceType": "CUSTOM", "custom": {"id": name}}


def _silent(progress: IngestProgress) -> None:
    """Tell nobody."""
