"""Many paced streams at once, on one thread of the server."""

import asyncio
import time

import pytest

from llama_bedrock.local import LocalBedrock

TOKENS = 50
REQUEST = (
    b"POST /model/us.meta.llama3-3-70b-instruct-v1%3A0/invoke-with-response-stream HTTP/1.1\r\n"
    b"Host: localhost\r\nAuthorization: Bearer key\r\nContent-Length: 16\r\n\r\n"
    b'{"prompt": "Hi"}'
)


class Reader(asyncio.Protocol):
    """Reads one chunked response and notes when its first byte and its end came."""

    def __init__(self):
        self.ended = asyncio.get_running_loop().create_future()
        self.body = bytearray()
        self.first = None

    def connection_made(self, transport):
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data):
        if self.first is None:
            self.first = time.perf_counter()
        self.body += data
        if self.body.endswith(b"\r\n0\r\n\r\n"):
            self.transport.close()
            self.ended.set_result(time.perf_counter())


async def run_streams(server, count):
    """Open all streams at once; returns the readers and the seconds until the last one ended."""
    host, port = server.endpoint_url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    connections = [loop.create_connection(Reader, host, int(port)) for _ in range(count)]
    readers = [reader for _, reader in await asyncio.gather(*connections)]
    await asyncio.gather(*[reader.ended for reader in readers])
    return readers, time.perf_counter() - started


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
async def test_paced_streams_run_together(pieces_engine, count):
    engine = pieces_engine(*["token "] * TOKENS)
    first = 0.002 * count  # in which all connect, on a busy machine too
    async with LocalBedrock(engine, first_token_delay=first, token_delay=0.02) as server:
        used = time.process_time()
        readers, elapsed = await run_streams(server, count)
        used = time.process_time() - used
        assert server.stats.peak_active > count * 0.9
        assert server.stats.errors == server.stats.cancelled == 0
    assert {reader.body.count(b":event-type") for reader in readers} == {TOKENS + 1}
    paced = first + TOKENS * 0.02
    assert paced <= elapsed < paced * count / 10  # one after the other they would take `paced * count`
    assert used < 0.012 * count  # of both sides; four times what it takes


async def test_tokens_keep_to_their_schedule(pieces_engine):
    engine = pieces_engine(*["token "] * 10)
    async with LocalBedrock(engine, first_token_delay=0.3, token_delay=0.05) as server:
        started = time.perf_counter()
        (reader,), elapsed = await run_streams(server, 1)
    assert 0.75 <= elapsed < 1.5
    assert reader.first - started < elapsed
