"""A RAG agent: it searches with its own queries, several times if need be, and its citations are checked.

Run: python examples/08_rag_agent.py [--local]
"""

from pathlib import Path

from _shared import connect
from langchain_core.messages import AIMessage

from llama_bedrock.agents import create_rag_agent
from llama_bedrock.retrievers import FAISSStore, HybridRetriever, load_documents, split_documents

QUESTION = "Which Llama models read images, and when is the end of life of Llama 3.3 70B?"
VERDICTS = {True: "found in", False: "NOT backed by", None: "not decided, nearest in"}


def main() -> None:
    passages = split_documents(load_documents(Path(__file__).parent / "documents"))
    retriever = HybridRetriever(store=FAISSStore.from_documents(passages, None), k=4)
    with connect(temperature=0, max_tokens=500) as llm:
        agent = create_rag_agent(llm, retriever)
        result = agent.invoke({"messages": [("user", QUESTION)]})
        for message in result["messages"]:
            if isinstance(message, AIMessage):
                for call in message.tool_calls:
                    print(f"searched: {call['args']}")
        answer = result["answer"]
        print(f"\n{answer.text}\n")
        for citation in answer.citations:
            verdict = VERDICTS[citation.supported]
            print(f"[{citation.number}] {verdict} {Path(citation.location).name}")


if __name__ == "__main__":
    main()
