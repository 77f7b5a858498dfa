"""Amazon's binary event-stream framing, both ways. No I/O: bytes in, frames out.

A frame is a prelude (total length, header length, CRC-32 of both), headers, a payload and a CRC-32 of all
before it; integers are big-endian. Source: the smithy specification `application/vnd.amazon.eventstream`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import Any, TypeAlias
from uuid import UUID
from zlib import crc32

MAX_HEADER_BYTES = 128 * 1024  # botocore's own bounds, the specification's
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024
_PRELUDE = Struct("!III")
_UINT32 = Struct("!I")
_OVERHEAD = _PRELUDE.size + _UINT32.size
_MAX_FRAME_BYTES = MAX_HEADER_BYTES + MAX_PAYLOAD_BYTES
_KEEP_HEADER_SETS = 64  # a model's stream has one set of headers, a knowledge base's three
_KEEP_HEADER_BYTES = 512  # longer ones are not kept for the next stream

HeaderValue: TypeAlias = bool | int | bytes | str | UUID


class EventStreamDecodeError(ValueError):
    """The bytes are no event stream; the only error the decoder raises."""


# Headers and payload of one message. Frames with equal headers share one mapping: read it, do not write it.
# A plain tuple: a stream has thousands.
Frame: TypeAlias = tuple[Mapping[str, HeaderValue], bytes]


class EventStreamDecoder:
    """Incremental decoder: `feed` bytes as they come, `close` at their end.

    Frames before a fault are handed out first: `failure` is set at once, and raised by the next call.
    """

    def __init__(self) -> None:
        self.failure: EventStreamDecodeError | None = None
        self._buffer = bytearray()
        self._headers: dict[bytes, dict[str, HeaderValue]] = {}

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes, cut anywhere; return the frames they complete.

        Raises:
            EventStreamDecodeError: A checksum, a length or a header is wrong. The decoder is of no use then.
        """
        if self.failure is not None:
            raise self.failure
        frames: list[Frame] = []
        try:
            self._decode(data, frames)
        except EventStreamDecodeError as error:
            self.failure = error
            if not frames:
                raise
        return frames

    def _decode(self, data: bytes, frames: list[Frame]) -> None:
        buffer = self._buffer
        source: bytes | bytearray = data
        if buffer:
            buffer += data
            source = buffer
        position, available = 0, len(source)
        unpack, parsed = _PRELUDE.unpack_from, self._headers
        while available - position >= _OVERHEAD:
            total, header_length, prelude_crc = unpack(source, position)
            end = position + total
            if end > available or not _OVERHEAD + header_length <= total <= _MAX_FRAME_BYTES:
                self._check_prelude(source, position)  # before a damaged length can make us wait for ever
                break
            frame = bytes(source[position:end])
            if crc32(frame[:8]) != prelude_crc:
                raise EventStreamDecodeError("prelude checksum mismatch")
            if crc32(frame[:-4]) != int.from_bytes(frame[-4:], "big"):
                raise EventStreamDecodeError("message checksum mismatch")
            header_end = 12 + header_length
            raw_headers = frame[12:header_end]
            headers = parsed.get(raw_headers)
            if headers is None:
                headers = self._parse_headers(raw_headers)
            frames.append((headers, frame[header_end:-4]))
            position = end
        if source is buffer:
            del buffer[:position]
        elif position < available:
            buffer += data[position:]

    def close(self) -> None:
        """Tell the decoder that no more bytes come.

        Raises:
            EventStreamDecodeError: The last frame is not complete.
        """
        if self.failure is not None:
            raise self.failure
        if self._buffer:
            raise EventStreamDecodeError(f"the stream ends {len(self._buffer)} bytes into a frame")

    def _check_prelude(self, source: bytes | bytearray, position: int) -> None:
        total, header_length, checksum = _PRELUDE.unpack_from(source, position)
        if crc32(source[position : position + 8]) != checksum:
            raise EventStreamDecodeError("prelude checksum mismatch")
        if header_length > MAX_HEADER_BYTES or header_length + _OVERHEAD > total:
            raise EventStreamDecodeError(f"header length {header_length} out of bounds")
        if total > _MAX_FRAME_BYTES:
            raise EventStreamDecodeError(f"frame length {total} out of bounds")

    def _parse_headers(self, raw: bytes) -> dict[str, HeaderValue]:
        headers = _known_headers(raw) if len(raw) <= _KEEP_HEADER_BYTES else parse_headers(raw)
        if len(self._headers) >= _KEEP_HEADER_SETS:
            self._headers.clear()
        self._headers[raw] = headers
        return headers


_FIXED: dict[int, Struct] = {
    2: Struct("!b"),
    3: Struct("!h"),
    4: Struct("!i"),
    5: Struct("!q"),
    8: Struct("!q"),
}
_UINT16 = Struct("!H")


def parse_headers(raw: bytes) -> dict[str, HeaderValue]:
    """Parse the header section of a frame; timestamps come as milliseconds since 1970.

    Raises:
        EventStreamDecodeError: It is cut, names a header twice, or holds an unknown type.
    """
    headers: dict[str, HeaderValue] = {}
    position = 0
    try:
        while position < len(raw):
            name_end = position + 1 + raw[position]
            name = str(raw[position + 1 : name_end], "utf-8")
            kind = raw[name_end]
            value, position = _parse_value(raw, kind, name_end + 1)
            if name in headers:
                raise EventStreamDecodeError(f"header {name!r} occurs twice")
            headers[name] = value
    except (IndexError, StructError, UnicodeDecodeError) as error:
        raise EventStreamDecodeError(f"malformed headers: {error}") from None
    return headers


def _parse_value(raw: bytes, kind: int, position: int) -> tuple[HeaderValue, int]:
    if kind in (0, 1):
        return kind == 0, position
    if kind in _FIXED:
        number: int = _FIXED[kind].unpack_from(raw, position)[0]
        return number, position + _FIXED[kind].size
    if kind in (6, 7):
        start = position + 2
        end = start + _UINT16.unpack_from(raw, position)[0]
        value = raw[start:end]
    elif kind == 9:
        end = position + 16
        value = raw[position:end]
    else:
        raise EventStreamDecodeError(f"unknown header type {kind}")
    if end > len(raw):
        raise EventStreamDecodeError("malformed headers: cut off")
    if kind == 7:
        return str(value, "utf-8"), end
    return (UUID(bytes=value) if kind == 9 else value), end


_known_headers = lru_cache(maxsize=_KEEP_HEADER_SETS)(parse_headers)  # each stream has the same


def encode_frame(headers: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """Encode one frame.

    Args:
        headers: Values are str, bytes, bool, int (sent in 32 bits if it fits, else in 64) or UUID.
        payload: The message itself.

    Raises:
        ValueError: A name, a value or the whole is longer than the format can carry.
        TypeError: A header value of another type.
    """
    raw = b"".join(_encode_header(name, value) for name, value in headers.items())
    if len(raw) > MAX_HEADER_BYTES or len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"a frame takes {MAX_HEADER_BYTES} bytes of headers and {MAX_PAYLOAD_BYTES} of payload"
        )
    lengths = Struct("!II").pack(_OVERHEAD + len(raw) + len(payload), len(raw))
    body = b"".join((lengths, _UINT32.pack(crc32(lengths)), raw, payload))
    return body + _UINT32.pack(crc32(body))


def _encode_header(name: str, value: Any) -> bytes:
    encoded = name.encode()
    if not 1 <= len(encoded) <= 255:
        raise ValueError(f"header name {name!r}: 1 to 255 bytes")
    return bytes((len(encoded),)) + encoded + _encode_value(name, value)


def _encode_value(name: str, value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x00" if value else b"\x01"
    if isinstance(value, int):
        try:
            return b"\x04" + Struct("!i").pack(value)
        except StructError:
            pass
        try:
            return b"\x05" + Struct("!q").pack(value)
        except StructError:
            raise ValueError(f"header {name!r}: {value} does not fit in 64 bits") from None
    if isinstance(value, UUID):
        return b"\x09" + value.bytes
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        if len(data) > 0xFFFF:
            raise ValueError(f"header {name!r}: longer than 65,535 bytes")
        return (b"\x07" if isinstance(value, str) else b"\x06") + _UINT16.pack(len(data)) + data
    raise TypeError(f"header {name!r}: cannot encode {type(value).__name__}")
