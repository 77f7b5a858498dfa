"""Tags of the account's resources."""

from __future__ import annotations

from typing import Any

from llama_bedrock.local.control_plane.plane import PlaneRequest
from llama_bedrock.local.control_plane.records import Record, not_found
from llama_bedrock.local.runtime.frames import ServiceError

_MOST_TAGS = 50  # of one resource; AWS general reference, "Tag naming limits and requirements"


def tag_resource(request: PlaneRequest) -> None:
    """Serve ``TagResource``."""
    record = _find(request)
    tags = record.tags | {tag["key"]: tag["value"] for tag in request.params["tags"]}
    if len(tags) > _MOST_TAGS:
        raise ServiceError(
            "TooManyTagsException",
            f"The resource would have {len(tags)} tags; {_MOST_TAGS} are allowed.",
            details={"resourceName": record.arn},
        )
    record.tags = tags
    request.plane.store.save(record)


def untag_resource(request: PlaneRequest) -> None:
    """Serve ``UntagResource``."""
    record = _find(request)
    record.tags = {key: value for key, value in record.tags.items() if key not in request.params["tagKeys"]}
    request.plane.store.save(record)


def list_tags_for_resource(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``ListTagsForResource``."""
    return {"tags": [{"key": key, "value": value} for key, value in _find(request).tags.items()]}


def _find(request: PlaneRequest) -> Record:
    record = request.plane.store.get(request.params["resourceARN"])
    if record is None or record.region != request.region:
        raise not_found(f"The resource {request.params['resourceARN']} could not be found.")
    return record
