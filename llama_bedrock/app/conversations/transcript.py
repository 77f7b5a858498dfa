"""A conversation as a text to keep: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_SPEAKERS = {"human": "You", "ai": "Llama", "system": "System"}


def transcript(messages: Sequence[BaseMessage], *, as_json: bool) -> str:
    """The messages as one text.

    Args:
        messages: Oldest first.
        as_json: True for the form that LangChain's ``messages_from_dict`` reads, False for Markdown.
    """
    if as_json:
        from langchain_core.messages import messages_to_dict

        return json.dumps(messages_to_dict(messages), ensure_ascii=False, indent=2, default=str) + "\n"
    return "\n".join(_markdown(message) for message in messages)


def _markdown(message: BaseMessage) -> str:
    from langchain_core.messages import AIMessage

    name = _SPEAKERS.get(message.type) or f"Result of {message.name or message.type}"
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    parts = [str(message.text)] if message.text else []
    parts += [
        f"`{call['name']}({json.dumps(call['args'], ensure_ascii=False, default=str)})`" for call in calls
    ]
    return f"## {name}\n\n" + "\n\n".join(parts) + "\n"
