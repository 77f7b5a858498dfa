"""InvokeModel and InvokeModelWithResponseStream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from llama_bedrock.local.engines.interface import EngineRequest
from llama_bedrock.local.runtime import titan_embeddings
from llama_bedrock.local.runtime.frames import (
    ServiceError,
    chunk_frame,
    constraint_error,
    exception_frame,
    invalid,
)
from llama_bedrock.local.runtime.generation import RunningGeneration
from llama_bedrock.local.runtime.json_bodies import AnswerShape, ModelRequest, parse_body
from llama_bedrock.local.runtime.pace import Pace
from llama_bedrock.local.runtime.response_writer import BodyEnded, BodyWriter
from llama_bedrock.local.runtime.served_call import Call
from llama_bedrock.local.runtime.served_models import ModelTarget
from llama_bedrock.local.runtime.word_guardrail import GuardrailCheck, find_guardrail
from llama_bedrock.usage import estimate_tokens

if TYPE_CHECKING:
    from aiohttp import web

    from llama_bedrock.local.quotas import Reservation

_LATENCY = "X-Amzn-Bedrock-PerformanceConfig-Latency"
_SERVICE_TIER = "X-Amzn-Bedrock-Service-Tier"
_INPUT_TOKENS = "X-Amzn-Bedrock-Input-Token-Count"
_OUTPUT_TOKENS = "X-Amzn-Bedrock-Output-Token-Count"
_MAX_METADATA_CHARS = 8500
_LONG_PROMPT_CHARS = 50_000
_MOST_CHARS_PER_TOKEN = 20  # beyond it there is no need to count


@dataclass(slots=True)
class Invocation:
    """A validated invocation and what is known about its answer so far."""

    call: Call
    model: ModelTarget
    request: ModelRequest
    guardrail: GuardrailCheck | None
    prompt_tokens: int
    shape: AnswerShape
    options: dict[str, str]
    pace: Pace
    reservation: Reservation | None = None
    output_tokens: int = 0
    stop_reason: str = "stop"
    first_byte_ms: int | None = None
    written: list[str] | None = None
    generation: RunningGeneration = field(init=False)
    frames: StreamFrames = field(init=False)

    def __post_init__(self) -> None:
        request = self.request
        prompt = request.prompt if self.guardrail is None else self.guardrail.without_tags(request.prompt)
        engine_request = EngineRequest(
            model_id=self.model.model_id,
            prompt=prompt,
            images=request.images,
            max_gen_len=min(request.max_gen_len, max(self.model.context_window - self.prompt_tokens, 1)),
            temperature=request.temperature,
            top_p=request.top_p,
            body=self.call.body,
            prompt_format=self.model.prompt_format,
        )
        state = self.call.state
        self.generation = RunningGeneration(state.engine, engine_request, request.stop, state.executor)
        self.frames = _ChunkFrames(self)
        if state.plane.log.is_on(self.call):
            self.written = []

    def take_counts(self) -> None:
        """Take what the generation knows now that it has ended."""
        self.stop_reason = self.generation.stop_reason
        self.output_tokens = self.generation.output_tokens
        if self.generation.prompt_tokens is not None:
            self.prompt_tokens = self.generation.prompt_tokens

    def settle(self) -> None:
        """Give back the tokens that were reserved but not used."""
        if self.reservation is not None:
            self.reservation.settle(self.prompt_tokens + self.output_tokens)

    def guardrail_members(self) -> dict[str, Any]:
        return {} if self.guardrail is None else self.guardrail.members()

    def metrics(self) -> dict[str, int]:
        elapsed = self.call.elapsed_ms()
        return {
            "inputTokenCount": self.prompt_tokens,
            "outputTokenCount": self.output_tokens,
            "invocationLatency": elapsed,
            "firstByteLatency": elapsed if self.first_byte_ms is None else self.first_byte_ms,
        }

    async def whole_text(self) -> str:
        """The answer in one piece, guardrail applied; sets counts and stop reason."""
        blocked = self.guardrail.block_input(self.request.prompt) if self.guardrail else None
        if blocked is not None:
            self.output_tokens = 0
            return blocked
        parts: list[str] = []
        async with aclosing(self.generation.pieces()) as pieces:
            async for piece in pieces:
                if self.pace.enabled:
                    await self.pace.next()
                parts.append(piece)
        self.call.state.stats.pieces += len(parts)
        self.take_counts()
        text = "".join(parts)
        return (self.guardrail.block_output(text) if self.guardrail else None) or text


class StreamFrames(Protocol):
    """How an operation writes a streamed answer."""

    def text(self, text: str, *, first: bool) -> list[bytes]:
        """The frames of a piece of text."""

    def last(self, *, first: bool) -> list[bytes]:
        """The frames at the end."""

    def logged(self, text: str) -> Any:
        """The answer as invocation logs have it.

        Args:
            text: What was written.
        """


class _ChunkFrames:
    """The frames of ``InvokeModelWithResponseStream``."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def text(self, text: str, *, first: bool) -> list[bytes]:
        one = self._invocation
        prompt_tokens = one.prompt_tokens if first else None
        return [
            chunk_frame(json.dumps(one.shape.chunk(text, prompt_tokens, one.output_tokens, None)).encode())
        ]

    def last(self, *, first: bool) -> list[bytes]:
        one = self._invocation
        prompt_tokens = one.prompt_tokens if first else None
        chunk = {
            **one.shape.chunk("", prompt_tokens, one.output_tokens, one.stop_reason),
            **one.shape.last_usage(one.prompt_tokens, one.output_tokens),
            **one.guardrail_members(),
            "amazon-bedrock-invocationMetrics": one.metrics(),
        }
        return [chunk_frame(json.dumps(chunk).encode())]

    def logged(self, text: str) -> Any:
        one = self._invocation
        return [
            {
                **one.shape.chunk(text, one.prompt_tokens, one.output_tokens, one.stop_reason),
                "amazon-bedrock-invocationMetrics": one.metrics(),
            }
        ]


async def invoke_model(call: Call) -> web.StreamResponse:
    """Serve ``InvokeModel``."""
    if titan_embeddings.serves(call.resource):
        return await titan_embeddings.embed(call)
    body, headers = await model_answer(call)
    tokens = (int(headers[_INPUT_TOKENS]), int(headers[_OUTPUT_TOKENS]))
    call.state.plane.log.add(call, body, tokens=tokens)
    return await call.respond(json.dumps(body).encode(), headers)


async def model_answer(call: Call) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of an answer in one piece.

    Raises:
        ServiceError: The request is refused, or the engine failed.
    """
    invocation = await _admit_body(call)
    try:
        text = await invocation.whole_text()
    finally:
        invocation.settle()
    body = invocation.shape.whole(
        text, invocation.prompt_tokens, invocation.output_tokens, invocation.stop_reason
    )
    headers = {
        "X-Amzn-Bedrock-Invocation-Latency": str(call.elapsed_ms()),
        _INPUT_TOKENS: str(invocation.prompt_tokens),
        _OUTPUT_TOKENS: str(invocation.output_tokens),
        **invocation.options,
    }
    return {**body, **invocation.guardrail_members()}, headers


async def invoke_model_stream(call: Call) -> web.StreamResponse:
    """Serve ``InvokeModelWithResponseStream``."""
    invocation = await _admit_body(call)
    headers = {"X-Amzn-Bedrock-Content-Type": "application/json", **invocation.options}
    return await stream_invocation(invocation, headers)


async def stream_invocation(invocation: Invocation, headers: dict[str, str]) -> web.StreamResponse:
    """Send an answer as a stream, guardrail applied."""
    guardrail = invocation.guardrail
    try:
        blocked = guardrail.block_input(invocation.request.prompt) if guardrail else None
        if blocked is not None or (guardrail is not None and guardrail.synchronous):
            text = blocked if blocked is not None else await invocation.whole_text()
            response, writer = await invocation.call.open_stream(headers)
            await _write_chunk(invocation, writer, text, first=True)
            await _write_last(invocation, writer, first=False)
        else:
            response = await _stream_pieces(invocation, headers)
    finally:
        invocation.settle()
    return response


async def _stream_pieces(invocation: Invocation, headers: dict[str, str]) -> web.StreamResponse:
    """Send each piece when it is due; an engine's error before the first one is still an HTTP error."""
    generation, pace, stats = invocation.generation, invocation.pace, invocation.call.state.stats
    response: web.StreamResponse | None = None
    writer: BodyWriter | None = None
    written: list[str] = []
    try:
        async with aclosing(generation.pieces()) as pieces:
            async for piece in pieces:
                stats.pieces += 1
                if response is None or writer is None:
                    response, writer = await invocation.call.open_stream(headers)
                if pace.enabled:
                    await pace.next()
                invocation.output_tokens = generation.output_tokens
                if invocation.guardrail is not None:
                    written.append(piece)
                    if (message := invocation.guardrail.block_output("".join(written))) is not None:
                        await _write_chunk(invocation, writer, message, first=len(written) == 1)
                        break
                await _write_chunk(invocation, writer, piece, first=invocation.first_byte_ms is None)
        invocation.take_counts()
        if response is None or writer is None:
            response, writer = await invocation.call.open_stream(headers)
        await _write_last(invocation, writer, first=invocation.first_byte_ms is None)
    except ServiceError as error:
        if response is None or writer is None:
            raise
        await writer.write(exception_frame(error))
        await writer.finish()
        raise BodyEnded(response) from error
    return response


async def _write_chunk(invocation: Invocation, writer: BodyWriter, text: str, *, first: bool) -> None:
    if first:
        invocation.first_byte_ms = invocation.call.elapsed_ms()
    if invocation.written is not None:
        invocation.written.append(text)
    for frame in invocation.frames.text(text, first=first):
        await writer.write(frame)


async def _write_last(invocation: Invocation, writer: BodyWriter, *, first: bool) -> None:
    for frame in invocation.frames.last(first=first):
        await writer.write(frame)
    await writer.finish()
    if invocation.written is not None:
        tokens = (invocation.prompt_tokens, invocation.output_tokens)
        logged = invocation.frames.logged("".join(invocation.written))
        invocation.call.state.plane.log.add(invocation.call, logged, tokens=tokens)


async def _admit_body(call: Call) -> Invocation:
    model = call.state.plane.find_served(call.resource, call.caller.region)
    request = parse_body(call.body, model, call.state.chat_template)
    return await admit(call, model, request, call.headers)


async def admit(
    call: Call, model: ModelTarget, request: ModelRequest, headers: Mapping[str, str]
) -> Invocation:
    """Check the options of a request and take its share of the quotas.

    Args:
        call: The call.
        model: The model it is for.
        request: Its validated body.
        headers: Its options, by the names of InvokeModel's headers.

    Raises:
        ServiceError: As Bedrock would refuse it.
    """
    state = call.state
    options = _options(headers)
    if options.get(_LATENCY) == "optimized":
        _check_latency(model, call.caller.region)
    guardrail = find_guardrail(state.guardrails, headers, request.guardrail_config)
    prompt_tokens = await _count_prompt(call, request.prompt, model.context_window)
    cap = model.info.latency_max_tokens if model.info is not None else None
    if _LATENCY in options and cap is not None and prompt_tokens + request.max_gen_len > cap:
        options[_LATENCY] = "standard"  # what is too long is served as standard, and the header says so
    reservation = None
    if state.quotas is not None:
        reservation = state.quotas.admit(model.model_id, prompt_tokens + request.max_gen_len)
    return Invocation(
        call,
        model,
        request,
        guardrail,
        prompt_tokens,
        AnswerShape(request.format, model.model_id, call.request_id),
        options,
        Pace(state.ticker, state.first_token_delay, state.token_delay),
        reservation,
    )


async def _count_prompt(call: Call, prompt: str, window: int) -> int:
    """The tokens of a prompt, counted off the event loop where that takes long.

    Raises:
        ServiceError: They do not fit in the context window.
    """
    if len(prompt) > window * _MOST_CHARS_PER_TOKEN:
        raise invalid("Input is too long for requested model.")
    if len(prompt) < _LONG_PROMPT_CHARS:
        tokens = estimate_tokens(prompt)
    else:
        loop = asyncio.get_running_loop()
        tokens = await loop.run_in_executor(call.state.executor, estimate_tokens, prompt)
    if tokens > window:
        raise invalid(
            f"This model's maximum context length is {window} tokens. Please reduce the length of the prompt"
        )
    return tokens


def _check_latency(model: ModelTarget, region: str | None) -> None:
    """Latency-optimised inference is for some models, in some regions, and through the profile only."""
    info = model.info
    if info is None:
        return
    direct = model.model_id.endswith(info.model_id) and model.model_id.partition(".")[0] == "meta"
    if direct or not info.latency_regions or (region is not None and region not in info.latency_regions):
        raise invalid(f"Latency performance configuration is not supported for {info.model_id}.")


def _options(headers: Mapping[str, str]) -> dict[str, str]:
    """Check the options in the headers; returns those that the response echoes."""
    echoed: dict[str, str] = {}
    latency = headers.get(_LATENCY)
    if latency is not None:
        if latency not in ("standard", "optimized"):
            raise constraint_error(
                "performanceConfigLatency",
                latency,
                "Member must satisfy enum value set: [standard, optimized]",
            )
        echoed[_LATENCY] = latency
    tier = headers.get(_SERVICE_TIER)
    if tier is not None:
        if tier not in ("priority", "default", "flex", "reserved"):
            raise constraint_error(
                "serviceTier",
                tier,
                "Member must satisfy enum value set: [priority, default, flex, reserved]",
            )
        echoed[_SERVICE_TIER] = "default"  # all that Bedrock offers for Llama
    metadata = headers.get("X-Amzn-Bedrock-Request-Metadata")
    if metadata is not None:
        _check_request_metadata(metadata)
    return echoed


def _check_request_metadata(metadata: str) -> None:
    if len(metadata) > _MAX_METADATA_CHARS:
        raise constraint_error(
            "requestMetadata", "", f"Member must have length less than or equal to {_MAX_METADATA_CHARS}"
        )
    try:
        pairs = json.loads(metadata)
    except (ValueError, RecursionError):
        raise invalid("The request metadata is not valid JSON.") from None
    if not isinstance(pairs, dict) or not all(isinstance(value, str) for value in pairs.values()):
        raise invalid("The request metadata must be a JSON object of strings.")
