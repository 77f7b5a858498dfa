"""The app under load and faults: ``python benchmarks/app_load.py [--streams 200] [--seconds 600]``.

`llama-bedrock api` runs in a process of its own against the local endpoint. So many clients stream answers,
one after the other, each with something of its own in it. Some meet throttling that passes, throttling that
stays, a connection that breaks in the middle or slow tokens; some read slowly. For a while a tenth as many
clients ask for answers that are longer than all buffers on the way, and read nothing; they leave. At half
time a second process takes over, and the first is told to stop (SIGTERM) while its answers are under way.
Printed, as JSON: what came of each kind, seconds of plain answers before and beside the clients that read
nothing, the app's size all the time, its growth by answers once it has settled, and `wrong`: what was lost
or not right and, from a minute on, what was not flat. Ends with 1 where anything was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
import psutil

from llama_bedrock.local import ErrorResponse, LocalBedrock, Reset, SlowChunks
from llama_bedrock.testing import ScriptedEngine

MODEL = "meta.llama3-1-8b-instruct-v1:0"
KEY = "a-key-for-load"
WORDS = 60
LONG = "word " + " " * 4000  # a piece of an answer that nobody reads
# Kinds of calls by their place in a row of 20: which kinds there are, and how often.
KINDS = ["plain"] * 12 + ["passing"] * 3 + ["slow"] * 2 + ["reader", "throttled", "broken"]
# Megabytes that the settled app may grow for 1,000 answers, 3 KB each: less than to keep their prompts and
# events would take, and more than the noise of a minute, which is 1.
MOST_GROWTH = 3.0
ENDS_RIGHT = {"throttled": "429 rate_limit_exceeded", "broken": "error after some text"}


def faults() -> list:
    """What goes wrong, by the word that a question ends in."""

    def of(kind):
        return lambda target: f"kind={kind}<" in str(target.body.get("prompt"))

    asked = set()

    def first_try(target):
        prompt = str(target.body.get("prompt"))
        if prompt in asked or "kind=passing<" not in prompt:
            return False
        asked.add(prompt)
        return True

    throttled = ErrorResponse("ThrottlingException")
    return [
        throttled.when(of("throttled")),
        throttled.when(first_try),
        Reset(after_bytes=6000).when(of("broken")),
        SlowChunks(0.05).when(of("slow")),
    ]


def answer(request) -> list[str]:
    """Words with the number of the question: who gets another's answer would see it."""
    if "kind=silent<" in request.prompt:
        return [LONG] * 5000
    number = re.findall(r"number=(\d+)", request.prompt)[-1]
    return [f"{number} "] * WORDS


class App:
    """The app in a process of its own."""

    def __init__(self, endpoint_url: str) -> None:
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": endpoint_url,
            "AWS_BEARER_TOKEN_BEDROCK": "k",
            "LLAMA_BEDROCK_KEY": KEY,
        }
        program = "from llama_bedrock.cli.main import main; main()"
        command = [sys.executable, "-W", "ignore", "-c", program, "api", "--bedrock", "--model", MODEL]
        self.process = subprocess.Popen(
            [*command, "--region", "us-west-2", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[1].partition("=")[2]
        self._seen = psutil.Process(self.process.pid)

    def facts(self) -> tuple[float, int]:
        """Megabytes of memory, and file descriptors."""
        return round(self._seen.memory_info().rss / 1e6, 1), self._seen.num_fds()


class Size(NamedTuple):
    """What the app held at a moment."""

    seconds: float
    answers: int
    rss_mb: float
    descriptors: int


@dataclass
class Load:
    """What the clients have seen."""

    app: App
    ends_at: float
    numbers: itertools.count = field(default_factory=itertools.count)
    outcomes: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    sizes: list[Size] = field(default_factory=list)

    async def client(self, http: aiohttp.ClientSession) -> None:
        """Stream answers until the time is over."""
        while time.monotonic() < self.ends_at:
            number = next(self.numbers)
            kind = KINDS[number % len(KINDS)]
            started = time.monotonic()
            try:
                outcome = await self.ask(http, number, kind)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                outcome = f"{type(error).__name__}: {error}"
            self.outcomes[f"{kind}: {outcome}"] += 1
            self.seconds[kind].append(time.monotonic() - started)
            if outcome != ENDS_RIGHT.get(kind, "whole"):
                self.wrong.append(f"{number} {kind}: {outcome}")

    async def ask(self, http: aiohttp.ClientSession, number: int, kind: str) -> str:
        """One call; returns how it ended."""
        body = {
            "messages": [{"role": "user", "content": f"number={number} kind={kind}"}],
            "stream": True,
        }
        text, ended, failed = "", False, False
        async with http.post(f"{self.app.address}/chat/completions", json=body) as answered:
            if answered.status != 200:
                return f"{answered.status} {(await answered.json())['error']['code']}"
            async for line in answered.content:
                if kind == "reader":
                    await asyncio.sleep(0.02)
                data = line.removeprefix(b"data: ").strip()
                if not data or line.startswith(b":"):
                    continue
                if data == b"[DONE]":
                    ended = True
                    continue
                event = json.loads(data)
                failed = failed or "error" in event
                for choice in event.get("choices", ()):
                    text += choice["delta"].get("content") or ""
        if failed:
            return "error after some text" if text.strip("0123456789 ") == "" and text else "error, no text"
        whole = text.split() == [str(number)] * WORDS
        return "whole" if whole and ended else f"{len(text.split())} words, done {ended}"

    async def watch(self) -> None:
        """Note the app's size 60 times."""
        began = time.monotonic()
        while time.monotonic() < self.ends_at:
            await asyncio.sleep((self.ends_at - began) / 60)
            with contextlib.suppress(psutil.Error):
                answers = sum(self.outcomes.values())
                self.sizes.append(Size(round(time.monotonic() - began, 1), answers, *self.app.facts()))

    async def silent(self, count: int, at: float, seconds: float) -> list[float]:
        """Have clients read nothing; returns the median seconds of plain answers before and beside them."""
        await asyncio.sleep(at)
        host, port = self.app.address.removeprefix("http://").removesuffix("/v1").split(":")
        body = json.dumps({"messages": [{"role": "user", "content": "kind=silent"}], "stream": True})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                client = stack.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await asyncio.to_thread(client.connect, (host, int(port)))
                client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            before = len(self.seconds["plain"])
            await asyncio.sleep(seconds)
        parts = self.seconds["plain"][:before], self.seconds["plain"][before:]
        return [round(statistics.median(part), 2) for part in parts if part]

    async def restart(self, endpoint_url: str, at: float) -> int:
        """Have another process take over, as load balancers do; returns the exit code of the first."""
        await asyncio.sleep(at)
        first, self.app = self.app, await asyncio.to_thread(App, endpoint_url)
        await asyncio.sleep(2)  # nobody sends it more, before it is told to stop
        first.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(first.process.wait, 60)


async def run(endpoint_url: str, streams: int, seconds: float, restart: bool) -> dict:
    """Load the app; returns what is printed."""
    load = Load(await asyncio.to_thread(App, endpoint_url), time.monotonic() + seconds)
    first = load.app
    try:
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Authorization": f"Bearer {KEY}"}
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as http:
            # Settled: the silent clients have left (their buffers fill slowly, which is no leak), and a
            # second process has answered for a sixth of the time.
            settled = seconds * (0.67 if restart else 0.5)
            silent = load.silent(max(1, streams // 10), seconds * 0.1, seconds * 0.35)
            others = [asyncio.create_task(load.watch()), asyncio.create_task(silent)]
            if restart:
                others.append(asyncio.create_task(load.restart(endpoint_url, seconds / 2)))
            await asyncio.gather(*[load.client(http) for _ in range(streams)])
            results = await asyncio.gather(*others)
    finally:
        for app in {first, load.app}:
            app.process.kill()
            app.process.communicate()
    sizes = [size for size in load.sizes if size.seconds > settled]
    exit_code = results[2] if restart else None
    wrong = load.wrong[:20]
    if exit_code:
        wrong.append(f"the process that was told to stop ended with {exit_code}")
    if seconds >= 60:
        wrong += not_flat(sizes, results[1], streams)
    return {
        "streams": streams,
        "seconds": seconds,
        "answers": sum(load.outcomes.values()),
        "outcomes": dict(sorted(load.outcomes.items())),
        "median_seconds": {kind: round(statistics.median(s), 2) for kind, s in sorted(load.seconds.items())},
        "plain_seconds_before_and_beside_silent_clients": results[1],
        "exit_code": exit_code,
        "size": [" ".join(f"{name}={value}" for name, value in s._asdict().items()) for s in load.sizes],
        "settled_from_second": settled,
        "grown_mb_per_1000_answers": growth(sizes),
        "wrong_in_all": len(load.wrong),
        "wrong": wrong,
    }


def growth(sizes: list[Size]) -> float:
    """Megabytes for 1,000 answers, by a line through all sizes (the median slope of all pairs)."""
    slopes = [
        (b.rss_mb - a.rss_mb) / (b.answers - a.answers) * 1000
        for a, b in itertools.combinations(sizes, 2)
        if b.answers > a.answers
    ]
    return round(statistics.median(slopes), 2) if slopes else 0.0


def not_flat(sizes: list[Size], plain: list[float], streams: int) -> list[str]:
    """What grew in the settled time, or took longer beside the clients that read nothing."""
    found = []
    if (grown := growth(sizes)) > MOST_GROWTH:
        found.append(f"memory grew by {grown} MB for 1,000 answers, from {sizes[0].rss_mb} MB")
    quarter = max(1, len(sizes) // 4)
    early, late = (max(size.descriptors for size in part) for part in (sizes[:quarter], sizes[-quarter:]))
    if late > early + streams / 10:
        found.append(f"descriptors grew from {early} to {late}")
    if plain[-1] > plain[0] * 1.5:
        found.append(f"plain answers took {plain[0]} s, and {plain[-1]} s beside clients that read nothing")
    return found


def main() -> None:
    """Run it; exits with 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--token-delay", type=float, default=0.1, help="seconds between two tokens")
    parser.add_argument("--no-restart", action="store_true", help="one process all the time, to see its size")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    engine = ScriptedEngine([answer], repeat=True)
    engine.requests = Forgetful()
    engine.limits_length = True  # not by max_tokens
    with LocalBedrock(
        engine, faults=faults(), first_token_delay=0.2, token_delay=options.token_delay
    ) as server:
        told = asyncio.run(run(server.endpoint_url, options.streams, options.seconds, not options.no_restart))
    print(json.dumps(told, indent=1))
    sys.exit(bool(told["wrong"]))


class Forgetful(list):
    """Keeps nothing: the engine's list of requests would grow for all the time of a long run."""

    def append(self, item: object) -> None:
        """Forget it."""


if __name__ == "__main__":
    main()
