"""What must hold at the end, as ratios within one run, so that a slow or busy machine does not matter.

The measurements are those of benchmarks/transport_bench.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "transport_bench.py"
OURS = "llama-bedrock"

pytestmark = [pytest.mark.floor, pytest.mark.timeout(600)]


def bench(name):
    if name != "call_cpu":  # the others are measured beside it
        pytest.importorskip("langchain_aws")
    command = [sys.executable, str(BENCH), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500)
    return json.loads(done.stdout)[name]


RATIO_BOUNDS = {"sync": 0.60, "async": 0.20}


def test_a_chunk_of_a_stream_costs_at_most_three_fifths_and_of_an_async_one_a_fifth():
    """Each mode's best of up to three runs, which are medians of nine pairs: other processes may disturb one."""
    best = dict.fromkeys(RATIO_BOUNDS, 9.0)
    for _ in range(3):
        measured = bench("stream_cpu")
        best = {mode: min(best[mode], measured[mode]["ratio"]) for mode in best}
        if all(best[mode] <= bound for mode, bound in RATIO_BOUNDS.items()):
            break
    assert best["sync"] <= RATIO_BOUNDS["sync"]
    assert best["async"] <= RATIO_BOUNDS["async"]


def test_five_hundred_calls_of_half_a_second_end_within_two_and_a_half():
    """The best of three runs: other processes may hold the cores in one of them."""
    runs = []
    for _ in range(3):
        runs.append(bench("in_flight")[OURS])
        if runs[-1]["seconds"] <= 2.5:
            break
    best = min(runs, key=lambda run: run["seconds"])
    assert best["calls"] == 500
    assert best["most_in_flight"] > 400
    assert best["seconds"] <= 2.5


def test_import_takes_little_more_than_langchain_core():
    assert bench("import_time")["of_base_model"][OURS] <= 1.15


def test_a_synchronous_call_costs_less_than_botocores_alone():
    """LangChain's part and ours, beside what botocore takes for the bare call; the best of three runs."""
    assert min(bench("call_cpu")["ratio to botocore"] for _ in range(3)) <= 0.75


def test_a_thousand_streams_cost_little_beside_langchain_alone():
    """With a server's thresholds of the garbage collector less than LangChain's part takes without."""
    streams = bench("paced_streams")
    assert streams[OURS]["cpu_of_langchains"] <= 1.10
    assert streams[f"{OURS}, a server's GC"]["cpu_of_langchains"] <= 0.75
