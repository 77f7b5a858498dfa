"""The local endpoint in a process of its own, for benchmarks: prints its URL, then answers commands on stdin.

    python benchmarks/transport_server.py '{"pieces": 2000, "first_token_delay": 0.0, "token_delay": 0.0}'

`stats` prints its counters as JSON and begins counting anew; `quit`, or the end of stdin, stops it.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import sys

from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine


def main() -> None:
    gc.set_threshold(50_000, 50, 50)  # as the process of `llama-bedrock serve` has them
    options = json.loads(sys.argv[1])
    pieces = ["word "] * options.pop("pieces")
    with LocalBedrock(engine=ScriptedEngine([pieces], repeat=True), **options) as server:
        print(server.endpoint_url, flush=True)
        for line in sys.stdin:
            if line.strip() == "quit":
                break
            stats = server.stats
            print(json.dumps(dataclasses.asdict(stats)), flush=True)
            stats.peak_active = stats.active


if __name__ == "__main__":
    main()
