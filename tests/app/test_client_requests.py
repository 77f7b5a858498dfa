"""Requests as Cline, Continue and LibreChat make them: the fields and forms of messages that their sources send."""

import json

import pytest
from langchain_core.documents import Document

from llama_bedrock.retrievers import FAISSStore, HybridRetriever
from tests.app.conftest import KEY

MODEL = "meta.llama4-maverick-17b-instruct-v1:0"
DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PARAMETERS = {
    "type": "object",
    "properties": {"path": {"type": "string", "description": "The file"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOL = {"name": "read_file", "description": "Read a file.", "parameters": PARAMETERS}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "read_file", "arguments": '{"path": "a.py"}'},
}
SYSTEM = {"role": "system", "content": "You are a careful engineer."}


def text(*parts):
    return [{"type": "text", "text": part} for part in parts]


# Cline: typed texts, pictures beside them, an assistant's turn without content, several turns of the user on end.
CLINE = {
    "model": MODEL,
    "messages": [
        SYSTEM,
        {"role": "user", "content": [*text("<task>\nMend it.\n</task>", "# Files\na.py"), {"type": "image_url", "image_url": {"url": DOT}}]},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x = 1\n(see following user message for image)"},
        {"role": "user", "content": text("# Time\n10:00")},
        {"role": "user", "content": "Go on."},
    ],
    "temperature": 0,
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [{"type": "function", "function": {**TOOL, "strict": False}}],
}  # fmt: skip
# Continue: content of one space, `detail`, penalties, a list of stops, a prediction of what is being edited.
CONTINUE = {
    "messages": [
        SYSTEM,
        {"role": "user", "content": [{"type": "text", "text": "Mend it."}, {"type": "image_url", "image_url": {"url": DOT, "detail": "auto"}}]},
        {"role": "assistant", "content": " ", "tool_calls": [CALL]},
        {"role": "tool", "content": "x = 1", "tool_call_id": "call_1"},
        {"role": "user", "content": " "},
    ],
    "model": MODEL,
    "max_tokens": 4096,
    "temperature": 0.01,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "stream": True,
    "stop": ["<|im_end|>", "/src/", "```\n", "#- coding"],
    "prediction": {"type": "content", "content": "x = 1"},
    "tools": [{"type": "function", "function": TOOL}],
    "stream_options": {"include_usage": True},
}  # fmt: skip
# LibreChat, by LangChain's client for JavaScript: the person's id, and every sampling field that its sliders have.
LIBRECHAT = {
    "model": MODEL,
    "temperature": 1,
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0.5,
    "user": "66f0c1d2e3a4b5c6d7e8f901",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [
        {"role": "system", "content": text("You are a careful engineer.")},
        {"role": "user", "content": text("Mend it.")},
        {"role": "assistant", "content": [], "tool_calls": [CALL]},
        {"role": "tool", "name": "read_file", "tool_call_id": "call_1", "content": "x = 1"},
        {"role": "user", "content": text("Go on.")},
    ],
    "tools": [{"type": "function", "function": TOOL}],
    "reasoning_effort": "low",
}
IGNORED = {"Cline": None, "Continue": "prediction", "LibreChat": "presence_penalty, reasoning_effort"}


@pytest.mark.parametrize(
    ("name", "body"), [("Cline", CLINE), ("Continue", CONTINUE), ("LibreChat", LIBRECHAT)]
)
def test_coding_and_chatting_clients(serve, browse, name, body):
    address, engine = serve(["It is mended.", '[read_file(path="b.py")]'])
    client = browse(
        address, headers={"Authorization": f"Bearer {KEY}", "x-api-key": KEY, "Accept": "application/json"}
    )
    said, calls, usage, ends = "", {}, None, []
    for _ in range(2):
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200, answer.read()
            lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
        assert answer.headers.get("x-llama-bedrock-ignored") == IGNORED[name]
        assert lines.pop() == "[DONE]"
        for chunk in map(json.loads, lines):
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                said += choice["delta"].get("content") or ""
                ends += [choice["finish_reason"]] if choice["finish_reason"] else []
                for call in choice["delta"].get("tool_calls") or ():
                    calls[call["index"]] = calls.get(call["index"], "") + (
                        call["function"].get("arguments") or ""
                    )
    assert said == "It is mended."
    assert [json.loads(call) for call in calls.values()] == [{"path": "b.py"}]
    assert ends == ["stop", "tool_calls"]
    assert usage["prompt_tokens"] > 0
    for said in ("You are a careful engineer.", "Mend it.", "read_file", "x = 1"):
        assert said in engine.requests[0].prompt
    assert len(engine.requests[0].images) == (0 if name == "LibreChat" else 1)


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        ("Provide a concise, 5-word-or-less title for the conversation, using its same language, with no punctuation.", {}),
        ("Analyze this conversation and provide:\n1. The detected language", {"tools": [{"type": "function", "function": TOOL}]}),
        ("Given the following... please reply with a title for the chat that is 3-4 words in length", {"max_tokens": 16}),
    ],
)  # fmt: skip
def test_titles_are_not_looked_for_in_the_documents(serve, browse, asked, more):
    store = FAISSStore.from_documents(
        [Document("Hay costs nine pesos."), Document("The herd has 412 llamas.")]
    )
    address, engine = serve(["Herd Size"], retriever=HybridRetriever(store=store, k=1))
    body = {
        "model": "documents",
        "messages": [{"role": "user", "content": f"{asked}\n\nUser: llamas?"}],
        **more,
    }
    answer = browse(address).post("/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == "Herd Size"
    assert "412" not in engine.requests[0].prompt
