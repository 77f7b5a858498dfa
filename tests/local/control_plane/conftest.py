"""boto3 clients of the services that one local endpoint answers."""

import contextlib
import functools

import boto3
import pytest
from botocore.config import Config

from llama_bedrock.local import Account, LocalBedrock
from llama_bedrock.testing import ScriptedEngine


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

            client.server = server
            return client

        yield start
