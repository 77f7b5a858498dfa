"""Streams that begin at once: none waits for what the others need later."""

import asyncio
import socket
import time

from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
from llama_bedrock.transport.aio import AsyncTransport, _batches, _pieces
from llama_bedrock.transport.loop_connections import Connection


class Begun:
    """A stream of which several pieces came in the first read, and several in the next."""

    def __init__(self, name):
        self.first = [f"{name}1", f"{name}2", f"{name}3"]
        self.done = self.closed = False
        self._next = [f"{name}4", f"{name}5"]

    async def more(self):
        self.done = True
        return self._next

    def close(self):
        self.closed = True


def test_each_stream_gets_its_first_piece_before_any_goes_on():
    seen, streams = [], [Begun("a"), Begun("b"), Begun("c")]

    async def read(stream):
        async def begin():
            return stream

        async for piece in _pieces(_batches(begin)):
            seen.append(piece)

    async def main():
        await asyncio.gather(*map(read, streams))

    asyncio.run(main())
    assert seen[:3] == ["a1", "b1", "c1"]
    assert seen[3:] == [f"{name}{number}" for name in "abc" for number in range(2, 6)]
    assert all(stream.closed for stream in streams)


def test_a_request_over_a_kept_connection_is_sent_before_the_loop_goes_on(make_settings, make_request):
    with LocalBedrock(engine=ScriptedEngine(["x"], repeat=True), first_token_delay=0.3) as running:

        async def main():
            async with AsyncTransport(make_settings(running.endpoint_url)) as transport:
                await transport.invoke(make_request())  # makes the client, and leaves a connection
                task = asyncio.create_task(transport.invoke(make_request()))
                await asyncio.sleep(0)
                for _ in range(500):  # the loop stands still meanwhile
                    if running.stats.requests == 2:
                        break
                    time.sleep(0.01)  # noqa: ASYNC251
                assert running.stats.requests == 2
                await task

        asyncio.run(main())


def test_a_connection_of_a_closed_loop_wakes_nobody():
    loop, (ours, theirs) = asyncio.new_event_loop(), socket.socketpair()
    connection = Connection(loop, lambda _: None)
    loop.run_until_complete(loop.create_connection(lambda: connection, sock=ours))
    connection._waiter = loop.create_future()
    connection._waiter.add_done_callback(print)  # as a task that reads
    loop.close()
    connection.discard()
    assert ours.fileno() == -1
    theirs.close()
