"""Spread and Escalate in simulation, beside one-line baselines.

    python benchmarks/spread.py [--seconds 15] [--minute 10] [--claims FILE]

Three local endpoints stand for three regions of one account: each admits what its quota allows in a sliding
minute (``--minute`` makes it shorter) and refuses the rest as Bedrock does. Calls arrive at random times (the
same ones for all), at a share of the three quotas together, whether earlier ones are answered or not. With
``--claims`` (one annotated statement a line: ``statement``, ``passage``, ``supported``) a small model gives
each statement as its answer, through `Escalate`. Writes benchmarks/results/spread.md.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import random
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage

from llama_bedrock import ChatLlamaBedrock, Escalate, LlamaBedrockError, Spread, Timeout, track_usage
from llama_bedrock.local import LocalBedrock, Quotas
from llama_bedrock.local.faults import ErrorResponse, Hang
from llama_bedrock.prompts.passages import Passage, boundary_for, format_question
from llama_bedrock.testing import ScriptedEngine

SMALL, LARGE = "us.meta.llama3-1-8b-instruct-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"
QUOTAS = (40, 120, 240)
ANSWER_SECONDS = 0.3
RESULTS = Path(__file__).parent / "results" / "spread.md"


def round_robin(targets):
    """Each call to the next target, with that one's own retries."""
    turns = itertools.cycle(targets)
    return lambda: next(turns)


def fallbacks(targets):
    """LangChain's `with_fallbacks`, the largest quota first, each target with its own retries."""
    first, *others = reversed(targets)
    chain = first.with_fallbacks(others)
    return lambda: chain


def round_robin_failing_over(targets):
    """Each call to the next target; when it fails to the others at once, then with retries."""
    once = [target.model_copy(update={"max_retries": 0}) for target in targets]
    chains = [once[n].with_fallbacks([*once[n + 1 :], *once[:n], targets[n]]) for n in range(len(targets))]
    turns = itertools.cycle(chains)
    return lambda: next(turns)


def spread(targets):
    """Spread by what each target has shown."""
    model = Spread(targets)
    return lambda: model


def spread_by_weights(targets):
    """Spread by weights, the quotas being known."""
    model = Spread(targets, by="weights", weights=[float(quota) for quota in QUOTAS])
    return lambda: model


POLICIES = {
    "round robin, own retries": round_robin,
    "with_fallbacks, own retries": fallbacks,
    "round robin, fails over at once": round_robin_failing_over,
    'Spread(by="weights"), quotas known': spread_by_weights,
    "Spread": spread,
}
# Load as a share of the quotas together, and what happens to which endpoint in the middle third of the time.
SCENARIOS: dict[str, tuple[float, dict[int, Any]]] = {
    "70 % of the quotas": (0.7, {}),
    "95 % of the quotas": (0.95, {}),
    "45 %, the largest answers 503 for a third of the time": (
        0.45,
        {2: ErrorResponse("ServiceUnavailableException")},
    ),
    "70 %, the smallest is silent for a third of the time": (0.7, {0: Hang()}),
}


async def arrive(choose, load, broken, servers, options) -> list[tuple[float, str | None]]:
    """Send the calls; returns the seconds of each, and its error."""
    clock = random.Random(7)
    rate = load * sum(QUOTAS) / options.minute
    outcomes = []

    async def one() -> None:
        started, error = time.perf_counter(), None
        try:
            await choose().ainvoke("How are you?")
        except LlamaBedrockError as failed:
            error = type(failed).__name__
        outcomes.append((time.perf_counter() - started, error))

    async def break_and_mend() -> None:
        await asyncio.sleep(options.seconds / 3)
        for number, fault in broken.items():
            servers[number].faults = [fault]
        await asyncio.sleep(options.seconds / 3)
        for number in broken:
            servers[number].faults = []

    async with asyncio.TaskGroup() as group:
        group.create_task(break_and_mend())
        started, due = time.perf_counter(), 0.0
        while due < options.seconds:
            due += clock.expovariate(rate)
            await asyncio.sleep(max(0.0, started + due - time.perf_counter()))
            group.create_task(one())
    return outcomes


def simulate(name, policy, scenario, options) -> str:
    """One row of a table."""
    load, broken = SCENARIOS[scenario]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                LocalBedrock(
                    ScriptedEngine(["Fine, thank you."], repeat=True),
                    quotas=Quotas(requests_per_minute=quota, minute=options.minute),
                    first_token_delay=ANSWER_SECONDS,
                )
            )
            for quota in QUOTAS
        ]
        targets = [
            ChatLlamaBedrock(
                model=LARGE,
                region_name=region,
                endpoint_url=server.endpoint_url,
                api_key="k",
                timeout=Timeout(first_token=3.0),
            )
            for region, server in zip(("us-west-2", "us-east-2", "us-east-1"), servers, strict=True)
        ]
        with track_usage() as used:
            outcomes = asyncio.run(arrive(policy(targets), load, broken, servers, options))
        sent = sum(server.stats.requests for server in servers)
    good = sorted(seconds for seconds, error in outcomes if error is None)
    answered = len(good) / len(outcomes)
    p50, p95 = (good[int(share * (len(good) - 1))] for share in (0.5, 0.95))
    cost = (used.total_cost or 0.0) / len(good) * 1000
    return (
        f"| {name} | {answered:.1%} | {p50:.2f} s | {p95:.2f} s | {good[-1]:.2f} s "
        f"| {sent / len(outcomes):.2f} | ${cost:.4f} |"
    )


def escalations(file: Path) -> list[str]:
    """The table of what Escalate lets stand, of annotated statements."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    answers = iter([row["statement"].rstrip(". ") + " [1]." for row in rows])
    with ExitStack() as stack:
        small = stack.enter_context(LocalBedrock(ScriptedEngine([lambda _: next(answers)], repeat=True)))
        large = stack.enter_context(LocalBedrock(ScriptedEngine(["It is so [1]."], repeat=True)))
        models = [
            ChatLlamaBedrock(model=model, region_name="us-east-2", endpoint_url=at.endpoint_url, api_key="k")
            for model, at in ((SMALL, small), (LARGE, large))
        ]
        llm = Escalate(*models)
        told = []
        for row in rows:
            passages = [Passage(1, row["passage"], "passage")]
            prompt = format_question(passages, boundary_for(passages), "What is so?")
            told.append(llm.invoke([HumanMessage(prompt)]))
    wrong = [not row["supported"] for row in rows]
    asked = [answer.response_metadata["escalated"] for answer in told]
    share = sum(asked) / len(rows)
    bad = sum(wrong) / len(rows)
    caught = sum(w and a for w, a in zip(wrong, asked, strict=True)) / sum(wrong)
    needless = sum(a and not w for w, a in zip(wrong, asked, strict=True)) / (len(rows) - sum(wrong))
    lines = [
        "| rule | asked the large one | wrong answers left | cost, large alone = 1 |",
        "|---|---|---|---|",
    ]
    price = 0.22 / 0.72
    for tenth in (1, 2, 3):  # of the small model's answers wrong, by weighting the two kinds
        part = tenth / 10
        rate = part * caught + (1 - part) * needless
        lines += [
            f"| {part:.0%} wrong: small alone | 0 % | {part:.1%} | {price:.2f} |",
            f"| – large one at random as often | {rate:.0%} | {part * (1 - rate):.1%} | {price + rate:.2f} |",
            f"| – `Escalate` | {rate:.0%} | {part * (1 - caught):.1%} | {price + rate:.2f} |",
        ]
    head = (
        f"{len(rows)} annotated statements, {bad:.0%} of them not supported: {caught:.0%} of those were "
        f"escalated, and {needless:.0%} of the others ({share:.0%} of all). The large model is taken "
        "to be right, and both answers to be as long."
    )
    return ["## Escalate", "", head, "", *lines, ""]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--minute", type=float, default=10.0)
    parser.add_argument("--claims", type=Path)
    parser.add_argument("--scenario", type=int, help="only this one, from 1")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    quotas = ", ".join(map(str, QUOTAS))
    lines = [
        "# Spread and Escalate, in simulation",
        "",
        f"Quotas of {quotas} calls in {options.minute:.0f} s, answers after {ANSWER_SECONDS} s, calls for "
        f"{options.seconds:.0f} s, `first_token` 3 s. Made by `benchmarks/spread.py`.",
        "",
    ]
    for number, scenario in enumerate(SCENARIOS, 1):
        if options.scenario in (None, number):
            columns = ("", "answered", "p50", "p95", "longest", "requests a call", "cost of 1,000 answers")
            lines += [f"## {scenario}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
            for name, policy in POLICIES.items():
                lines.append(simulate(name, policy, scenario, options))
                print(lines[-1], flush=True)
            lines.append("")
    if options.claims:
        lines += escalations(options.claims)
    text = "\n".join(lines)
    print(text)
    if options.scenario is None:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
