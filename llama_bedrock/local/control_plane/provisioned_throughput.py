"""Provisioned Throughput: model units bought for a base or custom model."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from llama_bedrock.catalog import CATALOG
from llama_bedrock.local.control_plane.foundation_models import find_details
from llama_bedrock.local.control_plane.plane import LocalPlane, PlaneRequest
from llama_bedrock.local.control_plane.records import Record, not_found
from llama_bedrock.local.runtime.frames import ServiceError, invalid

KIND = "provisioned-model"
_ARN = "provisionedModelArn"
_DAYS = {"OneMonth": 30, "SixMonths": 182}
_FREE_UNITS = "Model units no-commitment Provisioned Throughputs across base models"


def create_provisioned_model_throughput(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``CreateProvisionedModelThroughput``."""
    params, name = request.params, request.params["provisionedModelName"]
    model_arn, base_arn = _model_of(request, params["modelId"])
    request.check_free(KIND, name)
    _check_units(request)
    term, clock = params.get("commitmentDuration"), request.plane.account.clock()
    members = {
        "modelUnits": params["modelUnits"],
        "desiredModelUnits": params["modelUnits"],
        "provisionedModelName": name,
        "modelArn": model_arn,
        "desiredModelArn": model_arn,
        "foundationModelArn": base_arn,
        "status": "Creating",
        "commitmentDuration": term,
        "commitmentExpirationTime": (clock + timedelta(days=_DAYS[term])).isoformat() if term else None,
    }
    record = request.create(KIND, name, members, arn_member=_ARN, tags=params.get("tags", ()))
    request.plane.run(record)
    return record.data


def update_provisioned_model_throughput(request: PlaneRequest) -> None:
    """Serve ``UpdateProvisionedModelThroughput``: another name, or a model of the same base."""
    record = request.find(KIND, request.params["provisionedModelId"])
    if record.data["status"] != "InService":
        raise invalid(f"The provisioned model is {record.data['status']}; only one in service is updated.")
    name = request.params.get("desiredProvisionedModelName")
    if name is not None and name != record.name:
        request.check_free(KIND, name)
        record.name = name
        request.plane.change(record, provisionedModelName=name)
    if (wanted := request.params.get("desiredModelId")) is not None:
        model_arn, base_arn = _model_of(request, wanted)
        if base_arn != record.data["foundationModelArn"]:
            raise invalid("The desired model must have the same base model.")
        request.plane.change(record, desiredModelArn=model_arn, status="Updating")
        request.plane.run(record)


def delete_provisioned_model_throughput(request: PlaneRequest) -> None:
    """Serve ``DeleteProvisionedModelThroughput``; a commitment has to end first."""
    record = request.find(KIND, request.params["provisionedModelId"])
    ends = record.data.get("commitmentExpirationTime")
    if ends is not None and datetime.fromisoformat(ends) > request.plane.account.clock():
        raise request.conflict(
            f"The Provisioned Throughput is committed until {ends} and cannot be deleted before."
        )
    if record.data["status"] == "Creating":
        raise request.conflict("The Provisioned Throughput is being created.")
    request.plane.store.delete(record)


async def run_purchase(plane: LocalPlane, record: Record) -> None:
    """Bring bought units, or their update, into service."""
    await plane.pause(record)
    plane.change(record, status="InService", modelArn=record.data["desiredModelArn"])


def _model_of(request: PlaneRequest, identifier: str) -> tuple[str, str]:
    """ARNs of a model that throughput can be bought for, and of its base.

    Raises:
        ServiceError: It cannot.
    """
    custom = request.plane.store.find("custom-model", request.region, identifier)
    if custom is not None:
        if "foundation-model/" not in custom.data.get("baseModelArn", ""):
            raise invalid("Provisioned Throughput cannot be bought for imported models.")
        return custom.arn, custom.data["baseModelArn"]
    if "custom-model/" in identifier:
        raise not_found(f"The custom model {identifier} could not be found.")
    details = find_details(request, identifier)
    if "PROVISIONED" not in details["inferenceTypesSupported"]:
        raise invalid(
            f"Provisioned Throughput is not supported for {details['modelId']}; see the ids with :128k."
        )
    info = CATALOG[details["modelId"].removesuffix(":128k")]
    if details["modelId"] != info.provisioned_id:
        raise invalid(f"Provisioned Throughput is not supported for the base model {details['modelId']}.")
    if details["modelLifecycle"]["status"] == "LEGACY":
        raise invalid(
            f"The model {details['modelId']} is Legacy: no new Provisioned Throughput can be bought for it."
        )
    return details["modelArn"], details["modelArn"]


def _check_units(request: PlaneRequest) -> None:
    """Units without commitment are bounded by a quota."""
    if "commitmentDuration" in request.params:
        return
    mine = [
        record.data["modelUnits"]
        for record in request.plane.store.all(KIND, request.region)
        if "commitmentDuration" not in record.data
    ]
    limit = request.limit(_FREE_UNITS)
    if limit is not None and sum(mine) + request.params["modelUnits"] > limit:
        raise ServiceError(
            "ServiceQuotaExceededException",
            f"The account has a quota of {limit:g} model units without commitment, and uses {sum(mine)}.",
        )
