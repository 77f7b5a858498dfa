"""The head of an answer is the same however its bytes come: at once, or byte by byte."""

import socket

from hypothesis import example, given
from hypothesis import strategies as st

from llama_bedrock.transport.http1 import Channel, DamagedHttpError

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
