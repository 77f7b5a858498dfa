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


def llama_index_fusion(store: Any, k: int) -> Callable[[str], object] | None:
    """LlamaIndex's hybrid retriever (bm25s, and a graph of FAISS: faster there than a flat index) over the
    documents and vectors of a store, fused by reciprocal ranks; None where it is not installed.
    """
    try:
        import faiss
        from llama_index.core import StorageContext, VectorStoreIndex
        from llama_index.core.embeddings import BaseEmbedding
        from llama_index.core.llms import MockLLM
        from llama_index.core.retrievers import QueryFusionRetriever
        from llama_index.core.schema import TextNode
        from llama_index.retrievers.bm25 import BM25Retriever
        from llama_index.vector_stores.faiss import FaissVectorStore
    except ImportError as error:
        print(f"LlamaIndex's fusion is left out: {error}"[:200], file=sys.stderr)
        return None

    class Same(BaseEmbedding):  # type: ignore[misc]
        def _get_query_embedding(self, query: str) -> list[float]:
            return store.embeddings.embed_query(query)  # type: ignore[no-any-return]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_query_embedding(text)

    documents = list(store.documents())
    vectors = store.vectors([document.id for document in documents])
    nodes = [
        TextNode(text=one.page_content, id_=one.id, metadata=one.metadata, embedding=vector.tolist())
        for one, vector in zip(documents, vectors, strict=True)
    ]
    graph = faiss.IndexHNSWFlat(store.dimension, 32, faiss.METRIC_INNER_PRODUCT)
    context = StorageContext.from_defaults(vector_store=FaissVectorStore(faiss_index=graph))
    dense = VectorStoreIndex(nodes, storage_context=context, embed_model=Same())
    words = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=k)
    both = [dense.as_retriever(similarity_top_k=k), words]
    settings = {"similarity_top_k": k, "num_queries": 1, "use_async": False, "mode": "reciprocal_rerank"}
    fusion = QueryFusionRetriever(both, llm=MockLLM(), **settings)
    return fusion.retrieve  # type: ignore[no-any-return]
