"""Contextual grounding of a Bedrock guardrail as the verifier of an answer's statements."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import Field, field_validator

from llama_bedrock.grounding.claims import Claim, Verdict
from llama_bedrock.guardrails import Guardrails
from llama_bedrock.settings import BedrockConnection

_SERVICE = "bedrock-runtime"
_BY = "guardrail"

# Bedrock user guide, "Use contextual grounding check": characters of each of the three.
MAX_SOURCE_CHARACTERS = 100_000
MAX_QUERY_CHARACTERS = 1_000
MAX_STATEMENT_CHARACTERS = 5_000


class GuardrailVerifier(BedrockConnection, RunnableSerializable[list[Claim], list[Verdict]]):
    """Has each statement checked by the contextual grounding policy of a Bedrock guardrail (ApplyGuardrail).

        GuardrailVerifier("gr1a2b3c4d5e", region_name="us-east-2")

    The score is Bedrock's for grounding; a statement is supported from the guardrail's own threshold on. Its
    score for relevance to the question is not used. What exceeds the service's limits (100,000 characters of
    passages, 5,000 of the statement), and all where the guardrail has no such policy, is not decided.

    Args:
        guardrails: The guardrail: its id or ARN, `Guardrails`, or a mapping with ``id`` and ``version``.
        max_concurrency: Most calls at the same time.

    The other settings are those of `BedrockConnection`.

    Raises:
        ValueError: The guardrail is not named.
        LlamaBedrockError: A call failed, after retries where they make sense.
    """

    model_config = BedrockConnection.model_config  # not the last base's, which ignores arguments

    guardrails: Guardrails
    max_concurrency: int = Field(default=8, ge=1)

    def __init__(self, guardrails: Guardrails | Mapping[str, Any] | str, **settings: Any) -> None:
        super().__init__(**{"guardrails": guardrails, **settings})

    @field_validator("guardrails", mode="plain")
    @classmethod
    def _read_guardrails(cls, value: Any) -> Guardrails:
        found = Guardrails.from_value({"id": value} if isinstance(value, str) else value)
        if found is None:
            raise ValueError("guardrails names the guardrail: its id, or Guardrails(id=…, version=…)")
        return found

    def invoke(
        self, input: list[Claim], config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Verdict]:
        """The verdicts, one for each claim."""

        def run(claims: list[Claim]) -> list[Verdict]:
            transport = self._sync_transport()

            def verify(claim: Claim) -> Verdict:
                if (refused := _too_long(claim)) is not None:
                    return refused
                return _verdict(transport.call(_SERVICE, "apply_guardrail", **self._arguments(claim)))

            with ThreadPoolExecutor(max_workers=self.max_concurrency) as pool:
                return list(pool.map(verify, claims))

        return self._call_with_config(run, input, config)

    async def ainvoke(
        self, input: list[Claim], config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Verdict]:
        """The verdicts, one for each claim, without blocking the event loop."""

        async def run(claims: list[Claim]) -> list[Verdict]:
            transport, free = self._async_transport(), asyncio.Semaphore(self.max_concurrency)

            async def verify(claim: Claim) -> Verdict:
                if (refused := _too_long(claim)) is not None:
                    return refused
                async with free:
                    answer = await transport.call(_SERVICE, "apply_guardrail", **self._arguments(claim))
                return _verdict(answer)

            return list(await asyncio.gather(*map(verify, claims)))

        return await self._acall_with_config(run, input, config)

    def _arguments(self, claim: Claim) -> dict[str, Any]:
        """The request. The policy needs a query; without a question the statement stands for it."""
        query = (claim.question.strip() or claim.statement)[:MAX_QUERY_CHARACTERS]
        parts = [(document.page_content, "grounding_source") for document in claim.passages]
        parts += [(query, "query"), (claim.statement, "guard_content")]
        return {
            "guardrailIdentifier": self.guardrails.id,
            "guardrailVersion": self.guardrails.version,
            "source": "OUTPUT",
            "content": [{"text": {"text": text, "qualifiers": [kind]}} for text, kind in parts],
            "outputScope": "FULL",  # scores also of what the guardrail lets pass
        }


def _too_long(claim: Claim) -> Verdict | None:
    source = sum(len(document.page_content) for document in claim.passages)
    if source > MAX_SOURCE_CHARACTERS:
        what = f"the passages have {source:,} characters, a guardrail reads {MAX_SOURCE_CHARACTERS:,}"
    elif len(claim.statement) > MAX_STATEMENT_CHARACTERS:
        what = f"the statement has more than {MAX_STATEMENT_CHARACTERS:,} characters"
    elif not claim.statement.strip() or not source:
        what = "there is nothing to compare"
    else:
        return None
    return Verdict(reason=what, by=_BY)


def _verdict(answer: Mapping[str, Any]) -> Verdict:
    for assessment in _assessments(answer):
        for item in assessment.get("contextualGroundingPolicy", {}).get("filters", ()):
            if item.get("type") == "GROUNDING" and "score" in item:
                score, threshold = float(item["score"]), float(item.get("threshold", 0.0))
                reason = f"grounding {score:.2f}, the guardrail's threshold is {threshold:.2f}"
                return Verdict(score >= threshold, score, reason=reason, by=_BY)
    return Verdict(reason="the guardrail has no contextual grounding policy", by=_BY)


def _assessments(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = answer.get("assessments") or ()
    return [assessment for assessment in found if isinstance(assessment, Mapping)]
