"""Batch inference jobs: prompts by the million at half the price, with tools and structured output.

Bedrock's documentation says that batch jobs know neither tools nor structured output. Both stand in Llama's
prompt, which a record holds as it is, and are read from the answer's text by the parser of live calls.
"""

from __future__ import annotations

import asyncio
import json
import os
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from langchain_core.runnables import Runnable

from llama_bedrock.argument_kinds import refuses_wrong_kinds_in_methods
from llama_bedrock.catalog import resolve_model
from llama_bedrock.control.batch_records import BatchModel, BatchResult, RecordInput, RecordNotRunError
from llama_bedrock.control.batch_storage import (
    BatchLimits,
    BatchManifest,
    InputPart,
    record_index,
    write_input,
)
from llama_bedrock.control.control_plane import ControlPlane
from llama_bedrock.control.jobs import (
    JobFailedError,
    check_name,
    check_role,
    control_request,
    job_name,
    tag_list,
    wait_until,
)
from llama_bedrock.control.model_folder import S3Folder, split_uri
from llama_bedrock.control.prompt_file import as_input, read_prompt_file
from llama_bedrock.errors import (
    BedrockAccessDeniedError,
    BedrockNotFoundError,
    BedrockResponseError,
    LlamaBedrockError,
)
from llama_bedrock.imported_models import control_endpoint
from llama_bedrock.settings import BedrockConnection
from llama_bedrock.transport.request import InvokeRequest
from llama_bedrock.transport.steps import Request, Steps, Work

FINAL = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
_READ_BYTES = 16 * 1024 * 1024
_LIVE = 16  # calls in flight of retry_failed
_QUOTAS = {
    "least_records": ("Minimum number of records per batch inference job", 1),
    "job_records": ("Records per batch inference job", 1),
    "file_records": ("Records per input file per batch inference job", 1),
    "file_bytes": ("Batch inference input file size (in GB)", 10**9),
    "job_bytes": ("Batch inference job size (in GB)", 10**9),
}
_EVERYBODY = ("AllUsers", "AuthenticatedUsers")


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is.

    Attributes:
        status: Bedrock's word for it; of several jobs that of the one that is least far, or went worst.
        records: Records of all jobs.
        processed: Records that are done, as far as Bedrock says.
        failed: Of them, records with an error.
        messages: What Bedrock says of jobs that did not end well.
        seconds: Waited so far.
    """

    status: str
    records: int
    processed: int = 0
    failed: int = 0
    messages: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self.status in FINAL


@dataclass(slots=True)
class _Plan:
    """What `submit` sends."""

    records: Iterator[RecordInput]
    role_arn: str
    hours: int = 24
    tags: Mapping[str, str] = field(default_factory=dict)
    kms_key_id: str | None = None
    vpc_config: Mapping[str, Any] | None = None
    bucket_owner: str | None = None
    allow_public_bucket: bool = False


@refuses_wrong_kinds_in_methods()
class BatchJob:
    """Many prompts for one Llama as batch inference jobs, at half the price of live calls.

    Example:
        ```text
        job = BatchJob(llm.bind_tools([weather]), questions, s3="s3://bucket/batches", role_arn=role)
        job.submit()
        job.wait()
        for result in job.results():
            print(result.index, result.message or result.error)
        ```

    Inputs are written as prompts and sent to S3 while they are made, so any number of them takes the same
    memory; where the quotas of the account want it they become several files and several jobs. Beside them
    lies a manifest, so that with `from_arn` another process needs nothing but the ARN of one of the jobs.

    Args:
        model: A `ChatLlamaBedrock`, with tools, arguments or a schema bound or not. Its region is the jobs'.
        inputs: What the model takes, any number of them (a generator is read once), or a file of prompts as
            `abatch_file` reads it.
        s3: ``s3://bucket/prefix``; everything lies in a folder of the batch's name below it.
        role_arn: The role with which Bedrock reads and writes there.
        tools: Tools to bind to the model.
        schema: Schema of the answers; `BatchResult.parsed` is then an object of it.
        record_ids: Ids that come back with the answers, one per input.
        field: Of a file: the member or column that is the prompt.
        name: Name of the batch. Default: of the time.
        hours: After so many hours Bedrock ends a job, 24 to 168. Default 24.
        tags: Tags of the jobs.
        kms_key_id: Key that Bedrock encrypts the output with.
        vpc_config: ``{"subnetIds": […], "securityGroupIds": […]}``.
        bucket_owner: Account that must own the bucket. Default: the role's account.
        allow_public_bucket: Prompts may lie where everybody can read them.
        control: How to reach the control plane and S3. Default: as the model does.

    Raises:
        TypeError: The model is a chain.
        ValueError: An argument is wrong, or the model has no batch inference in the region.
    """

    def __init__(
        self,
        model: Runnable[Any, Any],
        inputs: Iterable[Any] | str | os.PathLike[str],
        *,
        s3: str,
        role_arn: str,
        tools: Any = None,
        schema: Any = None,
        record_ids: Iterable[str] | None = None,
        field: str | None = None,
        name: str | None = None,
        hours: int = 24,
        tags: Mapping[str, str] | None = None,
        kms_key_id: str | None = None,
        vpc_config: Mapping[str, Any] | None = None,
        bucket_owner: str | None = None,
        allow_public_bucket: bool = False,
        control: ControlPlane | None = None,
    ) -> None:
        self._model = BatchModel.of(model, tools, schema)
        self._plane = control or _control_of(self._model)
        if not 24 <= hours <= 168:
            raise ValueError(f"hours={hours}: Bedrock takes 24 to 168")
        tag_list(tags or {})
        _check_model(self._model.llm.model, self._plane.region)
        if isinstance(inputs, str | os.PathLike):
            if record_ids is not None:
                raise ValueError("the records of a file have ids of their own: leave record_ids out")
            pairs = _of_file(Path(inputs), field)
            records = self._model.records(*pairs)
        else:
            records = self._model.records(inputs, record_ids)
        split_uri(s3)
        name = check_name("name", name or job_name("batch"))
        if len(name) > 60:
            raise ValueError(f"name={name!r} is longer than 60 letters, which leaves none for a job's number")
        self._manifest = BatchManifest(name, f"{s3.rstrip('/')}/{name}", self._model.written())
        self._plan: _Plan | None = _Plan(
            records=records,
            role_arn=check_role(role_arn),
            hours=hours,
            tags=tags or {},
            kms_key_id=kms_key_id,
            vpc_config=vpc_config,
            bucket_owner=bucket_owner,
            allow_public_bucket=allow_public_bucket,
        )
        self._arns: list[str] = []

    @property
    def arns(self) -> tuple[str, ...]:
        """ARNs of the jobs; none before `submit`."""
        return tuple(self._arns)

    @property
    def name(self) -> str:
        """Name of the batch."""
        return self._manifest.name

    # -- to Bedrock ----------------------------------------------------------------------------------------

    def submit(self) -> BatchJob:
        """Write the input and start the jobs; return this object.

        Raises:
            ValueError: An input cannot be sent, there are too few, or the bucket is not fit for them.
            LlamaBedrockError: S3 or Bedrock refused or failed; what was uploaded for nothing is removed.
        """
        self._plane.run(self._submit())
        return self

    async def asubmit(self) -> BatchJob:
        """`submit` without blocking the event loop."""
        await self._plane.arun(self._submit())
        return self

    def status(self) -> BatchStatus:
        """Ask how far the jobs are."""
        return self._plane.run(self._status())

    async def astatus(self) -> BatchStatus:
        """Ask how far the jobs are."""
        return await self._plane.arun(self._status())

    def wait(
        self, progress: Callable[[BatchStatus], None] | None = None, *, seconds: float | None = None
    ) -> BatchStatus:
        """Wait until the jobs have ended, however they do.

        Args:
            progress: Called with the status now and then, at longer and longer intervals up to half a minute.
            seconds: How long to wait. Default: as long as it takes.

        Raises:
            BedrockTimeoutError: The time is over; the jobs go on.
            LlamaBedrockError: A call failed, after retries where they make sense.
        """
        return self._plane.run(self._wait(progress, seconds))

    async def await_end(
        self, progress: Callable[[BatchStatus], None] | None = None, *, seconds: float | None = None
    ) -> BatchStatus:
        """`wait` without blocking the event loop."""
        return await self._plane.arun(self._wait(progress, seconds))

    def cancel(self) -> None:
        """Stop the jobs that have not ended; what is finished by then can be read."""
        self._plane.run(self._cancel())

    async def acancel(self) -> None:
        """`cancel` without blocking the event loop."""
        await self._plane.arun(self._cancel())

    # -- from Bedrock --------------------------------------------------------------------------------------

    @classmethod
    def from_arn(cls, arn: str, *, schema: Any = None, **connection: Any) -> BatchJob:
        """Take up a batch that some process has submitted.

        Args:
            arn: ARN of one of its jobs.
            schema: Class of the objects in the answers; without it they are JSON values.
            connection: Settings of `ControlPlane`. Default: the environment's, and the ARN's region.

        Raises:
            ValueError: The job is none that `BatchJob` has submitted.
            LlamaBedrockError: A call failed.
        """
        plane = ControlPlane(**{"region_name": _region_of(arn), **connection})
        return plane.run(cls._taken_up(arn, plane, schema))

    @classmethod
    async def afrom_arn(cls, arn: str, *, schema: Any = None, **connection: Any) -> BatchJob:
        """`from_arn` without blocking the event loop."""
        plane = ControlPlane(**{"region_name": _region_of(arn), **connection})
        return await plane.arun(cls._taken_up(arn, plane, schema))

    def results(self) -> Iterator[BatchResult]:
        """Yield what came of each record, in the order of the inputs; the jobs must have ended.

        Raises:
            ValueError: They have not.
            JobFailedError: All of them failed, and wrote nothing.
            LlamaBedrockError: S3 cannot be read.
        """
        status = self.status()
        if not status.ended:
            raise ValueError(f"the batch is {status.status}: wait() for its end")
        if status.status == "Failed" and not status.processed:
            error = JobFailedError(f"batch {self.name!r} failed: {'; '.join(status.messages)}")
            error.status = "Failed"
            raise error
        for result, _ in self._read(want_input=False):
            yield result

    async def aresults(self) -> AsyncIterator[BatchResult]:
        """`results` without blocking the event loop."""
        results = self.results()
        while (result := await asyncio.to_thread(next, results, None)) is not None:
            yield result

    def retry_failed(self) -> Iterator[BatchResult]:
        """Send the records without an answer again, by live calls; yield what came of each, in order.

        As a job of their own: ``BatchJob(model, …)`` with `failed_inputs`.
        """
        failed = (
            (result, body) for result, body in self._read(want_input=True) if result.message is None and body
        )
        with ThreadPoolExecutor(_LIVE, thread_name_prefix="batch-retry") as pool:
            yield from pool.map(lambda pair: self._live(*pair), failed)

    def failed_as_job(self, role_arn: str, *, name: str | None = None) -> BatchJob:
        """A batch of the records without an answer; to be submitted.

        Args:
            role_arn: As for a new one.
            name: Its name. Default: of the time.
        """
        job = object.__new__(BatchJob)
        job._model, job._plane, job._arns = self._model, self._plane, []
        name = check_name("name", name or job_name("batch"))
        parent = self._manifest.root.rpartition("/")[0]
        job._manifest = BatchManifest(name, f"{parent}/{name}", self._manifest.model)
        continued = set(self._manifest.continued)

        def again() -> Iterator[RecordInput]:
            for result, body in self._read(want_input=True):
                if result.message is None and body:
                    yield RecordInput(body, result.id or str(result.index), result.index in continued)

        job._plan = _Plan(again(), check_role(role_arn))
        return job

    # -- steps ---------------------------------------------------------------------------------------------

    def _submit(self) -> Steps[None]:
        plan = self._plan
        if plan is None:
            raise ValueError(f"batch {self.name!r} was submitted already")
        yield from _check_bucket(self._manifest.root, plan, self._plane.region)
        limits = yield from _limits(self._model.llm.model)
        s3, manifest = self._plane.s3(), self._manifest
        yield Work(lambda stop: write_input(s3, manifest, plan.records, limits, stop))
        self._plan = None
        owner = {"s3BucketOwner": plan.bucket_owner} if plan.bucket_owner else {}
        key = {"s3EncryptionKeyId": plan.kms_key_id} if plan.kms_key_id else {}
        for job in range(manifest.jobs):
            name = manifest.job_name(job)
            started = yield control_request(
                "create_model_invocation_job",
                jobName=name,
                roleArn=plan.role_arn,
                modelId=self._model.llm.resolve(region=self._plane.region).model_id,
                clientRequestToken=name,  # a retry of a request that arrived starts no second job
                inputDataConfig={
                    "s3InputDataConfig": {
                        "s3InputFormat": "JSONL",
                        "s3Uri": manifest.input_uri(job),
                        **owner,
                    }
                },
                outputDataConfig={"s3OutputDataConfig": {"s3Uri": manifest.output_uri, **owner, **key}},
                timeoutDurationInHours=plan.hours,
                tags=tag_list(plan.tags) or None,
                vpcConfig=plan.vpc_config,
            )
            self._arns.append(started["jobArn"])

    def _states(self) -> Steps[list[dict[str, Any]]]:
        if not self._arns:
            raise ValueError(f"batch {self.name!r} was not submitted")
        states = []
        for arn in self._arns:
            state = yield control_request("get_model_invocation_job", jobIdentifier=arn)
            states.append(state)
        return states

    def _status(self) -> Steps[BatchStatus]:
        states = yield from self._states()
        return self._summed(states, 0.0)

    def _summed(self, states: list[dict[str, Any]], seconds: float) -> BatchStatus:
        going = [state["status"] for state in states if state["status"] not in FINAL]
        order = ("Failed", "Expired", "Stopped", "PartiallyCompleted", "Completed")
        ended = sorted(
            (state["status"] for state in states), key=lambda s: order.index(s) if s in order else 9
        )
        status = going[0] if going else ended[0]
        if not going and len(set(ended)) > 1:
            status = "PartiallyCompleted"
        messages = [str(state["message"]) for state in states if state.get("message")]
        return BatchStatus(
            status=status,
            records=self._manifest.records,
            processed=sum(state.get("processedRecordCount") or 0 for state in states),
            failed=sum(state.get("errorRecordCount") or 0 for state in states),
            messages=tuple(messages),
            seconds=seconds,
        )

    def _wait(
        self, progress: Callable[[BatchStatus], None] | None, seconds: float | None
    ) -> Steps[BatchStatus]:
        if not self._arns:
            raise ValueError(f"batch {self.name!r} was not submitted")
        states: list[dict[str, Any]] = []
        for arn in self._arns:  # one after the other: the last one to end decides

            def tell(state: dict[str, Any], waited: float) -> None:
                if progress is not None:
                    progress(self._summed([*states, state], waited))  # called before the next

            request = control_request("get_model_invocation_job", jobIdentifier=arn)
            state = yield from wait_until(request, lambda s: s["status"] in FINAL, seconds=seconds, tell=tell)
            states.append(state)
        return self._summed(states, 0.0)

    def _cancel(self) -> Steps[None]:
        states = yield from self._states()
        for state in states:
            if state["status"] not in FINAL and state["status"] != "Stopping":
                yield control_request("stop_model_invocation_job", jobIdentifier=state["jobArn"])

    @classmethod
    def _taken_up(cls, arn: str, plane: ControlPlane, schema: Any) -> Steps[BatchJob]:
        state = yield control_request("get_model_invocation_job", jobIdentifier=arn)
        uri = state["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
        root, _, folder = uri.rstrip("/").rpartition("/")
        if not folder.startswith("input-"):
            raise ValueError(f"{arn} reads {uri}, which BatchJob has not written")
        manifest: BatchManifest = yield Work(lambda _: BatchManifest.read(plane.s3(), root))
        job = object.__new__(cls)
        job._plane, job._manifest, job._plan = plane, manifest, None
        job._model = BatchModel.read(
            manifest.model, schema, {"region_name": plane.region, **plane.runtime_settings()}
        )
        job._arns = yield from _arns_of(manifest)
        return job

    # -- reading -------------------------------------------------------------------------------------------

    def _read(self, *, want_input: bool) -> Iterator[tuple[BatchResult, Mapping[str, Any] | None]]:
        """Yield the results in order, where wanted with the body of those without an answer."""
        s3 = self._plane.s3()
        ids = self._manifest.read_ids(s3)
        continued = set(self._manifest.continued)
        for part in self._manifest.parts:
            arn = self._arns[part.job]
            folder = f"{self._manifest.output_uri}{arn.rpartition('/')[2]}"
            with _Lines(S3Folder(folder, s3), f"{part.file}.out", part) as lines:
                yield from self._read_part(s3, part, lines, ids, continued, want_input)

    def _read_part(
        self,
        s3: Any,
        part: InputPart,
        lines: _Lines,
        ids: list[str] | None,
        continued: set[int],
        want_input: bool,
    ) -> Iterator[tuple[BatchResult, Mapping[str, Any] | None]]:
        inputs: _Lines | None = None
        try:
            for index in range(part.first, part.first + part.records):
                line, id_ = lines.get(index), ids[index] if ids else None
                if line is None:
                    error = RecordNotRunError(f"record {index} was not run before its job ended")
                    result = BatchResult(index, id_, error=error)
                else:
                    result = self._model.result(index, id_, line, index in continued)
                body = None
                if want_input and result.message is None:
                    if line is None and inputs is None:
                        folder = S3Folder(self._manifest.input_uri(part.job).rstrip("/"), s3)
                        inputs = _Lines(folder, part.file, part)
                    sent = line or (inputs.get(index) if inputs else None) or {}
                    body = sent.get("modelInput")
                yield result, body
        finally:
            if inputs is not None:
                inputs.close()

    def _live(self, result: BatchResult, body: Mapping[str, Any]) -> BatchResult:
        llm = self._model.llm
        request = InvokeRequest(llm.resolve(region=self._plane.region).model_id, body)
        try:
            chunk = llm._sync_transport().invoke(request)
        except LlamaBedrockError as error:
            return BatchResult(result.index, result.id, error=error)
        answer = {
            "generation": chunk.text,
            "prompt_token_count": chunk.prompt_tokens,
            "generation_token_count": chunk.output_tokens,
            "stop_reason": chunk.stop_reason,
        }
        line = {"modelInput": body, "modelOutput": answer}
        continues = result.index in self._manifest.continued
        return self._model.result(result.index, result.id, line, continues, batch=False)


class _Lines:
    """The records of an object, found by index though they lie in another order; kept on disk."""

    def __init__(self, folder: S3Folder, name: str, part: InputPart) -> None:
        self._first = part.first
        self._places = array("q", [0] * part.records)
        self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115  # closed by `close`
        size = folder.sizes.get(name, 0)
        for start in range(0, size, _READ_BYTES):
            self._file.write(folder.read(name, start, min(size, start + _READ_BYTES)))
        self._file.seek(0)
        place = 0
        for line in self._file:
            if line.strip():
                index = record_index(str(json.loads(line).get("recordId"))) - self._first
                if 0 <= index < part.records:
                    self._places[index] = place + 1
            place += len(line)

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, index: int) -> dict[str, Any] | None:
        """The record of an index, None where there is none."""
        place = self._places[index - self._first]
        if not place:
            return None
        self._file.seek(place - 1)
        line: dict[str, Any] = json.loads(self._file.readline())
        return line

    def close(self) -> None:
        """Remove the copy."""
        self._file.close()


def _control_of(model: BatchModel) -> ControlPlane:
    names = BedrockConnection.model_fields.keys() - {"client", "endpoint_url"}
    own = {name: getattr(model.llm, name) for name in names if name in model.llm.model_fields_set}
    return ControlPlane(**own, endpoint_url=control_endpoint(model.llm.endpoint_url))


def _check_model(model: str, region: str) -> None:
    """Refuse what batch inference does not take, before anything is sent.

    Raises:
        ValueError: The model has none, or not in the region.
    """
    if model.startswith("arn:") and ":foundation-model/" not in model and ":inference-profile/" not in model:
        raise ValueError(
            f"{model}: batch inference takes Bedrock's own models, no imported or provisioned ones"
        )
    info = resolve_model(model).info
    if info is None:
        return
    name = model.rpartition("/")[2]
    regions = info.batch_regions if name == info.model_id else info.batch_profile_regions
    if region not in regions:
        where = f"it is in {', '.join(regions)}" if regions else "it has none"
        other = info.batch_profile_regions if name == info.model_id else info.batch_regions
        hint = f"; in {region} with the other form of its id" if region in other else ""
        raise ValueError(f"batch inference of {model} is not in {region}: {where}{hint}")


def _of_file(path: Path, field: str | None) -> tuple[Iterator[Any], Iterator[str]]:
    """The prompts of a file and their ids; the number of the line where a record has none."""
    from itertools import tee

    def prompts() -> Iterator[tuple[Any, str]]:
        for record in read_prompt_file(path):
            try:
                if record.error is not None:
                    raise ValueError(record.error)
                yield as_input(record.value, field), str(record.line if record.id is None else record.id)
            except ValueError as error:
                raise ValueError(f"{path.name}, line {record.line}: {error}") from error

    first, second = tee(prompts())
    return (prompt for prompt, _ in first), (id_ for _, id_ in second)


def _check_bucket(root: str, plan: _Plan, region: str) -> Steps[None]:
    """Refuse a bucket that Bedrock could not use, or that others can read.

    Raises:
        ValueError: It is in another region, another account's, or public.
        LlamaBedrockError: It cannot be reached.
    """
    bucket = split_uri(root)[0]
    owner = plan.bucket_owner or plan.role_arn.split(":")[4]
    expected = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        head = yield Request("s3", "head_bucket", {"Bucket": bucket, **expected})
    except BedrockNotFoundError:
        raise ValueError(f"there is no bucket {bucket!r}") from None
    except BedrockAccessDeniedError as error:
        raise ValueError(
            f"the bucket {bucket!r} cannot be used: it belongs to another account than {owner}, or these "
            "credentials may not list it; bucket_owner= names another account"
        ) from error
    found = head.get("BucketRegion")
    if found and found != region:
        raise ValueError(
            f"the bucket {bucket!r} is in {found}, and the jobs run in {region}: they must be the same"
        )
    if plan.allow_public_bucket:
        return
    for operation, is_public in (
        ("get_bucket_policy_status", lambda r: r.get("PolicyStatus", {}).get("IsPublic")),
        (
            "get_bucket_acl",
            lambda r: any(
                grant.get("Grantee", {}).get("URI", "").endswith(_EVERYBODY) for grant in r.get("Grants", ())
            ),
        ),
    ):
        try:
            state = yield Request("s3", operation, {"Bucket": bucket})
        except BedrockResponseError:  # there is no policy, or nobody lets us look
            continue
        if is_public(state):
            raise ValueError(
                f"the bucket {bucket!r} can be read by everybody, and the prompts would be; "
                "allow_public_bucket=True if that is meant"
            )


def _limits(model: str) -> Steps[BatchLimits]:
    """The account's quotas of batch jobs; the documented defaults where they cannot be read."""
    info = resolve_model(model).info
    found: dict[str, int] = {}
    more: dict[str, Any] = {}
    try:
        while True:
            page = yield Request("service-quotas", "list_service_quotas", {"ServiceCode": "bedrock", **more})
            for quota in page["Quotas"]:
                for key, (begins, unit) in _QUOTAS.items():
                    name = quota["QuotaName"]
                    if name.startswith(f"{begins} for ") and info is not None and name.endswith(info.name):
                        found[key] = int(quota["Value"] * unit)
            if not page.get("NextToken"):
                break
            more = {"NextToken": page["NextToken"]}
    except LlamaBedrockError:
        return BatchLimits()
    return BatchLimits(**found)


def _arns_of(manifest: BatchManifest) -> Steps[list[str]]:
    """The ARNs of a batch's jobs, by their names."""
    found: dict[str, str] = {}
    more: dict[str, Any] = {}
    while True:
        page = yield control_request("list_model_invocation_jobs", nameContains=manifest.name, **more)
        found |= {job["jobName"]: job["jobArn"] for job in page.get("invocationJobSummaries") or ()}
        if not page.get("nextToken"):
            break
        more = {"nextToken": page["nextToken"]}
    names = [manifest.job_name(job) for job in range(manifest.jobs)]
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"the job {missing[0]!r} of batch {manifest.name!r} is not in Bedrock's list any more"
        )
    return [found[name] for name in names]


def _region_of(arn: str) -> str:
    parts = arn.split(":")
    if len(parts) < 6 or not parts[3] or "model-invocation-job/" not in arn:
        raise ValueError(
            f"{arn!r} is no ARN of a batch job: arn:aws:bedrock:<region>:<account>:model-invocation-job/<id>"
        )
    return parts[3]
