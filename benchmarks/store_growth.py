"""What a change of an indexed folder costs, by the size of the store.

    python benchmarks/store_growth.py [--sizes 1000 10000 100000] [--against TREE]

Files of 10 chunks each are indexed into a FAISSStore (384 dimensions, vectors that cost nothing to make).
Then one file changes at a time, and the run that finds it is timed, in a store that was just opened, with
the bytes it writes; the look through the folder, which every run takes, is measured alone and subtracted.
100 documents are deleted and 100 added and saved, as a program does that holds the store open. --against
names another checkout, which runs the same file in turn with this one.

Writes results/store_growth.json and store_growth.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
CHANGES = 7
WORDS = [
    f"{one}{other}" for one in ("ba", "ce", "di", "fo", "gu") for other in ("nter", "rsal", "mple", "tory")
]
ROWS = {
    "build": "first run, processor s",
    "same": "run with nothing changed, processor s",
    "change": "one file changed, beyond the look through the folder, s (median)",
    "computed": "the processor's share of it, the look included, s (median)",
    "longest": "the longest of them, s",
    "written": "written for it, MB (median)",
    "most": "the most of them, MB",
    "replace": "100 deleted, 100 added, saved, s (median)",
    "replacing": "the processor's share of it, s (median)",
    "replaced": "written for it, MB (median)",
    "open": "open, processor s",
    "query": "query after all changes, processor ms",
    "disk": "on the disk after all changes, share of the first run's",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measured(arguments.worker)))
        return
    trees = {"this": ROOT.parent} | ({"before": arguments.against} if arguments.against else {})
    found: dict[str, dict[str, Any]] = {name: {} for name in trees}
    for size in arguments.sizes:
        for name, tree in trees.items():
            command = [sys.executable, __file__, "--worker", str(size)]
            env = {**os.environ, "PYTHONPATH": str(tree)}
            done = subprocess.run(command, env=env, cwd=tree, capture_output=True, text=True, check=True)
            found[name][str(size)] = json.loads(done.stdout.splitlines()[-1])
            print(name, size, found[name][str(size)], flush=True)
        report(found)


def report(found: dict[str, dict[str, Any]]) -> None:
    facts = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}"
    date = datetime.now(UTC).date().isoformat()
    lines = [f"# What a change costs, by size\n\n{date}, {facts}. `{Path(__file__).name}` tells how.\n"]
    columns = [(name, size) for size in next(iter(found.values())) for name in found]
    lines.append("| | " + " | ".join(f"{int(size):,} chunks, {name}" for name, size in columns) + " |")
    lines.append("|---|" + "---:|" * len(columns))
    for row, title in ROWS.items():
        lines.append(f"| {title} | " + " | ".join(f"{found[n][s][row]:.3g}" for n, s in columns) + " |")
    results = ROOT / "results"
    (results / "store_growth.md").write_text("\n".join(lines) + "\n")
    (results / "store_growth.json").write_text(
        json.dumps({"machine": facts, "date": date, "found": found}, indent=1)
    )


def measured(size: int) -> dict[str, float]:
    """Everything about a store of this many chunks, in this process."""
    from llama_bedrock.retrievers import FAISSStore, HybridRetriever, index_folder
    from llama_bedrock.retrievers.indexing.folder_manifest import scan

    embedding = embeddings()
    with tempfile.TemporaryDirectory(prefix="store-growth-") as name:
        docs, index = Path(name) / "docs", Path(name) / "index"
        for number in range(size // 10):
            write(docs, number, 0)
        old = time.time() - 3600  # a file of this second is read again: it may still change
        for path in docs.rglob("*.md"):
            os.utime(path, (old, old))
        options: dict[str, Any] = {"chunk_size": 300, "chunk_overlap": 0}
        found: dict[str, float] = {}
        found["build"], first = processed(
            lambda: index_folder(docs, FAISSStore(embedding), save=index, **options)
        )
        assert first.chunks == size, first.chunks
        fresh = disk(index)
        look = min(timed(lambda: scan(docs, print, lambda done: None))[0] for _ in range(3))
        found["same"] = min(
            processed(lambda: index_folder(docs, FAISSStore.load(index, embedding), **options))[0]
            for _ in range(3)
        )
        took, wrote, computed = [], [], []
        for change in range(CHANGES):
            path = write(docs, 7 * change % (size // 10), change + 1)
            os.utime(path, (old + change + 1, old + change + 1))
            before, begun = inodes(index), time.process_time()
            seconds, told = timed(lambda: index_folder(docs, FAISSStore.load(index, embedding), **options))
            computed.append(time.process_time() - begun)
            assert told.changed == 1, told
            took.append(seconds - look)
            wrote.append(written(index, before))
        found |= {"change": statistics.median(took), "longest": max(took)}
        found["computed"] = statistics.median(computed)
        found |= {"written": statistics.median(wrote), "most": max(wrote)}
        found["open"], store = processed(lambda: FAISSStore.load(index, embedding))
        took, wrote, computed = [], [], []
        documents = list(islice(store.documents(), 100 * CHANGES))
        vectors = store.vectors([str(document.id) for document in documents])
        for turn in range(CHANGES):
            part = slice(100 * turn, 100 * turn + 100)
            before, begun = inodes(index), time.process_time()
            took.append(timed(lambda part=part: replace(store, documents[part], vectors[part]))[0])
            computed.append(time.process_time() - begun)
            wrote.append(written(index, before))
        found |= {"replace": statistics.median(took), "replaced": statistics.median(wrote)}
        found["replacing"] = statistics.median(computed)
        store = FAISSStore.load(index, embedding)
        queries = [embedding.embed_query(f"question {n}") for n in range(100)]
        for _ in range(2):
            took = processed(lambda: [store.similarity_search_by_vector(q, k=10) for q in queries])[0]
        found["query"] = 1000 * took / len(queries)
        HybridRetriever(store=store).invoke("the last check: everything can be searched")
        found["disk"] = disk(index) / fresh
        return found


def replace(store: Any, documents: Any, vectors: Any) -> None:
    ids = [document.id for document in documents]
    store.delete(ids)
    store.add_documents(documents, ids=ids, vectors=vectors)
    store.save()


def write(docs: Path, number: int, version: int) -> Path:
    """A file that splits into ten chunks."""
    chance = random.Random(f"{number} {version}")
    path = docs / str(number // 500) / f"{number}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [f"## Part {n} of {number}\n\n" + " ".join(chance.choices(WORDS, k=34)) for n in range(10)]
    path.write_text("\n\n".join(parts))
    return path


def embeddings() -> Any:
    import numpy as np
    from langchain_core.embeddings import Embeddings

    class Seeded(Embeddings):
        """A random direction for each text, always the same."""

        model = "seeded"

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            chance = np.random.default_rng(zlib.crc32(text.encode()))
            return chance.standard_normal(384, dtype=np.float32).tolist()

    return Seeded()


def timed(call: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def processed(call: Any) -> tuple[float, Any]:
    """Processor seconds, which neighbours on the machine disturb least."""
    started = time.process_time()
    result = call()
    return time.process_time() - started, result


def inodes(folder: Path) -> set[int]:
    return {path.stat().st_ino for path in folder.rglob("*")}


def written(folder: Path, before: set[int]) -> float:
    """Megabytes of the files that were not there before."""
    new = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(facts.st_size for facts in new if facts.st_ino not in before) / 1e6


def disk(folder: Path) -> int:
    return sum({s.st_ino: s.st_size for s in (path.stat() for path in folder.rglob("*"))}.values())


if __name__ == "__main__":
    main()
