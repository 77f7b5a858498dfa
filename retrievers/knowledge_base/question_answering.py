"""Questions to a Bedrock Knowledge Base that the service answers itself: RetrieveAndGenerate."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import AliasChoices, Field, model_validator

from llama_bedrock.errors import BedrockValidationError
from llama_bedrock.grounding.answering import AnswersQuestions
from llama_bedrock.grounding.answers import RagAnswer, RagAnswerChunk
from llama_bedrock.grounding.claims import Verifier
from llama_bedrock.grounding.verify import arun_verifier, run_verifier
from llama_bedrock.retrievers.knowledge_base.kb_citations import GeneratedAnswer
from llama_bedrock.retrievers.knowledge_base.kb_connection import (
    HINTS,
    RUNTIME_SERVICE,
    KnowledgeBaseConnection,
)
from llama_bedrock.retrievers.knowledge_base.search_options import (
    SEARCH_OPTIONS,
    ImplicitFilter,
    Search,
    SearchType,
    merge_search,
)
from llama_bedrock.unknown_arguments import Named, named, refuse_unknown

QAInput: TypeAlias = "str | Mapping[str, Any]"

MAX_QUESTION_CHARS = 1000
"""Longest ``input.text`` of RetrieveAndGenerate."""

_MAX_TEMPLATE_CHARS = 4000
_MAX_STOP = 4
_WHOLE, _STREAM = "retrieve_and_generate", "retrieve_and_generate_stream"
_CALL_OPTIONS = SEARCH_OPTIONS | {"session_id", "user_id"}

_USE_THE_RETRIEVER = (
    "answer with your own prompt instead: create_rag_chain(ChatLlamaBedrock(…), "
    "KnowledgeBaseRetriever(knowledge_base_id=…)) works with every Llama and every kind of knowledge base"
)
_REFUSALS = (
    (
        re.compile(r"model.{0,60}(?:not|n.t|un)\W?supported|(?:not|n.t) support.{0,60}model", re.I | re.S),
        f"Bedrock's Knowledge Bases do not generate with this model; {_USE_THE_RETRIEVER}",
    ),
    (
        re.compile(r"managed knowledge base", re.I),
        f"a managed knowledge base can be searched, not asked; {_USE_THE_RETRIEVER}",
    ),
)


class KnowledgeBaseQA(KnowledgeBaseConnection, AnswersQuestions, RunnableSerializable[Any, RagAnswer]):
    """Ask a Knowledge Base; Bedrock retrieves, and answers with a model.

        qa = KnowledgeBaseQA(knowledge_base_id="ABCDEFGHIJ", model="us.meta.llama3-3-70b-instruct-v1:0")
        answer = qa.invoke("What is the return policy?")
        qa.invoke({"question": "And for sale items?", "session_id": answer.session_id})

    The input is the question, or ``{"question": …}`` with ``session_id`` to continue a conversation;
    ``session_id``, ``user_id`` and the search options may also be keyword arguments of a call.

    The result is the `RagAnswer` of `create_rag_chain`; its documents are those that were cited, and the text
    has no marks. `stream` gives chunks that add up to it: text, then each citation with its documents, at the
    end the session.

    AWS's model cards list Knowledge Bases as not supported for Llama. Where the service refuses, the error's
    hint says so: `KnowledgeBaseRetriever` with `create_rag_chain` does the same with every model.

    Args:
        model: Model id, geo profile id or ARN of the model that answers. Alias: `model_id`.
        k: Passages to answer from, 1 to 100.
        filter: Metadata filter, in any form that `KnowledgeBaseRetriever` takes.
        search_type: ``"hybrid"``, ``"semantic"``, or None: Bedrock chooses.
        reranking: As of `KnowledgeBaseRetriever`.
        implicit_filter: Let a model derive a filter from the question.
        prompt_template: Up to 4,000 characters with ``$search_results$`` in it; None for the service's own.
        temperature: 0 to 1.
        top_p: 0 to 1.
        max_tokens: Most tokens of the answer.
        stop: Up to 4 stop sequences.
        additional_model_fields: Model-specific request fields.
        latency: ``"standard"`` or ``"optimized"``.
        decompose_query: Split a question with several parts into several searches.
        orchestration_template: Prompt for rewriting questions in a conversation, with the placeholders of
            the API (``$conversation_history$``, ``$output_format_instructions$``).
        guardrail_id: Guardrail for question and answer.
        guardrail_version: Its version, or ``"DRAFT"``.
        kms_key_arn: Key that encrypts the session.
        user_id: Of the person who asks, for access-controlled knowledge bases.
        verifier: Judges the parts of the answer by the passages that the service cites for them; None for
            `WordVerifier`. In a stream, what needs a model is judged at the end.

    Raises:
        ValueError: An option has no meaning, or the question has more than 1,000 characters.
        LlamaBedrockError: The service refused or failed.
    """

    model_config = KnowledgeBaseConnection.model_config  # not the last base's, which ignores arguments

    model: Named = Field(validation_alias=AliasChoices("model", "model_id"))
    k: int = Field(default=5, ge=1, le=100)
    filter: Any = None
    search_type: SearchType | None = None
    reranking: Any = None
    implicit_filter: ImplicitFilter | None = None
    prompt_template: str | None = Field(default=None, max_length=_MAX_TEMPLATE_CHARS)
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=65_536)
    stop: list[str] = Field(default_factory=list, max_length=_MAX_STOP)
    additional_model_fields: dict[str, Any] = Field(default_factory=dict)
    latency: str | None = Field(default=None, pattern="^(standard|optimized)$")
    decompose_query: bool = False
    orchestration_template: str | None = Field(default=None, min_length=1, max_length=_MAX_TEMPLATE_CHARS)
    guardrail_id: Named | None = None
    guardrail_version: Named = "DRAFT"
    kms_key_arn: Named | None = None
    user_id: Named | None = None
    verifier: Verifier | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        template = self.prompt_template
        if template is not None and "$search_results$" not in template:
            raise ValueError("prompt_template must hold the placeholder $search_results$")
        merge_search(self, {}, "vector").configuration("us-east-1")
        return self

    def _answer(
        self, value: QAInput, config: RunnableConfig, kwargs: dict[str, Any], *, streamed: bool
    ) -> Iterator[RagAnswerChunk]:
        call, transport = self._call(value, kwargs), self._sync_transport()
        reader = GeneratedAnswer(call.question, self.verifier)
        with _advice():
            arguments = self._arguments(call, self._region() if self._needs_region(call) else "")
            if streamed:
                with closing(transport.call_stream(RUNTIME_SERVICE, _STREAM, **arguments)) as events:
                    session_id = next(events).get("sessionId")
                    for event in events:
                        if (chunk := reader.event(event)) is not None:
                            yield chunk
            else:
                response = transport.call(RUNTIME_SERVICE, _WHOLE, **arguments)
                session_id = response.get("sessionId")
                yield from reader.response(response)
        yield reader.finish(session_id, *run_verifier(reader.parts, config))

    async def _aanswer(
        self, value: QAInput, config: RunnableConfig, kwargs: dict[str, Any], *, streamed: bool
    ) -> AsyncGenerator[RagAnswerChunk, None]:
        call, transport = self._call(value, kwargs), self._async_transport()
        reader = GeneratedAnswer(call.question, self.verifier)
        with _advice():
            arguments = self._arguments(call, await transport.region() if self._needs_region(call) else "")
            if streamed:
                async with aclosing(transport.call_stream(RUNTIME_SERVICE, _STREAM, **arguments)) as events:
                    session_id = (await anext(events)).get("sessionId")
                    async for event in events:
                        if (chunk := reader.event(event)) is not None:
                            yield chunk
            else:
                response = await transport.call(RUNTIME_SERVICE, _WHOLE, **arguments)
                session_id = response.get("sessionId")
                for chunk in reader.response(response):
                    yield chunk
        yield reader.finish(session_id, *await arun_verifier(reader.parts, config))

    def _call(self, value: QAInput, kwargs: Mapping[str, Any]) -> _Question:
        given = {"question": value} if isinstance(value, str) else dict(value)
        question = given.pop("question", None)
        if not isinstance(question, str) or not question.strip():
            raise ValueError("the input is a question, or a mapping with the text of one under 'question'")
        if len(question) > MAX_QUESTION_CHARS:
            raise ValueError(
                f"the question has {len(question):,} characters; RetrieveAndGenerate takes "
                f"{MAX_QUESTION_CHARS:,}. Shorten it, or {_USE_THE_RETRIEVER}"
            )
        options = {**given, **kwargs}
        refuse_unknown("a question to a Knowledge Base", options, _CALL_OPTIONS, HINTS)
        search = merge_search(self, options, "vector")
        return _Question(question, search, options.get("session_id"), options.get("user_id", self.user_id))

    def _needs_region(self, call: _Question) -> bool:
        return call.search.needs_region() or _is_llama_id(self.model)

    def _arguments(self, call: _Question, region: str) -> dict[str, Any]:
        """The request. The service takes the id of a knowledge base here, not its ARN."""
        configuration: dict[str, Any] = {
            "knowledgeBaseId": self.knowledge_base_id.rpartition("/")[2],
            "modelArn": _model_arn(self.model, region),
            "retrievalConfiguration": call.search.configuration(region),
        }
        generation = self._generation()
        if generation:
            configuration["generationConfiguration"] = generation
        orchestration: dict[str, Any] = {}
        if self.decompose_query:
            orchestration["queryTransformationConfiguration"] = {"type": "QUERY_DECOMPOSITION"}
        if self.orchestration_template is not None:
            orchestration["promptTemplate"] = {"textPromptTemplate": self.orchestration_template}
        if orchestration:
            configuration["orchestrationConfiguration"] = orchestration
        arguments: dict[str, Any] = {
            "input": {"text": call.question},
            "retrieveAndGenerateConfiguration": {
                "type": "KNOWLEDGE_BASE",
                "knowledgeBaseConfiguration": configuration,
            },
        }
        if call.session_id is not None:
            arguments["sessionId"] = named(call.session_id, "session_id")
        if call.user_id is not None:
            arguments["userContext"] = {"userId": named(call.user_id, "user_id")}
        if self.kms_key_arn is not None:
            arguments["sessionConfiguration"] = {"kmsKeyArn": self.kms_key_arn}
        return arguments

    def _generation(self) -> dict[str, Any]:
        inference = {
            "temperature": self.temperature,
            "topP": self.top_p,
            "maxTokens": self.max_tokens,
            "stopSequences": self.stop or None,
        }
        inference = {name: value for name, value in inference.items() if value is not None}
        generation: dict[str, Any] = {}
        if inference:
            generation["inferenceConfig"] = {"textInferenceConfig": inference}
        if self.prompt_template is not None:
            generation["promptTemplate"] = {"textPromptTemplate": self.prompt_template}
        if self.guardrail_id is not None:
            generation["guardrailConfiguration"] = {
                "guardrailId": named(self.guardrail_id, "guardrail_id"),
                "guardrailVersion": self.guardrail_version,
            }
        if self.additional_model_fields:
            generation["additionalModelRequestFields"] = self.additional_model_fields
        if self.latency is not None:
            generation["performanceConfig"] = {"latency": self.latency}
        return generation


@dataclass(frozen=True, slots=True)
class _Question:
    """One question with the options of its call."""

    question: str
    search: Search
    session_id: str | None
    user_id: str | None


@contextmanager
def _advice() -> Iterator[None]:
    """Turn the service's known refusals into what to do instead."""
    try:
        yield
    except BedrockValidationError as error:
        for pattern, hint in _REFUSALS:
            if pattern.search(error.message):
                error.hint = hint
                break
        raise


def _is_llama_id(model: str) -> bool:
    return not model.startswith("arn:") and "meta.llama" in model


def _model_arn(model: str, region: str) -> str:
    """What to call: a bare Llama id becomes the region's profile where it must; others go as they are."""
    if not _is_llama_id(model):
        return model
    from llama_bedrock.catalog import resolve_model

    return resolve_model(model, region).model_id
