"""Which operation of which AWS service a request is, its parameters and answer, by botocore's own models.

Three protocols: ``bedrock`` is REST with JSON, ``service-quotas`` is JSON with the operation in a header,
``sts`` is a form with an answer in XML. An operation that the endpoint serves is a function with its name (as
boto3 has it) in one of the modules of its service, or one of `plain_operations`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from llama_bedrock.local.control_plane.plain_operations import plain_handler
from llama_bedrock.local.control_plane.shapes import check_input, read_text, write_value
from llama_bedrock.local.runtime.frames import ServiceError

if TYPE_CHECKING:
    from aiohttp import web

    from llama_bedrock.local.control_plane.plane import PlaneRequest

Answer = Mapping[str, Any] | None
Handler = Callable[["PlaneRequest"], Answer | Awaitable[Answer]]

_SERVICES: Mapping[str, tuple[str, ...]] = {
    "bedrock": (
        "foundation_models",
        "inference_profiles",
        "model_imports",
        "model_customization",
        "custom_models",
        "model_deployments",
        "provisioned_throughput",
        "invocation_jobs",
        "invocation_logging",
        "resource_tags",
    ),
    "service-quotas": ("service_quotas",),
    "sts": ("caller_identity",),
}


@dataclass(frozen=True, slots=True)
class PlaneOperation:
    """One operation of a service, as botocore describes it.

    Attributes:
        service: boto3's name of the service.
        name: The operation's name in the API.
        model: botocore's model of it.
        path: Matches the path, with a group for each label.
        handler: Serves it; None if the endpoint does not.
    """

    service: str
    name: str
    model: Any
    path: re.Pattern[str]
    handler: Handler | None

    @property
    def protocol(self) -> str:
        """``"rest-json"``, ``"json"`` or ``"query"``."""
        return str(self.model.service_model.resolved_protocol)

    def allows(self, code: str) -> bool:
        """True if the operation has this error in its model."""
        return code in (shape.name for shape in self.model.error_shapes)

    def answer(self, value: Answer, request_id: str) -> tuple[int, str, bytes]:
        """Status, content type and body of an answer."""
        shape = self.model.output_shape
        written = write_value(shape, dict(value or {}), unix_time=self.protocol == "json") if shape else {}
        if self.protocol == "query":
            return 200, "text/xml", _result_document(self, written, request_id)
        content_type = "application/x-amz-json-1.1" if self.protocol == "json" else "application/json"
        return int(self.model.http.get("responseCode", 200)), content_type, json.dumps(written).encode()


def _result_document(operation: PlaneOperation, members: Mapping[str, Any], request_id: str) -> bytes:
    """The XML of a flat result."""
    name, space = operation.name, operation.model.service_model.metadata["xmlNamespace"]
    inner = "".join(f"<{key}>{escape(str(value))}</{key}>" for key, value in members.items())
    return (
        f'<{name}Response xmlns="{space}"><{name}Result>{inner}</{name}Result>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
    ).encode()


@cache
def operations() -> dict[str, list[PlaneOperation]]:
    """Every operation of every service by service; takes half a second, once."""
    from botocore import xform_name
    from botocore.session import Session

    session = Session()
    found: dict[str, list[PlaneOperation]] = {}
    for service, modules in _SERVICES.items():
        model = session.get_service_model(service)
        loaded = [import_module(f"llama_bedrock.local.control_plane.{name}") for name in modules]
        found[service] = []
        for name in model.operation_names:
            one = model.operation_model(name)
            handlers = [h for module in loaded if (h := getattr(module, xform_name(name), None)) is not None]
            parts = re.split(r"(\{[^}]+\})", one.http["requestUri"].partition("?")[0])
            path = "".join(f"(?P<{p[1:-1]}>[^/]*)" if p.startswith("{") else re.escape(p) for p in parts)
            handler = handlers[0] if handlers else plain_handler(name)
            found[service].append(PlaneOperation(service, name, one, re.compile(path), handler))
    return found


def read_request(request: web.BaseRequest, raw: bytes) -> tuple[PlaneOperation, dict[str, Any]]:
    """The operation of a request and its parameters, checked.

    Raises:
        ServiceError: ``UnknownOperationException``, ``SerializationException`` or ``ValidationException``.
    """
    operation, labels, form = _find(request, raw)
    if operation is None or operation.handler is None:
        raise _unknown(request, operation)
    shape = operation.model.input_shape
    if shape is None:
        return operation, {}
    body = dict(form) if form is not None else _read_json(raw)
    query = dict(parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True))
    params: dict[str, Any] = {}
    for name, member in shape.members.items():
        key = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri":
                text = labels.get(key)
            case "querystring":
                text = query.get(key)
            case "header":
                text = request.headers.get(key)
            case _:
                if body.get(key) is not None:
                    params[name] = body[key]
                continue
        if text is not None:
            params[name] = read_text(member, text, name)
    check_input(shape, params)
    return operation, params


def _find(
    request: web.BaseRequest, raw: bytes
) -> tuple[PlaneOperation | None, dict[str, str], dict[str, str] | None]:
    path = request.raw_path.partition("?")[0]
    target = request.headers.get("X-Amz-Target", "")
    if target:
        name = target.rpartition(".")[2]
        return next((o for o in operations()["service-quotas"] if o.name == name), None), {}, None
    if path == "/":
        form = dict(parse_qsl(raw.decode("utf-8", "replace")))
        return next((o for o in operations()["sts"] if o.name == form.get("Action")), None), {}, form
    for operation in operations()["bedrock"]:
        if operation.model.http["method"] == request.method and (match := operation.path.fullmatch(path)):
            return operation, {key: unquote(value) for key, value in match.groupdict().items()}, None
    return None, {}, None


def _read_json(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise ServiceError("SerializationException", "The request body is not a JSON object.", status=400)
    return body


def _unknown(request: web.BaseRequest, operation: PlaneOperation | None) -> ServiceError:
    what = f"{request.method} {request.path}" if operation is None else operation.name
    return ServiceError(
        "UnknownOperationException",
        f"The local endpoint does not serve {what}: see docs/local-endpoint.md for what it has.",
    )
