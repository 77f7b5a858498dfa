"""A conversation with a LangGraph graph: its turns, what is remembered, and what Ctrl-C leaves of a turn."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llama_bedrock.app.conversations.kept_thread import KeptThread

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage, ToolCall
    from langgraph.types import Interrupt

    from llama_bedrock.app.conversations.kept_thread import Graph
    from llama_bedrock.cli.session.screen import Screen
    from llama_bedrock.cli.session.turns import TurnLoop

Decide = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Answers what a graph stopped to ask, as `Command(resume=…)` wants it."""


class KeptConversation:
    """One thread of a checkpointer, driven turn by turn from a program that waits for people."""

    def __init__(self, graph: Graph, thread: str, loop: TurnLoop, decide: Decide) -> None:
        """Make a conversation.

        Args:
            graph: With ``messages`` in its state, and a checkpointer.
            thread: Name of the thread.
            loop: Where the graph runs.
            decide: Asked when the graph interrupts itself.
        """
        self._kept = KeptThread(graph, thread)
        self._loop = loop
        self._decide = decide

    @property
    def graph(self) -> Graph:
        """The graph that answers; may be replaced between two turns."""
        return self._kept.graph

    @graph.setter
    def graph(self, graph: Graph) -> None:
        self._kept.graph = graph

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
        self._run(None, screen, self._loop.run(self._kept.questions()))

    def messages(self) -> list[AnyMessage]:
        """The messages of the thread, oldest first."""
        return self._loop.run(self._kept.messages())

    def unfinished(self) -> list[ToolCall] | None:
        """Tool calls that wait for their result in a turn that did not end; None if every turn did."""
        return self._loop.run(self._kept.unfinished())

    def close_turn(self, partial: str = "") -> None:
        """Bring a turn that did not end to an end.

        Args:
            partial: What was written of the answer.
        """
        self._loop.run(self._kept.close_turn(partial))

    def clear(self) -> None:
        """Forget all messages of the thread."""
        self._loop.run(self._kept.clear())

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
        async for mode, data in self._kept.stream(given, *screen.modes):
            if mode == "updates" and "__interrupt__" in data:
                asked += tuple(data["__interrupt__"])
            screen.show(mode, data)
        return asked
