"""The results of faiss_bench.py as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Row = tuple[str, Callable[[dict[str, Any]], str]]
SHARES = ("0.1 %", "1 %", "10 %", "50 %")


def markdown(result: dict[str, Any]) -> str:
    """One table for each number of vectors."""
    facts = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version)
    lines = [
        "# FAISSStore beside other local stores",
        "",
        f"{facts['cores']} cores ({facts['machine']}), {facts['memory_gib']} GiB, Python {facts['python']}, "
        f"{versions}; {facts['date']}, load average {facts['load_average']} at the end. "
        f"Vectors of {result['dimension']} dimensions, k = 10. "
        "`python benchmarks/faiss_bench.py`; every store in its own process, one after the other.",
        "",
        "The community store filters after the search: by default it looks at 20 candidates and returns what "
        'is left of them (row "found by default"). Its filtered times are with `fetch_k` raised '
        "until the documents come back that exist. It and InMemoryVectorStore know no batches: one by one.",
        *(["", result["note"]] if "note" in result else []),
    ]
    for size, systems in result["results"].items():
        lines += ["", f"## {int(size):,} vectors", "", *_table(systems)]
    return "\n".join(lines) + "\n"


def _table(systems: dict[str, Any]) -> list[str]:
    raw = systems["raw faiss flat"]["single"]
    stores = {name: facts for name, facts in systems.items() if name != "raw faiss flat"}
    rows: list[Row] = [
        ("one query, p50 ms", lambda f: _ms(f["single"]["p50_ms"])),
        ("one query, p99 ms", lambda f: _ms(f["single"]["p99_ms"])),
        ("queries/s, one thread", lambda f: f"{f['single']['qps']:,.0f}"),
        ("recall@10", lambda f: f"{f['recall']:.3f}"),
        ("batch of 32, ms a query", lambda f: _ms(f["batch_ms"]["32"])),
        ("batch of 256, ms a query", lambda f: _ms(f["batch_ms"]["256"])),
        ("async, 1 client, p50 ms", lambda f: _ms(f["async_1"]["p50_ms"])),
        ("async, 64 clients, queries/s", lambda f: f"{f['async_64']['qps']:,.0f}"),
        ("async, 64 clients, p50 ms", lambda f: _ms(f["async_64"]["p50_ms"])),
        ("async, 64 clients, p99 ms", lambda f: _ms(f["async_64"]["p99_ms"])),
    ]
    for share in SHARES:
        rows += [
            (f"filter {share}, p50 ms", lambda f, s=share: _ms(f["filters"][s]["p50_ms"])),
            (
                f"filter {share}, asked first",
                lambda f, s=share: _ms(f["filters"][s]["new_filter_p50_ms"]),
            ),
            (f"filter {share}, recall@10", lambda f, s=share: f"{f['filters'][s]['recall']:.3f}"),
            (
                f"filter {share}, found by default",
                lambda f, s=share: f"{f['filters'][s]['found_by_default']:.1f}",
            ),
        ]
    rows += [
        ("build, s", lambda f: f"{f['build_s']:.2f}"),
        ("save, s", lambda f: f"{f['save_s']:.2f}"),
        ("open, s", lambda f: f"{f['load_s']:.3f}"),
        ("open in a new process, s", lambda f: f"{f['opened']['open_s']:.3f}"),
        ("first query there, ms", lambda f: _ms(f["opened"]["first_query_ms"])),
        ("delete one, ms", lambda f: "fails" if f["delete_ms"] is None else _ms(f["delete_ms"])),
        ("memory after build / vectors", lambda f: f"{f['memory_of_vectors']:.2f}"),
        ("unshared memory after open / vectors", lambda f: f"{f['opened']['own_memory_of_vectors']:.2f}"),
    ]
    lines = [
        f"FAISS alone (flat, one thread): p50 {_ms(raw['p50_ms'])} ms, p99 {_ms(raw['p99_ms'])} ms.",
        "",
        "| | " + " | ".join(stores) + " |",
        "|---|" + "---:|" * len(stores),
    ]
    return lines + [
        f"| {name} | " + " | ".join(cell(facts) for facts in stores.values()) + " |" for name, cell in rows
    ]


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
