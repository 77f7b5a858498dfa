"""The control plane of one endpoint: its records, its jobs in progress, and what a request may do."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import logging
import re
import secrets
import string
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from llama_bedrock.catalog.arn import partition_of
from llama_bedrock.local.control_plane.account import Account
from llama_bedrock.local.control_plane.invocation_log import InvocationLog
from llama_bedrock.local.control_plane.job_errors import JobFailed, JobStopped
from llama_bedrock.local.control_plane.plain_operations import made_before
from llama_bedrock.local.control_plane.records import Record, Store, not_found, one_page
from llama_bedrock.local.control_plane.wire import PlaneOperation, operations, read_request
from llama_bedrock.local.faults import FaultTarget
from llama_bedrock.local.runtime.frames import ServiceError, invalid

if TYPE_CHECKING:
    from aiohttp import web

    from llama_bedrock.local.control_plane.storage import JobStorage
    from llama_bedrock.local.runtime.served_call import Call, Operation
    from llama_bedrock.local.runtime.served_models import ModelTarget
    from llama_bedrock.local.runtime.state import EndpointState

logger = logging.getLogger(__name__)

# What goes on after a request was answered, by the kind of its record: module and function.
_WORK: Mapping[str, tuple[str, str]] = {
    "model-import-job": ("model_imports", "run_import"),
    "model-customization-job": ("model_customization", "run_customization"),
    "model-copy-job": ("model_imports", "run_copy"),
    "custom-model-deployment": ("model_deployments", "run_deployment"),
    "provisioned-model": ("provisioned_throughput", "run_purchase"),
    "model-invocation-job": ("invocation_jobs", "run_batch"),
}
_UNFINISHED = frozenset(
    {"Submitted", "Validating", "Scheduled", "InProgress", "Stopping", "Creating", "Updating"}
)
_ID = string.ascii_lowercase + string.digits


class LocalPlane:
    """The control plane of one endpoint.

    Args:
        account: The account it stands for.
        store: What is kept of it.
    """

    def __init__(self, account: Account, store: Store) -> None:
        self.account = account
        self.store = store
        self.logging: dict[str, dict[str, Any]] = {}
        self.log = InvocationLog(self)
        self._storages: dict[str, JobStorage] = {}
        self._calls: dict[str, tuple[float, float]] = {}  # of imported models: awake from, last call
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._state: EndpointState | None = None

    @property
    def state(self) -> EndpointState:
        """What the endpoint's requests share.

        Raises:
            RuntimeError: The endpoint does not run.
        """
        if self._state is None:
            raise RuntimeError("the control plane belongs to no running endpoint")
        return self._state

    def start(self, state: EndpointState) -> None:
        """Begin to serve an endpoint: jobs that an earlier one left unfinished are run again."""
        self._state = state
        self.logging = {record.region: record.data for record in self.store.all("invocation-logging")}
        for kind in _WORK:
            for record in self.store.all(kind):
                update = record.data.get("updateDetails", {}).get("updateStatus")
                if record.data.get("status") in _UNFINISHED or update == "Updating":
                    self.run(record)

    async def stop(self) -> None:
        """End the jobs in progress; a store in a folder lets the next endpoint run them again."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.log.flush()
        for storage in self._storages.values():
            storage.close()
        self.store.close()

    def now(self) -> str:
        """The account's time, as records have it."""
        return self.account.clock().isoformat()

    def arn(self, region: str, resource: str) -> str:
        """The ARN of a resource of the account."""
        return f"arn:{partition_of(region)}:bedrock:{region}:{self.account.account_id}:{resource}"

    def find_served(self, model_id: str, region: str | None) -> ModelTarget:
        """As `registered_models.find_served`."""
        from llama_bedrock.local.control_plane.registered_models import find_served

        return find_served(self, model_id, region)

    @staticmethod
    def unique() -> str:
        """An id of a resource, such as ARNs end with."""
        return "".join(secrets.choice(_ID) for _ in range(12))

    def make(
        self,
        kind: str,
        name: str,
        data: Mapping[str, Any],
        *,
        region: str,
        arn_member: str,
        resource: str = "",
        id_member: str = "",
        tags: Mapping[str, str] | None = None,
        token: str = "",
        request: str = "",
    ) -> Record:
        """A new record, kept.

        Args:
            kind: Its resource type.
            name: Its name.
            data: Its members besides the ARN; None leaves one out.
            region: Where.
            arn_member: The member that holds its ARN.
            resource: What stands between type and id in its ARN.
            id_member: The member that holds its id, if one does.
            tags: Its tags.
            token: The client's token of the request that makes it.
            request: Digest of that request.
        """
        path = "/".join(part for part in (kind, resource, self.unique()) if part)
        arn, now = self.arn(region, path), self.now()
        given = {name: value for name, value in data.items() if value is not None}
        members = {"creationTime": now, "lastModifiedTime": now, **given, arn_member: arn}
        if id_member:
            members[id_member] = arn.rpartition("/")[2]
        record = Record(kind, arn, name, now, members, dict(tags or {}), token, request)
        self.store.save(record)
        return record

    def wake(self, arn: str) -> None:
        """Take note of a call of an imported model.

        Raises:
            ServiceError: ``ModelNotReadyException``: it sleeps; the first such call wakes it.
        """
        now, idle = time.monotonic(), self.account.idle_seconds
        awake, last = self._calls.get(arn, (None, now))
        if awake is None or (idle is not None and now - last > idle):
            awake = now + self.account.wake_seconds
        self._calls[arn] = (awake, now)
        if now < awake:
            raise ServiceError("ModelNotReadyException")

    def storage(self, region: str) -> JobStorage:
        """S3, for the jobs of a region; made by the first that asks."""
        if region not in self._storages:
            from llama_bedrock.local.control_plane.storage import JobStorage

            self._storages[region] = JobStorage(region, self.account.s3_endpoint_url)
        return self._storages[region]

    def change(self, record: Record, **members: Any) -> None:
        """Set members of a record and keep it; None removes one."""
        record.data |= {**members, "lastModifiedTime": self.now()}
        record.data = {name: value for name, value in record.data.items() if value is not None}
        self.store.save(record)

    def run(self, record: Record) -> None:
        """Do the work of a record in the background."""
        module, function = _WORK[record.kind]
        work = getattr(import_module(f"llama_bedrock.local.control_plane.{module}"), function)
        task = asyncio.get_running_loop().create_task(self._run(record, work))
        self._tasks[record.arn] = task
        task.add_done_callback(lambda _: self._tasks.pop(record.arn, None))

    async def _run(self, record: Record, work: Callable[[LocalPlane, Record], Awaitable[None]]) -> None:
        text = "message" if record.kind == "model-invocation-job" else "failureMessage"
        try:
            await work(self, record)
            return
        except JobStopped:
            end = {"status": "Stopped"}
        except JobFailed as error:
            end = {"status": "Failed", text: str(error)[:2048]}
        except Exception as error:
            logger.exception("the local endpoint failed in the work of %s", record.arn)
            end = {"status": "Failed", text: f"Internal error: {type(error).__name__}: {error}"[:2048]}
        with suppress(ServiceError):  # the state cannot be written, which is in the log: it ends in memory
            self.change(record, endTime=self.now(), **end)

    async def pause(self, record: Record) -> None:
        """Stay in a state as long as the account's pace says.

        Raises:
            JobStopped: The job was asked to stop.
        """
        self.check_going(record)
        await asyncio.sleep(self.account.pace)
        self.check_going(record)

    @staticmethod
    def check_going(record: Record) -> None:
        """Nothing, while a job may go on.

        Raises:
            JobStopped: The job was asked to stop.
        """
        if record.data.get("status") == "Stopping":
            raise JobStopped

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run what may block, such as S3, in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self.state.executor, function, *args)


@dataclass(frozen=True, slots=True)
class PlaneRequest:
    """One request to the control plane.

    Attributes:
        plane: The control plane.
        operation: What is asked.
        region: Where.
        params: The parameters, checked.
    """

    plane: LocalPlane
    operation: PlaneOperation
    region: str
    params: Mapping[str, Any]

    def find(self, kind: str, identifier: str) -> Record:
        """The record with this ARN, id or name.

        Raises:
            ServiceError: There is none, in this region.
        """
        if identifier.startswith("arn:") and identifier.split(":")[3] != self.region:
            raise invalid(
                f"The provided identifier {identifier} belongs to another region than {self.region}."
            )
        record = self.plane.store.find(kind, self.region, identifier)
        if record is None:
            raise not_found(f"The provided {kind} identifier {identifier} could not be found.")
        return record

    def page(self, kind: str, key: str) -> dict[str, Any]:
        """The page of records of a kind that is asked for."""
        return one_page(self.plane.store.all(kind, self.region), self.params, key)

    def earlier(self, kind: str) -> Record | None:
        """What the same request, by its client's token, has made before.

        Raises:
            ServiceError: The token came with another request before.
        """
        token = self.params.get("clientRequestToken")
        for record in self.plane.store.all(kind, self.region) if token else ():
            if record.token == token:
                if record.request != self._digest():
                    raise self.conflict("The clientRequestToken was used with other parameters before.")
                return record
        return None

    def create(
        self,
        kind: str,
        name: str,
        data: Mapping[str, Any],
        *,
        resource: str = "",
        arn_member: str = "jobArn",
        id_member: str = "",
        tags: Iterable[Mapping[str, str]] = (),
        region: str | None = None,
    ) -> Record:
        """Keep a new record.

        Args:
            kind: Its resource type.
            name: Its name.
            data: Its members besides the ARN; None leaves one out.
            resource: What stands between type and id in its ARN.
            arn_member: The member that holds its ARN.
            id_member: The member that holds its id, if one does.
            tags: Its tags, as requests have them.
            region: Where; the request's if None.
        """
        return self.plane.make(
            kind,
            name,
            data,
            resource=resource,
            arn_member=arn_member,
            id_member=id_member,
            region=region or self.region,
            tags={tag["key"]: tag["value"] for tag in tags},
            token=str(self.params.get("clientRequestToken", "")),
            request=self._digest(),
        )

    def given(self, *names: str) -> dict[str, Any]:
        """These parameters, as far as the request has them."""
        return {name: self.params[name] for name in names if name in self.params}

    def conflict(self, message: str) -> ServiceError:
        """A ``ConflictException``, or a ``ValidationException`` where the operation has none."""
        code = "ConflictException" if self.operation.allows("ConflictException") else "ValidationException"
        return ServiceError(code, message)

    def stop_job(self, kind: str, ended: Collection[str]) -> None:
        """Ask the job that is named to stop.

        Raises:
            ServiceError: There is none, or it is in one of the states in which jobs have ended.
        """
        record = self.find(kind, self.params["jobIdentifier"])
        if record.data["status"] in ended:
            raise self.conflict(f"The job is {record.data['status']} and cannot be stopped.")
        self.plane.change(record, status="Stopping")

    def check_free(self, kind: str, name: str) -> None:
        """Nothing, if no record of a kind has this name.

        Raises:
            ServiceError: One has.
        """
        if self.plane.store.find(kind, self.region, name) is not None:
            raise self.conflict(f"The provided name {name} is used by another {kind} of the account.")

    def check_role(self, arn: str) -> None:
        """Nothing, if Bedrock can assume a role.

        Raises:
            ServiceError: ``ValidationException``.
        """
        account = self.plane.account
        own = arn.split(":")[4] == account.account_id
        if not own or (account.roles is not None and arn not in account.roles):
            raise invalid(
                f"Could not assume provided IAM role {arn}. Please provide the proper permissions: its trust "
                "policy must allow bedrock.amazonaws.com, and it must belong to the account of the caller."
            )

    def limit(self, name: str) -> float | None:
        """The value of a quota of the account, None where there is none of that name."""
        from llama_bedrock.local.control_plane.service_quotas import quota_value

        return quota_value(self.plane, self.region, name)

    def _digest(self) -> str:
        params = {k: v for k, v in self.params.items() if k != "clientRequestToken"}
        return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()


async def decode_request(
    state: EndpointState, request: web.Request, raw: bytes
) -> tuple[FaultTarget, Operation]:
    """What a request to the control plane asks: the operation, its resource, its parameters.

    Raises:
        ServiceError: It is no operation of the endpoint, or violates its model.
    """
    await asyncio.get_running_loop().run_in_executor(state.executor, operations)
    operation, params = read_request(request, raw)
    members = operation.model.input_shape.members if operation.model.input_shape else {}
    labels = [name for name, member in members.items() if member.serialization.get("location") == "uri"]
    resource = str(params.get(labels[0], "")) if labels else ""
    return FaultTarget(operation.name, resource, params), partial(_serve, operation)


async def _serve(operation: PlaneOperation, call: Call) -> web.StreamResponse:
    plane = call.state.plane
    assert isinstance(plane, LocalPlane), "only an endpoint with a control plane has its routes"
    region = call.caller.region or plane.account.region
    if not re.fullmatch(r"[a-z0-9-]{1,30}", region):  # it becomes part of ARNs and of file names
        raise ServiceError("InvalidSignatureException", "Credential should be scoped to a valid region.")
    request = PlaneRequest(plane, operation, region, call.body)
    _check_allowed(request)
    assert operation.handler is not None
    value = made_before(request) or operation.handler(request)
    if inspect.isawaitable(value):
        value = await value
    status, content_type, body = operation.answer(value, call.request_id)
    return await call.respond(body, status=status, content_type=content_type)


def _check_allowed(request: PlaneRequest) -> None:
    service = {"service-quotas": "servicequotas"}.get(request.operation.service, request.operation.service)
    action = f"{service}:{request.operation.name}"
    account = request.plane.account
    if action in account.denied_actions:
        code = "AccessDenied" if service == "sts" else "AccessDeniedException"
        raise ServiceError(
            code,
            f"User: {account.user_arn} is not authorized to perform: {action} on resource: "
            f"{request.plane.arn(request.region, '*')} because no identity-based policy allows the {action} "
            "action",
            status=403,
        )
