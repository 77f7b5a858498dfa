"""What watches AWS calls goes on seeing them: synchronous calls then go through botocore, and answer the same."""

import functools
import logging
from collections import OrderedDict
from importlib import import_module

import boto3
import botocore.session
import pytest
import wrapt
from botocore import awsrequest, handlers

from llama_bedrock.transport import clients
from llama_bedrock.transport.sync import SyncTransport


@pytest.fixture
def invoke(make_settings, make_request, faulty):
    """Make a call, whole and streamed, by a client of its own; return both answers."""
    server = faulty()

    def invoke(transport=None, **changes):
        transport = transport or fresh(**changes)
        streamed = "".join(chunk.text for chunk in transport.stream(make_request()))
        return transport.invoke(make_request()).text, streamed

    def fresh(**changes):
        return SyncTransport(make_settings(server.endpoint_url, **changes))

    invoke.fresh = fresh
    return invoke


def count(seen, label):
    def wrapper(wrapped, instance, arguments, named):
        seen.append(label)
        return wrapped(*arguments, **named)

    return wrapper


PLACES = [
    (
        "botocore.client",
        "BaseClient._make_api_call",
    ),  # ddtrace, X-Ray, opentelemetry-instrumentation-botocore
    ("botocore.endpoint", "Endpoint.make_request"),  # New Relic
    ("botocore.endpoint", "Endpoint.prepare_request"),
    ("botocore.httpsession", "URLLib3Session.send"),
    ("urllib3.connectionpool", "HTTPConnectionPool.urlopen"),  # opentelemetry-instrumentation-urllib3
    ("http.client", "HTTPConnection.getresponse"),
]


@pytest.mark.parametrize(("module", "name"), PLACES)
@pytest.mark.parametrize("by", ["wrapt", "functools"])
def test_a_function_wrapped_after_the_first_call_is_passed_again(
    module, name, by, invoke, answer, monkeypatch, caplog
):
    transport = invoke.fresh()
    assert invoke(transport) == (answer, answer)
    seen, (cls, method) = [], name.split(".")
    owner = getattr(import_module(module), cls)
    own = getattr(owner, method)
    if by == "wrapt":
        wrapped = wrapt.FunctionWrapper(own, count(seen, name))
    else:

        @functools.wraps(own)
        def wrapped(*arguments, **named):
            seen.append(name)
            return own(*arguments, **named)

    monkeypatch.setattr(owner, method, wrapped)
    with caplog.at_level(logging.INFO, "llama_bedrock"):
        assert invoke(transport) == (answer, answer)
    assert seen.count(name) >= 2
    assert [record.message for record in caplog.records if "through botocore" in record.message] == [
        f"calls go through botocore: {module}.{name} is wrapped"
    ]
    monkeypatch.undo()
    seen.clear()
    assert invoke(transport) == (answer, answer)
    assert seen == []


def test_a_method_wrapped_when_a_client_is_made_is_passed(invoke, answer, monkeypatch):
    """As the Bedrock instrumentations of Traceloop and OpenInference do."""
    seen, create = [], botocore.session.Session.create_client

    def create_client(self, *arguments, **named):
        client = create(self, *arguments, **named)
        for name in ("invoke_model", "invoke_model_with_response_stream"):
            setattr(client, name, wrapt.FunctionWrapper(getattr(client, name), count(seen, name)))
        return client

    monkeypatch.setattr(botocore.session.Session, "create_client", create_client)
    assert invoke(aws_access_key_id="AKIDTRACED") == (answer, answer)
    assert sorted(seen) == ["invoke_model", "invoke_model_with_response_stream"]


def test_a_hook_that_every_client_gets_is_called(invoke, answer, monkeypatch):
    """As moto and Sentry do."""
    seen = []

    def hook(request, **_):
        seen.append(request.url)

    monkeypatch.setattr(clients, "_sessions", OrderedDict())
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", [*handlers.BUILTIN_HANDLERS, ("before-send", hook)])
    assert invoke(aws_access_key_id="AKIDHOOKED") == (answer, answer)
    assert len(seen) == 2


def test_a_connection_class_that_is_replaced_is_used(invoke, answer, monkeypatch):
    """As vcr does."""
    transport = invoke.fresh(aws_access_key_id="AKIDREPLACED")
    assert invoke(transport) == (answer, answer)
    seen = []

    class Recording(awsrequest.AWSHTTPConnection):
        def getresponse(self, *arguments, **named):
            seen.append(self.host)
            return super().getresponse(*arguments, **named)

    pool = awsrequest.AWSHTTPConnectionPool
    monkeypatch.setattr(awsrequest, "AWSHTTPConnection", Recording)
    monkeypatch.setattr(pool, "ConnectionCls", Recording)
    assert invoke(transport) == (answer, answer)
    assert seen == ["127.0.0.1"] * 2


def test_a_call_that_nothing_watches_goes_its_own_way(invoke, answer):
    transport = invoke.fresh()
    assert invoke(transport) == (answer, answer)
    assert transport._direct


def test_a_client_of_the_callers_own_makes_the_call(invoke, answer, faulty):
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-2",
        endpoint_url=faulty().endpoint_url,
        aws_access_key_id="AKIDOWN",
        aws_secret_access_key="secret",
    )
    seen = []
    client.meta.events.register(
        "before-send", lambda request, **_: seen.append(request.headers["Authorization"])
    )
    assert invoke(client=client) == (answer, answer)
    assert [b"AKIDOWN" in header for header in seen] == [True, True]
