"""What every chat model of this library does, whoever answers: costs, caches, tools, structured output."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, LLMResult
from langchain_core.runnables import Runnable

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.choices import StructuredOutputMethod
from llama_bedrock.usage import with_cost

# What only a call needs is imported by the call: importing the chat model costs little more than LangChain's.
if TYPE_CHECKING:
    from llama_bedrock.caching import CachedStream
    from llama_bedrock.tools.spec import ToolSpec


class LlamaChatModel(BaseChatModel):
    """A chat model whose answers tell their cost, whose streams are cached too, and that takes any tools."""

    @abstractmethod
    def _stream_of_model(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> Iterator[ChatGenerationChunk]:
        """Ask the model, whatever a cache holds."""

    @abstractmethod
    def _astream_of_model(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> AsyncIterator[ChatGenerationChunk]:
        """Ask the model, whatever a cache holds."""

    @abstractmethod
    def _refuse_tools(self) -> None:
        """Say so where the model knows no tools.

        Raises:
            ValueError: It knows none.
        """

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chunks = self._stream_of_model(messages, stop, run_manager, kwargs)
        cached = self._cached_stream(messages, stop, kwargs)
        return chunks if cached is None else cached.chat(chunks)

    def _astream(  # returns the iterator: a generator around it would cost a step per chunk
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks = self._astream_of_model(messages, stop, run_manager, kwargs)
        cached = self._cached_stream(messages, stop, kwargs)
        return chunks if cached is None else cached.achat(chunks)

    def _cached_stream(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> CachedStream | None:
        """Return what a stream is answered by and kept in, by the key of `invoke`; None without a cache."""
        if self.cache is False or (self.cache is None and get_llm_cache() is None):
            return None
        from llama_bedrock.caching import CachedStream, cache_of

        unnamed = [m if m.id is None else m.model_copy(update={"id": None}) for m in messages]
        cache = cache_of(self.cache)
        assert cache is not None
        key = (dumps(unnamed), self._get_llm_string(stop=stop, **kwargs))
        return CachedStream(cache, key, self.output_version)

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        from llama_bedrock.caching import hit

        return [cast(ChatGeneration, hit(g)) for g in super()._convert_cached_generations(cache_val)]

    # Costs are added behind LangChain's callbacks and cache: see `llama_bedrock.usage`.

    def generate(self, *args: Any, **kwargs: Any) -> LLMResult:
        """Answer lists of messages; see LangChain's `BaseChatModel.generate`."""
        return _with_costs(super().generate(*args, **kwargs))

    async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
        """Answer lists of messages; see LangChain's `BaseChatModel.agenerate`."""
        return _with_costs(await super().agenerate(*args, **kwargs))

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[AIMessageChunk]:
        """Answer in chunks; see LangChain's `BaseChatModel.stream`."""
        with closing(cast("Generator[AIMessageChunk]", super().stream(*args, **kwargs))) as chunks:
            for chunk in chunks:
                yield with_cost(chunk) if chunk.usage_metadata else chunk

    async def astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[AIMessageChunk]:
        """Answer in chunks; see LangChain's `BaseChatModel.astream`."""
        stream = cast("AsyncGenerator[AIMessageChunk]", super().astream(*args, **kwargs))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield with_cost(chunk) if chunk.usage_metadata else chunk

    @refuses_wrong_kinds
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | Runnable[Any, Any]],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model.

        Args:
            tools: Functions, pydantic classes, TypedDicts, LangChain tools, runnables, JSON schemas, or tool
                definitions of OpenAI, Anthropic, Bedrock Converse or MCP.
            tool_choice: ``"auto"``, ``"none"``, ``"any"``, ``"required"``, True, a tool's name, or a dict of
                another provider's form. A forced call cannot be missed: it begins the assistant's turn.
            strict: A call whose arguments break the schema becomes an invalid tool call that says why.
            parallel_tool_calls: False asks for one call at a time.
            **kwargs: Further settings of the call.

        Raises:
            ValueError: The model knows no tools, or a tool or the choice is not usable.
        """
        from llama_bedrock.tools.spec import normalise_tool_choice, to_tool_specs

        self._refuse_tools()
        specs = to_tool_specs(tools, strict=strict)
        normalise_tool_choice(tool_choice, specs)
        options = {"tool_choice": tool_choice, "strict": strict, "parallel_tool_calls": parallel_tool_calls}
        given = {key: value for key, value in options.items() if value is not None}
        bound: Runnable[LanguageModelInput, AIMessage] = self.bind(
            tools=[_bound_tool(spec) for spec in specs], **given, **kwargs
        )
        return bound

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: StructuredOutputMethod = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        max_repairs: int = 1,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer with objects of a schema, never with None.

        Args:
            schema: Pydantic class (2 or 1), TypedDict, dataclass, JSON schema or tool definition.
            method: ``"json_schema"`` and ``"json_mode"`` ask for an answer that is JSON,
                ``"function_calling"`` for a call with the object as arguments.
            include_raw: Return ``{"raw": message, "parsed": object or None, "parsing_error": error}``.
            strict: Nothing beside the schema is allowed.
            max_repairs: How often the model is told what is wrong with its answer and asked again.
            **kwargs: Further settings of every call.

        Raises:
            ValueError: The schema or the method is not usable. A call raises LangChain's
                `OutputParserException`, which holds the text, when the model gives no such object.
        """
        from llama_bedrock.structured_output import build_structured_runnable

        return build_structured_runnable(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            max_repairs=max_repairs,
            **kwargs,
        )


def _bound_tool(spec: ToolSpec) -> dict[str, Any]:
    """Write a tool as OpenAI's definition, the form that LangChain's tracing and middleware know."""
    strict = {"strict": True} if spec.strict else {}
    return {"type": "function", "function": {**spec.definition(), **strict}}


def _with_costs(result: LLMResult) -> LLMResult:
    """The result with costs on its messages; those that LangChain's cache keeps stay as they are."""
    for answers in result.generations:
        for i, generation in enumerate(answers):
            message = getattr(generation, "message", None)
            if isinstance(message, AIMessage) and (priced := with_cost(message)) is not message:
                answers[i] = cast("ChatGeneration", generation).model_copy(update={"message": priced})
    return result
