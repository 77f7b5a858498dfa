"""`create_app`: the whole application from a model and a retriever."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from llama_bedrock.app.app_state import AppLimits, AppState, state_of
from llama_bedrock.app.event_stream import CLIENT_GONE
from llama_bedrock.app.folder_index import FolderIndex
from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.app.mcp_server import McpOverHttp, create_mcp_server
from llama_bedrock.app.model_directory import ModelDirectory
from llama_bedrock.app.openai_api.openai_routes import openai_routes
from llama_bedrock.app.perimeter import Perimeter
from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.chat_model import ChatLlamaBedrock
from llama_bedrock.routing.routed_chat_model import RoutedChatModel

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from llama_bedrock.agents.mcp import McpSession
    from llama_bedrock.grounding import Verifier

KEY_VARIABLE = "LLAMA_BEDROCK_KEY"


@refuses_wrong_kinds
def create_app(
    model: BaseChatModel | ModelDirectory,
    *,
    retriever: Runnable[str, list[Document]] | FolderIndex | None = None,
    verifier: Verifier | None = None,
    tools: Sequence[BaseTool] = (),
    mcp_sessions: Sequence[McpSession] = (),
    checkpointer: BaseCheckpointSaver[str] | None = None,
    embeddings: Embeddings | None = None,
    key: str | None = None,
    require_key: bool = True,
    allow_hosts: Collection[str] = (),
    limits: AppLimits | None = None,
    page: bool = True,
) -> Starlette:
    """Make the application: the page, OpenAI's API under ``/v1``, the MCP server under ``/mcp``.

    Run it with uvicorn, or mount it in an application of your own, whose lifespan must then run this one's:
    ``async with app.router.lifespan_context(app): …``.

    Args:
        model: What answers where a request names no model; a `ModelDirectory` to name others.
        retriever: From a question to documents, for answers with citations; None where there are none.
        verifier: Judges the citations; None for `WordVerifier`.
        tools: Tools that the page's agent may call, after approval where they may write.
        mcp_sessions: Open sessions with MCP servers, whose tools are offered, too.
        checkpointer: Where the page's conversations are kept; None to keep none.
        embeddings: For ``/v1/embeddings``; None for those of the retriever's store, else Titan.
        key: What every request must show; None for that of ``LLAMA_BEDROCK_KEY``, else a random one, which
            ``app.state.llama.key`` tells.
        require_key: False where whatever stands before the application decides who may call.
        allow_hosts: Host names by which it may be called besides loopback's; ``"*"`` for any, where a
            server before it checks the name.
        limits: Bounds of what a request may send.
        page: False for the programs' interfaces only.

    Raises:
        ImportError: The extra ``ui`` is not installed.
        ValueError: The key is shorter than eight characters.
    """
    folders = retriever if isinstance(retriever, FolderIndex) else None
    searched = retriever.retriever if isinstance(retriever, FolderIndex) else retriever
    state = AppState(
        models=model if isinstance(model, ModelDirectory) else ModelDirectory(model),
        retriever=searched,
        documents=folders,
        verifier=verifier,
        tools=(*tools, *(tool for session in mcp_sessions for tool in session.tools)),
        mcp_sessions=tuple(mcp_sessions),
        checkpointer=checkpointer,
        embeddings=embeddings,
        limits=limits or AppLimits(),
        key=_key(key) if require_key else None,
        allow_hosts=frozenset(name.lower() for name in allow_hosts),
    )
    has_mcp = state.retriever is not None and find_spec("mcp") is not None
    mcp = McpOverHttp(create_mcp_server(state)) if has_mcp else None
    app = Starlette(
        routes=[*_routes(mcp), *(_page_routes(state) if page else ())],
        middleware=[Middleware(Perimeter, state=state)],
        exception_handlers={HTTPException: _http_error},
        lifespan=_lifespan,
    )
    app.state.llama = state
    app.state.mcp = mcp
    return app


def _key(given: str | None) -> str:
    key = given or os.environ.get(KEY_VARIABLE) or secrets.token_urlsafe(24)
    if len(key) < 8:
        raise ValueError(
            f"the key is too short to be one: give at least 8 characters, in {KEY_VARIABLE} or key=…"
        )
    return key


def _routes(mcp: McpOverHttp | None) -> list[BaseRoute]:
    # GET would open a stream on which a server without sessions never says anything.
    over_http = [Route("/mcp", mcp, methods=["POST"])] if mcp is not None else []
    return [Route("/healthz", _healthy), Route("/readyz", _ready), *openai_routes(), *over_http]


def _page_routes(state: AppState) -> list[BaseRoute]:
    if find_spec("llama_bedrock.app.page") is None:
        return []
    from importlib import import_module

    routes: list[BaseRoute] = import_module("llama_bedrock.app.page").page_routes(state)
    return routes


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    state: AppState = app.state.llama
    state.stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        if app.state.mcp is not None:
            await stack.enter_async_context(app.state.mcp.run())
        indexing = asyncio.create_task(state.documents.refresh()) if state.documents else None
        try:
            yield
        finally:
            state.stopping.set()
            if indexing is not None:
                indexing.cancel()
            for close in state.at_end:
                await close()
            model: Any = state.models.get()
            if isinstance(model, ChatLlamaBedrock | RoutedChatModel):
                await model.aclose()


async def _healthy(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def _ready(request: Request) -> Response:
    """It can take work: documents, where there are some, are indexed, and it was not told to stop."""
    state = state_of(request)
    waiting = state.documents is not None and state.documents.store is None
    ready = not waiting and not state.stopping.is_set()
    return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


async def _http_error(request: Request, error: Exception) -> Response:
    """Errors of the router, in the form of all others."""
    assert isinstance(error, HTTPException)
    if error.status_code == CLIENT_GONE:
        raise error
    message = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.method} is not possible at {request.url.path}",
    }.get(error.status_code, error.detail)
    told = ApiError(error.status_code, message, code={404: "not_found"}.get(error.status_code))
    return JSONResponse(told.body(), error.status_code, headers=error.headers)
