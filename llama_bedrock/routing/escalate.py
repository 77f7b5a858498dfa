"""Escalate: a small model answers, and a large one where that answer does not do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManager, CallbackManagerForLLMRun
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import SerializeAsAny, field_validator, model_validator

from llama_bedrock.caching import replayed
from llama_bedrock.chat_model import ChatLlamaBedrock
from llama_bedrock.grounding.citations import CitationReader
from llama_bedrock.grounding.claims import Verifier
from llama_bedrock.grounding.verify import arun_verifier, run_verifier
from llama_bedrock.prompts.passages import parse_passages, parse_question
from llama_bedrock.routing.routed_chat_model import (
    RoutedChatModel,
    answer_of,
    refuse_member,
    result_of,
)
from llama_bedrock.usage import ATTEMPTS_KEY, calls_of, with_calls_before

_MessageT = TypeVar("_MessageT", bound=AIMessage)
_Member: TypeAlias = SerializeAsAny[ChatLlamaBedrock | RoutedChatModel]
_Rule: TypeAlias = Literal["verdict", "no-answer"]

_MEMBERS = (ChatLlamaBedrock, RoutedChatModel)
_GROUNDED = 0.5  # mean score of an answer's statements, of which 0.5 says "rather supported than not"


class Escalate(RoutedChatModel):
    """A chat model that asks a small model first, and a large one where that answer is not grounded.

    Made for `create_rag_chain` and `create_rag_agent`: the passages that an answer is held against are those
    of its prompt. Without passages there is no verdict, so the small model's answer stands; so do its tool
    calls.

    Nothing is handed out before the verdict. So a stream begins when the small model's answer is complete: it
    is that answer, or the large model's as it is written. `response_metadata` tells whether it was
    ``"escalated"``, ``"escalation_reason"`` why, and ``"attempts"`` what each model used; `usage_metadata` is
    the sum. A verifier's own model calls are runs of their own.

    Example:
        ```python
        llm = Escalate(
            ChatLlamaBedrock(model="us.meta.llama3-1-8b-instruct-v1:0"),
            ChatLlamaBedrock(model="us.meta.llama3-3-70b-instruct-v1:0"),
        )
        create_rag_chain(llm, retriever).invoke("How much may a llama carry?")
        ```

    Args:
        small: Answers first: a `ChatLlamaBedrock` or a `Spread`.
        large: Answers where the small one does not do; it sees the same messages.
        when: ``"verdict"``: the answer is no answer, cites nothing, has a statement that is not supported, or
            its statements are on the whole rather not than supported (mean score below 0.5), all by words
            alone; a verifier, such as `LlamaJudge`: the same by its verdicts; ``"no-answer"``: the answer is
            empty or says that there is none; or a function of the answer and the messages that tells.
    """

    small: _Member
    large: _Member
    when: Any = "verdict"

    def __init__(self, *members: ChatLlamaBedrock | RoutedChatModel, **settings: Any) -> None:
        if len(members) > 2:
            raise TypeError(f"Escalate takes a small and a large model, not {len(members)} models")
        given: dict[str, Any] = dict(zip(("small", "large"), members, strict=False))
        super().__init__(**given, **settings)

    @model_validator(mode="before")
    @classmethod
    def _check_members(cls, given: Any) -> Any:
        for name in ("small", "large"):
            if isinstance(given, dict) and name in given:
                refuse_member("Escalate", name, given[name], _MEMBERS)
        return given

    @field_validator("when", mode="plain")
    @classmethod
    def _check_when(cls, when: Any) -> Any:
        if iscoroutinefunction(when):
            raise ValueError("when= is an async function: give one that tells at once")
        if when in get_args(_Rule) if isinstance(when, str) else isinstance(when, Runnable) or callable(when):
            return when
        raise ValueError(
            f'when={when!r}: give "verdict", "no-answer", a verifier, or a function of an answer and messages'
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("small", "large"):
            refuse_member("Escalate", name, value, _MEMBERS)
        super().__setattr__(name, self._check_when(value) if name == "when" else value)

    def _members(self) -> list[ChatLlamaBedrock | RoutedChatModel]:
        return [self.small, self.large]

    def _refuse_unknown_in_call(self, given: dict[str, Any]) -> None:
        for name in ("model", "model_id"):
            if name in given:
                raise ValueError(f"a call of Escalate takes no {name}: it says itself which model is asked")
        super()._refuse_unknown_in_call(given)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**super()._identifying_params, "when": self.when}

    # -- what LangChain calls ------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        first = self._first(messages, stop, run_manager, kwargs)
        if first.reason is None:
            return result_of(first.stands())
        with first.told_by_errors():
            result = self.large._generate(messages, stop, run_manager, **kwargs)
        return result_of(first.replaced(answer_of(result)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        first = await self._afirst(messages, stop, run_manager, kwargs)
        if first.reason is None:
            return result_of(first.stands())
        with first.told_by_errors():
            result = await self.large._agenerate(messages, stop, run_manager, **kwargs)
        return result_of(first.replaced(answer_of(result)))

    def _stream_of_model(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> Iterator[ChatGenerationChunk]:
        first = self._first(messages, stop, run_manager, kwargs)
        if first.reason is None:
            yield from replayed(first.stands())
            return
        with first.told_by_errors():
            for chunk in self.large._stream_of_model(messages, stop, run_manager, kwargs):
                yield first.before(chunk)

    async def _astream_of_model(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> AsyncIterator[ChatGenerationChunk]:
        first = await self._afirst(messages, stop, run_manager, kwargs)
        if first.reason is None:
            for chunk in replayed(first.stands()):
                yield chunk
            return
        with first.told_by_errors():
            async for chunk in self.large._astream_of_model(messages, stop, run_manager, kwargs):
                yield first.before(chunk)

    def _first(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> _First:
        self._refuse_unknown_in_call(kwargs)
        first = _First(answer_of(self.small._generate(messages, stop, run_manager, **kwargs)))
        with first.told_by_errors():
            first.read(messages, self.when)
            if first.reader is not None:
                run_verifier(first.reader.parts, _within(run_manager))
                first.verified()
        return first

    async def _afirst(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> _First:
        self._refuse_unknown_in_call(kwargs)
        result = await self.small._agenerate(messages, stop, run_manager, **kwargs)
        first = _First(answer_of(result))
        with first.told_by_errors():
            first.read(messages, self.when)
            if first.reader is not None:
                await arun_verifier(first.reader.parts, _within(run_manager))
                first.verified()
        return first


class _First:
    """The small model's answer, and what is said of it.

    Args:
        answer: The answer.

    Attributes:
        reason: Why it does not do; None where it does.
        reader: Has claims to be verified; then call `verified`.
    """

    def __init__(self, answer: AIMessage) -> None:
        self.answer = answer
        self.reason: str | None = None
        self.reader: CitationReader | None = None

    @contextmanager
    def told_by_errors(self) -> Iterator[None]:
        """Have an error tell what the answer has cost: nothing else will, once the call has failed."""
        try:
            yield
        except BaseException as error:
            setattr(error, ATTEMPTS_KEY, [*calls_of(self.answer), *getattr(error, ATTEMPTS_KEY, ())])
            raise

    def read(
        self,
        messages: list[BaseMessage],
        when: _Rule | Verifier | Callable[[AIMessage, list[BaseMessage]], object],
    ) -> None:
        """Say of the answer what can be said before its claims are verified.

        Args:
            messages: What was asked.
            when: As of `Escalate`.
        """
        if not isinstance(when, str | Runnable):
            said = when(self.answer, messages)
            if isawaitable(said):
                getattr(said, "close", bool)()  # no warning that it was never awaited beside the error
                raise ValueError("when= gave an awaitable: give a function that tells at once")
            self.reason = "the function given as when= says so" if said else None
        elif not (self.answer.tool_calls or self.answer.invalid_tool_calls):
            self._read(messages, when)

    def _read(self, messages: list[BaseMessage], when: _Rule | Verifier) -> None:
        documents = _documents(messages)
        if not documents and when != "no-answer":
            return
        asked = next((message.text for message in reversed(messages) if message.type == "human"), "")
        reader = CitationReader(
            documents,
            when if isinstance(when, Runnable) else None,
            question=parse_question(asked) or asked,
        )
        reader.feed(self.answer.text)
        reader.close(cut=self.answer.response_metadata.get("stop_reason") == "length")
        if not reader.text.strip() or reader.says_no_answer:
            self.reason = "it is no answer"
        elif when != "no-answer":
            self.reader = reader

    def verified(self) -> None:
        """Take the verdicts that the reader has by now."""
        assert self.reader is not None
        statements = self.reader.parts.by_statement()
        if not any(statements):
            self.reason = "it cites nothing"
            return
        scores = []
        for cited in statements:
            best = max(cited, key=lambda c: (c.supported is True, c.supported is None, c.score), default=None)
            if best is not None and best.supported is False:
                self.reason = f"a statement is not supported: {best.reason}"
                return
            scores.append(0.0 if best is None else 1.0 if best.supported else best.score)
        if sum(scores) / len(scores) < _GROUNDED:
            self.reason = "on the whole it is rather not supported than supported"

    def stands(self) -> AIMessage:
        """The small model's answer, as the answer."""
        return self._told(self.answer)

    def replaced(self, answer: AIMessage) -> AIMessage:
        """The large model's answer, with what both used."""
        return self._told(with_calls_before(answer, self.answer))

    def before(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """A chunk of the large model's answer; the one with its usage tells of both."""
        message = chunk.message
        if not isinstance(message, AIMessageChunk) or not message.usage_metadata:
            return chunk
        return ChatGenerationChunk(message=self._told(with_calls_before(message, self.answer)))

    def _told(self, answer: _MessageT) -> _MessageT:
        told = {**answer.response_metadata, "escalated": self.reason is not None}
        if self.reason is not None:
            told["escalation_reason"] = self.reason
        return answer.model_copy(update={"response_metadata": told})


def _within(run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> RunnableConfig:
    """The config of a verifier's run, a part of the model's."""
    if run_manager is None:
        return {}
    callbacks = CallbackManager([], parent_run_id=run_manager.run_id)
    callbacks.set_handlers(run_manager.inheritable_handlers)
    return {"callbacks": callbacks}


def _documents(messages: list[BaseMessage]) -> dict[int, Document]:
    """The numbered passages that the model was shown, by the chain or by an agent's searches."""
    shown: dict[int, Document] = {}
    for message in messages:
        if message.type in ("human", "tool"):
            for passage in parse_passages(message.text):
                shown[passage.number] = Document(passage.text, metadata={"source": passage.source})
    return shown
