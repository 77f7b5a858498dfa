"""What requests carry, read and refused with the name of what is wrong."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from llama_bedrock.app.http_errors import ApiError


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        ApiError: There is none.
    """
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from error
    if not isinstance(value, dict):
        raise ApiError(400, "the body must be a JSON object", code="invalid_json")
    return value


def text_field(values: Any, name: str, *, longest: int = 100_000) -> str:
    """A text that must be there.

    Args:
        values: The JSON object, or the query parameters.
        name: Of the field.
        longest: Most characters.

    Raises:
        ApiError: It is missing, no text, empty or too long.
    """
    value = values.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ApiError(400, f"{name} is missing: give a text", param=name, code="invalid_request")
    if len(value) > longest:
        message = f"{name} has {len(value):,} characters; at most {longest:,} are taken"
        raise ApiError(400, message, param=name, code="too_long")
    return value


def optional_text(values: Any, name: str) -> str | None:
    """A text, or None where it is missing or null.

    Raises:
        ApiError: It is something else.
    """
    return None if values.get(name) is None else text_field(values, name)
