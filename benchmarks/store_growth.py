"""What a change costs, by the size of the store: of an indexed folder, and of FAISSStore beside its peers.

    python benchmarks/store_growth.py [--sizes 1000 10000 100000] [--peers NAME … | none] [--against TREE]

A folder: files of 10 chunks each are indexed into a FAISSStore (384 dimensions, vectors that cost nothing to
make). Then one file changes at a time, and the run that finds it is timed, in a store that was just opened,
with the bytes it writes; the look through the folder, which every run takes, is measured alone and
subtracted. 100 documents are deleted and 100 added and saved, as a program does that holds the store open.
--against names another checkout, which runs the same file in turn with this one.

Stores: the same random vectors and texts go into FAISSStore and into each peer that is installed
(`growth_stores.py`), each in a process of its own; then 100 are deleted and 100 added, and what was added
must be found after the store is opened again.

Writes results/store_growth.json, store_growth.md and store_growth.svg. The sizes to 100,000 take some ten
minutes on two idle cores with all peers, two without; 1000000 is a size too (a quarter of an hour more, 8 GB
on the disk).
"""

from __future__ import annotations

import argparse
import importlib.metadata
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
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from growth_plot import svg
from growth_stores import DIMENSION, STORES, installed

ROOT = Path(__file__).resolve().parent
CHANGES = 7
QUERIES = 200
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
    "first": "first query after it, processor ms",
    "query": "query after all changes, processor ms",
    "compacted": "the same query after store.compact(), processor ms",
    "disk": "on the disk after all changes, share of the first run's",
}
SIDES = {
    "built": "build and save, s",
    "changed": "100 deleted, 100 added, saved, s (median)",
    "wrote": "bytes of files touched by it, MB (median)",
    "opened": "open, ms",
    "first": "first query after it, ms",
    "p50": "one query, k = 10, p50 ms",
    "after": "one query right after the changes, p50 ms",
    "mb": "on the disk after it, MB",
}
LIMIT, PATIENCE, MOST = 100, 600, 5
"""Seconds that a peer may take to build a size, by what it took before; seconds for everything about it: one
that takes longer is left out from there on, and the report says so. After so many seconds no more queries are
asked."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--peers", nargs="+", help=f"these only, or none: {', '.join(STORES)}")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--worker", nargs=2, metavar=("WHAT", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        what, size = arguments.worker[0], int(arguments.worker[1])
        print(json.dumps(measured(size) if what == "folder" else beside(what, size)))
        return
    trees = {"this": ROOT.parent} | ({"before": arguments.against} if arguments.against else {})
    found: dict[str, dict[str, Any]] = {name: {} for name in trees}
    stores: dict[str, dict[str, Any]] = {}
    for size in sorted(arguments.sizes):
        for name, tree in trees.items():
            found[name][str(size)] = worker("folder", size, tree)
            print(name, size, found[name][str(size)], flush=True)
        for name in installed():
            if arguments.peers and name not in arguments.peers:
                continue
            known = stores.setdefault(name, {})
            if is_slow(known, size):
                continue
            known[str(size)] = worker(name, size, ROOT.parent, None if name == "FAISSStore" else PATIENCE)
            print(name, size, known[str(size)], flush=True)
        report(found, stores)


def is_slow(known: Mapping[str, Any], size: int) -> bool:
    """Whether a store took too long at a smaller size, or would at this one."""
    if not known:
        return False
    last, facts = list(known.items())[-1]
    return facts is None or facts["built"] * size / int(last) > LIMIT


def worker(what: str, size: int, tree: Path, limit: float | None = None) -> dict[str, Any] | None:
    """What a process of its own measures; None if it took too long."""
    command = [sys.executable, __file__, "--worker", what, str(size)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            command, env=env, cwd=tree, capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise SystemExit(f"{what} at {size}: {done.stderr[-2000:]}")
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def report(found: Mapping[str, Mapping[str, Any]], stores: Mapping[str, Mapping[str, Any]]) -> None:
    stores = {name: {s: f for s, f in sizes.items() if f is not None} for name, sizes in stores.items()}
    versions = {package: version(package) for _, package in STORES.values()}
    told = ", ".join(f"{package} {number}" for package, number in versions.items() if number)
    facts = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}, {told}"
    date = datetime.now(UTC).date().isoformat()
    lines = [
        f"# What a change costs, by size\n\n{date}, {facts}, load average "
        f"{os.getloadavg()[0]:.1f} at the end. `{Path(__file__).name}` tells how.\n"
    ]
    if stores:
        lines.append("![cost by size](store_growth.svg)\n")
    for size in stores.get("FAISSStore", {}):
        lines += compared(size, {name: sizes[size] for name, sizes in stores.items() if size in sizes})
        if out := [name for name, sizes in stores.items() if size not in sizes]:
            lines.append(f"Left out, as it takes minutes: {', '.join(out)}.\n")
    columns = [(name, size) for size in next(iter(found.values())) for name in found]
    lines.append("## An indexed folder\n")
    lines.append("| | " + " | ".join(f"{int(size):,} chunks, {name}" for name, size in columns) + " |")
    lines.append("|---|" + "---:|" * len(columns))
    for row, title in ROWS.items():
        lines.append(f"| {title} | " + " | ".join(f"{found[n][s][row]:.3g}" for n, s in columns) + " |")
    results = ROOT / "results"
    (results / "store_growth.md").write_text("\n".join(lines) + "\n")
    everything = {"machine": facts, "date": date, "found": found, "stores": stores}
    (results / "store_growth.json").write_text(json.dumps(everything, indent=1) + "\n")
    (results / "store_growth.svg").write_text(svg(plotted(found["this"], stores)))


def compared(size: str, stores: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The table of a size: first the rows where a peer is ahead of FAISSStore; the best in bold."""
    rows: dict[bool, list[str]] = {True: [], False: []}
    for row, title in SIDES.items():
        best = min(stores, key=lambda name: stores[name][row])
        cells = [f"**{f[row]:.3g}**" if name == best else f"{f[row]:.3g}" for name, f in stores.items()]
        rows[best != "FAISSStore"].append(f"| {title} | {' | '.join(cells)} |")
    head = ["| | " + " | ".join(stores) + " |", "|---|" + "---:|" * len(stores)]
    named = {True: f"## {int(size):,} vectors: where a peer is ahead", False: "Where FAISSStore is ahead:"}
    return [
        line
        for behind in (True, False)
        if rows[behind]
        for line in (named[behind], "", *head, *rows[behind], "")
    ]


def plotted(found: Mapping[str, Any], stores: Mapping[str, Any]) -> dict[str, Any]:
    """The lines of the plot: what changes cost, and queries."""
    panels = {
        "100 deleted, 100 added, saved: seconds": "changed",
        "one query, p50: milliseconds": "p50",
    }
    lines: dict[str, Any] = {
        title: {
            name: {int(size): facts[row] for size, facts in sizes.items()} for name, sizes in stores.items()
        }
        for title, row in panels.items()
    }
    name = "FAISSStore: one file of an indexed folder"
    next(iter(lines.values()))[name] = {
        int(size): max(facts["change"], 1e-3) for size, facts in found.items()
    }
    return lines


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return None


def beside(name: str, size: int) -> dict[str, float]:
    """What a store costs at this many vectors, in this process."""
    import numpy as np

    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((size + 100 * CHANGES, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [
        f"{number} " + " ".join(WORDS[(number + n) % len(WORDS)] for n in range(60))
        for number in range(len(vectors))
    ]
    ids = [str(number) for number in range(len(vectors))]
    queries = chance.standard_normal((QUERIES, DIMENSION), dtype=np.float32)
    with tempfile.TemporaryDirectory(prefix="store-growth-") as parent:
        STORES[name][0]().build(Path(parent) / "first", ids[:10], texts[:10], vectors[:10])  # its imports
        folder, store = Path(parent) / "store", STORES[name][0]()
        started = time.perf_counter()
        store.build(folder, ids[:size], texts[:size], vectors[:size])
        found = {"built": time.perf_counter() - started, "p50": p50(store, queries)}
        took, wrote = [], []
        for turn in range(CHANGES):
            part = slice(size + 100 * turn, size + 100 * turn + 100)
            gone, before = ids[100 * turn : 100 * turn + 100], stamps(folder)
            took.append(
                timed(lambda part=part, gone=gone: store.change(gone, ids[part], texts[part], vectors[part]))[
                    0
                ]
            )
            after = stamps(folder)
            wrote.append(sum(facts[1] for path, facts in after.items() if facts not in before.values()) / 1e6)
        found |= {"changed": statistics.median(took), "wrote": statistics.median(wrote)}
        found["after"] = p50(store, queries)
        if name == "Qdrant local":
            store.store.close()  # it locks its folder
        again = STORES[name][0]()
        found["opened"] = 1000 * timed(lambda: again.open(folder))[0]
        seconds, nearest = timed(lambda: again.search(vectors[-1], 1))
        found["first"] = 1000 * seconds
        assert nearest[0].split()[0] == ids[-1], name
        found["mb"] = disk(folder) / 1e6
        return found


def p50(store: Any, queries: Any) -> float:
    """Milliseconds of a query."""
    store.search(queries[0], 10)
    took: list[float] = []
    for query in queries:
        took.append(timed(lambda query=query: store.search(query, 10))[0])
        if sum(took) > MOST:
            break
    return 1000 * statistics.median(took)


def stamps(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Of each file what tells whether it was written since: its inode, size and time."""
    facts = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (found.st_ino, found.st_size, found.st_mtime_ns) for path, found in facts.items()}


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
        seconds, _ = processed(lambda: store.similarity_search("the first question", k=10))
        found["first"] = 1000 * seconds
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
        joined = FAISSStore.load(index, embedding)
        joined.compact()
        for _ in range(2):
            took = processed(lambda: [joined.similarity_search_by_vector(q, k=10) for q in queries])[0]
        found["compacted"] = 1000 * took / len(queries)
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
