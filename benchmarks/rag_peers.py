"""The peers of rag_speed.py: the same passages, questions and answer in plain LCEL and in LlamaIndex."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

_PROMPT = "Answer from the passages, and cite them as [1].\n\n{passages}\n\nQuestion: {question}"


def plain_lcel(llm: Any, retriever: Any) -> Callable[[str], object]:
    """LangChain's own few lines: nothing is packed, numbered, checked or counted."""

    def joined(documents: Sequence[Any]) -> str:
        return "\n\n".join(document.page_content for document in documents)

    prompt = ChatPromptTemplate.from_template(_PROMPT)
    chain = (
        {"passages": retriever | joined, "question": RunnablePassthrough()} | prompt | llm | StrOutputParser()
    )
    return chain.invoke  # type: ignore[no-any-return]


def llama_index(answer: str, retriever: Any) -> Callable[[str], object] | None:
    """LlamaIndex's query engine over the same retriever; None where it is not installed."""
    try:
        from llama_index.core.base.base_retriever import BaseRetriever
        from llama_index.core.llms import MockLLM
        from llama_index.core.query_engine import CitationQueryEngine
        from llama_index.core.schema import NodeWithScore, TextNode
    except ImportError as error:
        print(f"LlamaIndex is left out: {error}"[:200], file=sys.stderr)
        return None

    class Same(BaseRetriever):  # type: ignore[misc]
        def _retrieve(self, query_bundle: Any) -> list[Any]:
            found = retriever.invoke(query_bundle.query_str)
            return [NodeWithScore(node=TextNode(text=document.page_content), score=1.0) for document in found]

    class Answers(MockLLM):  # type: ignore[misc]
        def _generate_text(self, length: int) -> str:
            return answer

    engine = CitationQueryEngine.from_args(None, llm=Answers(max_tokens=256), retriever=Same())
    return engine.query  # type: ignore[no-any-return]
