"""How well each retriever finds what is relevant, and how fast a folder of 10,000 files is indexed.

    python benchmarks/retrieval_quality.py [--data ../shared/data/retrieval] [--files 10000] [--part quality]

Quality: nDCG@10, recall@100 and MRR@10 with nothing downloaded, on every set in BEIR's format under
``--data``, and on two that are made here of source code, Python's standard library and scikit-learn: the
first paragraph of a docstring is the question, the function without it what is to be found. Every choice
(weights, feedback, analysis) was made on the first half of the questions, told apart by a hash of their id;
the second half was only measured. Beside them plain BM25 (bm25s as it comes), and its ranking and that of the
vectors joined by reciprocal ranks, as LangChain's EnsembleRetriever does it.

Where all-MiniLM-L6-v2 is installed (`minilm.py` says how), sets of up to 2,000 documents are searched with
its vectors too.

Where it is not, its rows of the last results are kept, with the date of their measurement.

Writes ``results/retrieval_quality.json`` and ``.md``: numbers only, no text of the sets. ``--part`` renews
only the quality or the indexing; the other keeps its results. ``--keep-times`` keeps the milliseconds of the
last results, with their date: for a machine that does other things, too. Results of other data, or of another
number of files, are printed and not written: the kept ones are those of the shared data.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import random
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from minilm import MiniLMEmbeddings, is_installed

from llama_bedrock.retrievers import FAISSStore, HybridRetriever, LSAEmbeddings, index_folder
from llama_bedrock.retrievers.documents.searchable_text import searchable_text
from llama_bedrock.retrievers.indexing.index_folder import IndexReport
from llama_bedrock.retrievers.search.fusion import fuse

ROOT = Path(__file__).resolve().parent
SHARED_DATA = ROOT.parents[1] / "shared" / "data" / "retrieval"
FILES = 10_000
PACKAGES = ("llama-bedrock", "langchain-core", "faiss-cpu", "bm25s", "PyStemmer", "scikit-learn", "numpy")
DEPTH = 100
MAX_EMBEDDED = 2_000  # documents; MiniLM takes 50 to 100 ms each
CHOSEN_ON, HELD_OUT = "first half (choices were made on it)", "second half"

Search = Callable[[str], list[Document]]


@dataclass(frozen=True)
class TestSet:
    """Documents with their ids, questions, and which documents answer them how well."""

    name: str
    documents: list[Document]
    questions: dict[str, str]
    relevant: dict[str, dict[str, int]]


def read_set(folder: Path) -> TestSet:
    """A set in BEIR's format; titles stay in the metadata."""
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text("utf-8").splitlines()]
    documents = [
        Document(id=row["_id"], page_content=row["text"] or row["title"], metadata={"title": row["title"]})
        for row in rows
    ]
    questions = [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]
    relevant: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:]:
        question, document, grade = line.split("\t")
        relevant.setdefault(question, {})[document] = int(grade)
    return TestSet(folder.name, documents, {q["_id"]: q["text"] for q in questions}, relevant)


def standard_library() -> TestSet:
    return functions("stdlib-code", Path(sysconfig.get_paths()["stdlib"]))


def scikit_learn() -> TestSet:
    return functions("sklearn-code", Path(sysconfig.get_paths()["purelib"]) / "sklearn")


def functions(name: str, library: Path, files: int = 250, questions: int = 300) -> TestSet:
    """Functions of a library without their docstrings, to be found by them."""
    skipped = {"site-packages", "test", "tests", "idlelib", "lib2to3"}
    paths = sorted(p for p in library.rglob("*.py") if not skipped & set(p.relative_to(library).parts))
    random.Random(1).shuffle(paths)
    documents, asked = [], {}
    for path in paths[:files]:
        source = path.read_text("utf-8", errors="replace")
        lines = source.split("\n")
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.FunctionDef) or not node.end_lineno:
                continue
            docstring = ast.get_docstring(node)
            body = lines[node.lineno - 1 : node.end_lineno]
            if docstring and node.body[0].end_lineno:
                first = node.body[0]
                body = lines[node.lineno - 1 : first.lineno - 1] + lines[first.end_lineno : node.end_lineno]
            text = "\n".join(body)
            if not 120 <= len(text) <= 4000:
                continue
            place = f"{path.relative_to(library)}:{node.lineno}"
            documents.append(Document(id=place, page_content=text))
            question = " ".join(docstring.split("\n\n")[0].split()) if docstring else ""
            if 40 < len(question) < 250:
                asked[place] = question
    chosen = sorted(asked, key=lambda name: hashlib.sha256(name.encode()).digest())[:questions]
    return TestSet(name, documents, {n: asked[n] for n in chosen}, {n: {n: 1} for n in chosen})


def retrievers(test: TestSet) -> dict[str, tuple[str, Search]]:
    """What is compared, each with what it is."""
    store = FAISSStore.from_documents(test.documents)
    untitled = FAISSStore.from_documents(
        [Document(id=d.id, page_content=d.page_content) for d in test.documents]
    )
    hybrid = HybridRetriever(store=store, k=DEPTH)
    without_titles = HybridRetriever(store=untitled, k=DEPTH)

    def asked(retriever: HybridRetriever, **options: Any) -> Search:
        return lambda question: retriever.invoke(question, **options)

    plain = plain_bm25(test)
    compared = {
        "hybrid": ("the default: BM25 and LSA, min-max, feedback of 3 documents", asked(hybrid)),
        "hybrid, no feedback": ("one search of the vectors", asked(hybrid, feedback=0)),
        "hybrid, reciprocal ranks": ("as the default, fused by ranks", asked(hybrid, fusion="rrf")),
        "hybrid, titles left out": ("as the default, found by the text alone", asked(without_titles)),
        "BM25": ("with neighbouring words", asked(hybrid, alpha=0.0)),
        "LSA": ("the vectors alone", asked(hybrid, alpha=1.0, feedback=0)),
        "plain BM25": ("bm25s as it comes, titles in front", plain),
        "plain BM25 + LSA": ("by reciprocal ranks", joined(plain, asked(hybrid, alpha=1.0, feedback=0))),
    }
    if is_installed() and len(test.documents) <= MAX_EMBEDDED:
        given = HybridRetriever(store=FAISSStore.from_documents(test.documents, MiniLMEmbeddings()), k=DEPTH)
        compared["hybrid, MiniLM given"] = ("the default with its vectors", asked(given))
        compared["MiniLM"] = ("its vectors alone", asked(given, alpha=1.0))
    return compared


def with_minilm_of_before(
    renewed: dict[str, Any], before: Mapping[str, Any], measured_at: str
) -> dict[str, Any]:
    """The results, with the rows of MiniLM's vectors that were measured before where they are not now."""
    for name, facts in renewed.items():
        for retriever, found in before.get(name, {}).get("retrievers", {}).items():
            if "MiniLM" in retriever:
                dated = retriever if " (" in retriever else f"{retriever} ({measured_at})"
                if dated.partition(" (")[0] not in facts["retrievers"]:
                    facts["retrievers"][dated] = found
    return renewed


def with_times_of_before(renewed: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The results, with the milliseconds that were measured before."""
    for name, facts in renewed.items():
        known = before.get(name, {})
        facts["lsa_fit_seconds"] = known.get("lsa_fit_seconds", facts["lsa_fit_seconds"])
        for retriever, found in facts["retrievers"].items():
            found["ms_p50"] = known.get("retrievers", {}).get(retriever, found)["ms_p50"]
    return renewed


def plain_bm25(test: TestSet) -> Search:
    """bm25s with its own analysis and parameters."""
    import bm25s

    texts = [searchable_text(document) for document in test.documents]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)

    def search(question: str) -> list[Document]:
        words = bm25s.tokenize([question], show_progress=False)
        found, scores = index.retrieve(words, k=min(DEPTH, len(texts)), show_progress=False)
        return [test.documents[n] for n, score in zip(found[0], scores[0], strict=True) if score > 0]

    return search


def joined(*searches: Search) -> Search:
    """Reciprocal rank fusion of rankings."""

    def search(question: str) -> list[Document]:
        rankings = [search(question) for search in searches]
        documents = {str(document.id): document for ranking in rankings for document in ranking}
        ranks = [{str(d.id): 1 / (n + 1) for n, d in enumerate(ranking)} for ranking in rankings]
        return [documents[id_] for id_, _ in fuse(ranks, [1.0] * len(ranks), "rrf")]

    return search


def is_first_half(question: str) -> bool:
    return hashlib.sha256(question.encode()).digest()[0] % 2 == 0


def measures(found: Sequence[str], relevant: Mapping[str, int]) -> dict[str, float]:
    gain = sum(relevant.get(id_, 0) / math.log2(rank + 2) for rank, id_ in enumerate(found[:10]))
    best = sorted(relevant.values(), reverse=True)[:10]
    ideal = sum(grade / math.log2(rank + 2) for rank, grade in enumerate(best))
    wanted = {id_ for id_, grade in relevant.items() if grade > 0}
    first = next((rank for rank, id_ in enumerate(found[:10], 1) if id_ in wanted), None)
    return {
        "ndcg@10": gain / ideal if ideal else 0.0,
        "recall@100": len(wanted & set(found[:100])) / len(wanted) if wanted else 0.0,
        "mrr@10": 1 / first if first else 0.0,
    }


def evaluate(test: TestSet, search: Search) -> dict[str, Any]:
    rows: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    seconds = []
    search(next(iter(test.questions.values())))
    for name, question in test.questions.items():
        if name not in test.relevant:
            continue
        start = time.perf_counter()
        found = [str(document.id) for document in search(question)]
        seconds.append(time.perf_counter() - start)
        rows[is_first_half(name)].append(measures(found, test.relevant[name]))

    def mean(part: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {name: round(statistics.fmean(row[name] for row in part), 4) for name in part[0]}

    return {
        "all": mean(rows[True] + rows[False]),
        CHOSEN_ON: mean(rows[True]),
        HELD_OUT: mean(rows[False]),
        "ms_p50": round(1000 * statistics.median(seconds), 2),
    }


def quality(tests: Sequence[TestSet]) -> dict[str, Any]:
    results = {}
    for test in tests:
        start = time.perf_counter()
        LSAEmbeddings().fit(document.page_content for document in test.documents)
        fit = time.perf_counter() - start
        compared = retrievers(test)
        results[test.name] = {
            "documents": len(test.documents),
            "questions": sum(name in test.relevant for name in test.questions),
            "lsa_fit_seconds": round(fit, 2),
            "retrievers": {name: evaluate(test, search) for name, (_, search) in compared.items()},
        }
        for name, row in results[test.name]["retrievers"].items():
            print(f"  {test.name:14} {name:26} {row['all']}", flush=True)
    return results


def write_folder(folder: Path, files: int) -> int:
    """Markdown files of random words, distributed as in language, about 2 kB each; returns the bytes."""
    numbers = random.Random(0)
    words = [
        "".join(numbers.choices("abcdefghijklmnopqrstuvwxyz", k=numbers.randint(2, 10)))
        for _ in range(20_000)
    ]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    size = 0
    for number in range(files):
        if number % 100 == 0:
            part = folder / f"part{number // 100:03}"
            part.mkdir(parents=True)
        drawn = numbers.choices(words, weights, k=330)
        sections = [
            f"## {' '.join(drawn[s : s + 3])}\n\n{' '.join(drawn[s + 3 : s + 110])}.\n" for s in (0, 110, 220)
        ]
        text = f"# File {number}\n\n" + "\n".join(sections)
        (part / f"file{number:05}.md").write_text(text)
        size += len(text)
    return size


def indexing(files: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder, saved = Path(temporary) / "docs", Path(temporary) / "store"
        size = write_folder(folder, files)
        time.sleep(2.1)  # files younger than two seconds are compared by content
        store = FAISSStore()
        cold = index_folder(folder, store, save=False)
        start = time.perf_counter()
        store.save(saved)
        save = time.perf_counter() - start
        unchanged = index_folder(folder, FAISSStore.load(saved))
        changed_file = folder / "part000" / "file00000.md"
        changed_file.write_text("# Changed\n\nThe text of this file is another.\n")
        changed = index_folder(folder, FAISSStore.load(saved))
    return {
        "files": files,
        "megabytes": round(size / 1e6, 1),
        "chunks": cold.chunks,
        "cold": row(cold, files),
        "save_seconds": round(save, 2),
        "unchanged": row(unchanged, files),
        "one file changed": row(changed, files),
    }


def row(report: IndexReport, files: int) -> dict[str, float]:
    return {
        "seconds": round(report.seconds, 2),
        "files_per_second": round(files / report.seconds),
        "embedded": report.embedded,
    }


def to_markdown(results: dict[str, Any]) -> str:
    lines = ["# Retrieval quality and indexing", "", f"{results['machine']}", ""]
    lines += [
        "Nothing is downloaded: the vectors are LSA's, but where MiniLM is named.",
        "Choices were made on half 1; half 2 was only measured. "
        f"Quality measured on {results['measured_at']}, times on {results['timed_at']}.",
        "",
    ]
    for name, facts in results["quality"].items():
        lines += [
            f"## {name}",
            "",
            f"{facts['documents']:,} documents, {facts['questions']} questions; "
            f"LSA fitted in {facts['lsa_fit_seconds']} s.",
            "",
            "| retriever | nDCG@10 | half 1 | half 2 | recall@100 | MRR@10 | ms a question (p50) |",
            "|---|---|---|---|---|---|---|",
        ]
        for retriever, found in facts["retrievers"].items():
            whole = found["all"]
            halves = [found[half]["ndcg@10"] for half in (CHOSEN_ON, HELD_OUT)]
            lines.append(
                f"| {retriever} | **{whole['ndcg@10']:.3f}** | {halves[0]:.3f} | {halves[1]:.3f} "
                f"| {whole['recall@100']:.3f} | {whole['mrr@10']:.3f} | {found['ms_p50']} |"
            )
        lines.append("")
    facts = results["indexing"]
    lines += [
        f"## index_folder: {facts['files']:,} files, {facts['chunks']:,} chunks, {facts['megabytes']} MB",
        "",
        "| run | seconds | files a second | texts embedded |",
        "|---|---|---|---|",
    ]
    for run in ("cold", "unchanged", "one file changed"):
        found = facts[run]
        lines.append(
            f"| {run} | {found['seconds']} | {found['files_per_second']:,} | {found['embedded']:,} |"
        )
    lines += [
        "",
        f"Cold: reading, splitting, fitting LSA, embedding; saving took {facts['save_seconds']} s more.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--keep-times", action="store_true")
    parser.add_argument("--part", choices=("quality", "indexing"))
    arguments = parser.parse_args()
    folders = sorted(path for path in arguments.data.glob("*") if (path / "qrels.tsv").is_file())
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    machine = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}"
    results = json.loads((ROOT / "results" / "retrieval_quality.json").read_text()) if arguments.part else {}
    results["machine"] = f"{machine}, " + ", ".join(f"{name} {number}" for name, number in versions.items())
    measured_before = results.get("measured_at", "")
    results.setdefault("timed_at", measured_before)
    results["measured_at"] = datetime.now(UTC).date().isoformat()
    if arguments.part != "indexing":
        found = quality([*map(read_set, folders), standard_library(), scikit_learn()])
        before = results.get("quality", {})
        if arguments.keep_times:
            found = with_times_of_before(found, before)
        else:
            results["timed_at"] = results["measured_at"]
        results["quality"] = with_minilm_of_before(found, before, measured_before)
    if arguments.part != "quality":
        results["indexing"] = indexing(arguments.files)
    print(to_markdown(results))
    if arguments.data.resolve() != SHARED_DATA.resolve() or arguments.files != FILES:
        print("Not written: benchmarks/results keeps those of the default --data and --files.")
        return
    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / "results" / "retrieval_quality.json").write_text(json.dumps(results, indent=1) + "\n")
    (ROOT / "results" / "retrieval_quality.md").write_text(to_markdown(results))


if __name__ == "__main__":
    main()
