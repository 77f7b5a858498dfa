"""What LangChain calls of a runnable that answers questions, made of the two forms of `_answer`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig

from llama_bedrock.grounding.answers import RagAnswer, RagAnswerChunk


class AnswersQuestions(Runnable[Any, RagAnswer]):
    """Answers whole or in chunks that add up to the answer; each call is a run of its own in traces."""

    @abstractmethod
    def _answer(
        self, value: Any, config: RunnableConfig, kwargs: dict[str, Any], *, streamed: bool
    ) -> Iterator[RagAnswerChunk]:
        """Yield the chunks; not `streamed`, the model may be asked for a whole answer."""

    @abstractmethod
    def _aanswer(
        self, value: Any, config: RunnableConfig, kwargs: dict[str, Any], *, streamed: bool
    ) -> AsyncGenerator[RagAnswerChunk, None]:
        """As `_answer`."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> RagAnswer:
        """Answer a question."""

        def answer(value: Any, run_manager: CallbackManagerForChainRun, config: RunnableConfig) -> RagAnswer:
            total = RagAnswerChunk()
            for chunk in self._answer(value, config, kwargs, streamed=False):
                total = total + chunk
            return total.to_answer()

        return self._call_with_config(answer, input, config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> RagAnswer:
        """Answer a question without blocking the event loop; see `invoke`."""

        async def answer(
            value: Any, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
        ) -> RagAnswer:
            total = RagAnswerChunk()
            async with aclosing(self._aanswer(value, config, kwargs, streamed=False)) as chunks:
                async for chunk in chunks:
                    total = total + chunk
            return total.to_answer()

        return await self._acall_with_config(answer, input, config)

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[RagAnswerChunk]:
        """Answer a question piece by piece."""

        def answers(
            values: Iterator[Any], run_manager: CallbackManagerForChainRun, config: RunnableConfig
        ) -> Iterator[RagAnswer]:
            for value in values:
                yield from self._answer(value, config, kwargs, streamed=True)

        chunks = self._transform_stream_with_config(iter([input]), answers, config)
        yield from cast("Iterator[RagAnswerChunk]", chunks)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[RagAnswerChunk]:
        """Answer a question piece by piece without blocking the event loop; see `stream`."""

        async def answers(
            values: AsyncIterator[Any], run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig
        ) -> AsyncIterator[RagAnswer]:
            async for value in values:
                async with aclosing(self._aanswer(value, config, kwargs, streamed=True)) as chunks:
                    async for chunk in chunks:
                        yield chunk

        async def only() -> AsyncIterator[Any]:
            yield input

        chunks = self._atransform_stream_with_config(only(), answers, config)
        async for chunk in cast("AsyncIterator[RagAnswerChunk]", chunks):
            yield chunk
