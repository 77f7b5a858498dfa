"""abatch_file under a quota: ``python benchmarks/live_batch.py [--records N] [--requests-per-minute N] …``.

The local endpoint admits what the quota allows in a sliding minute (``--minute`` makes it shorter), refuses
the rest as Bedrock does, and writes down when each record was admitted. Printed are the share of the quota
that was used after the first minute, how often a record was answered twice, and how the client's memory grew.
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
from pathlib import Path

import psutil

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.control import abatch_file
from llama_bedrock.local import LocalBedrock, Quotas
from llama_bedrock.local.engines.interface import EngineRequest

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"


class Numbers:
    """Answers each record with its own words, and notes when."""

    name = "numbers"

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []

    def generate(self, request: EngineRequest):
        text = request.prompt.rsplit("record ", 1)[1].split("<|eot_id|>")[0]
        self.asked.append((time.monotonic(), text))
        yield text


def client(endpoint_url: str, folder: Path, records: int) -> None:
    """Run the batch in this process, and print how its memory grew."""
    warnings.simplefilter("ignore")
    llm = ChatLlamaBedrock(
        model=MODEL, region_name="us-east-2", endpoint_url=endpoint_url, api_key="k", max_tokens=16
    )
    process, sizes = psutil.Process(), []

    def watch(progress) -> None:
        if progress.answered > records // 10:
            sizes.append(process.memory_info().rss / 1e6)

    asyncio.run(abatch_file(llm, folder / "in.jsonl", folder / "out.jsonl", on_progress=watch))
    print(json.dumps({"grown_mb": max(sizes) - sizes[0], "cpu": sum(process.cpu_times()[:2])}))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--requests-per-minute", type=int, default=3_000)
    parser.add_argument("--tokens-per-minute", type=int, default=None)
    parser.add_argument("--minute", type=float, default=15.0)
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client(options.client[0], Path(options.client[1]), options.records)
        return
    engine = Numbers()
    quotas = Quotas(options.requests_per_minute, options.tokens_per_minute, options.minute)
    with tempfile.TemporaryDirectory() as name, LocalBedrock(engine, quotas=quotas) as server:
        folder = Path(name)
        with (folder / "in.jsonl").open("w") as file:
            file.writelines(json.dumps(f"record {number}") + "\n" for number in range(options.records))
        command = [sys.executable, __file__, "--records", str(options.records), "--client"]
        said = subprocess.run(
            [*command, server.endpoint_url, name], check=True, capture_output=True, text=True
        ).stdout
        answers = [json.loads(line)["text"] for line in (folder / "out.jsonl").open()]
    assert answers == [str(number) for number in range(options.records)]
    first, last = engine.asked[0][0], engine.asked[-1][0]
    begin = first + options.minute
    counted = sum(begin <= at <= last for at, _ in engine.asked)
    allowed = options.requests_per_minute * (last - begin) / options.minute
    figures = json.loads(said)
    print(f"{options.records} records, {options.requests_per_minute} requests per {options.minute:.0f} s")
    print(f"  in {last - first:.0f} s; quota used after the first minute: {counted / allowed:.1%}")
    print(f"  answered more than once: {len(engine.asked) - len({text for _, text in engine.asked})}")
    print(f"  client: {figures['cpu']:.1f} s CPU, memory grew by {figures['grown_mb']:.1f} MB after a tenth")


if __name__ == "__main__":
    main()
