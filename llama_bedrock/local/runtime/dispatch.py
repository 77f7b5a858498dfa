"""From an HTTP request to an operation: reads, authenticates, lets faults strike, answers errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from xml.sax.saxutils import escape

from aiohttp import web

from llama_bedrock.local.faults import (
    ErrorResponse,
    Fault,
    FaultTarget,
    Hang,
    NotReady,
    Reset,
)
from llama_bedrock.local.runtime.authentication import check_origin
from llama_bedrock.local.runtime.faulty_writer import hang, reset
from llama_bedrock.local.runtime.frames import ServiceError, constraint_error, error_members
from llama_bedrock.local.runtime.response_writer import BodyEnded
from llama_bedrock.local.runtime.served_call import Call, Operation
from llama_bedrock.local.runtime.state import EndpointState

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 25_000_000
BODY_SECONDS = 60.0
_SMALL_BODY = 1 << 20
Decoder = Callable[[EndpointState, web.Request, bytes], Awaitable[tuple[FaultTarget, Operation]]]


def json_decoder(name: str, operation: Operation, malformed: Callable[[], ServiceError]) -> Decoder:
    """Reads the requests of one operation whose body is a JSON object.

    Args:
        name: The operation's name in the API.
        operation: Serves it.
        malformed: The error for a body that is no JSON object.
    """

    async def decode(state: EndpointState, request: web.Request, raw: bytes) -> tuple[FaultTarget, Operation]:
        try:
            body = json.loads(raw) if raw else {}
        except (ValueError, RecursionError):  # no JSON, or nested too deep to be read
            raise malformed() from None
        if not isinstance(body, dict):
            raise malformed()
        return FaultTarget(name, request.match_info.get("resource", ""), body), operation

    return decode


def dispatcher(
    state: EndpointState, decode: Decoder
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of a path.

    Args:
        state: What the endpoint's requests share.
        decode: Reads a request: what it asks, and what serves it.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        request_id = str(uuid.uuid4())
        stats = state.stats
        stats.enter()
        try:
            response = await _serve(state, decode, request, request_id)
        except ServiceError as error:
            stats.errors += 1
            response = _error_response(error, request_id, request)
        except BodyEnded as end:
            stats.errors += 1
            response = end.response or _Gone()
        except ConnectionError:
            stats.cancelled += 1
            return _Gone()
        except asyncio.CancelledError:
            stats.cancelled += 1
            raise
        except Exception:
            logger.exception("the local endpoint failed in %s %s", request.method, request.path)
            stats.errors += 1
            response = _error_response(ServiceError("InternalServerException"), request_id, request)
        finally:
            stats.active -= 1
        stats.completed += 1
        return response

    return handle


async def _serve(
    state: EndpointState,
    decode: Decoder,
    request: web.Request,
    request_id: str,
) -> web.StreamResponse:
    state.silent.discard(request.protocol)
    check_origin(request, state.allowed_hosts)
    state.authenticator.check_claim(request)
    raw = await _read(request, state)
    caller = state.authenticator.check(request, raw)
    target, operation = await decode(state, request, raw)
    faults = state.faults.strike(target)
    await _before_response(faults, request)
    body = dict(target.body)
    call = Call(request, state, request_id, caller, body, target.resource, target.operation, faults)
    try:
        return await operation(call)
    except ServiceError as error:
        state.plane.log.add(call, error=error.code)
        raise


async def _read(request: web.Request, state: EndpointState) -> bytes:
    """The body. Few large ones are read at a time: a signature can only be checked over the whole of it."""
    is_small = request.content_length is not None and request.content_length <= _SMALL_BODY
    try:
        async with (
            asyncio.timeout(BODY_SECONDS),
            contextlib.nullcontext() if is_small else state.large_bodies,
        ):
            return await request.read()
    except TimeoutError:
        raise ServiceError(
            "RequestTimeoutException", "The request body did not arrive in time.", status=408
        ) from None
    except web.HTTPRequestEntityTooLarge:
        raise constraint_error(
            "body", "", f"Member must have length less than or equal to {MAX_BODY_BYTES}"
        ) from None


async def _before_response(faults: Sequence[Fault], request: web.Request) -> None:
    for fault in faults:
        if isinstance(fault, Hang) and fault.after_bytes is None:
            await hang(fault)
        elif isinstance(fault, Reset) and fault.after_bytes is None:
            reset(request)
            raise BodyEnded(None)
        elif isinstance(fault, ErrorResponse):
            raise fault.error()
        elif isinstance(fault, NotReady):
            raise ServiceError("ModelNotReadyException")


def _error_response(error: ServiceError, request_id: str, request: web.BaseRequest) -> web.Response:
    """The HTTP response of an error before the stream, in the protocol of the request."""
    if "/sts/aws4_request" in request.headers.get("Authorization", ""):
        return _query_error(error, request_id)
    headers, members = error_members(error, request_id)
    if "X-Amz-Target" in request.headers:
        members["__type"] = error.code
    body = json.dumps(members).encode()
    return web.Response(status=error.status, body=body, content_type="application/json", headers=headers)


# What the query protocol of STS calls the errors of authentication.
_QUERY_CODES = {
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "UnrecognizedClientException": "InvalidClientTokenId",
}


def _query_error(error: ServiceError, request_id: str) -> web.Response:
    code = _QUERY_CODES.get(error.code, error.code.removesuffix("Exception"))
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(error.message)}</Message>"
        f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    headers = {"x-amzn-RequestId": request_id, **error.headers}
    return web.Response(status=error.status, text=body, content_type="text/xml", headers=headers)


class _Gone(web.Response):
    """Stands for the response of a connection that is closed: there is nothing to send any more."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None
