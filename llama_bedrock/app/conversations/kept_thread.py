"""One thread of a checkpointer, driven turn by turn, and what stopping leaves of a turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage, ToolCall
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Interrupt

    Graph: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]

ANSWER_NODE = "model"
"""The node of a graph that writes the answer, as LangChain's `create_agent` names it."""

CHAT_PREFIX = "chat:"
"""Before the name of a conversation, in the id of its thread; an agent's have another."""

_MOST_STEPS = 200  # of LangGraph, in one turn; LoopGuard ends circles long before
_STOPPED = "Stopped by the user; whether it had an effect is not known."


def check_thread(name: str) -> str:
    """The name of a conversation, without white space around it.

    Raises:
        ValueError: It is empty or has characters that are not for names.
    """
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise ValueError("a conversation (--thread) has a name of 1 to 100 printable characters")
    return name


class KeptThread:
    """One thread of a checkpointer.

    Attributes:
        graph: The graph that answers, with ``messages`` in its state and a checkpointer; may be replaced
            between two turns.
        thread: Name of the thread in the checkpointer.
        callbacks: LangChain's callbacks of the turns.
    """

    def __init__(self, graph: Graph, thread: str) -> None:
        self.graph = graph
        self.thread = thread
        self.callbacks: list[Any] = []

    @property
    def _config(self) -> RunnableConfig:
        place = {"thread_id": self.thread}
        return {"configurable": place, "recursion_limit": _MOST_STEPS, "callbacks": self.callbacks}

    async def stream(self, given: Any, *modes: str) -> AsyncGenerator[tuple[str, Any], None]:
        """Run the graph until it ends or asks; gives the mode and the data of each step.

        Args:
            given: Input of the graph, a ``Command``, or None to go on.
            modes: LangGraph's stream modes, besides ``updates``.
        """
        wanted: Any = ["updates", *modes]
        async for mode, data in self.graph.astream(
            given, self._config, stream_mode=wanted, durability="sync"
        ):
            yield mode, data

    async def messages(self) -> list[AnyMessage]:
        """The messages of the thread, oldest first."""
        state = await self.graph.aget_state(self._config)
        return list(state.values.get("messages", ()))

    async def unfinished(self) -> list[ToolCall] | None:
        """Tool calls that wait for their result in a turn that did not end; None if every turn did."""
        from llama_bedrock.agents.guards.agent_messages import pending_calls

        state = await self.graph.aget_state(self._config)
        return pending_calls(state.values.get("messages", ())) if state.next else None

    async def questions(self) -> tuple[Interrupt, ...]:
        """What the graph stopped to ask."""
        return tuple((await self.graph.aget_state(self._config)).interrupts)

    async def update(self, messages: list[Any]) -> None:
        """Add, replace or remove messages, as if the answer's node had."""
        await self.graph.aupdate_state(self._config, {"messages": messages}, as_node=ANSWER_NODE)
        await self._drop_tasks()

    async def clear(self) -> None:
        """Forget all messages of the thread."""
        if self.graph.checkpointer in (None, True, False):
            raise TypeError("the graph has no checkpointer")
        checkpointer: Any = self.graph.checkpointer
        await checkpointer.adelete_thread(self.thread)

    async def close_turn(self, partial: str = "") -> None:
        """Bring a turn that did not end to an end.

        What was written of the answer is kept, calls that wait for a result get one, and a question without
        any answer is taken back.

        Args:
            partial: What was written of the answer.
        """
        from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage

        from llama_bedrock.agents.guards.agent_messages import pending_calls, refuse_calls

        await self._drop_tasks()
        messages = await self.messages()
        update: list[Any] = refuse_calls(pending_calls(messages), _STOPPED, "cli.stopped")
        if partial:
            update.append(AIMessage(partial, response_metadata={"stop_reason": "interrupted"}))
        elif messages and isinstance(messages[-1], HumanMessage):
            update.append(RemoveMessage(id=str(messages[-1].id)))
        if update:
            await self.update(update)

    async def _drop_tasks(self) -> None:
        """Keep the results of tasks that ended, and forget the others."""
        from langgraph.graph import END

        if (await self.graph.aget_state(self._config)).next:
            await self.graph.aupdate_state(self._config, None, as_node=END)
