"""Message content of any provider's shape, read into text, images, tool calls and tool results.

Understood: strings; LangChain's content blocks (``text``, ``text-plain``, ``image`` and, with a text type,
``file``); OpenAI's ``image_url``, ``input_text``, ``output_text``, ``input_image``, ``refusal``; Anthropic's
``text``, ``image``, ``document`` and ``search_result`` with text, ``tool_use``, ``tool_result``; Bedrock
Converse's untyped blocks.

Left out, because Llama has no place for them: reasoning of other models, their provider-side tool calls and
results, cache points. Everything else (audio, video, PDF) is refused by name: a prompt never holds a Python
repr.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import ToolCall

from llama_bedrock.prompts.images import ImagePart, read_image


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text of a turn. Parts of a turn are joined with nothing between them, as LangChain's ``.text`` does."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned: text with images, the id of its call, its name where known, and whether it
    failed.
    """

    parts: tuple[TextPart | ImagePart, ...]
    call_id: str | None
    name: str | None
    status: str


@dataclass(slots=True)
class Content:
    """What one message's content holds, in order of each kind."""

    parts: list[TextPart | ImagePart] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[ToolResult] = field(default_factory=list)


_TEXT_KEYS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_IMAGES = frozenset({"image", "image_url", "input_image"})
_DOCUMENTS = frozenset({"text-plain", "file", "document", "search_result", "input_file"})
_CALLS = frozenset({"tool_use", "tool_call", "function_call", "toolUse"})
_RESULTS = frozenset({"tool_result", "toolResult"})
_LEFT_OUT = frozenset(
    {
        "reasoning",
        "thinking",
        "redacted_thinking",
        "reasoning_content",
        "reasoningContent",
        "tool_call_chunk",
        "invalid_tool_call",
        "input_json_delta",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "server_tool_use",
        "web_search_call",
        "web_search_tool_result",
        "code_execution_tool_result",
        "cachePoint",
        "cache_point",
    }
)
_UNTYPED = ("text", "image", "json", "toolUse", "toolResult", "cachePoint", "reasoningContent", "image_url")
_ADVICE = {
    "audio": "Llama on Bedrock does not hear; send a transcript as text.",
    "video": "Llama on Bedrock does not watch video; send single frames as images.",
    "file": "Send its text: llama_bedrock.retrievers.load_documents extracts it.",
}
_KINDS = {
    "input_audio": "audio",
    "audio": "audio",
    "audio_url": "audio",
    "video": "video",
    "video_url": "video",
}


def read_content(
    content: str | Sequence[str | Mapping[str, Any]] | None, where: str, *, is_tool: bool = False
) -> Content:
    """Read the content of one message.

    Args:
        content: ``message.content``, or the content of a tool result block.
        where: Name of the message, for errors.
        is_tool: It comes from a tool: an object of no known type is then data, and becomes JSON.

    Raises:
        ValueError: A block of a kind Llama cannot take, malformed, or with data that would have to be
            fetched.
    """
    found = Content()
    if content is None:
        return found
    for block in [content] if isinstance(content, str) else content:
        if isinstance(block, str):
            found.parts.append(TextPart(block))
        elif isinstance(block, Mapping):
            _read_block(_typed(block), found, where, is_tool)
        else:
            raise ValueError(f"{where}: a content block is a string or a dict, not {type(block).__name__}")
    return found


def _read_block(block: Mapping[str, Any], found: Content, where: str, is_tool: bool) -> None:
    kind = block.get("type")
    if kind == "non_standard" and isinstance(block.get("value"), Mapping):
        _read_block(_typed(block["value"]), found, where, is_tool)
    elif kind in _TEXT_KEYS and isinstance(block.get(_TEXT_KEYS[kind]), str):
        found.parts.append(TextPart(block[_TEXT_KEYS[kind]]))
    elif kind in _IMAGES:
        found.parts.append(read_image(_image_data(block, where), where))
    elif kind in _DOCUMENTS:
        found.parts.append(TextPart(_document_text(block, where)))
    elif kind in _CALLS:
        found.calls.append(read_call(block, where))
    elif kind in _RESULTS:
        found.results.append(_result(block, where))
    elif kind in _KINDS:
        raise ValueError(f"{where} holds {kind!r} content. {_ADVICE[_KINDS[kind]]}")
    elif kind == "json" or (is_tool and kind not in _LEFT_OUT and kind not in _TEXT_KEYS):
        found.parts.append(
            TextPart(_as_json(block["json"] if kind == "json" and "json" in block else block, where))
        )
    elif kind not in _LEFT_OUT:
        raise ValueError(
            f"{where} holds a content block of type {kind!r} that cannot become text or an image; "
            'send {"type": "text", "text": …} or {"type": "image", "base64": …, "mime_type": …}'
        )


def _typed(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bedrock Converse names the kind of a block by its key; give such a block a type."""
    if "type" in block:
        return block
    for key in _UNTYPED:
        if key in block:
            inner = block[key]
            merge = isinstance(inner, Mapping) and key not in ("json", "image_url")
            return {**inner, "type": key} if merge else {**block, "type": key}
    return block


def _image_data(block: Mapping[str, Any], where: str) -> str | bytes:
    source = block.get("source")
    for holder in (block, source if isinstance(source, Mapping) else {}):
        for key in ("base64", "data", "bytes", "url", "image_url"):
            value = holder.get(key)
            if isinstance(value, Mapping):
                value = value.get("url")
            if isinstance(value, (str, bytes)) and value:
                return value
            if isinstance(value, (bytearray, memoryview)):
                return bytes(value)
    raise ValueError(
        f"{where}: an image block needs its data as base64, bytes or a data: URL; "
        "files kept by a provider (file_id, S3) are not fetched"
    )


def _document_text(block: Mapping[str, Any], where: str) -> str:
    """Text of a text document, under its title; other documents are refused."""
    source = block.get("source")
    inner = source if isinstance(source, Mapping) else block
    mime = str(block.get("mime_type") or inner.get("media_type") or inner.get("mime_type") or "")
    text = inner.get("text")
    if text is None and (inner.get("type") == "text" or inner.get("source_type") == "text"):
        text = inner.get("data")
    if text is None and isinstance(block.get("content"), Sequence):
        text = _plain(block["content"], where)
    encoded = inner.get("base64") or inner.get("data")
    if (
        text is None
        and encoded is not None
        and (block.get("type") == "text-plain" or mime.startswith("text/"))
    ):
        text = _decoded_text(encoded, where)
    if not isinstance(text, str):
        raise ValueError(f"{where} holds a {mime or block.get('type')} document. {_ADVICE['file']}")
    title = block.get("title")
    return f"{title}\n{text}" if isinstance(title, str) and title else text


def _decoded_text(encoded: str | bytes, where: str) -> str:
    try:
        raw = (
            encoded
            if isinstance(encoded, bytes)
            else base64.b64decode("".join(encoded.split()), validate=True)
        )
        return raw.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ValueError(f"{where} holds a text document that is not UTF-8 in base64") from None


def _plain(content: str | Sequence[Any], where: str) -> str:
    return "".join(part.text for part in read_content(content, where).parts if isinstance(part, TextPart))


def read_call(block: Mapping[str, Any], where: str) -> ToolCall:
    """Read a past tool call, in the form of any provider.

    Raises:
        ValueError: It has no name, or its arguments are no JSON object.
    """
    name = block.get("name")
    found = (block[key] for key in ("input", "args", "arguments") if block.get(key) is not None)
    arguments: Any = next(found, {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            arguments = None
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        raise ValueError(
            f"{where} holds a tool call block without a name or with arguments that are no JSON object"
        )
    call_id = block.get("id") or block.get("call_id") or block.get("toolUseId")
    return ToolCall(name=name, args=dict(arguments), id=call_id, type="tool_call")


def _result(block: Mapping[str, Any], where: str) -> ToolResult:
    parts = tuple(read_content(block.get("content"), where, is_tool=True).parts)
    failed = bool(block.get("is_error")) or block.get("status") == "error"
    call_id = block.get("tool_use_id") or block.get("toolUseId")
    return ToolResult(parts, call_id, block.get("name"), "error" if failed else "success")


def _as_json(value: Any, where: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        raise ValueError(f"{where} holds a tool result that is neither text nor JSON") from None
