"""What being watched costs a call: `python benchmarks/observability.py`.

CPU of a streamed call of 500 chunks against the local endpoint, by turns, the best of ten: with nothing that
watches, under a span that records, with DEBUG logs, and with `EMFMetrics`. Wants opentelemetry-sdk for the
second. What the code costs where nothing watches is a comparison with an earlier tree: benchmarks/against.py.
"""

from __future__ import annotations

import io
import logging
import time
import warnings
from contextlib import AbstractContextManager, nullcontext

from opentelemetry.sdk.trace import TracerProvider

from llama_bedrock import ChatLlamaBedrock, EMFMetrics
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

CHUNKS, ROUNDS = 500, 10


def main() -> None:
    warnings.simplefilter("ignore")
    logger = logging.getLogger("llama_bedrock.calls")
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    logger.propagate = False
    tracer = TracerProvider().get_tracer("benchmark")
    emf = EMFMetrics("Benchmark", stream=io.StringIO())

    def span() -> AbstractContextManager:
        return tracer.start_as_current_span("call")

    ways = {
        "nothing": (nullcontext, logging.INFO, []),
        "a span": (span, logging.INFO, []),
        "DEBUG logs": (nullcontext, logging.DEBUG, []),
        "EMFMetrics": (nullcontext, logging.INFO, [emf]),
    }
    best = dict.fromkeys(ways, float("inf"))
    with LocalBedrock(ScriptedEngine([["word "] * CHUNKS], repeat=True)) as server:
        llm = ChatLlamaBedrock(
            model="meta.llama3-3-70b-instruct-v1:0",
            region_name="us-west-2",
            endpoint_url=server.endpoint_url,
            api_key="local",
        )
        for _ in range(ROUNDS):
            for name, (around, level, callbacks) in ways.items():
                logger.setLevel(level)
                began = time.thread_time()
                with around():
                    assert (
                        sum(1 for c in llm.stream("Hi", config={"callbacks": callbacks}) if c.text) == CHUNKS
                    )
                best[name] = min(best[name], time.thread_time() - began)
    for name, seconds in best.items():
        print(f"{name:12}{seconds / CHUNKS * 1e6:8.1f} µs a chunk{seconds / best['nothing']:8.3f}")


if __name__ == "__main__":
    main()
