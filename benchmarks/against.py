"""An earlier tree beside this one: `python benchmarks/against.py COMMIT [--rounds 7] [--only WORD …]`.

Each measurement runs in processes of its own, in this environment: CPU seconds, the least of all rounds, the
trees by turns. What takes milliseconds runs many times in each process, so that some of them are undisturbed.
This tree runs twice in each round: the column `itself` is the one series against the other, and says what a
ratio is worth. On a machine that does other things too, `--steps` counts Python's instructions in place of
time: those are the same in each run, but leave out what libraries do in C.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SERVER = """
import sys
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
with LocalBedrock(ScriptedEngine([["word "] * 4000], repeat=True)) as server:
    print(server.endpoint_url, flush=True)
    sys.stdin.read()
"""

# Each defines `measured`, and how many units it has of which size. `sys.argv[1]` is the server's address,
# `sys.argv[2]` a folder with 10,000 files.
MEASURES = {
    "import, ms": """
def measured():
    from llama_bedrock import ChatLlamaBedrock
units, size, times = 1, 1e3, 1
""",
    "stream, µs per chunk": """
from llama_bedrock import ChatLlamaBedrock
llm = ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0", region_name="us-west-2",
                       endpoint_url=sys.argv[1], api_key="local", max_tokens=500)
def measured():
    chunks = sum(1 for chunk in llm.stream("Hi") if chunk.text)
    assert chunks == 500, chunks
measured()
units, size, times = 500, 1e6, 60
""",
    "store query, µs": """
import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_bedrock.retrievers import FAISSStore
vectors = np.random.default_rng(0).standard_normal((20_000, 384), dtype=np.float32)
documents = [Document(str(n), metadata={"n": n}) for n in range(len(vectors))]
store = FAISSStore.from_documents(documents, DeterministicFakeEmbedding(size=384), vectors=vectors)
def measured():
    for vector in vectors[:200]:
        store.similarity_search_by_vector(vector, k=10)
measured()
units, size, times = 200, 1e6, 20
""",
    "index of 10,000 files, s": """
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_bedrock.retrievers import FAISSStore, index_folder
def measured():
    index_folder(sys.argv[2], FAISSStore(DeterministicFakeEmbedding(size=16)))
units, size, times = 1, 1, 1
""",
    "parser, ns per character": """
try:
    from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
    from llama_bedrock.tools.spec import ToolSpec
except ImportError:  # where older trees have them
    from llama_bedrock.tools.parser import ToolCallParser
    from llama_bedrock.tools.schema import ToolSpec
texts = [
    "The weather in Paris is mild today, with some clouds in the afternoon and little wind. " * 40,
    "[" + ", ".join(['search(query="llamas in the Andes", tags=["a", "b"])'] * 60) + "]",
    "\\n".join(['{"name": "search", "parameters": {"query": "llamas", "tags": ["a", "b"]}}'] * 50),
]
tools = [ToolSpec('search'), ToolSpec('get_weather'), ToolSpec('add')]
def measured():
    for text in texts:
        parser = ToolCallParser(tools)
        for at in range(0, len(text), 4):
            parser.feed(text[at:at + 4])
        parser.close("stop")
measured()
units, size, times = sum(map(len, texts)), 1e9, 50
""",
}
BEFORE = """
import gc, os, sys, time, warnings
sys.path.insert(0, os.getcwd())
warnings.simplefilter("ignore")
"""
CPU = """
spent = []
for _ in range(times):
    gc.collect()
    began = time.process_time()
    measured()
    spent.append(time.process_time() - began)
print(min(spent) / units * size)
"""
STEPS = """
steps = 0
def trace(frame, event, argument):
    global steps
    frame.f_trace_lines, frame.f_trace_opcodes = False, True
    steps += event == "opcode"
    return trace
sys.settrace(trace)
measured()
sys.settrace(None)
print(steps / units)
"""


def main(commit: str, rounds: int, only: list[str], steps: bool) -> None:
    chosen = {n: code for n, code in MEASURES.items() if not only or any(word in n for word in only)}
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        before = work / "before"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", before, commit], cwd=ROOT, check=True
        )
        stack.callback(subprocess.run, ["git", "worktree", "remove", "--force", before], cwd=ROOT, check=True)
        files = work / "files"
        if any(name.startswith("index") for name in chosen):
            write_files(files)
        for tree in (before, ROOT):  # as pip does for an installed wheel
            folders = ["llama_bedrock", "agents", "retrievers"]
            subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], cwd=tree, check=False)
        server = stack.enter_context(process(ROOT, SERVER, stdin=subprocess.PIPE))
        arguments = [server.stdout.readline().strip(), str(files)]
        end, what = (STEPS, "steps of Python") if steps else (CPU, f"CPU, least of {rounds}")
        print(f"{what:28}{commit[:12]:>14}{'this tree':>14}{'ratio':>8}{'itself':>8}")
        for name, code in chosen.items():
            series = [(before, []), (ROOT, []), (ROOT, [])]
            for at in range(rounds):
                for tree, found in series[at % 3 :] + series[: at % 3]:  # none is always behind the same one
                    with process(tree, BEFORE + code + end, *arguments) as running:
                        found.append(float(running.stdout.read()))
            old, new, again = (min(found) for _, found in series)
            ratio, itself = min(new, again) / old, max(new, again) / min(new, again)
            print(f"{name:28}{old:14.3f}{min(new, again):14.3f}{ratio:8.2f}{itself:8.2f}", flush=True)
        server.stdin.close()


def write_files(folder: Path) -> None:
    for n in range(10_000):
        place = folder / f"{n // 100:02}" / f"{n:05}.md"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"# Note {n}\n\nHerd {n} of the valley {n % 97} has {n % 413} llamas.\n")


def process(tree: Path, code: str, *arguments: str, stdin: int | None = None):
    """A Python that imports this tree's packages before the installed ones."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PYTHONHASHSEED": "0",  # else the sets of one process cost more than those of another
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment, stdin=stdin, stdout=subprocess.PIPE, text=True, cwd=tree,
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], help="words of the measurements to make")
    parser.add_argument("--steps", action="store_true", help="count instructions of Python")
    given = parser.parse_args()
    main(given.commit, given.rounds, given.only, given.steps)
