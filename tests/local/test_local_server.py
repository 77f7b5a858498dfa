"""Start, stop, limits and authentication of the local endpoint."""

import asyncio
import gc
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
import warnings

import pytest
from botocore.exceptions import ClientError

from llama_bedrock.local import Hang, LocalBedrock

PATH = "/model/us.meta.llama3-3-70b-instruct-v1:0/invoke"
BEARER = {"Authorization": "Bearer key"}


def post(server, path=PATH, body=b'{"prompt": "Hi"}', headers=BEARER, method="POST"):
    """Status, headers and parsed body of one plain HTTP request."""
    request = urllib.request.Request(server.endpoint_url + path, body, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read())


def test_it_listens_on_a_free_loopback_port_and_stops_without_a_trace(hello):
    before = set(threading.enumerate())
    with LocalBedrock(hello) as server:
        url = server.endpoint_url
        assert url.startswith("http://127.0.0.1:")
        assert post(server)[0] == 200
    assert set(threading.enumerate()) == before
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.endpoint_url


def test_stopping_leaves_no_unclosed_resource_behind(hello):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with LocalBedrock(hello) as server:
            post(server)
        gc.collect()
    assert [str(w.message) for w in caught if issubclass(w.category, ResourceWarning)] == []


@pytest.mark.slow
def test_connections_that_come_while_it_stops_are_closed_too(hello):
    """asyncio loses a connection that it makes after its server was closed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(15):
            server = LocalBedrock(hello).start()
            host, port = server.endpoint_url.removeprefix("http://").split(":")
            clients, stopped = [], threading.Event()
            flood = threading.Thread(target=connect_until, args=(stopped, host, int(port), clients))
            flood.start()
            time.sleep(0.002 * (number % 5))
            server.stop()
            stopped.set()
            flood.join()
            for client in clients:
                client.close()
            del server
            gc.collect()
    assert [str(w.message) for w in caught if "transport" in str(w.message)] == []


def connect_until(stopped, host, port, clients):
    while not stopped.is_set() and len(clients) < 60:
        client = socket.socket()
        client.setblocking(False)
        clients.append(client)
        client.connect_ex((host, port))


def test_it_can_be_started_again_and_not_twice_at_once(hello):
    server = LocalBedrock(hello)
    for _ in range(2):
        server.start()
        with pytest.raises(RuntimeError, match="already running"):
            server.start()
        assert post(server)[0] == 200
        server.stop()
        server.stop()


def test_two_servers_run_side_by_side(hello):
    with LocalBedrock(hello) as one, LocalBedrock(hello) as two:
        assert one.endpoint_url != two.endpoint_url
        assert post(one)[0] == post(two)[0] == 200


def test_a_port_in_use_is_an_error_of_the_caller_and_leaves_no_thread(hello):
    before = set(threading.enumerate())
    with LocalBedrock(hello) as server:
        port = int(server.endpoint_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            LocalBedrock(hello, port=port).start()
    assert set(threading.enumerate()) == before


async def test_it_works_as_an_asynchronous_context_manager(hello):
    async with LocalBedrock(hello) as server:
        status, _, _ = await asyncio.to_thread(post, server)
    assert status == 200


def test_stopping_does_not_wait_for_requests_in_progress(hello):
    with LocalBedrock(hello, faults=[Hang()]) as server:
        errors = []

        def call():
            try:
                post(server)
            except OSError as error:  # the connection ends without an answer
                errors.append(error)

        client = threading.Thread(target=call)
        client.start()
        deadline = time.monotonic() + 5
        while server.stats.active == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    client.join(5)
    assert len(errors) == 1


def test_a_client_that_leaves_stops_the_engine(pieces_engine):
    engine = pieces_engine(*["word "] * 1000)
    with LocalBedrock(engine, token_delay=0.01) as server:
        connection = http.client.HTTPConnection(*server.endpoint_url.removeprefix("http://").split(":"))
        connection.request("POST", PATH + "-with-response-stream", '{"prompt": "Hi"}', BEARER)
        response = connection.getresponse()
        response.read(100)
        response.close()
        connection.close()
        deadline = time.monotonic() + 5
        while server.stats.active and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (server.stats.active, server.stats.cancelled) == (0, 1)
        assert server.stats.pieces < 100


def test_a_body_beyond_bedrocks_limit_is_refused(hello):
    with LocalBedrock(hello) as server:
        body = json.dumps({"prompt": "x" * 25_000_000}).encode()
        status, headers, answer = post(server, body=body)
    assert status == 400
    assert headers["x-amzn-ErrorType"].startswith("ValidationException:")
    assert answer["message"].endswith("Member must have length less than or equal to 25000000")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("POST", "/model/x/start-async-invoke"), ("POST", "/"), ("PUT", "/a/b")],
)
def test_other_operations_are_unknown(hello, method, path):
    with LocalBedrock(hello) as server:
        status, headers, answer = post(
            server, path=path, method=method, body=None if method == "GET" else b"{}"
        )
    assert status == 404
    assert headers["x-amzn-ErrorType"].startswith("UnknownOperationException:")
    assert "does not serve" in answer["message"]


def test_count_tokens_is_refused_as_for_every_llama(bedrock):
    with pytest.raises(ClientError, match="doesn't support counting tokens"):
        bedrock.client.count_tokens(
            modelId="meta.llama3-3-70b-instruct-v1:0", input={"invokeModel": {"body": b"{}"}}
        )


def test_errors_have_the_shape_of_restjson(hello):
    with LocalBedrock(hello) as server:
        status, headers, answer = post(server, body=b"{}")
    assert status == 400
    assert answer.keys() == {"message"}
    assert headers["Content-Type"] == "application/json"
    assert headers["x-amzn-ErrorType"].startswith("ValidationException:http://internal.amazon.com/coral/")
    assert len(headers["x-amzn-RequestId"]) == 36


@pytest.mark.parametrize(
    ("headers", "code", "text"),
    [
        ({}, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        (
            {"Authorization": "Basic dXNlcjpwYXNz"},
            "IncompleteSignatureException",
            "Authorization header requires",
        ),
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=a"}, "IncompleteSignatureException", "requires"),
        ({"Authorization": "Bearer "}, "AccessDeniedException", "make sure your API Key is valid"),
    ],
)
def test_requests_without_authentication_are_refused(hello, headers, code, text):
    with LocalBedrock(hello) as server:
        status, response_headers, answer = post(server, headers=headers)
    assert status == 403
    assert response_headers["x-amzn-ErrorType"].startswith(f"{code}:")
    assert text in answer["message"]
    assert hello.requests == []


def test_known_secrets_verify_signatures(hello, connect):
    with LocalBedrock(hello, credentials={"AKIDEXAMPLE": "right"}) as server:
        imported = "arn:aws:bedrock:us-east-2:123456789012:imported-model/abcdefghijkl"
        body, _ = connect(server, secret="right").invoke(model=imported, requestMetadata='{"a":  "b  c"}')
        assert body["generation"] == "Hello world!"
        with pytest.raises(ClientError) as caught:
            connect(server, secret="wrong").invoke()
        assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
        with pytest.raises(ClientError) as caught:
            connect(server, key="AKIDUNKNOWN", secret="right").invoke()
        assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_a_signature_covers_the_body(hello, connect):
    with LocalBedrock(hello, credentials={"AKIDEXAMPLE": "right"}) as server:
        bedrock = connect(server, secret="right")

        def tamper(request, **_):
            request.body = request.body.replace(b"good", b"evil")  # after signing

        bedrock.client.meta.events.register_last("before-send.bedrock-runtime.InvokeModel", tamper)
        with pytest.raises(ClientError) as caught:
            bedrock.invoke({"prompt": "a good text"})
        assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_an_old_signature_has_expired(hello, connect):
    with LocalBedrock(hello, credentials={"AKIDEXAMPLE": "right"}) as server:
        bedrock = connect(server, secret="right")

        def age(request, **_):
            request.headers["X-Amz-Date"] = "20200101T000000Z"

        bedrock.client.meta.events.register_last("before-send.bedrock-runtime.InvokeModel", age)
        with pytest.raises(ClientError, match="Signature expired"):
            bedrock.invoke()


def test_only_listed_bearer_keys_are_accepted(hello):
    with LocalBedrock(hello, api_keys={"good"}) as server:
        assert post(server, headers={"Authorization": "Bearer good"})[0] == 200
        status, _, answer = post(server, headers={"Authorization": "Bearer bad"})
    assert (status, "valid" in answer["message"]) == (403, True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"first_token_delay": -1}, "cannot be negative"),
        ({"chat_template": "gpt"}, "chat_template must be one of"),
    ],
)
def test_wrong_arguments_are_named(hello, options, text):
    with pytest.raises(ValueError, match=text):
        LocalBedrock(hello, **options)


def test_wrong_engines_and_faults_are_named(hello):
    with pytest.raises(TypeError, match="generate method"):
        LocalBedrock(object())
    with pytest.raises(TypeError, match=r"faults=\(of class list\): it takes a list of Fault"):
        LocalBedrock(hello, faults=["reset"])


def test_knowledge_bases_are_checked_when_the_server_is_made(hello):
    with pytest.raises(ValueError, match="10 letters and digits"):
        LocalBedrock(hello, knowledge_bases={"docs": object()})
    with pytest.raises(TypeError, match="must be a LangChain vector store"):
        LocalBedrock(hello, knowledge_bases={"LOCALKB001": object()})
