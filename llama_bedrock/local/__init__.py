"""A local endpoint that speaks Bedrock's wire, for laptops, tests and benchmarks without an AWS account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_bedrock._lazy_names import lazy_names

if TYPE_CHECKING:
    from llama_bedrock.local.control_plane.account import Account, ModelState
    from llama_bedrock.local.engines.interface import Engine, EngineError, EngineRequest, StopReason
    from llama_bedrock.local.faults import (
        ErrorResponse,
        ExceptionFrame,
        Fault,
        FaultTarget,
        FlipByte,
        Hang,
        NotReady,
        Reset,
        SlowChunks,
        Truncate,
    )
    from llama_bedrock.local.knowledge_base.vector_store import LocalKnowledgeBase
    from llama_bedrock.local.quotas import Quotas
    from llama_bedrock.local.runtime.state import Stats
    from llama_bedrock.local.runtime.word_guardrail import Guardrail
    from llama_bedrock.local.server import LocalBedrock

__all__ = [
    "Account",
    "Engine",
    "EngineError",
    "EngineRequest",
    "ErrorResponse",
    "ExceptionFrame",
    "Fault",
    "FaultTarget",
    "FlipByte",
    "Guardrail",
    "Hang",
    "LocalBedrock",
    "LocalKnowledgeBase",
    "ModelState",
    "NotReady",
    "Quotas",
    "Reset",
    "SlowChunks",
    "Stats",
    "StopReason",
    "Truncate",
]

# Public name → module. Imported when first used: aiohttp is heavy, and an answer in this process needs none.
_HOMES = {
    ".control_plane.account": ["Account", "ModelState"],
    ".engines.interface": ["Engine", "EngineError", "EngineRequest", "StopReason"],
    ".faults": [
        "ErrorResponse",
        "ExceptionFrame",
        "Fault",
        "FaultTarget",
        "FlipByte",
        "Hang",
        "NotReady",
        "Reset",
        "SlowChunks",
        "Truncate",
    ],
    ".knowledge_base.vector_store": ["LocalKnowledgeBase"],
    ".quotas": ["Quotas"],
    ".runtime.state": ["Stats"],
    ".runtime.word_guardrail": ["Guardrail"],
    ".server": ["LocalBedrock"],
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
