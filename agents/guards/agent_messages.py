"""What the middleware reads out of an agent's messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    ToolCall,
    ToolMessage,
)

TokenCounter = Callable[[str], int]
IMAGE_TOKENS = 1_601 * 4
"""Most tokens of one image: four tiles of 1,601 (Bedrock user guide, limits of Llama 3.2 vision)."""


def current_run(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """The messages since the user last spoke."""
    start = next((i for i in reversed(range(len(messages))) if isinstance(messages[i], HumanMessage)), -1)
    return messages[start + 1 :]


def last_ai_message(messages: Sequence[AnyMessage]) -> AIMessage | None:
    """The newest message of the model."""
    return next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)


def pending_calls(messages: Sequence[AnyMessage]) -> list[ToolCall]:
    """The tool calls of the model's newest message that have no result yet."""
    last = last_ai_message(messages)
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    return [call for call in last.tool_calls if call["id"] not in answered] if last else []


def call_key(name: str | None, arguments: Any) -> str:
    """A call as one text: equal for equal calls, whatever the order of the arguments."""
    return f"{name}({json.dumps(arguments, sort_keys=True, default=str, ensure_ascii=False)})"


def refuse_calls(calls: Sequence[ToolCall], text: str, marker: str) -> list[AnyMessage]:
    """A result for each call that says why it was not run; ``marker`` goes into the message's metadata."""
    return [_refusal(call, text, marker) for call in calls]


def refuse_unreadable(calls: Sequence[InvalidToolCall]) -> list[AnyMessage]:
    """A result for each call that could not be read; it tells the model what was wrong."""
    advice = "Write the call again without that mistake, or answer without it."
    return [_refusal(call, f"Not run: {reason_of(call)}. {advice}", "unreadable") for call in calls]


def _refusal(call: ToolCall | InvalidToolCall, text: str, marker: str) -> ToolMessage:
    return ToolMessage(
        text,
        name=call["name"] or "unknown",
        tool_call_id=call["id"] or "",
        status="error",
        response_metadata={"llama_bedrock": marker},
    )


def reason_of(call: InvalidToolCall) -> str:
    """Why a call could not be read, as the parser says it, without a full stop."""
    return (call["error"] or "it could not be read as a call").strip().rstrip(".")


def is_marked(message: AnyMessage, marker: str) -> bool:
    """Whether a message was written by :func:`refuse_calls` with this marker."""
    return bool(message.response_metadata.get("llama_bedrock") == marker)


def has_image(block: Any) -> bool:
    """Whether a content block is an image, in any of LangChain's ways to write one."""
    if not isinstance(block, dict):
        return False
    mime = str(block.get("mime_type") or "")
    return block.get("type") in ("image", "image_url", "input_image") or mime.startswith("image/")


def message_tokens(message: BaseMessage, count_tokens: TokenCounter) -> int:
    """Estimated tokens of a message in a prompt: header, text, calls and images."""
    total = 4 + count_tokens(message.text)
    if isinstance(message.content, list):
        total += IMAGE_TOKENS * sum(map(has_image, message.content))
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            total += 4 + count_tokens(call_key(call["name"], call["args"]))
    return total
