"""A tool agent behind the contract of Amazon Bedrock AgentCore's runtime. README.md says how to run it.

POST /invocations takes {"prompt": "…", "user": "…"} and streams events; the session's header names the
conversation. GET /ping tells whether it is well.
"""

import os
from collections.abc import AsyncIterator
from functools import cache
from typing import Any
from uuid import uuid4

from bedrock_agentcore import BedrockAgentCoreApp, RequestContext
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from starlette.exceptions import HTTPException

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.agents import create_tool_agent

app = BedrockAgentCoreApp()


def herd_size(farm: str) -> int:
    """Number of llamas on a farm."""
    return len(farm) * 7


def memory() -> BaseCheckpointSaver:
    """Where conversations are kept: AgentCore Memory, DynamoDB, or the session's machine while it lives."""
    if memory_id := os.environ.get("MEMORY_ID"):
        from langgraph_checkpoint_aws import AgentCoreMemorySaver

        return AgentCoreMemorySaver(memory_id)
    if table := os.environ.get("TABLE"):
        from langgraph_checkpoint_aws import DynamoDBSaver

        return DynamoDBSaver(table_name=table, ttl_seconds=30 * 86_400)
    return InMemorySaver()


@cache
def agent() -> CompiledStateGraph:
    """Made at the first call, which keeps the start of a session short."""
    llm = ChatLlamaBedrock(model=os.environ.get("MODEL", "us.meta.llama3-3-70b-instruct-v1:0"), temperature=0)
    return create_tool_agent(llm, [herd_size], checkpointer=memory())


@app.entrypoint
async def invoke(payload: dict[str, Any], context: RequestContext) -> AsyncIterator[dict[str, Any]]:
    """Check the request before the answer begins; what is given back is streamed."""
    prompt = payload.get("prompt") if isinstance(payload, dict) else None
    if not isinstance(prompt, str) or not prompt.strip():
        raise HTTPException(400, 'send {"prompt": "…"}, with a text')
    place = {"thread_id": context.session_id or uuid4().hex, "actor_id": str(payload.get("user", "anybody"))}
    return answer(prompt, place)


async def answer(prompt: str, place: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
    """The events of one turn: text, tool calls, their results."""
    asked, config = {"messages": [("user", prompt)]}, {"configurable": place}
    async for mode, data in agent().astream(asked, config, stream_mode=["messages", "updates"]):
        if mode == "messages":
            message = data[0]
            if isinstance(message, AIMessageChunk) and message.text:
                yield {"type": "text", "text": message.text}
            continue
        for message in [
            message for update in data.values() for message in (update or {}).get("messages", ())
        ]:
            if isinstance(message, ToolMessage):
                yield {"type": "tool_result", "name": message.name, "text": message.text}
            elif isinstance(message, AIMessage):
                for call in message.tool_calls:
                    yield {"type": "tool_call", "name": call["name"], "args": call["args"]}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8080")))
