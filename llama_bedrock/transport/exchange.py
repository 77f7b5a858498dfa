"""What the ways to send a request have in common: one exchange, and the two forms of a request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.error_mapping import CallContext

if TYPE_CHECKING:
    from llama_bedrock.transport.json_operations import JsonOperation
    from llama_bedrock.transport.retry import RetryPolicy

MAX_ERROR_BYTES = 1_000_000
"""What is read of the body of an error: AWS's are short."""

# Method, path with query, headers without those of authentication, body.
HttpForm: TypeAlias = tuple[str, str, dict[str, str], bytes]
# Name of a method of a boto3 client, its arguments, and the member of its answer that is a stream.
BotoForm: TypeAlias = tuple[str, Mapping[str, Any], str | None]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request in the two forms that it may be sent in; each is made when it is needed.

    `ends_by` is the monotonic time by which the call must be over, if it is part of another.
    """

    operation: str
    model_id: str | None
    as_http: Callable[[], HttpForm]
    as_boto: Callable[[], BotoForm]
    ends_by: float | None = None


class Exchange(ABC):
    """Sends one request and reads its answer; `close` when done, whatever happened.

    Args:
        context: Which call it is, for errors.
        settings: How long an answer may be.
        timeout: The caller's deadlines.
        ends_at: Monotonic time when the whole call must be over; None for no such deadline.
    """

    def __init__(
        self, context: CallContext, settings: TransportSettings, timeout: Timeout, ends_at: float | None
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.context = context
        self._timeout = timeout
        self._max_mb = settings.max_response_mb
        self._left = settings.max_response_bytes
        self._ends_at = ends_at

    @abstractmethod
    async def send(self, form: Any) -> None:
        """Send the request, in this way's form, and wait for the head of the answer.

        Raises:
            LlamaBedrockError: There was none, it is an error, or a deadline passed.
        """

    @abstractmethod
    async def read(self) -> bytes:
        """Return what has come of the body since the last call, empty at its end.

        Raises:
            BedrockTimeoutError: A deadline passed.
            BedrockStreamError: The connection broke.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection at once, unless the body was read to its end: then it is back in the pool."""

    async def read_all(self) -> bytes:
        """Return the whole body."""
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def decoded(self, coding: JsonOperation, whole: bool) -> dict[str, Any]:
        """Return the answer as boto3 does; of one that is a stream, what came before it."""
        body = await self.read_all() if whole else b""
        return coding.decode(self.status, self.headers, body, self.context)

    def _count(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            raise self.context.too_long(self._max_mb)
        return piece


class Way(ABC):
    """How the requests to one service are sent."""

    region: str
    endpoint_url: str
    policy: RetryPolicy
    client: Any

    @abstractmethod
    def form(self, outgoing: Outgoing) -> Any:
        """Return the request in the form that this way's exchanges send."""

    @abstractmethod
    def exchange(self, context: CallContext, ends_at: float | None) -> Exchange:
        """Return an exchange for one attempt."""


class OwnClient(ABC):
    """What may be given as ``client=`` and needs no botocore: it says itself how its requests are sent."""

    meta: Any
    """``region_name`` and ``endpoint_url``, as a boto3 client has them."""

    @abstractmethod
    def way(self, settings: TransportSettings, timeout: Timeout, *, in_loop: bool) -> Way:
        """Return how requests are sent.

        Args:
            settings: What holds the client.
            timeout: The deadlines of a call.
            in_loop: Whether an event loop runs the exchanges; without one they never wait for a loop.
        """


def earlier(*moments: float | None) -> float | None:
    """Return the earliest of some moments, or the shortest of some times; None is never."""
    return min((moment for moment in moments if moment is not None), default=None)
