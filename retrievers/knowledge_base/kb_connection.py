"""What every client of Bedrock Knowledge Bases needs to know: which one, and how to reach it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Self

from pydantic import field_validator, model_validator

from llama_bedrock.settings import BedrockConnection
from llama_bedrock.transport.clients import region_of
from llama_bedrock.unknown_arguments import MODEL_HINTS

RUNTIME_SERVICE = "bedrock-agent-runtime"

_KNOWLEDGE_BASE_ID = re.compile(
    r"[0-9a-zA-Z]{10}|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:knowledge-base/[0-9a-zA-Z]{10}"
)


_SEARCH = "give each by itself: k=…, filter=…, search_type=…, reranking=…"
HINTS: Mapping[str, str] = {
    **MODEL_HINTS,
    **dict.fromkeys(("retrieval_config", "retrievalConfiguration", "vectorSearchConfiguration"), _SEARCH),
    **dict.fromkeys(("min_score_confidence", "score_threshold"), "use min_score=…"),
    **dict.fromkeys(("number_of_results", "numberOfResults", "top_k", "search_kwargs"), "use k=…"),
    **dict.fromkeys(("override_search_type", "overrideSearchType"), 'use search_type="hybrid" or "semantic"'),
    **dict.fromkeys(("reranking_config", "rerankingConfiguration"), "use reranking=Reranking(model)"),
    **dict.fromkeys(("guardrails", "guardrail_config"), "use guardrail_id=… and guardrail_version=…"),
    **dict.fromkeys(("model_id", "model_arn"), "a retriever calls no model: give it to the chat model"),
}
"""What AmazonKnowledgeBasesRetriever and the API call things, and what they are here."""


class KnowledgeBaseConnection(BedrockConnection):
    """A knowledge base, and how to reach it.

    Args:
        knowledge_base_id: The 10 letters and digits of a knowledge base's id, or its ARN.
        endpoint_url: Another endpoint; else ``AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME``.
        api_key: Not used, and reported: these services take AWS credentials only.

    The other settings are those of `BedrockConnection`.
    """

    knowledge_base_id: str

    @field_validator("knowledge_base_id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if not _KNOWLEDGE_BASE_ID.fullmatch(value):
            raise ValueError(
                f"knowledge_base_id={value!r} is neither an id of 10 letters and digits nor the ARN of a "
                "knowledge base; the Bedrock console shows it under Knowledge Bases"
            )
        return value

    @model_validator(mode="after")
    def _report_api_key(self) -> Self:
        # bedrock-agent and bedrock-agent-runtime are signed only, says botocore's service model (1.43): a
        # Bedrock API key opens neither.
        if self.api_key is not None and "api_key" in self.model_fields_set:
            warnings.warn(
                f"{type(self).__name__}: api_key is not used, the services of Knowledge Bases take AWS "
                "credentials only: aws_access_key_id and aws_secret_access_key, a profile or boto3's chain",
                stacklevel=2,
            )
        return self

    @classmethod
    def _hints(cls) -> Mapping[str, str]:
        return HINTS

    def _region(self) -> str:
        """Return the region that calls go to.

        Raises:
            ValueError: None is set.
        """
        return region_of(self._transport_settings())
