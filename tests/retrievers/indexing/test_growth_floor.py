"""What one changed file costs, whatever the size of the index; run by `make floors`."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from llama_bedrock.retrievers import FAISSStore, index_folder
from llama_bedrock.retrievers.indexing.folder_manifest import scan

pytestmark = [pytest.mark.floor, pytest.mark.timeout(600)]

FEW, MANY = 500, 10_000
OLD = 1_700_000_000


def write(folder: Path, number: int, version: int) -> None:
    path = folder / str(number // 500) / f"{number}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# Note {number}\n\nVersion {version} of the note with the number {number}.")
    os.utime(path, (OLD + version, OLD + version))


def processor_seconds(call: Any) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def test_a_change_among_ten_thousand_files_costs_what_it_costs_among_five_hundred(
    tmp_path: Path, counting: Any
) -> None:
    """Beyond the look through the folder; it was five times as much while the whole manifest was read."""
    for size in (FEW, MANY):
        for number in range(size):
            write(tmp_path / f"docs{size}", number, 0)
        index_folder(tmp_path / f"docs{size}", FAISSStore(counting()), save=tmp_path / f"index{size}")
    took: dict[int, list[float]] = {FEW: [], MANY: []}
    for version in range(1, 10):
        for size in took:
            docs = tmp_path / f"docs{size}"
            write(docs, version, version)
            look = processor_seconds(lambda docs=docs: scan(docs, print, lambda done: None))
            store = FAISSStore.load(tmp_path / f"index{size}", counting())
            took[size].append(
                processor_seconds(lambda docs=docs, store=store: index_folder(docs, store)) - look
            )
    assert statistics.median(took[MANY]) < 2 * statistics.median(took[FEW]), took
