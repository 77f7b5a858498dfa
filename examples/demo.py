"""Ask three questions of real documents and check every citation against the file it names.

Run it with `make demo` or ``python examples/demo.py [--local|--bedrock]``, from any folder. The
path is that of `llama-bedrock ask`: documents → FAISS → retriever → RAG chain → Llama prompt → signed HTTP →
event stream. With AWS credentials Bedrock answers, without them the local engine. Ends with 1 if an answer
has no citation whose quote is in its document.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from llama_bedrock.agents import RagAnswer, create_rag_chain
from llama_bedrock.cli.ask import open_retriever, show_answer, stream_answer
from llama_bedrock.cli.backend import ModelChoice, open_backend
from llama_bedrock.grounding.answers import Citation
from llama_bedrock.retrievers import load_documents

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (Path("docs"), Path("examples/documents"))
QUESTIONS = (
    "When is the end of life of Llama 3.3 70B and Llama 4 Maverick?",
    "What ends a turn in the prompt of Llama 4?",
    "In which region can Llama 3.3 70B Instruct be called by its bare id?",
)


def words_of(text: str) -> str:
    return " ".join(text.split())


def is_in_its_document(citation: Citation) -> bool:
    """Read the cited file again and look for the quote, on the cited page where there are pages."""
    texts = [
        document.page_content
        for document in load_documents(ROOT / citation.source)
        if citation.page in (None, document.metadata.get("page"))
    ]
    return bool(citation.quote) and any(words_of(citation.quote) in words_of(text) for text in texts)


def verified(answer: RagAnswer) -> int:
    """How many supported citations hold."""
    return sum(citation.supported is True and is_in_its_document(citation) for citation in answer.citations)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--local", dest="local", action="store_true", default=None, help="use the local engine"
    )
    where.add_argument("--bedrock", dest="local", action="store_false", default=None, help="use Bedrock")
    choice = ModelChoice(
        local=parser.parse_args().local, settings=(("temperature", 0.0), ("max_tokens", 512))
    )

    os.chdir(ROOT)  # so that sources are named as a reader of the repository would name them
    failures = 0
    with open_backend(choice) as backend:
        print(backend.note or f"Answered by {backend.name}.")
        retriever = open_retriever(DOCUMENTS, backend, k=6, embeddings="lsa", region=None)
        chain = create_rag_chain(backend.llm, retriever)
        for question in QUESTIONS:
            print(f"\n\N{BLACK RIGHT-POINTING SMALL TRIANGLE} {question}\n", flush=True)
            answer = stream_answer(chain, question)
            show_answer(answer)
            held = verified(answer)
            failures += held == 0
            print(f"    {held} of {len(answer.citations)} citations found in the files they name")
    if failures:
        print(f"\n{failures} of {len(QUESTIONS)} answers have no citation that holds", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
