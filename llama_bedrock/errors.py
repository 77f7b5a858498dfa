"""Everything that can go wrong with the service, as one tree.

Each class is also one of LangChain's typed model errors (in brackets), so `with_retry`, `with_fallbacks` and
`ModelRetryMiddleware` act rightly; where the service answered, it is botocore's `ClientError` too, with its
`.response`, so existing `except ClientError` code keeps working.

    LlamaBedrockError
    ├── BedrockResponseError               ClientError            the service answered with an error
    │   ├── BedrockAuthenticationError     [ModelAuthenticationError]    signature, token or key not accepted
    │   ├── BedrockAccessDeniedError       [ModelPermissionDeniedError]  AccessDeniedException
    │   ├── BedrockNotFoundError           [ModelNotFoundError]          ResourceNotFoundException
    │   ├── BedrockValidationError         [ModelInvalidRequestError]    Validation-, ConflictException
    │   │   └── BedrockContextOverflowError  [ContextOverflowError]      the prompt is longer than the window
    │   ├── BedrockThrottlingError         [ModelRateLimitError]         ThrottlingException
    │   │   └── BedrockQuotaExceededError  (not retryable)               ServiceQuotaExceededException
    │   ├── BedrockModelNotReadyError      [ModelAPIError]               ModelNotReadyException
    │   ├── BedrockModelError              [ModelAPIError]               ModelErrorException
    │   ├── BedrockModelStreamError        and BedrockStreamError        ModelStreamErrorException
    │   ├── BedrockModelTimeoutError       and BedrockTimeoutError       ModelTimeoutException
    │   └── BedrockServiceError            [ModelAPIError]               InternalServer-, BadGateway-,
    │       │                                                            DependencyFailedException
    │       └── BedrockUnavailableError                                  ServiceUnavailableException
    ├── BedrockCredentialsError            [ModelAuthenticationError]    none found, or not refreshable
    ├── BedrockConnectionError             [ModelConnectionError]        DNS, refused, reset, TLS, proxy
    ├── BedrockTimeoutError                [ModelTimeoutError]           one of the caller's deadlines passed
    └── BedrockStreamError                 [ModelAPIError]               an answer broken off or damaged

Mistakes of the caller that are found before anything is sent are `ValueError` or `TypeError`, not these.
All survive pickle and `copy`. The codes are those of botocore's service models of `bedrock-runtime` and
`bedrock-agent-runtime`; a test walks both and fails when one is not mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError  # 4 ms, no service model, no HTTP: cheap enough for import time
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

__all__ = [
    "BedrockAccessDeniedError",
    "BedrockAuthenticationError",
    "BedrockConnectionError",
    "BedrockContextOverflowError",
    "BedrockCredentialsError",
    "BedrockModelError",
    "BedrockModelNotReadyError",
    "BedrockModelStreamError",
    "BedrockModelTimeoutError",
    "BedrockNotFoundError",
    "BedrockQuotaExceededError",
    "BedrockResponseError",
    "BedrockServiceError",
    "BedrockStreamError",
    "BedrockThrottlingError",
    "BedrockTimeoutError",
    "BedrockUnavailableError",
    "BedrockValidationError",
    "LlamaBedrockError",
    "error_class",
]


class LlamaBedrockError(Exception):
    """Root of all failures of the service and of the way to it.

    Args:
        message: What happened, one sentence.
        model_id: The model id or ARN that was called, if a model was.
        region: The AWS region that was called.
        request_id: The request id of AWS, to quote in a support case.
        hint: What to do next.
        partial_text: The answer as far as it had come when a stream broke.
        is_retryable: Whether the same request may succeed later; the class's own answer when omitted.

    Attributes:
        retries: Attempts of the call before the one that ended in this error.
        throttles: Attempts that were throttled, the last one included.
        fallbacks: Models and regions that were given up before; their attempts are counted, too.
    """

    is_retryable: bool = False
    retries: int = 0
    throttles: int = 0
    fallbacks: int = 0

    def __init__(
        self,
        message: str = "",
        *,
        model_id: str | None = None,
        region: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
        partial_text: str = "",
        is_retryable: bool | None = None,
    ) -> None:
        Exception.__init__(self, message)  # past ClientError, which wants other arguments
        self.message = message
        self.model_id = model_id
        self.region = region
        self.request_id = request_id
        self.hint = hint
        self.partial_text = partial_text
        if is_retryable is not None:
            self.is_retryable = is_retryable

    def __str__(self) -> str:
        where = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("model", self.model_id),
                ("region", self.region),
                ("request id", self.request_id),
            )
            if value
        )
        text = f"{self.message} ({where})" if where else self.message
        return f"{text}\nHint: {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__.copy())


def described(error: LlamaBedrockError) -> dict[str, str | None]:
    """Which call failed how, as fields of a log record (`logging`'s ``extra``)."""
    return {
        "error_type": type(error).__name__,
        "model_id": error.model_id,
        "region": error.region,
        "request_id": error.request_id,
    }


def _rebuild(cls: type[LlamaBedrockError], state: dict[str, Any]) -> LlamaBedrockError:
    """Restore a pickled error: its state, without running the constructor of the class."""
    error = cls.__new__(cls, state.get("message", ""))
    error.args = (state.get("message", ""),)
    error.__dict__.update(state)
    return error


class BedrockResponseError(LlamaBedrockError, ClientError):  # type: ignore[misc]  # botocore is untyped
    """The service answered with an error.

    Args:
        message: The service's own words.
        response: botocore's error response: `Error` with `Code` and `Message`, `ResponseMetadata`, and the
            modelled fields of the error. Made from `message` and the class's code when omitted.
        operation_name: The API operation, such as `"InvokeModel"`.
        details: The keyword arguments of `LlamaBedrockError`.
    """

    code: str = "InternalServerException"

    def __init__(
        self,
        message: str = "",
        *,
        response: Mapping[str, Any] | None = None,
        operation_name: str = "InvokeModel",
        **details: Any,
    ) -> None:
        answer: dict[str, Any] = dict(response or {})
        answer.setdefault("Error", {"Code": self.code, "Message": message})
        answer.setdefault("ResponseMetadata", {})
        code = answer["Error"].get("Code") or self.code
        details.setdefault("request_id", answer["ResponseMetadata"].get("RequestId"))
        text = f"An error occurred ({code}) when calling the {operation_name} operation: {message}"
        LlamaBedrockError.__init__(self, text, **details)
        self.response = answer
        self.operation_name = operation_name

    @property
    def status_code(self) -> int | None:
        """HTTP status of the answer; None for an error inside a stream."""
        status = self.response["ResponseMetadata"].get("HTTPStatusCode")
        return int(status) if status else None

    @property
    def retry_after(self) -> float | None:
        """Seconds the service asked to wait (header `Retry-After`), if it did."""
        headers = self.response["ResponseMetadata"].get("HTTPHeaders") or {}
        try:
            seconds = float(headers.get("retry-after", ""))
        except ValueError:  # absent, or an HTTP date: AWS sends seconds
            return None
        return seconds if seconds >= 0 else None

    def __reduce__(self) -> tuple[Any, ...]:
        return LlamaBedrockError.__reduce__(self)  # not ClientError's, which forgets the class


class BedrockAuthenticationError(ModelAuthenticationError, BedrockResponseError):
    """The credentials were not accepted: unknown key, expired token, wrong signature."""

    code = "UnrecognizedClientException"


class BedrockAccessDeniedError(ModelPermissionDeniedError, BedrockResponseError):
    """The credentials are good but may not call this model."""

    code = "AccessDeniedException"


class BedrockNotFoundError(ModelNotFoundError, BedrockResponseError):
    """No such model, profile or knowledge base in this region, or a model past its end of life."""

    code = "ResourceNotFoundException"


class BedrockValidationError(ModelInvalidRequestError, BedrockResponseError):
    """The service refuses the request as it stands."""

    code = "ValidationException"


class BedrockContextOverflowError(ContextOverflowError, BedrockValidationError):
    """The prompt, or prompt and answer together, do not fit in the model's window.

    `limit` and `requested` hold the numbers of tokens where the service names them.
    """

    limit: int | None = None
    requested: int | None = None


class BedrockThrottlingError(ModelRateLimitError, BedrockResponseError):
    """Too many requests or tokens for the account's quota."""

    code = "ThrottlingException"


class BedrockQuotaExceededError(BedrockThrottlingError):
    """A service quota is used up; waiting some seconds does not help."""

    code = "ServiceQuotaExceededException"
    is_retryable = False


class BedrockModelNotReadyError(ModelAPIError, BedrockResponseError):
    """An imported model was evicted and is being restored; that can take some minutes."""

    code = "ModelNotReadyException"


class BedrockModelError(ModelAPIError, BedrockResponseError):
    """The model itself failed; `.response["originalStatusCode"]` tells how."""

    code = "ModelErrorException"


class BedrockServiceError(ModelAPIError, BedrockResponseError):
    """A fault inside the service."""

    code = "InternalServerException"


class BedrockUnavailableError(BedrockServiceError):
    """The service, or its capacity for this model in this region, is not available now."""

    code = "ServiceUnavailableException"


class BedrockCredentialsError(ModelAuthenticationError, LlamaBedrockError):
    """No AWS credentials were found, or they could not be refreshed. Nothing was sent."""


class BedrockConnectionError(ModelConnectionError, LlamaBedrockError):
    """The endpoint could not be reached, or the connection broke before an answer."""


class BedrockTimeoutError(ModelTimeoutError, LlamaBedrockError):
    """A deadline of the caller's `Timeout` passed; `.deadline` is its name."""

    deadline: str | None = None


class BedrockModelTimeoutError(BedrockTimeoutError, BedrockResponseError):
    """The model took longer than the service allows."""

    code = "ModelTimeoutException"


class BedrockStreamError(ModelAPIError, LlamaBedrockError):
    """A streamed answer is damaged or ended before its last chunk; `.partial_text` is what had come."""


class BedrockModelStreamError(BedrockStreamError, BedrockResponseError):
    """The service reports a failure in the middle of an answer."""

    code = "ModelStreamErrorException"


_CLASSES: dict[str, type[BedrockResponseError]] = {
    cls.code.lower(): cls
    for cls in (
        BedrockAuthenticationError,
        BedrockAccessDeniedError,
        BedrockNotFoundError,
        BedrockValidationError,
        BedrockThrottlingError,
        BedrockQuotaExceededError,
        BedrockModelNotReadyError,
        BedrockModelError,
        BedrockModelStreamError,
        BedrockModelTimeoutError,
        BedrockServiceError,
        BedrockUnavailableError,
    )
} | {
    "badgatewayexception": BedrockServiceError,
    "conflictexception": BedrockValidationError,
    "dependencyfailedexception": BedrockServiceError,
}

# Codes of AWS's front door, common to all services, which no service model lists.
# https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html and botocore's retry tables.
for _names, _class in (
    (
        "expiredtoken expiredtokenexception incompletesignature incompletesignatureexception "
        "invalidclienttokenid invalidsignatureexception missingauthenticationtoken "
        "missingauthenticationtokenexception requestexpired signaturedoesnotmatch unauthorizedexception",
        BedrockAuthenticationError,
    ),
    ("accessdenied notauthorized optinrequired forbiddenexception", BedrockAccessDeniedError),
    ("unknownoperationexception notfoundexception", BedrockNotFoundError),
    ("malformedhttprequestexception serializationexception validationerror", BedrockValidationError),
    (
        "limitexceededexception requestlimitexceeded requestthrottled requestthrottledexception slowdown "
        "throttledexception throttling toomanyrequestsexception",
        BedrockThrottlingError,
    ),
    ("internalfailure internalservererror", BedrockServiceError),
    ("serviceunavailable", BedrockUnavailableError),
):
    _CLASSES.update(dict.fromkeys(_names.split(), _class))

_BY_STATUS: dict[int, type[BedrockResponseError]] = {
    401: BedrockAuthenticationError,
    403: BedrockAccessDeniedError,
    404: BedrockNotFoundError,
    408: BedrockModelTimeoutError,
    424: BedrockModelError,
    429: BedrockThrottlingError,
    503: BedrockUnavailableError,
}


def error_class(code: str, status: int | None = None) -> type[BedrockResponseError]:
    """Return the class for an error of the service.

    Args:
        code: The error code in any capitals: `ThrottlingException` before a stream, `throttlingException`
            inside it.
        status: HTTP status, which decides where the code is not known.
    """
    known = _CLASSES.get(code.lower())
    if known is not None:
        return known
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return BedrockValidationError if status is not None and 400 <= status < 500 else BedrockServiceError
