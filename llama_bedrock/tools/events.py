"""What the parser reports, in the order it is certain of it, and LangChain's message chunks of it.

Two properties of `AIMessageChunk` decide how this is done. It re-reads its merged ``tool_call_chunks`` with
`parse_partial_json`, which completes cut JSON: a cut call would turn into a whole one. A closer that matches
no opener makes that function give up at once, so the arguments of an invalid call hold one: at their end
where pieces of them were already sent, else at their beginning. And a chunk that holds text as well as tool
call chunks shows the calls as finished: so no chunk of `to_chunks` holds both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    InvalidToolCall,
    ToolCall,
    ToolCallChunk,
    message_chunk_to_message,
)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Words for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a call.

    Attributes:
        index: Position of the call in the answer, from 0.
        id: Identifier of the call, on its first delta only.
        name: The tool, on its first delta only.
        args: Piece of the JSON text of the arguments; the pieces of one index add up to one JSON object.
    """

    index: int
    id: str | None
    name: str | None
    args: str


@dataclass(frozen=True, slots=True)
class InvalidCall:
    """A call that must not be run: cut off, unreadable, missing though one was forced, or against its schema.

    Attributes:
        index: Position of the call in the answer; the same as that of its deltas, if it had any.
        id: Identifier of the call.
        name: The tool as the model wrote it, None where that cannot be told.
        raw: What the model wrote, or the arguments as JSON where they could be read.
        error: What is wrong, in words.
        announced: True if deltas of this index came before.
        closer: What completes the JSON text of those deltas, empty where the arguments are not complete.
    """

    index: int
    id: str
    name: str | None
    raw: str
    error: str
    announced: bool = False
    closer: str = ""


Event: TypeAlias = TextDelta | CallDelta | InvalidCall


ERRORS_KEY = "invalid_tool_call_errors"
"""Key in `additional_kwargs` of streamed messages: what is wrong with each invalid call, by its id.

Merging chunks loses ``error`` of an invalid call; this does not get lost.
"""

_POISON = "]"


def to_chunks(events: Iterable[Event]) -> list[AIMessageChunk]:
    """Turn events into chunks that merge into the right message, text and calls apart, in order."""
    chunks: list[AIMessageChunk] = []
    for event in events:
        last = chunks[-1] if chunks else None
        if isinstance(event, TextDelta):
            if last is not None and not last.tool_call_chunks:
                chunks[-1] = AIMessageChunk(content=f"{last.content}{event.text}")
            else:
                chunks.append(AIMessageChunk(content=event.text))
        else:
            chunks.append(_call_chunk(event))
    return chunks


def _call_chunk(event: CallDelta | InvalidCall) -> AIMessageChunk:
    if isinstance(event, CallDelta):
        piece = ToolCallChunk(
            name=event.name, args=event.args, id=event.id, index=event.index, type="tool_call_chunk"
        )
        return AIMessageChunk(content="", tool_call_chunks=[piece])
    name, id_ = (None, None) if event.announced else (event.name, event.id)
    args = f"{event.closer}{_POISON}" if event.announced else f"{_POISON}{event.raw}"
    piece = ToolCallChunk(name=name, args=args, id=id_, index=event.index, type="tool_call_chunk")
    return AIMessageChunk(
        content="", tool_call_chunks=[piece], additional_kwargs={ERRORS_KEY: {event.id: event.error}}
    )


def with_errors(message: AIMessage) -> AIMessage:
    """Put the errors of a merged message where `AIMessage` has a field for them."""
    errors = message.additional_kwargs.get(ERRORS_KEY)
    if not errors:
        return message
    calls = [
        InvalidToolCall(
            type="invalid_tool_call",
            id=call["id"],
            name=call["name"],
            args=_without_poison(call["args"] or ""),
            error=errors.get(call["id"]) or call.get("error"),
        )
        for call in message.invalid_tool_calls
    ]
    rest = {key: value for key, value in message.additional_kwargs.items() if key != ERRORS_KEY}
    return message.model_copy(update={"invalid_tool_calls": calls, "additional_kwargs": rest})


def _without_poison(args: str) -> str:
    return args[1:] if args.startswith(_POISON) else args.removesuffix(_POISON)


def to_message(events: Sequence[Event]) -> AIMessage:
    """Turn the events of a whole answer into its message, where nobody looks at the chunks between."""
    words = [event.text for event in events if isinstance(event, TextDelta)]
    if len(words) == len(events):
        return AIMessage(content="".join(words))
    chunks = to_chunks(events)
    merged = message_chunk_to_message(chunks[0] + chunks[1:] if chunks[1:] else chunks[0])
    assert isinstance(merged, AIMessage)
    return with_errors(merged)


def to_tool_calls(events: Iterable[Event]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Turn the events of a whole answer into LangChain's calls, for callers that want no message."""
    message = to_message(list(events))
    return message.tool_calls, message.invalid_tool_calls
