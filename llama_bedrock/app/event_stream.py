"""Answers that last: server-sent events, and work that ends when its client has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from llama_bedrock.app.http_errors import failure

T = TypeVar("T")

_MOST_WAITING = 64 * 1024  # bytes

CLIENT_GONE = 499
"""Status in the log of a request whose client did not wait, as nginx counts them."""


def sse(data: Any, event: str | None = None) -> bytes:
    """One server-sent event.

    Args:
        data: A text as it is, or anything else as JSON.
        event: Its name; None for none.
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"event: {event}\n{lines}\n".encode() if event else f"{lines}\n".encode()


class EventStream(Response):
    """Server-sent events of an asynchronous generator.

    Nothing is sent before the first event is there, so what fails before it is an error with its own status.
    Later failures are one more event, with which the stream ends. When the client goes, the generator is
    cancelled at once, wherever it waits.

    Args:
        frames: Gives what `sse` makes.
        headers: Further headers of the answer.
    """

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes, None], headers: Mapping[str, str] | None = None) -> None:
        # Proxies such as nginx would collect the events without the second header.
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})
        self.frames = frames
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _while_connected(receive, self._pump(send))

    async def _pump(self, send: Send) -> None:
        # Events that come without a wait between them leave together: a send costs more than an event.
        outbox = _Outbox(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sending = asyncio.create_task(outbox.run())
        try:
            async with aclosing(self.frames) as frames:
                try:
                    async for frame in frames:
                        outbox.put(frame)
                        if outbox.is_full:
                            await outbox.emptied()
                except Exception as error:
                    if not outbox.begun:
                        raise
                    outbox.put(sse(failure(error).body()))
            outbox.end()
            await sending
        finally:
            sending.cancel()


class _Outbox:
    """Sends the body of an answer: what has come since the last send, at once."""

    def __init__(self, send: Send, start: Message) -> None:
        self.begun = False
        self._send = send
        self._start = start
        self._frames: list[bytes] = []
        self._size = 0
        self._ended = self._over = False
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the model should wait, too."""
        return self._size > _MOST_WAITING

    def put(self, frame: bytes) -> None:
        self.begun = True
        self._frames.append(frame)
        self._size += len(frame)
        self._filled.set()

    def end(self) -> None:
        self._ended = True
        self._filled.set()

    async def emptied(self) -> None:
        """Wait until what was put has been sent, or cannot be."""
        if not self._over:
            self._emptied.clear()
            await self._emptied.wait()

    async def run(self) -> None:
        try:
            await self._filled.wait()
            await self._send(self._start)
            while not self._over:
                await self._filled.wait()
                self._filled.clear()
                body, self._frames, self._size = b"".join(self._frames), [], 0
                self._over = self._ended
                await self._send({"type": "http.response.body", "body": body, "more_body": not self._over})
                self._emptied.set()
        finally:
            self._over = True
            self._emptied.set()


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Wait for work whose result is the whole answer; cancel it when the client goes.

    The body of the request must have been read.

    Raises:
        HTTPException: The client has gone.
    """
    ended = await _while_connected(request.receive, work)
    if ended is None:
        raise HTTPException(CLIENT_GONE)
    return ended[0]


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> tuple[T] | None:
    """Run work until it ends or the client has gone; its result in a tuple, or None."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return (working.result(),)
        return None
    finally:
        for task in (working, watching):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(working, watching, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
