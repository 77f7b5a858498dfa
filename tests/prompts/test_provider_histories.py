"""Histories that other providers wrote come in without loss and without doubling.

The answers are the APIs' own JSON, read by each integration's own reader, so the messages are those that the
integration of the version installed really makes. Each is tried as it came, as LangChain's standard (v1) blocks,
and from a saved history.
"""

from __future__ import annotations

import base64
import io
import json

import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)
from PIL import Image

from llama_bedrock.prompts.conversation import build_conversation
from llama_bedrock.tools.rendering import render_result


def _picture() -> str:
    out = io.BytesIO()
    Image.new("RGB", (2, 2), "green").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


PNG = _picture()
CALL_1, CALL_2 = '[weather(city="Lima")]', '[weather(city="Lima"), weather(city="Rome")]'


# ---- readers: an API's JSON to the integration's message ----------------------------------------------------


def openai_chat(message):
    base = pytest.importorskip("langchain_openai.chat_models.base")
    return base._convert_dict_to_message(message)


def _response(output):
    pytest.importorskip("langchain_openai")
    from openai.types.responses import Response

    fields = {
        "id": "resp_1",
        "created_at": 1,
        "model": "gpt",
        "object": "response",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    return Response.model_validate({**fields, "output": output})


def openai_responses(output, version=None):
    read = pytest.importorskip("langchain_openai.chat_models.base")._construct_lc_result_from_responses_api

    return read(_response(output), output_version=version).generations[0].message


def openai_responses_v0(output):
    return openai_responses(output, "v0")


def anthropic(content):
    pytest.importorskip("langchain_anthropic")
    from anthropic.types.beta import BetaMessage
    from langchain_anthropic import ChatAnthropic

    message = BetaMessage.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": content,
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )
    return (
        ChatAnthropic(model="claude-sonnet-4-5", api_key="x")._format_output(message).generations[0].message
    )


def gemini(parts, model="gemini-3-pro"):
    chat_models = pytest.importorskip("langchain_google_genai.chat_models")
    from google.genai.types import Candidate

    candidate = Candidate.model_validate({"content": {"role": "model", "parts": parts}})
    return chat_models._parse_response_candidate(candidate, model_name=model)


def gemini_2(parts):
    return gemini(parts, "gemini-2.5-pro")


def converse(content):
    converse_module = pytest.importorskip("langchain_aws.chat_models.bedrock_converse")
    response = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
        "ResponseMetadata": {},
    }
    return converse_module._parse_response(response)


def standard(content):
    return AIMessage(content_blocks=content)


# ---- answers ------------------------------------------------------------------------------------------------


def _function_call(number, city):
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "name": "weather",
        "arguments": json.dumps({"city": city}),
        "status": "completed",
    }


def _said(text, **more):
    content = {"type": "output_text", "text": text, "annotations": [], **more}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [content],
    }


REASONED = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
RUN_BY_OPENAI = [
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://a.example"}]},
    },
    {
        "type": "file_search_call",
        "id": "fs_1",
        "status": "completed",
        "queries": ["q"],
        "results": [{"file_id": "f", "filename": "a.txt", "score": 0.5, "text": "found"}],
    },
    {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "status": "completed",
        "container_id": "c",
        "code": "1+1",
        "outputs": [{"type": "logs", "logs": "2"}],
    },
    {"type": "mcp_list_tools", "id": "ml_1", "server_label": "s", "tools": []},
    {"type": "mcp_approval_request", "id": "ma_1", "server_label": "s", "name": "f", "arguments": "{}"},
    {"type": "mcp_call", "id": "mc_1", "server_label": "s", "name": "f", "arguments": "{}", "output": "x"},
]

ANSWERS = {
    "Chat: text": (openai_chat, {"role": "assistant", "content": "Hello."}, "Hello."),
    "Chat: a refusal": (openai_chat, {"role": "assistant", "content": None, "refusal": "No."}, "No."),
    "Chat: an answer in sound": (
        openai_chat,
        {
            "role": "assistant",
            "content": None,
            "audio": {"id": "a", "data": "AAAA", "expires_at": 1, "transcript": "Hello."},
        },
        "Hello.",
    ),
    "Chat: calls": (
        openai_chat,
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": f"call_{number}",
                    "type": "function",
                    "function": {"name": "weather", "arguments": json.dumps({"city": city})},
                }
                for number, city in enumerate(("Lima", "Rome"))
            ],
        },
        f"Let me see.\n{CALL_2}",
    ),
    "Chat: a call as it was before tools": (
        openai_chat,
        {
            "role": "assistant",
            "content": "",
            "function_call": {"name": "weather", "arguments": '{"city": "Lima"}'},
        },
        CALL_1,
    ),
    "Chat: a call that is no JSON": (
        openai_chat,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": '},
                }
            ],
        },
        'weather({"city": )',
    ),
    **{
        f"Responses {name}: {label}": (reader, output, text)
        for name, reader in (("v1", openai_responses), ("v0", openai_responses_v0))
        for label, output, text in (
            ("reasoning and calls", [REASONED, _function_call(1, "Lima"), _function_call(2, "Rome")], CALL_2),
            ("text and a call", [_said("So."), _function_call(1, "Lima")], f"So.\n{CALL_1}"),
            ("what OpenAI ran itself", [*RUN_BY_OPENAI, _said("Two.")], "Two."),
            (
                "a refusal",
                [
                    {
                        "type": "message",
                        "id": "m",
                        "role": "assistant",
                        "status": "completed",
                        "content": [{"type": "refusal", "refusal": "No."}],
                    }
                ],
                "No.",
            ),
            (
                "a call that is no JSON",
                [{**_function_call(1, "Lima"), "arguments": '{"city": '}],
                'weather({"city": )',
            ),
            (
                "a picture",
                [
                    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG},
                    _said("Done."),
                ],
                "[image]Done." if name == "v1" else "Done.[image]",
            ),
            (
                "a tool with free text",
                [{"type": "custom_tool_call", "id": "ct_1", "call_id": "c", "name": "run", "input": "1+1"}],
                '[run(__arg1="1+1")]',
            ),
        )
        if (name, label) != ("v0", "a picture")  # v0 keeps it beside the content, where it is left out
    },
    "Responses: the caller's computer": (
        openai_responses,
        [
            {
                "type": "computer_call",
                "id": "cu_1",
                "call_id": "c",
                "status": "completed",
                "pending_safety_checks": [],
                "action": {"type": "click", "x": 1, "y": 2, "button": "left"},
            }
        ],
        '[computer(button="left", type="click", x=1, y=2)]',
    ),
    "Anthropic: text and calls": (
        anthropic,
        [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "So."},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Lima"}},
            {"type": "tool_use", "id": "t2", "name": "weather", "input": {"city": "Rome"}},
        ],
        f"So.\n{CALL_2}",
    ),
    "Anthropic: bash of the caller": (
        anthropic,
        [{"type": "tool_use", "id": "t1", "name": "bash", "input": {"command": "ls"}}],
        '[bash(command="ls")]',
    ),
    "Anthropic: what it ran itself": (
        anthropic,
        [
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s1",
                "content": [
                    {
                        "type": "web_search_result",
                        "title": "T",
                        "url": "https://a.example",
                        "encrypted_content": "x",
                        "page_age": None,
                    }
                ],
            },
            {
                "type": "server_tool_use",
                "id": "s2",
                "name": "web_fetch",
                "input": {"url": "https://a.example"},
            },
            {
                "type": "web_fetch_tool_result",
                "tool_use_id": "s2",
                "content": {"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"},
            },
            {
                "type": "server_tool_use",
                "id": "s3",
                "name": "bash_code_execution",
                "input": {"command": "ls"},
            },
            {
                "type": "bash_code_execution_tool_result",
                "tool_use_id": "s3",
                "content": {
                    "type": "bash_code_execution_result",
                    "stdout": "2",
                    "stderr": "",
                    "return_code": 0,
                    "content": [],
                },
            },
            {"type": "mcp_tool_use", "id": "m1", "name": "f", "server_name": "s", "input": {}},
            {
                "type": "mcp_tool_result",
                "tool_use_id": "m1",
                "is_error": False,
                "content": [{"type": "text", "text": "x"}],
            },
            {
                "type": "text",
                "text": "Two.",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "url": "https://a.example",
                        "title": "T",
                        "encrypted_index": "x",
                        "cited_text": "two",
                    }
                ],
            },
        ],
        "Two.",
    ),
    **{
        f"{name}: {label}": (reader, parts, text)
        for name, reader in (("Gemini 3", gemini), ("Gemini 2", gemini_2))
        for label, parts, text in (
            ("text", [{"text": "Hello."}], "Hello."),
            (
                "thoughts, text and calls",
                [
                    {"text": "hm", "thought": True},
                    {"text": "So."},
                    {
                        "function_call": {"name": "weather", "args": {"city": "Lima"}},
                        "thought_signature": b"x",
                    },
                    {"function_call": {"name": "weather", "args": {"city": "Rome"}}},
                ],
                f"So.\n{CALL_2}",
            ),
            (
                "code that it ran",
                [
                    {"executable_code": {"code": "print(2)", "language": "PYTHON"}},
                    {"code_execution_result": {"outcome": "OUTCOME_OK", "output": "2\n"}},
                    {"text": "Two."},
                ],
                "Two.",
            ),
            (
                "a picture",
                [
                    {"text": "Here: "},
                    {"inline_data": {"mime_type": "image/png", "data": base64.b64decode(PNG)}},
                ],
                "Here: [image]",
            ),
        )
    },
    "Converse: text and calls": (
        converse,
        [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"text": "So."},
            {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Lima"}}},
            {"toolUse": {"toolUseId": "t2", "name": "weather", "input": {"city": "Rome"}}},
        ],
        f"So.\n{CALL_2}",
    ),
    "Converse: guard content": (converse, [{"guardContent": {"text": {"text": "Guarded."}}}], "Guarded."),
    "Converse: citations": (
        converse,
        [{"citationsContent": {"content": [{"text": "Cited."}], "citations": [{"title": "T"}]}}],
        "Cited.",
    ),
    "Converse: what it ran itself": (
        converse,
        [
            {
                "serverToolUse": {
                    "toolUseId": "s1",
                    "name": "nova_code_interpreter",
                    "input": {"snippet": "1+1"},
                }
            },
            {"toolResult": {"toolUseId": "s1", "status": "success", "content": [{"json": {"stdOut": "2"}}]}},
            {"text": "Two."},
        ],
        "Two.",
    ),
    "LangChain's own blocks": (
        standard,
        [
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "server_tool_call", "id": "s", "name": "code_interpreter", "args": {"code": "1+1"}},
            {"type": "server_tool_result", "tool_call_id": "s", "status": "success", "output": "2"},
            {"type": "text", "text": "So."},
            {"type": "text-plain", "text": " Notes.", "mime_type": "text/plain"},
            {"type": "image", "base64": PNG, "mime_type": "image/png"},
            {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
            {"type": "video", "url": "https://a.example/v.mp4"},
            {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
            {"type": "non_standard", "value": {"type": "reference", "reference_ids": [1]}},
            {"type": "refusal", "refusal": " No."},
            {"type": "tool_call", "id": "1", "name": "weather", "args": {"city": "Lima"}},
            {"type": "invalid_tool_call", "id": "2", "name": "weather", "args": "{", "error": "cut"},
        ],
        f"So. Notes.[image][audio][video https://a.example/v.mp4][file] No.\n{CALL_1}\nweather({{)",
    ),
}


def as_it_came(message):
    return message


def as_standard_blocks(message):
    from langchain_core.language_models._utils import _update_message_content_to_blocks

    return _update_message_content_to_blocks(message, "v1")


def as_saved(message):
    dumped = json.loads(
        json.dumps(message_to_dict(message), default=lambda raw: base64.b64encode(raw).decode())
    )
    return messages_from_dict([dumped])[0]


def assistant_turn(message):
    (turn,) = build_conversation([message]).turns
    return turn.text


@pytest.mark.filterwarnings("ignore:[\\s\\S]*may vary each run:UserWarning")
@pytest.mark.parametrize("form", [as_it_came, as_standard_blocks, as_saved])
@pytest.mark.parametrize(("reader", "answer", "text"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_comes_in_once(reader, answer, text, form):
    assert assistant_turn(form(reader(answer))) == text


@pytest.mark.parametrize("form", [as_it_came, as_saved])
@pytest.mark.parametrize("events", ["anthropic", "responses"])
def test_a_streamed_answer_comes_in_once(events, form):
    message = _streamed_anthropic() if events == "anthropic" else _streamed_responses()
    assert assistant_turn(form(message)) == f"So.\n{CALL_1}"


def _streamed_anthropic():
    chat_models = pytest.importorskip("langchain_anthropic.chat_models")
    from anthropic.types import RawMessageStreamEvent
    from pydantic import TypeAdapter

    start = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    tool = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So."}},
        {"type": "content_block_start", "index": 1, "content_block": search},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": "{}"},
        },
        {"type": "content_block_start", "index": 2, "content_block": found},
        {"type": "content_block_start", "index": 3, "content_block": tool},
        {
            "type": "content_block_delta",
            "index": 3,
            "delta": {"type": "input_json_delta", "partial_json": '{"city": '},
        },
        {
            "type": "content_block_delta",
            "index": 3,
            "delta": {"type": "input_json_delta", "partial_json": '"Lima"}'},
        },
    ]
    model = chat_models.ChatAnthropic(model="claude-sonnet-4-5", api_key="x")
    merged, block = None, None
    for event in events:
        read = TypeAdapter(RawMessageStreamEvent).validate_python(event)
        chunk, block = model._make_message_chunk_from_anthropic_event(
            read, stream_usage=True, coerce_content_to_string=False, block_start_event=block
        )
        if chunk is not None:
            merged = chunk if merged is None else merged + chunk
    assert len(merged.tool_calls) == 1
    return merged


def _streamed_responses():
    base = pytest.importorskip("langchain_openai.chat_models.base")
    from openai.types.responses import ResponseStreamEvent
    from pydantic import TypeAdapter

    def event(**fields):
        return TypeAdapter(ResponseStreamEvent).validate_python({"sequence_number": 1, **fields})

    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    call = {**_function_call(1, "Lima"), "arguments": "", "status": "in_progress"}
    delta = {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2}
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    events = [
        event(type="response.output_item.added", output_index=0, item=message),
        event(
            type="response.output_text.delta",
            item_id="msg_1",
            output_index=0,
            content_index=0,
            delta="So.",
            logprobs=[],
        ),
        event(type="response.output_item.done", output_index=1, item=search),
        event(type="response.output_item.added", output_index=2, item=call),
        event(**delta, delta='{"city": '),
        event(**delta, delta='"Lima"}'),
    ]
    at = (-1, -1, -1)
    merged = None
    for one in events:
        *at, chunk = base._convert_responses_chunk_to_generation_chunk(one, *at)
        if chunk is not None:
            merged = chunk.message if merged is None else merged + chunk.message
    assert len(merged.tool_calls) == 1
    return merged


# ---- what comes with them: results, and content of users and tools -------------------------------------------


def turns(*messages):
    return [(turn.role, turn.text) for turn in build_conversation(messages).turns]


def test_each_result_goes_to_its_call_over_several_messages():
    first = openai_responses([_function_call(1, "Lima")])
    second = openai_responses([_function_call(2, "Rome")])
    results = [ToolMessage("20 °C", tool_call_id="call_2"), ToolMessage("10 °C", tool_call_id="call_1")]
    assert [text for role, text in turns(first, second, *results) if role == "tool"] == [
        _result("weather", "10 °C"),
        _result("weather", "20 °C"),
    ]


def _result(name, text):
    return render_result(text, name=name, status="success")


def test_blocks_without_ids_count_once_and_equal_calls_as_often_as_they_were_made():
    block = {"type": "function_call", "name": "weather", "args": {"city": "Lima"}, "id": ""}
    call = {"name": "weather", "args": {"city": "Lima"}, "id": "a", "type": "tool_call"}
    assert turns(AIMessage([block], tool_calls=[call])) == [("assistant", CALL_1)]
    twice = AIMessage([block, block], tool_calls=[call, {**call, "id": "b"}])
    assert turns(twice) == [("assistant", CALL_1.removesuffix("]") + ', weather(city="Lima")]')]
    assert turns(AIMessage([block, block], tool_calls=[call])) == turns(twice)


def test_a_result_in_the_assistants_own_message_comes_after_its_call():
    message = AIMessage(
        [
            {"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Lima"}},
            {"type": "tool_result", "tool_use_id": "1", "content": "10 °C"},
        ]
    )
    assert turns(message) == [("assistant", CALL_1), ("tool", _result("weather", "10 °C"))]


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"guardContent": {"text": {"text": "Hi", "qualifiers": ["query"]}}}, "Hi"),
        ({"type": "guard_content", "guard_content": {"type": "text", "text": "Hi"}}, "Hi"),
        ({"type": "guard_content", "text": "Hi"}, "Hi"),
        ({"document": {"format": "txt", "name": "n", "source": {"bytes": b"Hi"}}}, "n\nHi"),
        ({"document": {"format": "pdf", "name": "n", "source": {"text": "Hi"}}}, "n\nHi"),
        ({"document": {"format": "txt", "name": "n", "source": {"content": [{"text": "Hi"}]}}}, "n\nHi"),
        (
            {"type": "document", "document": {"format": "md", "name": "n", "source": {"bytes": b"Hi"}}},
            "n\nHi",
        ),
        ({"type": "media", "mime_type": "text/plain", "data": "SGk="}, "Hi"),
        ({"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,SGk="}}, "Hi"),
        ({"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,SGk="}, "Hi"),
    ],
)
def test_what_users_of_other_providers_write(block, text):
    assert turns(HumanMessage([block])) == [("user", text)]


def test_pictures_of_users_of_other_providers():
    blocks = [
        {"type": "media", "mime_type": "image/png", "data": PNG},
        {"guardContent": {"image": {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}}},
    ]
    (turn,) = build_conversation([HumanMessage(blocks)]).turns
    assert len(turn.images) == 2


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "media", "mime_type": "audio/wav", "data": "AAAA"}, "audio"),
        ({"video": {"format": "mp4", "source": {"bytes": b"x"}}}, "video"),
        ({"document": {"format": "pdf", "name": "n", "source": {"bytes": b"x"}}}, "document"),
        ({"type": "tool_use", "id": "1", "name": "f", "input": {}}, "tool call"),
        ({"type": "container_upload", "file_id": "f"}, "container_upload"),
    ],
)
def test_what_a_user_gave_and_llama_cannot_take_is_refused(block, kind):
    with pytest.raises(ValueError, match=rf"message 1 \(human\).*{kind}"):
        build_conversation([HumanMessage([block])])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "custom_tool_call_output", "output": "2"}], "2"),
        ([{"type": "non_standard", "value": {"type": "custom_tool_call_output", "output": "2"}}], "2"),
        (
            [{"type": "file", "url": "https://a.example/a.pdf", "mime_type": "application/pdf"}],
            "[file https://a.example/a.pdf]",
        ),
        ([{"type": "image", "url": "https://a.example/a.png"}], "[image https://a.example/a.png]"),
        (
            [{"type": "image_url", "image_url": {"url": "https://a.example/a.png"}}],
            "[image https://a.example/a.png]",
        ),
        (
            [{"type": "file", "base64": "AAAA", "mime_type": "application/pdf", "filename": "a.pdf"}],
            "[file a.pdf]",
        ),
        ([{"document": {"format": "pdf", "name": "n", "source": {"bytes": b"x"}}}], "[file n]"),
        ([{"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}], "[audio]"),
        ([{"type": "tool_reference", "tool_name": "f"}], '{"type": "tool_reference", "tool_name": "f"}'),
        ([{"type": "tool_use", "name": "f", "input": {}}], '{"type": "tool_use", "name": "f", "input": {}}'),
    ],
)
def test_what_tools_of_other_providers_return(content, text):
    assert turns(ToolMessage(content, tool_call_id="1", name="f")) == [("tool", _result("f", text))]


def test_the_picture_of_a_computer_is_shown_and_not_written_out():
    message = ToolMessage(
        f"data:image/png;base64,{PNG}", tool_call_id="1", additional_kwargs={"type": "computer_call_output"}
    )
    result, shown = build_conversation([message]).turns
    assert PNG not in result.text
    assert len(shown.images) == 1
