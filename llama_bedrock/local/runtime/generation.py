"""Runs an engine: pieces from any kind of engine, counted, cut at ``max_gen_len``, and paced."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from concurrent.futures import Executor
from contextlib import aclosing
from typing import Any

from llama_bedrock.assembler import StopFilter
from llama_bedrock.local.engines.interface import Engine, EngineError, EngineRequest, StopReason
from llama_bedrock.local.runtime.frames import ServiceError
from llama_bedrock.usage import estimate_tokens

logger = logging.getLogger(__name__)

# An engine that never waits still lets the other requests have a turn.
_TURN = 64
_TOKEN_CHARACTERS = 16
_END = object()


class RunningGeneration:
    """The text of one answer while it is written.

    Args:
        engine: Writes it.
        request: What it is asked.
        stop: Stop strings; the text ends before the first one.
        executor: Where engines that may block run.

    Attributes:
        prompt_tokens: Tokens of the prompt, if the engine counted them.
        output_tokens: Tokens handed out so far; at the end those that the engine counted, if it did.
        stop_reason: Why it ended: ``"stop"`` or ``"length"``.
        matched_stop: True if a stop string ended it.
    """

    def __init__(
        self, engine: Engine, request: EngineRequest, stop: tuple[str, ...], executor: Executor
    ) -> None:
        self._engine = engine
        self._request = request
        self._stop = stop
        self._executor = executor
        self.prompt_tokens: int | None = None
        self.output_tokens = 0
        self.stop_reason = "stop"
        self.matched_stop = False

    async def pieces(self) -> AsyncGenerator[str, None]:
        """The text, piece by piece.

        Raises:
            ServiceError: The engine failed.
        """
        source = self._until_stop() if self._stop else self._raw()
        limited = not getattr(self._engine, "limits_length", False)
        limit = self._request.max_gen_len
        async with aclosing(source):
            async for item in source:
                if isinstance(item, StopReason):
                    self.stop_reason = str(item)
                    self.prompt_tokens = item.prompt_tokens
                    if item.output_tokens is not None:
                        self.output_tokens = item.output_tokens
                    return
                if not item:
                    continue
                if limited and self.output_tokens >= limit:
                    self.stop_reason = "length"
                    return
                tokens = _count(item)
                if limited and self.output_tokens + tokens > limit:
                    self.stop_reason = "length"
                    item = _cut(item, limit - self.output_tokens)
                    self.output_tokens = limit
                    if item:
                        yield item
                    return
                self.output_tokens += tokens
                yield item

    async def _raw(self) -> AsyncGenerator[str, None]:
        engine = self._engine
        try:
            if inspect.isasyncgenfunction(engine.generate) or not getattr(engine, "blocking", True):
                source = _on_loop(engine.generate(self._request))
            else:
                source = _from_thread(engine, self._request, self._executor)
            async with aclosing(source):
                async for item in source:
                    yield item
        except EngineError as error:
            raise ServiceError(error.code, error.message, details=error.details) from error
        except (ServiceError, asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:
            logger.exception("the local engine %s failed", engine.name)
            raise ServiceError(
                "ModelErrorException",
                f"The local engine {engine.name} failed: {type(error).__name__}: {error}",
            ) from error

    async def _until_stop(self) -> AsyncGenerator[str, None]:
        """The text before the first stop string, also where one lies across pieces."""
        stop_filter = StopFilter(self._stop)
        async with aclosing(self._raw()) as pieces:
            async for piece in pieces:
                if isinstance(piece, StopReason):
                    yield stop_filter.close()
                    yield piece
                    return
                yield stop_filter.feed(piece)
                if stop_filter.matched is not None:
                    self.matched_stop = True
                    return
        yield stop_filter.close()


async def _on_loop(result: Iterable[str] | AsyncIterable[str]) -> AsyncGenerator[str, None]:
    if isinstance(result, AsyncIterable):
        async for item in result:
            yield item
        return
    for number, item in enumerate(result, 1):
        yield item
        if number % _TURN == 0:
            await asyncio.sleep(0)


async def _from_thread(
    engine: Engine, request: EngineRequest, executor: Executor
) -> AsyncGenerator[str, None]:
    """Iterate in a worker thread; closing this generator stops the worker at its next piece."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()
    abandoned = threading.Event()

    def put(item: Any) -> None:
        # A worker may outlive its request, but not hand anything to a loop that is closed.
        if not abandoned.is_set():
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            result = engine.generate(request)
            if isinstance(result, AsyncIterable):
                put(result)
                return
            for item in result:
                if abandoned.is_set():
                    return
                put(item)
            put(_END)
        except Exception as error:  # noqa: BLE001  # handed to the request, which reports it
            put(error)

    loop.run_in_executor(executor, work)
    try:
        while (item := await queue.get()) is not _END:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, AsyncIterable):
                async for piece in item:
                    yield piece
                return
            yield item
    finally:
        abandoned.set()


def _count(piece: str) -> int:
    """Engines hand over pieces of about a token, so a short one is one; only larger ones are estimated."""
    if len(piece) <= _TOKEN_CHARACTERS and len(piece.split()) <= 1:
        return 1
    return max(1, estimate_tokens(piece))


def _cut(piece: str, tokens: int) -> str:
    """The longest beginning of a piece that has no more than so many tokens."""
    low, high = 0, len(piece)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(piece[:middle]) <= tokens:
            low = middle
        else:
            high = middle - 1
    return piece[:low]
