"""What nothing kept costs: the command's start, and the first index of a folder on one core and on all.

    python benchmarks/cold.py [FOLDER …] [--most 2000]

The folders are Python's standard library, so many of its files, and those that are given, whole: Django's
documentation is in its source distribution (`pip download --no-binary :all: --no-deps django`); a Python tree
of 6,000 files is what `pip install --no-deps --no-compile --target` makes of sympy, django, pandas, networkx,
scipy and scikit-learn, without all that is not ``*.py``. Writes results/cold.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from peer_table import OURS, Row, write

HERE = Path(__file__).resolve().parent
BASE = "langchain-core alone"
INDEX = """
import os, sys, time
if sys.argv[3] == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from llama_bedrock.retrievers import FAISSStore, index_folder
started = time.perf_counter()
report = index_folder(sys.argv[1], FAISSStore(), save=sys.argv[2], on_error=lambda problem: None)
print(report.added, report.chunks, time.perf_counter() - started, sum(os.times()[:4]))
"""
SPLIT = """
import sys, time
from pathlib import Path
from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter
started = time.perf_counter()
paths = [path for path in Path(sys.argv[1]).rglob("*.*") if path.is_file()]
texts = [Document(path.read_text("utf-8", "replace")) for path in paths]
RecursiveCharacterTextSplitter(chunk_size=1200, chunk_overlap=120).split_documents(texts)
print(0, 0, time.perf_counter() - started, time.process_time())
"""


def child(arguments: list[str], environment: dict[str, str]) -> float:
    """CPU seconds of a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def starts(scratch: Path, rounds: int = 5) -> list[Row]:
    """The command beside what LangChain's import alone takes; the rounds alternate."""
    documents = scratch / "documents"
    documents.mkdir()
    (documents / "pump.md").write_text(
        "# Pump\n\nThe pump hums at 50 Hz. It is oiled once a year.\n", "utf-8"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(scratch / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have their bytecode
    command = [str(Path(sys.executable).parent / "llama-bedrock")]
    cases = {
        "--help": [*command, "--help"],
        "ask --local": [*command, "ask", "--local", str(documents), "What does the pump do?"],
        BASE: [sys.executable, "-c", "import langchain_core.language_models.chat_models"],
    }
    spent: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds + 1):  # the first round makes the index
        for name, arguments in cases.items():
            spent[name].append(child(arguments, environment))
    found = {name: statistics.median(values[1:]) for name, values in spent.items()}
    return [
        Row(f"`llama-bedrock {name}`, CPU s", {OURS: found[name], BASE: found[BASE]})
        for name in ("--help", "ask --local")
    ]


def indexed(folder: Path, scratch: Path, name: str = "", rounds: int = 3) -> list[Row]:
    """The first index of a folder, and reading and splitting it with LangChain alone: medians of rounds."""
    first = f"first index of {name}" if name else "first index"

    def run(program: str, *arguments: str) -> tuple[str, float, float]:
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        files, chunks, wall, cpu = done.stdout.split()[-4:]
        return f"{files} files, {chunks} chunks", float(wall), float(cpu)

    found = []
    for number in range(rounds):
        what, one, _ = run(INDEX, str(scratch / f"one{number}"), "one")
        _, every, cpu = run(INDEX, str(scratch / f"all{number}"), "all")
        _, split, _ = run(SPLIT)
        found.append((one, every, one / every, cpu, split))
    one, every, gain, cpu, split = map(statistics.median, zip(*found, strict=True))
    alone = "read and split alone (LangChain)"
    return [
        Row(
            f"{first}{':' if name else ' of'} {what}, seconds on {len(os.sched_getaffinity(0))} cores",
            {OURS: every, alone: split},
        ),
        Row(f"{first}, seconds on one core", {OURS: one}),
        Row(f"{first}, CPU s of all processes on all cores", {OURS: cpu}),
        Row(f"{first}, one core by all cores", {OURS: gain}),
    ]


def copied(folder: Path | None, target: Path, most: int) -> Path:
    """The files of a folder, in one of their own; by default so many of the standard library's."""
    source = folder or Path(sysconfig.get_paths()["stdlib"])
    target.mkdir()
    chosen = (p for p in sorted(source.rglob("*")) if p.is_file() and "site-packages" not in p.parts)
    if folder is None:
        chosen = (path for path in chosen if path.suffix == ".py")
    for number, path in enumerate(chosen):
        if number == most and folder is None:
            break
        shutil.copy(path, target / f"{number}-{path.name}")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="*", type=Path)
    parser.add_argument("--most", type=int, default=2000)
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        rows = starts(scratch)
        for number, folder in enumerate([None, *options.folder]):
            own = scratch / str(number)
            own.mkdir()
            called = "/".join(folder.resolve().parts[-2:]) if folder else ""
            rows += indexed(copied(folder, own / "files", options.most), own, called)
    packages = (OURS, "langchain-core", "langchain-text-splitters", "faiss-cpu", "numpy", "scipy")
    write(HERE / "results" / "cold.md", "Cold starts", "python benchmarks/cold.py", rows, packages)
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
