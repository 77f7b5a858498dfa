"""Structured output: a schema in, an object of it out, or an error that holds what the model wrote.

Functions the chat model calls:

- `build_structured_runnable(llm, schema, …)` is `ChatLlamaBedrock.with_structured_output`.
- `read_response_format(value)`, `ResponseFormat.instructions(with_tools=…)`,
  `ResponseFormat.prefill(with_tools=…)` and `JsonContent(form, prefix=…)` serve a call with
  ``response_format=…``: the instructions go into the system message, the prefill begins the assistant's turn,
  the text of the answer passes through `JsonContent`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.runnables import Runnable, RunnableConfig

from llama_bedrock.tools.json_answer import JsonContent, ResponseFormat, read_response_format
from llama_bedrock.tools.object_requests import Exchange, Growth
from llama_bedrock.tools.output_schema import OutputSchema

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
    from langchain_core.language_models import BaseChatModel, LanguageModelInput
    from langchain_core.messages import AIMessage

__all__ = [
    "JsonContent",
    "Method",
    "OutputSchema",
    "ResponseFormat",
    "build_structured_runnable",
    "read_response_format",
]

Method = Literal["json_schema", "function_calling", "json_mode"]

_METHODS = ("json_schema", "function_calling", "json_mode")


def build_structured_runnable(
    llm: BaseChatModel,
    schema: Any,
    *,
    method: Method = "json_schema",
    include_raw: bool = False,
    strict: bool | None = None,
    max_repairs: int = 1,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """Make a model answer with objects.

    Args:
        llm: Chat model that honours ``response_format`` and `bind_tools` with a forced choice.
        schema: Pydantic class (2 or 1), TypedDict, dataclass, JSON schema, or a tool definition of OpenAI.
        method: ``"json_schema"`` and ``"json_mode"`` ask for an answer that is JSON, ``"function_calling"``
            for a call with the object as arguments.
        include_raw: Return ``{"raw": message, "parsed": object or None, "parsing_error": error or None}``.
        strict: Nothing beside the schema is allowed.
        max_repairs: How often the model is told what is wrong and asked again.
        **kwargs: Settings of every call.

    Returns:
        A runnable that gives objects of the schema, dicts for TypedDict and JSON schema; while streaming,
        growing ones.

    Raises:
        ValueError: The schema or the method is not known, or `max_repairs` is negative.
    """
    if method not in _METHODS:
        raise ValueError(f"method={method!r}: give one of {', '.join(_METHODS)}")
    if max_repairs < 0:
        raise ValueError(f"max_repairs={max_repairs}: give 0 or more")
    if schema is None:
        raise ValueError("schema is None: with_structured_output needs a schema")
    output = OutputSchema.of(schema, strict=bool(strict))
    about = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    bound: Runnable[Any, AIMessage]
    if method == "function_calling":
        bound = llm.bind_tools(
            [output.tool()],
            tool_choice=output.name,
            strict=strict,
            parallel_tool_calls=False,
            ls_structured_output_format=about,
            **kwargs,
        )
    else:
        bound = llm.bind(
            response_format=_response_format(output, method), ls_structured_output_format=about, **kwargs
        )
    return StructuredOutput(bound, output, include_raw=include_raw, max_repairs=max_repairs)


def _response_format(output: OutputSchema, method: Method) -> dict[str, Any]:
    if method == "json_mode":
        return {"type": "json_object", "name": output.name, "schema": output.parameters}
    return {
        "type": "json_schema",
        "json_schema": {
            "name": output.name,
            "description": output.description,
            "schema": output.parameters,
            "strict": output.strict,
        },
    }


class StructuredOutput(Runnable["LanguageModelInput", Any]):
    """Asks the model, reads the object out of its answer, and asks again if there is none.

    Args:
        bound: The chat model with everything bound that the method needs.
        output: What shall come out.
        include_raw: Return the message and the error as well.
        max_repairs: How often the model is told what is wrong and asked again.
    """

    def __init__(
        self, bound: Runnable[Any, AIMessage], output: OutputSchema, *, include_raw: bool, max_repairs: int
    ) -> None:
        self.bound = bound
        self.output = output
        self.include_raw = include_raw
        self.max_repairs = max_repairs

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return the object.

        Raises:
            OutputParserException: The model gave none, also after `max_repairs`; ``llm_output`` is its text.
        """
        return self._call_with_config(self._invoke, input, config, run_type="chain", **kwargs)

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Return the object, as `invoke` does."""
        return await self._acall_with_config(self._ainvoke, input, config, run_type="chain", **kwargs)

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield the object as it grows: each one replaces the one before."""
        yield from self.transform(iter([input]), config, **kwargs)

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield the object as it grows, as `stream` does."""

        async def inputs() -> AsyncIterator[LanguageModelInput]:
            yield input

        async for value in self.atransform(inputs(), config, **kwargs):
            yield value

    def transform(
        self, input: Iterator[LanguageModelInput], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield the object as it grows; the input is taken whole."""
        yield from self._transform_stream_with_config(
            input, self._transform, config, run_type="chain", **kwargs
        )

    async def atransform(
        self, input: AsyncIterator[LanguageModelInput], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield the object as it grows; the input is taken whole."""
        async for value in self._atransform_stream_with_config(
            input, self._atransform, config, run_type="chain", **kwargs
        ):
            yield value

    def _invoke(
        self,
        input: LanguageModelInput,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        exchange = self._exchange(input)
        while not exchange.take(self.bound.invoke(exchange.messages, config, **kwargs)):
            pass
        return exchange.result()

    async def _ainvoke(
        self,
        input: LanguageModelInput,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        exchange = self._exchange(input)
        while not exchange.take(await self.bound.ainvoke(exchange.messages, config, **kwargs)):
            pass
        return exchange.result()

    def _transform(
        self,
        input: Iterator[LanguageModelInput],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Iterator[Any]:
        for whole in input:
            exchange, growth = self._exchange(whole), Growth(self.output, include_raw=self.include_raw)
            for chunk in self.bound.stream(exchange.messages, config, **kwargs):
                yield from growth.feed(chunk)
            done = exchange.take(growth.message())
            while not done:
                done = exchange.take(self.bound.invoke(exchange.messages, config, **kwargs))
            yield from growth.last(exchange)

    async def _atransform(
        self,
        input: AsyncIterator[LanguageModelInput],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        async for whole in input:
            exchange, growth = self._exchange(whole), Growth(self.output, include_raw=self.include_raw)
            async for chunk in self.bound.astream(exchange.messages, config, **kwargs):
                for value in growth.feed(chunk):
                    yield value
            done = exchange.take(growth.message())
            while not done:
                done = exchange.take(await self.bound.ainvoke(exchange.messages, config, **kwargs))
            for value in growth.last(exchange):
                yield value

    def _exchange(self, input: LanguageModelInput) -> Exchange:
        return Exchange(self.output, input, include_raw=self.include_raw, max_repairs=self.max_repairs)
