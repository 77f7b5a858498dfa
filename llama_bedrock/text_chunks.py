"""Chunks of text as LangChain's constructors make them, in a sixth of the time.

A stream has thousands, and each is two pydantic objects whose validators look at what a piece of text never
has: calls, blocks, metadata. So both are made once by their constructors, and copied with another text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

ModelT = TypeVar("ModelT", bound=BaseModel)

_new, _set = object.__new__, object.__setattr__


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

    state = _common_state(construct("a"), construct("b"), "content")
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
        return _made(AIMessageChunk, own, fields_set, extra)

    return copy


@cache
def _generation_maker() -> Callable[[AIMessageChunk], ChatGenerationChunk]:
    def construct(message: AIMessageChunk) -> ChatGenerationChunk:
        return ChatGenerationChunk(message=message)

    first, second = construct(AIMessageChunk(content="a")), construct(AIMessageChunk(content="b"))
    state = _common_state(first, second, "text", "message")
    if state is None or not all(value is None or isinstance(value, str) for value in state[0].values()):
        return construct
    values, fields_set, extra = state
    kind = type(first.text)

    def copy(message: AIMessageChunk) -> ChatGenerationChunk:
        own = values.copy()
        own["text"] = kind(message.content)
        own["message"] = message
        return _made(ChatGenerationChunk, own, fields_set, extra)

    return copy


def _made(cls: type[ModelT], values: dict[str, Any], fields_set: set[str], extra: Any) -> ModelT:
    # What pydantic's own `model_construct` sets.
    made = _new(cls)
    _set(made, "__dict__", values)
    _set(made, "__pydantic_fields_set__", fields_set.copy())
    _set(made, "__pydantic_extra__", None if extra is None else {})
    _set(made, "__pydantic_private__", None)
    return made


def _common_state(
    first: BaseModel, second: BaseModel, *varying: str
) -> tuple[dict[str, Any], set[str], Any] | None:
    """Return what two objects have in common; None where more than some fields tells them apart.

    A later LangChain may keep more of a text than these fields: then its constructor makes each chunk.
    """
    values = [{**vars(model), **dict.fromkeys(varying)} for model in (first, second)]
    extras = first.__pydantic_extra__ or second.__pydantic_extra__
    private = first.__pydantic_private__ or second.__pydantic_private__
    if values[0] != values[1] or extras or private or first.model_fields_set != second.model_fields_set:
        return None
    if any(value and not isinstance(value, str) for value in values[0].values()):
        return None
    return values[0], first.model_fields_set, first.__pydantic_extra__
