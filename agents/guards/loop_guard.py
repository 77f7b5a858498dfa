"""Stop agents that go round in circles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    hook_config,
)
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage, ToolMessage
from langgraph.runtime import Runtime

from llama_bedrock.agents.guards.agent_messages import (
    call_key,
    current_run,
    is_marked,
    last_ai_message,
    pending_calls,
    refuse_calls,
    refuse_unreadable,
)
from llama_bedrock.argument_kinds import refuses_wrong_kinds

_WARNED = "loop_guard.warned"
_STOPPED = "loop_guard.stopped"
_WARNING = (
    "Not run: this call was made before with the same arguments, and its result stands above. "
    "Use that result, make a different call, or answer with what you know."
)
_END = "Not run: the same calls were repeated too often. Answer now with what you know, without tools."
_LAST_TURN = (
    "You have no tools any more, because you repeated the same calls. Answer the user now, in plain text, "
    "with what the results above hold, and say what is missing."
)


@refuses_wrong_kinds
class LoopGuard(AgentMiddleware[AgentState[Any], Any, Any]):
    """Ends a run in which the model repeats itself.

    A turn of the model in which every call was made before, with the same arguments and since the user last
    spoke, is a repeat; calls that alternate (A, B, A, B) are repeats too, and any new call starts the count
    again. The second repeat in a row is not run: the model is told. With the last one allowed, the run ends:
    the model is asked once more, without tools, for an answer with what it has.

    A turn with nothing but calls that cannot be read counts as a repeat, whatever they say: the third in a
    row ends the run. (`InvalidCallGuard` tells the model what was wrong with them.)

    Nothing is kept on the instance: one LoopGuard can serve any number of runs at the same time.
    """

    def __init__(
        self, max_repeats: int = 3, *, final_answer: bool = True, may_repeat: Collection[str] = ()
    ) -> None:
        """Set how many repeats are too many, and what ends the run.

        Args:
            max_repeats: The repeat with which the run ends, at least 1.
            final_answer: Ask the model for a last answer without tools; False ends with a text of our own.
            may_repeat: Names of tools that are asked again and again by nature, such as one that waits for a
                job.

        Raises:
            ValueError: ``max_repeats`` is less than 1.
        """
        super().__init__()
        if max_repeats < 1:
            raise ValueError(f"max_repeats must be at least 1, not {max_repeats}")
        self.max_repeats = max_repeats
        self.final_answer = final_answer
        self.may_repeat = frozenset(may_repeat)

    @hook_config(can_jump_to=["model", "end"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Look at the model's newest turn."""
        messages = state["messages"]
        last = last_ai_message(messages)
        if last is None:
            return None
        run = current_run(messages)
        if any(is_marked(message, _STOPPED) for message in run):
            return self._end_last_turn(last, run)
        calls = pending_calls(messages)
        if not calls and not (last.invalid_tool_calls and not last.tool_calls):
            return None
        repeats = self._repeats(run)
        if repeats >= self.max_repeats:
            return self._stop(last, run)
        if not calls:
            return {"messages": refuse_unreadable(last.invalid_tool_calls), "jump_to": "model"}
        if repeats >= 2:
            return {"messages": refuse_calls(calls, _WARNING, _WARNED), "jump_to": "model"}
        return None

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Take the tools away from the last turn of a run that goes in circles."""
        return handler(self._last_turn(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Take the tools away from the last turn of a run that goes in circles."""
        return await handler(self._last_turn(request))

    def _last_turn(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        if not any(is_marked(message, _STOPPED) for message in current_run(request.messages)):
            return request
        system = f"{request.system_prompt}\n\n{_LAST_TURN}" if request.system_prompt else _LAST_TURN
        return request.override(tools=[], tool_choice=None, system_message=SystemMessage(system))

    def _repeats(self, run: Sequence[AnyMessage]) -> int:
        """How many turns of the model in a row, up to now, held no new call."""
        seen: set[str] = set()
        streak = 0
        for message in run:
            if not isinstance(message, AIMessage):
                continue
            calls = [*message.tool_calls, *message.invalid_tool_calls]
            if calls and not message.tool_calls:
                streak += 1
                continue
            keys = {call_key(call["name"], call["args"]) for call in calls}
            free = any(call["name"] in self.may_repeat for call in calls)
            if keys and not free:
                streak = streak + 1 if keys <= seen else 0
            elif free:
                streak = 0
            seen |= keys
        return streak

    def _stop(self, last: AIMessage, run: Sequence[AnyMessage]) -> dict[str, Any]:
        answers = refuse_calls(pending_calls([*run]), _END, _STOPPED)
        if self.final_answer and answers:
            return {"messages": answers, "jump_to": "model"}
        return {"messages": [*answers, AIMessage(_summary(run))], "jump_to": "end"}

    def _end_last_turn(self, last: AIMessage, run: Sequence[AnyMessage]) -> dict[str, Any] | None:
        """The answer without tools, or, when even that is a call or nothing, a text of our own in its
        place.
        """
        names = {message.name for message in run if isinstance(message, ToolMessage)}
        text = last.text.strip()
        is_call = any(
            name and name in text[: len(name) + 12] and ("(" in text or "{" in text) for name in names
        )
        if text and not is_call and not last.tool_calls and not last.invalid_tool_calls:
            return None
        plain = last.model_copy(
            update={
                "content": _summary(run),
                "tool_calls": [],
                "invalid_tool_calls": [],
                "additional_kwargs": {},
            }
        )
        return {"messages": [plain], "jump_to": "end"}


def _summary(run: Sequence[BaseMessage]) -> str:
    """What the run has, when the model does not say it."""
    results = [m for m in run if isinstance(m, ToolMessage) and m.status != "error" and m.text.strip()]
    head = "I stopped because I was repeating the same steps without getting further."
    if not results:
        return f"{head} The tools gave no result that I could use."
    last = results[-1]
    text = last.text.strip()
    shown = text if len(text) <= 1_000 else text[:1_000] + " …"
    return f"{head} The last result, from {last.name or 'a tool'}:\n\n{shown}"
