"""Converse and ConverseStream for Llama, with the restrictions that Llama has there on Bedrock.

Tools only where the model card has them, chosen by the model only, and never while streaming ("This model
doesn't support tool use in streaming mode."); no further model fields; turns that alternate. Bedrock's own
template is not published: the prompt is that of Meta's format, written by our renderer.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from llama_bedrock.local.runtime.body_validation import malformed
from llama_bedrock.local.runtime.frames import ServiceError, event_frame, invalid, shapes_checked
from llama_bedrock.local.runtime.invoke_model import Invocation, admit, stream_invocation
from llama_bedrock.local.runtime.json_bodies import parse_body
from llama_bedrock.local.runtime.served_call import Call
from llama_bedrock.local.runtime.served_models import ModelTarget
from llama_bedrock.prompts.conversation import build_conversation
from llama_bedrock.prompts.render import render
from llama_bedrock.tools.events import TextDelta, to_tool_calls
from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
from llama_bedrock.tools.rendering import render_tools
from llama_bedrock.tools.spec import ToolChoice, ToolSpec

if TYPE_CHECKING:
    from aiohttp import web

_MOST_STOPS = 4
_IMAGE_FORMATS = ("png", "jpeg", "gif", "webp")
_STOP_REASONS = {"length": "max_tokens"}


async def converse(call: Call) -> web.StreamResponse:
    """Serve ``Converse``."""
    answer = await converse_answer(call)
    usage = answer["usage"]
    call.state.plane.log.add(call, answer, tokens=(usage["inputTokens"], usage["outputTokens"]))
    return await call.respond(json.dumps(answer).encode())


async def converse_answer(call: Call) -> dict[str, Any]:
    """The answer in one piece.

    Raises:
        ServiceError: The request is refused, or the engine failed.
    """
    invocation, tools = await _admit_conversation(call, streaming=False)
    try:
        text = await invocation.whole_text()
    finally:
        invocation.settle()
    content, called = _content(text, tools)
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if called else _stop_reason(invocation),
        **_last_members(invocation),
    }


async def converse_stream(call: Call) -> web.StreamResponse:
    """Serve ``ConverseStream``."""
    invocation, _ = await _admit_conversation(call, streaming=True)
    invocation.frames = _ConverseFrames(invocation)
    return await stream_invocation(invocation, {})


class _ConverseFrames:
    """The events of one streamed answer."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def text(self, text: str, *, first: bool) -> list[bytes]:
        delta = event_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
        return [event_frame("messageStart", {"role": "assistant"}), delta] if first else [delta]

    def last(self, *, first: bool) -> list[bytes]:
        return [
            *(self.text("", first=True) if first else []),
            event_frame("contentBlockStop", {"contentBlockIndex": 0}),
            event_frame("messageStop", {"stopReason": _stop_reason(self._invocation)}),
            event_frame("metadata", _last_members(self._invocation)),
        ]

    def logged(self, text: str) -> Any:
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": _stop_reason(self._invocation),
            **_last_members(self._invocation),
        }


async def _admit_conversation(call: Call, *, streaming: bool) -> tuple[Invocation, list[ToolSpec]]:
    """Validate the request; returns it admitted, and the tools that may be called."""
    body = call.body
    model = call.state.plane.find_served(call.resource, call.caller.region)
    prompt_format = model.prompt_format or call.state.chat_template
    with shapes_checked():
        messages = [*_system(body.get("system") or ()), *_messages(body.get("messages") or ())]
        tools = _tools(body.get("toolConfig"), model, streaming=streaming)
        headers = _as_headers(body)
        sampling, stops = _sampling(body.get("inferenceConfig") or {})
    extra = body.get("additionalModelRequestFields") or {}
    if extra:
        raise malformed(*(f"#: extraneous key [{key}] is not permitted" for key in extra))
    try:
        rendered = render(
            build_conversation(messages),
            prompt_format,
            vision=model.accepts_images,
            special_tokens="escape",
            tool_instructions=render_tools(tools, "pythonic", choice=ToolChoice()) or None,
        )
    except (ValueError, TypeError, NotImplementedError, KeyError) as error:
        raise invalid(f"The messages cannot be sent to this model: {error}") from error
    native = {
        "prompt": rendered.text,
        **sampling,
        **({"images": list(rendered.images)} if rendered.images else {}),
    }
    request = replace(parse_body(native, replace(model, imported=False), prompt_format), stop=stops)
    return await admit(call, model, request, headers), tools


def _system(blocks: Sequence[Mapping[str, Any]]) -> list[BaseMessage]:
    texts = [_guarded(block) if "guardContent" in block else block["text"] for block in blocks]
    return [SystemMessage("\n\n".join(texts))] if texts else []


def _guarded(block: Mapping[str, Any]) -> str:
    return str(block["guardContent"]["text"]["text"])


def _messages(turns: Sequence[Mapping[str, Any]]) -> list[BaseMessage]:
    """The turns as LangChain messages.

    Raises:
        ServiceError: ``ValidationException`` in Bedrock's words.
    """
    if not turns:
        raise invalid("The messages field must not be empty. Add a message and try again.")
    if turns[0]["role"] != "user":
        raise invalid(
            "A conversation must start with a user message. Try again with a conversation that starts "
            "with a user message."
        )
    found: list[BaseMessage] = []
    names: dict[str, str] = {}
    for number, turn in enumerate(turns):
        if turn["role"] != ("user", "assistant")[number % 2]:
            raise invalid(
                "A conversation must alternate between user and assistant roles. Make sure the conversation "
                "alternates between user and assistant roles and try again."
            )
        if not turn["content"]:
            raise invalid(
                f"The content field in the Message object at messages.{number} is empty. Add a ContentBlock "
                "object to the content field and try again."
            )
        found += (
            _assistant(turn["content"], names)
            if turn["role"] == "assistant"
            else _user(turn["content"], names)
        )
    if turns[-1]["role"] != "user":
        raise invalid(
            "The model does not support assistant message prefill. The conversation must end with a user "
            "message."
        )
    return found


def _assistant(blocks: Sequence[Mapping[str, Any]], names: dict[str, str]) -> list[BaseMessage]:
    calls = [block["toolUse"] for block in blocks if "toolUse" in block]
    names.update((call["toolUseId"], call["name"]) for call in calls)
    text = "".join(block["text"] for block in blocks if "text" in block)
    return [AIMessage(text, tool_calls=[
        {"name": call["name"], "args": call["input"], "id": call["toolUseId"]} for call in calls
    ])]  # fmt: skip


def _user(blocks: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[BaseMessage]:
    found: list[BaseMessage] = []
    content: list[str | dict[Any, Any]] = []
    for block in blocks:
        if "text" in block or "guardContent" in block:
            content.append({"type": "text", "text": block.get("text") or _guarded(block)})
        elif "image" in block:
            image = block["image"]
            if image["format"] not in _IMAGE_FORMATS:
                raise invalid("The provided image does not match the specified image format.")
            content.append({"type": "image", "base64": image["source"]["bytes"],
                            "mime_type": f"image/{image['format']}"})  # fmt: skip
        elif "toolResult" in block:
            result = block["toolResult"]
            if result["toolUseId"] not in names:
                raise invalid(f"The toolResult with id {result['toolUseId']} has no matching toolUse block.")
            texts = [
                part["text"] if "text" in part else json.dumps(part["json"]) for part in result["content"]
            ]
            status = "error" if result.get("status") == "error" else "success"
            found.append(ToolMessage("\n".join(texts), tool_call_id=result["toolUseId"], status=status,
                                     name=names[result["toolUseId"]]))  # fmt: skip
        elif "cachePoint" in block:
            raise invalid(
                "This model doesn't support prompt caching. Remove the cachePoint block and try again."
            )
        else:
            raise invalid(f"This model doesn't support the {next(iter(block), 'empty')} content block.")
    return [*found, HumanMessage(content)] if content else found


def _tools(config: Mapping[str, Any] | None, model: ModelTarget, *, streaming: bool) -> list[ToolSpec]:
    """The tools offered.

    Raises:
        ServiceError: The model takes none, none while it streams, or no choice but its own.
    """
    if not config:
        return []
    if model.info is None or not model.info.converse_tools:
        raise invalid("This model doesn't support tool use.")
    if streaming:
        raise invalid("This model doesn't support tool use in streaming mode.")
    choice = next(iter(config.get("toolChoice") or {"auto": {}}))
    if choice != "auto":
        raise invalid(f"This model doesn't support the toolConfig.toolChoice.{choice} field. Remove "
                      f"toolConfig.toolChoice.{choice} and try again.")  # fmt: skip
    specs = [tool["toolSpec"] for tool in config["tools"]]
    return [ToolSpec(s["name"], s.get("description") or "", dict(s["inputSchema"]["json"])) for s in specs]


def _sampling(config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The sampling members of Llama's own body, and the stop sequences."""
    renamed = {"maxTokens": "max_gen_len", "temperature": "temperature", "topP": "top_p"}
    stops = tuple(config.get("stopSequences") or ())
    if len(stops) > _MOST_STOPS:
        raise invalid(f"The number of stop sequences must be at most {_MOST_STOPS}.")
    return {renamed[key]: value for key, value in config.items() if key in renamed}, stops


def _as_headers(body: Mapping[str, Any]) -> dict[str, str]:
    """The options of the body as the headers in which InvokeModel has them."""
    guardrail = body.get("guardrailConfig") or {}
    found = {
        "X-Amzn-Bedrock-GuardrailIdentifier": guardrail.get("guardrailIdentifier"),
        "X-Amzn-Bedrock-GuardrailVersion": guardrail.get("guardrailVersion"),
        "X-Amzn-Bedrock-Trace": guardrail.get("trace", "disabled").upper() if guardrail else None,
        "X-Amzn-Bedrock-PerformanceConfig-Latency": (body.get("performanceConfig") or {}).get("latency"),
        "X-Amzn-Bedrock-Service-Tier": (body.get("serviceTier") or {}).get("type"),
        "X-Amzn-Bedrock-Request-Metadata": json.dumps(body["requestMetadata"])
        if "requestMetadata" in body
        else None,
    }
    return {name: value for name, value in found.items() if value}


def _content(text: str, tools: Sequence[ToolSpec]) -> tuple[list[dict[str, Any]], bool]:
    """The blocks of an answer, and whether it calls tools."""
    if not tools:
        return [{"text": text}], False
    parser = ToolCallParser(tools)
    events = [*parser.feed(text), *parser.close("stop")]
    calls, invalid_calls = to_tool_calls(events)
    if invalid_calls:
        raise ServiceError("ModelErrorException", "Model produced invalid sequence as part of ToolUse.")
    words = "".join(event.text for event in events if isinstance(event, TextDelta))
    blocks: list[dict[str, Any]] = [{"text": words}] if words or not calls else []
    for call in calls:
        use = {"toolUseId": f"tooluse_{uuid.uuid4().hex[:22]}", "name": call["name"], "input": call["args"]}
        blocks.append({"toolUse": use})
    return blocks, bool(calls)


def _stop_reason(invocation: Invocation) -> str:
    if invocation.guardrail is not None and invocation.guardrail.intervened:
        return "guardrail_intervened"
    if invocation.generation.matched_stop:
        return "stop_sequence"
    return _STOP_REASONS.get(invocation.stop_reason, "end_turn")


def _last_members(invocation: Invocation) -> dict[str, Any]:
    """Usage, latency and what options were used."""
    metrics = invocation.metrics()
    taken, given = metrics["inputTokenCount"], metrics["outputTokenCount"]
    found: dict[str, Any] = {
        "usage": {"inputTokens": taken, "outputTokens": given, "totalTokens": taken + given},
        "metrics": {"latencyMs": metrics["invocationLatency"]},
    }
    if "X-Amzn-Bedrock-PerformanceConfig-Latency" in invocation.options:
        found["performanceConfig"] = {
            "latency": invocation.options["X-Amzn-Bedrock-PerformanceConfig-Latency"]
        }
    guardrail = invocation.guardrail_members().get("amazon-bedrock-trace")
    if guardrail is not None:
        trace = guardrail["guardrail"]
        outputs = {key: [value] for one in trace["outputs"] for key, value in one.items()}
        found["trace"] = {"guardrail": {"inputAssessment": trace["input"], "outputAssessments": outputs}}
    return found
