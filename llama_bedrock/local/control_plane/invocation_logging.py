"""The configuration of invocation logging: one per region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_bedrock.local.control_plane.invocation_log import log_folder
from llama_bedrock.local.control_plane.job_errors import JobFailed
from llama_bedrock.local.control_plane.plane import PlaneRequest
from llama_bedrock.local.control_plane.records import Record
from llama_bedrock.local.runtime.frames import invalid

KIND = "invocation-logging"


async def put_model_invocation_logging_configuration(request: PlaneRequest) -> None:
    """Serve ``PutModelInvocationLoggingConfiguration``."""
    config = dict(request.params["loggingConfig"])
    if "s3Config" not in config and "cloudWatchConfig" not in config:
        raise invalid("The logging configuration must have s3Config or cloudWatchConfig.")
    if "cloudWatchConfig" in config:
        request.check_role(config["cloudWatchConfig"]["roleArn"])
    plane = request.plane
    for s3 in (config.get("s3Config"), config.get("cloudWatchConfig", {}).get("largeDataDeliveryS3Config")):
        if s3 is not None:
            await _check_bucket(request, s3)
    # What is not said is on: AWS's documentation of the members.
    for kind in ("text", "image", "embedding", "video", "audio"):
        config.setdefault(f"{kind}DataDeliveryEnabled", True)
    arn = plane.arn(request.region, f"{KIND}/configuration")
    plane.store.save(Record(KIND, arn, KIND, plane.now(), config))
    plane.logging[request.region] = config


def get_model_invocation_logging_configuration(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``GetModelInvocationLoggingConfiguration``."""
    records = request.plane.store.all(KIND, request.region)
    return {"loggingConfig": records[0].data} if records else {}


def delete_model_invocation_logging_configuration(request: PlaneRequest) -> None:
    """Serve ``DeleteModelInvocationLoggingConfiguration``."""
    for record in request.plane.store.all(KIND, request.region):
        request.plane.store.delete(record)
    request.plane.logging.pop(request.region, None)


async def _check_bucket(request: PlaneRequest, s3: Mapping[str, Any]) -> None:
    """Write the object by which Bedrock tries the permissions.

    Raises:
        ServiceError: It cannot be written.
    """
    plane = request.plane
    path = f"{log_folder(s3, plane.account.account_id)}/amazon-bedrock-logs-permission-check"
    try:
        await plane.in_thread(plane.storage(request.region).write, path, b"")
    except JobFailed as error:
        raise invalid(f"Failed to validate permissions for the S3 bucket: {error}") from error
