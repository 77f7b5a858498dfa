"""Many streams at once, what a chunk costs, and what thousands of requests leave behind."""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
from tests.app.conftest import KEY

pytestmark = pytest.mark.slow

PROGRAM = str(Path(__file__).with_name("app_process.py"))
BODY = {"messages": [{"role": "user", "content": "Say something."}], "stream": True}


class Process:
    """The application in a process of its own."""

    def __init__(self, url, log, *send_buffer):
        command = [sys.executable, PROGRAM, "serve", url, *send_buffer]
        self._log = log
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.address = self.process.stdout.readline().strip()

    def told(self):
        self._log.seek(0)
        return self._log.read()

    def facts(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def bedrock():
    """Function: pieces of each answer and options of `LocalBedrock` → (server, application)."""
    with ExitStack() as stack:

        def start(pieces, *send_buffer, **options):
            engine = ScriptedEngine([pieces], repeat=True)
            engine.limits_length = True  # not by max_tokens
            server = stack.enter_context(LocalBedrock(engine, **options))
            app = Process(
                server.endpoint_url, stack.enter_context(tempfile.TemporaryFile("w+")), *send_buffer
            )
            stack.enter_context(app.process)
            stack.callback(app.process.kill)
            return server, app

        yield start


async def stream(http, address):
    """The events of one streamed answer."""
    async with http.post(f"{address}/v1/chat/completions", json=BODY) as answer:
        assert answer.status == 200
        return (await answer.read()).split(b"\n\n")


def client():
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {KEY}"}, connector=aiohttp.TCPConnector(limit=0)
    )


async def test_200_streams_at_once_and_none_is_lost(bedrock):
    server, app = bedrock(["token "] * 50, first_token_delay=1.0, token_delay=0.02)
    async with client() as http:
        answers = await asyncio.gather(*[stream(http, app.address) for _ in range(200)])
    for events in answers:
        assert events[-2:] == [b"data: [DONE]", b""]
        assert sum(b'"content":"token ' in event for event in events) == 50
    assert server.stats.peak_active > 180
    assert server.stats.errors == server.stats.cancelled == 0


async def test_streams_that_clients_leave_are_cancelled(bedrock):
    server, app = bedrock(["token "] * 400, token_delay=0.05)
    async with client() as http:

        async def leave():
            async with http.post(f"{app.address}/v1/chat/completions", json=BODY) as answer:
                await answer.content.readline()
                answer.close()

        await asyncio.gather(*[leave() for _ in range(50)])
        for _ in range(100):
            if server.stats.active == 0:
                break
            await asyncio.sleep(0.1)
        assert server.stats.active == 0  # the answers would have taken 20 seconds
        assert server.stats.cancelled == 50


async def test_slow_clients_hold_nobody_and_their_answers_wait_at_the_model(bedrock):
    """Some read nothing, some a few bytes a second, some never end their request; others stream meanwhile."""
    server, app = bedrock(answer_of_its_length, "16384")
    async with client() as http:

        async def others():
            began = time.monotonic()
            answers = await asyncio.gather(*[stream(http, app.address) for _ in range(20)])
            for events in answers:
                assert events[-2:] == [b"data: [DONE]", b""]
                assert sum(b'"content":"word ' in event for event in events) == 20
            return time.monotonic() - began

        await others()
        alone, before = await others(), app.facts()["rss"]
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(SlowClient(app.address)) for _ in range(30)]
            now_and_then, never, half = clients[:6], clients[6:20], clients[20:]
            for one in (*now_and_then, *never):
                await one.ask()
            for one in now_and_then:
                await stack.enter_async_context(one.reads_now_and_then())
            for one in half:
                await one.ask(whole=False)
            async with asyncio.timeout(60):
                pieces = -1
                while not all(one.begun for one in now_and_then) or pieces != server.stats.pieces:
                    pieces = server.stats.pieces
                    await asyncio.sleep(1)  # until all buffers on the way are full
            assert max([await others() for _ in range(3)]) < 4 * alone + 2
            assert app.facts()["rss"] - before < 70e6  # the answers have 400 MB
            assert server.stats.active > 10  # the model waits, too, where the system has not taken it all
            rest = await never[0].the_rest()
        assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert rest.count(b'"content":"word ') == LONG
        async with asyncio.timeout(60):  # who has left is forgotten
            while server.stats.active:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "Traceback" not in app.told()


LONG, PIECE = 5000, "word " + " " * 4000


def answer_of_its_length(request):
    """20 MB for those who ask for a long answer."""
    return [PIECE] * LONG if "long" in request.prompt else ["word "] * 20


class SlowClient:
    """A client with small buffers."""

    def __init__(self, address):
        self.address = address.removeprefix("http://").split(":")
        self.begun = False

    async def __aenter__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        await self._loop.sock_connect(self.socket, (self.address[0], int(self.address[1])))
        return self

    async def __aexit__(self, *_):
        self.socket.close()

    async def ask(self, whole=True):
        body = json.dumps({"messages": [{"role": "user", "content": "long"}], "stream": True})
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        await self._loop.sock_sendall(self.socket, (head + (body if whole else body[:9])).encode())

    @asynccontextmanager
    async def reads_now_and_then(self):
        async def read():
            while await self._loop.sock_recv(self.socket, 16):
                self.begun = True
                await asyncio.sleep(0.5)

        task = asyncio.create_task(read())
        yield
        task.cancel()
        await asyncio.wait([task])

    async def the_rest(self):
        got = bytearray()
        while not got.endswith(b"0\r\n\r\n"):
            more = await self._loop.sock_recv(self.socket, 1 << 20)
            assert more, bytes(got[-500:])
            got += more
        return bytes(got)


async def test_a_chunk_costs_at_most_twice_what_the_library_takes(bedrock):
    server, app = bedrock(["word "] * 2000)
    ratios = []
    async with client() as http:
        await stream(http, app.address)
        for _ in range(3):
            command = [sys.executable, PROGRAM, "library", server.endpoint_url, "5"]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=True
            )
            alone = json.loads(done.stdout)
            before = app.facts()["cpu"]
            answers = await asyncio.gather(*[stream(http, app.address) for _ in range(5)])
            chunks = sum(sum(b'"content":"word ' in event for event in events) for events in answers)
            assert chunks == alone["chunks"] == 10_000
            ratios.append((app.facts()["cpu"] - before) / alone["cpu"])
            if ratios[-1] < 2:
                break
    assert min(ratios) < 2, ratios


@pytest.mark.timeout(300)  # 10,000 requests were flat as well
async def test_memory_is_flat_over_thousands_of_requests(bedrock):
    _, app = bedrock(["Yes."])
    async with client() as http:

        async def some(count):
            for _ in range(count):
                async with http.post(
                    f"{app.address}/v1/chat/completions", json={**BODY, "stream": False}
                ) as answer:
                    assert (await answer.json())["choices"][0]["message"]["content"] == "Yes."

        async def many(count):
            await asyncio.gather(*[some(count // 20) for _ in range(20)])

        await many(600)  # pools, caches and arenas fill
        before = app.facts()["rss"]
        await many(2000)
        assert app.facts()["rss"] - before < 8e6


@pytest.mark.timeout(300)
def test_under_faults_and_a_restart_no_answer_is_lost_and_every_error_is_right():
    """The short form of benchmarks/app_load.py, which has 200 streams for ten minutes."""
    program = Path(__file__).parents[2] / "benchmarks" / "app_load.py"
    command = [sys.executable, str(program), "--streams", "24", "--seconds", "8", "--token-delay", "0.02"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["exit_code"] == 0  # of the process that was told to stop
    assert {outcome.partition(":")[0] for outcome in told["outcomes"]} == {
        "plain", "passing", "slow", "reader", "throttled", "broken",
    }  # fmt: skip
