"""Tools, past calls and results as prompt text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import ToolCall

from llama_bedrock.choices import Dialect
from llama_bedrock.tools.spec import ToolChoice, ToolSpec, written_name

_WHEN = (
    "You can use the functions listed below. Use one only when the answer needs what it returns or does. "
    "When you can answer from what you know or from this conversation, or when no function fits, "
    "answer in plain words and call nothing. When a required value is neither given nor follows from the "
    "conversation, ask for it instead of making it up."
)
_PYTHONIC = (
    "To call functions, answer with nothing but one list of calls:\n"
    "[function_name(parameter=value, other_parameter=value), function_name(parameter=value)]\n"
    'Values are literals: "text", 12, 3.5, True, False, None, ["a", "b"], {"key": "value"}. '
    "Name every parameter and put text in quotes. No code block, no explanation, no other words."
)
_JSON = (
    "To call a function, answer with nothing but one JSON object:\n"
    '{"name": "function_name", "parameters": {"parameter": value, "other_parameter": value}}\n'
    "For several calls write one such object per line. No code block, no explanation, no other words."
)
_AFTER = (
    "What a function returned comes back to you in the next turn. When it holds what you need, answer the "
    "user in plain words; do not repeat a call that has been answered."
)
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$.-]*\Z")


def render_tools(
    specs: Sequence[ToolSpec], dialect: Dialect, *, choice: ToolChoice, parallel: bool = True
) -> str:
    """Write the instructions and the functions for the system message.

    Args:
        specs: The tools offered.
        dialect: How the model shall write calls.
        choice: Mode ``"none"`` gives an empty text: the model is not told of tools it must not call.
        parallel: False asks for no more than one call at a time.
    """
    if not specs or choice.mode == "none":
        return ""
    functions = ",\n".join(json.dumps(_shown(spec), ensure_ascii=False, default=str) for spec in specs)
    parts = [_WHEN, _PYTHONIC if dialect == "pythonic" else _JSON, _AFTER]
    if not parallel:
        parts.append("Make one call at a time, never several.")
    if choice.mode == "any":
        parts.append("In this turn you must call at least one function.")
    elif choice.mode == "tool":
        parts.append(f"In this turn you must call {written_name(str(choice.name))}.")
    return "\n\n".join([*parts, f"The functions, as JSON:\n[\n{functions}\n]"])


def _shown(spec: ToolSpec) -> dict[str, Any]:
    return {**spec.definition(), "name": spec.written_name}


def render_calls(calls: Sequence[ToolCall], dialect: Dialect) -> str:
    """Write calls the model made earlier the way it is asked to write them.

    Raises:
        ValueError: Arguments are nested too deep to be written.
    """
    try:
        if dialect == "json":
            return "\n".join(
                json.dumps(
                    {"name": written_name(c["name"]), "parameters": c["args"]},
                    ensure_ascii=False,
                    default=str,
                )
                for c in calls
            )
        return f"[{', '.join(_pythonic(call['name'], call['args']) for call in calls)}]"
    except RecursionError:
        raise ValueError("the arguments of a tool call in the history are nested too deep") from None


def _pythonic(name: str, args: Mapping[str, Any]) -> str:
    name = written_name(name)
    if all(_IDENTIFIER.match(key) for key in args):
        return f"{name}({', '.join(f'{key}={_literal(value)}' for key, value in args.items())})"
    return f"{name}({_literal(args)})"


def _literal(value: Any) -> str:
    """Write a value so that both Python and our parser read it back unchanged."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "None"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(str(k))}: {_literal(v)}' for k, v in value.items())}}}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value if isinstance(value, str) else str(value), ensure_ascii=False)


def render_result(text: str, *, name: str | None = None, status: str = "success") -> str:
    """Write what a tool returned; a failure is marked, so that the model does not take it for an answer.

    Args:
        text: The tool's output.
        name: The tool, where it is known.
        status: ``"success"`` or ``"error"``, as in LangChain's `ToolMessage`.
    """
    if status != "error":
        return text
    return f"Error from {name}: {text}" if name else f"Error: {text}"


def prefill(choice: ToolChoice, dialect: Dialect) -> str:
    """Return the text that begins the assistant's turn, so that a forced call cannot be missed."""
    name = written_name(choice.name or "")
    if dialect == "pythonic":
        return {"any": "[", "tool": f"[{name}("}.get(choice.mode, "")
    return {"any": '{"name": "', "tool": f'{{"name": "{name}", "parameters": {{'}.get(choice.mode, "")
