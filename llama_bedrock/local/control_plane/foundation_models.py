"""ListFoundationModels, GetFoundationModel and GetFoundationModelAvailability, from the catalogue."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from llama_bedrock.catalog import CATALOG, ModelInfo
from llama_bedrock.catalog.arn import partition_of
from llama_bedrock.local.control_plane.account import Account
from llama_bedrock.local.control_plane.plane import PlaneRequest
from llama_bedrock.local.control_plane.records import not_found
from llama_bedrock.local.runtime.frames import invalid

_TITAN = {
    "amazon.titan-embed-text-v1": "Titan Embeddings G1 - Text",
    "amazon.titan-embed-text-v2:0": "Titan Text Embeddings V2",
}


def list_foundation_models(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``ListFoundationModels``."""
    params = request.params
    wanted = {
        "providerName": params.get("byProvider"),
        "customizationsSupported": params.get("byCustomizationType"),
        "outputModalities": params.get("byOutputModality"),
        "inferenceTypesSupported": params.get("byInferenceType"),
    }
    found = [
        model
        for model in _models(request)
        if all(value is None or _has(model[name], value) for name, value in wanted.items())
    ]
    return {"modelSummaries": found}


def get_foundation_model(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``GetFoundationModel``."""
    return {"modelDetails": find_details(request, request.params["modelIdentifier"])}


def get_foundation_model_availability(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``GetFoundationModelAvailability``."""
    model_id = request.params["modelId"]
    info = CATALOG.get(model_id.removesuffix(":128k").removesuffix(":4k"))
    if info is None and model_id not in _TITAN:
        raise invalid("The provided model identifier is invalid.")
    here = info is None or request.region in _regions(info)
    account = request.plane.account
    if info is not None and account.lifecycle(info.model_id) == "ended":
        raise not_found("This model version has reached the end of its life.")
    state = account.model_state(model_id if info is None else info.model_id)
    return {
        "modelId": model_id,
        "agreementAvailability": {"status": state.access},
        "authorizationStatus": "AUTHORIZED" if state.authorized else "NOT_AUTHORIZED",
        "entitlementAvailability": "AVAILABLE" if state.entitled else "NOT_AVAILABLE",
        "regionAvailability": "AVAILABLE" if here else "NOT_AVAILABLE",
    }


def find_details(request: PlaneRequest, identifier: str) -> dict[str, Any]:
    """What GetFoundationModel says of a model id or ARN.

    Raises:
        ServiceError: No model of this region has it.
    """
    name = identifier.rpartition("foundation-model/")[2]
    for model in _models(request):
        if identifier in (model["modelId"], model["modelArn"]):  # an ARN names its Region
            return model
    if name in CATALOG or name.removesuffix(":128k") in CATALOG:
        raise not_found("Could not resolve the foundation model from the provided model identifier.")
    raise invalid("The provided model identifier is invalid.")


def model_arn(region: str, model_id: str) -> str:
    """The ARN of a foundation model."""
    return f"arn:{partition_of(region)}:bedrock:{region}::foundation-model/{model_id}"


def _models(request: PlaneRequest) -> list[dict[str, Any]]:
    """Every model that is offered in the region and has not ended, with its variants for customisation."""
    region, account = request.region, request.plane.account
    found = []
    for info in CATALOG.values():
        if account.lifecycle(info.model_id) == "ended":
            continue
        if region in info.regions:
            types = ["ON_DEMAND"] if region in info.direct_regions else ["INFERENCE_PROFILE"]
            found.append(_details(info, region, account, info.model_id, types, []))
        for variant in dict.fromkeys((info.fine_tuning_id, info.provisioned_id)):
            if variant is None or region not in info.fine_tuning_regions + info.provisioned_regions:
                continue
            kinds = ["FINE_TUNING"] if variant == info.fine_tuning_id else []
            kinds += ["DISTILLATION"] if kinds and info.distillation_teachers else []
            found.append(_details(info, region, account, variant, ["PROVISIONED"], kinds))
    return found + [_titan(region, model_id) for model_id in _TITAN]


def _details(
    info: ModelInfo, region: str, account: Account, model_id: str, types: list[str], customizations: list[str]
) -> dict[str, Any]:
    return {
        "modelArn": model_arn(region, model_id),
        "modelId": model_id,
        "modelName": info.name,
        "providerName": "Meta",
        "inputModalities": [name.upper() for name in info.input_modalities],
        "outputModalities": [name.upper() for name in info.output_modalities],
        "responseStreamingSupported": True,
        "customizationsSupported": customizations,
        "inferenceTypesSupported": types,
        "modelLifecycle": _lifecycle(info, account),
    }


def _lifecycle(info: ModelInfo, account: Account) -> dict[str, Any]:
    if account.lifecycle(info.model_id) == "active":
        return {"status": "ACTIVE", "startOfLifeTime": _midnight(info.released)}
    return {
        "status": "LEGACY",
        "startOfLifeTime": _midnight(info.released),
        "legacyTime": _midnight(info.legacy_since),
        "endOfLifeTime": _midnight(info.end_of_life),
    }


def _titan(region: str, model_id: str) -> dict[str, Any]:
    return {
        "modelArn": model_arn(region, model_id),
        "modelId": model_id,
        "modelName": _TITAN[model_id],
        "providerName": "Amazon",
        "inputModalities": ["TEXT"],
        "outputModalities": ["EMBEDDING"],
        "responseStreamingSupported": False,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _regions(info: ModelInfo) -> tuple[str, ...]:
    return info.regions + info.fine_tuning_regions + info.provisioned_regions


def _has(value: Any, wanted: str) -> bool:
    return wanted in value if isinstance(value, list) else str(value).lower() == wanted.lower()
