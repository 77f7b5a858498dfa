"""The chunked framing of HTTP/1.1: taken off as http.client takes it off, however the bytes are cut."""

import http.client
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock.transport.chunked import ChunkedError, Dechunker

BODY = b"5\r\nhello\r\n1;name=value\r\n \r\nA\r\n0123456789\r\n2\r\n\r\n\r\n0\r\n\r\n"
PLAIN = b"hello 0123456789\r\n"


def take_off(data, *cuts):
    dechunker = Dechunker()
    found = b""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        found += dechunker.feed(data[start:end])
    return found, dechunker.done


def standard_library(data):
    class Sock:
        def makefile(self, *_):
            return io.BytesIO(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)

    response = http.client.HTTPResponse(Sock())
    response.begin()
    return response.read()


def test_whole():
    assert take_off(BODY) == (PLAIN, True)
    assert standard_library(BODY) == PLAIN


def test_cut_at_every_point():
    for cut in range(len(BODY) + 1):
        assert take_off(BODY, cut) == (PLAIN, True)


def test_byte_by_byte():
    assert take_off(BODY, *range(1, len(BODY))) == (PLAIN, True)


def test_it_is_done_at_the_very_end_only():
    for end in range(len(BODY)):
        found, done = take_off(BODY[:end])
        assert PLAIN.startswith(found)
        assert not done


def test_trailers_are_passed_over():
    assert take_off(b"1\r\nx\r\n0\r\nExpires: never\r\nX: y\r\n\r\n") == (b"x", True)


@pytest.mark.parametrize(
    "data",
    [
        b"xyz\r\nhello\r\n",
        b"\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"4\r\nhello\r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n5\r\nagain\r\n",
        b"1" * 5000,
    ],
)
def test_damaged_framing_is_refused(data):
    with pytest.raises(ChunkedError):
        take_off(data)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(0, 500), max_size=8))
def test_taking_off_undoes_putting_on(pieces, cuts):
    data = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    cuts = sorted(min(cut, len(data)) for cut in cuts)
    assert take_off(data, *cuts) == (b"".join(pieces), True)
    assert standard_library(data) == b"".join(pieces)
