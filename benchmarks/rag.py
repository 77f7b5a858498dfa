"""The RAG chain over the local extractive engine on a question set: retrieval, citations, latency.

    python benchmarks/rag.py [--data ../shared/data/retrieval/cookbook-docs]

Writes benchmarks/results/rag-<set>.json and .md: numbers only, no text of the set. Sections are indexed
whole, and in a second run split as `split_documents` does by default. Both halves of the questions are in the
JSON.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import warnings
from pathlib import Path

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.agents.evaluation.rag_evaluation import Dataset, Evaluation, evaluate, load_dataset
from llama_bedrock.agents.evaluation.report import summary_rows, to_html
from llama_bedrock.local import LocalBedrock
from llama_bedrock.retrievers import FAISSStore, HybridRetriever, split_documents

ROOT = Path(__file__).resolve().parent
PACKAGES = ("llama-bedrock", "langchain-core", "faiss-cpu", "bm25s", "scikit-learn", "numpy")


def machine() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "cpus": str(os.cpu_count()),
        "machine": platform.machine(),
        **versions,
    }


def run(data: Dataset, *, split: bool, k: int) -> Evaluation:
    documents = split_documents(list(data.documents)) if split else list(data.documents)
    retriever = HybridRetriever(store=FAISSStore.from_documents(documents, None), k=k)
    with LocalBedrock() as server:
        llm = ChatLlamaBedrock(
            model="us.meta.llama3-3-70b-instruct-v1:0",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            api_key="local",
            temperature=0,
        )
        evaluate(llm, retriever, data.questions[:2])  # warm
        settings = {
            "engine": "local extractive engine",
            "passages": len(documents),
            "retrieved": k,
            "split": split,
        }
        return evaluate(llm, retriever, data.questions, k=10, settings=settings)


def half(result: Evaluation, first: int) -> dict[str, float]:
    part = Evaluation(result.outcomes[first::2], result.settings)
    return {name: round(value, 4) for name, value in part.summary.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = ROOT.parent.parent / "shared" / "data" / "retrieval" / "cookbook-docs"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--html", type=Path, help="also write a report with every question, here")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"no dataset in {options.data}")
    warnings.simplefilter("ignore")
    data, name = load_dataset(options.data), options.data.name
    report: dict[str, object] = {"dataset": name, "machine": machine(), "runs": []}
    lines = [f"# RAG on {name}: the local extractive engine", "", f"Machine and versions: {machine()}", ""]
    for split, k in ((False, 10), (True, 6)):
        result = run(data, split=split, k=k)
        runs = report["runs"]
        assert isinstance(runs, list)
        runs.append(
            {
                "settings": dict(result.settings),
                "summary": {n: round(v, 4) for n, v in result.summary.items()},
                "even questions": half(result, 0),
                "odd questions": half(result, 1),
            }
        )
        what = f"split, {k} passages retrieved" if split else f"whole sections, {k} retrieved"
        lines += [f"## {what}", "", "| | | |", "|---|---|---|"]
        lines += [f"| {n} | {value} | {meaning} |" for n, value, meaning in summary_rows(result)]
        lines.append("")
        print("\n".join(lines[-len(summary_rows(result)) - 4 :]))
        options.out.mkdir(parents=True, exist_ok=True)
        if split and options.html:
            options.html.write_text(to_html(result, title=f"{name}, {what}"), "utf-8")
    (options.out / f"rag-{name}.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    (options.out / f"rag-{name}.md").write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
