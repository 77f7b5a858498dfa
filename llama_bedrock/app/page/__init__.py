"""The page, and the routes under ``/api`` by which it does all that it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from llama_bedrock.app.page.answer_routes import AnswerRoutes
from llama_bedrock.app.page.document_routes import DocumentRoutes
from llama_bedrock.app.page.page_threads import PageThreads
from llama_bedrock.app.page.static_files import page, static_file
from llama_bedrock.app.page.status_routes import StatusRoutes
from llama_bedrock.app.page.thread_routes import ThreadRoutes
from llama_bedrock.app.page.verifier_choice import VerifierChoice

if TYPE_CHECKING:
    from llama_bedrock.app.app_state import AppState


def page_routes(state: AppState) -> list[BaseRoute]:
    """The routes of the page; docs/ui.md documents each under ``/api``."""
    threads, verifiers = PageThreads(state), VerifierChoice(state)
    state.at_end.append(threads.aclose)
    return [
        Route("/", page),
        Route("/favicon.ico", _no_icon),
        Route("/static/{name:path}", static_file),
        *StatusRoutes(state, threads, verifiers).routes(),
        *ThreadRoutes(threads).routes(),
        *AnswerRoutes(state, threads, verifiers).routes(),
        *DocumentRoutes(state).routes(),
    ]


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)
