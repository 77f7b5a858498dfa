"""abatch_file under quotas, killed and resumed on the way: ``python benchmarks/live_batch.py``.

The local endpoint admits what its quotas (requests and tokens a minute) allow in a sliding minute
(``--minute`` makes it shorter), refuses the rest as Bedrock does, and writes down when each was admitted.
The client is a process of its own that is killed (``SIGKILL``) ``--kills`` times, at even distances.
Printed is what came of it beside what is promised; the exit code is 1 where a promise is not kept.
Wants a machine with nothing else to do: the defaults take about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.control import abatch_file
from llama_bedrock.local import LocalBedrock, Quotas
from llama_bedrock.local.engines.interface import EngineRequest

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
IN_FLIGHT = 256
LEAST_USE = 0.95  # of the quota that binds
MOST_GROWTH = 20.0  # MB


class Numbers:
    """Answers each record with its own number, and notes when."""

    name = "numbers"

    def __init__(self) -> None:
        self.asked: list[tuple[float, int]] = []

    def generate(self, request: EngineRequest) -> Iterator[str]:
        text = request.prompt.rsplit("record ", 1)[1].split("<|eot_id|>")[0]
        self.asked.append((time.monotonic(), int(text)))
        yield text


@dataclass
class Life:
    """One process of the client: from the first record that it got admitted until its end.

    Attributes:
        begin: Records admitted when it was started.
        end: Records admitted when it was gone.
        sizes: Times and resident megabytes.
        cpu: Seconds of CPU.
    """

    begin: int
    end: int = 0
    sizes: list[tuple[float, float]] = field(default_factory=list)
    cpu: float = 0.0


def client(endpoint_url: str, folder: Path) -> None:
    """Run the batch in this process."""
    warnings.simplefilter("ignore")
    llm = ChatLlamaBedrock(
        model=MODEL, region_name="us-east-2", endpoint_url=endpoint_url, api_key="k", max_tokens=16
    )
    asyncio.run(abatch_file(llm, folder / "in.jsonl", folder / "out.jsonl", max_in_flight=IN_FLIGHT))


def live(engine: Numbers, command: list[str], until: int | None) -> Life:
    """Start a client; kill it when so many records were admitted, or wait for its end."""
    life = Life(len(engine.asked))
    process = subprocess.Popen(command)
    watched = psutil.Process(process.pid)
    while process.poll() is None and (until is None or len(engine.asked) < until):
        try:
            life.sizes.append((time.monotonic(), watched.memory_info().rss / 1e6))
            life.cpu = sum(watched.cpu_times()[:2])
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            break
        time.sleep(0.1)
    if until is not None:
        process.kill()
    if process.wait() and until is None:
        raise SystemExit("the client failed")
    life.end = len(engine.asked)
    return life


def used(engine: Numbers, lives: list[Life], quotas: Quotas, tokens: list[int]) -> tuple[float, str]:
    """Tell the share of the binding quota that was used by clients that had run for a minute of it."""
    minutes = requests = spent = 0
    for life in lives:
        asked = engine.asked[life.begin : life.end]
        begin = asked[0][0] + quotas.minute
        # Whole minutes: in a part of one a burst may use more than that part of the quota.
        whole = int((asked[-1][0] - begin) // quotas.minute)
        if whole > 0:
            warm = [number for at, number in asked if begin <= at < begin + whole * quotas.minute]
            minutes += whole
            requests += len(warm)
            spent += sum(tokens[number] for number in warm)
    if not minutes:
        raise SystemExit("no client lived for two minutes of quota: give more records, or a shorter --minute")
    shares = [
        (amount / (limit * minutes), name)
        for amount, limit, name in (
            (requests, quotas.requests_per_minute, "requests"),
            (spent, quotas.tokens_per_minute, "tokens"),
        )
        if limit is not None
    ]
    return max(shares)


def growth(life: Life, warm: float) -> float:
    """Tell by how much memory rose above what it was when the client was warm."""
    later = [size for at, size in life.sizes if at >= warm]
    return max(later, default=0.0) - (later[0] if later else 0.0)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--requests-per-minute", type=int, default=4_800)
    parser.add_argument("--tokens-per-minute", type=int, default=480_000)
    parser.add_argument("--minute", type=float, default=30.0, help="seconds of a minute of the quotas")
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client(options.client[0], Path(options.client[1]))
        return
    engine, count = Numbers(), options.records
    quotas = Quotas(options.requests_per_minute, options.tokens_per_minute, options.minute)
    ends = [count * (kill + 1) // (options.kills + 1) for kill in range(options.kills)]
    with tempfile.TemporaryDirectory() as name, LocalBedrock(engine, quotas=quotas) as server:
        folder = Path(name)
        with (folder / "in.jsonl").open("w") as file:
            file.writelines(json.dumps(f"record {number}") + "\n" for number in range(count))
        command = [sys.executable, __file__, "--client", server.endpoint_url, name]
        lives = []
        for end in [*ends, None]:
            lives.append(live(engine, command, end))
            print(f"  {lives[-1].end:,} admitted, {'killed' if end else 'done'}", file=sys.stderr)
        answers = [json.loads(line) for line in (folder / "out.jsonl").open()]
    tokens = [answer["usage"]["total_tokens"] for answer in answers]
    share, binding = used(engine, lives, quotas, tokens)
    starts = [engine.asked[life.begin][0] for life in lives]
    grown = [growth(life, start + quotas.minute / 2) for life, start in zip(lives, starts, strict=True)]
    again = len(engine.asked) - len({number for _, number in engine.asked})
    whole = [answer.get("text") for answer in answers] == [str(number) for number in range(count)]
    took, allowed = engine.asked[-1][0] - starts[0], options.kills * IN_FLIGHT
    print(
        f"{count:,} records; {quotas.requests_per_minute:,} requests and {quotas.tokens_per_minute:,} tokens",
        end="",
    )
    print(f" per {quotas.minute:.0f} s; {took:.0f} s, {sum(life.cpu for life in lives):.0f} s of CPU")
    kept = True
    for words, figure, holds in (
        ("each answered once, in the order of the input", f"{len(answers):,}", whole),
        (
            f"asked again: at most the calls in flight at {options.kills} kills, {allowed:,}",
            f"{again:,}",
            again <= allowed,
        ),
        (
            f"{binding} used after each start's first minute: at least {LEAST_USE:.0%}",
            f"{share:.1%}",
            share >= LEAST_USE,
        ),
        (
            f"memory of a client, grown when warm: at most {MOST_GROWTH:.0f} MB",
            f"{max(grown):.1f} MB",
            max(grown) <= MOST_GROWTH,
        ),
    ):
        kept &= holds
        print(f"  {'kept  ' if holds else 'BROKEN'}  {words}: {figure}")
    sys.exit(not kept)


if __name__ == "__main__":
    main()
