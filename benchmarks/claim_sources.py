"""Make files of claims for benchmarks/grounding.py, of the repositories in which the sources are published.

    python benchmarks/claim_sources.py FOLDER --out FOLDER [--without claims.jsonl]

FOLDER holds clones under their names (``wice``, ``qags`` …); nothing is fetched, and a source whose clone is
not there is told and left out. Writes ``chosen_on.jsonl`` and ``reported_on.jsonl``: of each source at most
300 claims that are supported and as many that are not, drawn with a seed, without those of ``--without``.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llama_bedrock.text import sentences

MOST = 300  # of each source, supported and not
Row = tuple[str, str, bool, str]  # statement, passage, whether it is supported, the source's own label
_MARK = re.compile(r"\s*\[[\d, ]+\]")


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def _table(path: Path, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> Iterator[dict[str, str]]:
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]


def qags(root: Path, part: str) -> Iterator[Row]:
    """Sentences of summaries against the article, by the majority of three people."""
    for row in _lines(root / "data" / f"mturk_{part}.jsonl"):
        for sentence in row["summary_sentences"]:
            said = [one["response"] for one in sentence["responses"]]
            yield sentence["sentence"], row["article"], 2 * said.count("yes") > len(said), "majority"


def covid_fact(root: Path) -> Iterator[Row]:
    for row in _lines(root / "COVIDFACT_dataset.jsonl"):
        yield row["claim"], " ".join(row["evidence"]), row["label"] == "SUPPORTED", row["label"]


def climate_fever(root: Path) -> Iterator[Row]:
    """Claims against single sentences; those without enough information are left out."""
    for row in _lines(root / "dataset" / "climate-fever.jsonl"):
        for evidence in row["evidences"]:
            if (label := evidence["evidence_label"]) != "NOT_ENOUGH_INFO":
                yield row["claim"], evidence["evidence"], label == "SUPPORTS", label


def q2(root: Path, model: str) -> Iterator[Row]:
    for supported, part in ((True, "consistent"), (False, "inconsistent")):
        for row in _table(root / "third_party" / "data" / f"{model}_{part}.csv"):
            yield row["response"], row["knowledge"], supported, part


def health_ver(root: Path) -> Iterator[Row]:
    for part in ("dev", "test"):
        for row in _table(root / "data" / f"healthver_{part}.csv"):
            yield row["claim"], row["evidence"], row["label"] == "Supports", row["label"]


def fever_symmetric(root: Path) -> Iterator[Row]:
    for part in ("dev", "test"):
        for row in _lines(root / "symmetric_v0.2" / f"fever_symmetric_{part}.jsonl"):
            yield row["claim"], row["evidence"], row["gold_label"] == "SUPPORTS", row["gold_label"]


def factcheck_gpt(root: Path) -> Iterator[Row]:
    for row in _lines(root / "subtasks" / "subtask3_claim_evidence_stance.jsonl"):
        yield row["claim"], row["evidence"], row["stance"] == "completely-support", row["stance"]


def wice(root: Path) -> Iterator[Row]:
    for part in ("dev", "test"):
        folder = root / "code_and_resources" / "entailment_inputs" / "oracle_chunks" / "claim"
        for row in _lines(folder / f"{part}.jsonl"):
            evidence = row["evidence"]
            passage = evidence if isinstance(evidence, str) else "\n".join(evidence)
            yield row["claim"], passage, row["label"] == "supported", row["label"]


def lfqa(root: Path) -> Iterator[Row]:
    """Sentences of the answers of four systems against all their documents, by majority."""
    systems = (
        ("webgpt", "webgpt"),
        ("gpt3_wdoc", "webgpt"),
        ("alpaca_wdoc", "webgpt"),
        ("gpt3_whudoc", "human"),
    )
    for system, kind in systems:
        told = json.loads((root / "data" / "docs" / f"docs-{kind}.json").read_text("utf-8"))
        documents = {row["question_id"]: "\n\n".join(d["text"] for d in row["docs"]) for row in told}
        path = root / "data" / "annotations" / f"annotations-{system}.json"
        for row in json.loads(path.read_text("utf-8")):
            for one in row["annotations"]:
                supported = 2 * one["labels"].count("supported") > len(one["labels"])
                yield _MARK.sub("", one["answer"]), documents[row["question_id"]], supported, system


def dial_fact(root: Path) -> Iterator[Row]:
    for row in _lines(root / "scripts" / "testsmall.jsonl"):
        evidence, label = "\n".join(e[2] for e in row["evidence_list"]), row["response_label"]
        yield row["response"], evidence, label == "SUPPORTS", label


def scifact(root: Path) -> Iterator[Row]:
    """The development split, as COVID-Fact's repository has it."""
    for row in _table(root / "RTE-scifact" / "dev.tsv", "\t", csv.QUOTE_NONE):
        label = row["entailment"]
        yield row["sentence2"], row["sentence1"], label == "entailment", label


def summ_edits(root: Path) -> Iterator[Row]:
    parts = ("ectsum", "news", "podcast", "qmsumm", "sales_call", "sales_email", "samsum", "scitldr")
    for part in parts:
        path = root / "data" / "summedits" / f"summedits_{part}.json"
        for row in json.loads(path.read_text("utf-8")):
            yield row["summary"], row["doc"], row["label"] == 1, part


def begin(root: Path, part: str = "wow/begin_test_wow") -> Iterator[Row]:
    for row in _table(root / f"{part}.tsv", "\t", csv.QUOTE_NONE):
        if (label := row["begin_label"]) in (
            "Fully attributable",
            "Not fully attributable",
            "Not attributable",
        ):
            yield row["response"], row["knowledge"], label == "Fully attributable", label


def faith_bench(root: Path) -> Iterator[Row]:
    """Sentences of summaries by ten models: with no annotation at all, or with one that says "unwanted"."""
    for path in sorted((root / "data_for_release").glob("batch_*.json")):
        for row in json.loads(path.read_text("utf-8"))["samples"]:
            summary, marked = row["summary"], row["annotations"]
            for start, end in sentences(summary):
                labels = {
                    label
                    for note in marked
                    if note["summary_start"] is None
                    or (note["summary_start"] < end and note["summary_end"] > start)
                    for label in note["label"]
                }
                if not labels or any(label.startswith("Unwanted") for label in labels):
                    yield summary[start:end], row["source"], not labels, ", ".join(sorted(labels))


def aggre_fact(root: Path, part: str) -> Iterator[Row]:
    """One-sentence summaries of XSum by BART and Pegasus, or of four systems."""
    for row in _table(root / "data" / "error_type_mapping" / f"{part}_error_types.csv"):
        if len(list(sentences(row["summ"]))) == 1:
            label = row["error_type"]
            yield row["summ"], row["doc"], label in ("", "correct"), label


def faith_dial(root: Path) -> Iterator[Row]:
    """Answers of people and three models in the audit of three sets of dialogues; chat is left out."""
    for path in sorted((root / "data-audit").glob("*/*.csv")):
        for row in _table(path):
            passage = row.get("knowledge") or row.get("evidence") or ""
            said = next(row[name] for name in ("ctrl", "doha", "gpt2", "response") if name in row)
            label = row.get("begin_label") or row.get("BEGIN") or ""
            if "entailment" in label.lower() or "hallucination" in label.lower():
                yield said, passage, "hallucination" not in label.lower(), label


# Name → its clone and how it is read. Thresholds were chosen on the first, never on the others.
CHOSEN_ON: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    "qags-cnndm": ("qags", lambda root: qags(root, "cnndm")),
    "qags-xsum": ("qags", lambda root: qags(root, "xsum")),
    "covid-fact": ("covidfact", covid_fact),
    "climate-fever": ("climate-fever-dataset", climate_fever),
    "q2-dodeca": ("q-squared", lambda root: q2(root, "dodeca")),
    "q2-memnet": ("q-squared", lambda root: q2(root, "memnet")),
    "healthver": ("HealthVer", health_ver),
    "fever-symmetric": ("FeverSymmetric", fever_symmetric),
    "factcheck-gpt": ("Factcheck-GPT", factcheck_gpt),
    "wice": ("wice", wice),
}
REPORTED_ON: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    "lfqa": ("LFQA-Verification", lfqa),
    "dialfact": ("DialFact", dial_fact),
    "scifact": ("covidfact", scifact),
    "summedits": ("factualNLG", summ_edits),
    "begin": ("BEGIN-dataset", begin),
    "faithbench": ("FaithBench", faith_bench),
    "cliff": ("AggreFact", lambda root: aggre_fact(root, "CLIFF")),
    "goyal21": ("AggreFact", lambda root: aggre_fact(root, "Goyal21")),
    "begin-cmu": ("BEGIN-dataset", lambda root: begin(root, "cmu-dog/begin_dev_cmu")),
    "begin-topical": ("BEGIN-dataset", lambda root: begin(root, "topicalchat/begin_dev_tc")),
    "faithdial-audit": ("FaithDial", faith_dial),
}


def drawn(name: str, rows: Iterator[Row], without: set[str]) -> list[dict[str, Any]]:
    """Half of each supported, at most `MOST`, each claim once."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for said, passage, supported, kind in rows:
        statement, passage = " ".join(said.split()), passage.strip()
        if len(statement) > 10 and len(passage) > 20 and statement not in without:
            row = {
                "source": name,
                "statement": statement,
                "passage": passage,
                "supported": supported,
                "kind": kind,
            }
            found.setdefault((statement, passage), row)
    parts = [[row for row in found.values() if row["supported"] is label] for label in (True, False)]
    chance, count = random.Random(name), min(MOST, *map(len, parts))
    taken = [row for part in parts for row in chance.sample(part, count)]
    return [{"id": f"{name}-{number:03d}", **row} for number, row in enumerate(taken)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--without", type=Path, help="claims that a file of their own has")
    options = parser.parse_args()
    known = _lines(options.without) if options.without else []
    without = {" ".join(row["statement"].split()) for row in known}
    for file, sources in (("chosen_on", CHOSEN_ON), ("reported_on", REPORTED_ON)):
        with (options.out / f"{file}.jsonl").open("w", encoding="utf-8") as out:
            for name, (clone, read) in sources.items():
                if not (options.folder / clone).is_dir():
                    print(f"{name}: no {options.folder / clone}")
                    continue
                rows = drawn(name, read(options.folder / clone), without)
                print(f"{file} {name}: {Counter(row['supported'] for row in rows)}")
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main()
