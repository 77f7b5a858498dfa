"""The conversations of the page: the threads of the checkpointer, and which of them are being answered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from llama_bedrock._extras import require
from llama_bedrock.app.conversations.answer_record import ANSWER_KEY
from llama_bedrock.app.conversations.kept_thread import CHAT_PREFIX, KeptThread, check_thread
from llama_bedrock.app.conversations.postgres_threads import postgres_threads
from llama_bedrock.app.conversations.tool_approval import approval_middleware, call_text, is_read_only
from llama_bedrock.app.conversations.tool_failure import failure_middleware
from llama_bedrock.app.http_errors import ApiError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from llama_bedrock.app.app_state import AppState
    from llama_bedrock.app.conversations.kept_thread import Graph
    from llama_bedrock.grounding import Verifier

AGENT_PREFIX = "agent:"
"""Before the name of a conversation with tools, as the command line's `agent` names it."""

_PROMPTS_KEPT = 200
_AGENTS_KEPT = 8
_LONGEST_RESULT = 4000
_LOOK_SECONDS = 0.2


class SentPrompt(BaseCallbackHandler):
    """Remembers what a model was sent, for people who want to see it.

    Attributes:
        messages: Of the newest call.
        tools: What it was offered.
    """

    def __init__(self) -> None:
        self.messages: list[BaseMessage] = []
        self.tools: Any = None

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any
    ) -> None:
        self.messages = messages[0]
        self.tools = (kwargs.get("invocation_params") or {}).get("tools")


class PageThreads:
    """The conversations that the page shows.

    Args:
        state: Of the application.

    Attributes:
        running: Names of the conversations that are being answered.
        version: Grows whenever a conversation changes.
        prompts: What the model was sent, by id of the answer: model and prompt.
        closing: Held while the turn that another process left is closed, which takes several steps: whoever
            looked between two of them would find a question that is about to be taken back.
    """

    def __init__(self, state: AppState) -> None:
        self.state = state
        self.running: set[str] = set()
        self.version = 0
        self.prompts: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self.closing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._forgetful: Any = None
        self._agents: deque[tuple[BaseChatModel, Verifier | None, Graph]] = deque(maxlen=_AGENTS_KEPT)
        self._shared = postgres_threads(state.checkpointer)

    @property
    def memory(self) -> BaseCheckpointSaver[str]:
        """The application's checkpointer; without one, memory that lasts as long as the process."""
        if self.state.checkpointer is not None:
            return self.state.checkpointer
        if self._forgetful is None:
            self._forgetful = require("langgraph.checkpoint.memory", "agents").InMemorySaver()
        saver: BaseCheckpointSaver[str] = self._forgetful
        return saver

    @property
    def prefix(self) -> str:
        """What stands before a conversation's name in the checkpointer."""
        return AGENT_PREFIX if self.state.tools else CHAT_PREFIX

    def open(self, name: str, model: str | None = None, verifier: Verifier | None = None) -> KeptThread:
        """A conversation, driven by the graph that answers in it.

        Args:
            name: Its name.
            model: Id of the model that answers; None for the default.
            verifier: Judges the citations; None for the application's.
        """
        return KeptThread(self._graph(model, verifier), f"{self.prefix}{check_thread(name)}")

    def _graph(self, model: str | None, verifier: Verifier | None) -> Graph:
        create_agent: Callable[..., Graph] = require("langchain.agents", "agents").create_agent
        from llama_bedrock.agents import ContextGuard
        from llama_bedrock.app.conversations.documents_graph import documents_graph

        state, memory = self.state, self.memory
        llm = state.models.get(model)
        if state.tools:
            return self._agent(llm, verifier or state.verifier)
        if state.retriever is not None:
            return documents_graph(state.rag_chain(model, verifier), memory)
        return create_agent(llm, [], middleware=[ContextGuard()], checkpointer=memory, name="Chat")

    def _agent(self, llm: BaseChatModel, judge: Verifier | None) -> Graph:
        """The agent with the tools, made once for a model and a verifier: 400 tools take half a second."""
        from llama_bedrock.agents import create_rag_agent, create_tool_agent

        for known, verifier, agent in self._agents:
            if known is llm and verifier is judge:
                return agent
        tools, retriever = self.state.tools, self.state.retriever
        asked = [tool.name for tool in tools if not is_read_only(tool)]
        middleware = [*failure_middleware(tools), *approval_middleware(asked)]
        shared: dict[str, Any] = {"middleware": middleware, "checkpointer": self.memory}
        if retriever is None:
            made: Graph = create_tool_agent(llm, tools, **shared)
        else:
            made = create_rag_agent(llm, retriever, tools, verifier=judge, **shared)
        self._agents.append((llm, judge, made))
        return made

    async def listed(self) -> list[dict[str, Any]]:
        """Name and time of the last change of each conversation, newest first."""
        found: dict[str, str] = {}
        connection = getattr(self.memory, "conn", None)
        if self._shared is not None:
            found = await self._shared.newest()
        elif connection is not None:  # SQLite: one query instead of every checkpoint there is
            query = (
                "SELECT thread_id, MAX(checkpoint_id) FROM checkpoints WHERE checkpoint_ns = '' GROUP BY 1"
            )
            async with connection.execute(query) as cursor:
                found = dict(await cursor.fetchall())
        else:
            async for entry in self.memory.alist(None):
                place = entry.config["configurable"]
                found[place["thread_id"]] = max(found.get(place["thread_id"], ""), place["checkpoint_id"])
        ours = {t.removeprefix(self.prefix): n for t, n in found.items() if t.startswith(self.prefix)}
        newest_first = sorted(ours.items(), key=lambda item: item[1], reverse=True)
        return [{"name": name, "updated": _time_of(newest)} for name, newest in newest_first]

    @asynccontextmanager
    async def answering(self, name: str) -> AsyncIterator[None]:
        """Mark a conversation as being answered while the block lasts, for other servers too.

        Raises:
            ApiError: It is being answered already.
        """
        async with self.closing:  # who only looks holds a conversation for a moment
            taken = await self._take(name)
            if not taken and self._shared is not None and name not in self.running:
                await asyncio.sleep(_LOOK_SECONDS)  # at another server, too
                taken = await self._take(name)
        if not taken:
            raise ApiError(
                409,
                "this conversation is being answered in another tab: wait for it, or stop it there",
                code="conversation_busy",
            )
        self.tell()
        try:
            yield
        finally:
            await asyncio.shield(self._give(name))
            self.tell()

    async def settled(self, name: str, thread: KeptThread) -> bool:
        """Whether nobody is answering in a conversation; a turn that a stopped server left is closed."""
        if name in self.running:
            return False
        if await thread.unfinished() is None:
            return True
        async with self.closing:
            if not await self._take(name):
                return False
            try:
                if await thread.unfinished() == []:
                    await thread.close_turn()
            finally:
                await asyncio.shield(self._give(name))
        return True

    async def aclose(self) -> None:
        """Give up what the conversations of this server hold."""
        if self._shared is not None:
            await self._shared.aclose()

    async def _take(self, name: str) -> bool:
        if name in self.running:
            return False
        self.running.add(name)
        try:
            taken = self._shared is None or await self._shared.take(f"{self.prefix}{name}")
        except BaseException:
            self.running.discard(name)
            raise
        if not taken:
            self.running.discard(name)
        return taken

    async def _give(self, name: str) -> None:
        try:
            if self._shared is not None:
                await self._shared.give(f"{self.prefix}{name}")
        finally:
            self.running.discard(name)

    def tell(self) -> None:
        """Tell who waits that a conversation changed."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, version: int) -> None:
        """Wait until something changed since a version."""
        while self.version == version:
            await self._changed.wait()

    def remember_prompt(self, message_id: str, model: str | None, sent: SentPrompt) -> None:
        """Keep what the model was sent for an answer; the oldest are forgotten."""
        llm: Any = self.state.models.get(model)
        if not sent.messages or not hasattr(llm, "render_prompt"):
            return
        text = llm.render_prompt(sent.messages, tools=sent.tools).text
        self.prompts[message_id] = (str(getattr(llm, "model", "")), text)
        while len(self.prompts) > _PROMPTS_KEPT:
            self.prompts.popitem(last=False)


def message_json(message: BaseMessage) -> dict[str, Any]:
    """A message of a conversation for the page."""
    shown: dict[str, Any] = {"id": message.id, "role": "user", "text": str(message.text)}
    if isinstance(message, AIMessage):
        record = message.response_metadata.get(ANSWER_KEY)
        shown |= {
            "role": "assistant",
            "answer": record,
            "usage": message.usage_metadata,
            "stop_reason": message.response_metadata.get("stop_reason") or (record or {}).get("stop_reason"),
            "calls": [
                {"id": call["id"], "name": call["name"], "text": call_text(call["name"], call["args"])}
                for call in message.tool_calls
            ],
        }
    elif isinstance(message, ToolMessage):
        shown |= {
            "role": "tool",
            "name": message.name,
            "status": message.status,
            "text": shown["text"][:_LONGEST_RESULT],
            "call_id": message.tool_call_id,
        }
    elif message.type != "human":
        shown["role"] = message.type
    return shown


def _time_of(checkpoint_id: str) -> str | None:
    """The time in the id of a checkpoint, a UUID of version 6."""
    digits = checkpoint_id.replace("-", "")
    if len(digits) != 32 or digits[12] != "6":
        return None
    ticks = int(digits[:12] + digits[13:16], 16) - 0x01B21DD213814000  # of 100 ns, from 1582 to 1970
    return datetime.fromtimestamp(ticks / 1e7, UTC).isoformat(timespec="seconds")
