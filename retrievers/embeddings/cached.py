"""Embeddings that are computed once per text."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor

from llama_bedrock.argument_kinds import refuses_wrong_kinds, refuses_wrong_kinds_in_methods
from llama_bedrock.retrievers.embeddings.batches import identity
from llama_bedrock.sqlite_cache import SQLiteCache


@refuses_wrong_kinds
@refuses_wrong_kinds_in_methods()
class CachedEmbeddings(Embeddings):
    """Another embedding model, asked only for texts whose vectors a cache does not hold.

    Documents and questions are kept apart, because some models embed them differently.

    Args:
        embeddings: The model. Its name and settings are part of the key, so two models share one cache.
        cache: Where vectors are kept; a file that holds answers too may be used.
    """

    def __init__(self, embeddings: Embeddings, cache: SQLiteCache) -> None:
        self._embeddings = embeddings
        self._cache = cache

    @property
    def model_id(self) -> str:
        """Name of the model inside: a store made with it opens with this one, and the other way round."""
        return identity(self._embeddings)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts, in their order."""
        found, missing = self._find(texts)
        made = self._embeddings.embed_documents(missing) if missing else []
        return self._fill(texts, found, missing, made)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As `embed_documents`."""
        found, missing = await run_in_executor(None, self._find, texts)
        made = await self._embeddings.aembed_documents(missing) if missing else []
        return await run_in_executor(None, self._fill, texts, found, missing, made)

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question."""
        (vector,) = self._cache.vectors(self._query_model(), [text])
        if vector is None:
            vector = self._embeddings.embed_query(text)
            self._cache.keep_vectors(self._query_model(), [text], [vector])
        return vector

    async def aembed_query(self, text: str) -> list[float]:
        """As `embed_query`."""
        (vector,) = await run_in_executor(None, self._cache.vectors, self._query_model(), [text])
        if vector is None:
            vector = await self._embeddings.aembed_query(text)
            await run_in_executor(None, self._cache.keep_vectors, self._query_model(), [text], [vector])
        return vector

    def _query_model(self) -> str:
        return f"{self.model_id}, questions"

    def _find(self, texts: Sequence[str]) -> tuple[dict[str, list[float]], list[str]]:
        """Return the vectors that are kept, by text, and the texts without one, each once."""
        kept = zip(texts, self._cache.vectors(self.model_id, texts), strict=True)
        found = {text: vector for text, vector in kept if vector is not None}
        return found, list(dict.fromkeys(text for text in texts if text not in found))

    def _fill(
        self,
        texts: Sequence[str],
        found: dict[str, list[float]],
        missing: Sequence[str],
        made: Sequence[list[float]],
    ) -> list[list[float]]:
        if len(made) != len(missing):
            raise ValueError(f"the embedding model gave {len(made)} vectors for {len(missing)} texts")
        if missing:
            self._cache.keep_vectors(self.model_id, missing, made)
        all_found = {**found, **dict(zip(missing, made, strict=True))}
        return [all_found[text] for text in texts]
