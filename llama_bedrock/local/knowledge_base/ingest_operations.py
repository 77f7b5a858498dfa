"""The parts of bedrock-agent that put documents into a knowledge base, for the local endpoint.

Documents sent inline are added to the store; an ingestion job reads `LocalKnowledgeBase.data_source`. As on
AWS, both answer at once and finish later.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
import string
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from llama_bedrock.local.knowledge_base.ingestion_jobs import Ingested, Job, now
from llama_bedrock.local.knowledge_base.retrieve import find_knowledge_base
from llama_bedrock.local.knowledge_base.vector_store import LocalKnowledgeBase
from llama_bedrock.local.runtime.frames import ServiceError, constraint_error, invalid, shapes_checked
from llama_bedrock.local.runtime.served_call import Call

if TYPE_CHECKING:
    from aiohttp import web

logger = logging.getLogger(__name__)

_MAX_DOCUMENTS = 10
_SUFFIXES = {
    "application/pdf": ".pdf",
    "text/html": ".html",
    "text/csv": ".csv",
    "text/markdown": ".md",
    "application/json": ".json",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}


async def ingest(call: Call) -> web.StreamResponse:
    """Serve ``IngestKnowledgeBaseDocuments``."""
    base = find_knowledge_base(call.state, call.resource)
    documents = call.body.get("documents")
    if not isinstance(documents, list) or not 1 <= len(documents) <= _MAX_DOCUMENTS:
        raise constraint_error("documents", "", f"Member must have length between 1 and {_MAX_DOCUMENTS}")
    ingestions = call.state.ingestions
    with shapes_checked():
        read = [_read_document(document) for document in documents]
    details = []
    for name, text_of, metadata in read:
        entry = ingestions.documents.setdefault(_key(call, name), Ingested())
        entry.become("STARTING")
        details.append(_detail(call, name, entry))
        ingestions.run(call.state.executor, partial(_index, base, entry, name, text_of, metadata))
    return await _accepted(call, {"documentDetails": details})


async def get_documents(call: Call) -> web.StreamResponse:
    """Serve ``GetKnowledgeBaseDocuments``."""
    find_knowledge_base(call.state, call.resource)
    missing = Ingested("NOT_FOUND")
    known = call.state.ingestions.documents
    names = _identifiers(call)
    details = [_detail(call, name, known.get(_key(call, name), missing)) for name in names]
    return await call.respond(json.dumps({"documentDetails": details}).encode())


async def delete_documents(call: Call) -> web.StreamResponse:
    """Serve ``DeleteKnowledgeBaseDocuments``."""
    base = find_knowledge_base(call.state, call.resource)
    ingestions = call.state.ingestions
    details = []
    for name in _identifiers(call):
        entry = ingestions.documents.pop(_key(call, name), None)
        if entry is None:
            details.append(_detail(call, name, Ingested("NOT_FOUND")))
            continue
        chunks = entry.chunks
        entry.become("DELETING")
        details.append(_detail(call, name, entry))
        if chunks:
            ingestions.run(call.state.executor, partial(_delete, base, chunks))
    return await _accepted(call, {"documentDetails": details})


async def start_job(call: Call) -> web.StreamResponse:
    """Serve ``StartIngestionJob``."""
    base = find_knowledge_base(call.state, call.resource)
    if base.data_source is None:
        raise ServiceError("ResourceNotFoundException", "DataSource with the given id does not exist.")
    running = [
        job for job in call.state.ingestions.jobs.values() if job.status in ("STARTING", "IN_PROGRESS")
    ]
    if running:
        raise ServiceError("ConflictException", "There is an ongoing ingestion job for this data source.")
    job = Job(_make_id(), now(), updated=now())
    call.state.ingestions.jobs[job.job_id] = job
    answer = _job_answer(call, job)
    call.state.ingestions.run(call.state.executor, lambda: _run_job(base, job))
    return await _accepted(call, answer)


async def get_job(call: Call) -> web.StreamResponse:
    """Serve ``GetIngestionJob``."""
    job_id = call.http.match_info["job"]
    job = call.state.ingestions.jobs.get(job_id)
    if job is None:
        raise ServiceError("ResourceNotFoundException", f"IngestionJob with id {job_id} does not exist.")
    return await call.respond(json.dumps(_job_answer(call, job)).encode())


def _read_document(document: Any) -> tuple[str, Callable[[], list[Document]], dict[str, Any]]:
    """Id, text and metadata of a ``KnowledgeBaseDocument``; the text is read later, off the event loop."""
    content = document.get("content") or {}
    custom = content.get("custom") or {}
    name = (custom.get("customDocumentIdentifier") or {}).get("id")
    if content.get("dataSourceType") != "CUSTOM" or not name:
        raise invalid("The local endpoint takes documents of type CUSTOM with an id.")
    inline = custom.get("inlineContent") or {}
    if custom.get("sourceType") != "IN_LINE" or inline.get("type") not in ("TEXT", "BYTE"):
        raise invalid("The local endpoint takes documents with inline content only.")
    attributes = (document.get("metadata") or {}).get("inlineAttributes") or []
    metadata = {a["key"]: _attribute_value(a["value"]) for a in attributes}
    if inline["type"] == "TEXT":
        text = str((inline.get("textContent") or {}).get("data", ""))
        return name, lambda: [Document(text)], metadata
    part = inline.get("byteContent") or {}
    data, mime_type = base64.b64decode(part.get("data", "")), str(part.get("mimeType", ""))
    return name, lambda: _read_bytes(data, mime_type), metadata


def _read_bytes(data: bytes, mime_type: str) -> list[Document]:
    """The documents in a file, read as `load_documents` reads it."""
    from llama_bedrock.retrievers import load_documents

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"document{_SUFFIXES.get(mime_type, '.txt')}"
        path.write_bytes(data)
        return load_documents(path)


def _attribute_value(value: Mapping[str, Any]) -> Any:
    names = ("stringValue", "numberValue", "booleanValue", "stringListValue")
    return next((value[name] for name in names if name in value), None)


def _index(
    base: LocalKnowledgeBase,
    entry: Ingested,
    name: str,
    read: Callable[[], list[Document]],
    metadata: Mapping[str, Any],
) -> None:
    """Put one document into the store, in place of what it was before."""
    entry.become("IN_PROGRESS")
    try:
        parts = [
            Document(part.page_content, metadata={**part.metadata, "source": name, **metadata})
            for part in read()
            if part.page_content.strip()
        ]
        if not parts:
            entry.become("IGNORED", "The document holds no text.")
            return
        if base.split is not None:
            parts = base.split(parts)
        _delete(base, entry.chunks)
        entry.chunks = base.store.add_documents(parts)
        entry.become("INDEXED")
    except Exception as error:
        logger.exception("the local knowledge base could not index %s", name)
        entry.become("FAILED", f"{type(error).__name__}: {error}")


def _delete(base: LocalKnowledgeBase, ids: list[str]) -> None:
    if ids:
        base.store.delete(ids)


def _run_job(base: LocalKnowledgeBase, job: Job) -> None:
    """Read the data source and bring the store to it: documents with an id replace what they were."""
    job.status, job.updated = "IN_PROGRESS", now()
    counts = job.counts
    counts.update(dict.fromkeys(_COUNTS, 0))
    try:
        for document in base.data_source() if base.data_source else ():
            counts["numberOfDocumentsScanned"] += 1
            if not document.page_content.strip():
                counts["numberOfDocumentsSkipped"] += 1
                continue
            parts = [document] if base.split is None else base.split([document])
            base.store.add_documents(parts)
            counts["numberOfNewDocumentsIndexed"] += 1
        job.status = "COMPLETE"
    except Exception as error:
        logger.exception("a local ingestion job failed")
        job.failures.append(f"{type(error).__name__}: {error}")
        job.status = "FAILED"
    job.updated = now()


_COUNTS = (
    "numberOfDocumentsScanned",
    "numberOfNewDocumentsIndexed",
    "numberOfModifiedDocumentsIndexed",
    "numberOfDocumentsDeleted",
    "numberOfDocumentsFailed",
    "numberOfDocumentsSkipped",
)


def _job_answer(call: Call, job: Job) -> dict[str, Any]:
    answer = {
        "knowledgeBaseId": call.resource,
        "dataSourceId": call.http.match_info["source"],
        "ingestionJobId": job.job_id,
        "status": job.status,
        "startedAt": job.started,
        "updatedAt": job.updated,
        "statistics": dict(job.counts),
        "failureReasons": list(job.failures),
    }
    return {"ingestionJob": answer}


def _identifiers(call: Call) -> list[str]:
    identifiers = call.body.get("documentIdentifiers")
    if not isinstance(identifiers, list) or not 1 <= len(identifiers) <= _MAX_DOCUMENTS:
        raise constraint_error(
            "documentIdentifiers", "", f"Member must have length between 1 and {_MAX_DOCUMENTS}"
        )
    with shapes_checked():
        return [str((identifier.get("custom") or {}).get("id", "")) for identifier in identifiers]


def _key(call: Call, name: str) -> tuple[str, str, str]:
    return call.resource, call.http.match_info["source"], name


def _detail(call: Call, name: str, entry: Ingested) -> dict[str, Any]:
    detail = {
        "knowledgeBaseId": call.resource,
        "dataSourceId": call.http.match_info["source"],
        "status": entry.status,
        "identifier": {"dataSourceType": "CUSTOM", "custom": {"id": name}},
        "updatedAt": entry.updated or now(),
    }
    return {**detail, "statusReason": entry.reason} if entry.reason else detail


async def _accepted(call: Call, answer: Mapping[str, Any]) -> web.StreamResponse:
    response = await call.respond(json.dumps(answer).encode())
    if not response.prepared:
        response.set_status(202)
    return response


def _make_id() -> str:
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(10))
