"""What all requests of one local endpoint share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from llama_bedrock.catalog import PromptFormat
from llama_bedrock.local.engines.interface import Engine
from llama_bedrock.local.runtime.pace import Ticker

if TYPE_CHECKING:
    from langchain_core.vectorstores import VectorStore

    from llama_bedrock.local.faults import FaultPlan
    from llama_bedrock.local.knowledge_base.ingestion_jobs import Ingestions
    from llama_bedrock.local.knowledge_base.sessions import Sessions
    from llama_bedrock.local.knowledge_base.vector_store import LocalKnowledgeBase
    from llama_bedrock.local.quotas import QuotaMeter
    from llama_bedrock.local.runtime.authentication import Authenticator
    from llama_bedrock.local.runtime.served_call import Call
    from llama_bedrock.local.runtime.served_models import ModelTarget
    from llama_bedrock.local.runtime.word_guardrail import Guardrail


_LARGE_BODIES = 4  # of 25 MB at most


class InvocationNotes(Protocol):
    """Takes note of invocations, where they are logged."""

    def is_on(self, call: Call) -> bool:
        """True if the invocations of a call's region are logged."""

    def add(
        self, call: Call, output: Any = None, *, tokens: tuple[int, int] = (0, 0), error: str | None = None
    ) -> None:
        """Take note of an invocation."""


class Plane(Protocol):
    """What an invocation asks of the control plane."""

    @property
    def log(self) -> InvocationNotes:
        """Where invocations are noted."""

    def find_served(self, model_id: str, region: str | None) -> ModelTarget:
        """The model that a path names.

        Args:
            model_id: Model id, geo profile id or ARN, decoded.
            region: The caller's region; None skips the checks that need it.

        Raises:
            ServiceError: It names no model, one that is not ready, or one that the account may not call.
        """


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


@dataclass
class EndpointState:
    """Configuration and live state of one endpoint.

    What only some requests need is imported by the first of them: `llama-bedrock ask --local` is answered by
    a state like this one, and has nothing of it.

    Attributes:
        engine: Writes the answers.
        executor: Where engines that may block run.
        ticker: Wakes paced streams.
        plane: The control plane.
        quotas: Admission by quota; None for no limits.
        guardrails: Guardrails by id.
        knowledge_bases: Vector stores or `LocalKnowledgeBase` by id.
        chat_template: Prompt format for the ``messages`` of imported models and for RetrieveAndGenerate.
        first_token_delay: Seconds before the first token.
        token_delay: Seconds between tokens.
        stats: Counts.
        allowed_hosts: Names besides loopback under which the endpoint may be called.
        silent: Connections on which no request has arrived yet.
        large_bodies: Bounds the bodies over 1 MB that are read at once, before their signature is checked.
    """

    engine: Engine
    executor: Executor
    ticker: Ticker
    plane: Plane
    quotas: QuotaMeter | None = None
    guardrails: Mapping[str, Guardrail] = field(default_factory=dict)
    knowledge_bases: Mapping[str, VectorStore | LocalKnowledgeBase] = field(default_factory=dict)
    chat_template: PromptFormat = "llama3.3"
    first_token_delay: float = 0.0
    token_delay: float = 0.0
    stats: Stats = field(default_factory=Stats)
    allowed_hosts: frozenset[str] = frozenset()
    silent: set[Any] = field(default_factory=set)
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LARGE_BODIES))

    @cached_property
    def authenticator(self) -> Authenticator:
        """Checks signatures and keys."""
        from llama_bedrock.local.runtime.authentication import Authenticator

        return Authenticator()

    @cached_property
    def faults(self) -> FaultPlan:
        """What goes wrong, and when."""
        from llama_bedrock.local.faults import FaultPlan

        return FaultPlan()

    @cached_property
    def ingestions(self) -> Ingestions:
        """Documents put into knowledge bases while it runs."""
        from llama_bedrock.local.knowledge_base.ingestion_jobs import Ingestions

        return Ingestions()

    @cached_property
    def sessions(self) -> Sessions:
        """Conversations of RetrieveAndGenerate."""
        from llama_bedrock.local.knowledge_base.sessions import Sessions

        return Sessions()
