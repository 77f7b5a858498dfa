"""Reading, splitting and embedding on Ray Data: on this machine, or unchanged on a cluster."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock._extras import require
from llama_bedrock.retrievers.arrays import Floats
from llama_bedrock.retrievers.documents.load import FileProblem
from llama_bedrock.retrievers.embeddings.batches import as_array, embed_batches
from llama_bedrock.retrievers.embeddings.bounded import BoundedEmbeddings
from llama_bedrock.retrievers.indexing.backends import (
    LocalEngine,
    ReadFile,
    ReadOptions,
    bounded_embeddings,
    read_chunks,
)
from llama_bedrock.retrievers.indexing.folder_manifest import FoundFile
from llama_bedrock.retrievers.indexing.known_files import decode_known, encode_known

logger = logging.getLogger(__name__)

_FILES_AT_ONCE = 16
_WORTH_SENDING = 256
"""Texts from which embedding in the workers pays: the model has to be sent to them first."""


class RayEngine:
    """Works in Ray workers.

    Connects to the cluster that ``RAY_ADDRESS`` or an earlier ``ray.init`` names; without one, starts Ray on
    this machine and stops it in the end. Workers need this package and see the files under the same paths.
    The vector store is written by the calling process alone.

    Embedding models that can be sent to workers (LSA, local models) run there, one a worker; those that hold
    a connection (Bedrock) stay in the calling process, which has many requests in flight.
    """

    def __init__(self) -> None:
        self._ray = require("ray", "ray")
        self._data = require("ray.data", "ray")
        self._started = not self._ray.is_initialized()
        if self._started:
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            self._ray.init(logging_level=logging.WARNING, log_to_driver=False)
        context = self._data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True

    def read(self, files: Sequence[FoundFile], options: ReadOptions) -> Iterator[ReadFile]:
        """Read and split files; they come back in their order."""
        rows = self._data.from_items([found._asdict() for found in files])
        read = rows.map_batches(
            _read_batch, batch_size=_FILES_AT_ONCE, batch_format="numpy", fn_kwargs={"options": options}
        )
        for row, found in zip(read.iter_rows(), files, strict=True):
            yield _decoded(found, json.loads(row["read"]))

    def embed(self, embeddings: Embeddings, texts: Sequence[str], batch_size: int) -> Iterator[Floats]:
        """Vectors of texts in their order, a batch at a time."""
        model = None if len(texts) < _WORTH_SENDING else self._sendable(embeddings)
        if model is None:
            yield from LocalEngine().embed(embeddings, texts, batch_size)
            return
        rows = self._data.from_items([{"text": text} for text in texts])
        workers = max(1, int(self._ray.cluster_resources().get("CPU", 1)) - 1)
        embedded = rows.map_batches(
            _Embedder,
            fn_constructor_args=([model],),  # in a list, so that a restarted worker gets it anew
            batch_size=batch_size,
            compute=self._data.ActorPoolStrategy(min_size=1, max_size=workers),
        )
        for batch in embedded.iter_batches(batch_size=batch_size, batch_format="numpy"):
            yield as_array(list(batch["vector"]), len(batch["vector"]))

    def _sendable(self, embeddings: Embeddings) -> Any:
        """A reference to the model in Ray's store; None if it cannot be sent."""
        if isinstance(embeddings, BoundedEmbeddings) or type(embeddings).__module__.startswith(
            "langchain_aws."
        ):
            return None
        try:
            return self._ray.put(embeddings)
        except TypeError as error:
            logger.info("embedding in this process: %s cannot be sent (%s)", type(embeddings).__name__, error)
            return None

    def close(self) -> None:
        """Stop Ray, if it was started here."""
        if self._started:
            self._ray.shutdown()


def _read_batch(batch: dict[str, Any], options: ReadOptions) -> dict[str, Any]:
    """The files of a batch, read, each as JSON: columns of Python objects would be pickled."""
    files = zip(batch["source"], batch["size"], batch["modified_ns"], strict=True)
    return {
        "read": [
            json.dumps(_encoded(read_chunks(FoundFile(str(source), int(size), int(time)), options)))
            for source, size, time in files
        ]
    }


def _encoded(read: ReadFile) -> dict[str, Any]:
    return {
        "known": encode_known(read.known),
        "chunks": [[chunk.id, chunk.page_content, chunk.metadata] for chunk in read.chunks],
        "problems": [asdict(problem) for problem in read.problems],
    }


def _decoded(found: FoundFile, read: dict[str, Any]) -> ReadFile:
    return ReadFile(
        found,
        decode_known(read["known"]),
        [Document(page_content=text, id=id_, metadata=metadata) for id_, text, metadata in read["chunks"]],
        [FileProblem(**problem) for problem in read["problems"]],
    )


class _Embedder:
    """The model in a worker."""

    def __init__(self, model: list[Any]) -> None:
        self._model = bounded_embeddings(require("ray", "ray").get(model[0]), 1024)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        [vectors] = embed_batches(self._model, list(batch["text"]), len(batch["text"]))
        return {"vector": vectors}
