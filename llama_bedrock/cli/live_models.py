"""What `models --live` shows: all that an account can call in a Region, of its six lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_bedrock.catalog import ModelInfo


@dataclass(frozen=True, slots=True)
class LiveModel:
    """Something that can be called, or could be.

    Attributes:
        kind: ``"model"``, ``"profile"``, ``"imported"``, ``"custom"``, ``"deployment"`` or ``"provisioned"``.
        model: What to give as ``model=``.
        name: Its name for people.
        state: As AWS says it.
        facts: What the catalogue knows of it, or of what it was made from; None where AWS hides that.
    """

    kind: str
    model: str
    name: str
    state: str
    facts: ModelInfo | None = None

    def to_dict(self, region: str) -> dict[str, Any]:
        """The model as JSON-able values, with the catalogue's context, price and end where it has them."""
        info, own = self.facts, {name: getattr(self, name) for name in ("kind", "model", "name", "state")}
        if info is None:
            return own
        price = info.price_in(region) if self.kind in ("model", "profile") else None
        return {
            **own,
            "catalogue_id": info.model_id,
            "context_window": info.context_window,
            "max_input_tokens": info.max_input_tokens,
            "max_output_tokens": info.max_output_tokens,
            "input_modalities": info.input_modalities,
            "price": None if price is None else {"input": price.input, "output": price.output},
            "end_of_life": info.end_of_life,
        }


# Where an entry says what it was made from, or what it is.
_BASES = ("foundationModelArn", "baseModelArn", "modelArn", "modelId", "inferenceProfileId")

# Kind → operation, its arguments, the list in its answer, and the keys of id, name and state in an entry.
_LISTS: dict[str, tuple[str, dict[str, Any], str, str, str, str]] = {
    "model": (
        "list_foundation_models",
        {"byProvider": "Meta"},
        "modelSummaries",
        "modelId",
        "modelName",
        "modelLifecycle",
    ),
    "profile": (
        "list_inference_profiles",
        {},
        "inferenceProfileSummaries",
        "inferenceProfileId",
        "inferenceProfileName",
        "status",
    ),
    "imported": ("list_imported_models", {}, "modelSummaries", "modelArn", "modelName", "modelArchitecture"),
    "custom": ("list_custom_models", {}, "modelSummaries", "modelArn", "modelName", "modelStatus"),
    "deployment": (
        "list_custom_model_deployments",
        {},
        "modelDeploymentSummaries",
        "customModelDeploymentArn",
        "customModelDeploymentName",
        "status",
    ),
    "provisioned": (
        "list_provisioned_model_throughputs",
        {},
        "provisionedModelSummaries",
        "provisionedModelArn",
        "provisionedModelName",
        "status",
    ),
}


def live_models(client: Any) -> tuple[list[LiveModel], list[str]]:
    """List what the account has; also lines about the lists that AWS did not give.

    Args:
        client: A boto3 client of `bedrock`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from llama_bedrock.cli.aws_checks import meaning

    found: list[LiveModel] = []
    missing: list[str] = []
    for kind, (operation, given, entries, key, name, state) in _LISTS.items():
        try:
            for page in _pages(client, operation, given):
                found += [
                    LiveModel(
                        kind,
                        str(entry.get(key, "")),
                        str(entry.get(name, "")),
                        _state(entry.get(state)),
                        _facts(entry),
                    )
                    for entry in page.get(entries, ())
                    if kind != "profile" or any("meta." in model["modelArn"] for model in entry["models"])
                ]
        except (ClientError, BotoCoreError) as error:
            missing.append(f"{kind}: {meaning(error)}")
    return found, missing


def _facts(entry: Mapping[str, Any]) -> ModelInfo | None:
    from llama_bedrock.catalog import resolve_model

    for key in _BASES:
        if key in entry:
            try:
                info = resolve_model(str(entry[key])).info
            except ValueError:  # an ARN that hides the model, or a model that is newer than the catalogue
                continue
            if info is not None:
                return info
    return None


def _pages(client: Any, operation: str, given: dict[str, Any]) -> Any:
    if client.can_paginate(operation):
        return client.get_paginator(operation).paginate(**given)
    return [getattr(client, operation)(**given)]


def _state(value: Any) -> str:
    return str(value.get("status", "")) if isinstance(value, dict) else str(value or "")
