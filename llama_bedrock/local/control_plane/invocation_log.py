"""Invocation logs in S3, in the form that Bedrock gives them (user guide, "Monitor model invocation")."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llama_bedrock.local.control_plane.job_errors import JobFailed

if TYPE_CHECKING:
    from llama_bedrock.local.control_plane.plane import LocalPlane
    from llama_bedrock.local.control_plane.storage import JobStorage
    from llama_bedrock.local.runtime.served_call import Call

logger = logging.getLogger(__name__)

FOLDER = "BedrockModelInvocationLogs"
LOGGED = frozenset({"InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream"})
_LARGE = 100_000  # bytes of a body that is not written into the record, but beside it


class InvocationLog:
    """What was invoked, until it is written: many records to a file.

    Args:
        plane: The control plane, whose configuration says where.
    """

    def __init__(self, plane: LocalPlane) -> None:
        self._plane = plane
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._task: asyncio.Task[None] | None = None

    def is_on(self, call: Call) -> bool:
        """True if the invocations of a call's region are logged."""
        return self._region(call) in self._plane.logging

    def add(
        self,
        call: Call,
        output: Any = None,
        *,
        tokens: tuple[int, int] = (0, 0),
        error: str | None = None,
    ) -> None:
        """Take note of an invocation.

        Args:
            call: The call.
            output: The JSON body of its answer; a list of them for a stream.
            tokens: Of prompt and answer.
            error: Code of the exception that it got instead.
        """
        region = self._region(call)
        config = self._plane.logging.get(region)
        if config is None or call.operation not in LOGGED:
            return
        clock, account = self._plane.account.clock(), self._plane.account
        record: dict[str, Any] = {
            "schemaType": "ModelInvocationLog",
            "schemaVersion": "1.0",
            "timestamp": clock.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "accountId": account.account_id,
            "identity": {"arn": account.user_arn},
            "region": region,
            "requestId": call.request_id,
            "operation": call.operation,
            "modelId": call.resource,
            "inferenceRegion": region,
        }
        metadata = call.headers.get("X-Amzn-Bedrock-Request-Metadata")
        metadata = json.loads(metadata) if metadata else call.body.get("requestMetadata")
        if metadata:
            record["requestMetadata"] = metadata
        if error is not None:
            record["errorCode"] = error
        record["input"] = {"inputContentType": "application/json", "inputTokenCount": tokens[0]}
        record["output"] = {"outputContentType": "application/json", "outputTokenCount": tokens[1]}
        if config.get("textDataDeliveryEnabled", True):
            body = dict(call.body)
            if not config.get("imageDataDeliveryEnabled", True):
                body.pop("images", None)
            record["input"]["inputBodyJson"] = body
            if output is not None:
                record["output"]["outputBodyJson"] = output
        self._waiting.setdefault(region, []).append(record)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write_later())

    async def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, {}
        for region, records in waiting.items():
            config = self._plane.logging.get(region, {}).get("s3Config")
            if config is None:
                continue
            try:
                await self._plane.in_thread(self._write, region, config, records)
            except JobFailed as error:
                logger.warning("invocation logs could not be written: %s", error)

    async def _write_later(self) -> None:
        await asyncio.sleep(self._plane.account.pace)
        self._task = None
        await self.flush()

    def _write(self, region: str, config: Mapping[str, Any], records: list[dict[str, Any]]) -> None:
        storage, now = self._plane.storage(region), self._plane.account.clock()
        folder = f"{log_folder(config, self._plane.account.account_id)}/{region}/{now:%Y/%m/%d/%H}"
        for record in records:
            for part in ("input", "output"):
                _put_aside(storage, folder, record, part)
        lines = b"\n".join(json.dumps(record).encode() for record in records) + b"\n"
        storage.write(f"{folder}/{_stamp(now)}_{secrets.token_hex(8)}.json.gz", gzip.compress(lines))

    def _region(self, call: Call) -> str:
        return call.caller.region or self._plane.account.region


def log_folder(config: Mapping[str, Any], account_id: str) -> str:
    """Where an account's logs lie, by an ``s3Config``."""
    prefix = str(config.get("keyPrefix", "")).strip("/")
    parts = [config["bucketName"], *([prefix] if prefix else []), "AWSLogs", account_id, FOLDER]
    return "s3://" + "/".join(parts)


def _put_aside(storage: JobStorage, folder: str, record: dict[str, Any], part: str) -> None:
    """Write a large body beside the records."""
    body = record[part].get(f"{part}BodyJson")
    text = json.dumps(body).encode()
    if body is None or len(text) <= _LARGE:
        return
    path = f"{folder}/data/{record['requestId']}_{part}.json.gz"
    storage.write(path, gzip.compress(text))
    del record[part][f"{part}BodyJson"]
    record[part][f"{part}BodyS3Path"] = path


def _stamp(now: datetime) -> str:
    return now.strftime("%Y%m%dT%H%M%S") + f"{now.microsecond // 1000:03}Z"
