"""Everything that can go wrong in a request, as OpenAI's clients know it: status, type, code, message."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from pydantic import ValidationError

from llama_bedrock.errors import (
    BedrockModelNotReadyError,
    BedrockQuotaExceededError,
    BedrockUnavailableError,
    LlamaBedrockError,
)

NOTE_FAILURE: ContextVar[Callable[[ApiError, BaseException], None] | None] = ContextVar(
    "note_failure", default=None
)
"""Writes what failed into the log, under the id of the request that is being answered."""

_DEFAULT_WAIT = 2.0  # seconds, where the service says to come back but not when
_NOT_READY_WAIT = 30.0  # an imported model takes minutes to load; clients that wait should not hurry

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

# First match wins, so subclasses stand before their bases: (class, status, code, seconds to wait).
_FAULTS: tuple[tuple[type[BaseException], int, str, float | None], ...] = (
    (ContextOverflowError, 400, "context_length_exceeded", None),
    (BedrockQuotaExceededError, 429, "insufficient_quota", None),
    (ModelRateLimitError, 429, "rate_limit_exceeded", _DEFAULT_WAIT),
    (ModelAuthenticationError, 401, "bedrock_credentials", None),
    (ModelPermissionDeniedError, 403, "model_access_denied", None),
    (ModelNotFoundError, 404, "model_not_found", None),
    (ModelInvalidRequestError, 400, "invalid_request", None),
    (BedrockModelNotReadyError, 503, "model_not_ready", _NOT_READY_WAIT),
    (BedrockUnavailableError, 503, "service_unavailable", _DEFAULT_WAIT),
    (ModelTimeoutError, 504, "timeout", None),
    (ModelConnectionError, 502, "connection_error", None),
    (ModelError, 502, "model_error", None),
    (LlamaBedrockError, 502, "model_error", None),
)


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: HTTP status.
        message: What is wrong, and what to do.
        code: Short name for programs, such as ``"context_length_exceeded"``.
        param: The field of the request that is at fault.
        hint: What to do next, where the message does not say so.
        headers: Further headers, such as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.hint = hint
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON of the answer, in OpenAI's form with a ``hint`` besides."""
        kind = _TYPES.get(self.status) or ("server_error" if self.status >= 500 else "invalid_request_error")
        error: dict[str, Any] = {
            "message": self.message,
            "type": kind,
            "param": self.param,
            "code": self.code,
        }
        if self.hint:
            error["hint"] = self.hint
        return {"error": error}


def api_error(error: BaseException) -> ApiError:
    """What a client is told of an error; what is inside a fault of our own stays in the log."""
    if isinstance(error, ApiError):
        return error
    for cls, status, code, wait in _FAULTS:
        if isinstance(error, cls):
            return _of_model(error, status, code, wait)
    if isinstance(error, ValidationError):
        return ApiError(400, "; ".join(_line(item) for item in error.errors()), code="invalid_request")
    if isinstance(error, (ValueError, ImportError)):  # both name what is wrong and what to do
        return ApiError(400 if isinstance(error, ValueError) else 501, str(error), code="invalid_request")
    return ApiError(500, "the server failed; its log says how, under this x-request-id", code="server_error")


def failure(error: BaseException) -> ApiError:
    """What a client is told of an error that ends its answer, however late; the log is told, too."""
    told = api_error(error)
    if (note := NOTE_FAILURE.get()) is not None:
        note(told, error)
    return told


def _of_model(error: BaseException, status: int, code: str, wait: float | None) -> ApiError:
    message, hint = str(error), None
    if isinstance(error, LlamaBedrockError):
        message, _, hint = message.partition("\nHint: ")
    if (
        code == "context_length_exceeded"
    ):  # langchain-openai looks for the code in the message, LiteLLM for the words
        message = f"{message} ({code}: prompt is too long)"
    asked = getattr(error, "retry_after", None)
    seconds = asked if isinstance(asked, (int, float)) else wait
    headers = {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}
    return ApiError(status, message, code=code, hint=hint or None, headers=headers)


def _line(item: Any) -> str:
    where = ".".join(str(part) for part in item.get("loc", ()))
    said = str(item.get("msg", "")).removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
