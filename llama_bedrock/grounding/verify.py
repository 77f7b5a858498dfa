"""Runs a verifier over an answer's claims, and the verifiers that are made of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs, patch_config

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.grounding.answers import Citation, RagAnswer
from llama_bedrock.grounding.citations import CitationReader
from llama_bedrock.grounding.claims import Claim, Verdict, Verifier, checked
from llama_bedrock.grounding.verdicts import CitedParts
from llama_bedrock.usage import sum_usage, with_cost


@refuses_wrong_kinds
class Cascade(Runnable[list[Claim], list[Verdict]]):
    """Two verifiers: the second is asked only what the first has left open.

        Cascade(WordVerifier(), LlamaJudge(llm))

    Args:
        first: The cheap one, such as `WordVerifier`.
        then: The one that gets the rest, such as `LlamaJudge`.
    """

    def __init__(self, first: Verifier, then: Verifier) -> None:
        self.first = first
        self.then = then

    def invoke(
        self, input: list[Claim], config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Verdict]:
        """The verdicts, one for each claim."""

        def run(claims: list[Claim], run_manager: Any, config: RunnableConfig) -> list[Verdict]:
            decided = checked(self.first.invoke(claims, config), len(claims), self.first)
            rest = [
                claim for claim, verdict in zip(claims, decided, strict=True) if verdict.supported is None
            ]
            return self._joined(decided, self.then.invoke(rest, config) if rest else [])

        return self._call_with_config(run, input, config)

    async def ainvoke(
        self, input: list[Claim], config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Verdict]:
        """The verdicts, one for each claim."""

        async def run(claims: list[Claim], run_manager: Any, config: RunnableConfig) -> list[Verdict]:
            decided = checked(await self.first.ainvoke(claims, config), len(claims), self.first)
            rest = [
                claim for claim, verdict in zip(claims, decided, strict=True) if verdict.supported is None
            ]
            return self._joined(decided, await self.then.ainvoke(rest, config) if rest else [])

        return await self._acall_with_config(run, input, config)

    def _joined(self, decided: list[Verdict], later: Any) -> list[Verdict]:
        rest = [n for n, verdict in enumerate(decided) if verdict.supported is None]
        for n, verdict in zip(rest, checked(later, len(rest), self.then), strict=True):
            if verdict.supported is not None or verdict.score is not None or decided[n].score is None:
                decided[n] = verdict
        return decided


class NoVerifier(Runnable[list[Claim], list[Verdict]]):
    """Decides nothing: quotes are found, and every citation is left open."""

    def invoke(
        self, input: list[Claim], config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Verdict]:
        """An open verdict for each claim."""
        return [Verdict(reason="not verified") for _ in input]


class _Spent(BaseCallbackHandler):
    """Counts the tokens of the model calls of a verifier, whatever it is made of."""

    def __init__(self) -> None:
        self.usage: UsageMetadata | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generations in response.generations:
            for generation in generations:
                message = generation.message if isinstance(generation, ChatGeneration) else None
                if isinstance(message, AIMessage):
                    self.usage = sum_usage(self.usage, with_cost(message).usage_metadata)


def run_verifier(
    parts: CitedParts, config: RunnableConfig | None = None
) -> tuple[tuple[Citation, ...], UsageMetadata | None]:
    """Have a complete answer verified; returns its citations and the tokens that took.

    Args:
        parts: Its cited parts. Where they are verified already, or there are none, nothing runs.
        config: The run that this is a part of.
    """
    claims, spent = parts.claims, _Spent()
    if not claims:
        return (), None
    return parts.take_verdicts(parts.verifier.invoke(claims, _watched(config, spent))), spent.usage


async def arun_verifier(
    parts: CitedParts, config: RunnableConfig | None = None
) -> tuple[tuple[Citation, ...], UsageMetadata | None]:
    """As `run_verifier`, without blocking the event loop."""
    claims, spent = parts.claims, _Spent()
    if not claims:
        return (), None
    verdicts = await parts.verifier.ainvoke(claims, _watched(config, spent))
    return parts.take_verdicts(verdicts), spent.usage


def _watched(config: RunnableConfig | None, spent: _Spent) -> RunnableConfig:
    return merge_configs(patch_config(ensure_config(config), run_name="Verify"), {"callbacks": [spent]})


@refuses_wrong_kinds
def verify_answer(
    answer: str | RagAnswer,
    documents: Sequence[Document] | None = None,
    verifier: Verifier | None = None,
    *,
    question: str = "",
    config: RunnableConfig | None = None,
) -> RagAnswer:
    """Find and check the citations of an answer that any chain has written.

        verify_answer("Llamas eat hay [1].", [Document("Llamas eat hay and grass.")])

    Args:
        answer: The text with its marks (``[1]``, ``[1][2]``, ``[1-3]``), or an answer to be verified again.
        documents: What the model saw: the mark ``[n]`` means ``documents[n - 1]``. None for the answer's own.
        verifier: Judges the statements; None for `WordVerifier`.
        question: What was asked.
        config: LangChain's run configuration.

    Raises:
        ValueError: There are no documents.
    """
    reader, given = _reader(answer, documents, verifier, question)
    later, spent = run_verifier(reader.parts, config)
    return _verified(reader, given, later, spent)


@refuses_wrong_kinds
async def averify_answer(
    answer: str | RagAnswer,
    documents: Sequence[Document] | None = None,
    verifier: Verifier | None = None,
    *,
    question: str = "",
    config: RunnableConfig | None = None,
) -> RagAnswer:
    """As `verify_answer`, without blocking the event loop."""
    reader, given = _reader(answer, documents, verifier, question)
    later, spent = await arun_verifier(reader.parts, config)
    return _verified(reader, given, later, spent)


def _reader(
    answer: str | RagAnswer, documents: Sequence[Document] | None, verifier: Verifier | None, question: str
) -> tuple[CitationReader, RagAnswer]:
    given = RagAnswer(text=answer) if isinstance(answer, str) else answer
    shown = tuple(documents) if documents is not None else given.documents
    if not shown:
        raise ValueError("there are no documents to verify the answer by; give those that the model saw")
    question = question or given.question
    reader = CitationReader(dict(enumerate(shown, start=1)), verifier, question=question)
    reader.feed(given.text)
    reader.close(cut=given.stop_reason == "length")
    return reader, replace(given, documents=shown, question=question)


def _verified(
    reader: CitationReader, given: RagAnswer, later: tuple[Citation, ...], spent: UsageMetadata | None
) -> RagAnswer:
    return replace(
        given,
        text=reader.text,
        citations=later or tuple(reader.citations),
        usage=sum_usage(given.usage, spent),
        grounded_fraction=reader.grounded_fraction,
        undecided_fraction=reader.undecided_fraction,
        no_answer=given.no_answer or reader.says_no_answer,
        removed_marks=given.removed_marks + reader.removed_marks,
    )
