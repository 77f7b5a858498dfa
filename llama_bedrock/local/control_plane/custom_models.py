"""The models that customisation jobs and copies give."""

from __future__ import annotations

from typing import Any

from llama_bedrock.local.control_plane.plane import PlaneRequest

MODEL = "custom-model"


def list_custom_models(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``ListCustomModels``."""
    if request.params.get("isOwned") is False:  # shared with the account by others: there are none
        return {"modelSummaries": []}
    return request.page(MODEL, "modelSummaries")


def delete_custom_model(request: PlaneRequest) -> None:
    """Serve ``DeleteCustomModel``."""
    record = request.find(MODEL, request.params["modelIdentifier"])
    store = request.plane.store
    for kind in ("custom-model-deployment", "provisioned-model"):
        users = [one.name for one in store.all(kind) if one.data.get("modelArn") == record.arn]
        if users:
            raise request.conflict(
                f"The model {record.name} is used by the {kind} {users[0]}: delete it first."
            )
    store.delete(record)
