"""One way to call both shells, so that one table of scenarios tests both."""

import asyncio
import contextlib
import functools
import os
import time
from dataclasses import dataclass, field, replace
from functools import cache

import boto3
import pytest
from aiohttp import ClientSession
from botocore.config import Config

from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
from llama_bedrock.transport.aio import AsyncTransport
from llama_bedrock.transport.clients import boto_client
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.request import InvokeRequest, build_body
from llama_bedrock.transport.signing import signing_client
from llama_bedrock.transport.sync import SyncTransport

MODEL = "meta.llama3-3-70b-instruct-v1:0"
PROMPT = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
ANSWER = ["Ada ", "Lovelace ", "wrote it."]


@pytest.fixture(autouse=True)
def _one_aws_configuration(_no_aws_settings, monkeypatch):
    """The same empty configuration in every test, so that they share boto3 clients."""
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@dataclass
class Outcome:
    """What came of one call."""

    chunks: list = field(default_factory=list)
    error: BaseException | None = None
    seconds: float = 0.0

    @property
    def text(self):
        return "".join(chunk.text for chunk in self.chunks)


def warm_up(settings):
    """Make what the first call would make: the time of a call is to be that of a warm process."""
    with contextlib.suppress(Exception):
        signing_client(boto_client(settings))


class SyncMode:
    name = "sync"

    def settings(self, settings):
        return settings

    def run(self, settings, request, stream):
        settings = self.settings(settings)
        transport = SyncTransport(settings)
        warm_up(settings)
        outcome, started = Outcome(), time.monotonic()
        try:
            if stream:
                with contextlib.closing(transport.stream(request)) as chunks:
                    outcome.chunks.extend(chunks)
            else:
                outcome.chunks.append(transport.invoke(request))
        except Exception as error:
            outcome.error = error
        outcome.seconds = time.monotonic() - started
        return outcome


class ConfigMode(SyncMode):
    """A `Config` of the caller's own: botocore makes the call, over our sockets."""

    name = "config"

    def settings(self, settings):
        return replace(settings, config=settings.config or Config(user_agent_extra="mine"))


class ClientMode(SyncMode):
    """A client of the caller's own, with the deadlines that it has itself."""

    name = "client"

    def settings(self, settings):
        if settings.client is not None:
            return settings
        deadlines = settings.deadlines
        read = min(s for s in (deadlines.first_token, deadlines.total) if s is not None)
        client = own_client(settings.endpoint_url, deadlines.connect, read)
        return replace(settings, client=client)


@cache
def own_client(url, connect_timeout, read_timeout):
    config = Config(
        connect_timeout=connect_timeout, read_timeout=read_timeout, retries={"total_max_attempts": 1}
    )
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
    return boto3.client("bedrock-runtime", region_name="us-east-2", endpoint_url=url, config=config, **keys)


class AsyncMode:
    name = "async"

    def run(self, settings, request, stream):
        return asyncio.run(self._run(settings, request, stream))

    async def _run(self, settings, request, stream):
        warm_up(settings)
        outcome, started = Outcome(), time.monotonic()
        async with AsyncTransport(settings) as transport:
            try:
                if stream:
                    async with contextlib.aclosing(transport.stream(request)) as chunks:
                        async for chunk in chunks:
                            outcome.chunks.append(chunk)
                else:
                    outcome.chunks.append(await transport.invoke(request))
            except Exception as error:
                outcome.error = error
            outcome.seconds = time.monotonic() - started
        return outcome


class AiohttpMode(AsyncMode):
    """Something watches aiohttp, as OpenTelemetry, vcr and aioresponses do: it makes the call."""

    name = "aiohttp"


@contextlib.contextmanager
def watched_aiohttp():
    """Wrap what every call of aiohttp passes; yield the URLs that did."""
    pristine, seen = ClientSession._request, []

    @functools.wraps(pristine)
    async def watched(session, method, url, **options):
        seen.append(str(url))
        return await pristine(session, method, url, **options)

    ClientSession._request = watched
    try:
        yield seen
    finally:
        ClientSession._request = pristine


@pytest.fixture(params=[SyncMode(), AsyncMode()], ids=lambda mode: mode.name)
def mode(request):
    return request.param


WAYS = [SyncMode(), AsyncMode(), ConfigMode(), ClientMode(), AiohttpMode()]


@pytest.fixture(params=WAYS, ids=lambda mode: mode.name)
def way(request):
    """Each way that a call may go."""
    with watched_aiohttp() if request.param.name == "aiohttp" else contextlib.nullcontext():
        yield request.param


@pytest.fixture
def aiohttp_requests():
    """The URLs that aiohttp is asked for, while it is watched."""
    with watched_aiohttp() as seen:
        yield seen


@pytest.fixture(params=[False, True], ids=["invoke", "stream"])
def streamed(request):
    return request.param


@pytest.fixture
def make_request():
    """A request to the model, with anything replaced."""

    def make(**changes):
        body = build_body(prompt=PROMPT, max_tokens=64)
        return InvokeRequest(**{"model_id": MODEL, "body": body, **changes})

    return make


@pytest.fixture
def make_settings():
    """Settings for a server on loopback: signed, without retries unless asked for.

    The deadlines are far away, so that a busy machine passes none: a test of silence gives nearer ones.
    """

    def make(endpoint_url, **changes):
        defaults = {
            "region_name": "us-east-2",
            "endpoint_url": endpoint_url,
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": "secret",
            "timeout": Timeout(connect=20.0, first_token=20.0, idle=20.0),
            "max_retries": 0,
            "model_ready_timeout": 0.0,
        }
        return TransportSettings(**{**defaults, **changes})

    return make


@pytest.fixture(scope="module")
def server():
    """The local endpoint, which answers `ANSWER` for ever; tests set its faults."""
    with LocalBedrock(engine=ScriptedEngine([ANSWER], repeat=True)) as running:
        yield running


@pytest.fixture
def faulty(server):
    """Set the faults of the local endpoint for one test."""

    def set_faults(*faults):
        server.faults = faults
        return server

    yield set_faults
    server.faults = ()


@pytest.fixture
def answer():
    return "".join(ANSWER)
