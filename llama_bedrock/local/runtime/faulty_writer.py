"""Does to a response body what the faults of its request say."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llama_bedrock.local.faults import ExceptionFrame, Fault, FlipByte, Hang, Reset, SlowChunks, Truncate
from llama_bedrock.local.runtime.frames import error_frame, exception_frame
from llama_bedrock.local.runtime.response_writer import BodyEnded, BodyWriter

if TYPE_CHECKING:
    from aiohttp import web

_FOREVER = 10 * 365 * 24 * 3600.0


class FaultyWriter(BodyWriter):
    """A body that suffers faults.

    Args:
        request: The request that is answered.
        response: A prepared response.
        faults: Those that strike this request; ones without effect on a body are ignored.
        frames: True if every write is an event-stream frame, so that exception frames may be put between.
    """

    def __init__(
        self, request: web.Request, response: web.StreamResponse, faults: Sequence[Fault], *, frames: bool
    ) -> None:
        super().__init__(response)
        self._request = request
        self._delay = sum(fault.delay for fault in faults if isinstance(fault, SlowChunks))
        self._flips = [fault.at_byte for fault in faults if isinstance(fault, FlipByte)]
        self._exceptions = [f for f in faults if frames and isinstance(f, ExceptionFrame)]
        cuts = [f for f in faults if isinstance(f, (Truncate, Reset, Hang)) and f.after_bytes is not None]
        self._cuts = sorted(cuts, key=lambda cut: cut.after_bytes or 0)
        self._frames = 0
        self._sent = 0

    async def write(self, frame: bytes) -> None:
        """Send one frame, or what the faults leave of it.

        Raises:
            BodyEnded: A fault ended the body.
        """
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._put_exceptions()
        self._frames += 1
        await self._put(frame)

    async def finish(self) -> None:
        """End the body, after the faults that wait at its end."""
        await self._put_exceptions()
        await super().finish()

    async def _put_exceptions(self) -> None:
        for fault in self._exceptions:
            if fault.after_chunks == self._frames:
                error = fault.error()
                await self._put(exception_frame(error) if fault.modelled else error_frame(error))
                await super().finish()
                raise BodyEnded(self._response)

    async def _put(self, data: bytes) -> None:
        for position in self._flips:
            at = position - self._sent
            if 0 <= at < len(data):
                data = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        while self._cuts and (self._cuts[0].after_bytes or 0) <= self._sent + len(data):
            cut = self._cuts.pop(0)
            head = data[: (cut.after_bytes or 0) - self._sent]
            await self._raw(head)
            data = data[len(head) :]
            await self._strike(cut)
        await self._raw(data)

    async def _raw(self, data: bytes) -> None:
        if data:
            self._sent += len(data)
            await super().write(data)

    async def _strike(self, cut: Truncate | Reset | Hang) -> None:
        if isinstance(cut, Hang):
            await hang(cut)
            return
        if isinstance(cut, Truncate) and not cut.abrupt and self._response.content_length is None:
            await super().finish()
            raise BodyEnded(self._response)
        if isinstance(cut, Reset):
            reset(self._request)
        else:
            close(self._request)
        raise BodyEnded(None)


async def hang(fault: Hang) -> None:
    """Wait as the fault says, or until the task is cancelled: the client has left, or the server stops."""
    await asyncio.sleep(_FOREVER if fault.seconds is None else fault.seconds)


def close(request: web.Request) -> None:
    """Close the connection after what was written, in the middle of the body."""
    if request.transport is not None:
        request.transport.close()


def reset(request: web.Request) -> None:
    """Reset the connection: a linger time of 0 makes the kernel send RST instead of FIN."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
