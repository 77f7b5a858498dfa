"""Every example runs with --local and shows what it is there to show; langgraph.json names graphs that
work."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))

# What the output of an example has to hold, so that one that prints nothing useful fails.
SHOWN = {
    "01_chat": ["Pisco", "stopped because of: stop", "<|start_header_id|>"],
    "02_streaming": ["Cusco", "usage: {", "- "],
    "03_tools": ["weather({'city': 'Cusco'})", 'herd_size{"farm": "Andes"}', "Forced: herd_size"],
    "04_structured_output": ["Llama(name='Dolly', weight_kg=130", "{'name': 'Dolly'}"],
    "05_vision": ["1 image", "this model reads text only"],
    "06_rag": ["<|eot|>", "found in prompt-formats.docx", "grounded: "],
    "07_knowledge_base": ["Our chain: ", "RetrieveAndGenerate: ", "<|eot|>"],
    "08_rag_agent": ["searched: ", "[1] found in"],
    "09_agent_with_memory": ["35", "Sunny and 18 °C in Cusco", "Report(farm='Andes', llamas=35)"],
    "10_middleware": ["waits for approval", "Sent to amaru@example.org."],
}


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error::ResourceWarning"}
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=110,
        cwd=ROOT.parent,  # from any folder
        env=environment,
    )


def test_there_are_at_least_ten_and_each_is_described():
    assert [path.stem for path in EXAMPLES] == sorted(SHOWN)


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_locally(script):
    done = run(script, "--local")
    assert done.returncode == 0, done.stderr
    for text in SHOWN[script.stem]:
        assert text in done.stdout, done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short_and_says_how_to_run_it(script):
    lines = script.read_text("utf-8").splitlines()
    assert len(lines) < 60
    assert any(f"python examples/{script.name}" in line and "--local" in line for line in lines[:5])


def test_graphs_of_langgraph_json_answer(monkeypatch):
    monkeypatch.setenv("LLAMA_BEDROCK_LOCAL", "1")
    for path in json.loads((ROOT / "langgraph.json").read_text("utf-8"))["graphs"].values():
        file, _, name = path.partition(":")
        spec = importlib.util.spec_from_file_location("graphs", ROOT / file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        graph = getattr(module, name)()
        result = graph.invoke({"messages": [("user", "How many llamas are on the farm Andes?")]})
        assert result["messages"][-1].text
