"""Inference profiles: those of the catalogue, and application profiles that the account makes."""

from __future__ import annotations

from typing import Any

from llama_bedrock.catalog import CATALOG
from llama_bedrock.local.control_plane.foundation_models import find_details, model_arn
from llama_bedrock.local.control_plane.plane import PlaneRequest
from llama_bedrock.local.control_plane.records import cut_page, not_found
from llama_bedrock.local.runtime.frames import invalid

KIND = "application-inference-profile"
_SYSTEM = "inference-profile"
_SINCE = "2024-08-27T00:00:00+00:00"  # cross-region inference became available


def list_inference_profiles(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``ListInferenceProfiles``."""
    wanted = request.params.get("typeEquals") or "SYSTEM_DEFINED"
    if wanted == "SYSTEM_DEFINED":
        found = system_profiles(request)
    else:
        found = [record.data for record in request.plane.store.all(KIND, request.region)]
    size = request.params.get("maxResults") or 100
    page, token = cut_page(found, request.params, lambda one: one["inferenceProfileId"], size)
    return {"inferenceProfileSummaries": page, "nextToken": token}


def get_inference_profile(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``GetInferenceProfile``."""
    return find_profile(request, request.params["inferenceProfileIdentifier"])


def create_inference_profile(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``CreateInferenceProfile``."""
    params = request.params
    source, name = params["modelSource"]["copyFrom"], params["inferenceProfileName"]
    if f":{_SYSTEM}/" in source:
        models = find_profile(request, source)["models"]
    else:
        details = find_details(request, source)
        if details["inferenceTypesSupported"] != ["ON_DEMAND"]:
            raise invalid(f"The model {details['modelId']} has no on-demand throughput in {request.region}.")
        models = [{"modelArn": details["modelArn"]}]
    request.check_free(KIND, name)
    now = request.plane.now()
    data = {
        "inferenceProfileName": name,
        **request.given("description"),
        "createdAt": now,
        "updatedAt": now,
        "models": models,
        "status": "ACTIVE",
        "type": "APPLICATION",
    }
    members = {"arn_member": "inferenceProfileArn", "id_member": "inferenceProfileId"}
    return request.create(KIND, name, data, tags=params.get("tags", ()), **members).data


def delete_inference_profile(request: PlaneRequest) -> None:
    """Serve ``DeleteInferenceProfile``."""
    identifier = request.params["inferenceProfileIdentifier"]
    if any(
        identifier in (p["inferenceProfileId"], p["inferenceProfileArn"]) for p in system_profiles(request)
    ):
        raise invalid("System-defined inference profiles cannot be deleted.")
    request.plane.store.delete(request.find(KIND, identifier))


def find_profile(request: PlaneRequest, identifier: str) -> dict[str, Any]:
    """What GetInferenceProfile says of an id or ARN.

    Raises:
        ServiceError: There is none, in this region.
    """
    for profile in system_profiles(request):
        if identifier in (profile["inferenceProfileId"], profile["inferenceProfileArn"]):
            return profile
    record = request.plane.store.find(KIND, request.region, identifier)
    if record is None:
        raise not_found(f"The inference profile {identifier} could not be found.")
    return record.data


def system_profiles(request: PlaneRequest) -> list[dict[str, Any]]:
    """The geo profiles that can be called from the region, by id."""
    found = []
    for info in CATALOG.values():
        if request.plane.account.lifecycle(info.model_id) == "ended":
            continue
        for geo, sources in info.profiles.items():
            if request.region not in sources:
                continue
            profile_id = f"{geo}.{info.model_id}"
            where = sources[request.region]
            found.append(
                {
                    "inferenceProfileName": f"{geo.upper()} Meta {info.name}",
                    "description": f"Routes requests to Meta {info.name} in {', '.join(where)}.",
                    "createdAt": _SINCE,
                    "updatedAt": _SINCE,
                    "inferenceProfileArn": request.plane.arn(request.region, f"{_SYSTEM}/{profile_id}"),
                    "models": [{"modelArn": model_arn(region, info.model_id)} for region in where],
                    "inferenceProfileId": profile_id,
                    "status": "ACTIVE",
                    "type": "SYSTEM_DEFINED",
                }
            )
    return found
