"""The error tree: whose children its classes are, what they carry, and that every shape has one."""

import copy
import inspect
import pickle
import subprocess
import sys

import botocore.session
import pytest
from botocore.exceptions import ClientError
from langchain_core import exceptions as lc

from llama_bedrock import errors
from llama_bedrock.transport.error_mapping import CallContext

CLASSES = [value for name, value in vars(errors).items() if name in errors.__all__ and inspect.isclass(value)]
# What ModelRetryMiddleware and friends look at.
LANGCHAIN = {
    errors.BedrockAuthenticationError: (lc.ModelAuthenticationError, False),
    errors.BedrockAccessDeniedError: (lc.ModelPermissionDeniedError, False),
    errors.BedrockNotFoundError: (lc.ModelNotFoundError, False),
    errors.BedrockValidationError: (lc.ModelInvalidRequestError, False),
    errors.BedrockContextOverflowError: (lc.ContextOverflowError, False),
    errors.BedrockThrottlingError: (lc.ModelRateLimitError, True),
    errors.BedrockQuotaExceededError: (lc.ModelRateLimitError, False),
    errors.BedrockModelNotReadyError: (lc.ModelAPIError, True),
    errors.BedrockModelError: (lc.ModelAPIError, True),
    errors.BedrockModelStreamError: (lc.ModelAPIError, True),
    errors.BedrockModelTimeoutError: (lc.ModelTimeoutError, True),
    errors.BedrockServiceError: (lc.ModelAPIError, True),
    errors.BedrockUnavailableError: (lc.ModelAPIError, True),
    errors.BedrockCredentialsError: (lc.ModelAuthenticationError, False),
    errors.BedrockConnectionError: (lc.ModelConnectionError, True),
    errors.BedrockTimeoutError: (lc.ModelTimeoutError, True),
    errors.BedrockStreamError: (lc.ModelAPIError, True),
}


def test_every_class_is_in_the_table_of_this_test():
    assert set(CLASSES) == set(LANGCHAIN) | {errors.LlamaBedrockError, errors.BedrockResponseError}


def test_every_class_is_drawn_in_the_docstring():
    for cls in CLASSES:
        assert cls.__name__ in errors.__doc__


@pytest.mark.parametrize("cls", LANGCHAIN, ids=lambda cls: cls.__name__)
def test_class_is_langchains_too_and_knows_whether_to_retry(cls):
    parent, retryable = LANGCHAIN[cls]
    assert issubclass(cls, parent)
    assert issubclass(cls, errors.LlamaBedrockError)
    assert cls("x").is_retryable is retryable


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_error_survives_pickle_and_copy(cls):
    error = cls(
        "boom", model_id="meta.x", region="us-east-2", request_id="r-1", hint="do it", partial_text="so far"
    )
    error.is_retryable = not error.is_retryable
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is cls
        assert other.__dict__ == error.__dict__
        assert other.args == error.args
        assert str(other) == str(error)


def test_text_says_what_where_and_what_to_do():
    error = errors.BedrockThrottlingError(
        "Too many requests", model_id="meta.x", region="us-east-2", request_id="r-1", hint="wait"
    )
    assert str(error) == (
        "An error occurred (ThrottlingException) when calling the InvokeModel operation: Too many requests "
        "(model meta.x, region us-east-2, request id r-1)\nHint: wait"
    )


def test_existing_client_error_code_reads_the_response():
    error = CallContext("InvokeModel", "meta.x", "us-east-2").from_http(
        429,
        {"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/", "x-amzn-requestid": "r-1"},
        b'{"message": "Too many requests"}',
    )
    with pytest.raises(ClientError) as caught:
        raise error
    assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Too many requests"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert caught.value.operation_name == "InvokeModel"
    assert error.request_id == "r-1"


RUNTIME = ["InvokeModel", "InvokeModelWithResponseStream"]
AGENT_RUNTIME = ["Retrieve", "RetrieveAndGenerate", "RetrieveAndGenerateStream", "Rerank"]


def _error_codes():
    session = botocore.session.get_session()
    for service, operations in (("bedrock-runtime", RUNTIME), ("bedrock-agent-runtime", AGENT_RUNTIME)):
        model = session.get_service_model(service)
        for name in operations:
            operation = model.operation_model(name)
            for shape in operation.error_shapes:
                yield service, name, shape.name
            if operation.has_event_stream_output:
                for member, shape in operation.get_event_stream_output().members.items():
                    if shape.metadata.get("exception"):
                        yield service, name, member


@pytest.mark.parametrize(("service", "operation", "code"), list(_error_codes()))
def test_every_error_shape_of_the_service_models_is_mapped_by_its_code(service, operation, code):
    """Not by its status: a new shape of botocore makes this fail until somebody decides what it is."""
    assert code.lower() in errors._CLASSES
    assert errors.error_class(code) is errors.error_class(code.lower())


def test_the_walk_finds_what_the_service_model_holds():
    codes = list(_error_codes())
    assert len(codes) > 40
    assert ("bedrock-runtime", "InvokeModelWithResponseStream", "throttlingException") in codes


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, errors.BedrockValidationError),
        (401, errors.BedrockAuthenticationError),
        (403, errors.BedrockAccessDeniedError),
        (404, errors.BedrockNotFoundError),
        (408, errors.BedrockModelTimeoutError),
        (413, errors.BedrockValidationError),
        (424, errors.BedrockModelError),
        (429, errors.BedrockThrottlingError),
        (500, errors.BedrockServiceError),
        (502, errors.BedrockServiceError),
        (503, errors.BedrockUnavailableError),
        (None, errors.BedrockServiceError),
    ],
)
def test_unknown_code_is_mapped_by_its_status(status, cls):
    assert errors.error_class("SomethingNewException", status) is cls


def test_the_module_imports_no_service_models_and_no_http():
    """It is part of `import llama_bedrock`, which has a budget."""
    code = (
        "import sys, llama_bedrock.errors, llama_bedrock.transport.connection\n"
        "print([m for m in sys.modules if m in "
        "('boto3', 'botocore.session', 'botocore.client', 'aiohttp', 'urllib3')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
