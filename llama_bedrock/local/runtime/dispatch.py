"""From an HTTP request to an operation: reads, authenticates, lets faults strike, answers errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from llama_bedrock.local.faults import (
    ErrorResponse,
    ExceptionFrame,
    Fault,
    FaultTarget,
    Hang,
    NotReady,
    Reset,
)
from llama_bedrock.local.runtime.authentication import Caller, check_origin
from llama_bedrock.local.runtime.frames import ServiceError, constraint_error, error_response
from llama_bedrock.local.runtime.response_writer import BodyEnded, BodyWriter, FaultyWriter, hang, reset
from llama_bedrock.local.runtime.state import EndpointState

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 25_000_000
BODY_SECONDS = 60.0
_SMALL_BODY = 1 << 20
EVENT_STREAM = "application/vnd.amazon.eventstream"


@dataclass(slots=True)
class Call:
    """One request on its way through an operation.

    Attributes:
        request: The HTTP request; None for a record of a batch job.
        state: What the endpoint's requests share.
        request_id: ``x-amzn-RequestId`` of the response.
        caller: Who calls, from where.
        body: The parsed JSON object.
        resource: Model id or knowledge base id of the path.
        operation: The operation's name in the API.
        faults: What strikes this request.
        started: When it arrived (`time.perf_counter`).
    """

    request: web.Request | None
    state: EndpointState
    request_id: str
    caller: Caller
    body: dict[str, Any]
    resource: str
    operation: str = ""
    faults: Sequence[Fault] = ()
    started: float = field(default_factory=time.perf_counter)

    @property
    def http(self) -> web.Request:
        """The HTTP request, for what answers one."""
        assert self.request is not None, "a record of a batch job is not answered over HTTP"
        return self.request

    @property
    def headers(self) -> Mapping[str, str]:
        """The options of the request."""
        return {} if self.request is None else self.request.headers

    def elapsed_ms(self) -> int:
        """Milliseconds since the request arrived."""
        return round((time.perf_counter() - self.started) * 1000)

    async def respond(
        self,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        status: int = 200,
        content_type: str = "application/json",
    ) -> web.StreamResponse:
        """Send a whole body."""
        headers = {"x-amzn-RequestId": self.request_id, **(headers or {})}
        if not self.faults:
            return web.Response(status=status, body=body, content_type=content_type, headers=headers)
        for fault in self.faults:
            if isinstance(fault, ExceptionFrame):
                raise fault.error()
        response = web.StreamResponse(status=status, headers={**headers, "Content-Type": content_type})
        response.content_length = len(body)
        await response.prepare(self.http)
        writer = FaultyWriter(self.http, response, self.faults, frames=False)
        await writer.write(body)
        await writer.finish()
        return response

    async def open_stream(
        self, headers: dict[str, str] | None = None
    ) -> tuple[web.StreamResponse, BodyWriter]:
        """Send the headers of an event stream; the writer takes the frames."""
        headers = {"x-amzn-RequestId": self.request_id, "Content-Type": EVENT_STREAM, **(headers or {})}
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(self.http)
        if not self.faults:
            return response, BodyWriter(response)
        return response, FaultyWriter(self.http, response, self.faults, frames=True)


Operation = Callable[[Call], Awaitable[web.StreamResponse]]
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
            response = error_response(error, request_id, request)
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
            response = error_response(ServiceError("InternalServerException"), request_id, request)
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


class _Gone(web.Response):
    """Stands for the response of a connection that is closed: there is nothing to send any more."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None
