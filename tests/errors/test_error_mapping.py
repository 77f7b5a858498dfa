"""The one mapping: service answers, frames and network errors to the tree, with hints that help."""

import socket
import ssl

import botocore.exceptions as boto
import pytest

from llama_bedrock import errors as E
from llama_bedrock.transport.error_mapping import CallContext, caller_mistake

MODEL = "meta.llama3-3-70b-instruct-v1:0"
CONTEXT = CallContext("InvokeModel", MODEL, "us-east-2", "https://bedrock-runtime.us-east-2.amazonaws.com")

# Facts §3.5; the numbers are (limit, requested) where the text has them in tokens.
OVERFLOWS = {
    "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt": (
        8192,
        None,
    ),
    "Input is too long for requested model.": (None, None),
    "Prompt contains 235396 tokens and 0 draft tokens, too large for model with 131072 maximum context "
    "length": (131072, 235396),
    "Too many input tokens. Max input tokens: 8192, request input token count: 9279": (8192, 9279),
    "Malformed input request: expected maxLength: 100, actual: 200, please reformat your input and try "
    "again.": (None, None),
    "The maximum tokens you requested exceeds the model limit of 2048. Try again with a maximum tokens value "
    "that is lower than 2048.": (2048, None),
}


def http_error(code, message, status=400, context=CONTEXT):
    return context.from_http(status, {"x-amzn-errortype": code}, b'{"message": "%s"}' % message.encode())


@pytest.mark.parametrize("text", OVERFLOWS)
def test_overflow_is_told_from_other_validation_errors_by_its_text(text):
    error = http_error("ValidationException", text)
    assert type(error) is E.BedrockContextOverflowError
    assert (error.limit, error.requested) == OVERFLOWS[text]
    assert isinstance(error, E.BedrockValidationError)


@pytest.mark.parametrize(
    "text",
    [
        "Too many tokens, please wait before trying again.",
        "Too many input tokens. Max input tokens: 8, count: 9",
    ],
)
def test_throttling_is_throttling_whatever_its_text(text):
    assert type(http_error("ThrottlingException", text, 429)) is E.BedrockThrottlingError


def test_other_validation_errors_are_no_overflow():
    text = "Malformed input request: #: extraneous key [top_k] is not permitted"
    assert type(http_error("ValidationException", text)) is E.BedrockValidationError


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-amzn-errortype": "ThrottlingException"}, b'{"message": "m"}'),
        ({"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/coral/"}, b'{"Message": "m"}'),
        ({}, b'{"__type": "com.amazon.bedrock#ThrottlingException", "message": "m"}'),
        ({}, b'{"code": "ThrottlingException", "message": "m"}'),
    ],
)
def test_code_is_found_where_each_front_door_puts_it(headers, body):
    error = CONTEXT.from_http(429, headers, body)
    assert type(error) is E.BedrockThrottlingError
    assert error.response["Error"] == {"Code": "ThrottlingException", "Message": "m"}


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[1]", b"\xff\xfe", b'{"detail": 1}'])
def test_body_of_a_proxy_is_no_trouble(body):
    error = CONTEXT.from_http(502, {}, body)
    assert type(error) is E.BedrockServiceError
    assert error.status_code == 502


def test_modelled_members_stay_in_the_response():
    body = b'{"message": "m", "originalStatusCode": 500, "resourceName": "r"}'
    error = CONTEXT.from_http(424, {"x-amzn-errortype": "ModelErrorException"}, body)
    assert error.response["originalStatusCode"] == 500
    assert error.response["resourceName"] == "r"


def test_frames_keep_the_original_message_that_botocore_drops():
    error = CONTEXT.from_frame(
        {":message-type": "exception", ":exception-type": "modelStreamErrorException"},
        b'{"originalMessage": "worker died", "originalStatusCode": 500}',
        {"x-amzn-requestid": "r-1"},
    )
    assert type(error) is E.BedrockModelStreamError
    assert "worker died" in str(error)
    assert error.request_id == "r-1"


def test_unmodelled_error_frames_are_read():
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "sorry"}
    error = CONTEXT.from_frame(headers, b"", {})
    assert type(error) is E.BedrockServiceError
    assert "sorry" in str(error)


@pytest.mark.parametrize(("value", "seconds"), [("3", 3.0), ("0.5", 0.5), ("-1", None), ("soon", None)])
def test_retry_after_is_seconds_or_nothing(value, seconds):
    error = CONTEXT.from_http(429, {"x-amzn-errortype": "ThrottlingException", "retry-after": value}, b"{}")
    assert error.retry_after == seconds


class _Wrapped(Exception):
    pass


def _wrapped(cause):
    try:
        raise _Wrapped("outer") from cause
    except _Wrapped as error:
        return error


NETWORK = {
    "refused": (
        boto.EndpointConnectionError(endpoint_url="u", error=ConnectionRefusedError(111, "refused")),
        "listens",
    ),
    "unknown host": (
        boto.EndpointConnectionError(endpoint_url="u", error=socket.gaierror(-2, "unknown")),
        "region_name",
    ),
    "reset": (boto.ConnectionClosedError(endpoint_url="u", error=ConnectionResetError(104, "reset")), None),
    "proxy": (boto.ProxyConnectionError(proxy_url="p", error=OSError("no route")), None),
    "os error": (ConnectionResetError(104, "reset"), None),
    "certificate": (
        boto.SSLError(endpoint_url="u", error=ssl.SSLCertVerificationError(1, "bad")),
        "AWS_CA_BUNDLE",
    ),
}


@pytest.mark.parametrize("name", NETWORK)
def test_network_errors_are_connection_errors(name):
    error, hint = NETWORK[name]
    mapped = CONTEXT.from_exception(error)
    assert type(mapped) is E.BedrockConnectionError
    assert (mapped.model_id, mapped.region) == (MODEL, "us-east-2")
    assert mapped.hint is None if hint is None else hint in mapped.hint


@pytest.mark.parametrize("name", ["unknown host", "certificate"])
def test_what_will_not_heal_is_not_retryable(name):
    assert CONTEXT.from_exception(NETWORK[name][0]).is_retryable is False


@pytest.mark.parametrize(
    "error",
    [
        boto.NoCredentialsError(),
        boto.PartialCredentialsError(provider="env", cred_var="x"),
        boto.CredentialRetrievalError(provider="p", error_msg="m"),
        boto.MetadataRetrievalError(error_msg="m"),
        boto.TokenRetrievalError(provider="sso", error_msg="expired"),
        boto.UnauthorizedSSOTokenError(),
        boto.ProfileNotFound(profile="nobody"),
        boto.NoAuthTokenError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_missing_credentials_say_how_to_give_them(error):
    mapped = CONTEXT.from_exception(error)
    assert type(mapped) is E.BedrockCredentialsError
    assert "credentials_profile_name" in mapped.hint
    assert mapped.is_retryable is False


def test_an_error_of_sts_is_one_of_the_credentials():
    error = boto.ClientError({"Error": {"Code": "AccessDenied", "Message": "not allowed"}}, "AssumeRole")
    mapped = CONTEXT.from_exception(error)
    assert type(mapped) is E.BedrockCredentialsError
    assert "AssumeRole" in str(mapped)


def test_timeouts_name_their_deadline():
    assert CONTEXT.from_exception(boto.ConnectTimeoutError(endpoint_url="u", error="e")).deadline == "connect"
    assert (
        CONTEXT.from_exception(boto.ReadTimeoutError(endpoint_url="u", error="e")).deadline == "first_token"
    )
    assert CONTEXT.timed_out("idle", 3).deadline == "idle"
    assert "3 s" in str(CONTEXT.timed_out("idle", 3))


def test_mistakes_of_the_caller_are_not_the_services():
    mistake = boto.ParamValidationError(report="modelId: too short")
    assert CONTEXT.from_exception(mistake) is None
    assert isinstance(caller_mistake(mistake), ValueError)
    for other in (TypeError("x"), KeyError("x"), _wrapped(ValueError("y"))):
        assert CONTEXT.from_exception(other) is None
        assert caller_mistake(other) is None


ON_DEMAND = (
    "Invocation of model ID meta.llama3-2-1b-instruct-v1:0 with on-demand throughput isn’t supported. "
    "Retry your request with the ID or ARN of an inference profile that contains this model."
)


@pytest.mark.parametrize(
    ("code", "message", "model", "region", "hint"),
    [
        (
            "ValidationException",
            ON_DEMAND,
            "meta.llama3-2-1b-instruct-v1:0",
            "eu-west-1",
            "eu.meta.llama3-2-1b",
        ),
        (
            "ValidationException",
            ON_DEMAND,
            "meta.llama3-2-1b-instruct-v1:0",
            "us-east-1",
            "us.meta.llama3-2-1b",
        ),
        ("ValidationException", ON_DEMAND, "meta.llama9-9b-v1:0", "us-east-1", "inference profile"),
        (
            "ValidationException",
            "The provided model identifier is invalid.",
            MODEL,
            "us-east-1",
            "llama-bedrock models",
        ),
        ("AccessDeniedException", "no access", MODEL, "us-east-1", "modelaccess"),
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            MODEL,
            "us-east-1",
            "renew",
        ),
        ("InvalidSignatureException", "Signature not yet current", MODEL, "us-east-1", "clock"),
        (
            "UnrecognizedClientException",
            "The security token is invalid",
            MODEL,
            "us-east-1",
            "get-caller-identity",
        ),
        ("ThrottlingException", "slow", MODEL, "us-east-1", "'On-demand model inference requests"),
        ("ThrottlingException", "slow", "us." + MODEL, "us-east-1", "'Cross-region model inference requests"),
        ("ServiceUnavailableException", "capacity", MODEL, "us-east-1", "fallback_regions"),
        ("ModelNotReadyException", "wait", MODEL, "us-east-1", "model_ready_timeout"),
        ("ResourceNotFoundException", "none", MODEL, "us-east-1", "llama-bedrock models"),
        (
            "ResourceNotFoundException",
            "none",
            "arn:aws:bedrock:us-west-2:123456789012:imported-model/abcdefghijkl",
            "us-east-1",
            "region_name='us-west-2'",
        ),
        (
            "AccessDeniedException",
            "This Model is marked by provider as Legacy and you have not been actively using it",
            MODEL,
            "us-east-1",
            "not Legacy",
        ),
    ],
)
def test_hint_says_what_to_do(code, message, model, region, hint):
    error = http_error(code, message, context=CallContext("InvokeModel", model, region))
    assert hint in error.hint
    assert f"Hint: {error.hint}" in str(error)


def test_operations_without_a_model_get_no_hint_about_models():
    error = http_error("AccessDeniedException", "no", 403, CallContext("Retrieve", None, "us-east-1"))
    assert error.hint is None
