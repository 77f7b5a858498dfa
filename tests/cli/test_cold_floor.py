"""What the start of a command costs, and a first index on two cores, as ratios: those of benchmarks/cold.py."""

import os
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = [pytest.mark.floor, pytest.mark.timeout(600)]


@pytest.fixture
def cold(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return runpy.run_path(str(BENCHMARKS / "cold.py"))


def test_an_answer_of_a_ready_index_costs_little_more_than_langchains_import(cold, tmp_path):
    help_, ask = (row.values[cold["OURS"]] / row.values[cold["BASE"]] for row in cold["starts"](tmp_path))
    assert ask <= 1.57
    assert help_ <= 0.25


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_a_second_core_shortens_the_first_index(cold, tmp_path):
    files = cold["copied"](None, tmp_path / "files", 2000)
    rows = cold["indexed"](files, tmp_path)
    assert rows[-1].values[cold["OURS"]] >= 1.3  # 1.55 was measured on a quiet host, 1.36 on a busy one
