"""Stores with known vectors: the embedding of a text is looked up or derived from it, never learned."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock.retrievers.store.faiss_store import FAISSStore


class SeededEmbeddings(Embeddings):
    """A random direction for every text, the same in every process; ``fail_on`` makes it raise."""

    def __init__(self, size: int = 16, model: str = "seeded-v1") -> None:
        self.size = size
        self.model = model
        self.fail_on: str | None = None
        self.batches: list[int] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(len(texts))
        if self.fail_on in texts:
            raise ConnectionError("the embedding service is down")
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.size).tolist()


@pytest.fixture
def embedding() -> SeededEmbeddings:
    return SeededEmbeddings()


@pytest.fixture
def new_embedding() -> Callable[..., SeededEmbeddings]:
    return SeededEmbeddings


@pytest.fixture
def make_store(embedding: SeededEmbeddings) -> Callable[..., FAISSStore]:
    """A store of n documents "text 0" … with ids "0" … and a few metadata fields."""

    def make(count: int, **settings: Any) -> FAISSStore:
        documents = [
            Document(
                page_content=f"text {n}",
                id=str(n),
                metadata={"n": n, "parity": "odd" if n % 2 else "even", "tags": [f"t{n % 3}", "all"]},
            )
            for n in range(count)
        ]
        return FAISSStore.from_documents(documents, embedding, **settings)

    return make


# A process that has imported all it needs forks what is to be killed: a start takes milliseconds, and what dies
# is a whole process.
FORKS = """
    import os, sys
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from llama_bedrock.retrievers import FAISSStore

    def forked():
        for _ in sys.stdin:
            child = os.fork()
            if not child:
                print(os.getpid(), flush=True)
                return True
            os.waitpid(child, 0)
            print("dead", flush=True)
"""


@pytest.fixture
def killed() -> Callable[..., Iterator[None]]:
    """Function: (script, folder, kills, most) → an iterator that starts the script and kills it, so many times.

    The script prints "next" before each of its saves; the signal comes at a random moment up to 40 ms after one
    of the first ``most``.
    """
    if not hasattr(os, "fork"):
        pytest.skip("needs fork and kill -9")

    def kill(script: str, folder: Path, kills: int, most: int) -> Iterator[None]:
        rng = random.Random(5)
        code = f"{textwrap.dedent(FORKS)}\nif forked():\n{textwrap.indent(textwrap.dedent(script), '    ')}"
        command = [sys.executable, "-c", code, str(folder)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for _ in range(kills):
                process.stdin.write("start\n")
                number = int(process.stdout.readline())
                for _ in range(rng.randrange(1, most + 1)):
                    assert process.stdout.readline() == "next\n"
                time.sleep(rng.uniform(0.0, 0.04))
                os.kill(number, signal.SIGKILL)
                while process.stdout.readline() == "next\n":
                    pass
                yield

    return kill
