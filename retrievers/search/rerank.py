"""Put what a retriever found into a better order: Bedrock's Rerank API, or any LangChain document
compressor.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
    Callbacks,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from pydantic import Field, PrivateAttr

from llama_bedrock._extras import require
from llama_bedrock.argument_kinds import refuses_wrong_kinds_in_methods
from llama_bedrock.retrievers.remote_calls import RemoteCalls
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.retry import RetryPolicy
from llama_bedrock.unknown_arguments import STRICT, Named, StrictArguments

_MAX_SOURCES = 1000
_MAX_CHARACTERS = 32_000
"""Limits of the Rerank operation, from botocore's model of bedrock-agent-runtime."""
_IN_FLIGHT = 4


@refuses_wrong_kinds_in_methods()
class BedrockReranker(StrictArguments, BaseDocumentCompressor):
    """Orders documents by a reranker model on Bedrock (Cohere's or Amazon's), through langchain-aws.

    More than the 1,000 documents that one request takes go in several, side by side; the models score each
    document by itself, so the scores can be compared. A text is cut to the 32,000 characters that the service
    reads; the document that comes back is whole. Throttling and passing failures are tried again.

    Args:
        model: ARN of the reranker model, or its id, such as ``"cohere.rerank-v3-5:0"`` or
            ``"amazon.rerank-v1:0"``.
        top_n: How many documents to return; None: all.
        region_name: AWS region; default: the one of the environment or profile.
        endpoint_url: Endpoint of bedrock-agent-runtime; default: AWS's.
        credentials_profile_name: Profile of the AWS configuration files.
        client: A boto3 client of bedrock-agent-runtime of your own.
        max_retries: Attempts after the first. Default 4.

    Raises:
        ImportError: langchain-aws is not installed.
    """

    model_config = STRICT

    model: Named
    top_n: int | None = Field(default=None, ge=1)
    region_name: Named | None = None
    endpoint_url: Named | None = None
    credentials_profile_name: Named | None = None
    client: Any = Field(default=None, exclude=True, repr=False)
    max_retries: int = Field(default=4, ge=0)

    _own: ClassVar[tuple[str, ...]] = ("_inner", "_lock")
    _follows: ClassVar[tuple[str, ...]] = ("_inner",)
    _inner: Any = PrivateAttr(default=None)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The documents most relevant to a query, best first, with ``relevance_score`` in their metadata.

        Raises:
            ValueError: The query is empty or longer than 32,000 characters.
            LlamaBedrockError: The service failed for good.
        """
        batches = self._batches(documents, query)
        with ThreadPoolExecutor(_IN_FLIGHT, "rerank") as pool:
            scores = list(pool.map(lambda batch: self._scores(batch, query), batches))
        return self._ordered(batches, scores)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """As `compress_documents`."""
        batches = self._batches(documents, query)
        places = asyncio.Semaphore(_IN_FLIGHT)

        async def scores_of(batch: Sequence[Document]) -> list[float]:
            async with places:
                return await run_in_executor(None, self._scores, batch, query)

        return self._ordered(batches, await asyncio.gather(*map(scores_of, batches)))

    def _batches(self, documents: Sequence[Document], query: str) -> list[Sequence[Document]]:
        if not query.strip() or len(query) > _MAX_CHARACTERS:
            raise ValueError(
                f"a reranker's query has 1 to {_MAX_CHARACTERS:,} characters, this one {len(query):,}"
            )
        # The service refuses empty texts; they are relevant to nothing.
        filled = [document for document in documents if document.page_content.strip()]
        return [filled[start : start + _MAX_SOURCES] for start in range(0, len(filled), _MAX_SOURCES)]

    def _scores(self, batch: Sequence[Document], query: str) -> list[float]:
        inner = self._reranker()
        texts = [document.page_content[:_MAX_CHARACTERS] for document in batch]
        context = CallContext("Rerank", inner.model_arn, inner.client.meta.region_name, self.endpoint_url)
        calls = RemoteCalls(context, RetryPolicy(max_retries=self.max_retries))
        results = calls.run(lambda: inner.rerank(texts, query, top_n=len(texts)))
        scores = [0.0] * len(texts)
        for result in results:
            scores[result["index"]] = float(result["relevance_score"])
        return scores

    def _ordered(
        self, batches: Sequence[Sequence[Document]], scores: Sequence[Sequence[float]]
    ) -> list[Document]:
        scored = [
            pair
            for batch, found in zip(batches, scores, strict=True)
            for pair in zip(batch, found, strict=True)
        ]
        scored.sort(key=lambda pair: -pair[1])
        return [
            Document(
                page_content=document.page_content,
                id=document.id,
                metadata={**document.metadata, "relevance_score": score},
            )
            for document, score in scored[: self.top_n]
        ]

    def _boto_client(self) -> Any:
        # BedrockRerank of langchain-aws 1.9.1 has an endpoint_url that it does not use.
        session = require("boto3", "aws").Session(profile_name=self.credentials_profile_name)
        config = require("botocore.config", "aws").Config(retries={"total_max_attempts": 1})
        return session.client(
            "bedrock-agent-runtime",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            config=config,
        )

    def _reranker(self) -> Any:
        with self._lock:
            if self._inner is None:
                client = self.client or self._boto_client()
                arn = self.model
                if not arn.startswith("arn:"):
                    meta = client.meta
                    arn = f"arn:{meta.partition}:bedrock:{meta.region_name}::foundation-model/{self.model}"
                reranker = require("langchain_aws.document_compressors.rerank", "aws").BedrockRerank
                self._inner = reranker(model_arn=arn, client=client)
            return self._inner


class RerankRetriever(StrictArguments, BaseRetriever):
    """Has a retriever find many documents, and a compressor choose the best of them.

        compressor = BedrockReranker(model="amazon.rerank-v1:0")
        RerankRetriever(retriever=HybridRetriever(store=store), compressor=compressor)

    Args:
        retriever: Finds the candidates; it must take ``k`` in a call. Options of a call but ``k`` and
            ``candidates`` go to it, such as ``filter``.
        compressor: Chooses and orders: `BedrockReranker`, or any LangChain document compressor.
        k: How many documents to return. Default 4; per call too.
        candidates: How many to choose from. Default 50; per call too.
    """

    model_config = STRICT

    retriever: BaseRetriever
    compressor: BaseDocumentCompressor
    k: int = Field(default=4, ge=1)
    candidates: int = Field(default=50, ge=1)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        k, kwargs = self._options(kwargs)
        callbacks = run_manager.get_child()
        found = self.retriever.invoke(query, {"callbacks": callbacks}, **kwargs)
        return list(self.compressor.compress_documents(found, query, callbacks))[:k] if found else []

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        k, kwargs = self._options(kwargs)
        callbacks = run_manager.get_child()
        found = await self.retriever.ainvoke(query, {"callbacks": callbacks}, **kwargs)
        if not found:
            return []
        return list(await self.compressor.acompress_documents(found, query, callbacks))[:k]

    def _options(self, kwargs: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        k, candidates = kwargs.pop("k", self.k), kwargs.pop("candidates", self.candidates)
        for name, value in (("k", k), ("candidates", candidates)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        return k, {**kwargs, "k": max(k, candidates)}
