"""What create_rag_chain costs besides the model: a model that answers at once, over 16,000 chunks.

    python benchmarks/rag_speed.py [--chunks 16000] [--data ../shared/data/retrieval/cranfield]

Each row alternates with the others question by question, each coming first in turn: `verifier=None` (words)
beside `NoVerifier`, dense beside hybrid, and the retriever alone. Milliseconds of wall clock and of this
process's CPU, medians of 60 questions. Beside them plain LCEL and, where they are installed, LlamaIndex's
CitationQueryEngine, over the same dense retriever and with the same answer, and its fusion of BM25 and a
graph of vectors (`pip install llama-index-core llama-index-retrievers-bm25 llama-index-vector-stores-faiss`).
Writes benchmarks/results/rag_speed.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from rag_peers import llama_index, llama_index_fusion, plain_lcel

from llama_bedrock.agents import create_rag_chain
from llama_bedrock.grounding import NoVerifier
from llama_bedrock.retrievers import FAISSStore, HybridRetriever

ROOT = Path(__file__).resolve().parent
_ANSWER = (
    "The boundary layer grows with the distance from the leading edge [1]. Heat transfer rises with the Mach "
    "number [2]. Both were measured in a wind tunnel at hypersonic speed [3]. "
) * 3 + "Theory and experiment agree within ten per cent [4]."


def first_chunk(chain: object, question: str) -> float:
    """Seconds to the first text of a streamed answer."""
    started = time.perf_counter()
    for chunk in chain.stream(question):  # type: ignore[attr-defined]
        if chunk.text:
            break
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunks", type=int, default=16_000)
    default = ROOT.parent.parent / "shared" / "data" / "retrieval" / "cranfield"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "rag_speed.md")
    options = parser.parse_args()
    read = lambda name: [json.loads(line) for line in (options.data / name).read_text("utf-8").splitlines()]  # noqa: E731
    texts, questions = read("corpus.jsonl"), [row["text"] for row in read("queries.jsonl")[:61]]
    chunks = [
        Document(f"Report {n}. {texts[n % len(texts)]['text'][:1100]}", metadata={"source": f"{n}.txt"})
        for n in range(options.chunks)
    ]
    store = FAISSStore.from_documents(chunks, None)
    llm = FakeListChatModel(responses=[_ANSWER])
    retrievers = {
        "dense": store.as_retriever(search_kwargs={"k": 6}),
        "hybrid": HybridRetriever(store=store, k=6),
    }
    rows: dict[str, Callable[[str], object]] = {}
    for name, retriever in retrievers.items():
        checked, bare = (create_rag_chain(llm, retriever, verifier=v) for v in (None, NoVerifier()))
        rows[f"{name}: the retriever alone"] = retriever.invoke
        rows[f"{name}: chain, `NoVerifier`"] = bare.invoke
        rows[f"{name}: chain, verified by words"] = checked.invoke
        rows[f"{name}: first text of a stream, `NoVerifier`"] = lambda q, c=bare: first_chunk(c, q)  # type: ignore[misc]
        rows[f"{name}: first text of a stream, verified by words"] = lambda q, c=checked: first_chunk(c, q)  # type: ignore[misc]
    rows["dense: plain LCEL, nothing checked"] = plain_lcel(llm, retrievers["dense"])
    if (engine := llama_index(_ANSWER, retrievers["dense"])) is not None:
        rows["dense: LlamaIndex, nothing checked"] = engine
    if (fusion := llama_index_fusion(store, 6)) is not None:
        rows["hybrid: LlamaIndex's fusion retriever alone"] = fusion
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for turn, question in enumerate(questions):
        at = turn % len(rows)  # each row comes first as often as the others: the first one reads the passages
        for name, run in [*rows.items()][at:] + [*rows.items()][:at]:
            wall, cpu = time.perf_counter(), time.process_time()
            run(question)
            spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    machine = f"Python {platform.python_version()}, {platform.machine()}, {datetime.date.today()}"
    lines = [f"# RAG over {options.chunks:,} chunks, k = 6, a model that answers at once", "", machine, ""]
    lines += ["| | ms | CPU ms |", "|---|---|---|"]
    for name, times in spent.items():
        wall, cpu = (1000 * statistics.median(column) for column in zip(*times[1:], strict=True))
        lines.append(f"| {name} | {wall:.1f} | {cpu:.1f} |")
    print("\n".join(lines))
    options.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
