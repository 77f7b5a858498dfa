"""Where reading, splitting and embedding are done: here, or in Ray workers (`indexing_ray.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock.retrievers.arrays import Floats
from llama_bedrock.retrievers.documents.load import FileProblem, read_reported
from llama_bedrock.retrievers.documents.readers.by_format import installed_readers, is_read_whole
from llama_bedrock.retrievers.documents.readers.file_bytes import digest_of, file_digest
from llama_bedrock.retrievers.documents.readers.file_content import ReadSettings
from llama_bedrock.retrievers.documents.split import split_documents
from llama_bedrock.retrievers.embeddings.batches import as_array
from llama_bedrock.retrievers.embeddings.bounded import BoundedEmbeddings
from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings
from llama_bedrock.retrievers.indexing.folder_manifest import FoundFile
from llama_bedrock.retrievers.indexing.known_files import KnownFile

_READERS = 4
"""Raised when readers or the splitter make other text of the same files: indexes are then made anew."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Everything besides a file that its chunks depend on."""

    settings: ReadSettings
    chunk_size: int
    chunk_overlap: int

    def key(self) -> list[Any]:
        """The same as JSON-able values."""
        return [
            _READERS,
            *self.settings.key(),
            sorted(installed_readers()),
            self.chunk_size,
            self.chunk_overlap,
        ]


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was read.

    Attributes:
        found: Which.
        known: As it is to be remembered.
        chunks: What it was split into.
        problems: What could not be read of it.
    """

    found: FoundFile
    known: KnownFile
    chunks: list[Document] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)


def read_chunks(found: FoundFile, options: ReadOptions) -> ReadFile:
    """Read and split one file."""
    path, settings = found.source, options.settings
    # Of the bytes that are read, or made first: if the file changes meanwhile, it is read again next time.
    digest = "" if is_read_whole(path, found.size, settings) else file_digest(path)
    result = ReadFile(found, KnownFile(found.size, found.remembered_time(), digest))

    def remember(data: bytes) -> None:
        result.known.digest = digest_of(data)

    def split(documents: Iterator[Document]) -> list[Document]:
        return split_documents(documents, chunk_size=options.chunk_size, chunk_overlap=options.chunk_overlap)

    result.chunks.extend(read_reported(path, path, settings, result.problems.append, split, remember))
    result.known.notes.extend(problem.reason for problem in result.problems)
    if not result.chunks and result.problems:
        result.known.problem = result.problems[0].reason
    return result


class IndexEngine(Protocol):
    """Does the work of indexing that needs no store."""

    def read(self, files: Sequence[FoundFile], options: ReadOptions) -> Iterator[ReadFile]:
        """Read and split files; they come back in their order."""

    def embed(self, embeddings: Embeddings, texts: Sequence[str], batch_size: int) -> Iterator[Floats]:
        """Vectors of texts in their order, a batch at a time."""

    def close(self) -> None:
        """Let go of what it holds."""


class LocalEngine:
    """Works in this process."""

    def read(self, files: Sequence[FoundFile], options: ReadOptions) -> Iterator[ReadFile]:
        """Read and split files, one after the other."""
        return (read_chunks(found, options) for found in files)

    def embed(self, embeddings: Embeddings, texts: Sequence[str], batch_size: int) -> Iterator[Floats]:
        """Vectors of texts in their order; throttling and passing failures of the service are waited out."""
        if isinstance(embeddings, LSAEmbeddings):
            yield embeddings.embed_array(texts)
            return
        bounded = bounded_embeddings(embeddings, batch_size)
        for start in range(0, len(texts), batch_size):
            part = list(texts[start : start + batch_size])
            yield as_array(bounded.embed_documents(part), len(part))

    def close(self) -> None:
        """Nothing is held."""


def bounded_embeddings(embeddings: Embeddings, batch_size: int) -> Embeddings:
    """The embeddings with retries, and with many calls at a time where that is known to be safe."""
    if isinstance(embeddings, BoundedEmbeddings | LSAEmbeddings):
        return embeddings
    if type(embeddings).__module__.startswith("langchain_aws."):
        return BoundedEmbeddings(embeddings)
    return BoundedEmbeddings(embeddings, max_concurrency=1, batch_size=batch_size)
