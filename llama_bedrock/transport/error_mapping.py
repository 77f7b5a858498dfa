"""What went wrong, as one error of `llama_bedrock.errors`: the only mapping there is.

It reads HTTP error answers, exception frames inside a stream and network errors, of botocore, urllib3 and
aiohttp alike. The service's code decides; its text is read for context overflow only ("Too many tokens,
please wait" is throttling, whatever its words).
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from json import loads
from traceback import clear_frames
from typing import Any

from llama_bedrock.errors import (
    BedrockConnectionError,
    BedrockContextOverflowError,
    BedrockCredentialsError,
    BedrockModelError,
    BedrockResponseError,
    BedrockStreamError,
    BedrockThrottlingError,
    BedrockTimeoutError,
    BedrockValidationError,
    LlamaBedrockError,
    error_class,
)
from llama_bedrock.transport import hints
from llama_bedrock.transport.connection import without_password

# The wordings of an overflow: public error tables and issues, facts §3.5. Groups: requested tokens, limit.
_OVERFLOW = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"Prompt contains (?P<requested>\d+) tokens.*?with (?P<limit>\d+) maximum context length",
        r"maximum context length is ?(?P<limit>\d+) tokens",
        r"Max input tokens\D*(?P<limit>\d+).*?count\D*(?P<requested>\d+)",
        r"expected maxLength\D*(?P<limit_characters>\d+).*?actual\D*(?P<requested_characters>\d+)",
        r"Input is too long",
        r"exceeds the model limit of (?P<limit>\d+)",
    )
)
_RETRYABLE_ORIGINAL_STATUS = frozenset({408, 429, 500, 502, 503, 504})


def forget_variables(error: BaseException) -> None:
    """Empty the frames that an error has come through: what signs and sends holds keys in its variables.

    Reports of errors show them (rich's tracebacks, Sentry's events), with those of the libraries below.
    """
    seen: set[int] = set()
    below: BaseException | None = error
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        clear_frames(below.__traceback__)
        below = below.__cause__ or below.__context__


@dataclass(frozen=True, slots=True)
class CallContext:
    """Which call it was.

    Args:
        operation: API operation, such as `InvokeModel`.
        model_id: Model id or ARN; None for operations that call no model.
        region: AWS region.
        endpoint_url: The endpoint that was called.
        retries: Attempts of the same call before this one.
        throttles: Those of them that were throttled.
    """

    operation: str
    model_id: str | None = None
    region: str | None = None
    endpoint_url: str | None = field(default=None, repr=False)  # may hold a password
    retries: int = 0
    throttles: int = 0

    def tried(self) -> dict[str, int]:
        """The failed attempts before this one, by the names of `response_metadata`; empty without any."""
        counts = {"retries": self.retries, "throttles": self.throttles}
        return {name: count for name, count in counts.items() if count}

    def after(self, error: LlamaBedrockError) -> CallContext:
        """The context of the next attempt of the same call."""
        return replace(self, retries=self.retries + 1, throttles=self.throttles + _is_throttle(error))

    def ended_by(self, error: LlamaBedrockError) -> None:
        """Write on the error how often the call was tried."""
        error.retries = self.retries
        error.throttles = self.throttles + _is_throttle(error)

    def from_response(self, response: Mapping[str, Any]) -> BedrockResponseError:
        """Return the error for botocore's parsed error answer."""
        error = response.get("Error", {})
        # Some front doors prefix the code with a namespace or append a URL.
        code = str(error.get("Code") or "").rsplit("#", 1)[-1].split(":", 1)[0]
        message = str(error.get("Message") or response.get("message") or "")
        cls = error_class(code, response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
        overflow = _overflow(message) if cls is BedrockValidationError else None
        retryable = None
        if overflow is not None:
            cls = BedrockContextOverflowError
        elif issubclass(cls, BedrockModelError):
            original = response.get("originalStatusCode")
            retryable = original is None or original in _RETRYABLE_ORIGINAL_STATUS
        result = cls(
            message,
            response=response,
            operation_name=self.operation,
            hint=hints.for_response(cls, message, self.model_id, self.region),
            is_retryable=retryable,
            **self._where(),
        )
        if overflow is not None and isinstance(result, BedrockContextOverflowError):
            result.limit, result.requested = overflow
        return result

    def from_http(self, status: int, headers: Mapping[str, str], body: bytes) -> BedrockResponseError:
        """Return the error for an HTTP error answer of a REST-JSON service.

        Args:
            status: HTTP status.
            headers: HTTP headers, their names in lower case.
            body: The whole body.
        """
        fields = json_object(body) or {}
        code = headers.get("x-amzn-errortype") or fields.get("__type") or fields.get("code") or str(status)
        message = fields.pop("message", None) or fields.pop("Message", None)
        if message is None:
            message = "" if fields else body[:500].decode("utf-8", "replace").strip()
        metadata = {
            "RequestId": headers.get("x-amzn-requestid"),
            "HTTPStatusCode": status,
            "HTTPHeaders": dict(headers),
            "RetryAttempts": 0,
        }
        code = str(code).rsplit("#", 1)[-1].split(":", 1)[0]
        error = {"Code": code, "Message": str(message)}
        return self.from_response({**fields, "Error": error, "ResponseMetadata": metadata})

    def from_frame(
        self, frame_headers: Mapping[str, Any], payload: bytes, headers: Mapping[str, str]
    ) -> BedrockResponseError:
        """Return the error for an exception or error frame inside a stream."""
        fields = json_object(payload) or {}
        code = frame_headers.get(":exception-type") or frame_headers.get(":error-code") or "InternalFailure"
        message = fields.pop("message", None) or fields.pop("Message", None)
        message = message or frame_headers.get(":error-message") or fields.get("originalMessage") or ""
        metadata = {"RequestId": headers.get("x-amzn-requestid"), "HTTPHeaders": dict(headers)}
        error = {"Code": code, "Message": message}
        return self.from_response({**fields, "Error": error, "ResponseMetadata": metadata})

    def from_exception(self, error: BaseException) -> LlamaBedrockError | None:
        """Return the error for an exception of botocore, urllib3, aiohttp or the operating system.

        None means it is none of the service's faults, such as a mistake in the caller's arguments.
        """
        if isinstance(error, LlamaBedrockError):
            return error
        response = getattr(error, "response", None)
        if isinstance(response, Mapping) and "Error" in response:
            if getattr(error, "operation_name", self.operation) != self.operation:
                return self.no_credentials(error)  # another operation of boto3's own, such as AssumeRole
            return self.from_response(response)
        if isinstance(error, RecursionError):
            return self.damaged("the answer cannot be read: its JSON is nested too deeply", {})
        if isinstance(error, DamagedAnswerError):
            return self.damaged(str(error), {})
        names = {cls.__name__ for cls in type(error).__mro__}
        if names & _CREDENTIAL_ERRORS:
            return self.no_credentials(error)
        if names & _CONNECT_TIMEOUTS:
            return self.timed_out("connect")
        if names & _READ_TIMEOUTS:
            return self.timed_out("first_token")
        if isinstance(error, OSError) or names & _CONNECTION_ERRORS:
            return self._unreachable(error)
        return None

    def no_credentials(self, error: BaseException) -> LlamaBedrockError:
        """Return the error for credentials that cannot be had."""
        text = str(error) or type(error).__name__
        return self._build(
            BedrockCredentialsError, f"no credentials for {self.operation}: {text}", hints.CREDENTIALS
        )

    def timed_out(self, deadline: str, seconds: float | None = None) -> BedrockTimeoutError:
        """Return the error for a deadline that passed; `deadline` is its name in `Timeout`."""
        limit = f" of {seconds:g} s" if seconds is not None else ""
        error = self._build(
            BedrockTimeoutError,
            f"{self.operation} passed its deadline {deadline!r}{limit}",
            hints.deadline(deadline),
        )
        assert isinstance(error, BedrockTimeoutError)
        error.deadline = deadline
        return error

    def damaged(self, what: str, headers: Mapping[str, str]) -> BedrockStreamError:
        """Return the error for an answer that came but cannot be used as it is."""
        return BedrockStreamError(
            f"{self.operation}: {what}", request_id=headers.get("x-amzn-requestid"), **self._where()
        )

    def too_long(self, max_response_mb: float) -> BedrockStreamError:
        """Return the error for an answer longer than the caller takes."""
        return BedrockStreamError(
            f"{self.operation}: the answer is longer than max_response_mb={max_response_mb:g}",
            hint="ask for fewer tokens (max_tokens), or raise max_response_mb",
            is_retryable=False,
            **self._where(),
        )

    def broken_off(self, error: BaseException) -> BedrockStreamError:
        """Return the error for a connection lost in the middle of an answer."""
        return BedrockStreamError(
            f"{self.operation}: the connection broke before the answer was complete: {_describe(error)}",
            **self._where(),
        )

    def _unreachable(self, error: BaseException) -> LlamaBedrockError:
        cause = _root(error)
        target = without_password(self.endpoint_url) if self.endpoint_url else "the endpoint"
        if isinstance(cause, socket.gaierror) or _any_named(error, "ClientConnectorDNSError"):
            text = f"cannot resolve the host of {target}"
            return self._build(BedrockConnectionError, text, hints.dns(self.region), is_retryable=False)
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = f"the certificate of {target} is not trusted: {_describe(cause)}"
            return self._build(BedrockConnectionError, text, hints.CERTIFICATE, is_retryable=False)
        hint = hints.REFUSED if isinstance(cause, ConnectionRefusedError) else None
        return self._build(BedrockConnectionError, f"cannot talk to {target}: {_describe(cause)}", hint)

    def _build(
        self, cls: type[LlamaBedrockError], message: str, hint: str | None, is_retryable: bool | None = None
    ) -> LlamaBedrockError:
        return cls(message, hint=hint, is_retryable=is_retryable, **self._where())

    def _where(self) -> dict[str, Any]:
        return {"model_id": self.model_id, "region": self.region}


def _is_throttle(error: LlamaBedrockError) -> bool:
    return isinstance(error, BedrockThrottlingError)


class DamagedAnswerError(ValueError):
    """An answer is not the JSON it should be; `CallContext.from_exception` makes it one of the tree."""


def check_json(body: bytes) -> None:
    """Raise if a body is neither empty nor JSON.

    Raises:
        DamagedAnswerError: It is something else, such as half of an answer.
    """
    if body:
        try:
            loads(body)
        except RecursionError:
            raise DamagedAnswerError("the answer cannot be read: its JSON is nested too deeply") from None
        except ValueError as error:
            raise DamagedAnswerError(f"the answer cannot be read: {error}") from None


def caller_mistake(error: BaseException) -> ValueError | None:
    """Return a ValueError for arguments that botocore refuses, None for any other exception."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return ValueError(str(error)) if names & _CALLER_MISTAKES else None


# By name, so that none of the libraries is imported to look at an error of another.
_CREDENTIAL_ERRORS = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "MetadataRetrievalError",
        "NoAuthTokenError",
        "SSOError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "InvalidConfigError",
        "ProfileNotFound",
    }
)
_CALLER_MISTAKES = frozenset({"ParamValidationError", "MissingParametersError", "UnknownParameterError"})
_CONNECT_TIMEOUTS = frozenset({"ConnectTimeoutError", "ConnectionTimeoutError"})
_READ_TIMEOUTS = frozenset({"ReadTimeoutError", "ServerTimeoutError"})
# botocore's two roots, aiohttp's and urllib3's.
_CONNECTION_ERRORS = frozenset({"ConnectionError", "HTTPClientError", "ClientError", "HTTPError"})


def _overflow(message: str) -> tuple[int | None, int | None] | None:
    """Return the limit and the request in tokens if the text tells of an overflow; None if it does not."""
    for pattern in _OVERFLOW:
        match = pattern.search(message)
        if match:
            groups = match.groupdict()
            return tuple(int(groups[key]) if groups.get(key) else None for key in ("limit", "requested"))  # type: ignore[return-value]
    return None


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a body is, None where it is none."""
    try:
        value = loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it wraps, outermost first; libraries keep the cause in different places."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        current = todo.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        todo += [
            getattr(current, "os_error", None),
            getattr(current, "certificate_error", None),
            getattr(current, "kwargs", {}).get("error") if hasattr(current, "kwargs") else None,
            getattr(current, "reason", None),
            *current.args,
            current.__cause__,
            current.__context__,
        ]


def _root(error: BaseException) -> BaseException:
    """Return the operating system's own error below a library's, the most telling one."""
    found = [cause for cause in _chain(error) if isinstance(cause, OSError)]
    return next((cause for cause in reversed(found) if cause.args), found[-1] if found else error)


def _any_named(error: BaseException, name: str) -> bool:
    return any(type(cause).__name__ == name for cause in _chain(error))


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
