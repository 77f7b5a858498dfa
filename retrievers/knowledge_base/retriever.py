"""Amazon Bedrock Knowledge Bases as a LangChain retriever."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, model_validator

from llama_bedrock.argument_kinds import refuses_wrong_kinds_in_methods
from llama_bedrock.retrievers.knowledge_base.kb_connection import (
    HINTS,
    RUNTIME_SERVICE,
    KnowledgeBaseConnection,
)
from llama_bedrock.retrievers.knowledge_base.results import to_documents
from llama_bedrock.retrievers.knowledge_base.search_options import (
    SEARCH_OPTIONS,
    ImplicitFilter,
    KnowledgeBaseType,
    Search,
    SearchType,
    merge_search,
    retrieval_query,
)
from llama_bedrock.unknown_arguments import Named, named, refuse_unknown

logger = logging.getLogger(__name__)

# Arguments of one call that override the retriever's own.
_CALL_OPTIONS = SEARCH_OPTIONS | {"min_score", "user_id", "image"}


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """What one search found.

    Attributes:
        documents: Best first, at most `k`.
        guardrail_action: ``"INTERVENED"`` or ``"NONE"`` where a guardrail was used.
        pages: Requests it took.
    """

    documents: list[Document] = field(default_factory=list)
    guardrail_action: str | None = None
    pages: int = 0


@refuses_wrong_kinds_in_methods()
class KnowledgeBaseRetriever(KnowledgeBaseConnection, BaseRetriever):
    """Search a Bedrock Knowledge Base.

        retriever = KnowledgeBaseRetriever(knowledge_base_id="ABCDEFGHIJ", region_name="us-east-2")
        retriever.invoke("How do I reset it?", k=10, filter={"product": "x200"}, search_type="hybrid")

    Every search option can be given to the retriever and, for one call, to `invoke` and its siblings. Filters
    are those of `FAISSStore`, in any of their forms. Documents carry ``metadata["source"]`` whatever the data
    source is, and ``metadata["score"]``. `retrieve` returns them with the guardrail's action.

    Args:
        k: Documents wanted, at least 1; more than 100 are fetched page by page.
        filter: Metadata filter: built with `llama_bedrock.retrievers.filters`, a Mongo-like dict, or the
            API's own form. A filter given to a call replaces it.
        search_type: ``"hybrid"``, ``"semantic"``, or None: Bedrock chooses.
        reranking: A `Reranking`, or a reranker's model id or ARN. For managed knowledge bases also
            ``"managed"`` (Bedrock's own) or False (none).
        implicit_filter: Let a model derive a filter from the question.
        kind: ``"vector"`` or ``"managed"``: the API wants another configuration for each.
        min_score: Leave out documents that score less, or have no score.
        guardrail_id: Guardrail to apply to the query and the results.
        guardrail_version: Its version, or ``"DRAFT"``.
        user_id: Of the person who asks: only documents this person may see are returned, where the knowledge
            base is access-controlled.

    Raises:
        ValueError: An option has no meaning; the message says which.
        LlamaBedrockError: The search failed, after retries where they make sense.
    """

    model_config = KnowledgeBaseConnection.model_config  # not the last base's, which ignores arguments

    k: int = Field(default=4, ge=1)
    filter: Any = None
    search_type: SearchType | None = None
    reranking: Any = None
    implicit_filter: ImplicitFilter | None = None
    kind: KnowledgeBaseType = "vector"
    min_score: float | None = None
    guardrail_id: Named | None = None
    guardrail_version: Named = "DRAFT"
    user_id: Named | None = None

    @model_validator(mode="after")
    def _check_search(self) -> Self:
        """Find mistakes when the retriever is made, not when it is first used."""
        merge_search(self, {}, self.kind).configuration("us-east-1")
        return self

    def retrieve(self, query: str, **options: Any) -> RetrievalResult:
        """Search, and return the documents with what the service said about the search.

        Args:
            query: A text of 1 to 20,000 characters; empty if `image` is given.
            **options: `k`, `filter`, `search_type`, `reranking`, `implicit_filter`, `min_score`, `user_id`:
                for this call only. `image`: bytes of a PNG, JPEG, GIF or WebP of up to 5 MB to search by.

        Raises:
            ValueError: An option is unknown or has no meaning.
            LlamaBedrockError: The search failed.
        """
        plan = self._plan(query, options)
        region = self._region() if plan.search.needs_region() else ""
        transport = self._sync_transport()
        arguments: dict[str, Any] | None = plan.first_request(region)
        while arguments is not None:
            arguments = plan.take(transport.call(RUNTIME_SERVICE, "retrieve", **arguments), arguments)
        return plan.result()

    async def aretrieve(self, query: str, **options: Any) -> RetrievalResult:
        """Search without blocking the event loop; see `retrieve`."""
        plan = self._plan(query, options)
        transport = self._async_transport()
        region = await transport.region() if plan.search.needs_region() else ""
        arguments: dict[str, Any] | None = plan.first_request(region)
        while arguments is not None:
            arguments = plan.take(await transport.call(RUNTIME_SERVICE, "retrieve", **arguments), arguments)
        return plan.result()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return self.retrieve(query, **kwargs).documents

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return (await self.aretrieve(query, **kwargs)).documents

    def _plan(self, query: str, options: Mapping[str, Any]) -> _Plan:
        refuse_unknown("a search of a Knowledge Base", options, _CALL_OPTIONS, HINTS)
        request: dict[str, Any] = {
            "knowledgeBaseId": self.knowledge_base_id,
            "retrievalQuery": retrieval_query(query, options.get("image")),
        }
        if self.guardrail_id is not None:
            request["guardrailConfiguration"] = {
                "guardrailId": named(self.guardrail_id, "guardrail_id"),
                "guardrailVersion": self.guardrail_version,
            }
        user_id = options.get("user_id", self.user_id)
        if user_id is not None:
            request["userContext"] = {"userId": named(user_id, "user_id")}
        return _Plan(
            merge_search(self, options, self.kind), request, options.get("min_score", self.min_score)
        )


@dataclass(slots=True)
class _Plan:
    """One search from the first request to the last page; does no I/O, so sync and async both drive it."""

    search: Search
    request: dict[str, Any]
    min_score: float | None
    found: list[Document] = field(default_factory=list)
    guardrail_action: str | None = None
    pages: int = 0

    def first_request(self, region: str) -> dict[str, Any]:
        return {**self.request, "retrievalConfiguration": self.search.configuration(region)}

    def take(self, response: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Keep a page; returns the arguments of the next request, None when there is enough or no more."""
        self.pages += 1
        results = response.get("retrievalResults", [])
        self.found.extend(to_documents(results))
        if response.get("guardrailAction") is not None and self.guardrail_action != "INTERVENED":
            self.guardrail_action = response["guardrailAction"]
        token = response.get("nextToken")
        if not token or token == arguments.get("nextToken") or len(self.found) >= self.search.k:
            return None
        return {**arguments, "nextToken": token}

    def result(self) -> RetrievalResult:
        """What was found, without what scores too little."""
        documents = self.found[: self.search.k]
        if self.min_score is not None:
            limit = self.min_score
            documents = [
                d for d in documents if d.metadata["score"] is not None and d.metadata["score"] >= limit
            ]
        if self.guardrail_action is not None:
            for document in documents:
                document.metadata["guardrail_action"] = self.guardrail_action
            if self.guardrail_action == "INTERVENED":
                logger.warning("a guardrail intervened in a knowledge base search; see guardrail_action")
        return RetrievalResult(documents, self.guardrail_action, self.pages)
