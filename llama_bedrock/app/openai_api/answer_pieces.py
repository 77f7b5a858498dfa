"""Answers to requests, of a model or from documents, in pieces or whole, for both of OpenAI's APIs."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.tool import ToolCallChunk

from llama_bedrock.app.app_state import AppState
from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.app.openai_api.chat_request import ChatRequest
from llama_bedrock.grounding.answers import RagAnswer, RagAnswerChunk
from llama_bedrock.grounding.source_list import markdown_sources

DOCUMENTS = "documents"
"""The model that answers from the documents; ``documents:ID`` has another model write the answer."""

# Front ends ask the model of a chat for its title, tags and follow-up questions, in prompts that begin so.
_TASKS = (
    "### Task:",  # Open WebUI
    "Provide a concise, 5-word-or-less title for the conversation",  # LibreChat, in one of its two ways
    "Analyze this conversation and provide",
    "Given the following... please reply with a title for the chat",  # Continue
)

_PICTURES = ("image_url", "input_image", "image")

Finish = Literal["stop", "length", "tool_calls", "content_filter"]
_FINISH: dict[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "guardrail": "content_filter",
    "guardrail_intervened": "content_filter",
    "content_filter": "content_filter",
}


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """What is known when an answer is complete.

    Attributes:
        finish: Why it ended.
        usage: Tokens, as `AIMessage.usage_metadata` has them; None where none were told.
        annotations: Its citations, as OpenAI's ``url_citation``.
    """

    finish: Finish
    usage: Any = None
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def chat_usage(self) -> dict[str, Any]:
        """The tokens as Chat Completions has them, with ``cost`` in USD where it is known."""
        usage = self.usage or {}
        given, written = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
        told = {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}
        cost = usage.get("total_cost")
        return told if cost is None else {**told, "cost": cost}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: text, parts of calls, or its end, which comes last."""

    text: str = ""
    calls: Sequence[ToolCallChunk] = ()
    end: AnswerEnd | None = None


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """A complete answer.

    Attributes:
        text: Its text.
        calls: Id, name, and arguments as JSON, of each call.
        end: What is known at its end.
    """

    text: str
    calls: list[tuple[str, str, str]]
    end: AnswerEnd


def without_free_tools(ask: ChatRequest) -> ChatRequest:
    """The request without tools that ``documents`` may leave alone, which it then reports as ignored.

    Open WebUI and agents offer their tools with every question; only one that must be called is refused.
    """
    if not ask.tools or not _names_documents(ask) or ask.tool_choice not in (None, "auto", "none"):
        return ask
    return replace(ask, tools=[], tool_choice=None, ignored=(*ask.ignored, "tools"))


async def answer_pieces(state: AppState, ask: ChatRequest) -> AsyncGenerator[Piece, None]:
    """Answer piece by piece.

    Raises:
        ApiError: The request cannot be followed. Errors of the model and the service are raised as they are.
    """
    if _from_documents(ask):
        async with aclosing(_documents_pieces(state, ask)) as pieces:
            async for piece in pieces:
                yield piece
        return
    has_calls, usage, reason = False, None, None
    async with aclosing(cast("Any", _model(state, ask).astream(ask.messages, **ask.options))) as chunks:
        async for chunk in chunks:
            message: AIMessageChunk = chunk
            calls = message.tool_call_chunks
            text = message.content if isinstance(message.content, str) else message.text
            has_calls = has_calls or bool(calls)
            if text or calls:
                yield Piece(text, calls)
            usage = message.usage_metadata or usage
            reason = _reason(message) or reason
    yield Piece(end=AnswerEnd(_finish(reason, has_calls), usage))


async def answer_whole(state: AppState, ask: ChatRequest) -> WholeAnswer:
    """Answer at once.

    Raises:
        ApiError: The request cannot be followed. Errors of the model and the service are raised as they are.
    """
    if _from_documents(ask):
        chain, question, options = _documents_call(state, ask)
        answer = await chain.ainvoke(question, **options)
        return WholeAnswer(answer.text + markdown_sources(answer), [], _documents_end(answer))
    message = await _model(state, ask).ainvoke(ask.messages, **ask.options)
    calls = [
        (str(call["id"]), call["name"], json.dumps(call["args"], ensure_ascii=False))
        for call in message.tool_calls
    ]
    calls += [(str(bad["id"]), bad["name"] or "", bad["args"] or "") for bad in message.invalid_tool_calls]
    end = AnswerEnd(_finish(_reason(message), bool(calls)), message.usage_metadata)
    return WholeAnswer(message.text, calls, end)


def _model(state: AppState, ask: ChatRequest) -> Any:
    """The model that answers, with the tools of the request."""
    name = (ask.model or "").removeprefix(DOCUMENTS).removeprefix(":") if _names_documents(ask) else ask.model
    model = state.models.get(name or None)
    if not ask.tools:
        return model
    options = {"tool_choice": ask.tool_choice, "parallel_tool_calls": ask.parallel}
    return model.bind_tools(ask.tools, **{key: value for key, value in options.items() if value is not None})


def _names_documents(ask: ChatRequest) -> bool:
    return ask.model is not None and ask.model.partition(":")[0] == DOCUMENTS


def _from_documents(ask: ChatRequest) -> bool:
    """Whether the answer is looked for in the documents: not where a client asks for the title of a chat."""
    last = ask.messages[-1]
    is_task = isinstance(last, HumanMessage) and last.text.lstrip().startswith(_TASKS)
    return _names_documents(ask) and not is_task


def _documents_call(state: AppState, ask: ChatRequest) -> tuple[Any, list[BaseMessage], dict[str, Any]]:
    """The chain, what it is asked, and the arguments of its model."""
    for name, given in (("tools", ask.tools), ("response_format", ask.options.get("response_format"))):
        if given:
            raise ApiError(
                400,
                f"the model {DOCUMENTS!r} answers from documents and takes no `{name}`; choose another model",
                code="invalid_request",
                param=name,
            )
    for message in ask.messages:
        blocks = message.content if isinstance(message.content, list) else ()
        if any(isinstance(block, dict) and block.get("type") in _PICTURES for block in blocks):
            raise ApiError(
                400, f"the model {DOCUMENTS!r} reads no pictures", code="invalid_request", param="messages"
            )
    rules = [message.text for message in ask.messages if isinstance(message, SystemMessage)]
    said = [message for message in ask.messages if not isinstance(message, SystemMessage)]
    model = (ask.model or "").partition(":")[2] or None
    return state.rag_chain(model, instructions="\n\n".join(rules) or None), said, ask.options


async def _documents_pieces(state: AppState, ask: ChatRequest) -> AsyncGenerator[Piece, None]:
    chain, question, options = _documents_call(state, ask)
    total = RagAnswerChunk()
    async with aclosing(chain.astream(question, **options)) as chunks:
        async for chunk in chunks:
            total = total + chunk
            if chunk.text:
                yield Piece(chunk.text)
    if sources := markdown_sources(total):
        yield Piece(sources)
    yield Piece(end=_documents_end(total))


def _documents_end(answer: RagAnswer) -> AnswerEnd:
    notes = [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": (citation.mark or citation.span)[0],
                "end_index": (citation.mark or citation.span)[1],
                "title": citation.location,
                "url": citation.source,
            },
            "citation": citation.to_dict(),  # verdict, quote and place: what OpenAI has no field for
        }
        for citation in answer.citations
    ]
    return AnswerEnd(_finish(answer.stop_reason, False), answer.usage, notes)


def _reason(message: AIMessage) -> str | None:
    said = message.response_metadata
    return cast("str | None", said.get("stop_reason") or said.get("finish_reason"))


def _finish(reason: str | None, has_calls: bool) -> Finish:
    return _FINISH.get(reason or "") or ("tool_calls" if has_calls else "stop")
