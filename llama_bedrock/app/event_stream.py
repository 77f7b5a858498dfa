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
from starlette.types import Receive, Scope, Send

from llama_bedrock.app.http_errors import error_body

T = TypeVar("T")

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
        begun = False
        async with aclosing(self.frames) as frames:
            try:
                async for frame in frames:
                    if not begun:
                        begun = True
                        await send(
                            {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                        )
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            except Exception as error:
                if not begun:
                    raise
                body = sse(error_body(error))
                await send({"type": "http.response.body", "body": body, "more_body": True})
        if not begun:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Wait for work whose result is the whole answer; cancel it when the client goes.

    The body of the request must have been read.

    Raises:
        HTTPException: The client has gone.
    """
    done, result = await _while_connected(request.receive, work)
    if not done:
        raise HTTPException(CLIENT_GONE)
    return result


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> tuple[bool, T]:
    """Run work until it ends or the client has gone; tells whether it ended, and its result."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return True, working.result()
        return False, None  # type: ignore[return-value]  # nobody is there to get a result
    finally:
        for task in (working, watching):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(working, watching, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
