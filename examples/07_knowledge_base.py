"""Bedrock Knowledge Bases: as a retriever for our chain, and answered by the service itself.

Run: KNOWLEDGE_BASE_ID=ABCDEFGHIJ python examples/07_knowledge_base.py, or with --local
"""

import os
from pathlib import Path
from typing import Any

from _shared import LLAMA_3_3, connect, options

from llama_bedrock.agents import create_rag_chain
from llama_bedrock.retrievers import (
    FAISSStore,
    KnowledgeBaseQA,
    KnowledgeBaseRetriever,
    load_documents,
    split_documents,
)

QUESTION = "What ends a turn in the prompt of Llama 4?"
ID = os.environ.get("KNOWLEDGE_BASE_ID", "LOCALKB001")


def local_knowledge_base() -> dict[str, Any]:
    """A FAISS store in the place of a Knowledge Base, for --local."""
    passages = split_documents(load_documents(Path(__file__).parent / "documents"))
    return {ID: FAISSStore.from_documents(passages, None)}


def main() -> None:
    local = options().local
    if not local and "KNOWLEDGE_BASE_ID" not in os.environ:
        raise SystemExit("set KNOWLEDGE_BASE_ID to the id of your Knowledge Base, or use --local")
    bases = local_knowledge_base() if local else None
    with connect(knowledge_bases=bases, temperature=0, max_tokens=500) as llm:
        settings = ("region_name", "endpoint_url", "aws_access_key_id", "aws_secret_access_key")
        where = {name: getattr(llm, name) for name in settings}
        retriever = KnowledgeBaseRetriever(knowledge_base_id=ID, k=4, **where)
        for document in retriever.invoke(QUESTION, k=2):
            print(f"{document.metadata['score']:.2f}  {document.page_content[:90]!r}")

        answer = create_rag_chain(llm, retriever).invoke(QUESTION)
        print(f"\nOur chain: {answer.text}\n")

        qa = KnowledgeBaseQA(knowledge_base_id=ID, model=LLAMA_3_3, **where)
        served = qa.invoke(QUESTION)
        print(f"RetrieveAndGenerate: {served.text}\n{len(served.citations)} citations")


if __name__ == "__main__":
    main()
