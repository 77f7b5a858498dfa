"""Conversations: listed, read, exported, forgotten."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from llama_bedrock.app.conversations.tool_approval import call_text
from llama_bedrock.app.conversations.transcript import transcript
from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.app.page.page_threads import PageThreads, message_json
from llama_bedrock.app.page.request_fields import text_field


class ThreadRoutes:
    """Routes under ``/api/thread``.

    Args:
        threads: The conversations.
    """

    def __init__(self, threads: PageThreads) -> None:
        self._threads = threads

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/threads", self._list),
            Route("/api/thread", self._read),
            Route("/api/thread", self._forget, methods=["DELETE"]),
            Route("/api/export", self._export),
            Route("/api/prompt", self._prompt),
        ]

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"threads": await self._threads.listed()})

    async def _read(self, request: Request) -> Response:
        name = text_field(request.query_params, "name")
        thread = self._threads.open(name)
        running = not await self._threads.settled(name, thread)
        messages = [message_json(message) for message in await thread.messages()]
        asked = [] if running else await thread.questions()
        return JSONResponse(
            {
                "name": name,
                "running": running,
                "messages": messages,
                "approval": approval_json([question.value for question in asked]),
            }
        )

    async def _forget(self, request: Request) -> Response:
        name = text_field(request.query_params, "name")
        async with self._threads.answering(name):
            await self._threads.open(name).clear()
        return Response(status_code=204)

    async def _export(self, request: Request) -> Response:
        name = text_field(request.query_params, "name")
        form = request.query_params.get("as", "markdown")
        if form not in ("markdown", "json"):
            raise ApiError(400, "as must be markdown or json", param="as", code="invalid_request")
        text = transcript(await self._threads.open(name).messages(), as_json=form == "json")
        suffix, kind = (".md", "text/markdown") if form == "markdown" else (".json", "application/json")
        file = quote(f"{name}{suffix}", safe="")
        return Response(
            text,
            media_type=kind,
            headers={"content-disposition": f"attachment; filename*=UTF-8''{file}"},
        )

    async def _prompt(self, request: Request) -> Response:
        known = self._threads.prompts.get(text_field(request.query_params, "message"))
        if known is None:
            raise ApiError(
                404,
                "the prompt of this answer is no longer in memory: ask again to see it",
                code="prompt_forgotten",
            )
        return JSONResponse({"model": known[0], "prompt": known[1]})


def approval_json(questions: list[Any]) -> list[dict[str, Any]]:
    """The calls that wait for a person's decision, exactly as they will run."""
    return [
        {
            "name": action["name"],
            "arguments": json.loads(json.dumps(action["args"], default=str)),
            "text": call_text(action["name"], action["args"]),
        }
        for question in questions
        for action in question["action_requests"]
    ]
