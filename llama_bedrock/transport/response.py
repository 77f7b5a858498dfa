"""What the service answers, whole or as a stream, as `GenerationChunk`s. No I/O.

An imported model answers in one of three shapes; which one is seen from the answer itself, since Bedrock
chooses it by the fields of the request, not by anything it says. Sources: UG/model-parameters-meta for
Bedrock's own shape, UG/invoke-imported-model for the other two, UG/guardrails-tagging for the guardrail's
keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from json import JSONDecoder, loads
from typing import Any

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.eventstream import EventStreamDecodeError, EventStreamDecoder, Frame

_METRICS = "amazon-bedrock-invocationMetrics"
_ACTION = "amazon-bedrock-guardrailAction"
_TRACE = "amazon-bedrock-trace"
# What the headers say of the call, by its name in `response_metadata`.
_REPORTED = {
    "request_id": "x-amzn-requestid",
    "latency": "x-amzn-bedrock-performanceconfig-latency",
    "service_tier": "x-amzn-bedrock-service-tier",
}
_METRIC_HEADERS = {
    "inputTokenCount": "x-amzn-bedrock-input-token-count",
    "outputTokenCount": "x-amzn-bedrock-output-token-count",
    "invocationLatency": "x-amzn-bedrock-invocation-latency",
}
_DAMAGE = (
    EventStreamDecodeError,
    Base64Error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclass(slots=True)
class GenerationChunk:
    """A piece of an answer; the whole answer when it is not streamed. Not changed once handed out.

    Each piece says all that is known of the call so far, so the latest one is enough to report it.

    Args:
        text: What the model wrote, exactly.
        prompt_tokens: Tokens of the prompt, as the service counts them, once it has said so.
        output_tokens: Tokens written so far.
        stop_reason: `stop`, `length`, or what an imported model says; on the last piece.
        metadata: `request_id`, and the `latency` class and `service_tier` that were really served; `retries`
            and `throttles`, the failed attempts before it, where there were any; on the last piece also
            `invocation_metrics` (`inputTokenCount`, `outputTokenCount`, `invocationLatency` and
            `firstByteLatency`, in milliseconds), `guardrail_action` and `guardrail_trace`, where the service
            said so.
        last: Nothing follows.
    """

    text: str
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    stop_reason: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    last: bool = False


class _Tally:
    """Gathers what the events of one call say; `add` returns an event's text."""

    __slots__ = ("action", "finished", "metrics", "output_tokens", "prompt_tokens", "stop_reason", "trace")

    def __init__(self) -> None:
        self.prompt_tokens: int | None = None
        self.output_tokens: int | None = None
        self.stop_reason: str | None = None
        self.metrics: dict[str, Any] | None = None
        self.action: str | None = None
        self.trace: dict[str, Any] | None = None
        self.finished = False

    def add(self, event: dict[str, Any]) -> str:
        text: Any = event.get("generation")
        if text is None:
            text = self._add_openai(event) if "choices" in event else ""
        else:
            count = event.get("generation_token_count")
            if count is not None:
                self.output_tokens = count
            if self.prompt_tokens is None:
                self.prompt_tokens = event.get("prompt_token_count")
            if event.get("stop_reason") is not None:
                self.stop_reason = event["stop_reason"]
                self.finished = True
        if len(event) > 4:
            self._add_extras(event)
        if text.__class__ is not str:
            raise TypeError(f"the text is a {type(text).__name__}")
        return text

    def _add_openai(self, event: dict[str, Any]) -> Any:
        choices = event["choices"]
        choice = choices[0] if choices else {}
        usage = event.get("usage") or {}
        self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
        self.output_tokens = usage.get("completion_tokens", self.output_tokens)
        if choice.get("finish_reason") is not None:
            self.stop_reason = choice["finish_reason"]
            self.finished = True
        self._add_extras(event)
        if "text" in choice:
            return choice["text"] or ""
        message = choice.get("delta") or choice.get("message") or {}
        return message.get("content") or ""

    def _add_extras(self, event: dict[str, Any]) -> None:
        metrics = event.get(_METRICS)
        if metrics is not None:
            self.metrics = metrics
            self.prompt_tokens = metrics.get("inputTokenCount", self.prompt_tokens)
            self.output_tokens = metrics.get("outputTokenCount", self.output_tokens)
            self.finished = True
        self.action = event.get(_ACTION, self.action)
        trace = event.get(_TRACE)
        if trace is not None:
            self.trace = trace.get("guardrail", trace)

    def closing_chunk(
        self, text: str, headers: Mapping[str, str], reported: dict[str, Any]
    ) -> GenerationChunk:
        said = {
            "invocation_metrics": self.metrics or _header_metrics(headers),
            "guardrail_action": self.action,
            "guardrail_trace": self.trace,
        }
        return GenerationChunk(
            text=text,
            prompt_tokens=_or_header(self.prompt_tokens, headers, "x-amzn-bedrock-input-token-count"),
            output_tokens=_or_header(self.output_tokens, headers, "x-amzn-bedrock-output-token-count"),
            stop_reason=self.stop_reason,
            metadata=reported | {name: value for name, value in said.items() if value is not None},
            last=True,
        )


def _reported(headers: Mapping[str, str], context: CallContext) -> dict[str, Any]:
    said = {name: headers[header] for name, header in _REPORTED.items() if header in headers}
    return said | context.tried()


def parse_body(body: bytes, headers: Mapping[str, str], context: CallContext) -> GenerationChunk:
    """Read the answer of a call that was not streamed.

    Args:
        body: The whole body.
        headers: The HTTP headers, their names in lower case.
        context: Which call it was, for the error.

    Raises:
        BedrockStreamError: It is not the JSON of any of the three shapes.
    """
    try:
        answer = _json(body.decode("utf-8", "surrogatepass")) if body.startswith(b"{") else loads(body)
        if "generation" not in answer and "choices" not in answer:
            raise ValueError(f"no generation in {sorted(answer)}")
        tally = _Tally()
        text = tally.add(answer)
        if _METRICS not in answer:
            tally._add_extras(answer)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise context.damaged(f"the answer cannot be read: {error}", headers) from error
    return tally.closing_chunk(text, headers, _reported(headers, context))


class EventReader(ABC):
    """Reads the event stream of an answer: `feed` bytes as they come, `close` at their end.

    Neither raises: what was decoded before a fault is handed out first. `take` is for callers that read in a
    loop: it raises the fault once there is nothing more to hand out.

    Args:
        headers: The HTTP headers of the answer, their names in lower case.
        context: Which call it is, for errors.
    """

    def __init__(self, headers: Mapping[str, str], context: CallContext) -> None:
        self.failure: LlamaBedrockError | None = None
        self.done = False
        self._decoder = EventStreamDecoder()
        self._headers = headers
        self._context = context

    @abstractmethod
    def _read(self, frames: list[Frame], found: list[Any]) -> None:
        """Add what frames hold to what was found; what it raises is the answer's failure."""

    @abstractmethod
    def _last(self) -> list[Any]:
        """Return what comes at the end, or set `failure` where the answer is not complete."""

    @abstractmethod
    def broken(self, error: LlamaBedrockError) -> LlamaBedrockError:
        """Put the answer so far on an error that ended it."""

    def feed(self, data: bytes) -> list[Any]:
        """Take bytes, cut anywhere; return what they complete."""
        found: list[Any] = []
        try:
            self._read(self._decoder.feed(data), found)
        except LlamaBedrockError as error:
            self._fail(error)
        except _DAMAGE as error:
            self._damaged(error)
        else:
            if self._decoder.failure is not None:
                self._damaged(self._decoder.failure)
        return found

    def close(self) -> list[Any]:
        """Tell the reader that the bytes have ended; return what comes last.

        `failure` is set when the answer is not complete.
        """
        try:
            self._decoder.close()
        except EventStreamDecodeError as error:
            self._damaged(error)
            return []
        return self._last()

    def take(self, data: bytes) -> list[Any]:
        """Take what was read, nothing at the end; return what it completes.

        Raises:
            LlamaBedrockError: The answer failed, is damaged or is not complete. What came before the fault in
                the same bytes is returned first, and the next call raises without a look at its data.
        """
        found: list[Any] = []
        if self.failure is None:
            found = self.feed(data) if data else self.close()
            self.done = not data and self.failure is None
        if self.failure is not None and not found:
            raise self.failure
        return found

    def _damaged(self, error: Exception) -> None:
        self._fail(self._context.damaged(f"the stream is damaged: {error}", self._headers))

    def _fail(self, error: LlamaBedrockError) -> None:
        if self.failure is None:
            self.failure = self.broken(error)


class StreamParser(EventReader):
    """Reads the streamed answer of a model as `GenerationChunk`s; the last one has no text."""

    def __init__(self, headers: Mapping[str, str], context: CallContext) -> None:
        super().__init__(headers, context)
        self._reported = _reported(headers, context)
        self._tally = _Tally()
        self._texts: list[str] = []
        self._chunk_headers: Mapping[str, Any] | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._texts)

    def _read(self, frames: list[Frame], found: list[Any]) -> None:
        tally, texts = self._tally, self._texts
        for headers, payload in frames:
            # Equal headers are one object, so the usual frame costs one comparison.
            if headers is not self._chunk_headers and not self._is_chunk(headers, payload):
                continue
            text = tally.add(_event(payload))
            if text:
                texts.append(text)
                counts = tally.prompt_tokens, tally.output_tokens
                found.append(GenerationChunk(text, *counts, None, self._reported))

    def _last(self) -> list[Any]:
        if self._tally.finished:
            return [self._tally.closing_chunk("", self._headers, self._reported)]
        self._fail(self._context.damaged("the stream ended before its last chunk", self._headers))
        return []

    def broken(self, error: LlamaBedrockError) -> LlamaBedrockError:
        error.partial_text = self.text
        self._context.ended_by(error)
        if error.request_id is None:
            error.request_id = self._reported.get("request_id")
        return error

    def _is_chunk(self, headers: Mapping[str, Any], payload: bytes) -> bool:
        kind = headers.get(":message-type", "event")
        if kind != "event":
            raise self._context.from_frame(headers, payload, self._headers)
        if headers.get(":event-type") != "chunk":
            return False  # events of a later protocol, such as `initial-response`
        self._chunk_headers = headers
        return True


def _header_metrics(headers: Mapping[str, str]) -> dict[str, Any] | None:
    """Metrics of an answer that was not streamed, named as those in the last event of a stream."""
    metrics = {name: _or_header(None, headers, header) for name, header in _METRIC_HEADERS.items()}
    return {name: value for name, value in metrics.items() if value is not None} or None


_scan = JSONDecoder().scan_once  # type: ignore[attr-defined]  # public, but not in typeshed
_COMPACT, _SPACED = b'{"bytes":"', b'{"bytes": "'


def _event(payload: bytes) -> dict[str, Any]:
    """Return the event in a frame's payload: JSON in base64 in JSON.

    The outer layer is not parsed where it begins as usual: base64 has no quotes, so it ends at the next one.
    """
    encoded: bytes | str
    if payload.startswith(_COMPACT):
        encoded = payload[10 : payload.index(b'"', 10)]
    elif payload.startswith(_SPACED):
        encoded = payload[11 : payload.index(b'"', 11)]
    else:
        encoded = loads(payload)["bytes"]
    return _json(a2b_base64(encoded).decode())  # type: ignore[no-any-return]


def _json(text: str) -> Any:
    if text[:1] == "{":
        try:
            value, end = _scan(text, 0)  # without the search for spaces that `loads` begins with
        except StopIteration:  # `loads` says what is wrong
            end = -1
        if end == len(text):
            return value
    return loads(text)


def _or_header(count: int | None, headers: Mapping[str, str], name: str) -> int | None:
    if count is not None:
        return count
    value = headers.get(name, "")
    return int(value) if value.isdigit() else None
