"""Which model an identifier of a runtime request stands for, and whether the account may call it now."""

from __future__ import annotations

from llama_bedrock.catalog import CATALOG, ModelInfo
from llama_bedrock.local.control_plane.plane import LocalPlane
from llama_bedrock.local.control_plane.records import Record, not_found
from llama_bedrock.local.runtime.frames import ServiceError, invalid
from llama_bedrock.local.runtime.served_models import ModelTarget, find_model


def find_served(plane: LocalPlane, model_id: str, region: str | None) -> ModelTarget:
    """The model that a path names.

    Args:
        plane: The control plane, which knows the ARNs that were made here.
        model_id: Model id, geo profile id or ARN, decoded.
        region: The caller's region; None skips the checks that need it.

    Raises:
        ServiceError: It names no model, one that is not ready, or one that the account may not call.
    """
    record = plane.store.get(model_id)
    if record is None and plane.store.was_deleted(model_id):
        raise not_found("Could not resolve the model from the provided model identifier: it was deleted.")
    target = find_model(model_id, region)
    if record is not None:
        target = _registered(plane, record)
    if target.info is not None:
        _check_access(plane, target.info)
    return target


def _registered(plane: LocalPlane, record: Record) -> ModelTarget:
    arn = record.arn
    if record.kind == "imported-model":
        plane.wake(arn)
        return ModelTarget(arn, None, imported=True)
    if record.kind == "application-inference-profile":
        return ModelTarget(arn, _info(record.data["models"][0]["modelArn"]))
    if record.kind == "custom-model":
        raise invalid(
            f"Invocation of model ID {arn} with on-demand throughput isn’t supported. Deploy it, or buy "
            "Provisioned Throughput for it."
        )
    if record.data["status"] in ("Creating", "Failed"):
        raise ServiceError("ModelNotReadyException")
    model = plane.store.get(record.data["modelArn"])
    base = record.data["modelArn"] if model is None else model.data.get("baseModelArn", "")
    return ModelTarget(arn, _info(base), imported=not base)


def _info(arn: str) -> ModelInfo | None:
    name = arn.rpartition("/")[2]
    return CATALOG.get(name) or CATALOG.get(name.removesuffix(":128k"))


def _check_access(plane: LocalPlane, info: ModelInfo) -> None:
    """Nothing, if the account may call a model; only what its settings name is checked."""
    state = plane.account.models.get(info.model_id)
    if state is None:
        return
    lifecycle = plane.account.lifecycle(info.model_id)
    if lifecycle == "ended":
        raise not_found(
            "This model version has reached the end of its life. Please refer to the AWS documentation for "
            "more details."
        )
    if lifecycle == "legacy" and not state.legacy_access:
        raise not_found(
            "Access denied. This Model is marked by provider as Legacy and you have not been actively using "
            "the model in the last 15 days. Please upgrade to an active model on Amazon Bedrock"
        )
    if state.access != "AVAILABLE" or not state.authorized or not state.entitled:
        raise ServiceError("AccessDeniedException")
