"""InvokeModel for ``amazon.titan-embed-text-*``, so that apps that embed with Titan run offline.

The vectors are no Titan's: every content word is hashed to a few dimensions (feature hashing, Weinberger et
al. 2009), so that texts with the same words are near each other. The response header `LABEL` says so.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from typing import TYPE_CHECKING

from llama_bedrock.local.runtime.body_validation import Member, check_body, malformed
from llama_bedrock.local.runtime.frames import invalid
from llama_bedrock.local.runtime.served_call import Call
from llama_bedrock.text import content_words, words
from llama_bedrock.usage import estimate_tokens

if TYPE_CHECKING:
    from aiohttp import web

LABEL = ("X-Local-Bedrock-Embedding", "hashed words, not Titan")
_MODELS = {"amazon.titan-embed-text-v1": (1536,), "amazon.titan-embed-text-v2:0": (1024, 512, 256)}
_MOST_TOKENS = 8192  # Bedrock user guide, "Amazon Titan Embeddings Text"
_MOST_CHARACTERS = 50_000
_HASHES = 4  # dimensions per word


def serves(model_id: str) -> bool:
    """Whether a model id, or the end of an ARN, is one of Titan's text embeddings."""
    return model_id.rpartition("/")[2] in _MODELS


async def embed(call: Call) -> web.StreamResponse:
    """Serve ``InvokeModel`` for Titan's text embeddings."""
    sizes = _MODELS[call.resource.rpartition("/")[2]]
    members = {"inputText": Member("String", 1, _MOST_CHARACTERS, required=True)}
    is_v2 = len(sizes) > 1
    if is_v2:
        members |= {"dimensions": Member("Integer"), "normalize": Member("Boolean"),
                    "embeddingTypes": Member("JSONArray", items="String")}  # fmt: skip
    check_body(call.body, members)
    size = int(call.body.get("dimensions", sizes[0]))
    if size not in sizes:
        raise malformed(f"#/dimensions: {size} is not a valid enum value")
    text = call.body["inputText"]
    tokens = estimate_tokens(text)
    if tokens > _MOST_TOKENS:
        raise invalid(
            f"Too many input tokens. Max input tokens: {_MOST_TOKENS}, request input token count: {tokens}"
        )
    if call.state.quotas is not None:
        call.state.quotas.admit(call.resource, tokens)
    vector = embed_text(text, size)
    body: dict[str, object] = {"embedding": vector, "inputTextTokenCount": tokens}
    if is_v2:
        kinds = call.body.get("embeddingTypes", ["float"])
        both = {"float": vector, "binary": [int(value > 0) for value in vector]}
        body["embeddingsByType"] = {kind: both[kind] for kind in kinds if kind in both}
    return await call.respond(json.dumps(body).encode(), dict([LABEL]))


def embed_text(text: str, size: int) -> list[float]:
    """A unit vector of the words of a text, stemmed as English: guessed languages would part short texts."""
    counts = Counter(word.form for word in content_words(text, "en") or words(text, "en"))
    vector = [0.0] * size
    for form, count in (counts or Counter({text: 1})).items():
        digest = hashlib.blake2b(form.encode("utf-8", "surrogatepass"), digest_size=4 * _HASHES).digest()
        for at in range(0, len(digest), 4):
            number = int.from_bytes(digest[at : at + 4])
            vector[(number >> 1) % size] += (1 + math.log(count)) * (1 if number & 1 else -1)
    length = math.hypot(*vector) or 1.0
    return [value / length for value in vector]
