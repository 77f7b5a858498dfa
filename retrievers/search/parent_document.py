"""Find small chunks, return the large ones they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.stores import BaseStore
from pydantic import Field

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.retrievers.documents.split import split_documents
from llama_bedrock.unknown_arguments import STRICT, StrictArguments

PARENT_ID = "parent_id"
"""Metadata key of a chunk that names its parent."""


@refuses_wrong_kinds
def split_with_parents(
    documents: Iterable[Document], *, parent_size: int = 4000, chunk_size: int = 600, chunk_overlap: int = 60
) -> tuple[list[Document], list[Document]]:
    """Split documents twice: into parents to be returned, and those into chunks to be found.

    Offsets and lines of both are those in the document, so a citation of either is exact. Chunks have their
    parent's id under ``parent_id``.

    Args:
        documents: From `load_documents`, or any others.
        parent_size: Longest parent, in characters. Default 4000.
        chunk_size: Longest chunk, in characters. Default 600.
        chunk_overlap: Characters that chunks of one parent share. Default 60.

    Returns:
        The parents, and the chunks.

    Raises:
        ValueError: The sizes make no sense.
    """
    if chunk_size >= parent_size:
        raise ValueError(f"chunk_size must be less than parent_size, got {chunk_size} and {parent_size}")
    parents = split_documents(documents, chunk_size=parent_size, chunk_overlap=0)
    chunks = []
    for parent in parents:
        shift = parent.metadata["start_index"]
        for chunk in split_documents([parent], chunk_size=chunk_size, chunk_overlap=chunk_overlap):
            chunk.metadata["start_index"] += shift
            chunk.metadata["end_index"] += shift
            chunk.metadata[PARENT_ID] = parent.id
            if "heading" in parent.metadata:
                chunk.metadata["heading"] = parent.metadata["heading"]
            chunks.append(chunk)
    return parents, chunks


class ParentDocumentRetriever(StrictArguments, BaseRetriever):
    """Searches small chunks, which are found precisely, and returns their parents, which hold the context.

        parents, chunks = split_with_parents(load_documents("docs"))
        retriever = ParentDocumentRetriever(
            retriever=HybridRetriever(store=FAISSStore.from_documents(chunks)),
            parents={parent.id: parent for parent in parents},
        )

    Parents come in the order of their best chunk, each once; its ``matches`` metadata holds the offsets of
    the chunks that were found.

    Args:
        retriever: Finds the chunks; it must take ``k`` in a call. Other options of a call go to it.
        parents: Parents by id: a dict, or a LangChain `BaseStore`.
        k: How many parents to return. Default 4; per call too.
        chunks_per_parent: How many chunks to look at for each parent wanted. Default 5.
    """

    model_config = STRICT

    retriever: BaseRetriever
    parents: Mapping[str, Document] | BaseStore[str, Document] = Field(repr=False)
    k: int = Field(default=4, ge=1)
    chunks_per_parent: int = Field(default=5, ge=1)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        k = kwargs.pop("k", self.k)
        config: RunnableConfig = {"callbacks": run_manager.get_child()}
        chunks = self.retriever.invoke(query, config, k=k * self.chunks_per_parent, **kwargs)
        wanted = _by_parent(chunks, k)
        if isinstance(self.parents, BaseStore):
            return _with_matches(wanted, self.parents.mget(list(wanted)))
        return _with_matches(wanted, [self.parents.get(key) for key in wanted])

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        k = kwargs.pop("k", self.k)
        config: RunnableConfig = {"callbacks": run_manager.get_child()}
        chunks = await self.retriever.ainvoke(query, config, k=k * self.chunks_per_parent, **kwargs)
        wanted = _by_parent(chunks, k)
        if isinstance(self.parents, BaseStore):
            return _with_matches(wanted, await self.parents.amget(list(wanted)))
        return _with_matches(wanted, [self.parents.get(key) for key in wanted])


def _by_parent(chunks: Sequence[Document], k: int) -> dict[str, list[Document]]:
    """The chunks of the first k parents, in the order of the best chunk of each."""
    found: dict[str, list[Document]] = {}
    for chunk in chunks:
        key = chunk.metadata.get(PARENT_ID)
        if not isinstance(key, str):
            raise ValueError(f"chunk {chunk.id} has no {PARENT_ID}: index the chunks of split_with_parents()")
        found.setdefault(key, []).append(chunk)
    return dict(list(found.items())[:k])


def _with_matches(
    wanted: Mapping[str, Sequence[Document]], parents: Sequence[Document | None]
) -> list[Document]:
    results = []
    for chunks, parent in zip(wanted.values(), parents, strict=True):
        if parent is None:
            continue  # deleted since the chunks were indexed
        matches = [[chunk.metadata["start_index"], chunk.metadata["end_index"]] for chunk in chunks]
        metadata = {**parent.metadata, "matches": matches}
        if "score" in chunks[0].metadata:
            metadata["score"] = chunks[0].metadata["score"]
        results.append(Document(page_content=parent.page_content, id=parent.id, metadata=metadata))
    return results
