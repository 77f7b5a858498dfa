"""An earlier tree beside this one: `python benchmarks/against.py COMMIT [ROUNDS]`.

Each measurement runs in processes of its own, the two trees by turns, in this environment; the table shows
the best of all rounds (default 5) and their ratio. Takes some minutes on a machine with nothing else to do.
"""

from __future__ import annotations

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

# Each prints one number. `sys.argv[1]` is the server's address, `sys.argv[2]` a folder with 10,000 files.
MEASURES = {
    "import, s": """
import time
began = time.perf_counter()
from llama_bedrock import ChatLlamaBedrock
print(time.perf_counter() - began)
""",
    "stream, µs CPU per chunk": """
import sys, time, warnings
warnings.simplefilter("ignore")
from llama_bedrock import ChatLlamaBedrock
llm = ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0", region_name="us-west-2",
                       endpoint_url=sys.argv[1], api_key="local", max_tokens=4096)
def once():
    return sum(1 for chunk in llm.stream("Hi") if chunk.text)
once()
began = time.process_time()
chunks = sum(once() for _ in range(3))
assert chunks == 12_000, chunks
print((time.process_time() - began) / chunks * 1e6)
""",
    "store query, ms": """
import time
import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_bedrock.retrievers import FAISSStore
vectors = np.random.default_rng(0).standard_normal((20_000, 384), dtype=np.float32)
documents = [Document(str(n), metadata={"n": n}) for n in range(len(vectors))]
store = FAISSStore.from_documents(documents, DeterministicFakeEmbedding(size=384), vectors=vectors)
store.similarity_search_by_vector(vectors[0], k=10)
began = time.perf_counter()
for vector in vectors[:300]:
    store.similarity_search_by_vector(vector, k=10)
print((time.perf_counter() - began) / 300 * 1e3)
""",
    "index of 10,000 files, s": """
import sys, time
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_bedrock.retrievers import FAISSStore, index_folder
began = time.perf_counter()
report = index_folder(sys.argv[2], FAISSStore(DeterministicFakeEmbedding(size=16)))
print(time.perf_counter() - began)
""",
    "parser, ns per character": """
import time
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
def read(text):
    parser = ToolCallParser(tools)
    for at in range(0, len(text), 4):
        parser.feed(text[at:at + 4])
    parser.close("stop")
for text in texts:
    read(text)
began = time.perf_counter()
for _ in range(5):
    for text in texts:
        read(text)
print((time.perf_counter() - began) / 5 / sum(map(len, texts)) * 1e9)
""",
}


def main(commit: str, rounds: int) -> None:
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        before = work / "before"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", before, commit], cwd=ROOT, check=True
        )
        stack.callback(subprocess.run, ["git", "worktree", "remove", "--force", before], cwd=ROOT, check=True)
        files = work / "files"
        for n in range(10_000):
            place = files / f"{n // 100:02}" / f"{n:05}.md"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"# Note {n}\n\nHerd {n} of the valley {n % 97} has {n % 413} llamas.\n")
        for tree in (before, ROOT):  # as pip does for an installed wheel
            folders = ["llama_bedrock", "agents", "retrievers"]
            subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], cwd=tree, check=False)
        server = stack.enter_context(process(ROOT, SERVER, stdin=subprocess.PIPE))
        address = server.stdout.readline().strip()
        print(f"{'':28}{commit[:12]:>14}{'this tree':>14}{'ratio':>8}")
        for name, code in MEASURES.items():
            taken: dict[Path, list[float]] = {before: [], ROOT: []}
            for _ in range(rounds):
                for tree, found in taken.items():
                    with process(tree, code, address, str(files)) as running:
                        found.append(float(running.stdout.read()))
            old, new = (min(found) for found in taken.values())
            print(f"{name:28}{old:14.3f}{new:14.3f}{new / old:8.2f}", flush=True)
        server.stdin.close()


def process(tree: Path, code: str, *arguments: str, stdin: int | None = None):
    """A Python that imports this tree's packages before the installed ones."""
    start = f"import sys; sys.path.insert(0, {str(tree)!r})\n{code}"
    environment = {**os.environ, "PYTHONPATH": str(tree), "AWS_EC2_METADATA_DISABLED": "true"}
    return subprocess.Popen(
        [sys.executable, "-c", start, *arguments],
        env=environment, stdin=stdin, stdout=subprocess.PIPE, text=True, cwd=tree,
    )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else 5)
