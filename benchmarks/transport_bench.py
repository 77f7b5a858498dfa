"""The transport beside langchain-aws and raw botocore, in one run: speed, concurrency, start-up, memory.

    python benchmarks/transport_bench.py                 # writes results/transport.json and .md
    python benchmarks/transport_bench.py stream_cpu      # prints the result

Every measurement runs in a process of its own, against the local endpoint in another.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
OURS, THEIRS, FLOOR = "llama-bedrock", "langchain-aws", "LangChain alone"
SERVERS_GC = (50_000, 50, 50)  # docs/performance.md
BASE_IMPORT = "from langchain_core.language_models.chat_models import BaseChatModel"
IMPORTS = {
    OURS: "from llama_bedrock import ChatLlamaBedrock",
    THEIRS: "from langchain_aws import ChatBedrock",
}
PACED = {"first_token_delay": 0.2, "token_delay": 0.02, "pieces": 100}


class Server:
    """The local endpoint in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.url = process.stdout.readline().strip()

    def stats(self) -> dict[str, int]:
        """Return the counters; `peak_active` begins anew."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("stats\n")
        self._process.stdin.flush()
        result: dict[str, int] = json.loads(self._process.stdout.readline())
        return result


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[Server]:
    command = [sys.executable, str(HERE / "transport_server.py"), json.dumps(options)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def measure(name: str, *arguments: Any) -> Any:
    command = [sys.executable, str(HERE / "transport_workers.py"), name]
    command += [value if isinstance(value, str) else json.dumps(value) for value in arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def medians(
    name: str, cases: dict[str, tuple[Any, ...]], key: str = "milliseconds", rounds: int = 7
) -> dict[str, float]:
    """One number of each case, median of rounds that alternate between the cases."""
    found: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, arguments in cases.items():
            found[case].append(measure(name, *arguments)[key])
    return {case: statistics.median(values) for case, values in found.items()}


def stream_cpu() -> Any:
    with serving(pieces=2000) as server:
        return measure("stream_cpu", server.url)


def ttft() -> Any:
    with serving(pieces=3, first_token_delay=0.02) as server:
        return measure("ttft", server.url)


def paced_streams() -> Any:
    """Medians of five runs of each case, in turns, and what ours are of LangChain's alone."""
    pace = (PACED["first_token_delay"], PACED["token_delay"], PACED["pieces"])
    cases: dict[str, tuple[str, int, tuple[int, ...]]] = {
        OURS: (OURS, 1000, ()),
        FLOOR: (FLOOR, 1000, ()),
        f"{OURS}, a server's GC": (OURS, 1000, SERVERS_GC),
        f"{FLOOR}, a server's GC": (FLOOR, 1000, SERVERS_GC),
        THEIRS: (THEIRS, 50, ()),  # holds a thread for each token: a thousand streams would take minutes
    }
    found: dict[str, list[Any]] = {case: [] for case in cases}
    with serving(**PACED) as server:
        for _ in range(5):
            for case, (library, count, thresholds) in cases.items():
                found[case].append(measure("paced_streams", server.url, library, count, *pace, thresholds))
    result = {
        case: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for case, runs in found.items()
    }
    for case in (OURS, f"{OURS}, a server's GC"):
        pairs = zip(found[case], found[FLOOR], strict=True)
        result[case]["cpu_of_langchains"] = statistics.median(
            a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs
        )
    return result


def calls() -> Any:
    with serving(pieces=1) as server:
        return measure("calls", server.url)


def call_cpu() -> Any:
    with serving(pieces=1) as server:
        return measure("call_cpu", server.url)


def in_flight() -> Any:
    result = {}
    with serving(pieces=1, first_token_delay=0.5) as server:
        for library, count in ((OURS, 500), (THEIRS, 60)):
            server.stats()
            result[library] = measure("in_flight", server.url, library, count)
            result[library]["most_in_flight"] = server.stats()["peak_active"]
    return result


def memory() -> Any:
    with serving(pieces=1500, token_delay=0.05) as server:
        return {
            OURS: measure("memory", server.url, OURS, 500),
            THEIRS: measure("memory", server.url, THEIRS, 50),
        }


def cold_start() -> Any:
    libraries = (OURS, f"{OURS}, async", THEIRS, "botocore")
    with serving(pieces=3) as server:
        return medians("cold_start", {library: (server.url, library) for library in libraries})


def import_time() -> Any:
    cases = {name: (BASE_IMPORT, statement) for name, statement in IMPORTS.items()}
    return {
        "milliseconds": medians("import_time", cases),
        "of_base_model": medians("import_time", cases, "ratio"),
    }


MEASUREMENTS = (stream_cpu, ttft, paced_streams, in_flight, calls, call_cpu, import_time, cold_start, memory)


def machine() -> dict[str, Any]:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = ("llama-bedrock", "langchain-core", "langchain-aws", "boto3", "botocore", "aiohttp")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory_bytes / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.system(),
        "date": datetime.now(UTC).date().isoformat(),
        "load_before": round(os.getloadavg()[0], 1),
        "packages": {name: version(name) for name in packages},
    }


def report(results: dict[str, Any]) -> str:
    """The results as a page of Markdown."""
    about = results["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    lines = [
        "# Transport benchmarks",
        "",
        f"{about['date']}, {about['cores']} cores, {about['memory_gb']} GB, {about['system']}, Python "
        f"{about['python']}; load before the run {about['load_before']}. {packages}.",
        "",
        "Command: `python benchmarks/transport_bench.py`. Client and local endpoint are two processes of one",
        "machine; libraries that share a row were measured in alternating rounds of one process.",
        "",
        "| measurement | llama-bedrock | langchain-aws | botocore | ratio to langchain-aws |",
        "|---|---|---|---|---|",
    ]
    for label, row, unit in _rows(results):
        mine, other, raw = (row.get(name) for name in (OURS, THEIRS, "botocore"))
        cells = [f"{value:,.1f} {unit}" if value is not None else "–" for value in (mine, other, raw)]
        ratio = f"{row.get('ratio', mine / other):.2f}" if mine and other else "–"
        lines.append(f"| {label} | {' | '.join(cells)} | {ratio} |")
    ratio = results["import_time"]["of_base_model"][OURS]
    lines += ["", f"`from llama_bedrock import ChatLlamaBedrock` is {ratio:.2f} times `{BASE_IMPORT}`."]
    lines += ["", *_notes(results), ""]
    return "\n".join(lines)


def _rows(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, float], str]]:
    for mode, row in results["stream_cpu"].items():
        yield f"CPU for each chunk of a 2,000-chunk stream, {mode}", row, "µs"
    over = results["ttft"]["over_the_wire"]
    yield "first chunk, over the wire's own first byte, sync", over, "ms"
    yield "first chunk, over the wire's own first byte, async", _async_of(over), "ms"
    yield "CPU of a call, sync", results["call_cpu"], "µs"
    for label, row in results["calls"].items():
        yield f"calls a second, {label}", row, ""
    yield "CPU of the import", results["import_time"]["milliseconds"], "ms"
    yield "fresh process to first chunk, sync", results["cold_start"], "ms"
    yield "fresh process to first chunk, async", _async_of(results["cold_start"]), "ms"
    streams = {name: row["kilobytes_per_stream"] for name, row in results["memory"].items()}
    yield "memory for each open async stream", streams, "KB"


def _async_of(row: dict[str, float]) -> dict[str, float]:
    return {name.removesuffix(", async"): value for name, value in row.items() if name.endswith(", async")}


def _notes(results: dict[str, Any]) -> Iterator[str]:
    yield "## Concurrency"
    yield ""
    yield "Concurrent `ainvoke`, each of 0.5 s:"
    yield ""
    yield "| | calls | in flight at once | seconds | threads |"
    yield "|---|---|---|---|---|"
    for name, row in results["in_flight"].items():
        cells = (name, row["calls"], row["most_in_flight"], f"{row['seconds']:.2f}", row["threads"])
        yield f"| {' | '.join(map(str, cells))} |"
    yield ""
    yield "Concurrent streams, each 0.2 s to the first of 100 tokens, then 50 tokens a second:"
    yield ""
    heads = ["", "streams", "CPU, s", "of LangChain's alone", "seconds", "at best", "first token, median"]
    heads += ["last first token", "tokens late, median", "tokens late, 99 %"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for name, row in results["paced_streams"].items():
        ratio = row.get("cpu_of_langchains")
        cells = [name, str(row["streams"]), f"{row['cpu_seconds']:.2f}", f"{ratio:.2f}" if ratio else "–"]
        cells += [f"{row['seconds']:.2f}", f"{row['ideal_seconds']:.2f}"]
        cells += [f"{row[key]:.2f} s" for key in ("first_token_s_p50", "first_token_s_last")]
        cells += [f"{row[key]:,.0f} ms" for key in ("late_ms_p50", "late_ms_p99")]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield f"{FLOOR} is a model over aiohttp that only reads the same answer: no signature, no deadlines, no"
    yield f"retries. A server's GC is `gc.freeze()` and `gc.set_threshold{SERVERS_GC}`: docs/performance.md."
    yield "langchain-aws has fewer calls and streams here because each holds a thread while it waits."


def main(names: list[str]) -> None:
    if names:
        chosen = {function.__name__: function for function in MEASUREMENTS}
        print(json.dumps({name: chosen[name]() for name in names}, indent=1))
        return
    results: dict[str, Any] = {"machine": machine()}
    for function in MEASUREMENTS:
        print(function.__name__, flush=True)
        results[function.__name__] = function()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "transport.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "transport.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main(sys.argv[1:])
