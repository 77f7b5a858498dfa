"""Chunks of text as LangChain's constructors make them, in a sixth of the time.

A stream has thousands, and each is two pydantic objects whose validators look at what a piece of text never
has: calls, blocks, metadata. So both are made once by their constructors, and copied with another text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from llama_bedrock.model_copies import common_state, made


def text_chunk(text: str) -> AIMessageChunk:
    """Return ``AIMessageChunk(content=text)``."""
    return _message_maker()(text)


def generation_chunk(message: AIMessageChunk) -> ChatGenerationChunk:
    """Return ``ChatGenerationChunk(message=message)``."""
    if message.content.__class__ is not str or message.__class__ is not AIMessageChunk:
        return ChatGenerationChunk(message=message)
    return _generation_maker()(message)


@cache
def _message_maker() -> Callable[[str], AIMessageChunk]:
    def construct(text: str) -> AIMessageChunk:
        return AIMessageChunk(content=text)

    state = common_state(construct("a"), construct("b"), "content")
    if state is None:
        return construct
    values, fields_set, extra = state
    lists = [name for name, value in values.items() if value == []]
    dicts = [name for name, value in values.items() if value == {}]

    def copy(text: str) -> AIMessageChunk:
        own = values.copy()
        own["content"] = text
        for name in lists:
            own[name] = []
        for name in dicts:
            own[name] = {}
        return made(AIMessageChunk, own, fields_set, extra)

    return copy


@cache
def _generation_maker() -> Callable[[AIMessageChunk], ChatGenerationChunk]:
    def construct(message: AIMessageChunk) -> ChatGenerationChunk:
        return ChatGenerationChunk(message=message)

    first, second = construct(AIMessageChunk(content="a")), construct(AIMessageChunk(content="b"))
    state = common_state(first, second, "text", "message")
    if state is None or not all(value is None or isinstance(value, str) for value in state[0].values()):
        return construct
    values, fields_set, extra = state
    kind = type(first.text)

    def copy(message: AIMessageChunk) -> ChatGenerationChunk:
        own = values.copy()
        own["text"] = kind(message.content)
        own["message"] = message
        return made(ChatGenerationChunk, own, fields_set, extra)

    return copy
