"""Rerank: documents in the order of their relevance to a query.

A stand-in for the reranker models on Bedrock: it weighs how much of the query a text covers. It is good
enough to see a reranked order, and no measure of what a reranker model would do.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from llama_bedrock.local.runtime.frames import constraint_error, invalid, shapes_checked
from llama_bedrock.local.runtime.served_call import Call
from llama_bedrock.text import language_of, query_terms, terms

if TYPE_CHECKING:
    from aiohttp import web

_MAX_SOURCES = 1000
_MAX_QUERY_CHARS = 32_000
_SATURATION = 1.2


async def rerank(call: Call) -> web.StreamResponse:
    with shapes_checked():
        query = _query(call.body.get("queries"))
        sources = call.body.get("sources")
        if not isinstance(sources, list) or not 1 <= len(sources) <= _MAX_SOURCES:
            raise constraint_error("sources", "", f"Member must have length between 1 and {_MAX_SOURCES}")
        texts = [_text(source, n) for n, source in enumerate(sources)]
        limit = _limit(call.body.get("rerankingConfiguration"), len(texts))
    scores = relevance(query, texts)
    ranked = sorted(range(len(texts)), key=lambda n: -scores[n])[:limit]
    results = [
        {
            "index": n,
            "relevanceScore": scores[n],
            "document": sources[n]["inlineDocumentSource"],
        }
        for n in ranked
    ]
    return await call.respond(json.dumps({"results": results}).encode())


def relevance(query: str, texts: Sequence[str]) -> list[float]:
    """How much of the query each text covers, 0 to 1; rare words weigh more."""
    languages = list(map(language_of, texts))
    wanted = set(chain.from_iterable(query_terms(query, set(languages))))
    counts = [
        Counter(term for term in terms(text, language) if term in wanted)
        for text, language in zip(texts, languages, strict=True)
    ]
    known = Counter(word for count in counts for word in count)
    weights = {word: math.log(1 + len(texts) / (0.5 + known[word])) for word in wanted}
    total = sum(weights.values()) or 1.0
    return [
        round(sum(weights[w] * n / (n + _SATURATION) for w, n in count.items()) / total, 6)
        for count in counts
    ]


def _query(queries: Any) -> str:
    if not isinstance(queries, list) or len(queries) != 1 or not isinstance(queries[0], Mapping):
        raise constraint_error("queries", "", "Member must have length less than or equal to 1")
    text = (queries[0].get("textQuery") or {}).get("text")
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_QUERY_CHARS:
        raise constraint_error(
            "queries.1.member.textQuery.text", "", f"Member must have length between 1 and {_MAX_QUERY_CHARS}"
        )
    return text


def _text(source: Any, number: int) -> str:
    document = source.get("inlineDocumentSource") if isinstance(source, Mapping) else None
    if not isinstance(document, Mapping):
        raise invalid(f"sources.{number + 1}.member needs an inlineDocumentSource")
    if document.get("type") == "JSON":
        return json.dumps(document.get("jsonDocument"), ensure_ascii=False)
    text = (document.get("textDocument") or {}).get("text")
    if not isinstance(text, str):
        raise invalid(f"sources.{number + 1}.member.inlineDocumentSource needs a textDocument")
    return text


def _limit(configuration: Any, sources: int) -> int:
    bedrock = (configuration or {}).get("bedrockRerankingConfiguration") or {}
    if not (bedrock.get("modelConfiguration") or {}).get("modelArn"):
        raise constraint_error("rerankingConfiguration", "", "Member must not be null")
    limit = bedrock.get("numberOfResults")
    if limit is None:
        return sources
    if not isinstance(limit, int) or not 1 <= limit <= sources:
        raise invalid(f"numberOfResults must be between 1 and the number of sources, {sources}")
    return limit
