"""What all resources have alike: Get and List, and Create that a client's token makes only once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_bedrock.local.control_plane.plane import PlaneRequest

_KINDS: Mapping[str, str] = {
    "CustomModel": "custom-model",
    "CustomModelDeployment": "custom-model-deployment",
    "ImportedModel": "imported-model",
    "InferenceProfile": "application-inference-profile",
    "ModelCopyJob": "model-copy-job",
    "ModelCustomizationJob": "model-customization-job",
    "ModelImportJob": "model-import-job",
    "ModelInvocationJob": "model-invocation-job",
    "ProvisionedModelThroughput": "provisioned-model",
}


def plain_handler(operation: str) -> Callable[[PlaneRequest], dict[str, Any]] | None:
    """What serves a Get or List operation that does nothing but that; None for all others.

    Args:
        operation: The operation's name, such as ``"ListModelImportJobs"``.
    """
    named = re.fullmatch(r"(?:(Get)|List)(.+?)s?", operation)
    kind = _KINDS.get(named[2]) if named else None
    if named is None or kind is None:
        return None

    def get(request: PlaneRequest) -> dict[str, Any]:
        (identifier,) = request.operation.model.input_shape.required_members
        return request.find(kind, request.params[identifier]).data

    def page(request: PlaneRequest) -> dict[str, Any]:
        members = request.operation.model.output_shape.members.items()
        return request.page(kind, next(name for name, shape in members if shape.type_name == "list"))

    return get if named[1] else page


def made_before(request: PlaneRequest) -> dict[str, Any] | None:
    """What the same Create request, by its client's token, has made before.

    Raises:
        ServiceError: The token came with another request before.
    """
    kind = _KINDS.get(request.operation.name.removeprefix("Create"))
    earlier = None if kind is None else request.earlier(kind)
    return None if earlier is None else earlier.data
