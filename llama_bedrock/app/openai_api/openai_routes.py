"""The routes of OpenAI's API, and the list of models."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from llama_bedrock.app.app_state import AppState, state_of
from llama_bedrock.app.openai_api.answer_pieces import DOCUMENTS
from llama_bedrock.app.openai_api.chat_completions import chat_completions
from llama_bedrock.app.openai_api.embeddings_api import create_embeddings, embedding_model
from llama_bedrock.app.openai_api.responses_api import create_response

_OWNER = "llama-bedrock"


def openai_routes() -> list[BaseRoute]:
    """What answers below ``/v1``."""
    return [
        Route("/v1/models", _list_models),
        Route("/v1/models/{model:path}", _get_model),
        Route("/v1/chat/completions", chat_completions, methods=["POST"]),
        Route("/v1/responses", create_response, methods=["POST"]),
        Route("/v1/embeddings", create_embeddings, methods=["POST"]),
    ]


async def _list_models(request: Request) -> Response:
    state = state_of(request)
    await state.models.refresh()
    documents = [] if state.retriever is None else [DOCUMENTS]
    embedding = embedding_model(state)
    names = [*documents, *state.models.ids(), *([embedding] if embedding else ())]
    return JSONResponse({"object": "list", "data": [_model(state, name) for name in dict.fromkeys(names)]})


async def _get_model(request: Request) -> Response:
    state, name = state_of(request), request.path_params["model"]
    if name not in (DOCUMENTS, embedding_model(state)):
        state.models.get(name)  # there is none: 404
    return JSONResponse(_model(state, name))


def _model(state: AppState, name: str) -> dict[str, Any]:
    """A model as OpenAI lists it, with its name, window and end of life, which other gateways tell too."""
    model: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": _OWNER}
    info = None if name in (DOCUMENTS, embedding_model(state)) else state.models.info(name)
    if info is not None:
        model |= {"owned_by": "meta", "name": info.name, "context_window": info.max_input_tokens}
        model |= {"max_output_tokens": info.max_output_tokens}
        if info.released is not None:
            model["created"] = int(datetime.combine(info.released, time(), UTC).timestamp())
        if info.end_of_life is not None:
            model["end_of_life"] = info.end_of_life.isoformat()
    return model
