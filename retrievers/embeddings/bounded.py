"""Remote embeddings that neither wait in line nor run into the service's limits."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor

from llama_bedrock.argument_kinds import (
    NotNegative,
    ZeroOrMore,
    refuses_wrong_kinds,
    refuses_wrong_kinds_in_methods,
)
from llama_bedrock.retrievers.embeddings.batches import identity
from llama_bedrock.retrievers.remote_calls import RemoteCalls
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.limiter import AdaptiveConcurrency
from llama_bedrock.transport.retry import RetryPolicy

Vectors: TypeAlias = "list[list[float]]"


@refuses_wrong_kinds
@refuses_wrong_kinds_in_methods()
class BoundedEmbeddings(Embeddings):
    """Calls another embedding model with several requests in flight, as many as the service takes.

    ``BedrockEmbeddings`` of langchain-aws sends one text after the other (issue 188 there), and a burst of
    them is throttled. Here calls run side by side; when the service throttles, fewer of them do, and the
    throttled ones are tried again when the pause is over (`AdaptiveConcurrency`). Other retryable faults are
    tried again a few times. Vectors come in the order of the texts; the first final failure ends the call.

    Args:
        embeddings: The model; its ``embed_documents`` must be safe to call from several threads, as that of
            ``BedrockEmbeddings`` is.
        max_concurrency: Calls in flight at most. Default 16.
        batch_size: Texts in one call. Default 1, right for models that take one text per request, such as
            Titan; 96 for Cohere.
        patience: Seconds to go on while throttled. Default 600.
        max_retries: Attempts after the first for other faults. Default 4.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        max_concurrency: int = 16,
        batch_size: int = 1,
        patience: NotNegative = 600.0,
        max_retries: ZeroOrMore = 4,
    ) -> None:
        for name, value in (("max_concurrency", max_concurrency), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name} must be positive, got {value}")
        self._embeddings = embeddings
        self._batch_size = batch_size
        self._workers = max_concurrency
        self._limiter = AdaptiveConcurrency(
            initial=max_concurrency, maximum=max_concurrency, patience=patience
        )
        policy = RetryPolicy(max_retries=max_retries, throttle_patience=patience)
        context = CallContext("InvokeModel", getattr(embeddings, "model_id", None))
        self._calls = RemoteCalls(context, policy, self._limiter)

    @property
    def model_id(self) -> str:
        """Name of the model inside."""
        return identity(self._embeddings)

    @property
    def concurrency(self) -> int:
        """Calls that may be in flight now."""
        return self._limiter.limit

    def embed_documents(self, texts: list[str]) -> Vectors:
        """Vectors of texts, in their order.

        Raises:
            LlamaBedrockError: The service failed for good; the class says how.
        """
        batches = self._batches(texts)
        if len(batches) < 2:
            return [vector for batch in batches for vector in self._embed(batch)]
        with ThreadPoolExecutor(min(self._workers, len(batches)), "embed") as pool:
            calls = [pool.submit(self._embed, batch) for batch in batches]
            try:
                return [vector for call in calls for vector in call.result()]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def embed_query(self, text: str) -> list[float]:
        """Vector of a question, with the same retries; it does not wait behind documents."""
        return self._calls.run(lambda: self._vector(text), limited=False)

    async def aembed_documents(self, texts: list[str]) -> Vectors:
        """As `embed_documents`; when it is cancelled, nothing more is sent."""
        batches = self._batches(texts)
        if not batches:
            return []
        pool = ThreadPoolExecutor(min(self._workers, len(batches)), "embed")
        calls = [asyncio.ensure_future(self._aembed(batch, pool)) for batch in batches]
        try:
            return [vector for vectors in await asyncio.gather(*calls) for vector in vectors]
        finally:
            for call in calls:
                call.cancel()
            pool.shutdown(wait=False, cancel_futures=True)

    async def aembed_query(self, text: str) -> list[float]:
        """As `embed_query`."""
        return await self._calls.arun(lambda: run_in_executor(None, self._vector, text), limited=False)

    def _embed(self, batch: list[str]) -> Vectors:
        return self._calls.run(lambda: self._vectors(batch))

    async def _aembed(self, batch: list[str], pool: ThreadPoolExecutor) -> Vectors:
        # Not the model's own async form: most run the sync one in the loop's few default threads.
        loop = asyncio.get_running_loop()
        return await self._calls.arun(lambda: loop.run_in_executor(pool, self._vectors, batch))

    def _vector(self, text: str) -> list[float]:
        with _quiet_failures():
            return self._embeddings.embed_query(text)

    def _vectors(self, batch: list[str]) -> Vectors:
        with _quiet_failures():
            vectors = self._embeddings.embed_documents(batch)
        if len(vectors) != len(batch):
            raise ValueError(f"the embedding model gave {len(vectors)} vectors for {len(batch)} texts")
        return vectors

    def _batches(self, texts: Sequence[str]) -> list[list[str]]:
        size = self._batch_size
        return [list(texts[start : start + size]) for start in range(0, len(texts), size)]


class _Quiet(logging.Filter):
    """Drops the tracebacks langchain-aws logs for every failed call, where the failure is handled here."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(self.thread, "handled", False)


_quiet = _Quiet()


@contextmanager
def _quiet_failures() -> Iterator[None]:
    """While it is open, this thread's failed embedding calls are not logged by langchain-aws."""
    logging.getLogger("langchain_aws.embeddings.bedrock").addFilter(_quiet)
    _quiet.thread.handled = True
    try:
        yield
    finally:
        _quiet.thread.handled = False
