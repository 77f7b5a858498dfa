"""Clients that talk to the local endpoint over a real socket: botocore signs, frames and parses."""

import contextlib
import json

import boto3
import pytest
from botocore.config import Config

from llama_bedrock.local import LocalBedrock

LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"


class Pieces:
    """An engine that answers with the pieces it was given, and keeps its requests."""

    name = "pieces"
    blocking = False

    def __init__(self, *pieces):
        self.pieces = list(pieces)
        self.requests = []

    def generate(self, request):
        self.requests.append(request)
        return iter(self.pieces)


class Bedrock:
    """A boto3 client, with the two operations in the form the tests read best."""

    def __init__(self, client):
        self.client = client

    def invoke(self, body=None, model=LLAMA, **options):
        body = {"prompt": "Hi"} if body is None else body
        payload = body if isinstance(body, (bytes, str)) else json.dumps(body)
        response = self.client.invoke_model(modelId=model, body=payload, **options)
        return json.loads(response["body"].read()), response["ResponseMetadata"]["HTTPHeaders"]

    def stream(self, body=None, model=LLAMA, **options):
        body = {"prompt": "Hi"} if body is None else body
        response = self.client.invoke_model_with_response_stream(
            modelId=model, body=json.dumps(body), **options
        )
        # A stream that is left half-read keeps its socket: close it whatever happens.
        with contextlib.closing(response["body"]) as events:
            for event in events:
                yield json.loads(event["chunk"]["bytes"])


@pytest.fixture
def connect():
    """A function that makes boto3 clients for a running server, and closes them after the test."""
    with contextlib.ExitStack() as stack:

        def make(server, region="us-east-2", key="AKIDEXAMPLE", secret="wJalrXUtnFEMI", **config):
            settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 5, **config}
            client = boto3.client(
                "bedrock-runtime",
                region_name=region,
                endpoint_url=server.endpoint_url,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                config=Config(**settings),
            )
            stack.callback(client.close)
            return Bedrock(client)

        yield make


@pytest.fixture
def hello():
    """An engine that answers in four pieces."""
    return Pieces("Hel", "lo", " world", "!")


@pytest.fixture
def server(hello):
    """A running endpoint without faults."""
    with LocalBedrock(hello) as running:
        yield running


@pytest.fixture
def bedrock(server, connect):
    """A boto3 client of that endpoint."""
    return connect(server)


@pytest.fixture
def pieces_engine():
    """The engine class, for tests that need other pieces."""
    return Pieces
