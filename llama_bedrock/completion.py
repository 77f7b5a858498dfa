"""LlamaBedrock: text completion for base models and for prompts written by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Self, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.globals import get_llm_cache
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import model_validator

from llama_bedrock.argument_kinds import refuses_wrong_kinds_in_methods
from llama_bedrock.choices import SpecialTokens
from llama_bedrock.settings import BedrockLlama
from llama_bedrock.usage import with_cost
from llama_bedrock.version import __version__

# What only a call needs is imported by the call, as in chat_model.
if TYPE_CHECKING:
    from llama_bedrock.caching import CachedStream
    from llama_bedrock.call import PreparedCall
    from llama_bedrock.fallbacks import Candidate

_MAX_THREADS = 32


@refuses_wrong_kinds_in_methods()
class LlamaBedrock(BedrockLlama, BaseLLM):
    """Continues a text: base models, and raw prompts for any Llama.

    The prompt is sent as it is, after the begin token of the generation (which is not doubled). It is the
    caller's own, so control tokens in it count: `special_tokens` is ``"allow"`` here by default.

    Example:
        ```python
        llm = LlamaBedrock(model=imported_base_model_arn, prompt_format="llama3.1")
        llm.invoke("The llama is a domesticated")
        ```

    The settings are those of `BedrockLlama`.

    Args:
        streaming: Stream also where `invoke` is called.
        special_tokens: ``"escape"`` or ``"error"`` where parts of the prompt come from others.
    """

    model_config = BedrockLlama.model_config  # LangChain's, which ignores what it does not know, would win

    streaming: bool = False
    special_tokens: SpecialTokens = "allow"

    @model_validator(mode="after")
    def _set_llama_bedrock_llm_version(self) -> Self:
        self._add_version("llama-bedrock", __version__)
        return self

    def generate(
        self, prompts: list[str], stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """Complete prompts; see LangChain's `BaseLLM.generate`."""
        llm, rest = self._for_cache(kwargs)
        return super(LlamaBedrock, llm).generate(prompts, stop, callbacks, **rest)

    async def agenerate(
        self, prompts: list[str], stop: list[str] | None = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """Complete prompts without blocking the event loop; see LangChain's `BaseLLM.agenerate`."""
        llm, rest = self._for_cache(kwargs)
        return await super(LlamaBedrock, llm).agenerate(prompts, stop, callbacks, **rest)

    def _for_cache(self, kwargs: dict[str, Any]) -> tuple[LlamaBedrock, dict[str, Any]]:
        """Make a call's settings those of a model where there is a cache: its key knows the model's alone."""
        if self.cache is False or (self.cache is None and get_llm_cache() is None):
            return self, kwargs
        from llama_bedrock.caching import HitMarkingCache, cache_of

        settings = self._call_arguments() & self._argument_names().keys()
        given = {name: value for name, value in kwargs.items() if name in settings}
        cache = cache_of(self.cache)
        assert cache is not None
        update = {name: value for name, value in given.items() if value is not None}
        llm = self.model_copy(update={**update, "cache": HitMarkingCache(cache)})
        llm._transports = self._transports
        return llm, {name: value for name, value in kwargs.items() if name not in given}

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if self.streaming:
            streams = [self._stream_of_model(prompt, stop, run_manager, kwargs) for prompt in prompts]
            merged = [_merge(list(_announced(stream, run_manager))) for stream in streams]
            return LLMResult(generations=[[generation] for generation in merged])
        if len(prompts) == 1:
            return LLMResult(generations=[[self._complete(prompts[0], stop, run_manager, kwargs)]])
        with ThreadPoolExecutor(min(len(prompts), _MAX_THREADS)) as pool:
            done = pool.map(lambda prompt: self._complete(prompt, stop, run_manager, kwargs), prompts)
            return LLMResult(generations=[[generation] for generation in done])

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if self.streaming:
            streams = [self._astream_of_model(prompt, stop, run_manager, kwargs) for prompt in prompts]
            merged = await asyncio.gather(*(_amerge(_aannounced(stream, run_manager)) for stream in streams))
            return LLMResult(generations=[[generation] for generation in merged])
        done = await asyncio.gather(
            *(self._acomplete(prompt, stop, run_manager, kwargs) for prompt in prompts)
        )
        return LLMResult(generations=[[generation] for generation in done])

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        chunks = self._stream_of_model(prompt, stop, run_manager, kwargs)
        cached = self._cached_stream(prompt, stop, kwargs)
        return _announced(chunks if cached is None else cached.text(chunks), run_manager)

    def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        chunks = self._astream_of_model(prompt, stop, run_manager, kwargs)
        cached = self._cached_stream(prompt, stop, kwargs)
        return _aannounced(chunks if cached is None else cached.atext(chunks), run_manager)

    def _stream_of_model(
        self, prompt: str, stop: list[str] | None, run_manager: Any, kwargs: dict[str, Any]
    ) -> Iterator[GenerationChunk]:
        for candidate in self._candidates(kwargs, run_manager):
            with candidate:
                call = self._prepare(prompt, stop, kwargs, candidate)
                with closing(self._sync_transport(call.region).stream(call.request)) as chunks:
                    for chunk in chunks:
                        for message in call.assembler.feed(chunk):
                            candidate.committed = True
                            yield _chunk(message)
                        if call.assembler.done:
                            break
                yield from map(_chunk, call.assembler.finish())
                return

    async def _astream_of_model(
        self, prompt: str, stop: list[str] | None, run_manager: Any, kwargs: dict[str, Any]
    ) -> AsyncIterator[GenerationChunk]:
        for candidate in self._candidates(kwargs, run_manager):
            with candidate:
                call = self._prepare(prompt, stop, kwargs, candidate)
                async with aclosing(self._async_transport(call.region).stream(call.request)) as chunks:
                    async for chunk in chunks:
                        for message in call.assembler.feed(chunk):
                            candidate.committed = True
                            yield _chunk(message)
                        if call.assembler.done:
                            break
                for message in call.assembler.finish():
                    yield _chunk(message)
                return

    def _cached_stream(
        self, prompt: str, stop: list[str] | None, kwargs: dict[str, Any]
    ) -> CachedStream | None:
        """Return what a stream is answered by and kept in, by the key of `invoke`; None without a cache."""
        llm, _ = self._for_cache(kwargs)
        if llm is self:
            return None
        from llama_bedrock.caching import CachedStream, cache_of

        cache = cache_of(llm.cache)
        assert cache is not None
        params = {**llm._identifying_params, "_type": llm._llm_type, "stop": stop}
        return CachedStream(cache, (prompt, str(sorted(params.items()))))

    def _complete(
        self, prompt: str, stop: list[str] | None, run_manager: Any, kwargs: dict[str, Any]
    ) -> Generation:
        for candidate in self._candidates(kwargs, run_manager):
            with candidate:
                call = self._prepare(prompt, stop, kwargs, candidate)
                chunk = self._sync_transport(call.region).invoke(call.request)
                return _generation(call.assembler.answer(chunk))
        raise AssertionError("the last candidate returns or raises")

    async def _acomplete(
        self, prompt: str, stop: list[str] | None, run_manager: Any, kwargs: dict[str, Any]
    ) -> Generation:
        for candidate in self._candidates(kwargs, run_manager):
            with candidate:
                call = self._prepare(prompt, stop, kwargs, candidate)
                chunk = await self._async_transport(call.region).invoke(call.request)
                return _generation(call.assembler.answer(chunk))
        raise AssertionError("the last candidate returns or raises")

    def _prepare(
        self, prompt: str, stop: list[str] | None, kwargs: dict[str, Any], candidate: Candidate
    ) -> PreparedCall:
        from llama_bedrock.call import prepare_completion

        call = prepare_completion(self, prompt, self._options_for(candidate, stop, kwargs))
        candidate.reads_with(call.assembler)
        return call

    def get_num_tokens(self, text: str) -> int:
        """Estimate the number of tokens of a text; `custom_get_token_ids` is used where it is set."""
        return len(self.custom_get_token_ids(text)) if self.custom_get_token_ids else self._count_tokens(text)

    @property
    def _llm_type(self) -> str:
        return "llama-bedrock"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._answer_settings()


def _info(message: AIMessage) -> dict[str, Any] | None:
    if not message.response_metadata:
        return None
    return {**message.response_metadata, "usage_metadata": with_cost(message).usage_metadata}


def _chunk(message: AIMessageChunk) -> GenerationChunk:
    return GenerationChunk(text=str(message.content), generation_info=_info(message))


def _announced(
    chunks: Iterator[GenerationChunk], run_manager: CallbackManagerForLLMRun | None
) -> Iterator[GenerationChunk]:
    with closing(cast(Any, chunks)):
        for chunk in chunks:
            if run_manager is not None and chunk.text:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


async def _aannounced(
    chunks: AsyncIterator[GenerationChunk], run_manager: AsyncCallbackManagerForLLMRun | None
) -> AsyncIterator[GenerationChunk]:
    async with aclosing(cast(Any, chunks)):
        async for chunk in chunks:
            if run_manager is not None and chunk.text:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def _merge(chunks: list[GenerationChunk]) -> Generation:
    text = "".join(chunk.text for chunk in chunks)
    return Generation(text=text, generation_info=chunks[-1].generation_info)


async def _amerge(chunks: AsyncIterator[GenerationChunk]) -> Generation:
    return _merge([chunk async for chunk in chunks])


def _generation(message: AIMessage) -> Generation:
    return Generation(text=str(message.content), generation_info=_info(message))
