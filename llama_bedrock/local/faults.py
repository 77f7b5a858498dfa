"""A small language of faults, for tests of what happens when Bedrock or the network fails.

    faults = [
        ErrorResponse("ThrottlingException", headers={"Retry-After": "1"}).first(2),
        ExceptionFrame("modelStreamErrorException", after_chunks=3).nth(3),
        Truncate(after_bytes=100).nth(4, 5),
        Hang().when(lambda target: target.resource.startswith("meta.llama4")),
    ]
    server = LocalBedrock(faults=faults)

A fault says what goes wrong; `first`, `nth` and `when` say in which requests: in all of them without.
Byte positions count the bytes of the response body, without HTTP's own framing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from llama_bedrock.argument_kinds import refuses_wrong_kinds, refuses_wrong_kinds_in_methods
from llama_bedrock.local.runtime.frames import ServiceError


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """A request, as a fault's predicate sees it.

    Attributes:
        operation: API operation, such as ``"InvokeModelWithResponseStream"`` or ``"Retrieve"``.
        resource: The model id or knowledge base id of the path; empty where the path has none.
        body: The parsed JSON body.
    """

    operation: str
    resource: str
    body: Mapping[str, Any]


@refuses_wrong_kinds_in_methods()
@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Base of all faults.

    Attributes:
        requests: Numbers of the requests it happens in, from 1, counted over those that `where` accepts; None
            is every one.
        where: Predicate over the request; None accepts all.
    """

    requests: Collection[int] | None = None
    where: Callable[[FaultTarget], bool] | None = None

    def first(self, count: int) -> Self:
        """The same fault, in the first `count` requests only."""
        return replace(self, requests=range(1, count + 1))

    def nth(self, *numbers: int) -> Self:
        """The same fault, in the requests with these numbers only, counted from 1."""
        return replace(self, requests=frozenset(numbers))

    def when(self, predicate: Callable[[FaultTarget], bool]) -> Self:
        """The same fault, in requests that the predicate accepts only."""
        return replace(self, where=predicate)


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class ErrorResponse(Fault):
    """An error instead of a response.

    Attributes:
        code: Name of the exception, such as ``"ServiceUnavailableException"``.
        message: Its text; Bedrock's own if empty.
        status: HTTP status; that of the code if None.
        headers: Further headers, such as ``{"Retry-After": "1"}``.
        details: Further members of the body, such as ``{"originalStatusCode": 500}``.
    """

    code: str
    message: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def error(self) -> ServiceError:
        """The error the caller gets."""
        return ServiceError(
            self.code, self.message, status=self.status, headers=self.headers, details=self.details
        )


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class NotReady(Fault):
    """``ModelNotReadyException``, as imported models give while they wake up.

    Attributes:
        seconds: From the first request on; None for no limit in time.
        times: Number of requests refused; None for no limit in number.
    """

    seconds: float | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is None and self.times is None:
            raise ValueError(
                "NotReady needs seconds= or times=: a model that never wakes is an ErrorResponse"
            )


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class ExceptionFrame(Fault):
    """An exception inside the stream, which ends it; an error response in operations that do not stream.

    Attributes:
        code: ``"throttlingException"`` or ``"ThrottlingException"``: the wire form is derived.
        message: Its text; Bedrock's own if empty.
        after_chunks: Frames that are sent before it.
        details: Further members, such as ``{"originalStatusCode": 500, "originalMessage": "…"}``.
        modelled: False sends an unmodelled error frame (``:message-type: error``) instead.
    """

    code: str
    message: str = ""
    after_chunks: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    modelled: bool = True

    def error(self) -> ServiceError:
        """The error the caller gets."""
        code = self.code[0].upper() + self.code[1:]
        return ServiceError(code, self.message, details=self.details)


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Truncate(Fault):
    """The response ends early.

    Attributes:
        after_bytes: Bytes of the body that are sent.
        abrupt: True closes the connection without HTTP's end of body; False ends the body properly, so that
            only the event stream (or the JSON) shows that something is missing.
    """

    after_bytes: int
    abrupt: bool = False


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class FlipByte(Fault):
    """One byte of the body arrives with all its bits inverted."""

    at_byte: int


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """The connection is reset (TCP RST) after so many bytes of the body; None: before the response begins."""

    after_bytes: int | None = None


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Hang(Fault):
    """Silence with the connection open.

    Attributes:
        after_bytes: Bytes of the body before it; 0 is after the headers, None before the response begins.
        seconds: Then goes on; None waits until the client leaves or the server stops.
    """

    after_bytes: int | None = None
    seconds: float | None = None


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class SlowChunks(Fault):
    """Every frame comes this many seconds later than it would."""

    delay: float


@dataclass(slots=True)
class _Armed:
    """A fault and how often its predicate has held."""

    fault: Fault
    seen: int = 0
    since: float | None = None

    def strikes(self, target: FaultTarget, now: float) -> bool:
        fault = self.fault
        if fault.where is not None and not fault.where(target):
            return False
        self.seen += 1
        if self.since is None:
            self.since = now
        if fault.requests is not None and self.seen not in fault.requests:
            return False
        if isinstance(fault, NotReady):
            awake = fault.seconds is not None and now - self.since >= fault.seconds
            return not awake and (fault.times is None or self.seen <= fault.times)
        return True


class FaultPlan:
    """The faults of one server and what they have seen so far."""

    def __init__(self, faults: Iterable[Fault] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._armed = [_Armed(fault) for fault in faults]
        self._clock = clock
        for fault in (armed.fault for armed in self._armed):
            if not isinstance(fault, Fault) or type(fault) is Fault:
                raise TypeError(f"faults= takes faults such as ErrorResponse(...) or Reset(), not {fault!r}")

    def strike(self, target: FaultTarget) -> tuple[Fault, ...]:
        """The faults that happen in this request; counts it."""
        if not self._armed:
            return ()
        now = self._clock()
        return tuple([armed.fault for armed in self._armed if armed.strikes(target, now)])
