"""HTTP/1.1's chunked framing taken off a body, many chunks at a time. No I/O: bytes in, bytes out.

urllib3 reads a chunk's length, its data and its end one by one, which costs more than decoding its event.
"""

from __future__ import annotations

_MAX_LINE_BYTES = 4096  # of a length with its extensions, or of a trailer


class ChunkedError(ValueError):
    """The bytes are no chunked body."""


class Dechunker:
    """Incremental: `feed` bytes as they come until `done`."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""
        self._left = 0  # bytes of the current chunk that are to come, its line end included
        self._in_trailer = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes, cut anywhere; return the part of the body in them.

        Raises:
            ChunkedError: The framing is damaged, or goes on after its end.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        parts: list[bytes] = []
        position, length = 0, len(data)
        while position < length:
            if self._left:
                end = position + self._left
                if end > length:
                    position = self._partly(data, position, parts)
                    break
                if data[end - 2 : end] != b"\r\n":
                    raise ChunkedError("a chunk is longer than its length says")
                parts.append(data[position : end - 2])
                self._left = 0
                position = end
                continue
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                if length - position > _MAX_LINE_BYTES:
                    raise ChunkedError("the line of a chunk's length has no end")
                break
            self._read_line(data[position:line_end])
            position = line_end + 2
        self._rest = data[position:]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _partly(self, data: bytes, position: int, parts: list[bytes]) -> int:
        """Take what is there of a cut chunk, but not of its line end; return the new position."""
        take = min(len(data) - position, self._left - 2)
        parts.append(data[position : position + take])
        self._left -= take
        return position + take

    def _read_line(self, line: bytes) -> None:
        if self.done:
            raise ChunkedError("bytes after the last chunk")
        if self._in_trailer:
            self.done = not line
            return
        try:
            size = int(line.split(b";", 1)[0], 16)
        except ValueError:
            raise ChunkedError(f"{line[:40]!r} is no length of a chunk") from None
        if size < 0:
            raise ChunkedError(f"{line[:40]!r} is no length of a chunk")
        self._in_trailer = size == 0
        self._left = size + 2 if size else 0
