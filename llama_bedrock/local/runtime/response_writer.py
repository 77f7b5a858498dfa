"""Writes a response body."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


class BodyEnded(Exception):
    """A fault ended the body; there is nothing more to write.

    Args:
        response: The response, ended properly; None if the connection was closed in the middle of it.
    """

    def __init__(self, response: web.StreamResponse | None) -> None:
        super().__init__()
        self.response = response


class BodyWriter:
    """The body of one response, without faults: every call writes one frame."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response

    async def write(self, frame: bytes) -> None:
        """Send one frame; waits while the client does not read."""
        await self._response.write(frame)

    async def finish(self) -> None:
        await self._response.write_eof()
