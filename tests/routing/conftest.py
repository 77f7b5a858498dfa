"""Several local endpoints, one for each target, and a call in each of LangChain's ways."""

import asyncio
from contextlib import ExitStack
from functools import reduce
from operator import add

import pytest

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

SMALL, LARGE = "us.meta.llama3-1-8b-instruct-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"


def merged(chunks):
    return reduce(add, chunks)


async def _astream(llm, value, **given):
    return [chunk async for chunk in llm.astream(value, **given)]


CALLS = {
    "invoke": lambda llm, value, **given: llm.invoke(value, **given),
    "ainvoke": lambda llm, value, **given: asyncio.run(llm.ainvoke(value, **given)),
    "stream": lambda llm, value, **given: merged(list(llm.stream(value, **given))),
    "astream": lambda llm, value, **given: merged(asyncio.run(_astream(llm, value, **given))),
}


@pytest.fixture(params=CALLS)
def call(request):
    """Function: (model, input, arguments) → the answer, in each of the four ways."""
    return CALLS[request.param]


@pytest.fixture
def endpoint():
    """Function: (answers, options of `LocalBedrock`) → (server, engine)."""
    with ExitStack() as stack:

        def start(answers=("Hello.",), **options):
            engine = ScriptedEngine(answers, repeat=True)
            return stack.enter_context(LocalBedrock(engine, **options)), engine

        yield start


def llm_at(server, model=LARGE, region="us-east-2", **settings):
    """The chat model at an endpoint."""
    return ChatLlamaBedrock(
        model=model, region_name=region, endpoint_url=server.endpoint_url, api_key="geheim", **settings
    )
