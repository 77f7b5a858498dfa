"""Retrieve: a query to a local knowledge base, with filters, pages and reranking."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_bedrock.local.knowledge_base.rerank_operation import relevance
from llama_bedrock.local.knowledge_base.vector_store import (
    LocalKnowledgeBase,
    Scored,
    as_knowledge_base,
    to_result,
)
from llama_bedrock.local.runtime.frames import ServiceError, constraint_error, invalid, shapes_checked
from llama_bedrock.local.runtime.served_call import Call
from llama_bedrock.local.runtime.state import EndpointState
from llama_bedrock.local.runtime.word_guardrail import Guardrail

if TYPE_CHECKING:
    from aiohttp import web

    from llama_bedrock.retrievers.filters import Filter

_DEFAULT_RESULTS = 5
_MAX_RESULTS = 100
_MAX_QUERY_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A ``retrievalConfiguration``, understood.

    Attributes:
        size: Results of a page.
        condition: Metadata filter.
        hybrid: True for HYBRID search.
        rerank_to: Results to keep after reranking; None if there is none.
    """

    size: int = _DEFAULT_RESULTS
    condition: Filter | None = None
    hybrid: bool = False
    rerank_to: int | None = None


async def retrieve(call: Call) -> web.StreamResponse:
    base = find_knowledge_base(call.state, call.resource)
    with shapes_checked():
        query = _query(call.body.get("retrievalQuery"))
        plan = read_configuration(call.body.get("retrievalConfiguration"))
        guardrail = find_kb_guardrail(call.state, call.body.get("guardrailConfiguration"))
    answer: dict[str, Any] = {}
    if guardrail is not None:
        intervened = bool(guardrail.matches(query))
        answer["guardrailAction"] = "INTERVENED" if intervened else "NONE"
        if intervened:
            return await call.respond(json.dumps({**answer, "retrievalResults": []}).encode())
    offset = _read_token(call.body.get("nextToken"), query)
    found = await search(call.state, base, query, plan, offset + plan.size + 1)
    page = found[offset : offset + plan.size]
    if plan.rerank_to is not None:
        page = rerank_page(query, page, plan.rerank_to)
    answer["retrievalResults"] = [to_result(document, score) for document, score in page]
    if len(found) > offset + plan.size:
        answer["nextToken"] = _make_token(offset + plan.size, query)
    return await call.respond(json.dumps(answer).encode())


async def search(
    state: EndpointState, base: LocalKnowledgeBase, query: str, plan: SearchPlan, count: int
) -> list[Scored]:
    """Search in a worker thread: vector stores may compute or wait."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(
        state.executor, lambda: base.search(query, count, plan.condition, hybrid=plan.hybrid)
    )


def rerank_page(query: str, page: Sequence[Scored], keep: int) -> list[Scored]:
    """The page in the order of the local reranker."""
    scores = relevance(query, [document.page_content for document, _ in page])
    ranked = sorted(range(len(page)), key=lambda n: -scores[n])
    return [(page[n][0], scores[n]) for n in ranked[:keep]]


def find_knowledge_base(state: EndpointState, knowledge_base_id: str) -> LocalKnowledgeBase:
    """The knowledge base of an id or ARN.

    Raises:
        ServiceError: ``ResourceNotFoundException``.
    """
    name = knowledge_base_id.rpartition("/")[2]
    found = state.knowledge_bases.get(name)
    if found is None:
        raise ServiceError("ResourceNotFoundException", f"Knowledge Base with id {name} does not exist")
    return as_knowledge_base(found)


def find_kb_guardrail(state: EndpointState, configuration: Mapping[str, Any] | None) -> Guardrail | None:
    """The guardrail of a ``guardrailConfiguration``.

    Raises:
        ServiceError: There is none with this id.
    """
    if not configuration:
        return None
    guardrail_id = str(configuration.get("guardrailId", ""))
    if guardrail_id not in state.guardrails:
        raise invalid("The guardrail identifier or version provided in the request does not exist.")
    return state.guardrails[guardrail_id]


def read_configuration(configuration: Mapping[str, Any] | None) -> SearchPlan:
    """Understand a ``retrievalConfiguration``.

    Raises:
        ServiceError: ``ValidationException`` for what the API refuses.
    """
    if not configuration:
        return SearchPlan()
    vector, managed = (configuration.get(f"{kind}SearchConfiguration") for kind in ("vector", "managed"))
    if vector is not None and managed is not None:
        raise invalid("Provide either vectorSearchConfiguration or managedSearchConfiguration, not both.")
    inner = vector if vector is not None else managed or {}
    path = f"retrievalConfiguration.{'vector' if vector is not None else 'managed'}SearchConfiguration"
    size = _check_count(f"{path}.numberOfResults", inner.get("numberOfResults", _DEFAULT_RESULTS))
    kind = inner.get("overrideSearchType")
    if kind not in (None, "HYBRID", "SEMANTIC"):
        raise constraint_error(
            f"{path}.overrideSearchType", str(kind), "Member must satisfy enum value set: [HYBRID, SEMANTIC]"
        )
    return SearchPlan(size, _condition(inner.get("filter"), path), kind == "HYBRID", _rerank_to(inner, path))


def _rerank_to(inner: Mapping[str, Any], path: str) -> int | None:
    configuration = inner.get("rerankingConfiguration")
    if not configuration:
        return _MAX_RESULTS if inner.get("rerankingModelType") == "MANAGED" else None
    bedrock = configuration.get("bedrockRerankingConfiguration") or {}
    if not (bedrock.get("modelConfiguration") or {}).get("modelArn"):
        raise invalid("The rerankingConfiguration needs the ARN of a reranker model.")
    return _check_count(
        f"{path}.rerankingConfiguration.bedrockRerankingConfiguration.numberOfRerankedResults",
        bedrock.get("numberOfRerankedResults", _MAX_RESULTS),
    )


def _check_count(member: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise constraint_error(member, str(value), "Member must have value greater than or equal to 1")
    if value > _MAX_RESULTS:
        raise constraint_error(
            member, str(value), f"Member must have value less than or equal to {_MAX_RESULTS}"
        )
    return value


def _condition(filter_: Mapping[str, Any] | None, path: str) -> Filter | None:
    from llama_bedrock.retrievers.filters import parse_filter

    if not filter_:
        return None
    _check_filter(filter_, f"{path}.filter")
    try:
        return parse_filter(filter_)
    except (ValueError, TypeError) as error:
        raise invalid(f"The provided filter is not valid: {error}") from error


def _check_filter(filter_: Any, path: str) -> None:
    """What the API refuses although the filter language would read it."""
    if not isinstance(filter_, Mapping) or len(filter_) != 1:
        raise invalid(f"{path} must have exactly one member")
    [(name, argument)] = filter_.items()
    if name in ("andAll", "orAll"):
        if not isinstance(argument, Sequence) or len(argument) < 2:
            raise constraint_error(f"{path}.{name}", "", "Member must have length greater than or equal to 2")
        for part in argument:
            _check_filter(part, f"{path}.{name}.member")
    elif name not in _OPERATORS or not isinstance(argument, Mapping) or set(argument) != {"key", "value"}:
        raise invalid(f"{path}: {name} is not a filter of a key and a value")


_OPERATORS = frozenset(
    {
        "equals",
        "notEquals",
        "greaterThan",
        "greaterThanOrEquals",
        "lessThan",
        "lessThanOrEquals",
        "in",
        "notIn",
        "startsWith",
        "listContains",
        "stringContains",
    }
)


def _query(query: Any) -> str:
    if not isinstance(query, Mapping):
        raise constraint_error("retrievalQuery", "", "Member must not be null")
    if query.get("type") == "IMAGE" or "image" in query:
        raise invalid("Image queries are not supported for this knowledge base.")
    text = query.get("text")
    if not isinstance(text, str):
        raise constraint_error("retrievalQuery.text", "", "Member must not be null")
    if len(text) > _MAX_QUERY_CHARS:
        raise constraint_error(
            "retrievalQuery.text", "", f"Member must have length less than or equal to {_MAX_QUERY_CHARS}"
        )
    if not text.strip():
        raise invalid("The retrieval query is empty.")
    return text


def _make_token(offset: int, query: str) -> str:
    """Where the next page begins, bound to the query it belongs to."""
    return base64.urlsafe_b64encode(f"{offset}:{zlib.crc32(query.encode())}".encode()).decode()


def _read_token(token: Any, query: str) -> int:
    if token is None:
        return 0
    try:
        offset, checksum = base64.urlsafe_b64decode(str(token)).decode().split(":")
        if int(checksum) == zlib.crc32(query.encode()) and int(offset) > 0:
            return int(offset)
    except (ValueError, binascii.Error):
        pass
    raise invalid("The nextToken is not valid for this query.")
