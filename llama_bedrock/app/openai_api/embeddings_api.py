"""``POST /v1/embeddings``: the embeddings of the documents' index, else Titan."""

from __future__ import annotations

import base64
from array import array
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llama_bedrock.app.app_state import AppState, state_of
from llama_bedrock.app.event_stream import while_connected
from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.app.openai_api.chat_request import read_json
from llama_bedrock.chat_model import ChatLlamaBedrock
from llama_bedrock.usage import estimate_tokens

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

_TITAN = "amazon.titan-embed-text-v2:0"
OF_DOCUMENTS = "documents-embeddings"
"""Name of embeddings that are no model of Bedrock, such as those fitted on the documents."""

_MOST_TEXTS = 2048  # as OpenAI


def embedding_model(state: AppState) -> str | None:
    """The name of the embeddings; None while there are none."""
    embeddings = _given(state)
    if embeddings is None:
        return _TITAN if _has_titan(state) else None
    inner = getattr(embeddings, "_embeddings", embeddings)  # of what bounds the calls in flight
    name = getattr(inner, "model_id", None)
    return name if isinstance(name, str) and name.startswith("amazon.") else OF_DOCUMENTS


def _given(state: AppState) -> Embeddings | None:
    """The application's own embeddings, else those of its documents, which may change with them."""
    store = state.documents.store if state.documents else getattr(state.retriever, "store", None)
    return state.embeddings or getattr(store, "embeddings", None)


def _has_titan(state: AppState) -> bool:
    on_bedrock = isinstance(state.models.get(), ChatLlamaBedrock)
    return on_bedrock and state.documents is None and find_spec("langchain_aws") is not None


def _embeddings(state: AppState) -> Embeddings | None:
    if (given := _given(state)) is not None or not _has_titan(state):
        return given
    from llama_bedrock.retrievers.embeddings.default_embeddings import titan_embeddings

    model: Any = state.models.get()
    state.embeddings = titan_embeddings(region_name=model.region_name, endpoint_url=model.endpoint_url)
    return state.embeddings


async def create_embeddings(request: Request) -> Response:
    """Embed texts: as numbers, or as base64 of 32-bit floats, which OpenAI's Python client asks for."""
    state, body = state_of(request), await read_json(request)
    texts = _texts(body.get("input"))
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise ApiError(
            400, "`encoding_format` is float or base64", code="invalid_request", param="encoding_format"
        )
    embeddings, name = _embeddings(state), embedding_model(state)
    if embeddings is None:
        raise ApiError(
            404,
            "there are no embeddings: start the server on documents, or give create_app(embeddings=…)",
            code="model_not_found",
            param="model",
        )
    if body.get("model") not in (None, name):
        raise ApiError(
            404,
            f"there is no {body['model']!r}; texts are embedded by {name!r}",
            code="model_not_found",
            param="model",
        )
    vectors = await while_connected(request, embeddings.aembed_documents(texts))
    size = len(vectors[0])
    if body.get("dimensions") not in (None, size):
        raise ApiError(400, f"{name} makes {size} dimensions", code="invalid_request", param="dimensions")
    data = [
        {"object": "embedding", "index": number, "embedding": _written(vector, encoding)}
        for number, vector in enumerate(vectors)
    ]
    tokens = sum(map(estimate_tokens, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": name, "usage": usage})


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise ApiError(
            400,
            "`input` must be a text or a list of texts, none of them empty; tokens of OpenAI's tokenizer "
            "mean nothing here (LangChain: check_embedding_ctx_length=False)",
            code="invalid_request",
            param="input",
        )
    if len(texts) > _MOST_TEXTS:
        raise ApiError(400, f"at most {_MOST_TEXTS} texts at a time", code="invalid_request", param="input")
    return texts


def _written(vector: list[float], encoding: str) -> Any:
    if encoding == "float":
        return [float(value) for value in vector]
    floats = array("f", vector)
    if array("H", [1]).tobytes() != b"\1\0":  # little-endian, whatever this machine is
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()
