"""What the server is and has, its models, questions to begin with, and news as server-sent events."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from llama_bedrock.app.conversations.tool_approval import is_read_only
from llama_bedrock.app.event_stream import EventStream, sse
from llama_bedrock.app.page.answer_routes import Frames
from llama_bedrock.app.page.page_threads import PageThreads
from llama_bedrock.app.page.verifier_choice import VerifierChoice
from llama_bedrock.catalog.lifecycle import lifecycle_message
from llama_bedrock.version import __version__

if TYPE_CHECKING:
    from llama_bedrock.agents.mcp import McpSession
    from llama_bedrock.app.app_state import AppState

_SUGGESTED = 3
_NO_HEADING = re.compile(r"\W*(?:untitled|no title|microsoft \w+ -)|.*\.\w{2,5}\Z", re.IGNORECASE)
"""What programs write as the title of a document that was given none."""

_PASSAGES_LOOKED_AT = 2_000
_HEARTBEAT_SECONDS = 20.0
_PING_SECONDS = 3.0
_PAUSE = 0.1  # between two news of one kind; indexing tells thousands


class StatusRoutes:
    """Routes that tell what there is.

    Args:
        state: Of the application.
        threads: The conversations.
        verifiers: Who can judge citations.
    """

    def __init__(self, state: AppState, threads: PageThreads, verifiers: VerifierChoice) -> None:
        self._state = state
        self._threads = threads
        self._verifiers = verifiers
        self._boot = secrets.token_hex(8)  # by which the page sees that the server was restarted

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/state", self._tell_state),
            Route("/api/models", self._models),
            Route("/api/questions", self._questions),
            Route("/api/servers", self._servers),
            Route("/api/events", self._events),
        ]

    async def _tell_state(self, request: Request) -> Response:
        return JSONResponse(self._facts())

    def _facts(self) -> dict[str, Any]:
        documents = self._state.documents
        homes = {tool.name: session for session in self._state.mcp_sessions for tool in session.tools}
        tools = [
            {
                "name": tool.name,
                "description": tool.description,
                "asks": not is_read_only(tool),
                "server": _server_name(homes[tool.name]) if tool.name in homes else None,
            }
            for tool in self._state.tools
        ]
        return {
            "version": __version__,
            "boot": self._boot,
            "model": self._state.models.default,
            "verifiers": self._verifiers.names,
            "verifier": self._verifiers.default,
            "tools": tools,
            "running": sorted(self._threads.running),
            "kept": self._state.checkpointer is not None,
            "has_documents": self._state.retriever is not None,
            "uploads": documents is not None and documents.uploads is not None,
            "index": None if documents is None else asdict(documents.status),
            "max_upload_bytes": self._state.limits.max_upload_bytes,
        }

    async def _servers(self, request: Request) -> Response:
        """The MCP servers, whether each answers now, and the names of its tools."""
        return JSONResponse({"servers": await asyncio.gather(*map(_server, self._state.mcp_sessions))})

    async def _models(self, request: Request) -> Response:
        await self._state.models.refresh()
        return JSONResponse({"models": [self._model(name) for name in self._state.models.ids()]})

    def _model(self, name: str) -> dict[str, Any]:
        info = self._state.models.info(name)
        known: dict[str, Any] = {"id": name, "name": name, "input": None, "output": None, "ends": None}
        if info is None:
            return {**known, "state": "active", "note": None}
        price = info.price_in(None)
        return {
            "id": name,
            "name": info.name,
            "input": price.input if price else None,
            "output": price.output if price else None,
            "ends": info.end_of_life.isoformat() if info.end_of_life else None,
            "state": info.lifecycle_on(datetime.now(UTC).date()),
            "note": lifecycle_message(info),
        }

    async def _questions(self, request: Request) -> Response:
        documents = self._state.documents
        store = documents.store if documents is not None else None
        found = await asyncio.to_thread(_suggestions, store) if store is not None else []
        return JSONResponse({"questions": found})

    async def _events(self, request: Request) -> Response:
        return EventStream(self._news())

    async def _news(self) -> Frames:
        """The state first; then the index and the conversations whenever they change."""
        documents, threads = self._state.documents, self._threads
        # Before the facts are sent: what changes while they are on their way is news.
        index, thread = documents.status.version if documents else 0, threads.version
        yield sse(self._facts(), "state")
        while not self._state.stopping.is_set():
            news: list[Coroutine[Any, Any, object]] = [self._state.stopping.wait(), threads.changed(thread)]
            if documents is not None:
                news.append(documents.changed(index))
            waiting = [asyncio.create_task(one) for one in news]
            try:
                done, _ = await asyncio.wait(
                    waiting, timeout=_HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                for task in waiting:
                    task.cancel()
            if not done:
                yield b": still here\n\n"
            if documents is not None and documents.status.version != index:
                index = documents.status.version
                yield sse(asdict(documents.status), "index")
            if threads.version != thread:
                thread = threads.version
                yield sse({"running": sorted(threads.running)}, "threads")
            await asyncio.sleep(_PAUSE)


def _server_name(session: McpSession) -> str:
    """The server as it was given, without the number that tells two of them apart."""
    return session.name.partition(": ")[2] or session.name


async def _server(session: McpSession) -> dict[str, Any]:
    shown = {"name": _server_name(session), "state": "connected", "reason": None}
    try:
        await asyncio.wait_for(session.ping(), _PING_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever its connection raises, the server is not there
        reason = f"no answer within {_PING_SECONDS:.0f} s" if isinstance(error, TimeoutError) else str(error)
        shown |= {"state": "gone", "reason": reason or type(error).__name__}
    return {**shown, "tools": [tool.name for tool in session.tools]}


def _suggestions(store: Any) -> list[str]:
    """Questions made of headings, each from another document where there are enough; telling ones first."""
    by_source: dict[str, dict[str, None]] = {}
    for document in islice(store.documents(), _PASSAGES_LOOKED_AT):
        known = document.metadata
        heading = str(known.get("heading") or "").rpartition(" > ")[2] or str(known.get("title") or "")
        heading = " ".join(heading.split()).strip("# ")
        if 4 <= len(heading) <= 60 and any(map(str.isalpha, heading)) and not _NO_HEADING.match(heading):
            by_source.setdefault(str(known.get("source")), {})[heading] = None
    chosen = [max(headings, key=lambda one: " " in one) for headings in by_source.values()]
    more = [heading for headings in by_source.values() for heading in headings]
    return [_question(heading) for heading in list(dict.fromkeys([*chosen, *more]))[:_SUGGESTED]]


def _question(heading: str) -> str:
    return heading if heading.endswith("?") else f"What about “{heading}”?"
