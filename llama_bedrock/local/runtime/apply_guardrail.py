"""ApplyGuardrail: blocked words, and contextual grounding with the scores of words for those of a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from llama_bedrock.grounding.claims import Claim
from llama_bedrock.grounding.words import WordVerifier
from llama_bedrock.local.runtime.frames import constraint_error, invalid, shapes_checked
from llama_bedrock.local.runtime.served_call import Call
from llama_bedrock.local.runtime.word_guardrail import Guardrail

if TYPE_CHECKING:
    from aiohttp import web

_LIMITS = {"grounding_source": 100_000, "query": 1_000, "guard_content": 5_000}  # characters
_UNIT = 1_000  # characters that are charged as one
_POLICIES = (
    "topic",
    "content",
    "word",
    "sensitiveInformation",
    "sensitiveInformationFree",
    "contextualGrounding",
)


async def apply_guardrail(call: Call) -> web.StreamResponse:
    """Serve ``ApplyGuardrail``."""
    found = call.state.guardrails.get(call.resource)
    if found is None:
        raise invalid("The guardrail identifier or version provided in the request does not exist.")
    with shapes_checked():
        body = call.body
        if body.get("source") not in ("INPUT", "OUTPUT"):
            raise constraint_error("source", str(body.get("source")), "Member must be INPUT or OUTPUT")
        texts = _texts(body["content"])
        full = body.get("outputScope", "INTERVENTIONS") == "FULL"
    return await call.respond(json.dumps(_answer(found, texts, full=full)).encode())


def _texts(content: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The texts by qualifier; one without any is guarded, as in the service."""
    texts: dict[str, list[str]] = {name: [] for name in _LIMITS}
    for block in content:
        for qualifier in block["text"].get("qualifiers") or ["guard_content"]:
            texts[qualifier].append(block["text"]["text"])
    for name, limit in _LIMITS.items():
        if sum(map(len, texts[name])) > limit:
            raise invalid(f"The {name} of a contextual grounding check has at most {limit:,} characters.")
    return texts


def _answer(guardrail: Guardrail, texts: dict[str, list[str]], *, full: bool) -> dict[str, Any]:
    guarded = "\n".join(texts["guard_content"])
    words = [{"match": word, "action": "BLOCKED", "detected": True} for word in guardrail.matches(guarded)]
    assessment: dict[str, Any] = (
        {"wordPolicy": {"customWords": words, "managedWordLists": []}} if words else {}
    )
    filters: list[dict[str, Any]] = []
    if guardrail.grounding_threshold is not None and texts["grounding_source"] and texts["query"]:
        sources = [Document(text) for text in texts["grounding_source"]]
        grounding = WordVerifier().verify([Claim(guarded, sources)])[0].score or 0.0
        asked = [Document(guarded)]
        relevance = WordVerifier().verify([Claim("\n".join(texts["query"]), asked)])[0].score or 0.0
        for kind, score, threshold in (
            ("GROUNDING", grounding, guardrail.grounding_threshold),
            ("RELEVANCE", relevance, 0.0),
        ):
            low = score < threshold
            action = "BLOCKED" if low else "NONE"
            filters.append(
                {"type": kind, "threshold": threshold, "score": score, "action": action, "detected": low}
            )
        shown = [item for item in filters if full or item["detected"]]
        if shown:
            assessment["contextualGroundingPolicy"] = {"filters": shown}
    intervened = bool(words) or any(item["detected"] for item in filters)
    size = sum(len(text) for group in texts.values() for text in group)
    units = {f"{name}PolicyUnits": 0 for name in _POLICIES} | {"sensitiveInformationPolicyFreeUnits": 0}
    units.pop("sensitiveInformationFreePolicyUnits")
    units |= {"wordPolicyUnits": -(-len(guarded) // _UNIT)}
    if filters:
        units["contextualGroundingPolicyUnits"] = -(-size // _UNIT)
    return {
        "usage": units,
        "action": "GUARDRAIL_INTERVENED" if intervened else "NONE",
        "outputs": [{"text": guardrail.blocked_output_message}] if intervened else [],
        "assessments": [assessment] if assessment else [],
        "guardrailCoverage": {"textCharacters": {"guarded": len(guarded), "total": size}},
    }
