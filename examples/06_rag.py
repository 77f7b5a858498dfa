"""Questions about documents: load, split, index, retrieve, answer; every citation is checked.

Run: python examples/06_rag.py [--local]
"""

from pathlib import Path

from _shared import connect

from llama_bedrock.agents import create_rag_chain
from llama_bedrock.retrievers import FAISSStore, HybridRetriever, load_documents, split_documents

DOCUMENTS = Path(__file__).parent / "documents"
QUESTION = "What ends a turn in the prompt of Llama 4?"
FOLLOW_UP = "And in that of Llama 3?"
VERDICTS = {True: "found in", False: "NOT backed by", None: "not decided, nearest in"}


def main() -> None:
    passages = split_documents(load_documents(DOCUMENTS))
    retriever = HybridRetriever(store=FAISSStore.from_documents(passages, None), k=6)
    with connect(temperature=0, max_tokens=500) as llm:
        chain = create_rag_chain(llm, retriever)
        total = None
        print(f"> {QUESTION}")
        for chunk in chain.stream(QUESTION):
            print(chunk.text, end="", flush=True)
            total = chunk if total is None else total + chunk
        assert total is not None
        print("\n")
        for citation in total.citations:
            verdict = VERDICTS[citation.supported]
            print(f"[{citation.number}] {verdict} {Path(citation.location).name}: {citation.quote[:70]!r}")

        history = [("user", QUESTION), ("assistant", total.text)]
        answer = chain.invoke({"question": FOLLOW_UP, "chat_history": history})
        print(f"\n> {FOLLOW_UP}\n  (searched for: {answer.question})\n{answer.text}")
        seconds = {step: round(value, 3) for step, value in answer.timings.items()}
        print(f"\ngrounded: {answer.grounded_fraction:.0%}, seconds: {seconds}, usage: {answer.usage}")


if __name__ == "__main__":
    main()
