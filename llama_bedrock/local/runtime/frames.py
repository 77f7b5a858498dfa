"""Bedrock's errors and event-stream frames as the wire has them (restJson1 of botocore's service models)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from llama_bedrock.transport.eventstream import encode_frame

# HTTP status of every modelled error of bedrock-runtime, bedrock-agent-runtime and bedrock-agent, and of the
# unmodelled ones that AWS front ends give (authentication, unknown operation).
STATUS: Mapping[str, int] = {
    "AccessDeniedException": 403,
    "BadGatewayException": 502,
    "ConflictException": 409,
    "DependencyFailedException": 424,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InternalServerException": 500,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
    "ValidationException": 400,
}

_UNEXPECTED = "The system encountered an unexpected error during processing. Try your request again."

# What a fault says when it is given no text of its own.
DEFAULT_MESSAGES: Mapping[str, str] = {
    "AccessDeniedException": "You don't have access to the model with the specified model ID.",
    "BadGatewayException": "A dependency returned an invalid response.",
    "ConflictException": "The operation conflicts with another one in progress.",
    "DependencyFailedException": "A dependency of the request failed.",
    "ExpiredTokenException": "The security token included in the request is expired",
    "InternalServerException": _UNEXPECTED,
    "ModelErrorException": _UNEXPECTED,
    "ModelNotReadyException": "Model is not ready for inference. Wait and try your request again.",
    "ModelStreamErrorException": _UNEXPECTED,
    "ModelTimeoutException": "Model has timed out in processing the request. Try your request again.",
    "ResourceNotFoundException": "Could not resolve the foundation model from the provided model identifier.",
    "ServiceQuotaExceededException": "Your request exceeds the service quota for your account.",
    "ServiceUnavailableException": "Bedrock is unable to process your request.",
    "ThrottlingException": "Too many requests, please wait before trying again.",
    "ValidationException": "The provided request is not valid",
}


_CORAL = "http://internal.amazon.com/coral/com.amazon.bedrock/"


class ServiceError(Exception):
    """An error the caller gets as Bedrock would give it.

    Args:
        code: Name of the exception, such as ``"ValidationException"``.
        message: Its text; a default one for the known codes if empty.
        status: HTTP status; that of the code if None.
        headers: Further response headers, such as ``Retry-After``.
        details: Further members of the body, such as ``originalStatusCode``.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.code = code
        self.message = message or DEFAULT_MESSAGES.get(code, "An error occurred.")
        self.status = STATUS.get(code, 400) if status is None else status
        self.headers = dict(headers or {})
        self.details = dict(details or {})
        super().__init__(f"{code}: {self.message}")


def invalid(message: str) -> ServiceError:
    """A ``ValidationException`` with this text."""
    return ServiceError("ValidationException", message)


def constraint_error(member: str, value: str, constraint: str) -> ServiceError:
    """The ``ValidationException`` of AWS's own shape checks, before the service sees the request."""
    at = f"Value '{value}' at '{member}'" if value else f"Value at '{member}'"
    return invalid(f"1 validation error detected: {at} failed to satisfy constraint: {constraint}")


@contextmanager
def shapes_checked() -> Iterator[None]:
    """Turn what Python says to a body of the wrong shape into what the service says.

    Only around code that reads a body: elsewhere it would hide mistakes of ours.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        raise ServiceError(
            "SerializationException", "The request body has members of the wrong type.", status=400
        ) from error


def error_members(error: ServiceError, request_id: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and members of the body of an error before the stream."""
    headers = {
        "x-amzn-RequestId": request_id,
        "x-amzn-ErrorType": f"{error.code}:{_CORAL}",
        **error.headers,
    }
    return headers, {"message": error.message, **error.details}


def event_frame(event_type: str, payload: Mapping[str, Any]) -> bytes:
    """One modelled event of a stream, with a JSON payload."""
    return encode_frame(_event_headers(event_type), json.dumps(payload).encode())


def chunk_frame(body: bytes) -> bytes:
    """The ``chunk`` event of ``InvokeModelWithResponseStream``: the model's own JSON, in base64."""
    return encode_frame(_CHUNK_HEADERS, b'{"bytes":"' + base64.b64encode(body) + b'"}')


def exception_frame(error: ServiceError) -> bytes:
    """A modelled exception inside a stream; its type is the exception's name with a lower first letter."""
    headers = {
        ":exception-type": error.code[0].lower() + error.code[1:],
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode_frame(headers, json.dumps({"message": error.message, **error.details}).encode())


def error_frame(error: ServiceError) -> bytes:
    """An unmodelled error inside a stream: no payload, code and text in the headers."""
    headers = {":message-type": "error", ":error-code": error.code, ":error-message": error.message}
    return encode_frame(headers, b"")


def _event_headers(event_type: str) -> dict[str, str]:
    return {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}


_CHUNK_HEADERS = _event_headers("chunk")
