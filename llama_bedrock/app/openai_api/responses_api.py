"""``POST /v1/responses``, without a memory: each request brings its whole conversation."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llama_bedrock.app.app_state import AppState, state_of
from llama_bedrock.app.event_stream import EventStream, sse, while_connected
from llama_bedrock.app.http_errors import failure
from llama_bedrock.app.openai_api.answer_pieces import (
    AnswerEnd,
    Piece,
    answer_pieces,
    answer_whole,
    without_free_tools,
)
from llama_bedrock.app.openai_api.chat_request import ChatRequest, read_json, read_response

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


async def create_response(request: Request) -> Response:
    """Answer, whole or as it is written."""
    state, body = state_of(request), await read_json(request)
    ask = without_free_tools(read_response(body))
    writer = _Writer(_head(state, ask, body))
    request.state.log["model"] = writer.response["model"]
    if ask.stream:
        return EventStream(_events(state, ask, writer), headers=ask.headers)
    answer = await while_connected(request, answer_whole(state, ask))
    if answer.text or not answer.calls:
        list(writer.text(answer.text))
    for index, (id_, name, args) in enumerate(answer.calls):
        list(writer.call({"index": index, "id": id_, "name": name, "args": args}))
    list(writer.end(answer.end))
    return JSONResponse(writer.response, headers=ask.headers)


def _head(state: AppState, ask: ChatRequest, body: dict[str, Any]) -> dict[str, Any]:
    """The response before anything is written; its fields are all of those that clients read."""
    return {
        "id": f"resp_{secrets.token_hex(16)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": ask.model or state.models.default,
        "output": [],
        "parallel_tool_calls": ask.parallel is not False,
        "previous_response_id": None,
        "store": False,
        "temperature": body.get("temperature"),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "metadata": body.get("metadata") or {},
        "usage": None,
    }


async def _events(state: AppState, ask: ChatRequest, writer: _Writer) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(answer_pieces(state, ask)) as pieces:
            async for piece in pieces:
                if not writer.begun:  # what fails before the first piece is an error with its own status
                    for event in writer.begin():
                        yield event
                for event in writer.piece(piece):
                    yield event
    except Exception as error:
        if not writer.begun:
            raise
        for event in writer.failed(error):
            yield event


class _Writer:
    """Writes a response item by item, and tells the events of each change.

    Attributes:
        response: The response so far.
    """

    def __init__(self, response: dict[str, Any]) -> None:
        self.response = response
        self._sequence = 0
        self._open: dict[str, Any] | None = None
        self._calls: dict[int, dict[str, Any]] = {}

    @property
    def begun(self) -> bool:
        """Whether an event has been told."""
        return self._sequence > 0

    def begin(self) -> Iterator[bytes]:
        yield self._event("response.created", response=self.response)
        yield self._event("response.in_progress", response=self.response)

    def piece(self, piece: Piece) -> Iterator[bytes]:
        if piece.text:
            yield from self.text(piece.text)
        for call in piece.calls:
            yield from self.call(call)
        if piece.end is not None:
            yield from self.end(piece.end)

    def text(self, text: str) -> Iterator[bytes]:
        if self._open is None or self._open["type"] != "message":
            yield from self._close()
            part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            item: dict[str, Any] = {
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
            yield from self._add(item, "msg")
            item["content"] = [part]
            yield self._item_event("response.content_part.added", content_index=0, part=part)
        assert self._open is not None
        self._open["content"][0]["text"] += text
        yield self._item_event("response.output_text.delta", content_index=0, delta=text, logprobs=[])

    def call(self, call: Any) -> Iterator[bytes]:
        index = call["index"] or 0
        item = self._calls.get(index)
        if item is None:
            yield from self._close()
            id_, name = call["id"], call["name"]
            item = {
                "type": "function_call",
                "status": "in_progress",
                "arguments": "",
                "call_id": id_,
                "name": name,
            }
            self._calls[index] = item
            yield from self._add(item, "fc")
        item["arguments"] += call["args"] or ""
        if call["args"] and item is self._open:
            yield self._item_event("response.function_call_arguments.delta", delta=call["args"])

    def end(self, end: AnswerEnd) -> Iterator[bytes]:
        if self._open is None and not self.response["output"]:
            yield from self.text("")
        if end.annotations and self._open is not None and self._open["type"] == "message":
            for number, note in enumerate(end.annotations):
                flat = {"type": note["type"], **note["url_citation"], "citation": note["citation"]}
                self._open["content"][0]["annotations"].append(flat)
                yield self._item_event(
                    "response.output_text.annotation.added",
                    content_index=0,
                    annotation_index=number,
                    annotation=flat,
                )
        yield from self._close()
        usage = end.chat_usage()
        given, written = usage["prompt_tokens"], usage["completion_tokens"]
        self.response["usage"] = {
            "input_tokens": given,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": given + written,
        }
        reason = _INCOMPLETE.get(end.finish)
        self.response["status"] = "incomplete" if reason else "completed"
        self.response["incomplete_details"] = {"reason": reason} if reason else None
        yield self._event(f"response.{self.response['status']}", response=self.response)

    def failed(self, error: Exception) -> Iterator[bytes]:
        told = failure(error)
        self.response["status"] = "failed"
        self.response["error"] = {"code": told.code or "server_error", "message": told.message}
        yield self._event("response.failed", response=self.response)

    def _add(self, item: dict[str, Any], prefix: str) -> Iterator[bytes]:
        item["id"] = f"{prefix}_{secrets.token_hex(12)}"
        self._open = item
        self.response["output"].append(item)
        yield self._event("response.output_item.added", output_index=self._index(), item=item)

    def _close(self) -> Iterator[bytes]:
        """End the item that is being written."""
        item = self._open
        if item is None:
            return
        item["status"] = "completed"
        if item["type"] == "message":
            part = item["content"][0]
            yield self._item_event(
                "response.output_text.done", content_index=0, text=part["text"], logprobs=[]
            )
            yield self._item_event("response.content_part.done", content_index=0, part=part)
        else:
            arguments, name = item["arguments"], item["name"]
            yield self._item_event("response.function_call_arguments.done", arguments=arguments, name=name)
        yield self._event("response.output_item.done", output_index=self._index(), item=item)
        self._open = None

    def _index(self) -> int:
        return len(self.response["output"]) - 1

    def _item_event(self, kind: str, **facts: Any) -> bytes:
        assert self._open is not None
        return self._event(kind, item_id=self._open["id"], output_index=self._index(), **facts)

    def _event(self, kind: str, **facts: Any) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        return sse({"type": kind, "sequence_number": number, **facts}, event=kind)
