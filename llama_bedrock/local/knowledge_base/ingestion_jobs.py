"""What was put into the knowledge bases of a local endpoint: documents, jobs, and the work in progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime


def now() -> str:
    """The time, as the API writes it."""
    return datetime.now(UTC).isoformat()


@dataclass(slots=True)
class Ingested:
    """One document of a data source: its state and its chunks in the store."""

    status: str = "STARTING"
    reason: str = ""
    chunks: list[str] = field(default_factory=list)
    updated: str = ""

    def become(self, status: str, reason: str = "") -> None:
        """Enter a state."""
        self.status, self.reason, self.updated = status, reason, now()


@dataclass(slots=True)
class Job:
    """One ingestion job."""

    job_id: str
    started: str
    status: str = "STARTING"
    updated: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ingestions:
    """What was ingested into all knowledge bases of an endpoint."""

    documents: dict[tuple[str, str, str], Ingested] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def run(self, executor: Executor, work: Callable[[], None]) -> None:
        """Do work in a worker thread, after the response."""

        async def later() -> None:
            await asyncio.get_running_loop().run_in_executor(executor, work)

        task = asyncio.create_task(later())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
