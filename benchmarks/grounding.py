"""Verifiers over annotated claims, beside the one-line baseline.

    python benchmarks/grounding.py [FILE …] [--chosen FILE …] [--judge MODEL --region REGION]

A file has one claim per line: ``id``, ``statement``, ``passage``, ``supported``, ``kind``, ``source``.
Thresholds were chosen on the sources in the files after ``--chosen`` (by default the shared file), never on
those in the others. Writes benchmarks/results/grounding.md: figures only, no text of the claims.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.grounding import Cascade, Claim, LlamaJudge, Verdict, WordVerifier
from llama_bedrock.text import content_words, language_of, sentences, words

ROOT = Path(__file__).resolve().parent
_SOURCES = """\
Sources, all public; `benchmarks/claim_sources.py` makes both files of clones of their repositories: at
most 300 claims that are supported and 300 that are not of each, drawn with a seed. Chosen on: the shared
file (WiCE, SummEdits, BEGIN, 210), QAGS (sentences of summaries against the article, by majority), COVID-
Fact, FeverSymmetric v0.2, Q2 (dodeca, memnet), Climate-FEVER (single sentences), HealthVer, Factcheck-
GPT's stances, and WiCE (oracle chunks), which was reported on until its figures had been seen too often;
thresholds were chosen on these. Reported on, no threshold was chosen on them: LFQA-Verification
(answers of four systems against their documents, by majority), DialFact's sample, the development
split of SciFact as COVID-Fact's repository has it, of SummEdits and BEGIN (wow) what the shared file
does not have, FaithBench (sentences of summaries by ten models), CLIFF and Goyal21 (one-sentence
summaries of XSum); the totals of these had been seen before. Nobody had looked at BEGIN's development
splits of CMU-DoG and Topical-Chat and at FaithDial's audit (answers of three models and of people).
ExpertQA was left out: its passages are cut at 1,000 characters, its labels are of the whole page.
Some labels say less than ours: Climate-FEVER's, HealthVer's and SciFact's claims were not written
from the passage, and a crowd rejects 4 % of the sentences of QAGS that were copied word for word."""
_COLUMNS = ("balanced accuracy", "recall", "false pass", "True right", "False right", "decided")
Verify = Callable[[list[Claim]], list[Verdict]]


def baseline(claims: list[Claim]) -> list[Verdict]:
    """Sixty per cent of the content words stand in three neighbouring sentences, and all numbers do."""
    return [_baseline(claim.statement, claim.passages[0].page_content) for claim in claims]


def _baseline(statement: str, passage: str) -> Verdict:
    language = language_of(passage)
    said = content_words(statement, language)
    wanted = {word.form for word in said if not word.is_number}
    held = [{w.form for w in words(passage[a:b], language)} for a, b in sentences(passage)]
    share = max((len(wanted & set().union(*held[at : at + 3])) for at in range(len(held))), default=0)
    numbers = {word.form for word in said if word.is_number} <= set().union(*held)
    supported = bool(wanted) and share / len(wanted) >= 0.6 and numbers
    return Verdict(supported, float(supported), by="baseline")


def figures(rows: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> str:
    """One row of the table: of the score from 0.5 on, and of what was decided."""
    said = [
        (row["supported"], (verdict.score or 0.0) >= 0.5) for row, verdict in zip(rows, verdicts, strict=True)
    ]
    recall = statistics.fmean(passed for supported, passed in said if supported)
    false_pass = statistics.fmean(passed for supported, passed in said if not supported)
    cells = [f"{50 * (recall + 1 - false_pass):.1f}", f"{100 * recall:.0f}", f"{100 * false_pass:.0f}"]
    decided = [
        (r["supported"], v.supported) for r, v in zip(rows, verdicts, strict=True) if v.supported is not None
    ]
    for verdict in (True, False):
        right = [supported is verdict for supported, given in decided if given is verdict]
        cells.append(f"{100 * statistics.fmean(right):.1f} % of {len(right)}" if right else "–")
    return " | ".join([*cells, f"{100 * len(decided) / len(rows):.0f} %"])


def measure(name: str, verify: Verify, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows of the table for one verifier: all, and each source."""
    verdicts, spent = [], []
    for row in rows:
        claim = Claim(row["statement"], [Document(row["passage"])])
        started = time.process_time()
        verdicts += verify([claim])
        spent.append(1000 * (time.process_time() - started))
    parts: dict[str, Sequence[int]] = {"all": range(len(rows))}
    for source in sorted({row["source"] for row in rows}):
        parts[source] = [n for n, row in enumerate(rows) if row["source"] == source]
    lines = []
    for part, places in parts.items():
        table = figures([rows[n] for n in places], [verdicts[n] for n in places])
        lines.append(f"| {name} | {part} | {len(places)} | {table} | {statistics.median(spent):.1f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    shared = ROOT.parent.parent / "shared" / "data" / "claims" / "claims.jsonl"
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--chosen", nargs="*", type=Path, default=[shared])
    parser.add_argument("--judge", help="model id or ARN on Bedrock: LlamaJudge, and words before it")
    parser.add_argument("--region")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "grounding.md")
    options = parser.parse_args()
    verifiers: dict[str, Verify] = {"baseline": baseline, "WordVerifier": WordVerifier().verify}
    if options.judge:
        judge = LlamaJudge(ChatLlamaBedrock(model=options.judge, region_name=options.region))
        verifiers[f"LlamaJudge({options.judge})"] = judge.invoke
        verifiers["Cascade(words, judge)"] = Cascade(WordVerifier(), judge).invoke
    lines = [
        "# Verifiers over annotated claims",
        "",
        "Balanced accuracy, recall, false pass: of `score >= 0.5`. True, False: how many of those verdicts",
        "are right. Decided: share of claims with a verdict. ms: median of the processor's for a statement.",
        "",
        _SOURCES,
        "",
        f"| verifier | part | n | {' | '.join(_COLUMNS)} | ms |",
        "|---" * (len(_COLUMNS) + 4) + "|",
    ]
    for file in [*options.files, *options.chosen]:
        if not file.is_file():
            raise SystemExit(f"no claims in {file}")
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
        told = "chosen on" if file in options.chosen else "reported on"
        lines += [f"| **{told}: {file.stem}** | | | | | | | | | |"]
        for name, verify in verifiers.items():
            lines += measure(name, verify, rows)
    print("\n".join(lines))
    options.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
