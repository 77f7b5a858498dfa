"""Content blocks of every provider become text and images, or are refused by name."""

from __future__ import annotations

import base64
import io

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.content import create_image_block, create_plaintext_block, create_text_block
from PIL import Image

from llama_bedrock.prompts.content import TextPart, read_content
from llama_bedrock.prompts.conversation import build_conversation
from llama_bedrock.prompts.images import ImagePart


def picture(kind="PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (5, 3), "green").save(out, kind)
    return out.getvalue()


RAW = picture()
B64 = base64.b64encode(RAW).decode()
URL = f"data:image/png;base64,{B64}"
HELLO = base64.b64encode(b"hello").decode()


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ("hello", "hello"),
        ({"type": "text", "text": "hello"}, "hello"),
        (
            {"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}, "annotations": []},
            "hello",
        ),
        (create_text_block("hello"), "hello"),
        ({"type": "input_text", "text": "hello"}, "hello"),
        ({"type": "output_text", "text": "hello"}, "hello"),
        ({"type": "refusal", "refusal": "no"}, "no"),
        ({"text": "hello"}, "hello"),
        (create_plaintext_block("hello"), "hello"),
        (create_plaintext_block("hello", title="notes.txt"), "notes.txt\nhello"),
        ({"type": "text-plain", "base64": HELLO, "mime_type": "text/plain"}, "hello"),
        ({"type": "file", "base64": HELLO, "mime_type": "text/csv"}, "hello"),
        ({"type": "file", "source_type": "text", "text": "hello"}, "hello"),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
            "hello",
        ),
        (
            {
                "type": "search_result",
                "title": "T",
                "source": "u",
                "content": [{"type": "text", "text": "hello"}],
            },
            "T\nhello",
        ),
        ({"type": "json", "json": {"a": [1, None]}}, '{"a": [1, null]}'),
        ({"type": "non_standard", "value": {"type": "text", "text": "hello"}}, "hello"),
    ],
)
def test_text_of_every_shape(block, text):
    content = block if isinstance(block, str) else [block]
    assert read_content(content, "message 1").parts == [TextPart(text)]
    assert read_content([block], "message 1").parts == [TextPart(text)]


@pytest.mark.parametrize(
    "block",
    [
        create_image_block(base64=B64, mime_type="image/png"),
        {"type": "image", "url": URL},
        {"type": "image", "base64": RAW, "mime_type": "image/png"},
        {"type": "image", "data": bytearray(RAW)},
        {"type": "image", "source_type": "base64", "data": B64, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
        {"type": "image_url", "image_url": URL},
        {"type": "input_image", "image_url": URL},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": B64}},
        {"image": {"format": "png", "source": {"bytes": RAW}}},
        {"type": "image", "base64": "\n".join([B64[:20], B64[20:]]), "mime_type": "image/png"},
        {"type": "image", "base64": B64, "mime_type": "image/jpeg"},  # a wrong declaration: the bytes decide
    ],
)
def test_images_of_every_shape(block):
    assert read_content([block], "message 1").parts == [ImagePart(B64, "image/png", 5, 3)]


@pytest.mark.parametrize(
    "kind",
    [
        "reasoning",
        "thinking",
        "redacted_thinking",
        "server_tool_call",
        "server_tool_result",
        "input_json_delta",
    ],
)
def test_reasoning_and_server_side_tools_of_other_models_are_left_out(kind):
    block = {"type": kind, "thinking": "hm", "reasoning": "hm", "signature": "x"}
    assert read_content([block, {"type": "text", "text": "so"}], "message 1").parts == [TextPart("so")]


def test_converse_cache_points_and_reasoning_are_left_out():
    blocks = [{"cachePoint": {"type": "default"}}, {"reasoningContent": {"reasoningText": {"text": "hm"}}}]
    assert read_content(blocks, "message 1").parts == []


def test_converse_tool_blocks_are_calls_and_results():
    content = read_content(
        [
            {"toolUse": {"toolUseId": "1", "name": "f", "input": {"a": 1}}},
            {
                "toolResult": {
                    "toolUseId": "1",
                    "status": "error",
                    "content": [{"text": "no"}, {"json": {"b": 2}}],
                }
            },
        ],
        "message 1",
    )
    assert content.calls == [{"name": "f", "args": {"a": 1}, "id": "1", "type": "tool_call"}]
    (result,) = content.results
    assert (result.call_id, result.status) == ("1", "error")
    assert result.parts == (TextPart("no"), TextPart('{"b": 2}'))


def test_openai_function_calls_hold_their_arguments_as_json_text():
    block = {"type": "function_call", "call_id": "7", "name": "f", "arguments": '{"a": 1}'}
    assert read_content([block], "message 1").calls == [
        {"name": "f", "args": {"a": 1}, "id": "7", "type": "tool_call"}
    ]


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}, "transcript"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "transcript"),
        ({"type": "video", "url": "https://example.com/v.mp4"}, "single frames"),
        (
            {"type": "file", "base64": HELLO, "mime_type": "application/pdf"},
            "application/pdf document.*load_documents",
        ),
        ({"type": "file", "file_id": "f-1"}, "load_documents"),
        (
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": HELLO},
            },
            "pdf",
        ),
        ({"type": "text-plain", "url": "https://example.com/a.txt"}, "document"),
        ({"type": "text-plain", "base64": "/////w=="}, "not UTF-8"),
        ({"type": "image", "url": "https://example.com/a.png"}, "not fetched"),
        ({"type": "image_url", "image_url": {"url": "http://169.254.169.254/x"}}, "not fetched"),
        ({"type": "image", "url": "s3://bucket/a.png"}, "not fetched"),
        ({"type": "image", "url": "file:///etc/passwd"}, "not fetched"),
        ({"type": "image", "file_id": "f-1"}, "needs its data"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "needs its data"),
        ({"type": "image", "base64": "no base64!"}, "neither base64"),
        ({"type": "image", "url": "data:image/svg+xml,<svg/>"}, "data URL"),
        ({"type": "image", "base64": HELLO}, "not a png, jpeg, gif or webp"),
        ({"type": "hologram"}, "'hologram'"),
        ({"type": "text", "text": None}, "'text'"),
        ({"a": 1}, "type None"),
        ({"type": "tool_use", "input": {}}, "without a name"),
        ({"type": "tool_call", "name": "f", "args": "[1]"}, "no JSON object"),
        (7, "a string or a dict, not int"),
    ],
)
def test_what_llama_cannot_take_is_refused_with_its_place(block, says):
    with pytest.raises(ValueError, match=says) as caught:
        read_content([block], "message 3 (human)")
    assert str(caught.value).startswith("message 3 (human)")


def test_no_message_ever_puts_a_python_repr_into_the_prompt():
    messages = [
        HumanMessage(
            [{"type": "text", "text": "look"}, create_image_block(base64=B64, mime_type="image/png")]
        ),
        AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "seen"}]),
    ]
    assert [turn.text for turn in build_conversation(messages).turns] == ["look", "seen"]


def test_data_that_json_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="neither text nor JSON"):
        read_content([{"value": {1, 2}}], "message 1", speaker="tool")
