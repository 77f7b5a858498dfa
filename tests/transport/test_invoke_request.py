"""The request as bytes: what botocore would have sent, and what is refused before anything is sent."""

import json

import boto3
import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.transport.request import InvokeRequest, build_body

MODELS = [
    "meta.llama3-3-70b-instruct-v1:0",
    "us.meta.llama4-scout-17b-instruct-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl",
    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
    "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abcdefghijkl",
]
LLM = ChatLlamaBedrock(model=MODELS[0])
OPTIONS = {
    "guardrails": {"id": "gr123", "version": "DRAFT", "trace": "ENABLED_FULL"},
    "latency": "optimized",
    "service_tier": "default",
    "request_metadata": {"team": "search", "cost": "a/b"},
}


class _NoBody:
    def stream(self):
        yield b"{}"

    def close(self):
        pass


@pytest.fixture(scope="module")
def botocore_sends():
    """What botocore puts on the wire for keyword arguments of its method: caught before it is sent."""
    client = boto3.client(
        "bedrock-runtime", region_name="us-east-1", config=Config(signature_version=UNSIGNED)
    )
    sent = []

    def catch(request, **_):
        sent.append(request)
        return AWSResponse(request.url, 200, {}, _NoBody())

    client.meta.events.register("before-send.bedrock-runtime", catch)

    def send(request, stream):
        name, arguments, _ = request.as_boto(stream)
        getattr(client, name)(**arguments)
        return sent.pop()

    return send


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "all options"])
@pytest.mark.parametrize("model", MODELS)
def test_request_is_what_botocore_sends(model, options, stream, botocore_sends):
    travelling = LLM._call_options(None, options).request_options
    assert len(travelling) == (6 if options else 0)
    request = InvokeRequest(model, build_body(prompt="Größe?", max_tokens=5), travelling)
    theirs = botocore_sends(request, stream)
    method, path, headers, body = request.as_http(stream)
    assert theirs.method == method
    assert theirs.url.endswith(".amazonaws.com" + path)
    assert theirs.body == body
    theirs_headers = {
        name.lower(): value.decode() for name, value in theirs.headers.items() if isinstance(value, bytes)
    }
    ours = {name.lower(): value for name, value in headers.items()}
    assert ours.items() <= theirs_headers.items()
    extra = {"user-agent", "content-length", "amz-sdk-invocation-id", "amz-sdk-request"}
    assert set(theirs_headers) - set(ours) <= extra


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner),
        max_leaves=5,
    )
)
def test_payload_is_the_body_as_json(value):
    body = {"prompt": value}
    assert json.loads(InvokeRequest("meta.x", body).payload) == body


def test_half_a_surrogate_pair_is_named_with_what_is_around_it():
    with pytest.raises(ValueError, match=r"surrogate pair.*before"):
        _ = InvokeRequest("meta.x", {"prompt": "before \ud83d after"}).payload


def test_a_body_that_is_too_long_says_its_size():
    with pytest.raises(ValueError, match=r"25,000,0.. bytes"):
        _ = InvokeRequest("meta.x", {"prompt": "x" * 25_000_000}).payload


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"latency": "fast"}, "latency='fast': one of standard, optimized"),
        ({"guardrails": {"id": "g", "trace": "on"}}, "trace='ON'"),
        ({"service_tier": "gold"}, "service_tier='gold'"),
        ({"guardrails": {"version": "1"}}, "the guardrail's id is missing"),
        ({"guardrails": {"id": "g", "version": "v1"}}, "guardrail version 'v1'"),
        ({"request_metadata": {"a": 1}}, "keys and values are strings"),
        ({"request_metadata": {"a": "x" * 257}}, "at most 256"),
        ({"request_metadata": {"a": "x\r\nHost: evil!"}}, "at most 256"),
        ({"request_metadata": {str(i): "x" for i in range(17)}}, "17 entries"),
        ({"special_tokens": "no"}, "special_tokens='no'"),
    ],
)
def test_what_the_service_would_refuse_is_refused_before(options, why):
    with pytest.raises(ValueError, match=why):
        LLM._call_options(None, options)


def test_a_request_has_a_model():
    with pytest.raises(ValueError, match="model_id is empty"):
        InvokeRequest("", {})


BODIES = [
    ({"prompt": "p"}, {"prompt": "p"}),
    (
        {"prompt": "p", "temperature": 0.0, "top_p": 1.0, "max_tokens": 7, "images": ["aGk="]},
        {"prompt": "p", "temperature": 0.0, "top_p": 1.0, "max_gen_len": 7, "images": ["aGk="]},
    ),
    ({"import_format": "openai-completion", "prompt": "p"}, {"prompt": "p", "max_tokens": 512}),
    (
        {"import_format": "openai-completion", "prompt": "p", "max_tokens": 7},
        {"prompt": "p", "max_tokens": 7},
    ),
    (
        {"import_format": "openai-chat", "prompt": "p", "max_tokens": 7},
        {"messages": [{"role": "user", "content": "p"}], "max_tokens": 7},
    ),
    (
        {"import_format": "openai-chat", "messages": [{"role": "system", "content": "s"}]},
        {"messages": [{"role": "system", "content": "s"}]},
    ),
]


@pytest.mark.parametrize(("arguments", "body"), BODIES)
def test_body_of_each_import_format(arguments, body):
    assert build_body(**arguments) == body


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"import_format": "x", "prompt": "p"}, "import_format='x'"),
        ({}, "a prompt is needed"),
        ({"messages": []}, "messages are for import_format='openai-chat'"),
        ({"import_format": "openai-chat", "prompt": "p", "images": ["a"]}, "images of a raw prompt"),
    ],
)
def test_body_that_cannot_be_written_is_refused(arguments, why):
    with pytest.raises(ValueError, match=why):
        build_body(**arguments)
