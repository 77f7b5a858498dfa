"""Questions about documents: retrieve, pack into the prompt, answer, check the citations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.messages.ai import AIMessage, UsageMetadata
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, patch_config

from llama_bedrock.agents.rag.packing import pack
from llama_bedrock.agents.rag.rag_prompt import (
    Query,
    answer_messages,
    follow_up_messages,
    passage_budget,
    read_query,
    read_rewrite,
    stands_alone,
    stop_reason_of,
)
from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.grounding.answering import AnswersQuestions
from llama_bedrock.grounding.answers import Citation, RagAnswer, RagAnswerChunk
from llama_bedrock.grounding.citations import CitationReader
from llama_bedrock.grounding.claims import Verifier
from llama_bedrock.grounding.verify import arun_verifier, run_verifier
from llama_bedrock.observability.reports import is_watched, report_answer
from llama_bedrock.prompts.passages import NO_ANSWER
from llama_bedrock.usage import estimate_tokens, sum_usage

RagInput: TypeAlias = str | BaseMessage | Sequence[Any] | dict[str, Any]
"""A question; messages, of which the last one of the user is the question; or ``{"question": …,
"chat_history": […]}``."""

_SURE_TO_FIT = 0.7  # share of the passage budget up to which an error of the token estimate does no harm
_SHRINK = 0.7
_SMALLEST_SHARE = 0.4  # after two tries it is not the estimate that is wrong

Retriever: TypeAlias = Runnable[str, list[Document]]
Model: TypeAlias = Runnable[LanguageModelInput, AIMessage]


@refuses_wrong_kinds
def create_rag_chain(
    model: Model,
    retriever: Retriever,
    *,
    instructions: str | None = None,
    max_passage_tokens: int | None = None,
    max_passages_per_document: int | None = None,
    min_score: float | None = None,
    condense_model: Model | None = None,
    verifier: Verifier | None = None,
    count_tokens: Callable[[str], int] = estimate_tokens,
    name: str = "RagChain",
) -> RagChain:
    """Make a chain that answers questions from documents, with citations that were checked.

    ``invoke`` and ``ainvoke`` take a question, messages, or ``{"question": …, "chat_history": […]}`` and
    return a :class:`~llama_bedrock.grounding.answers.RagAnswer`. ``stream`` and ``astream`` give
    :class:`~llama_bedrock.grounding.answers.RagAnswerChunk`: the documents first, then the answer as it is
    written, each citation when its statement is complete, and usage and timings at the end; the chunks add up
    to the answer. The verdicts of a verifier that asks a model come when the answer is complete.

    Nothing found, or nothing above ``min_score``, is answered with NO_ANSWER without asking the model.

    Args:
        model: A chat model, such as ``ChatLlamaBedrock``; also with ``.bind()``, ``.with_retry()`` or
            fallbacks.
        retriever: A LangChain retriever, or any runnable from a question to documents, best first.
        instructions: Added to the system message, for tone, format or language; the rules of the chain stay.
        max_passage_tokens: Most tokens of all passages together; None for what the context window leaves.
        max_passages_per_document: Most passages of one source document; None for no limit.
        min_score: Documents with a lower ``metadata["score"]`` are left out; None for no threshold.
        condense_model: A smaller model that makes follow-up questions stand alone; None for ``model``.
        verifier: Judges the statements that carry a citation: any runnable from claims to verdicts, such as
            :class:`~llama_bedrock.grounding.LlamaJudge`; None for
            :class:`~llama_bedrock.grounding.WordVerifier`, which needs no model. What it raises is raised.
        count_tokens: Counts the tokens of a text; the default is an estimate that needs no tokenizer.
        name: Name of the runs in traces.

    Raises:
        TypeError: Model or retriever is not a runnable.
        ValueError: A limit is not positive.
    """
    needed: list[tuple[str, object]] = [("model", model), ("retriever", retriever)]
    for argument, value in [*needed, *([] if verifier is None else [("verifier", verifier)])]:
        if not isinstance(value, Runnable):
            raise TypeError(f"{argument} must be a LangChain runnable, not {type(value).__name__}")
    for argument, limit in (
        ("max_passage_tokens", max_passage_tokens),
        ("max_passages_per_document", max_passages_per_document),
    ):
        if limit is not None and limit < 1:
            raise ValueError(f"{argument} must be at least 1, not {limit}")
    return RagChain(
        model=model,
        retriever=retriever,
        instructions=instructions,
        max_passage_tokens=max_passage_tokens,
        max_passages_per_document=max_passages_per_document,
        min_score=min_score,
        condense_model=condense_model or model,
        verifier=verifier,
        count_tokens=count_tokens,
        name=name,
    )


@dataclass(kw_only=True, eq=False, repr=False)
class RagChain(AnswersQuestions, Runnable[RagInput, RagAnswer]):
    """The chain made by :func:`create_rag_chain`; its arguments are attributes.

    Keyword arguments of `invoke` and its siblings go to the model.
    """

    model: Model
    retriever: Retriever
    instructions: str | None
    max_passage_tokens: int | None
    max_passages_per_document: int | None
    min_score: float | None
    condense_model: Model
    verifier: Verifier | None
    count_tokens: Callable[[str], int]
    name: str | None

    def _answer(
        self, value: RagInput, config: RunnableConfig, kwargs: dict[str, Any], *, streamed: bool
    ) -> Iterator[RagAnswerChunk]:
        run = _Run(self, value)
        if run.needs_rewrite:
            run.rewritten(
                self.condense_model.invoke(run.rewrite_messages(), _named(config, "Condense question"))
            )
        yield from run.retrieved(self.retriever.invoke(run.question, _named(config, "Retrieve")))
        named = _named(config, "Answer")
        while run.messages:
            try:
                if streamed:
                    for message in self.model.stream(run.messages, named, **kwargs):
                        yield from run.feed(message)
                else:
                    yield from run.feed(self.model.invoke(run.messages, named, **kwargs))
                break
            except ContextOverflowError:
                if not run.shrink():
                    raise
        yield from run.end()
        run.verified(*run_verifier(run.reader.parts, config))
        yield run.last(config)

    async def _aanswer(
        self, value: RagInput, config: RunnableConfig, kwargs: dict[str, Any], *, streamed: bool
    ) -> AsyncGenerator[RagAnswerChunk, None]:
        run = _Run(self, value)
        if run.needs_rewrite:
            named = _named(config, "Condense question")
            run.rewritten(await self.condense_model.ainvoke(run.rewrite_messages(), named))
        for chunk in run.retrieved(await self.retriever.ainvoke(run.question, _named(config, "Retrieve"))):
            yield chunk
        named = _named(config, "Answer")
        while run.messages:
            try:
                if streamed:
                    async for message in self.model.astream(run.messages, named, **kwargs):
                        for chunk in run.feed(message):
                            yield chunk
                else:
                    for chunk in run.feed(await self.model.ainvoke(run.messages, named, **kwargs)):
                        yield chunk
                break
            except ContextOverflowError:
                if not run.shrink():
                    raise
        for chunk in run.end():
            yield chunk
        run.verified(*await arun_verifier(run.reader.parts, config))
        yield run.last(config)


class _Run:
    """One question on its way through the chain: everything but the calls, which the two shells make."""

    def __init__(self, chain: RagChain, value: RagInput) -> None:
        self._chain = chain
        self._query: Query = read_query(value)
        self._started = self._step = perf_counter()
        self._timings: dict[str, float] = {}
        self._usage: UsageMetadata | None = None
        self.reader = CitationReader({}, chain.verifier)
        self._verified: tuple[Citation, ...] = ()
        self._stop_reason: str | None = None
        self._guardrail_action: str | None = None
        self._found: list[Document] = []
        self.documents: tuple[Document, ...] = ()
        self._share = 1.0  # of the budget that is used
        self._shown: RagAnswerChunk | None = None  # the documents, while they may still change
        self.question = self._query.question
        self.messages: list[BaseMessage] = []
        self.needs_rewrite = bool(self._query.history) and not stands_alone(self.question)

    def rewrite_messages(self) -> list[BaseMessage]:
        """What to ask the model for a stand-alone question."""
        return follow_up_messages(self._query, self._chain.count_tokens)

    def rewritten(self, message: AIMessage) -> None:
        """Take the model's stand-alone question."""
        self.question = read_rewrite(message.text, self._query)
        self._usage = message.usage_metadata
        self._time("condense")

    def retrieved(self, documents: list[Document]) -> Iterator[RagAnswerChunk]:
        """Take the documents and make the prompt of them; no prompt when none can be shown.

        Gives a chunk with the documents, unless they nearly fill the window and may have to be packed again.
        """
        self._time("retrieve")
        self._found = documents
        if self._pack() <= _SURE_TO_FIT:
            yield from self._show()

    def shrink(self) -> bool:
        """Pack again for less, after the model said that the prompt is too long; False to give up."""
        if self._shown is None or self._share < _SMALLEST_SHARE:
            return False
        self._share *= _SHRINK
        self._pack()
        return bool(self.messages)

    def _pack(self) -> float:
        """Make the prompt; returns the share of the window's budget that its passages take."""
        chain = self._chain
        budget = passage_budget(chain.model, self.question, chain.instructions, chain.count_tokens)
        packed = pack(
            self._found,
            question=self.question,
            budget=min(int(budget * self._share), chain.max_passage_tokens or budget),
            count_tokens=chain.count_tokens,
            max_per_document=chain.max_passages_per_document,
            min_score=chain.min_score,
        )
        numbered = dict(enumerate(packed.documents, start=1))
        self.reader = CitationReader(numbered, chain.verifier, question=self.question)
        self.messages = []
        if packed.documents:
            self.messages = answer_messages(self.question, packed, chain.instructions)
        self.documents = packed.documents
        self._shown = RagAnswerChunk(
            documents=packed.documents, documents_left_out=packed.left_out, question=self.question
        )
        return packed.tokens / budget

    def _show(self) -> Iterator[RagAnswerChunk]:
        if self._shown is not None:
            yield self._shown
            self._shown = None

    def feed(self, message: BaseMessage) -> Iterator[RagAnswerChunk]:
        """Take a piece of the model's answer; gives a chunk if there is something new to show."""
        yield from self._show()
        written = message.text
        if written and "first_token" not in self._timings:
            self._timings["first_token"] = perf_counter() - self._step
        if isinstance(message, AIMessage) and message.usage_metadata:
            self._usage = sum_usage(self._usage, message.usage_metadata)
        self._stop_reason = stop_reason_of(message) or self._stop_reason
        self._guardrail_action = message.response_metadata.get("guardrail_action") or self._guardrail_action
        text, citations = self.reader.feed(written)
        if text or citations:
            yield RagAnswerChunk(text=text, citations=citations)

    def end(self) -> Iterator[RagAnswerChunk]:
        """Take the end of the model's answer; gives the rest of the text and its citations."""
        yield from self._show()
        text, citations = self.reader.close(cut=self._stop_reason == "length")
        if self.messages:
            self._time("generate")
        if not self.reader.text:  # nothing to ask about, or nothing answered
            text = NO_ANSWER
            self._stop_reason = self._stop_reason if self.messages else None
        if text or citations:
            yield RagAnswerChunk(text=text, citations=citations)

    def verified(self, citations: tuple[Citation, ...], usage: UsageMetadata | None) -> None:
        """Take the citations with their verdicts, where there were any to be asked for."""
        self._verified = citations
        self._usage = sum_usage(self._usage, usage)
        if citations:
            self._time("verify")

    def last(self, config: RunnableConfig) -> RagAnswerChunk:
        """What is known at the end; reports it."""
        self._timings["total"] = perf_counter() - self._started
        chunk = RagAnswerChunk(
            citations=self._verified,
            usage=self._usage,
            timings=self._timings,
            grounded_fraction=self.reader.grounded_fraction,
            undecided_fraction=self.reader.undecided_fraction,
            guardrail_action=self._guardrail_action,
            no_answer=not self.messages or not self.reader.text or self.reader.says_no_answer,
            removed_marks=self.reader.removed_marks,
            stop_reason=self._stop_reason,
        )
        if is_watched(callbacks := config.get("callbacks")):
            shown = replace(
                chunk,
                text=self.reader.text,
                citations=self._verified or tuple(self.reader.citations),
                documents=self.documents,
                question=self.question,
            )
            report_answer(shown, callbacks)
        return chunk

    def _time(self, step: str) -> None:
        now = perf_counter()
        self._timings[step] = now - self._step
        self._step = now


def _named(config: RunnableConfig, name: str) -> RunnableConfig:
    """The chain's configuration for one of its steps, with the name it has in a trace."""
    return patch_config(ensure_config(config), run_name=name)
