"""The frame codec: whole, cut anywhere, with a tail, damaged, and against botocore's decoder.

Fuzz invariant: for any bytes, cut anywhere, the decoder yields frames or raises EventStreamDecodeError.
"""

import contextlib
import struct
import zlib
from typing import NamedTuple
from uuid import UUID

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.transport.eventstream import (
    MAX_HEADER_BYTES,
    EventStreamDecodeError,
    EventStreamDecoder,
    encode_frame,
)


class Frame(NamedTuple):
    """What the decoder gives, with names; equal to the plain tuple."""

    headers: dict
    payload: bytes


# AWS's published vectors: what the SDKs of all languages are tested with.
VECTORS = {
    "empty message": (b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff", Frame({}, b"")),
    "int32 header": (
        b"\x00\x00\x00+\x00\x00\x00\x0e4\x8b\xec{\x08event-id\x04\x00\x00\xa0\x0c{'foo':'bar'}\xd3\x89\x02\x85",
        Frame({"event-id": 0xA00C}, b"{'foo':'bar'}"),
    ),
    "no headers": (
        b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96",
        Frame({}, b"{'foo':'bar'}"),
    ),
    "one string header": (
        b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json"
        b"{'foo':'bar'}\x8d\x9c\x08\xb1",
        Frame({"content-type": "application/json"}, b"{'foo':'bar'}"),
    ),
}
EVERY_TYPE = {
    "true": True,
    "false": False,
    "int": -7,
    "long": 1 << 40,
    "bytes": b"\x00\xff",
    "str": "Größe",
    "uuid": UUID("01020304-0506-0708-090a-0b0c0d0e0f10"),
}
# byte, short and timestamp: read, but never written by encode_frame
RAW_NUMBERS = (
    b"\x04byte\x02\xff" + b"\x05short\x03\xff\xfe" + b"\x04time\x08" + struct.pack("!q", 1_700_000_000_000)
)

names = st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) <= 255)
values = st.one_of(
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.binary(max_size=50),
    st.text(max_size=50),
    st.uuids(),
)
frames = st.builds(Frame, st.dictionaries(names, values, max_size=5), st.binary(max_size=200))


def raw_frame(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack("!I", zlib.crc32(body))


def decode(data, *cuts):
    decoder = EventStreamDecoder()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        found += decoder.feed(data[start:end])
    decoder.close()
    return [Frame(*frame) for frame in found]


def botocore_decode(data):
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [Frame(dict(message.headers), message.payload) for message in buffer]


@pytest.mark.parametrize("name", VECTORS)
def test_published_vector(name):
    data, frame = VECTORS[name]
    assert decode(data) == [frame]
    assert encode_frame(frame.headers, frame.payload) == data


def test_every_header_type_is_read_as_botocore_reads_it():
    data = encode_frame(EVERY_TYPE, b"{}") + raw_frame(RAW_NUMBERS, b"")
    ours = decode(data)
    assert ours[0].headers == EVERY_TYPE
    assert ours[1].headers == {"byte": -1, "short": -2, "time": 1_700_000_000_000}
    theirs = botocore_decode(data)
    theirs[0].headers["uuid"] = UUID(bytes=theirs[0].headers["uuid"])
    assert ours == theirs


STREAM = b"".join(data for data, _ in VECTORS.values()) + encode_frame(EVERY_TYPE, b"x" * 40)
FRAMES = [frame for _, frame in VECTORS.values()] + [Frame(EVERY_TYPE, b"x" * 40)]


def test_cut_at_every_point():
    for cut in range(len(STREAM) + 1):
        assert decode(STREAM, cut) == FRAMES


def test_byte_by_byte():
    assert decode(STREAM, *range(1, len(STREAM))) == FRAMES


def test_bytes_after_the_last_frame_are_an_error_at_the_end_only():
    decoder = EventStreamDecoder()
    assert decoder.feed(STREAM + b"\x00\x00\x00") == FRAMES
    with pytest.raises(EventStreamDecodeError, match="3 bytes into a frame"):
        decoder.close()


def test_the_end_in_every_place_but_between_frames_is_an_error():
    ends = {0}
    for frame in FRAMES:
        ends.add(max(ends) + len(encode_frame(frame.headers, frame.payload)))
    for cut in range(len(STREAM)):
        decoder = EventStreamDecoder()
        decoder.feed(STREAM[:cut])
        if cut in ends:
            decoder.close()
        else:
            with pytest.raises(EventStreamDecodeError):
                decoder.close()


def test_one_flipped_byte_anywhere_is_found():
    for at in range(len(STREAM)):
        data = bytearray(STREAM)
        data[at] ^= 0xFF
        with pytest.raises(EventStreamDecodeError):
            decode(bytes(data))


def test_frames_before_a_fault_are_handed_out_and_the_fault_stays():
    good, _ = VECTORS["no headers"]
    bad = bytearray(good)
    bad[-1] ^= 1
    decoder = EventStreamDecoder()
    assert len(decoder.feed(good + bytes(bad))) == 1
    assert isinstance(decoder.failure, EventStreamDecodeError)
    for again in (lambda: decoder.feed(good), decoder.close):
        with pytest.raises(EventStreamDecodeError, match="message checksum"):
            again()


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (b"\x01a\x0a", "unknown header type"),
        (b"\x01a\x00\x01a\x01", "occurs twice"),
        (b"\x05ab", "malformed"),
        (b"\x01a\x07\x00\x09abc", "cut off"),
        (b"\x01a\x09abc", "cut off"),
        (b"\x01a\x04\x00", "malformed"),
        (b"\x01\xff\x00", "malformed"),
        (b"\x01a\x07\x00\x01\xff", "malformed"),
    ],
)
def test_malformed_headers_are_named(headers, why):
    with pytest.raises(EventStreamDecodeError, match=why):
        decode(raw_frame(headers, b""))


def test_a_length_that_is_out_of_bounds_is_refused_before_its_bytes_have_come():
    for total, header_length in ((15, 0), (100, 90), (1 << 31, 0), (1 << 20, MAX_HEADER_BYTES + 1)):
        prelude = struct.pack("!II", total, header_length)
        decoder = EventStreamDecoder()
        with pytest.raises(EventStreamDecodeError, match="out of bounds"):
            decoder.feed(prelude + struct.pack("!I", zlib.crc32(prelude)) + b"\x00" * 4)


def test_a_frame_of_many_small_pieces_costs_no_quadratic_copying():
    payload = b"x" * 4_000_000
    data = encode_frame({"a": "b"}, payload)
    decoder = EventStreamDecoder()
    found = []
    for start in range(0, len(data), 500):
        found += decoder.feed(data[start : start + 500])
    assert found == [Frame({"a": "b"}, payload)]


def test_encoding_refuses_what_the_format_cannot_carry():
    with pytest.raises(ValueError, match="64 bits"):
        encode_frame({"a": 1 << 64})
    with pytest.raises(ValueError, match="65,535"):
        encode_frame({"a": "x" * 70_000})
    with pytest.raises(ValueError, match="1 to 255"):
        encode_frame({"": 1})
    with pytest.raises(TypeError, match="list"):
        encode_frame({"a": []})


@given(st.lists(frames, max_size=4), st.lists(st.integers(0, 3000), max_size=6))
def test_decoding_undoes_encoding_however_it_is_cut(some, cuts):
    data = b"".join(encode_frame(frame.headers, frame.payload) for frame in some)
    assert decode(data, *sorted(min(cut, len(data)) for cut in cuts)) == some


@given(st.lists(frames, min_size=1, max_size=3))
def test_botocore_reads_what_we_write(some):
    data = b"".join(encode_frame(frame.headers, frame.payload) for frame in some)
    for ours, theirs in zip(some, botocore_decode(data), strict=True):
        assert ours.payload == theirs.payload
        as_bytes = {key: v.bytes if isinstance(v, UUID) else v for key, v in ours.headers.items()}
        assert as_bytes == theirs.headers


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_yield_frames_or_our_one_error(data, cut):
    with contextlib.suppress(EventStreamDecodeError):
        decode(data, min(cut, len(data)))


@settings(max_examples=300)
@given(st.data())
def test_damaged_frames_yield_frames_or_our_one_error_and_botocore_agrees(data):
    """Where checksums are recomputed after the damage, only the structure is left to tell."""
    headers = bytearray(data.draw(st.binary(max_size=40)))
    stream = raw_frame(bytes(headers), data.draw(st.binary(max_size=20)))
    try:
        ours = decode(stream)
    except EventStreamDecodeError:
        return
    theirs = botocore_decode(stream)
    assert [frame.payload for frame in ours] == [frame.payload for frame in theirs]
    assert [set(frame.headers) for frame in ours] == [set(frame.headers) for frame in theirs]
