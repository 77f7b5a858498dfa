"""Which path is which operation."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from llama_bedrock.local.dispatch import Call, Operation, dispatcher
from llama_bedrock.local.invoke import invoke_model, invoke_model_stream
from llama_bedrock.local.schema import malformed_json
from llama_bedrock.local.state import EndpointState
from llama_bedrock.local.wire import ServiceError, invalid

_MODEL = "/model/{resource}"
_BASE = "/knowledgebases/{resource}"


def add_routes(app: web.Application, state: EndpointState) -> None:
    """Add every operation that the local endpoint serves, and an answer for all others."""

    def add(
        method: str,
        path: str,
        name: str,
        operation: Operation,
        malformed: Callable[[], ServiceError] = _serialization_error,
    ) -> None:
        app.router.add_route(method, path, dispatcher(state, name, operation, malformed))

    add("POST", f"{_MODEL}/invoke", "InvokeModel", invoke_model, malformed_json)
    stream = f"{_MODEL}/invoke-with-response-stream"
    add("POST", stream, "InvokeModelWithResponseStream", invoke_model_stream, malformed_json)
    add("POST", f"{_MODEL}/count-tokens", "CountTokens", _count_tokens)
    add("POST", f"{_BASE}/retrieve", "Retrieve", _retrieve)
    add("POST", "/retrieveAndGenerate", "RetrieveAndGenerate", _retrieve_and_generate)
    add("POST", "/retrieveAndGenerateStream", "RetrieveAndGenerateStream", _retrieve_and_generate_stream)
    add("POST", "/rerank", "Rerank", _rerank)
    add("*", "/{resource:.*}", "Unknown", _unknown)


# The knowledge base operations are imported when first called: most endpoints serve models only.


async def _retrieve(call: Call) -> web.StreamResponse:
    from llama_bedrock.local.kb_retrieve import retrieve

    return await retrieve(call)


async def _retrieve_and_generate(call: Call) -> web.StreamResponse:
    from llama_bedrock.local.kb_generate import retrieve_and_generate

    return await retrieve_and_generate(call)


async def _retrieve_and_generate_stream(call: Call) -> web.StreamResponse:
    from llama_bedrock.local.kb_generate import retrieve_and_generate_stream

    return await retrieve_and_generate_stream(call)


async def _rerank(call: Call) -> web.StreamResponse:
    from llama_bedrock.local.rerank import rerank

    return await rerank(call)


async def _count_tokens(call: Call) -> web.StreamResponse:
    raise invalid("The provided model doesn't support counting tokens.")


async def _unknown(call: Call) -> web.StreamResponse:
    raise ServiceError(
        "UnknownOperationException",
        f"The local endpoint does not serve {call.http.method} {call.http.path}: it has InvokeModel, "
        "InvokeModelWithResponseStream, Retrieve, RetrieveAndGenerate, RetrieveAndGenerateStream and Rerank.",
    )


def _serialization_error() -> ServiceError:
    """What the other services say to a body that is no JSON object."""
    return ServiceError("SerializationException", "The request body is not a JSON object.", status=400)
