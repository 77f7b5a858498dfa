"""Knowledge bases over a real socket: the local endpoint, and a service that gives canned answers."""

import asyncio
import concurrent.futures
import json
import threading

import boto3
import pytest
from aiohttp import web
from langchain_core.documents import Document

from llama_bedrock.local import LocalBedrock
from llama_bedrock.retrievers import FAISSStore

BASE = "LOCALKB001"

DOCUMENTS = [
    Document(
        "The context window of Llama 3.3 is 128,000 tokens.",
        id="c1",
        metadata={"source": "guide.md", "year": 2024, "tags": ["limits", "llama"], "page": 3},
    ),
    Document(
        "Llamas eat grass and hay. They are herbivores.",
        id="c2",
        metadata={"source": "s3://zoo/a.txt", "year": 2019},
    ),
    Document(
        "Bedrock streams answers token by token.",
        id="c3",
        metadata={"source": "https://x.org/y", "year": 2023},
    ),
    Document(
        "A guardrail filters prompts and answers.",
        id="c4",
        metadata={"source": "guide.md", "year": 2025, "page": 9},
    ),
]


@pytest.fixture(scope="session")
def store():
    """Four documents in a FAISS store."""
    return FAISSStore.from_documents(DOCUMENTS)


@pytest.fixture
def server(store):
    """The local endpoint with that store as a knowledge base."""
    with LocalBedrock(knowledge_bases={BASE: store}) as running:
        yield running


def connection(url, base=BASE):
    """Constructor arguments of every client of ours."""
    return {
        "knowledge_base_id": base,
        "region_name": "us-east-2",
        "endpoint_url": url,
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": "secret",
    }


@pytest.fixture
def settings(server):
    return connection(server.endpoint_url)


@pytest.fixture
def agent_runtime(server):
    """boto3's client of the same endpoint."""
    client = boto3.client(
        "bedrock-agent-runtime",
        region_name="us-east-2",
        endpoint_url=server.endpoint_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )
    yield client
    client.close()


class CannedService:
    """An HTTP server that gives prepared JSON answers in order, and keeps the requests."""

    def __init__(self):
        self.answers = []
        self.requests = []

    async def _answer(self, request):
        self.requests.append(await request.json())
        answer = self.answers.pop(0)
        status = answer.pop("status", 200) if isinstance(answer, dict) else 200
        headers = {"x-amzn-ErrorType": answer.pop("error")} if "error" in answer else {}
        return web.Response(
            body=json.dumps(answer).encode(), status=status, headers=headers, content_type="application/json"
        )

    async def _serve(self, started):
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        started.set_result(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await self._stopping.wait()
        await runner.cleanup()

    def __enter__(self):
        started = concurrent.futures.Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        self.url = started.result(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)


@pytest.fixture
def service():
    """A service whose answers the test writes."""
    with CannedService() as running:
        yield running


@pytest.fixture
def canned(service):
    """Constructor arguments for that service."""
    return connection(service.url)
