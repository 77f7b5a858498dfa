"""The head of an answer is the same however its bytes come: at once, or byte by byte."""

import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llama_bedrock.transport.http1 import Answer, Channel, DamagedHttpError, Inbox, NotYetError

ENDS = st.sampled_from(["\r\n"] * 8 + ["\n", "\r\r\n", "\r"])
LINES = st.sampled_from(
    ["HTTP/1.1 200 OK", "HTTP/1.1 100 Continue", "HTTP/1.0 403 Forbidden", "HTTP/1.1 20", "Content-Length: 2",
     "X-Amzn-RequestId: 1-2", "x-amzn-requestid:3", " folded", "\tfolded too", "no colon", ": no name", "",
     "Ä: latin-1", "a:b:c", "Set-Cookie:  x \x0b", "spread: over\x85lines\x1c"]
)  # fmt: skip


class ByteByByte:
    """A socket that hands out one byte at a time."""

    def __init__(self, sock):
        self._sock = sock
        self.settimeout = sock.settimeout

    def recv(self, most):
        return self._sock.recv(min(most, 1))


def head_of(sent, wrap):
    """What is read of a head: the head and what comes after it, or the error."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        channel = Channel(wrap(ours))
        try:
            head = channel.read_head()
        except DamagedHttpError as error:
            return type(error), str(error)
        rest = b""
        while piece := channel.read_some():
            rest += piece
        return head, rest


def brought(sent, cuts, read):
    """What `read` gives of an inbox to which the bytes are brought in pieces, and the rest; or the error."""
    inbox, at, found = Inbox(), 0, None
    for end in [*sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]:
        if end > at:
            inbox.feed(sent[at:end])
        at = end
        inbox.ended = at == len(sent)
        try:
            found = found or read(inbox)
        except NotYetError:
            assert not inbox.ended
        except DamagedHttpError as error:
            return type(error), str(error)
    return found, inbox.read_some(len(sent))


@given(
    st.lists(st.tuples(LINES, ENDS), max_size=7),
    st.sampled_from(["HTTP/1.1 200 OK\r\n", ""]),
    st.lists(st.integers(0, 200), max_size=6),
)
@example([("HTTP/1.1 100 Continue", "\r\n"), ("", "\r\n"), ("HTTP/1.1 200 OK", "\r\n")], "", [23, 24, 26, 30])
@example([("a:b", "\r\r\n")], "HTTP/1.1 200 OK\r\n", [18, 21])
def test_a_head_in_pieces_is_the_head_at_once(lines, first, cuts):
    sent = (first + "".join(line + end for line, end in lines) + "\r\n\r\nbody").encode("latin-1")
    assert brought(sent, cuts, Channel.read_head) == head_of(sent, lambda sock: sock)


def body_of(sent, wrap):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        return read_body(Channel(wrap(ours)), [])


def read_body(channel, pieces):
    """The whole body, and whether another answer may follow; or the error."""
    try:
        answer = Answer(channel)
        while not answer.complete:
            pieces.append(answer.read())
    except DamagedHttpError as error:
        return b"".join(pieces), str(error)
    return b"".join(pieces), answer.reusable


CHUNKS = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=20), st.sampled_from(["\r\n"] * 6 + ["\n", ";x=1\r\n", "g\r\n"])
    ),
    max_size=5,
)


@given(CHUNKS, st.sampled_from(["\r\n"] * 6 + ["\n", "x\r\n", ""]), st.lists(st.integers(0, 300), max_size=8))
@example([(b"hello", "\r\n"), (b"you", "\r\n")], "\r\n", [47, 55, 56, 57, 58, 59])
def test_a_body_in_pieces_is_the_body_at_once(chunks, end, cuts):
    parts = [b"%x" % len(data) + line.encode() + data + end.encode() for data, line in chunks]
    sent = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\nA: b\r\n\r\n"
    expected = body_of(sent, lambda sock: sock)
    assert body_of(sent, ByteByByte) == expected
    assert brought_body(sent, cuts) == expected


def brought_body(sent, cuts):
    inbox, answer, pieces, at = Inbox(), None, [], 0
    for stop in [*sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]:
        inbox.feed(sent[at:stop])
        at, inbox.ended = stop, stop == len(sent)
        try:
            answer = answer or Answer(inbox)
            while not answer.complete:
                pieces.append(answer.read())
        except NotYetError:
            assert not inbox.ended
        except DamagedHttpError as error:
            return b"".join(pieces), str(error)
    return b"".join(pieces), answer.reusable


def test_a_head_that_dribbles_is_read_once():
    """Each byte is looked at once, not all of them again at each."""
    inbox, sent = Inbox(), b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20_000
    tries = 0
    for at in range(0, len(sent), 8):
        inbox.feed(sent[at : at + 8])
        tries += 1
        with pytest.raises(NotYetError):
            inbox.read_head()
        assert inbox._searched == len(inbox)
        assert inbox._line_end >= len(inbox) - 20
    assert tries == 20_003


@given(st.lists(st.tuples(LINES, ENDS), max_size=7), st.sampled_from(["HTTP/1.1 200 OK\r\n", ""]))
@example([("HTTP/1.1 100 Continue", "\r\n"), ("", "\r\n"), ("HTTP/1.1 200 OK", "\r\n")], "")
@example([("a:b", "\n"), ("", "\n"), ("not of the head: 1", "\r\n"), ("", "\r\n")], "HTTP/1.1 200 OK\r\n")
def test_a_head_at_once_is_the_head_byte_by_byte(lines, first):
    sent = (first + "".join(line + end for line, end in lines) + "\r\n\r\nbody").encode("latin-1")
    assert head_of(sent, lambda sock: sock) == head_of(sent, ByteByByte)


def test_a_header_goes_on_in_a_line_that_begins_with_a_space():
    sent = b"HTTP/1.1 200 OK\r\nX-Note: one\r\n two\r\n\tthree: 3\r\n\r\n"
    assert head_of(sent, lambda sock: sock)[0] == (200, True, {"x-note": "one two three: 3"})


def test_nothing_goes_on_before_the_first_header():
    kind, text = head_of(b"HTTP/1.1 200 OK\r\n X-Note: one\r\n\r\n", lambda sock: sock)
    assert kind is DamagedHttpError
    assert "' X-Note: one'" in text
