"""ChatLlamaBedrock: Meta Llama on Amazon Bedrock as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing, suppress
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import model_validator

from llama_bedrock.argument_kinds import refuses_wrong_kinds_in_methods
from llama_bedrock.catalog import model_profile
from llama_bedrock.chat_interface import LlamaChatModel
from llama_bedrock.choices import Dialect
from llama_bedrock.prompts.formats import format_of
from llama_bedrock.prompts.rendered_prompt import RenderedPrompt
from llama_bedrock.settings import BedrockLlama, stop_strings
from llama_bedrock.text_chunks import generation_chunk
from llama_bedrock.token_counter import encoder_of
from llama_bedrock.version import __version__

# What only a call needs is imported by the call: importing the chat model costs little more than LangChain's.
if TYPE_CHECKING:
    from llama_bedrock.call import PreparedCall
    from llama_bedrock.fallbacks import Candidate

_ANSWER_FORM = frozenset(
    ["tools", "tool_choice", "tool_dialect", "strict", "parallel_tool_calls", "response_format"]
)


@refuses_wrong_kinds_in_methods()
class ChatLlamaBedrock(BedrockLlama, LlamaChatModel):
    """Chat model for every Llama on Amazon Bedrock.

    Sends the exact prompt of the model's generation through `InvokeModel`, so tools, forced tool choice,
    structured output and streaming work for every Llama from 3 on, and for imported ones.

    Example:
        ```python
        llm = ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0", region_name="us-east-2")
        llm.invoke("What is a llama?").text
        ```

    Args:
        streaming: Stream also where `invoke` is called.
        tool_dialect: How tools are asked for: ``"pythonic"`` (``[f(a=1)]``) or ``"json"``; by default what
            the generation follows best, which is pythonic for all so far.

    `help` shows all arguments, those of `BedrockLlama` and `BedrockConnection` too; any other is refused.
    temperature, top_p, max_tokens, stop, model, guardrails, latency, service_tier, request_metadata and
    special_tokens can also be given with a call.
    """

    model_config = BedrockLlama.model_config  # LangChain's, which ignores what it does not know, would win

    streaming: bool = False
    tool_dialect: Dialect | None = None

    @model_validator(mode="after")
    def _set_llama_bedrock_version(self) -> Self:
        self._add_version("llama-bedrock", __version__)
        return self

    # -- what LangChain calls ------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        for candidate in self._candidates(kwargs, run_manager):
            with candidate:
                call = self._prepare(messages, stop, kwargs, candidate)
                answer = call.assembler.answer(self._sync_transport(call.region).invoke(call.request))
                return ChatResult(generations=[ChatGeneration(message=answer)])
        raise AssertionError("the last candidate returns or raises")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        for candidate in self._candidates(kwargs, run_manager):
            with candidate:
                call = self._prepare(messages, stop, kwargs, candidate)
                answer = call.assembler.answer(await self._async_transport(call.region).invoke(call.request))
                return ChatResult(generations=[ChatGeneration(message=answer)])
        raise AssertionError("the last candidate returns or raises")

    def _stream_of_model(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> Iterator[ChatGenerationChunk]:
        for candidate in self._candidates(kwargs, run_manager):
            with candidate:
                call = self._prepare(messages, stop, kwargs, candidate)
                assembler = call.assembler
                with closing(self._sync_transport(call.region).stream(call.request)) as chunks:
                    for message in assembler.feed_all(chunks):
                        candidate.committed = True
                        yield generation_chunk(message)
                yield from map(generation_chunk, assembler.finish())
                return

    async def _astream_of_model(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> AsyncIterator[ChatGenerationChunk]:
        for candidate in self._candidates(kwargs, run_manager):
            with candidate:
                call = self._prepare(messages, stop, kwargs, candidate)
                assembler = call.assembler
                async with aclosing(self._async_transport(call.region).batches(call.request)) as batches:
                    async for batch in batches:
                        for message in assembler.feed_all(batch):
                            candidate.committed = True
                            yield generation_chunk(message)
                        if assembler.done:
                            break
                for message in assembler.finish():
                    yield generation_chunk(message)
                return

    def render_prompt(
        self,
        messages: LanguageModelInput,
        *,
        tools: Sequence[Any] | None = None,
        tool_choice: str | bool | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> RenderedPrompt:
        """Show exactly what would be sent.

        Args:
            messages: What `invoke` takes: messages, a string, or a prompt value.
            tools: Tools to offer, as for `bind_tools`.
            tool_choice: As for `bind_tools`.
            **kwargs: Further settings of the call.
        """
        from llama_bedrock.call import render_messages
        from llama_bedrock.tools.expected_answer import ExpectedAnswer

        given = {**kwargs, "tools": tools, "tool_choice": tool_choice}
        expected = ExpectedAnswer.take_from(given, self._dialect(given))
        options = self._call_options(None, given)
        return render_messages(self._convert_input(messages).to_messages(), options, expected)

    def get_num_tokens(self, text: str) -> int:
        """Estimate the number of tokens of a text, without a network or a tokenizer's files.

        `custom_get_token_ids` or `tokenizer` count instead where one is set; else what the service counted
        for earlier prompts of this object corrects the estimate.
        """
        return len(self.custom_get_token_ids(text)) if self.custom_get_token_ids else self._count_tokens(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Estimate the number of tokens of the whole prompt, template, tools and images included.

        Images count by their size, as `llama_bedrock.usage.estimate_image_tokens` says.
        """
        rendered = self.render_prompt(messages, tools=tools)
        count = self.get_num_tokens(rendered.text)
        if rendered.images:
            from llama_bedrock.prompts.images import read_image
            from llama_bedrock.tokens import estimate_image_tokens

            prompt_format = self.resolve().prompt_format
            sizes = [read_image(image, "the prompt") for image in rendered.images]
            count += sum(estimate_image_tokens(size.width, size.height, prompt_format) for size in sizes)
        return count

    def get_token_ids(self, text: str) -> list[int]:
        """Return token ids by `custom_get_token_ids` or `tokenizer`.

        Raises:
            NotImplementedError: None is set; ids need Llama's tokenizer files, which are not shipped.
        """
        if self.custom_get_token_ids is None and self.tokenizer is not None:
            return encoder_of(self.tokenizer)(text)
        if self.custom_get_token_ids is None:
            raise NotImplementedError(
                "token ids need Llama's tokenizer: pass tokenizer=…; get_num_tokens() estimates without it"
            )
        return self.custom_get_token_ids(text)

    # -- identity, tracing, serialisation ------------------------------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "llama-bedrock-chat"

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        # LangChain's own asks by way of the deprecated `dict`, which looks through the stack at each call.
        return {**self.asdict(), "stop": stop, **kwargs}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._answer_settings()

    @property
    def _serialized(self) -> dict[str, Any]:
        # Traceloop's instrumentation reads the model here, and says "unknown" where it finds none.
        return {**super()._serialized, "kwargs": {"model": self.model}}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "amazon_bedrock"
        params["ls_model_name"] = kwargs.get("model") or self.model
        if ls_stop := stop_strings(stop or self.stop):
            params["ls_stop"] = list(ls_stop)
        return params

    def _refuse_tools(self) -> None:
        if not self.resolve().accepts_tools:
            raise ValueError(f"{self.model} knows no tools; use an instruct model of Llama 3 or later")

    def _resolve_model_profile(self) -> ModelProfile | None:
        return model_profile(self.resolve())

    def _profile(self) -> ModelProfile | None:
        with suppress(ValueError):  # an ARN without a format yet: a call would say so
            return self._resolve_model_profile()
        return None

    @classmethod
    @cache
    def _call_arguments(cls) -> frozenset[str]:
        return super()._call_arguments() | _ANSWER_FORM

    def _dialect(self, overrides: dict[str, Any]) -> Dialect:
        return self.tool_dialect or format_of(self.resolve(overrides.get("model")).prompt_format).dialect

    # -- one call ------------------------------------------------------------------------------------------

    def _prepare(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        candidate: Candidate,
    ) -> PreparedCall:
        from llama_bedrock.call import prepare
        from llama_bedrock.tools.expected_answer import ExpectedAnswer

        overrides = dict(kwargs)
        expected = ExpectedAnswer.take_from(overrides, self._dialect(overrides))
        call = prepare(self, messages, self._options_for(candidate, stop, overrides), expected)
        candidate.reads_with(call.assembler)
        return call


# LangChain asks for the parameters of these at each call; `inspect` takes a signature that it finds.
for _function in (ChatLlamaBedrock._generate, ChatLlamaBedrock._agenerate):
    _function.__signature__ = signature(_function)  # type: ignore[union-attr]  # functions have attributes
