"""boto3 clients of the services that one local endpoint answers."""

import contextlib
import functools
import json
import time

import boto3
import pytest
from botocore.config import Config

from llama_bedrock.local import Account, LocalBedrock
from llama_bedrock.testing import ScriptedEngine


def until(get, *final, member="status"):
    """Ask until a state is final; gives the last answer and the states seen."""
    seen, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = get()
        if answer[member] not in seen:
            seen.append(answer[member])
        if answer[member] in final:
            return answer, seen
        time.sleep(0.01)
    raise AssertionError(f"only {seen}")


@pytest.fixture(scope="session")
def session():
    """One for all tests: it keeps the models of the services, which take long to read."""
    return boto3.Session()


@pytest.fixture
def plane(session):
    """Function: settings of `Account` → function (service, region) → boto3 client of a running endpoint."""
    with contextlib.ExitStack() as stack:

        def start(engine=None, state=None, **settings):
            account = Account(**{"pace": 0.01, "wake_seconds": 0.05, **settings})
            engine = engine or ScriptedEngine(["Hello"], repeat=True)
            server = stack.enter_context(LocalBedrock(engine, account=account, state=state))

            @functools.cache
            def client(service="bedrock", region="us-west-2"):
                made = session.client(
                    service,
                    region_name=region,
                    endpoint_url=server.endpoint_url,
                    aws_access_key_id="AKIDEXAMPLE",
                    aws_secret_access_key="wJalrXUtnFEMI",
                    config=Config(retries={"total_max_attempts": 1}, read_timeout=20),
                )
                stack.callback(made.close)
                return made

            client.server, client.until = server, until
            return client

        yield start


@pytest.fixture
def s3(bucket, session, s3_endpoint):
    """Function: key → bytes; with a second argument, writes."""
    settings = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "endpoint_url": s3_endpoint}
    client, name = session.client("s3", region_name="us-east-1", **settings), bucket.removeprefix("s3://")

    def access(key, value=None):
        if value is None:
            return client.get_object(Bucket=name, Key=key)["Body"].read()
        body = value if isinstance(value, bytes) else "\n".join(json.dumps(v) for v in value).encode()
        client.put_object(Bucket=name, Key=key, Body=body)
        return f"{bucket}/{key}"

    access.uri = bucket
    access.names = lambda: [o["Key"] for o in client.list_objects_v2(Bucket=name).get("Contents", [])]
    yield access
    client.close()
