"""LangChain's caches for streams as well, and answers out of a cache that say so.

LangChain looks answers up where `invoke` is called; a stream of a cached answer would ask the model again.
Both use one key here, so what one has kept the other finds.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, cast

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.messages import AIMessage, AIMessageChunk, UsageMetadata, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from llama_bedrock.observability.reports import ATTEMPTS, is_watched, report_call
from llama_bedrock.tools.events import CallDelta, Event, InvalidCall, to_chunks, with_errors

CACHE_HIT = "cache_hit"
"""Key in `response_metadata` (of completions: `generation_info`) that is True where no model was asked."""

_PIECE = re.compile(r"\s*\S+\s*|\s+")


def cache_of(setting: BaseCache | bool | None) -> BaseCache | None:
    """Return the cache that a model's ``cache=`` means, None for none.

    Raises:
        ValueError: It is True, and LangChain has no global cache.
    """
    if isinstance(setting, BaseCache):
        return setting
    cache = None if setting is False else get_llm_cache()
    if setting is True and cache is None:
        raise ValueError("cache=True wants LangChain's global cache; call set_llm_cache(…), or give cache=…")
    return cache


def free_usage() -> UsageMetadata:
    """Return the usage of an answer that no model was asked for."""
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "total_cost": 0}
    return cast(UsageMetadata, usage)


def hit(generation: Generation) -> Generation:
    """Return a cached generation that says that it is one: it used nothing, and cost nothing."""
    message = getattr(generation, "message", None)
    if isinstance(message, AIMessage):
        metadata = _of_a_hit(message.response_metadata)
        update = {"usage_metadata": free_usage(), "response_metadata": metadata}
        return ChatGeneration(
            message=message.model_copy(update=update), generation_info=generation.generation_info
        )
    info = _of_a_hit({**(generation.generation_info or {}), "usage_metadata": free_usage()})
    return Generation(text=generation.text, generation_info=info)


def _of_a_hit(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of an answer, without what it took a model to give it; reports the hit."""
    told = {name: value for name, value in metadata.items() if name not in ATTEMPTS} | {CACHE_HIT: True}
    if is_watched():
        report_call(told, None)
    return told


class HitMarkingCache(BaseCache):
    """Another cache, whose finds say that they are cached.

    Args:
        cache: Where answers are kept.
    """

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        return _marked(self._cache.lookup(prompt, llm_string))

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        return _marked(await self._cache.alookup(prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        self._cache.update(prompt, llm_string, return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        await self._cache.aupdate(prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:
        self._cache.clear(**kwargs)


def _marked(found: Sequence[Generation] | None) -> list[Generation] | None:
    return [hit(generation) for generation in found] if isinstance(found, list) else None


class CachedStream:
    """A stream that a cache answers where it can, and that is kept there when it was read to its end.

    Args:
        cache: Where answers are kept.
        key: The prompt and the settings, as LangChain writes them for `invoke`.
        output_version: LangChain's; ``"v1"`` keeps content as blocks, as `invoke` does.
    """

    def __init__(self, cache: BaseCache, key: tuple[str, str], output_version: str | None = None) -> None:
        self._cache = cache
        self._key = key
        self._output_version = output_version

    def chat(self, chunks: Iterator[ChatGenerationChunk]) -> Iterator[ChatGenerationChunk]:
        """Yield the cached answer's chunks, or those of a model."""
        if found := self._cache.lookup(*self._key):
            yield from _replay(found[0])
            return
        messages = []
        with closing(cast(Any, chunks)):
            for chunk in chunks:
                messages.append(cast(AIMessageChunk, chunk.message))  # LangChain puts another in its place
                yield chunk
        self._cache.update(*self._key, [self._whole(messages)])

    async def achat(self, chunks: AsyncIterator[ChatGenerationChunk]) -> AsyncIterator[ChatGenerationChunk]:
        """As `chat`."""
        if found := await self._cache.alookup(*self._key):
            for chunk in _replay(found[0]):
                yield chunk
            return
        messages = []
        async with aclosing(cast(Any, chunks)):
            async for chunk in chunks:
                messages.append(cast(AIMessageChunk, chunk.message))
                yield chunk
        await self._cache.aupdate(*self._key, [self._whole(messages)])

    def text(self, chunks: Iterator[GenerationChunk]) -> Iterator[GenerationChunk]:
        """Yield the chunks of a completion, cached or of a model."""
        if found := self._cache.lookup(*self._key):
            yield from _replay_text(found[0])
            return
        kept = []
        with closing(cast(Any, chunks)):
            for chunk in chunks:
                kept.append(chunk)
                yield chunk
        self._cache.update(*self._key, [_whole_text(kept)])

    async def atext(self, chunks: AsyncIterator[GenerationChunk]) -> AsyncIterator[GenerationChunk]:
        """As `text`."""
        if found := await self._cache.alookup(*self._key):
            for chunk in _replay_text(found[0]):
                yield chunk
            return
        kept = []
        async with aclosing(cast(Any, chunks)):
            async for chunk in chunks:
                kept.append(chunk)
                yield chunk
        await self._cache.aupdate(*self._key, [_whole_text(kept)])

    def _whole(self, messages: list[AIMessageChunk]) -> ChatGeneration:
        message = message_chunk_to_message(messages[0] + messages[1:] if messages[1:] else messages[0])
        assert isinstance(message, AIMessage)
        message = with_errors(message)
        update: dict[str, Any] = {"id": None}  # that of the run: each replay has its own
        if self._output_version == "v1":
            update["content"] = message.content_blocks
            update["response_metadata"] = {**message.response_metadata, "output_version": "v1"}
        return ChatGeneration(message=message.model_copy(update=update))


def _whole_text(chunks: Sequence[GenerationChunk]) -> Generation:
    """Merge the chunks of a completion."""
    text = "".join(chunk.text for chunk in chunks)
    return Generation(text=text, generation_info=chunks[-1].generation_info)


def _replay(generation: Generation) -> Iterator[ChatGenerationChunk]:
    message = getattr(hit(generation), "message", None)
    if message is None:
        message = AIMessage(generation.text, response_metadata={CACHE_HIT: True}, usage_metadata=free_usage())
    return replayed(cast(AIMessage, message))


def replayed(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """Yield a complete answer as a model would stream it: words, then calls, then what is known of it."""
    calls: list[Event] = [
        CallDelta(index, call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False))
        for index, call in enumerate(message.tool_calls)
    ]
    calls += [
        InvalidCall(index, call["id"] or "", call["name"], call["args"] or "", call["error"] or "")
        for index, call in enumerate(message.invalid_tool_calls, len(calls))
    ]
    words = [AIMessageChunk(content=piece) for piece in _PIECE.findall(message.text)]
    last = AIMessageChunk(
        content="",
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )
    for chunk in (*words, *to_chunks(calls), last):
        yield ChatGenerationChunk(message=chunk)


def _replay_text(generation: Generation) -> Iterator[GenerationChunk]:
    yield from (GenerationChunk(text=piece) for piece in _PIECE.findall(generation.text))
    yield GenerationChunk(text="", generation_info=hit(generation).generation_info)
