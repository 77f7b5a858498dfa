"""Which path is which operation."""

from __future__ import annotations

from aiohttp import web

from llama_bedrock.local.dispatch import Call, dispatcher
from llama_bedrock.local.invoke import invoke_model, invoke_model_stream
from llama_bedrock.local.schema import malformed_json
from llama_bedrock.local.state import EndpointState
from llama_bedrock.local.wire import ServiceError, invalid


def add_routes(app: web.Application, state: EndpointState) -> None:
    """Add every operation that the local endpoint serves, and an answer for all others."""
    model = "/model/{resource}"
    for name, path, operation in (
        ("InvokeModel", f"{model}/invoke", invoke_model),
        ("InvokeModelWithResponseStream", f"{model}/invoke-with-response-stream", invoke_model_stream),
        ("CountTokens", f"{model}/count-tokens", _count_tokens),
    ):
        app.router.add_post(path, dispatcher(state, name, operation, malformed_json))
    app.router.add_route("*", "/{resource:.*}", dispatcher(state, "Unknown", _unknown, malformed_json))


async def _count_tokens(call: Call) -> web.StreamResponse:
    raise invalid("The provided model doesn't support counting tokens.")


async def _unknown(call: Call) -> web.StreamResponse:
    raise ServiceError(
        "UnknownOperationException",
        f"The local endpoint does not serve {call.http.method} {call.http.path}: it has InvokeModel, "
        "InvokeModelWithResponseStream, Retrieve, RetrieveAndGenerate, RetrieveAndGenerateStream and Rerank.",
    )
