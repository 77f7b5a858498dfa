"""What all requests of one local endpoint share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_bedrock.catalog import PromptFormat
from llama_bedrock.local.engines.interface import Engine
from llama_bedrock.local.faults import FaultPlan
from llama_bedrock.local.knowledge_base.ingestion_jobs import Ingestions
from llama_bedrock.local.knowledge_base.sessions import Sessions
from llama_bedrock.local.quotas import QuotaMeter
from llama_bedrock.local.runtime.authentication import Authenticator
from llama_bedrock.local.runtime.pace import Ticker
from llama_bedrock.local.runtime.word_guardrail import Guardrail

if TYPE_CHECKING:
    from langchain_core.vectorstores import VectorStore

    from llama_bedrock.local.control_plane.plane import LocalPlane
    from llama_bedrock.local.knowledge_base.vector_store import LocalKnowledgeBase


_LARGE_BODIES = 4  # of 25 MB at most


@dataclass(slots=True)
class Stats:
    """Counts of one server since it started.

    Attributes:
        requests: Requests that arrived.
        active: Requests in progress.
        peak_active: The most that were in progress at once.
        completed: Requests answered to the end, errors included.
        errors: Requests answered with an error, or broken by a fault.
        cancelled: Requests whose client left before the end.
        pieces: Text pieces that the engine handed over.
    """

    requests: int = 0
    active: int = 0
    peak_active: int = 0
    completed: int = 0
    errors: int = 0
    cancelled: int = 0
    pieces: int = 0

    def enter(self) -> None:
        """A request begins."""
        self.requests += 1
        self.active += 1
        self.peak_active = max(self.peak_active, self.active)


@dataclass(slots=True)
class EndpointState:
    """Configuration and live state of one endpoint.

    Attributes:
        engine: Writes the answers.
        executor: Where engines that may block run.
        ticker: Wakes paced streams.
        plane: The control plane.
        authenticator: Checks signatures and keys.
        faults: What goes wrong, and when.
        quotas: Admission by quota; None for no limits.
        guardrails: Guardrails by id.
        knowledge_bases: Vector stores or `LocalKnowledgeBase` by id.
        chat_template: Prompt format for the ``messages`` of imported models and for RetrieveAndGenerate.
        first_token_delay: Seconds before the first token.
        token_delay: Seconds between tokens.
        ingestions: Documents put into knowledge bases while it runs.
        sessions: Conversations of RetrieveAndGenerate.
        stats: Counts.
        allowed_hosts: Names besides loopback under which the endpoint may be called.
        silent: Connections on which no request has arrived yet.
        large_bodies: Bounds the bodies over 1 MB that are read at once, before their signature is checked.
    """

    engine: Engine
    executor: Executor
    ticker: Ticker
    plane: LocalPlane
    authenticator: Authenticator = field(default_factory=Authenticator)
    faults: FaultPlan = field(default_factory=FaultPlan)
    quotas: QuotaMeter | None = None
    guardrails: Mapping[str, Guardrail] = field(default_factory=dict)
    knowledge_bases: Mapping[str, VectorStore | LocalKnowledgeBase] = field(default_factory=dict)
    chat_template: PromptFormat = "llama3.3"
    first_token_delay: float = 0.0
    token_delay: float = 0.0
    ingestions: Ingestions = field(default_factory=Ingestions)
    sessions: Sessions = field(default_factory=Sessions)
    stats: Stats = field(default_factory=Stats)
    allowed_hosts: frozenset[str] = frozenset()
    silent: set[Any] = field(default_factory=set)
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LARGE_BODIES))
