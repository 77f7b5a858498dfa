"""Ask a question in several wordings, and fuse what each finds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from pydantic import Field

from llama_bedrock.retrievers.search.fusion import fuse
from llama_bedrock.retrievers.search.lexical import document_key
from llama_bedrock.unknown_arguments import STRICT, StrictArguments

_INSTRUCTIONS = (
    "Write {count} other wordings of the user's question, to search a collection of documents with. "
    "Use other words for the same thing, and the words that an answer would use. "
    "One wording per line, nothing else. Do not answer the question."
)
_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s+")


class MultiQueryRetriever(StrictArguments, BaseRetriever):
    """Has a chat model word the question anew, searches with every wording, and fuses by reciprocal ranks.

    The question itself is always one of them, so the worst that a bad wording does is add candidates. One
    call of the model and ``queries`` + 1 searches for a question.

    Args:
        retriever: Searches; options of a call go to it.
        model: Writes the wordings.
        queries: How many. Default 3.
        k: How many documents to return. Default 4; per call too.
    """

    model_config = STRICT

    retriever: BaseRetriever
    model: BaseChatModel
    queries: int = Field(default=3, ge=1, le=10)
    k: int = Field(default=4, ge=1)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        k = kwargs.pop("k", self.k)
        config: RunnableConfig = {"callbacks": run_manager.get_child()}
        answer = self.model.invoke(self._prompt(query), config)
        wordings = self._wordings(query, answer)
        return _fused([self.retriever.invoke(wording, config, **kwargs) for wording in wordings], k)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        k = kwargs.pop("k", self.k)
        config: RunnableConfig = {"callbacks": run_manager.get_child()}
        answer = await self.model.ainvoke(self._prompt(query), config)
        wordings = self._wordings(query, answer)
        searches = (self.retriever.ainvoke(wording, config, **kwargs) for wording in wordings)
        return _fused(await asyncio.gather(*searches), k)

    def _prompt(self, query: str) -> list[BaseMessage]:
        return [SystemMessage(_INSTRUCTIONS.format(count=self.queries)), HumanMessage(query)]

    def _wordings(self, query: str, answer: BaseMessage) -> list[str]:
        """The question and what the model wrote, line by line, without the marks of a list and
        repetitions.
        """
        lines = [_MARK.sub("", line).strip().strip('"') for line in answer.text.splitlines()]
        return list(dict.fromkeys([query, *(line for line in lines if line)]))[: self.queries + 1]


def _fused(found: Sequence[Sequence[Document]], k: int) -> list[Document]:
    documents = {document_key(document): document for part in found for document in reversed(part)}
    ranks = [{document_key(d): float(len(part) - rank) for rank, d in enumerate(part)} for part in found]
    best = fuse(ranks, [1.0] * len(ranks), "rrf")[:k]
    return [documents[key] for key, _ in best]
