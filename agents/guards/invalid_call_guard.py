"""Tell the model what was wrong with a call that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain.agents.middleware.types import AgentMiddleware, AgentState, hook_config
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.runtime import Runtime

from llama_bedrock.agents.guards.agent_messages import (
    current_run,
    last_ai_message,
    reason_of,
    refuse_unreadable,
)
from llama_bedrock.argument_kinds import refuses_wrong_kinds

_GAVE_UP = "I stopped because I could not write a tool call that can be read. The last one failed: {reason}."


@refuses_wrong_kinds
class InvalidCallGuard(AgentMiddleware[AgentState[Any], Any, Any]):
    """Gives calls that cannot be read back to the model, with the reason.

    ``create_agent`` ends when a message holds nothing but `invalid_tool_calls`: the user gets an empty
    answer. This middleware answers each with a tool message that says what was wrong, in the words of the
    parser, so that the model can write the call again. Calls of the same message that can be read are run.

    When ``max_repairs`` messages in a row could not be repaired, the run ends, and the answer says why.
    Nothing is kept on the instance.
    """

    def __init__(self, max_repairs: int = 2) -> None:
        """Set how often a call may be written again.

        Args:
            max_repairs: How often in a row the model is asked to write an unreadable call again, at least 0.

        Raises:
            ValueError: ``max_repairs`` is negative.
        """
        super().__init__()
        if max_repairs < 0:
            raise ValueError(f"max_repairs must be at least 0, not {max_repairs}")
        self.max_repairs = max_repairs

    @hook_config(can_jump_to=["model", "end"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Look at the model's newest turn."""
        last = last_ai_message(state["messages"])
        if last is None or not last.invalid_tool_calls:
            return None
        if last.tool_calls:
            # The readable ones run next; the model then sees their results beside these reasons.
            return {"messages": refuse_unreadable(last.invalid_tool_calls)}
        if _unreadable_turns(current_run(state["messages"])) > self.max_repairs:
            return {"messages": [_ended(last)], "jump_to": "end"}
        return {"messages": refuse_unreadable(last.invalid_tool_calls), "jump_to": "model"}


def _unreadable_turns(run: Sequence[AnyMessage]) -> int:
    """How many turns of the model in a row, up to now, held nothing but calls that cannot be read."""
    count = 0
    for message in reversed(run):
        if isinstance(message, AIMessage):
            if message.tool_calls or not message.invalid_tool_calls:
                break
            count += 1
    return count


def _ended(last: AIMessage) -> AIMessage:
    """The model's last message as an answer: what it said besides the calls, and why they were not run."""
    said = _GAVE_UP.format(reason=reason_of(last.invalid_tool_calls[-1]))
    text = last.text.strip()
    return last.model_copy(
        update={
            "content": f"{text}\n\n{said}" if text else said,
            "invalid_tool_calls": [],
            "additional_kwargs": {},
        }
    )
