"""One program for every test: each kind of call of a model whose answers are given."""

import asyncio
import random

import pytest

MODEL = "meta.llama3-3-70b-instruct-v1:0"


def invoke(llm, **config):
    return llm.invoke("Who?", config=config)


def stream(llm, **config):
    chunks = list(llm.stream("Who?", config=config))
    return sum(chunks[1:], chunks[0])


def ainvoke(llm, **config):
    return asyncio.run(llm.ainvoke("Who?", config=config))


def astream(llm, **config):
    async def whole():
        return [chunk async for chunk in llm.astream("Who?", config=config)]

    chunks = asyncio.run(whole())
    return sum(chunks[1:], chunks[0])


WAYS = {"invoke": invoke, "stream": stream, "ainvoke": ainvoke, "astream": astream}


@pytest.fixture(params=WAYS)
def ask(request):
    """Function: (model, **config) → its answer, one for each way to call."""
    return WAYS[request.param]


@pytest.fixture
def no_waits(monkeypatch):
    """Retries follow at once."""
    monkeypatch.setattr(random, "random", lambda: 0.0)


@pytest.fixture
def retriever():
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    class Herd(BaseRetriever):
        def _get_relevant_documents(self, query, **_):
            return [
                Document("Llamas eat hay and grass.", metadata={"source": "herd.md", "score": 0.9}, id="a")
            ]

    return Herd()
