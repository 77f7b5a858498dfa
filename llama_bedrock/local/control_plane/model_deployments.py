"""Deployments of custom models for on-demand inference."""

from __future__ import annotations

from typing import Any

from llama_bedrock.catalog import CATALOG
from llama_bedrock.local.control_plane.job_errors import JobFailed
from llama_bedrock.local.control_plane.plane import LocalPlane, PlaneRequest
from llama_bedrock.local.control_plane.records import Record
from llama_bedrock.local.runtime.frames import invalid

KIND = "custom-model-deployment"
_ARN = "customModelDeploymentArn"


def create_custom_model_deployment(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``CreateCustomModelDeployment``."""
    params, name = request.params, request.params["modelDeploymentName"]
    _check_model(request)
    request.check_free(KIND, name)
    now = request.plane.now()
    members = {
        **request.given("modelDeploymentName", "modelArn", "description"),
        "customModelDeploymentName": name,
        "createdAt": now,
        "lastUpdatedAt": now,
        "status": "Creating",
    }
    record = request.create(KIND, name, members, arn_member=_ARN, tags=params.get("tags", ()))
    request.plane.run(record)
    return record.data


def update_custom_model_deployment(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``UpdateCustomModelDeployment``: another model behind the same ARN."""
    record = request.find(KIND, request.params["customModelDeploymentIdentifier"])
    if record.data["status"] != "Active":
        raise invalid(
            f"The deployment {record.name} is {record.data['status']}; only an active one is updated."
        )
    _check_model(request)
    details = {"modelArn": request.params["modelArn"], "updateStatus": "Updating"}
    request.plane.change(record, updateDetails=details)
    request.plane.run(record)
    return record.data


def delete_custom_model_deployment(request: PlaneRequest) -> None:
    """Serve ``DeleteCustomModelDeployment``."""
    record = request.find(KIND, request.params["customModelDeploymentIdentifier"])
    if record.data["status"] == "Creating":
        raise request.conflict(f"The deployment {record.name} is being created.")
    request.plane.store.delete(record)


def _check_model(request: PlaneRequest) -> None:
    """Nothing, if the model can be deployed here (user guide, "Deploy a custom model for on-demand …")."""
    model = request.find("custom-model", request.params["modelArn"])
    base = str(model.data.get("baseModelArn", "")).rpartition("/")[2]
    info = CATALOG.get(base.removesuffix(":128k"))
    if info is not None and request.region not in info.deployment_regions:
        where = f"only in {', '.join(info.deployment_regions)}" if info.deployment_regions else "nowhere"
        raise invalid(
            f"Models customised from {base} can be deployed for on-demand inference {where}: buy "
            "Provisioned Throughput for them."
        )


async def run_deployment(plane: LocalPlane, record: Record) -> None:
    """Bring a deployment, or its update, into service.

    Raises:
        JobFailed: The model is gone.
    """
    await plane.pause(record)
    update = record.data.get("updateDetails")
    arn = update["modelArn"] if update else record.data["modelArn"]
    if plane.store.get(arn) is None:
        raise JobFailed(f"The model {arn} was deleted.")
    done = {"updateDetails": {**update, "updateStatus": "UpdateCompleted"}} if update else {}
    plane.change(record, status="Active", modelArn=arn, lastUpdatedAt=plane.now(), **done)
