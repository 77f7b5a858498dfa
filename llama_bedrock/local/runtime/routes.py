"""Which path is which operation."""

from __future__ import annotations

from importlib import import_module

from aiohttp import web

from llama_bedrock.local.control_plane.plane import decode_request
from llama_bedrock.local.runtime.body_validation import malformed_json
from llama_bedrock.local.runtime.dispatch import dispatcher, json_decoder
from llama_bedrock.local.runtime.frames import ServiceError, invalid
from llama_bedrock.local.runtime.invoke_model import invoke_model, invoke_model_stream
from llama_bedrock.local.runtime.served_call import Call, Operation
from llama_bedrock.local.runtime.state import EndpointState

_MODEL = "/model/{resource}"
_BASE = "/knowledgebases/{resource}"
_SOURCE = f"{_BASE}/datasources/{{source}}"
_DOCUMENTS = f"{_SOURCE}/documents"
_GENERATE, _INGEST = "retrieve_and_generate", "ingest_operations"

# Method, path, name in the API, module and function. These modules are imported by their first call: most
# endpoints serve models only.
_KNOWLEDGE_BASE_OPERATIONS = (
    ("POST", f"{_BASE}/retrieve", "Retrieve", "retrieve", "retrieve"),
    ("POST", "/retrieveAndGenerate", "RetrieveAndGenerate", _GENERATE, _GENERATE),
    ("POST", "/retrieveAndGenerateStream", "RetrieveAndGenerateStream", _GENERATE, f"{_GENERATE}_stream"),
    ("POST", "/rerank", "Rerank", "rerank_operation", "rerank"),
    ("PUT", _DOCUMENTS, "IngestKnowledgeBaseDocuments", _INGEST, "ingest"),
    ("POST", f"{_DOCUMENTS}/getDocuments", "GetKnowledgeBaseDocuments", _INGEST, "get_documents"),
    ("POST", f"{_DOCUMENTS}/deleteDocuments", "DeleteKnowledgeBaseDocuments", _INGEST, "delete_documents"),
    ("PUT", f"{_SOURCE}/ingestionjobs/", "StartIngestionJob", _INGEST, "start_job"),
    ("GET", f"{_SOURCE}/ingestionjobs/{{job}}", "GetIngestionJob", _INGEST, "get_job"),
)


def add_routes(app: web.Application, state: EndpointState) -> None:
    """Add every operation that the local endpoint serves, and an answer for all others."""
    for path, name, operation in (
        (f"{_MODEL}/invoke", "InvokeModel", invoke_model),
        (f"{_MODEL}/invoke-with-response-stream", "InvokeModelWithResponseStream", invoke_model_stream),
        (f"{_MODEL}/converse", "Converse", _imported("runtime.converse", "converse")),
        (f"{_MODEL}/converse-stream", "ConverseStream", _imported("runtime.converse", "converse_stream")),
        (f"{_MODEL}/count-tokens", "CountTokens", _count_tokens),
    ):
        app.router.add_route("POST", path, dispatcher(state, json_decoder(name, operation, malformed_json)))
    apply_guardrail = _imported("runtime.apply_guardrail", "apply_guardrail")
    guard = json_decoder("ApplyGuardrail", apply_guardrail, _serialization_error)
    path = "/guardrail/{resource}/version/{version}/apply"
    app.router.add_route("POST", path, dispatcher(state, guard))
    for method, path, name, module, function in _KNOWLEDGE_BASE_OPERATIONS:
        operation = _imported(f"knowledge_base.{module}", function)
        decode = json_decoder(name, operation, _serialization_error)
        app.router.add_route(method, path, dispatcher(state, decode))
    app.router.add_route("*", "/{path:.*}", dispatcher(state, decode_request))


def _imported(module: str, function: str) -> Operation:
    async def serve(call: Call) -> web.StreamResponse:
        operation: Operation = getattr(import_module(f"llama_bedrock.local.{module}"), function)
        return await operation(call)

    return serve


async def _count_tokens(call: Call) -> web.StreamResponse:
    raise invalid("The provided model doesn't support counting tokens.")


def _serialization_error() -> ServiceError:
    """What the other services say to a body that is no JSON object."""
    return ServiceError("SerializationException", "The request body is not a JSON object.", status=400)
