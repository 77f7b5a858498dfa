"""One request on its way through an operation, and how it is answered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from llama_bedrock.local.runtime.response_writer import BodyWriter
from llama_bedrock.local.runtime.state import EndpointState

if TYPE_CHECKING:
    from aiohttp import web

    from llama_bedrock.local.faults import Fault

EVENT_STREAM = "application/vnd.amazon.eventstream"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the access key (None for a bearer key) and the region the signature is made for."""

    access_key_id: str | None = None
    region: str | None = None


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
        from aiohttp import web

        headers = {"x-amzn-RequestId": self.request_id, **(headers or {})}
        if not self.faults:
            return web.Response(status=status, body=body, content_type=content_type, headers=headers)
        from llama_bedrock.local.faults import ExceptionFrame
        from llama_bedrock.local.runtime.faulty_writer import FaultyWriter

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
        from aiohttp import web

        headers = {"x-amzn-RequestId": self.request_id, "Content-Type": EVENT_STREAM, **(headers or {})}
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(self.http)
        if not self.faults:
            return response, BodyWriter(response)
        from llama_bedrock.local.runtime.faulty_writer import FaultyWriter

        return response, FaultyWriter(self.http, response, self.faults, frames=True)


Operation: TypeAlias = "Callable[[Call], Awaitable[web.StreamResponse]]"
