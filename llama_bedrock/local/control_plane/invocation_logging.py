"""The configuration of invocation logging: one per region."""

from __future__ import annotations

from typing import Any

from llama_bedrock.local.control_plane.plane import PlaneRequest
from llama_bedrock.local.control_plane.records import Record
from llama_bedrock.local.runtime.frames import invalid

KIND = "invocation-logging"


def put_model_invocation_logging_configuration(request: PlaneRequest) -> None:
    """Serve ``PutModelInvocationLoggingConfiguration``."""
    config = dict(request.params["loggingConfig"])
    if "s3Config" not in config and "cloudWatchConfig" not in config:
        raise invalid("The logging configuration must have s3Config or cloudWatchConfig.")
    if "cloudWatchConfig" in config:
        request.check_role(config["cloudWatchConfig"]["roleArn"])
    plane = request.plane
    # What is not said is on: AWS's documentation of the members.
    for kind in ("text", "image", "embedding", "video", "audio"):
        config.setdefault(f"{kind}DataDeliveryEnabled", True)
    plane.store.save(
        Record(KIND, plane.arn(request.region, f"{KIND}/configuration"), KIND, plane.now(), config)
    )


def get_model_invocation_logging_configuration(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``GetModelInvocationLoggingConfiguration``."""
    records = request.plane.store.all(KIND, request.region)
    return {"loggingConfig": records[0].data} if records else {}


def delete_model_invocation_logging_configuration(request: PlaneRequest) -> None:
    """Serve ``DeleteModelInvocationLoggingConfiguration``."""
    for record in request.plane.store.all(KIND, request.region):
        request.plane.store.delete(record)
