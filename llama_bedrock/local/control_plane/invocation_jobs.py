"""Batch inference: jobs that run the records of JSONL files in S3 through the endpoint's own engine."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import IO, Any

from llama_bedrock.catalog import CATALOG, ModelInfo
from llama_bedrock.local.control_plane import service_quotas as quotas
from llama_bedrock.local.control_plane.job_errors import JobFailed, JobStopped
from llama_bedrock.local.control_plane.plane import LocalPlane, PlaneRequest
from llama_bedrock.local.control_plane.records import Record
from llama_bedrock.local.control_plane.storage import JobStorage, join_uri
from llama_bedrock.local.faults import ErrorResponse, FaultTarget, NotReady
from llama_bedrock.local.runtime.converse import converse_answer
from llama_bedrock.local.runtime.frames import ServiceError, invalid
from llama_bedrock.local.runtime.invoke_model import model_answer
from llama_bedrock.local.runtime.served_call import Call, Caller

logger = logging.getLogger(__name__)

KIND = "model-invocation-job"
_HOURS = 24
_AT_ONCE = 64  # records in progress, and lines read at a time
_GB = 1e9
_FINAL = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})


def create_model_invocation_job(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``CreateModelInvocationJob``."""
    params, plane = request.params, request.plane
    request.check_role(params["roleArn"])
    _check_model(request)
    request.check_free(KIND, params["jobName"])
    hours, now = params.get("timeoutDurationInHours", _HOURS), plane.account.clock()
    members = {
        **request.given(
            "jobName",
            "modelId",
            "roleArn",
            "clientRequestToken",
            "inputDataConfig",
            "outputDataConfig",
            "vpcConfig",
        ),
        "modelInvocationType": params.get("modelInvocationType", "InvokeModel"),
        "status": "Submitted",
        "submitTime": now.isoformat(),
        "timeoutDurationInHours": hours,
        "jobExpirationTime": (now + timedelta(hours=hours)).isoformat(),
    }
    record = request.create(KIND, params["jobName"], members, tags=params.get("tags", ()))
    plane.run(record)
    return record.data


def stop_model_invocation_job(request: PlaneRequest) -> None:
    """Serve ``StopModelInvocationJob``; what is finished by then is written."""
    request.stop_job(KIND, _FINAL)


def _check_model(request: PlaneRequest) -> ModelInfo:
    """The model of a job.

    Raises:
        ServiceError: Batch inference does not take it, or not in this region.
    """
    given = request.params["modelId"]
    name = given.rpartition("/")[2]
    geo, _, base = name.partition(".")
    info = CATALOG.get(name) or CATALOG.get(base)
    if info is None or ":custom-model/" in given or (name not in CATALOG and geo not in info.profiles):
        raise invalid(
            "The provided model identifier is invalid, or its model does not support batch inference."
        )
    regions = info.batch_regions if name in CATALOG else info.batch_profile_regions
    if request.region not in regions:
        where = f"; it is in {', '.join(regions)}" if regions else ""
        raise invalid(f"Batch inference of {name} is not supported in {request.region}{where}.")
    if request.plane.account.lifecycle(info.model_id) == "ended":
        raise invalid("The provided model identifier is invalid.")
    return info


@dataclass(slots=True)
class _Counts:
    """What a job has done, as its manifest says it."""

    totalRecordCount: int = 0  # the names of the manifest
    processedRecordCount: int = 0
    successRecordCount: int = 0
    errorRecordCount: int = 0
    inputTokenCount: int = 0
    outputTokenCount: int = 0


class _Expired(Exception):
    """The time of a job is over."""


async def run_batch(plane: LocalPlane, job: Record) -> None:
    """Run a job from its submission to its end.

    Raises:
        JobFailed: Its input cannot be run.
        JobStopped: It was asked to stop.
    """
    storage = plane.storage(job.region)
    counts = _Counts()
    ending = "Completed"
    try:
        await _step(plane, job, "Validating")
        files = await plane.in_thread(_validated, plane, job, storage, counts)
        plane.change(job, totalRecordCount=counts.totalRecordCount)
        await _step(plane, job, "Scheduled")
        await _step(plane, job, "InProgress")
        for uri in files:
            await _run_file(plane, job, storage, uri, counts)
    except _Expired:
        ending = "PartiallyCompleted" if counts.processedRecordCount else "Expired"
    except JobStopped:
        if counts.processedRecordCount:
            await _finish(plane, job, storage, counts)
        raise
    if counts.processedRecordCount:
        await _finish(plane, job, storage, counts)
    plane.change(job, status=ending, endTime=plane.now())


async def _step(plane: LocalPlane, job: Record, status: str) -> None:
    """Stay in the state it has, then enter the next."""
    await plane.pause(job)
    _check_time(plane, job)
    plane.change(job, status=status)


def _check_time(plane: LocalPlane, job: Record) -> None:
    plane.check_going(job)
    if plane.account.clock() >= datetime.fromisoformat(job.data["jobExpirationTime"]):
        raise _Expired


async def _finish(plane: LocalPlane, job: Record, storage: JobStorage, counts: _Counts) -> None:
    manifest = json.dumps(asdict(counts)).encode()
    await plane.in_thread(storage.write, join_uri(_folder(job), "manifest.json.out"), manifest)
    _show(plane, job, counts)


def _show(plane: LocalPlane, job: Record, counts: _Counts) -> None:
    """Put the counts into what Get says."""
    plane.change(
        job, **{name: value for name, value in asdict(counts).items() if name.endswith("RecordCount")}
    )


def _folder(job: Record) -> str:
    return join_uri(job.data["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"], job.id)


def _validated(plane: LocalPlane, job: Record, storage: JobStorage, counts: _Counts) -> list[str]:
    """The input files of a job, checked; counts their records.

    Raises:
        JobFailed: There are none, too large ones, too few or too many records, or a line that is no record.
    """
    uri = job.data["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
    found = [(name, size) for name, size in storage.objects(uri) if name.endswith(".jsonl")]
    if not found:
        raise JobFailed(f"No input files were found at {uri}: their names must end with .jsonl.")
    storage.objects(_folder(job))  # that the bucket is there is known before the work
    limits = _Limits(plane, job)
    for name, size in found:
        limits.check(size / _GB, quotas.FILE_GB, f"The size of {name} (in GB)")
    limits.check(sum(size for _, size in found) / _GB, quotas.JOB_GB, "The size of the input (in GB)")
    for name, _ in found:
        records = 0
        for number, line in enumerate(storage.lines(name), 1):
            _read_record(line, f"line {number} of {name}")
            records += 1
        limits.check(records, quotas.FILE_RECORDS, f"The number of records in {name}")
        counts.totalRecordCount += records
    limits.check(counts.totalRecordCount, quotas.JOB_RECORDS, "The number of records")
    least = limits.value(quotas.MIN_RECORDS)
    if counts.totalRecordCount < least:
        raise JobFailed(
            f"Batch job contains less records ({counts.totalRecordCount}) than the required minimum of: "
            f"{least:g}"
        )
    return [name for name, _ in found]


class _Limits:
    """The quotas that hold for a job."""

    def __init__(self, plane: LocalPlane, job: Record) -> None:
        name = job.data["modelId"].rpartition("/")[2]
        info = CATALOG.get(name) or CATALOG[name.partition(".")[2]]
        self._values = {
            key: quotas.quota_value(plane, job.region, key + info.name) or 0.0 for key in quotas.BATCH_QUOTAS
        }

    def value(self, quota: str) -> float:
        return self._values[quota]

    def check(self, size: float, quota: str, what: str) -> None:
        if size > self._values[quota]:
            raise JobFailed(f"{what} is {size:g}, above the quota of {self._values[quota]:g}.")


def _read_record(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise JobFailed(f"The input is malformed: {where} is not valid JSON.") from None
    if not isinstance(record, dict) or not isinstance(record.get("modelInput"), dict):
        raise JobFailed(f"The input is malformed: {where} has no modelInput object.")
    if not isinstance(record.get("recordId", ""), str):
        raise JobFailed(f"The input is malformed: the recordId of {where} is not a string.")
    return record


async def _run_file(plane: LocalPlane, job: Record, storage: JobStorage, uri: str, counts: _Counts) -> None:
    """Run the records of one file; what is finished is written, also if the job is stopped or expires."""
    target = join_uri(_folder(job), f"{uri.rpartition('/')[2]}.out")
    ending: Exception | None = None
    with TemporaryFile() as out:
        try:
            await _run_lines(plane, job, storage.lines(uri), out, counts)
        except (JobStopped, _Expired) as error:
            ending = error
        if out.tell():
            out.seek(0)
            await plane.in_thread(storage.write, target, out)
    if ending is not None:
        raise ending


async def _run_lines(
    plane: LocalPlane, job: Record, lines: Iterator[bytes], out: IO[bytes], counts: _Counts
) -> None:
    """Run records, some at a time; Get sees every second how far it is."""
    shown = time.monotonic()
    async with aclosing(_pieces(plane, lines)) as pieces:
        async for piece in pieces:
            _check_time(plane, job)
            await _run_records(plane, job, piece, out, counts)
            if time.monotonic() - shown > 1:
                _show(plane, job, counts)
                shown = time.monotonic()


async def _pieces(plane: LocalPlane, lines: Iterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    """The lines, some at a time, read in a thread."""
    while piece := await plane.in_thread(list, itertools.islice(lines, _AT_ONCE)):
        yield piece


async def _run_records(
    plane: LocalPlane, job: Record, lines: list[bytes], out: IO[bytes], counts: _Counts
) -> None:
    """Run some records at once, and write each as it is done: Bedrock does not keep the order either."""
    tasks = [asyncio.ensure_future(_run_record(plane, job, json.loads(line))) for line in lines]
    try:
        for done in asyncio.as_completed(tasks):
            record = await done
            out.write(json.dumps(record).encode() + b"\n")
            counts.processedRecordCount += 1
            answer = record.get("modelOutput")
            if answer is None:
                counts.errorRecordCount += 1
                continue
            counts.successRecordCount += 1
            usage = answer.get("usage", {})
            counts.inputTokenCount += answer.get("prompt_token_count") or usage.get("inputTokens", 0)
            counts.outputTokenCount += answer.get("generation_token_count") or usage.get("outputTokens", 0)
    finally:
        for task in tasks:
            task.cancel()


async def _run_record(plane: LocalPlane, job: Record, record: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the output."""
    kept = {
        "modelInput": record["modelInput"],
        "recordId": record.get("recordId") or uuid.uuid4().hex[:11].upper(),
    }
    try:
        return {**kept, "modelOutput": await run_once(plane, job, record["modelInput"])}
    except ServiceError as error:
        return {**kept, "error": {"errorCode": error.status, "errorMessage": error.message}}
    except Exception:
        logger.exception("the local endpoint failed in a record of %s", job.arn)
        return {**kept, "error": {"errorCode": 500, "errorMessage": "Internal server error."}}


async def run_once(plane: LocalPlane, job: Record, body: dict[str, Any], model: str = "") -> dict[str, Any]:
    """The answer to one body, from the endpoint's engine, without its quotas and delays.

    Args:
        plane: The control plane.
        job: The job it is for.
        body: That of InvokeModel, or of Converse where the job says so.
        model: Another model than the job's.

    Raises:
        ServiceError: The model refuses it.
    """
    is_converse = job.data.get("modelInvocationType") == "Converse"
    name, resource = "Converse" if is_converse else "InvokeModel", model or job.data["modelId"]
    for fault in plane.state.faults.strike(FaultTarget(name, resource, body)):
        if isinstance(fault, ErrorResponse):
            raise fault.error()
        if isinstance(fault, NotReady):
            raise ServiceError("ModelNotReadyException")
    state = replace(plane.state, quotas=None, first_token_delay=0.0, token_delay=0.0)
    call = Call(None, state, str(uuid.uuid4()), Caller(None, job.region), body, resource)
    if is_converse:
        return await converse_answer(call)
    return (await model_answer(call))[0]
