"""A RAG chain as a LangGraph graph, so that a checkpointer can remember the conversation."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import StreamWriter

from llama_bedrock.agents.rag.rag_chain import RagChain
from llama_bedrock.app.conversations.answer_record import ANSWER_KEY, answer_record
from llama_bedrock.app.conversations.kept_thread import ANSWER_NODE
from llama_bedrock.grounding.answers import RagAnswerChunk

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from llama_bedrock.app.conversations.kept_thread import Graph


def documents_graph(chain: RagChain, memory: BaseCheckpointSaver[str]) -> Graph:
    """A graph of one node: the chain answers the newest message.

    It streams ``RagAnswerChunk`` as ``custom``.
    """
    model = getattr(getattr(chain.model, "bound", chain.model), "model", None)

    async def answer(
        state: MessagesState, config: RunnableConfig, *, writer: StreamWriter
    ) -> dict[str, list[AnyMessage]]:
        total = RagAnswerChunk()
        async for chunk in chain.astream(state["messages"], config):
            writer(chunk)
            total = total + chunk
        sources = [citation.location for citation in total.citations if citation.quote]
        metadata: dict[str, Any] = {
            "sources": list(dict.fromkeys(sources)),
            ANSWER_KEY: answer_record(total.to_answer(), model),
        }
        message = AIMessage(
            total.text, id=str(uuid.uuid4()), response_metadata=metadata, usage_metadata=total.usage
        )
        return {"messages": [message]}

    graph = StateGraph(MessagesState)
    graph.add_node(ANSWER_NODE, answer)
    graph.add_edge(START, ANSWER_NODE)
    graph.add_edge(ANSWER_NODE, END)
    return graph.compile(checkpointer=memory, name="DocumentsChat")
