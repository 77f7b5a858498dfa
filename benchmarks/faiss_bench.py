"""FAISSStore beside langchain-community's FAISS and LangChain's InMemoryVectorStore: speed, recall, memory.

    python benchmarks/faiss_bench.py [--sizes 10000 100000] [--million] [--community-python PYTHON]

Vectors are real text: passages of the Python standard library and of installed packages, embedded with LSA
(384 dimensions); queries are passages that are not among them. Every store runs in a process of its own, one
after the other, with the vectors handed to it as lists of floats, as embedding models do. What is not
installed is left out; --community-python names an interpreter that has langchain-community.

Writes results/faiss.json and faiss.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
DIMENSION = 384
QUERIES = 200
BUDGET = 4.0
PASSAGE = 600
PACKAGES = ("llama-bedrock", "faiss-cpu", "numpy", "langchain-core", "langchain-community")
LEFT_OUT = {"InMemoryVectorStore": 10_000}
"""Up to how many vectors a store is tried: beyond, it takes minutes, or tells nothing new."""
MILLION = ("FAISSStore auto", "community FAISS flat")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--million", action="store_true", help="1,000,000 vectors too (minutes, 8 GB)")
    parser.add_argument("--community-python", default=sys.executable)
    parser.add_argument("--systems", nargs="+", help="these only")
    parser.add_argument(
        "--worker", nargs=4, metavar=("WHAT", "SYSTEM", "COUNT", "FOLDER"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.worker:
        work(*arguments.worker)
        return
    with tempfile.TemporaryDirectory(prefix="faiss-bench-") as folder:
        report(run(arguments, Path(folder)))


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from faiss_systems import SYSTEMS, package_of

    sizes = sorted(arguments.sizes) + ([1_000_000] if arguments.million else [])
    make_vectors(folder, sizes[-1])
    results: dict[str, Any] = {}
    for size in sizes:
        results[str(size)] = {"raw faiss flat": worker(sys.executable, "raw", "-", size, folder)}
        for system in arguments.systems or SYSTEMS:
            if size > LEFT_OUT.get(system, size) or (size > 500_000 and system not in MILLION):
                continue
            community = package_of(system) == "langchain_community"
            python = arguments.community_python if community else sys.executable
            facts = worker(python, "all", system, size, folder)
            if facts is None:
                print(f"{system}: left out, {package_of(system)} is not installed", flush=True)
                continue
            facts["opened"] = worker(python, "open", system, size, folder)
            results[str(size)][system] = facts
            shutil.rmtree(folder / "store", ignore_errors=True)
            print(f"{size:>9} {system:24} {facts['single']['p50_ms']:.2f} ms", flush=True)
    return {"machine": machine(arguments.community_python), "dimension": DIMENSION, "results": results}


def worker(python: str, what: str, system: str, size: int, folder: Path) -> dict[str, Any] | None:
    """Measure in another process; None if the interpreter lacks the package."""
    command = [python, str(Path(__file__)), "--worker", what, system, str(size), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        return None
    if done.returncode:
        raise SystemExit(f"{system} at {size}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def work(what: str, system: str, count: str, folder: str) -> None:
    """The other process."""
    import numpy as np

    corpus = np.load(Path(folder) / "vectors.npy", mmap_mode="r")[: int(count)]
    queries = np.load(Path(folder) / "queries.npy")
    if what == "raw":
        print(json.dumps(raw(corpus, queries)))
        return
    from faiss_systems import package_of

    if importlib.util.find_spec(package_of(system)) is None:
        raise SystemExit(3)
    from faiss_measure import measure, measure_opened

    store = Path(folder) / "store"
    if what == "open":
        print(json.dumps(measure_opened(system, corpus, queries, store)))
    else:
        print(json.dumps(measure(system, np.ascontiguousarray(corpus), queries, store, BUDGET)))


def raw(corpus: Any, queries: Any) -> dict[str, Any]:
    """FAISS alone: a flat index, one thread."""
    import faiss
    from faiss_measure import K, _latency

    index = faiss.IndexFlatIP(corpus.shape[1])
    index.add(corpus)
    faiss.omp_set_num_threads(1)
    return {"single": _latency(lambda n: index.search(queries[n : n + 1], K), len(queries), BUDGET)}


def make_vectors(folder: Path, count: int) -> None:
    """Vectors of passages of Python source; beyond 100,000, blends of two of them."""
    import numpy as np

    from llama_bedrock.retrievers import LSAEmbeddings

    passages: list[str] = []
    for root in (sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]):
        for path in sorted(Path(root).rglob("*.py")):
            text = path.read_text(encoding="utf-8", errors="ignore")
            passages += [text[at : at + PASSAGE] for at in range(0, len(text) - PASSAGE // 2, PASSAGE)]
    random.Random(0).shuffle(passages)
    embeddings = LSAEmbeddings(DIMENSION).fit(passages[:6000])
    wanted = passages[: min(count, 100_000) + 2 * QUERIES]
    parts = [embeddings.embed_array(wanted[at : at + 5000]) for at in range(0, len(wanted), 5000)]
    vectors = np.vstack(parts)
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 0]
    np.save(folder / "queries.npy", vectors[:QUERIES])
    vectors = vectors[QUERIES:]
    rng = np.random.default_rng(0)
    if len(vectors) < count:
        pairs = rng.integers(0, len(vectors), (2, count - len(vectors)))
        blends = 0.75 * vectors[pairs[0]] + 0.25 * vectors[pairs[1]]
        vectors = np.vstack([vectors, blends / np.linalg.norm(blends, axis=1, keepdims=True)])
    np.save(folder / "vectors.npy", np.ascontiguousarray(vectors[:count], dtype=np.float32))


def machine(community_python: str) -> dict[str, Any]:
    """Cores, memory and versions; no names."""
    script = (
        "import importlib.metadata as m, json, sys\n"
        "found = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}\n"
        f"print(json.dumps({{name: found.get(name) for name in {PACKAGES!r}}}))"
    )
    versions = {name: _version(name) for name in PACKAGES}
    if community_python != sys.executable:
        done = subprocess.run([community_python, "-c", script], capture_output=True, text=True, check=True)
        versions["langchain-community"] = json.loads(done.stdout)["langchain-community"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "load_average": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def report(result: dict[str, Any]) -> None:
    from faiss_tables import markdown

    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / "results" / "faiss.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (ROOT / "results" / "faiss.md").write_text(markdown(result), encoding="utf-8")


if __name__ == "__main__":
    main()
