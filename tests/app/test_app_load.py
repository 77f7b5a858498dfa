"""Many streams at once, what a chunk costs, and what thousands of requests leave behind."""

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack
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

    def __init__(self, url):
        command = [sys.executable, PROGRAM, "serve", url]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def facts(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def bedrock():
    """Function: pieces of each answer and options of `LocalBedrock` → (server, application)."""
    with ExitStack() as stack:

        def start(pieces, **options):
            server = stack.enter_context(LocalBedrock(ScriptedEngine([pieces], repeat=True), **options))
            app = Process(server.endpoint_url)
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
