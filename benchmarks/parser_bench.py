"""Cost and accuracy of the parser of tool calls: `python benchmarks/parser_bench.py`.

Measures nanoseconds a character for usual answers and for the worst inputs known, fed whole and in pieces the
size of a token; how the time grows with the length of the worst ones; what a stream of plain words costs a
chunk; and the share of the generations in ../shared/data/toolcalls that are read right, by tier. Writes
benchmarks/results/parser.json and parser.md.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from llama_bedrock.tools.coercion import coerce
from llama_bedrock.tools.events import to_chunks, to_tool_calls
from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
from llama_bedrock.tools.spec import ToolSpec, to_tool_specs
from llama_bedrock.version import __version__

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CASES = ROOT.parent / "shared" / "data" / "toolcalls" / "cases.jsonl"
TOKEN = 4
"""Characters a piece, about a token of Llama 3 in English."""

SEARCH = ToolSpec(
    "search",
    "",
    {
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "filters": {"type": "object"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    },
)
TOOLS = [SEARCH, ToolSpec("get_weather"), ToolSpec("add")]

USUAL = {
    "words": "The weather in Paris is mild today, with some clouds in the afternoon and little wind. " * 40,
    "markdown": "## Results\n\n- **Paris** [1]: `21 °C`, see (page 2)\n- *London* {cloudy}: 17 °C\n\n" * 40,
    "code": "```python\ndef area(width, height):\n    return {'area': width * height, 'unit': [1, 2]}\n```\n"
    * 30,
    "pythonic calls": "[" + ", ".join(['search(query="llamas in the Andes", tags=["a", "b"])'] * 60) + "]",
    "JSON calls": "\n".join(
        ['{"name": "search", "parameters": {"query": "llamas", "tags": ["a", "b"]}}'] * 50
    ),
    "one long argument": '[search(query="' + "A long text that someone dictated. " * 100 + '")]',
}
WORST = {
    "brackets": "[",
    "braces": "{",
    "quotes": '"',
    "backslashes": "\\",
    "backticks": "`",
    "half tokens": "<|",
    "beginnings of calls": "[search(",
    "beginnings of names": "get_weather\n",
    "nested objects": '{"name":"search","parameters":{"filters":',
    "broken objects": '{"name":"search","parameters {"query":"x"}};',
    "calls that are no literals": "[search(query=x), ",
    "quotes within quotes": '[search(query="a"b',
    "white space": "\n\n",
}
SIZE = 100_000


def read(pieces: Iterable[str], specs: list[ToolSpec], stop_reason: str | None = "stop") -> list[Any]:
    parser = ToolCallParser(specs)
    events: list[Any] = []
    for piece in pieces:
        events += parser.feed(piece)
    return [*events, *parser.close(stop_reason)]


def in_tokens(text: str) -> list[str]:
    return [text[at : at + TOKEN] for at in range(0, len(text), TOKEN)]


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Median processor time of the work, after one run that is not counted."""
    work()
    times = []
    for _ in range(repeat):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def ns_a_character(pieces: list[str], repeat: int) -> float:
    length = sum(map(len, pieces))
    return round(seconds(lambda: read(pieces, TOOLS), repeat) / length * 1e9, 1)


def usual_costs() -> dict[str, dict[str, float]]:
    return {
        name: {"whole": ns_a_character([text], 15), "in tokens": ns_a_character(in_tokens(text), 15)}
        for name, text in USUAL.items()
    }


def worst_costs() -> dict[str, dict[str, float]]:
    """Costs at full size, and how many times those of a quarter of it."""
    found = {}
    for name, unit in WORST.items():
        text = (unit * (SIZE // len(unit) + 1))[:SIZE]
        costs = {}
        for way, split in (("whole", lambda text: [text]), ("by character", list)):
            full = seconds(partial(read, split(text), TOOLS), 3)
            quarter = seconds(partial(read, split(text[: SIZE // 4]), TOOLS), 3)
            costs[way] = round(full / SIZE * 1e9, 1)
            costs[f"{way}, growth"] = round(full / quarter, 2)
        found[name] = costs
    return found


def cost_of_a_chunk_of_words() -> dict[str, float]:
    """Microseconds for one chunk of plain words: read, and turned into a LangChain chunk."""
    pieces = in_tokens(USUAL["words"])

    def parse_only() -> None:
        read(pieces, TOOLS)

    def to_messages() -> None:
        parser = ToolCallParser(TOOLS)
        for piece in pieces:
            to_chunks(parser.feed(piece))
        to_chunks(parser.close("stop"))

    return {
        "parser": round(seconds(parse_only, 15) / len(pieces) * 1e6, 2),
        "parser and AIMessageChunk": round(seconds(to_messages, 15) / len(pieces) * 1e6, 2),
    }


def accuracy() -> dict[str, dict[str, Any]] | None:
    """Share of right answers by tier; None without the data."""
    if not CASES.is_file():
        return None
    tiers: dict[str, dict[str, int]] = defaultdict(lambda: {"cases": 0, "right": 0, "wrong calls": 0})
    for line in CASES.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        wanted, calls = outcome(case)
        tier = tiers[case["tier"]]
        tier["cases"] += 1
        tier["right"] += calls == wanted
        tier["wrong calls"] += any(call not in wanted for call in calls)
    return {name: {**tier, "share": round(tier["right"] / tier["cases"], 3)} for name, tier in tiers.items()}


def outcome(case: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the calls that are wanted and those that were read, valid ones only."""
    names = sorted({call["name"] for call in case["expected"]})
    specs = to_tool_specs(case["tools"] or []) or [ToolSpec(name) for name in names]
    parameters = {spec.name: spec.parameters for spec in specs}
    wanted = [
        [call["name"], coerce(call["args"], parameters.get(call["name"], {}))] for call in case["expected"]
    ]
    calls, _ = to_tool_calls(read([case["raw"]], specs, case.get("finish") or case.get("stop_reason")))
    return wanted, [[call["name"], call["args"]] for call in calls]


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "llama-bedrock": __version__,
    }


def as_markdown(result: dict[str, Any]) -> str:
    about = result["machine"]
    lines = [
        "# Parser of tool calls",
        "",
        f"Python {about['python']} on {about['cores']} cores ({about['architecture']}), "
        f"{about['memory_gb']} GB. By `python benchmarks/parser_bench.py`.",
        "",
        "## Usual answers: nanoseconds a character",
        "",
        "| answer | whole | in tokens of 4 |",
        "|---|---:|---:|",
        *(f"| {name} | {cost['whole']} | {cost['in tokens']} |" for name, cost in result["usual"].items()),
        "",
        f"A chunk of plain words costs {result['words']['parser']} µs in the parser, "
        f"{result['words']['parser and AIMessageChunk']} µs with its `AIMessageChunk`.",
        "",
        f"## Worst inputs: {SIZE:,} characters, nanoseconds a character",
        "",
        "Growth: times the cost of a quarter of the text; 4 is linear, 16 quadratic.",
        "",
        "| repeated | whole | growth | by character | growth |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {c['whole']} | {c['whole, growth']} "
            f"| {c['by character']} | {c['by character, growth']} |"
            for name, c in result["worst"].items()
        ),
    ]
    if result["accuracy"]:
        lines += [
            "",
            "## Generations read right, by tier",
            "",
            "Calls after coercion, compared with those that are expected. Tier `policy` is a judgement: most",
            "that differ are calls to tools that were not offered, which this parser reports as invalid.",
            "",
            "| tier | cases | right | share | with a wrong call |",
            "|---|---:|---:|---:|---:|",
            *(
                f"| {name} | {t['cases']} | {t['right']} | {t['share']:.1%} | {t['wrong calls']} |"
                for name, t in result["accuracy"].items()
            ),
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    result = {
        "machine": machine(),
        "usual": usual_costs(),
        "words": cost_of_a_chunk_of_words(),
        "worst": worst_costs(),
        "accuracy": accuracy(),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "parser.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "parser.md").write_text(as_markdown(result), encoding="utf-8")
    print(as_markdown(result))


if __name__ == "__main__":
    main()
