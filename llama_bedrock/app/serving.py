"""Serves an application with uvicorn until it is told to stop; answers that have begun go on to their end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.applications import Starlette

STREAM_SECONDS = 30
"""How long answers may go on after the server was told to stop."""

_BACKLOG = 1024
_READ_STEPS = 10  # turns of the loop: accept, then connect, then read, and as many again


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: Address or name.
        port: 0 for a free one.

    Raises:
        OSError: The address is taken, or is none of this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        # asyncio and socket add the address to the system's own words.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise OSError(f"cannot listen on {host}:{port}: {why}; choose another --port") from error


class AppServer(uvicorn.Server):
    """Serves an application until SIGTERM, Ctrl-C, or `should_exit`.

    Args:
        app: Made by `create_app`.
        ready: Called when requests are taken.
    """

    def __init__(self, app: Starlette, ready: Callable[[], None] | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,  # the application writes its own lines
                access_log=False,
                server_header=False,
                ws="none",
                lifespan="on",
                timeout_graceful_shutdown=STREAM_SECONDS,
            )
        )
        with suppress(ImportError, AttributeError):  # it would cut the MCP server's streams off at once
            import_module("sse_starlette.sse").AppStatus.disable_automatic_graceful_drain()
        self._app = app
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.llama.stopping.set()  # before the answers end; the lifespan ends after them
        # uvicorn closes what looks idle: what has been sent is accepted and read first, to be answered.
        for _ in range(_READ_STEPS):
            await asyncio.sleep(0)
        await super().shutdown(sockets)
