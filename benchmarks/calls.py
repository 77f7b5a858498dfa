"""A synchronous call beside every other library that is installed: `python benchmarks/calls.py`.

langchain-aws, LiteLLM, strands and pydantic-ai are left out where they are not installed. Writes
results/calls.md.
"""

from __future__ import annotations

from peer_table import OURS, Row, write
from transport_bench import RESULTS, call_cpu, calls, import_time

PACKAGES = (
    OURS,
    "langchain-core",
    "langchain-aws",
    "botocore",
    "litellm",
    "strands-agents",
    "pydantic-ai-slim",
)


def main() -> None:
    cpu = {name: value for name, value in call_cpu().items() if not name.startswith("ratio")}
    bare = {"langchain-aws": "ChatBedrock"}
    rows = [Row("CPU of a call, µs", {bare.get(name, name): value for name, value in cpu.items()})]
    for label, values in calls().items():
        rates = {bare.get(name, name): value for name, value in values.items()}
        rows.append(Row(f"calls a second, {label}", rates, more_is_better=True))
    imports = import_time()["milliseconds"]
    rows.append(
        Row("CPU of the import, ms", {bare.get(name, name): value for name, value in imports.items()})
    )
    write(RESULTS / "calls.md", "Calls", "python benchmarks/calls.py", rows, PACKAGES)


if __name__ == "__main__":
    main()
