"""Embedding models as a store sees them: arrays in bounded batches, and a name that tells two models
apart.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor

from llama_bedrock.retrievers.arrays import Floats, np

_AT_ONCE = 512
"""Texts in one call of ``embed_documents``: its lists of Python floats are eight times the size of the
array."""
_NAMES = ("model_id", "model", "model_name", "deployment", "repo_id", "endpoint_name")
_SIZES = ("dimensions", "dimension", "size", "output_dimensionality", "truncate_dim", "normalize")


def identity(embedding: Embeddings) -> str:
    """Name of an embedding model, with the settings that change its vectors.

    Two objects with the same identity are taken to give the same vectors. It is built from the attributes
    that LangChain's embeddings name the model by (``model_id``, ``model``, ``model_name``, …), else from the
    class.
    """
    values = {**vars(embedding), **(getattr(embedding, "model_kwargs", None) or {})}
    values = {name: value for name, value in values.items() if isinstance(value, str | int | bool)}
    named = (getattr(embedding, name, None) for name in _NAMES)
    name = next((found for found in named if isinstance(found, str) and found), type(embedding).__name__)
    sizes = [
        f"{size}={values[size]}" for size in _SIZES if size in values and f"-{values[size]}-" not in name
    ]
    return f"{name}({', '.join(sizes)})" if sizes else name


def embed_batches(embedding: Embeddings, texts: Sequence[str], size: int | None = None) -> list[Floats]:
    """Vectors of texts, in arrays of a bounded number of rows: 512, or the size given."""
    return [_embed(embedding, part) for part in _parts(texts, size)]


async def aembed_batches(
    embedding: Embeddings, texts: Sequence[str], size: int | None = None
) -> list[Floats]:
    """As `embed_batches`, without blocking the event loop."""
    if hasattr(embedding, "embed_array"):  # computes here; its async form would hold the loop
        return await run_in_executor(None, embed_batches, embedding, texts, size)
    return [as_array(await embedding.aembed_documents(part), len(part)) for part in _parts(texts, size)]


def as_array(vectors: Any, count: int) -> Floats:
    """Vectors as a float32 array of one row each.

    Raises:
        ValueError: There are not as many as texts, their lengths differ, or a number is not finite.
    """
    try:
        array: Floats = np.ascontiguousarray(_packed(vectors), dtype=np.float32)
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise ValueError(f"the vectors are not {count} lists of numbers of one length: {error}") from error
    if array.ndim != 2 or array.shape[0] != count or array.shape[1] == 0:
        raise ValueError(f"expected {count} vectors, got an array of shape {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"vector {np.flatnonzero(~finite.all(axis=1))[0]} holds NaN or infinity")
    return array


def _packed(vectors: Any) -> Any:
    """Lists of floats, as embeddings return them, packed twice as fast as by NumPy; others as they are."""
    if not isinstance(vectors, list) or not vectors or not all(type(vector) is list for vector in vectors):
        return vectors
    pack = struct.Struct(f"{len(vectors[0])}f").pack
    packed = b"".join([pack(*vector) for vector in vectors])
    return np.frombuffer(packed, dtype="f4").reshape(len(vectors), -1)


def _embed(embedding: Embeddings, texts: list[str]) -> Floats:
    embed_array = getattr(embedding, "embed_array", None)
    vectors = embedding.embed_documents(texts) if embed_array is None else embed_array(texts)
    return as_array(vectors, len(texts))


def _parts(texts: Sequence[str], size: int | None) -> list[list[str]]:
    step = size or _AT_ONCE
    return [list(texts[start : start + step]) for start in range(0, len(texts), step)]
