"""Message content of any provider's shape, read into text, images, tool calls and tool results.

Understood: strings; LangChain's content blocks; what langchain-openai (Chat and Responses),
langchain-anthropic, langchain-google-genai and langchain-aws write into messages and take in them; Bedrock
Converse's untyped blocks.

One rule for what Llama has no place for, by who said it:

* The user: refused by name (audio, video, PDF, files kept by a provider): nothing the user gave is lost.
* The assistant: another provider's model wrote it, and it cannot be given again. Text and refusals are text,
  calls are calls, files it made stand as a note (``[image]``). Reasoning, and what the provider ran itself
  (search, fetch, code, file search, MCP …) with its results, is left out: Llama cannot call it, a result in
  the assistant's voice would be trusted as its own, and the turn's text tells what came of it.
* A tool: audio, video and files stand as a note, other objects become JSON.

A prompt never holds a Python repr.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import InvalidToolCall, ToolCall

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
    unreadable: list[InvalidToolCall] = field(default_factory=list)
    provider_calls: set[str] = field(default_factory=set)  # ids of calls that the provider ran itself
    results: list[ToolResult] = field(default_factory=list)


Speaker = Literal["system", "user", "assistant", "tool"]

_TEXT_KEYS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_IMAGES = frozenset({"image", "image_url", "input_image"})
_DOCUMENTS = frozenset({"text-plain", "file", "document", "search_result", "input_file"})
_CALLS = frozenset({"tool_use", "tool_call", "function_call", "custom_tool_call", "toolUse"})
# Tools of OpenAI that the caller runs, whose results come back as messages: name and arguments are elsewhere.
_CALLERS_TOOLS = {
    "computer_call": ("computer", ("action", "actions")),
    "local_shell_call": ("local_shell", ("action",)),
    "shell_call": ("shell", ("action",)),
    "apply_patch_call": ("apply_patch", ("operation",)),
}
_RESULTS = frozenset({"tool_result", "toolResult"})
_OUTPUTS = frozenset({"custom_tool_call_output", "computer_call_output", "function_call_output"})
_GUARDED = frozenset({"guard_content", "guardContent", "citations_content", "citationsContent"})
_LEFT_OUT = frozenset({
    "reasoning", "thinking", "redacted_thinking", "reasoning_content", "reasoningContent",
    "tool_call_chunk", "input_json_delta", "server_tool_call", "server_tool_call_chunk",
    "server_tool_result", "server_tool_use", "mcp_tool_use", "web_search_call", "file_search_call",
    "code_interpreter_call", "mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response",
    "tool_search_call", "tool_search_output", "executable_code", "code_execution_result", "compaction",
    "configuration_update", "additional_tools", "cachePoint", "cache_point",
})  # fmt: skip
_UNTYPED = (
    "text", "image", "document", "audio", "video", "json", "toolUse", "toolResult", "guardContent",
    "citationsContent", "cachePoint", "reasoningContent", "image_url",
)  # fmt: skip
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
_MIME_KINDS = {"image": "image", "audio": "audio", "video": "video"}
_TEXT_FORMATS = frozenset({"txt", "md", "csv", "html"})  # of Converse's documents, those that are plain text


def read_content(content: str | Sequence[Any] | None, where: str, *, speaker: Speaker = "user") -> Content:
    """Read the content of one message.

    Args:
        content: ``message.content``, or the content of a tool result block.
        where: Name of the message, for errors.
        speaker: Who said it, which decides about what Llama has no place for; see the head of this module.

    Raises:
        ValueError: A block that is malformed, has data that would have to be fetched, or, from the user or
            the system, is of a kind Llama cannot take.
    """
    found = Content()
    if content is None:
        return found
    for block in [content] if isinstance(content, str) else content:
        if isinstance(block, str):
            found.parts.append(TextPart(block))
        elif isinstance(block, Mapping):
            _read_block(_typed(block), found, where, speaker)
        elif speaker == "tool":
            found.parts.append(TextPart(_as_json(block, where)))
        else:
            raise ValueError(f"{where}: a content block is a string or a dict, not {type(block).__name__}")
    return found


def _read_block(block: Mapping[str, Any], found: Content, where: str, speaker: Speaker) -> None:
    kind = block.get("type")
    if kind == "non_standard" and isinstance(block.get("value"), Mapping):
        _read_block(_typed(block["value"]), found, where, speaker)
    elif kind in _TEXT_KEYS and isinstance(block.get(_TEXT_KEYS[kind]), str):
        found.parts.append(TextPart(block[_TEXT_KEYS[kind]]))
    elif kind in _GUARDED:
        found.parts += read_content(_guarded(block), where, speaker=speaker).parts
    elif kind in _OUTPUTS and speaker == "tool":
        output = block.get("output")
        blocks = [output] if isinstance(output, (str, Mapping)) else output
        found.parts += read_content(blocks, where, speaker=speaker).parts
    elif kind in _RESULTS:
        found.results.append(_result(block, where))
    elif speaker == "assistant":
        _read_of_assistant(block, found, where)
    elif _is_medium(block):
        found.parts.append(_medium(block, where, speaker))
    elif kind == "json" or (speaker == "tool" and kind not in _LEFT_OUT and kind not in _TEXT_KEYS):
        found.parts.append(
            TextPart(_as_json(block["json"] if kind == "json" and "json" in block else block, where))
        )
    elif kind in _CALLS:
        found.calls.append(read_call(block, where))
    elif kind not in _LEFT_OUT and not str(kind).endswith("_tool_result"):
        raise ValueError(
            f"{where} holds a content block of type {kind!r} that cannot become text or an image; "
            'send {"type": "text", "text": …} or {"type": "image", "base64": …, "mime_type": …}'
        )


def _read_of_assistant(block: Mapping[str, Any], found: Content, where: str) -> None:
    """A block that some provider's model wrote: it is never refused."""
    kind = block.get("type")
    if kind in _CALLS or kind == "invalid_tool_call" or kind in _CALLERS_TOOLS:
        _read_past_call(block, found, where)
    elif kind == "image_generation_call":
        found.parts.append(TextPart("[image]"))
    elif kind == "text-plain" or (kind == "document" and not _is_remote(block)):
        try:
            found.parts.append(TextPart(_document_text(block, where)))
        except ValueError:
            found.parts.append(_note(block))
    elif _is_medium(block):
        found.parts.append(_note(block))
    elif isinstance(block.get("text"), str) and kind not in _LEFT_OUT and not _is_thought(kind):
        found.parts.append(TextPart(block["text"]))
    else:
        call_id = block.get("id") or block.get("call_id")
        if call_id:
            found.provider_calls.add(str(call_id))


def _read_past_call(block: Mapping[str, Any], found: Content, where: str) -> None:
    if block.get("type") in _CALLERS_TOOLS:
        name, keys = _CALLERS_TOOLS[block["type"]]
        arguments: Any = next((block[key] for key in keys if block.get(key)), {})
        arguments = dict(arguments) if isinstance(arguments, Mapping) else {keys[-1]: arguments}
        block = {"name": name, "args": arguments, "call_id": block.get("call_id") or block.get("id")}
    try:
        if block.get("type") == "invalid_tool_call":
            raise ValueError(block.get("error"))
        found.calls.append(read_call(block, where))
    except ValueError as error:
        raw = next(
            (block[key] for key in ("args", "arguments", "input", "partial_json") if block.get(key)), ""
        )
        found.unreadable.append(
            InvalidToolCall(
                type="invalid_tool_call",
                name=block.get("name"),
                args=raw if isinstance(raw, str) else _as_json(raw, where),
                id=_call_id(block),
                error=str(error),
            )
        )


def _is_thought(kind: Any) -> bool:
    return any(word in str(kind) for word in ("reason", "think", "thought", "summary"))


def _guarded(block: Mapping[str, Any]) -> Any:
    """The content inside Converse's guard content and citations content, whose nesting differs by writer."""
    inner = block.get(block["type"], block)
    while isinstance(inner, Mapping) and "content" not in inner and isinstance(inner.get("text"), Mapping):
        inner = inner["text"]
    if isinstance(inner, Mapping) and isinstance(inner.get("content"), Sequence):
        return inner["content"]
    if isinstance(inner, Mapping):
        inner = {key: value for key, value in inner.items() if key != "type" or value != block["type"]}
    return [inner]


def _is_medium(block: Mapping[str, Any]) -> bool:
    kind = block.get("type")
    return kind in _IMAGES or kind in _DOCUMENTS or kind in _KINDS or kind == "media"


def _medium(block: Mapping[str, Any], where: str, speaker: Speaker) -> TextPart | ImagePart:
    """An image or a document that Llama can read; else a note of what a tool returned, or an error."""
    kind = block["type"]
    if kind == "media":  # Gemini's: what it is stands in the MIME type
        kind = _MIME_KINDS.get(str(block.get("mime_type")).split("/")[0], "file")
    try:
        if kind in _IMAGES:
            return read_image(_image_data(block, where), where)
        if kind not in _KINDS:
            return TextPart(_document_text(block, where))
    except ValueError:
        # A damaged image of a tool is an error; one kept elsewhere, and a document of any kind, is none.
        if speaker == "tool" and (kind not in _IMAGES or _is_remote(block)):
            return _note(block)
        raise
    if speaker == "tool":
        return _note(block)
    raise ValueError(f"{where} holds {kind!r} content. {_ADVICE[_KINDS[kind]]}")


def _note(block: Mapping[str, Any]) -> TextPart:
    """What stands for a file that Llama cannot be shown: its kind, and its title and address if any."""
    kind = str(block["type"])
    if kind == "media":
        kind = _MIME_KINDS.get(str(block.get("mime_type")).split("/")[0], "file")
    kind = "image" if kind in _IMAGES else _KINDS.get(kind, "file")
    if isinstance(transcript := block.get("transcript"), str) and transcript:
        return TextPart(transcript)
    image = block.get("image_url")
    places = [block.get(key) for key in ("url", "file_uri", "file_url")]
    places.append(image.get("url") if isinstance(image, Mapping) else image)
    told = [block.get(key) for key in ("title", "name", "filename")]
    # Some write the data itself where others write an address.
    told += [place for place in places if "://" in str(place)[:20]]
    words = [" ".join(word.split()) for word in told if isinstance(word, str)]
    return TextPart(f"[{' '.join([kind, *words])}]")


def _is_remote(block: Mapping[str, Any]) -> bool:
    """True if the block names a file that is kept elsewhere."""
    inner = block.get("file") if isinstance(block.get("file"), Mapping) else block.get("source", block)
    holders = [holder for holder in (block, inner) if isinstance(holder, Mapping)]
    names = ("url", "image_url", "file_uri", "file_url", "file_id", "s3Location", "s3location", "uri")
    values = [value for holder in holders for name in names if (value := holder.get(name))]
    values = [
        value.get("url") if isinstance(value, Mapping) and "url" in value else value for value in values
    ]
    return any(not str(value).startswith("data:") for value in values)


def _typed(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bedrock Converse names the kind of a block by its key; give such a block a type."""
    if "type" in block:
        return block
    for key in _UNTYPED:
        if key in block:
            inner = block[key]
            merge = isinstance(inner, Mapping) and key not in ("json", "image_url", "guardContent")
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
    for key in ("document", "file"):  # Converse's and OpenAI's form: the document is an object of its own
        if isinstance(block.get(key), Mapping):
            block = {**block, **block[key]}
    source = block.get("source")
    inner = source if isinstance(source, Mapping) else block
    mime = str(block.get("mime_type") or inner.get("media_type") or inner.get("mime_type") or "")
    text = inner.get("text")
    if text is None and (inner.get("type") == "text" or inner.get("source_type") == "text"):
        text = inner.get("data")
    content = inner.get("content") or block.get("content")
    if text is None and isinstance(content, Sequence):
        text = _plain(content, where)
    encoded = inner.get("base64") or inner.get("data") or inner.get("bytes") or block.get("file_data")
    if text is None and encoded is not None and _is_plain(block, mime, encoded):
        text = _decoded_text(encoded, where)
    if not isinstance(text, str):
        raise ValueError(f"{where} holds a {mime or block.get('type')} document. {_ADVICE['file']}")
    title = block.get("title") or block.get("name")
    return f"{title}\n{text}" if isinstance(title, str) and title else text


def _is_plain(block: Mapping[str, Any], mime: str, encoded: Any) -> bool:
    is_plain = block.get("type") == "text-plain" or block.get("format") in _TEXT_FORMATS
    return is_plain or mime.startswith("text/") or str(encoded)[:10] == "data:text/"


def _decoded_text(encoded: str | bytes, where: str) -> str:
    if isinstance(encoded, str) and encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
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
    found = (block[key] for key in ("input", "args", "arguments", "partial_json") if block.get(key))
    arguments: Any = next(found, {})
    if block.get("type") == "custom_tool_call" and isinstance(arguments, str):
        arguments = {"__arg1": arguments}  # free text; LangChain's name for it
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(name, str) or not name or not isinstance(arguments, Mapping):
        raise ValueError(
            f"{where} holds a tool call block without a name or with arguments that are no JSON object"
        )
    return ToolCall(name=name, args=dict(arguments), id=_call_id(block), type="tool_call")


def _call_id(block: Mapping[str, Any]) -> str | None:
    # OpenAI's ``id`` numbers the item of its answer; results and LangChain's tool_calls name the ``call_id``.
    return block.get("call_id") or block.get("id") or block.get("toolUseId") or None


def _result(block: Mapping[str, Any], where: str) -> ToolResult:
    parts = tuple(read_content(block.get("content"), where, speaker="tool").parts)
    failed = bool(block.get("is_error")) or block.get("status") == "error"
    call_id = block.get("tool_use_id") or block.get("toolUseId")
    return ToolResult(parts, call_id, block.get("name"), "error" if failed else "success")


def _as_json(value: Any, where: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        raise ValueError(f"{where} holds a tool result that is neither text nor JSON") from None
