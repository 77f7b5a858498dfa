"""Graphs for ``langgraph dev`` and its chat UI (see langgraph.json): a RAG agent and a tool agent.

With AWS credentials they talk to Bedrock; with LLAMA_BEDROCK_LOCAL=1 in the environment (or in .env) to the
local extractive engine. DOCUMENTS names the folder to answer from.
"""

import asyncio
import os
import warnings
from functools import cache
from pathlib import Path

from langgraph.graph.state import CompiledStateGraph

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.agents import create_rag_agent, create_tool_agent
from llama_bedrock.catalog import LlamaLifecycleWarning
from llama_bedrock.local import LocalBedrock
from llama_bedrock.retrievers import FAISSStore, HybridRetriever, load_documents, split_documents

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"


@cache
def model() -> ChatLlamaBedrock:
    """The chat model of both graphs."""
    region = os.environ.get("AWS_REGION", "us-east-1")
    if not os.environ.get("LLAMA_BEDROCK_LOCAL"):
        return ChatLlamaBedrock(model=MODEL, region_name=region)
    server = LocalBedrock()
    server.start()  # until the process ends
    warnings.simplefilter("ignore", LlamaLifecycleWarning)  # nothing of Bedrock is called
    return ChatLlamaBedrock(
        model=MODEL, region_name=region, endpoint_url=server.endpoint_url, api_key="local"
    )


def herd_size(farm: str) -> int:
    """Number of llamas on a farm."""
    return len(farm) * 7


@cache
def _rag_agent() -> CompiledStateGraph:
    folder = Path(os.environ.get("DOCUMENTS", Path(__file__).parent / "documents"))
    store = FAISSStore.from_documents(split_documents(load_documents(folder)), None)
    return create_rag_agent(model(), HybridRetriever(store=store, k=4))


async def documents() -> CompiledStateGraph:
    """A RAG agent over a folder of documents, which are read beside the server's event loop."""
    return await asyncio.to_thread(_rag_agent)


@cache
def _tool_agent() -> CompiledStateGraph:
    return create_tool_agent(model(), [herd_size])


async def tools() -> CompiledStateGraph:
    """An agent with a tool."""
    return await asyncio.to_thread(_tool_agent)
