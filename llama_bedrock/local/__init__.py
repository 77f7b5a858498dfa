"""A local endpoint that speaks Bedrock's wire, for laptops, tests and benchmarks without an AWS account."""

from __future__ import annotations

from llama_bedrock.local.engine import Engine, EngineError, EngineRequest, StopReason
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
from llama_bedrock.local.guardrail import Guardrail
from llama_bedrock.local.kb_store import LocalKnowledgeBase
from llama_bedrock.local.quotas import Quotas
from llama_bedrock.local.server import LocalBedrock
from llama_bedrock.local.state import Stats

__all__ = [
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
    "NotReady",
    "Quotas",
    "Reset",
    "SlowChunks",
    "Stats",
    "StopReason",
    "Truncate",
]
