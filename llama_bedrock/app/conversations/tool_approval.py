"""Which tools a person is asked about before they run, and what the person is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain.agents.middleware.types import AgentMiddleware
    from langchain_core.tools import BaseTool

READ_ONLY = "readOnlyHint"
DESTRUCTIVE = "destructiveHint"
"""Keys of a tool's metadata: MCP's annotations, which langchain-mcp-adapters puts there."""

DECLINED = "The user declined this call. Do not try it again unless the user asks for it."
"""What a model is told of a call that a person did not allow."""

_LONGEST_VALUE = 600
_MOST_ARGUMENTS = 30
_PLAIN = re.compile(r"(?:[\w.-]|\\u[0-9a-f]{4}){1,100}", re.ASCII)


def is_read_only(tool: BaseTool) -> bool:
    """Whether a tool says that it changes nothing, and not also that it destroys something."""
    said = tool.metadata or {}
    return said.get(READ_ONLY) is True and not said.get(DESTRUCTIVE)


def approval_middleware(names: Collection[str]) -> list[AgentMiddleware[Any, Any, Any]]:
    """LangChain's middleware that stops an agent before it runs one of these tools."""
    if not names:
        return []
    from langchain.agents.middleware import HumanInTheLoopMiddleware

    return [HumanInTheLoopMiddleware({name: {"allowed_decisions": ["approve", "reject"]} for name in names})]


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A tool call for the person who decides about it: on one line, in ASCII, with nothing left out unsaid.

    Whatever is not ASCII is escaped, so that no look-alike, invisible or turned-around letter can stand for
    something else, and a name that could pass for more than a name is in quotes. Of a long value or name, and
    of many arguments, the beginning, the end and the number are shown.
    """
    shown = [f"{_name_text(key)}={_value_text(value)}" for key, value in arguments.items()]
    if len(shown) > _MOST_ARGUMENTS:
        head, tail = shown[: _MOST_ARGUMENTS * 2 // 3], shown[-(_MOST_ARGUMENTS // 3) :]
        left_out = f"… {len(shown) - len(head) - len(tail):,} of {len(shown):,} arguments …"
        shown = [*head, left_out, *tail]
    return f"{_name_text(name)}({', '.join(shown)})"


def _value_text(value: Any) -> str:
    text = json.dumps(value, default=str)
    if len(text) <= _LONGEST_VALUE:
        return text
    head, tail = text[: _LONGEST_VALUE * 2 // 3], text[-(_LONGEST_VALUE // 3) :]
    return f"{head} … {len(text) - len(head) - len(tail):,} of {len(text):,} characters … {tail}"


def _name_text(name: str) -> str:
    text = json.dumps(name)
    return text[1:-1] if _PLAIN.fullmatch(text[1:-1]) else _value_text(name)
