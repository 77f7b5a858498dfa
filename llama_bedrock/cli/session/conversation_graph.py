"""A conversation with a LangGraph graph: its turns, what is remembered, and what Ctrl-C leaves of a turn."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage, ToolCall
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Interrupt

    from llama_bedrock.cli.session.screen import Screen
    from llama_bedrock.cli.session.turns import TurnLoop

    Graph: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]

Decide = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Answers what a graph stopped to ask, as `Command(resume=…)` wants it."""

ANSWER_NODE = "model"
"""The node of a graph that writes the answer, as LangChain's `create_agent` names it."""

_MOST_STEPS = 200  # of LangGraph, in one turn; LoopGuard ends circles long before
_STOPPED = "Stopped by the user; whether it had an effect is not known."


class KeptConversation:
    """One thread of a checkpointer, driven turn by turn.

    Attributes:
        graph: The graph that answers; may be replaced between two turns.
        thread: Name of the thread in the checkpointer.
    """

    def __init__(self, graph: Graph, thread: str, loop: TurnLoop, decide: Decide) -> None:
        """Make a conversation.

        Args:
            graph: With ``messages`` in its state, and a checkpointer.
            thread: Name of the thread.
            loop: Where the graph runs.
            decide: Asked when the graph interrupts itself.
        """
        self.graph = graph
        self.thread = thread
        self._loop = loop
        self._decide = decide

    @property
    def _config(self) -> RunnableConfig:
        return {"configurable": {"thread_id": self.thread}, "recursion_limit": _MOST_STEPS}

    def turn(self, text: str, screen: Screen) -> None:
        """Let the graph answer, and show it while it is written.

        Whatever ends the turn early, the thread stays in order: what was written of the answer is kept,
        calls that wait for a result get one, and a question without any answer is taken back.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        from langchain_core.messages import HumanMessage

        self._run({"messages": [HumanMessage(text, id=str(uuid.uuid4()))]}, screen)

    def resume(self, screen: Screen) -> None:
        """Go on with a turn that another process did not end."""
        self._run(None, screen, self._loop.run(self._open_questions()))

    def messages(self) -> list[AnyMessage]:
        """The messages of the thread, oldest first."""
        state = self._loop.run(self.graph.aget_state(self._config))
        return list(state.values.get("messages", ()))

    def unfinished(self) -> list[ToolCall] | None:
        """Tool calls that wait for their result in a turn that did not end; None if every turn did."""
        from llama_bedrock.agents.guards.agent_messages import pending_calls

        state = self._loop.run(self.graph.aget_state(self._config))
        return pending_calls(state.values.get("messages", ())) if state.next else None

    def close_turn(self, partial: str = "") -> None:
        """Bring a turn that did not end to an end.

        Args:
            partial: What was written of the answer.
        """
        self._loop.run(self._close_turn(partial))

    def clear(self) -> None:
        """Forget all messages of the thread."""
        self._loop.run(_checkpointer(self.graph).adelete_thread(self.thread))

    def _run(self, given: Any, screen: Screen, asked: tuple[Interrupt, ...] = ()) -> None:
        from langgraph.types import Command

        try:
            while True:
                if asked:
                    given = Command(resume={question.id: self._decide(question.value) for question in asked})
                asked = self._loop.run(self._stream(given, screen))
                screen.end()
                if not asked:
                    break
        except BaseException:  # Ctrl-C too
            partial = screen.partial
            screen.end()
            self.close_turn(partial)
            raise

    async def _stream(self, given: Any, screen: Screen) -> tuple[Interrupt, ...]:
        """Run the graph until it ends or asks; returns what it asks."""
        asked: tuple[Interrupt, ...] = ()
        modes: Any = ["updates", *screen.modes]
        stream = self.graph.astream(given, self._config, stream_mode=modes, durability="sync")
        mode: str
        data: Any
        async for mode, data in stream:
            if mode == "updates" and "__interrupt__" in data:
                asked += tuple(data["__interrupt__"])
            screen.show(mode, data)
        return asked

    async def _open_questions(self) -> tuple[Interrupt, ...]:
        return tuple((await self.graph.aget_state(self._config)).interrupts)

    async def _close_turn(self, partial: str) -> None:
        from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage

        from llama_bedrock.agents.guards.agent_messages import pending_calls, refuse_calls

        await self._drop_tasks()
        state = await self.graph.aget_state(self._config)
        messages = state.values.get("messages", [])
        update: list[Any] = refuse_calls(pending_calls(messages), _STOPPED, "cli.stopped")
        if partial:
            update.append(AIMessage(partial, response_metadata={"stop_reason": "interrupted"}))
        elif messages and isinstance(messages[-1], HumanMessage):
            update.append(RemoveMessage(id=str(messages[-1].id)))
        if update:
            await self.graph.aupdate_state(self._config, {"messages": update}, as_node=ANSWER_NODE)
            await self._drop_tasks()

    async def _drop_tasks(self) -> None:
        """Keep the results of tasks that ended, and forget the others."""
        from langgraph.graph import END

        if (await self.graph.aget_state(self._config)).next:
            await self.graph.aupdate_state(self._config, None, as_node=END)


def _checkpointer(graph: Graph) -> Any:
    if graph.checkpointer in (None, True, False):
        raise TypeError("the graph has no checkpointer")
    return graph.checkpointer
