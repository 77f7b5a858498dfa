"""``POST /v1/chat/completions``."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llama_bedrock.app.app_state import AppState, state_of
from llama_bedrock.app.event_stream import EventStream, sse, while_connected
from llama_bedrock.app.openai_api.answer_pieces import (
    Piece,
    WholeAnswer,
    answer_pieces,
    answer_whole,
    without_free_tools,
)
from llama_bedrock.app.openai_api.chat_request import ChatRequest, read_chat, read_json


async def chat_completions(request: Request) -> Response:
    """Answer a conversation, whole or as it is written."""
    state, ask = state_of(request), without_free_tools(read_chat(await read_json(request)))
    base = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion.chunk" if ask.stream else "chat.completion",
        "created": int(time.time()),
        "model": ask.model or state.models.default,
    }
    request.state.log["model"] = base["model"]
    if ask.stream:
        return EventStream(_events(state, ask, base), headers=ask.headers)
    answer = await while_connected(request, answer_whole(state, ask))
    choice = {"index": 0, "message": _message(answer), "logprobs": None, "finish_reason": answer.end.finish}
    return JSONResponse({**base, "choices": [choice], "usage": answer.end.chat_usage()}, headers=ask.headers)


def _message(answer: WholeAnswer) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text or (None if answer.calls else ""),
        "refusal": None,
        "annotations": answer.end.annotations,
    }
    if answer.calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": args}}
            for id_, name, args in answer.calls
        ]
    return message


async def _events(state: AppState, ask: ChatRequest, base: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    # Of a chunk only the delta changes: the rest is written once.
    start = json.dumps({**base, "system_fingerprint": None})[:-1].encode()
    role = '"role":"assistant",'
    async with aclosing(answer_pieces(state, ask)) as pieces:
        async for piece in pieces:
            if piece.end is None:
                yield b'data: %b, "choices":[{"index":0,"delta":{%b},"finish_reason":null}]}\n\n' % (
                    start,
                    (role + _delta(piece)).encode(),
                )
                role = ""
                continue
            delta: dict[str, Any] = {"role": "assistant", "content": ""} if role else {}
            if piece.end.annotations:
                delta["annotations"] = piece.end.annotations
            choice = {"index": 0, "delta": delta, "finish_reason": piece.end.finish}
            yield sse({**base, "choices": [choice]})
            if ask.include_usage:
                yield sse({**base, "choices": [], "usage": piece.end.chat_usage()})
    yield sse("[DONE]")


def _delta(piece: Piece) -> str:
    """The members of a delta, as JSON."""
    if not piece.calls:
        return f'"content":{json.dumps(piece.text, ensure_ascii=False)}'
    calls = [_call_delta(call) for call in piece.calls]
    text = json.dumps(piece.text or None, ensure_ascii=False)
    return f'"content":{text},"tool_calls":{json.dumps(calls, ensure_ascii=False)}'


def _call_delta(call: Any) -> dict[str, Any]:
    function = {"arguments": call["args"] or ""}
    delta: dict[str, Any] = {"index": call["index"] or 0, "function": function}
    if call["id"]:  # the first part of a call
        delta |= {"id": call["id"], "type": "function"}
        function["name"] = call["name"] or ""
    return delta
