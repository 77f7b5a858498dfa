"""Operations of the knowledge base runtime through both shells, compared with what boto3 gives."""

import asyncio
import contextlib
import datetime
import json
from dataclasses import replace

import boto3
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

from llama_bedrock import errors as E
from llama_bedrock.local import LocalBedrock
from llama_bedrock.local.faults import ErrorResponse, ExceptionFrame, FlipByte, Hang, Truncate
from llama_bedrock.transport.aio import AsyncTransport
from llama_bedrock.transport.connection import Timeout
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.eventstream import encode_frame
from llama_bedrock.transport.json_operations import JsonOperation
from llama_bedrock.transport.sync import SyncTransport

SERVICE = "bedrock-agent-runtime"
KB = "KB12345678"
QUESTION = {"knowledgeBaseId": KB, "retrievalQuery": {"text": "Who wrote the first program?"}}
GENERATE = {
    "input": {"text": "Who wrote the first program?"},
    "retrieveAndGenerateConfiguration": {
        "type": "KNOWLEDGE_BASE",
        "knowledgeBaseConfiguration": {
            "knowledgeBaseId": KB,
            "modelArn": "arn:aws:bedrock:us-east-2::foundation-model/meta.llama3-3-70b-instruct-v1:0",
        },
    },
}


@pytest.fixture(scope="module")
def knowledge():
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_texts(
        ["Ada Lovelace wrote the first program.", "Bedrock is a service of AWS."],
        metadatas=[{"source": "ada.md"}, {"source": "aws.md"}],
    )
    with LocalBedrock(knowledge_bases={KB: store}) as running:
        yield running


class Shell:
    def __init__(self, mode, settings):
        self.mode = "sync" if hasattr(mode, "settings") else "async"
        self.settings = mode.settings(settings) if self.mode == "sync" else settings

    def call(self, operation, **arguments):
        if self.mode == "sync":
            return SyncTransport(self.settings).call(SERVICE, operation, **arguments)

        async def main():
            async with AsyncTransport(self.settings) as transport:
                return await transport.call(SERVICE, operation, **arguments)

        return asyncio.run(main())

    def events(self, operation, limit=None, **arguments):
        found = []
        if self.mode == "sync":
            with contextlib.closing(
                SyncTransport(self.settings).call_stream(SERVICE, operation, **arguments)
            ) as events:
                for event in events:
                    found.append(event)
                    if len(found) == limit:
                        break
            return found

        async def main():
            async with (
                AsyncTransport(self.settings) as transport,
                contextlib.aclosing(transport.call_stream(SERVICE, operation, **arguments)) as events,
            ):
                async for event in events:
                    found.append(event)
                    if len(found) == limit:
                        break

        asyncio.run(main())
        return found


@pytest.fixture
def shell(way, knowledge, make_settings):
    if way.name == "client":
        pytest.skip("a client of the caller's own is one of the models")
    knowledge.faults = ()
    return Shell(way, make_settings(knowledge.endpoint_url))


@pytest.fixture
def quick_shell(shell):
    """Not patient with silence."""
    shell.settings = replace(shell.settings, timeout=Timeout(first_token=0.4, idle=0.4))
    return shell


def boto(knowledge):
    return boto3.client(
        SERVICE,
        region_name="us-east-2",
        endpoint_url=knowledge.endpoint_url,
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )


def test_retrieve_gives_what_boto3_gives(shell, knowledge):
    ours, theirs = shell.call("retrieve", **QUESTION), boto(knowledge).retrieve(**QUESTION)
    assert ours["retrievalResults"] == theirs["retrievalResults"]
    assert ours["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert ours["ResponseMetadata"]["RequestId"]


def test_retrieve_and_generate_gives_what_boto3_gives(shell, knowledge):
    ours, theirs = (
        shell.call("retrieve_and_generate", **GENERATE),
        boto(knowledge).retrieve_and_generate(**GENERATE),
    )
    assert ours["output"] == theirs["output"]
    assert ours["citations"] == theirs["citations"]


def test_events_are_what_boto3_gives(shell, knowledge):
    response, *events = shell.events("retrieve_and_generate_stream", **GENERATE)
    theirs = boto(knowledge).retrieve_and_generate_stream(**GENERATE)
    assert events == list(theirs["stream"])
    assert "stream" not in response
    assert response["sessionId"]
    assert {key for event in events for key in event} >= {"output", "citation"}


def test_leaving_a_stream_of_events_closes_its_connection(shell, knowledge):
    assert len(shell.events("retrieve_and_generate_stream", limit=2, **GENERATE)) == 2
    assert len(shell.events("retrieve_and_generate_stream", limit=1, **GENERATE)) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ErrorResponse("ThrottlingException"), E.BedrockThrottlingError),
        (ErrorResponse("ConflictException"), E.BedrockValidationError),
        (ErrorResponse("DependencyFailedException"), E.BedrockServiceError),
        (Hang(), E.BedrockTimeoutError),
        # Which of the two depends on whether botocore or its parser notices first.
        (Truncate(10), (E.BedrockStreamError, E.BedrockConnectionError)),
    ],
    ids=["throttled", "conflict", "dependency", "silence", "cut"],
)
def test_faults_of_a_call(fault, error, quick_shell, knowledge):
    knowledge.faults = [fault]
    with pytest.raises(error) as caught:
        quick_shell.call("retrieve", **QUESTION)
    assert caught.value.region == "us-east-2"
    assert caught.value.model_id is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ExceptionFrame("badGatewayException", after_chunks=1), E.BedrockServiceError),
        (ExceptionFrame("throttlingException"), E.BedrockThrottlingError),
        (FlipByte(100), E.BedrockStreamError),
        (Truncate(100), E.BedrockStreamError),
        (Truncate(100, abrupt=True), E.BedrockStreamError),
        (Hang(100), E.BedrockTimeoutError),
    ],
    ids=["frame", "first frame", "flipped", "cut", "closed", "silence"],
)
def test_faults_inside_a_stream_of_events(fault, error, quick_shell, knowledge):
    knowledge.faults = [fault]
    with pytest.raises(error):
        quick_shell.events("retrieve_and_generate_stream", **GENERATE)


def test_calls_are_tried_again(mode, knowledge, make_settings, monkeypatch):
    monkeypatch.setattr("random.random", lambda: 0.01)
    knowledge.faults = [ErrorResponse("ThrottlingException").first(2)]
    shell = Shell(mode, make_settings(knowledge.endpoint_url, max_retries=2))
    assert shell.call("retrieve", **QUESTION)["retrievalResults"]


def test_arguments_that_do_not_fit_are_a_value_error_before_anything_is_sent(shell, knowledge):
    before = knowledge.stats.requests
    with pytest.raises(ValueError, match="retrievalQuery"):
        shell.call("retrieve", knowledgeBaseId=KB)
    assert knowledge.stats.requests == before


def test_unknown_operation_is_named(shell):
    with pytest.raises((ValueError, AttributeError), match="fly"):
        shell.call("fly")


def test_values_that_json_has_not_are_coded_as_botocore_does():
    """Binary members as base64, path and query members in their places."""
    client = boto3.client(SERVICE, region_name="us-east-2", aws_access_key_id="a", aws_secret_access_key="b")
    method, path, headers, body = JsonOperation(client, "retrieve").encode(
        {"knowledgeBaseId": "KB12345/78", "retrievalQuery": {"text": "x", "type": "TEXT"}, "nextToken": "t"}
    )
    assert (method, path) == ("POST", "/knowledgebases/KB12345%2F78/retrieve")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"retrievalQuery": {"text": "x", "type": "TEXT"}, "nextToken": "t"}
    method, path, _, _ = JsonOperation(client, "list_flow_executions").encode(
        {"flowIdentifier": "f", "maxResults": 3}
    )
    assert (method, path) == ("GET", "/flows/f/executions?maxResults=3")


def test_timestamps_and_blobs_of_an_answer_are_decoded():
    client = boto3.client(SERVICE, region_name="us-east-2", aws_access_key_id="a", aws_secret_access_key="b")
    coding, context = JsonOperation(client, "get_session"), CallContext("GetSession")
    body = b'{"sessionId": "s", "createdAt": "2026-11-21T12:00:00Z"}'
    answer = coding.decode(200, {"content-type": "application/json"}, body, context)
    assert answer["createdAt"] == datetime.datetime(2026, 11, 21, 12, tzinfo=answer["createdAt"].tzinfo)


def test_unknown_events_are_passed_over():
    client = boto3.client(SERVICE, region_name="us-east-2", aws_access_key_id="a", aws_secret_access_key="b")
    parser = JsonOperation(client, "retrieve_and_generate_stream").events({}, CallContext("x"))
    new = encode_frame({":message-type": "event", ":event-type": "somethingNew"}, b"{}")
    known = encode_frame({":message-type": "event", ":event-type": "output"}, b'{"text": "Hi"}')
    assert parser.feed(new + known) == [{"output": {"text": "Hi"}}]
    assert parser.failure is None
