"""Bounds of a synchronous exchange that a socket's own timeout does not give: its whole time, and its size.

A socket times one `recv`: a server that sends a byte now and then is never late for it. So one thread,
started with the first call, shuts the socket of an exchange whose time is over; what reads it then fails.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import Any

MAX_ERROR_BYTES = 1_000_000
"""What is read of the body of an error: AWS's are short."""


class ExchangeBounds:
    """The bounds of one exchange.

    Args:
        connect: Seconds until a connection is open.
        read: Seconds of one read from the socket.
        ends_at: Monotonic time when it must be over; None for no such deadline.
        max_bytes: Most bytes of an answer.

    Attributes:
        passed: Its time was over before it was done.
        too_long: Its answer was longer.
    """

    def __init__(
        self, connect: float | None, read: float | None, ends_at: float | None, max_bytes: float
    ) -> None:
        self.connect = connect
        self.read = read
        self.ends_at = ends_at
        self.max_bytes = max_bytes
        self.passed = False
        self.too_long = False
        self._socket: Any = None

    def watch(self, sock: Any) -> None:
        """Take the socket that is to be shut when the time is over."""
        self._socket = sock
        if self.passed:
            self.expire()

    def expire(self) -> None:
        """Shut the socket: whoever reads from it goes on, with an error."""
        self.passed = True
        if self._socket is not None:
            with suppress(OSError, TypeError):  # closed meanwhile, or no real socket
                # Not SSLSocket's own: that forgets the TLS state another thread is using.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def start(self) -> None:
        """Have the time kept until `stop`."""
        _watch.add(self)

    def stop(self) -> None:
        """Have the time kept no longer."""
        _watch.remove(self)


class _Watch:
    """The thread that looks at the clock for all exchanges."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._active: set[ExchangeBounds] = set()
        self._wakes_at = float("inf")
        self._thread: threading.Thread | None = None

    def add(self, bounds: ExchangeBounds) -> None:
        if bounds.ends_at is None:
            return
        with self._changed:
            self._active.add(bounds)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="llama-bedrock deadlines", daemon=True)
                self._thread.start()
            elif bounds.ends_at < self._wakes_at:
                self._changed.notify()

    def remove(self, bounds: ExchangeBounds) -> None:
        with self._changed:
            self._active.discard(bounds)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for bounds in [b for b in self._active if b.ends_at is not None and b.ends_at <= now]:
                    self._active.discard(bounds)
                    bounds.expire()
                due = [b.ends_at for b in self._active if b.ends_at is not None]
                self._wakes_at = min(due, default=float("inf"))
                self._changed.wait(self._wakes_at - now if due else None)


_watch = _Watch()
_current: ContextVar[ExchangeBounds | None] = ContextVar("_current", default=None)


def _after_fork() -> None:
    global _watch
    _watch = _Watch()  # a child has no threads but the one that forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def bounded(bounds: ExchangeBounds) -> Iterator[None]:
    """Bound the exchanges that clients made with `bound_session` have in this block."""
    token = _current.set(bounds)
    bounds.start()
    try:
        yield
    finally:
        bounds.stop()
        _current.reset(token)


def bound_session(http_session: Any) -> None:
    """Have the connections of botocore's HTTP session keep the bounds of `bounded`."""
    default = getattr(http_session, "_get_request_timeout", None)

    def request_timeout(request: Any) -> Any:
        bounds = _current.get()
        if bounds is None:
            return default(request) if default is not None else None
        from urllib3 import Timeout as SocketTimeouts

        return SocketTimeouts(connect=bounds.connect, read=bounds.read)

    http_session._get_request_timeout = request_timeout
    classes = http_session._pool_classes_by_scheme
    classes.update({scheme: _bounded_pool(pool) for scheme, pool in classes.items()})


@cache
def _bounded_pool(pool: Any) -> Any:
    """Return a urllib3 pool whose connections hand over their sockets, and whose answers have an end."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def getresponse(self, *args: Any, **kwargs: Any) -> Any:
            bounds = _current.get()
            if bounds is not None:
                bounds.watch(self.sock)
            return super().getresponse(*args, **kwargs)

    class Pool(pool):  # type: ignore[misc]
        ConnectionCls = Connection

        def urlopen(self, *args: Any, **kwargs: Any) -> Any:
            response = super().urlopen(*args, **kwargs)
            bounds = _current.get()
            if bounds is not None:
                response.stream = _bounded_stream(response, bounds)
            return response

    return Pool


def _bounded_stream(response: Any, bounds: ExchangeBounds) -> Any:
    whole = response.stream
    is_error = response.status >= 300
    limit = min(MAX_ERROR_BYTES, bounds.max_bytes) if is_error else bounds.max_bytes

    def stream(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        left = limit
        for piece in whole(*args, **kwargs):
            left -= len(piece)
            if left >= 0:
                yield piece
                continue
            response.close()
            if not is_error:
                bounds.too_long = True
                raise OSError("the answer is too long")
            yield piece[: int(left)]
            return

    return stream
