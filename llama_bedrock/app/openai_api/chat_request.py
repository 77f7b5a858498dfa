"""Reads the requests of OpenAI's clients: what is followed, what is ignored and reported, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.utils import convert_to_messages
from starlette.requests import Request

from llama_bedrock.app.http_errors import ApiError

IGNORED_HEADER = "x-llama-bedrock-ignored"
"""Header of an answer that names the fields of the request which Llama on Bedrock has no use for."""

# Fields that say nothing about the answer, or that ask for OpenAI's default.
_HARMLESS = frozenset({"user", "store", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"})
_CHAT = frozenset(
    {
        "model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens",
        "max_completion_tokens", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format",
        "n", "modalities",
    }
)  # fmt: skip
_RESPONSES = frozenset(
    {
        "model", "input", "instructions", "stream", "temperature", "top_p", "max_output_tokens", "tools",
        "tool_choice", "parallel_tool_calls", "text",
    }
)  # fmt: skip
_TOOLS_INSTEAD = "it was replaced by `tools` and `tool_choice`, which this server takes"
_REFUSED: Mapping[str, str] = {
    "logprobs": "Llama on Bedrock tells no probabilities",
    "top_logprobs": "Llama on Bedrock tells no probabilities",
    "audio": "Llama on Bedrock neither hears nor speaks",
    "functions": _TOOLS_INSTEAD,
    "function_call": _TOOLS_INSTEAD,
    "web_search_options": "this server does not search the web",
    "previous_response_id": "this server keeps no responses: send the whole conversation as `input`",
    "conversation": "this server keeps no conversations: send the whole conversation as `input`",
    "background": "this server keeps no responses: wait for this one, or stream it",
    "prompt": "this server keeps no prompt templates: send `instructions` and `input`",
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a client asks for.

    Attributes:
        model: Model id, ARN, alias, or ``documents``; None for the default.
        messages: The conversation.
        options: Arguments of the call: temperature, stop, response_format, and so on.
        tools: Definitions of tools, in Chat Completions' form.
        tool_choice: As OpenAI has it; None for the default.
        parallel: Whether several calls at once are wanted; None for the default.
        stream: Whether the answer is sent as it is written.
        include_usage: Whether a stream ends with the tokens.
        ignored: Fields that change nothing here.
    """

    model: str | None
    messages: list[BaseMessage]
    options: dict[str, Any] = field(default_factory=dict)
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: Any = None
    parallel: bool | None = None
    stream: bool = False
    include_usage: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """Headers that report what was ignored."""
        return {IGNORED_HEADER: ", ".join(self.ignored)} if self.ignored else {}


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        ApiError: There is none, or it or a header asks for a guardrail.
    """
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise ApiError(400, "the body must be a JSON object", code="invalid_json")
    for name in (*body, *request.headers):
        if "guardrail" in name.lower():  # as Bedrock's own OpenAI API takes it: never dropped in silence
            raise _bad(name, f"`{name}` is not possible: a guardrail is set where the server's model is made")
    return body


def read_chat(body: Mapping[str, Any]) -> ChatRequest:
    """A request of Chat Completions.

    Raises:
        ApiError: It asks for something that is not possible, or a field is not of its form.
    """
    _refuse(body)
    if body.get("n") not in (None, 1):
        raise _bad("n", "Llama on Bedrock gives one answer per call: leave `n` out")
    if "audio" in (body.get("modalities") or ()):
        raise _bad("modalities", "Llama on Bedrock neither hears nor speaks")
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise _bad("messages", "`messages` must be a list of at least one message")
    # OpenAI lets a message that calls tools have no content, LangChain does not.
    whole = [
        {"content": "", **one} if isinstance(one, dict) and one.get("tool_calls") else one for one in given
    ]
    messages = _converted(whole, "messages", "`messages`")
    tokens = body.get("max_completion_tokens") or body.get("max_tokens")
    stream_options = _typed(body, "stream_options", dict) or {}
    return ChatRequest(
        model=_typed(body, "model", str),
        messages=messages,
        options=_options(body, tokens, body.get("response_format")),
        tools=[_function(tool, tool.get("function")) for tool in _tools(body)],
        tool_choice=_choice(body),
        parallel=_typed(body, "parallel_tool_calls", bool),
        stream=bool(_typed(body, "stream", bool)),
        include_usage=bool(stream_options.get("include_usage")),
        ignored=_ignored(body, _CHAT),
    )


def read_response(body: Mapping[str, Any]) -> ChatRequest:
    """A request of Responses, without a memory: what is said before comes with it.

    Raises:
        ApiError: It asks for something that is not possible, or a field is not of its form.
    """
    _refuse(body)
    messages: list[BaseMessage] = []
    if instructions := _typed(body, "instructions", str):
        messages.append(SystemMessage(instructions))
    given = body.get("input")
    if isinstance(given, str):
        messages.append(HumanMessage(given))
    elif isinstance(given, list) and given:
        for item in given:
            _add_item(messages, item)
    else:
        raise _bad("input", "`input` must be a text or a list of items")
    return ChatRequest(
        model=_typed(body, "model", str),
        messages=messages,
        options=_options(body, body.get("max_output_tokens"), _text_format(body)),
        tools=[_function(tool, tool) for tool in _tools(body)],
        tool_choice=_choice(body),
        parallel=_typed(body, "parallel_tool_calls", bool),
        stream=bool(_typed(body, "stream", bool)),
        include_usage=True,
        ignored=_ignored(body, _RESPONSES),
    )


def _converted(given: list[Any], param: str, what: str) -> list[BaseMessage]:
    try:
        return convert_to_messages(given)
    # What LangChain raises for messages of other shapes differs by shape.
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError) as error:
        raise _bad(param, f"{what} cannot be read: {error}") from error


def _add_item(messages: list[BaseMessage], item: Any) -> None:
    """Add one item of Responses' ``input`` to the messages."""
    if not isinstance(item, Mapping):
        raise _bad("input", "each item of `input` must be an object")
    kind = item.get("type", "message")
    if kind == "message" and item.get("role"):
        message = {"role": item["role"], "content": _content(item.get("content"))}
        messages += _converted([message], "input", "a message of `input`")
    elif kind == "function_call":
        call = {
            "id": str(item.get("call_id")),
            "type": "function",
            "function": {"name": str(item.get("name")), "arguments": str(item.get("arguments") or "{}")},
        }
        last = messages[-1] if messages else None
        calls = convert_to_messages([{"role": "assistant", "content": "", "tool_calls": [call]}])[0]
        assert isinstance(calls, AIMessage)
        if isinstance(last, AIMessage):  # one turn of the assistant is several items here
            last.tool_calls += calls.tool_calls
            last.invalid_tool_calls += calls.invalid_tool_calls
        else:
            messages.append(calls)
    elif kind == "function_call_output":
        messages.append(ToolMessage(_content(item.get("output")), tool_call_id=str(item.get("call_id"))))
    elif kind != "reasoning":  # another model's thoughts, which Llama has no place for
        raise _bad("input", f"items of the type {kind!r} are not known here")


def _content(given: Any) -> Any:
    """Responses' content, with texts as LangChain has them: a message's ``.text`` knows no other."""
    if not isinstance(given, list):
        return given or ""
    keys = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
    return [
        {"type": "text", "text": part.get(keys[part["type"]]) or ""}
        if isinstance(part, Mapping) and part.get("type") in keys
        else part
        for part in given
    ]


def _options(body: Mapping[str, Any], max_tokens: Any, response_format: Any) -> dict[str, Any]:
    """The arguments of the call. Their ranges are Llama's, and are checked by the model."""
    for name in ("temperature", "top_p"):
        _typed(body, name, (int, float))
    if max_tokens is not None and (isinstance(max_tokens, bool) or not isinstance(max_tokens, int)):
        raise _bad("max_tokens", "the most tokens must be a whole number")
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if stops is not None and not (isinstance(stops, list) and all(isinstance(s, str) and s for s in stops)):
        raise _bad("stop", "`stop` must be a text or a list of texts, none of them empty")
    found = {
        "temperature": body.get("temperature"),
        "top_p": body.get("top_p"),
        "max_tokens": max_tokens,
        "stop": stops or None,
        "response_format": response_format,
    }
    return {name: value for name, value in found.items() if value is not None}


def _text_format(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Responses' ``text.format`` in Chat Completions' form."""
    form = (_typed(body, "text", dict) or {}).get("format")
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return form
    return {"type": "json_schema", "json_schema": {k: v for k, v in form.items() if k != "type"}}


def _tools(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    tools = _typed(body, "tools", list) or []
    for tool in tools:
        if not isinstance(tool, dict) or tool.get("type") != "function":
            kind = tool.get("type") if isinstance(tool, dict) else tool
            raise _bad("tools", f"tools are functions here, which the client runs; {kind!r} is not")
    return tools


def _function(tool: Mapping[str, Any], definition: Any) -> dict[str, Any]:
    if not isinstance(definition, Mapping) or not isinstance(definition.get("name"), str):
        raise _bad("tools", f"a tool needs a name: {json.dumps(tool)[:200]}")
    kept = ("name", "description", "parameters", "strict")
    found = {key: definition[key] for key in kept if definition.get(key) is not None}
    return {"type": "function", "function": {"parameters": {"type": "object", "properties": {}}, **found}}


def _choice(body: Mapping[str, Any]) -> Any:
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type") == "function" and "name" in choice:
        return {"type": "function", "function": {"name": choice["name"]}}  # as Responses has it
    return choice


def _refuse(body: Mapping[str, Any]) -> None:
    for name, why in _REFUSED.items():
        if body.get(name):
            raise _bad(name, f"`{name}` is not possible: {why}")


def _ignored(body: Mapping[str, Any], known: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        name
        for name, value in body.items()
        if value not in (None, False, [], {}) and name not in known and name not in _HARMLESS
    )


def _typed(body: Mapping[str, Any], name: str, kind: Any) -> Any:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        words = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}
        raise _bad(name, f"`{name}` must be {words.get(kinds[0], 'a number')}")
    return value


def _bad(param: str, message: str) -> ApiError:
    return ApiError(400, message, code="invalid_request", param=param)
