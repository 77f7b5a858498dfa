"""The local endpoint's InvokeModel without a server: requests are handed over in this process, not sent.

What is asked and answered is the same, byte for byte: the body that would be signed, the frames that would
come back. Left out are the socket, the signature and what they need (aiohttp, boto3), which take a command
longer to import than its answer takes.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

from llama_bedrock.local.engines.interface import Engine
from llama_bedrock.local.runtime.frames import ServiceError, error_members
from llama_bedrock.local.runtime.invoke_model import invoke_model, invoke_model_stream
from llama_bedrock.local.runtime.pace import Ticker
from llama_bedrock.local.runtime.response_writer import BodyEnded, BodyWriter
from llama_bedrock.local.runtime.served_call import Call, Caller
from llama_bedrock.local.runtime.served_models import ModelTarget, find_model
from llama_bedrock.local.runtime.state import EndpointState
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.exchange import Exchange, HttpForm, Outgoing, OwnClient, Way
from llama_bedrock.transport.retry import RetryPolicy

_OPERATIONS = {
    "invoke": ("InvokeModel", invoke_model),
    "invoke-with-response-stream": ("InvokeModelWithResponseStream", invoke_model_stream),
}


class InProcessClient(OwnClient):
    """Answers the calls of a chat model that has it as ``client=``, in place of a boto3 client.

    An answer is complete before its first piece is read, so this is for engines that do not wait.

    Args:
        engine: Writes the answers.
        region: The region that it stands for.
    """

    def __init__(self, engine: Engine, region: str) -> None:
        self.meta = SimpleNamespace(region_name=region, endpoint_url="http://localhost")
        self._engine = engine
        self._plane = _NoPlane()

    def way(self, settings: TransportSettings, timeout: Timeout, *, in_loop: bool) -> Way:
        return _InProcessWay(self, settings, timeout, in_loop)

    async def answer(self, form: HttpForm) -> tuple[int, dict[str, str], bytes]:
        """Serve one request: status, headers and body of the response."""
        _, path, headers, body = form
        _, _, resource, action = path.split("/", 3)
        name, operation = _OPERATIONS[action]
        request_id = str(uuid.uuid4())
        caller = Caller("local", self.meta.region_name)
        with ThreadPoolExecutor(1) as executor:
            state = EndpointState(self._engine, executor, Ticker(), self._plane)
            call = _InProcessCall(
                None, state, request_id, caller, json.loads(body), unquote(resource), name, options=headers
            )
            try:
                await operation(call)
            except BodyEnded:  # after an exception frame
                pass
            except ServiceError as error:
                sent, members = error_members(error, request_id)
                return error.status, _lowered(sent), json.dumps(members).encode()
        return 200, call.sent, b"".join(call.written)


class _NoPlane:
    """The control plane of an account where nothing was made: every model may be called, nothing is logged.

    The real one takes longer to import than an answer takes.
    """

    def __init__(self) -> None:
        self.log = self

    def find_served(self, model_id: str, region: str | None) -> ModelTarget:
        """The model of the catalog that a path names."""
        return find_model(model_id, region)

    def is_on(self, call: Call) -> bool:
        return False

    def add(self, call: Call, output: Any = None, **_: Any) -> None:
        return None


@dataclass(slots=True)
class _InProcessCall(Call):
    """A call whose answer is kept: its headers, and its body in pieces."""

    options: Mapping[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    written: list[bytes] = field(default_factory=list)

    @property
    def headers(self) -> Mapping[str, str]:
        return self.options

    async def respond(self, body: bytes, headers: dict[str, str] | None = None, **_: Any) -> Any:
        await self.open_stream(headers)
        self.written.append(body)

    async def open_stream(self, headers: dict[str, str] | None = None) -> tuple[Any, BodyWriter]:
        self.sent = _lowered({"x-amzn-RequestId": self.request_id, **(headers or {})})
        return None, _Keeper(self.written)


class _Keeper(BodyWriter):
    """A body that is kept."""

    def __init__(self, written: list[bytes]) -> None:
        self._written = written

    async def write(self, frame: bytes) -> None:
        self._written.append(frame)

    async def finish(self) -> None:
        return None


class _InProcessWay(Way):
    def __init__(
        self, client: InProcessClient, settings: TransportSettings, timeout: Timeout, in_loop: bool
    ) -> None:
        self.client = client
        self.region, self.endpoint_url = client.meta.region_name, client.meta.endpoint_url
        self.policy = RetryPolicy(0, settings.model_ready_timeout, 0.0)
        self._in_loop = in_loop
        self._rest = (settings, timeout)

    def form(self, outgoing: Outgoing) -> HttpForm:
        return outgoing.as_http()

    def exchange(self, context: CallContext, ends_at: float | None) -> Exchange:
        return _InProcessExchange(self.client, self._in_loop, context, *self._rest, ends_at)


class _InProcessExchange(Exchange):
    def __init__(self, client: InProcessClient, in_loop: bool, *rest: Any) -> None:
        super().__init__(*rest)
        self._client = client
        self._in_loop = in_loop
        self._body = b""

    async def send(self, form: Any) -> None:
        self.status, self.headers, body = await self._answer(form)
        if self.status >= 300:
            raise self.context.from_http(self.status, self.headers, body)
        self._body = self._count(body)

    async def _answer(self, form: Any) -> tuple[int, dict[str, str], bytes]:
        answer = self._client.answer(form)
        if self._in_loop:
            return await answer
        with ThreadPoolExecutor(1) as executor:  # a loop may run in the thread that calls
            return executor.submit(asyncio.run, answer).result()

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        self._body = b""


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
