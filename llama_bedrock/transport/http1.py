"""Answers in HTTP/1.1, read from a socket: no read outlasts the deadline in force.

A socket's own timeout is one of a single read: a server that sends a byte now and then is never late for it.
So each read here gets what is left of the time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_PIECE_BYTES = 65536
_MAX_HEAD_BYTES = 256 * 1024
_MAX_LINE_BYTES = 65536
_EMPTY_LINE = re.compile(rb"\n\r*\n")


class DamagedHttpError(OSError):
    """What came is not HTTP/1.1, or ended too early."""


@lru_cache(maxsize=1024)
def _usual_length(line: bytes) -> int:
    """Return the length of a chunk by a line that holds nothing else, else 0."""
    return int(line, 16) if line and not line.strip(b"0123456789abcdefABCDEF") else 0


class NotYetError(Exception):
    """What is to be read has not come; the read is made again when more has."""


class Channel:
    """A connection's socket with a buffer and a deadline.

    Args:
        sock: A connected socket, of TLS or not; None where another reads it and only the time is kept.

    Attributes:
        due: Monotonic time when the next read or write must be over; None for no such deadline.
    """

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.due: float | None = None
        self.idle_since = 0.0
        self._data, self._at = b"", 0

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            TimeoutError: The deadline passed.
            OSError: The connection broke.
        """
        view, sent = memoryview(data), 0
        while sent < len(data):
            self.settimeout()
            sent += self.sock.send(view[sent:])

    def read_some(self, most: int = _PIECE_BYTES) -> bytes:
        """Return what has come, at least a byte; empty at the end."""
        data, at = self._data, self._at
        if at == len(data):
            data, at = self._receive(), 0
        if not at and len(data) <= most:
            self._data, self._at = b"", 0
            return data
        piece = data[at : at + most]
        self._data, self._at = data, at + len(piece)
        return piece

    def read_head(self) -> tuple[int, bool, dict[str, str]]:
        """Return the status of the next answer, whether it is HTTP/1.1, and its headers, named in lower case.

        Raises:
            DamagedHttpError: It is no head of an answer.
        """
        while True:
            lines = self._lines_of_head()
            version, status = self._status_line(next(lines))
            headers: dict[str, str] = {}
            left, name = _MAX_HEAD_BYTES, ""
            for line in lines:
                left -= len(line)
                key, colon, value = line.partition(":")
                is_folded = line[0] in " \t"  # an old way to go on with the header before
                if left < 0 or not (name if is_folded else colon):
                    raise DamagedHttpError(f"no header of HTTP: {line[:80]!r}")
                if is_folded:
                    headers[name] += " " + line.strip()
                    continue
                name = key.strip().lower()
                value = value.strip()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            if status >= 200:
                return status, version == "HTTP/1.1", headers

    def _lines_of_head(self) -> Iterator[str]:
        """Yield the lines up to the empty one: at once where all have come, and end as they should."""
        if not self.has_data:
            self._data, self._at = self._receive(), 0
        data, at = self._data, self._at
        end = data.find(b"\r\n\r\n", at)
        if 0 <= end < at + _MAX_LINE_BYTES:
            text = data[at:end].decode("latin-1")
            lines = text.split("\r\n")
            if text.count("\n") == len(lines) - 1 == text.count("\r"):
                self._at = end + 4
                return iter(lines)
        return self._line_by_line()

    def _line_by_line(self) -> Iterator[str]:
        yield self.read_line()
        while line := self.read_line():
            yield line

    @staticmethod
    def _status_line(line: str) -> tuple[str, int]:
        version, _, rest = line.partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or not status.isdigit() or len(status) < 3:
            raise DamagedHttpError(f"no answer of HTTP/1.1: {line[:80]!r}")
        return version, int(status)

    def read_line(self) -> str:
        """Return the next line without its end."""
        data, at = self._data, self._at
        while (end := data.find(b"\n", at)) < 0:
            if len(data) - at > _MAX_LINE_BYTES:
                raise DamagedHttpError("a line of HTTP without an end")
            piece = self._receive()
            if not piece:
                raise DamagedHttpError("the server closed the connection before its answer was complete")
            data, at = data[at:] + piece, 0
        self._data, self._at = data, end + 1
        return data[at:end].decode("latin-1").rstrip("\r")

    def take_chunks(self) -> list[bytes]:
        """Return the chunks that have come whole, with their lengths; not the last, empty one."""
        data, at, chunks = self._data, self._at, []
        while (start := data.find(b"\r\n", at, at + 10) + 2) > 1:
            end = start + _usual_length(data[at : start - 2])
            if end == start or data[end : end + 2] != b"\r\n":
                break
            chunks.append(data[start:end])
            at = end + 2
        self._at = at
        return chunks

    def skip_line_end(self) -> bool:
        """Pass an empty line if it has come."""
        found = self._data.startswith(b"\r\n", self._at)
        if found:
            self._at += 2
        return found

    @property
    def has_data(self) -> bool:
        """Whether something can be read without a wait."""
        return self._at < len(self._data)

    @property
    def has_chunk_size(self) -> bool:
        """Whether the end of one chunk and the line that begins the next can be read without a wait."""
        return self._data.find(b"\n", self._at + 2) >= 0

    def _receive(self) -> bytes:
        self.settimeout()
        data: bytes = self.sock.recv(_PIECE_BYTES)
        return data

    def settimeout(self) -> None:
        """Have the next operation on the socket end with the deadline.

        Raises:
            TimeoutError: It has passed.
        """
        self.sock.settimeout(self.seconds_left())

    def seconds_left(self) -> float | None:
        """Return what is left of the time.

        Raises:
            TimeoutError: Nothing is.
        """
        left = None if self.due is None else self.due - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        return left


class Inbox(Channel):
    """A channel whose bytes are brought: a read that lacks some raises `NotYetError` and can be made again.

    Attributes:
        ended: No more bytes come.
        failure: Why, unless the other end closed the connection.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self.ended = False
        self.failure: BaseException | None = None
        self._searched = self._line_end = 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        at = self._at
        if at < len(self._data):
            data = self._data[at:] + data
        if self._searched:
            self._searched, self._line_end = max(0, self._searched - at), max(0, self._line_end - at)
        self._data, self._at = data, 0

    def _lines_of_head(self) -> Iterator[str]:
        if not self.ended and len(self) <= _MAX_HEAD_BYTES and not self._has_empty_line():
            raise NotYetError
        return super()._lines_of_head()

    def _has_empty_line(self) -> bool:
        """Look for the end of a head: once at each byte, however they dribble."""
        data, start = self._data, max(self._at, self._searched)
        self._searched = len(data)
        if data.find(b"\n", start) < 0:
            return False
        found = _EMPTY_LINE.search(data, max(self._at, self._line_end)) is not None
        self._line_end = data.rindex(b"\n")
        if found:
            self._searched = self._line_end = 0
        return found

    def _receive(self) -> bytes:
        if not self.ended:
            raise NotYetError
        if self.failure is not None:
            raise self.failure
        return b""


class Answer:
    """One answer: its head has been read, `read` gives the body piece by piece.

    Args:
        channel: Where it comes from.

    Raises:
        DamagedHttpError: It is no answer of HTTP/1.1.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.status, is_new, self.headers = channel.read_head()
        kept = self.headers.get("connection", "keep-alive" if is_new else "close").lower()
        self._keeps = "close" not in kept
        self._chunked = self.headers.get("transfer-encoding", "").lower().endswith("chunked")
        self._left: int | None = 0 if self._chunked else self._length()
        self._between_chunks = self._at_end = False
        self._damage: DamagedHttpError | None = None
        self.complete = self._left == 0 and not self._chunked

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent on the connection."""
        return self.complete and self._keeps and not self.channel.has_data

    def read(self) -> bytes:
        """Return the next piece of the body as soon as there is one, empty at its end.

        Raises:
            DamagedHttpError: The connection ended before the body did.
        """
        if self.complete:
            return b""
        if self._chunked:
            return self._read_chunks()
        left = self._left
        piece = self.channel.read_some(_PIECE_BYTES if left is None else min(left, _PIECE_BYTES))
        if left is not None:
            if not piece:
                raise DamagedHttpError(f"{left} bytes of the answer are missing")
            self._left = left - len(piece)
        self.complete = not (piece if left is None else self._left)
        return piece

    def _read_chunks(self) -> bytes:
        """Return a piece of the chunk that comes, and the further chunks that have come already."""
        channel = self.channel
        if self._damage is not None:
            raise self._damage
        is_inside = self._left or self._between_chunks or self._at_end
        pieces = [] if is_inside else channel.take_chunks()  # the usual; the rest is read step by step
        while not self._at_end:
            if not self._left:
                if pieces and not channel.has_chunk_size:
                    break
                try:
                    self._left = self._chunk_size()
                except DamagedHttpError as error:
                    if not pieces:
                        raise
                    self._damage = error  # what came before it is handed out first
                    return b"".join(pieces)
                self._at_end = not self._left
            elif pieces and not channel.has_data:
                break
            else:
                piece = channel.read_some(self._left)
                if not piece:
                    raise DamagedHttpError("the connection ended inside a chunk")
                pieces.append(piece)
                self._left -= len(piece)
                self._between_chunks = bool(self._left) or not channel.skip_line_end()
        if not pieces:
            while channel.read_line():
                pass  # trailers
            self.complete = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _chunk_size(self) -> int:
        if self._between_chunks and self.channel.read_line():
            raise DamagedHttpError("a chunk is longer than it says")
        self._between_chunks = False  # also where the length has not come yet
        line = self.channel.read_line().partition(";")[0].strip()
        if not line or line.strip("0123456789abcdefABCDEF") or len(line) > 16:
            raise DamagedHttpError(f"no length of a chunk: {line[:80]!r}")
        return int(line, 16)

    def _length(self) -> int | None:
        if self.status in (204, 304):
            return 0
        text = self.headers.get("content-length")
        if text is None:
            return None
        lengths = {part.strip() for part in text.split(",")}
        if len(lengths) != 1 or not (length := lengths.pop()).isdigit():
            raise DamagedHttpError(f"no length of an answer: {text[:80]!r}")
        return int(length)
