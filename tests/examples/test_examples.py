"""Every example runs with --local and shows what it is there to show; langgraph.json names graphs that
work."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))

QUICK = {"01_chat", "06_rag"}  # the others run with the slow checks

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


@pytest.mark.parametrize(
    "script",
    [path if path.stem in QUICK else pytest.param(path, marks=pytest.mark.slow) for path in EXAMPLES],
    ids=lambda path: path.stem,
)
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
        factory = getattr(module, name)
        graph = asyncio.run(factory())
        assert asyncio.run(factory()) is graph  # not built again for each run
        result = graph.invoke({"messages": [("user", "How many llamas are on the farm Andes?")]})
        assert result["messages"][-1].text


@pytest.fixture
def dev_server(tmp_path):
    """The address of `langgraph dev` on this repository, with the local engine."""
    pytest.importorskip("langgraph_api", reason='needs pip install "langgraph-cli[inmem]"')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "langgraph_cli",
        "dev",
        "--no-browser",
        "--no-reload",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "LLAMA_BEDROCK_LOCAL": "1", "LANGSMITH_TRACING": "false"}
    # it keeps its state in the working directory
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("examples", "langgraph.json"):
        (folder / name).symlink_to(ROOT / name)
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(60):
            time.sleep(1)
            try:
                urllib.request.urlopen(f"{address}/ok", timeout=5)
                break
            except urllib.error.URLError:
                continue
        yield address
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def post(address, body):
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=60).read().decode()


@pytest.mark.slow
def test_langgraph_dev_serves_both_graphs(dev_server):
    found = json.loads(post(f"{dev_server}/assistants/search", {}))
    assert {assistant["graph_id"] for assistant in found} == {"documents", "tools"}
    for graph, question, wanted in (
        ("tools", "How many llamas are on the farm Andes?", "35"),
        ("documents", "Which token ends a turn?", "[1]"),
    ):
        body = {"assistant_id": graph, "input": {"messages": [{"role": "user", "content": question}]}}
        events = post(f"{dev_server}/runs/stream", {**body, "stream_mode": ["messages-tuple", "values"]})
        assert "event: messages" in events
        assert "event: error" not in events
        assert wanted in json.loads(post(f"{dev_server}/runs/wait", body))["messages"][-1]["content"]
    thread = json.loads(post(f"{dev_server}/threads", {}))["thread_id"]
    for count in (4, 8):  # the second run goes on with the conversation
        state = json.loads(post(f"{dev_server}/threads/{thread}/runs/wait", {**body, "assistant_id": "tools"} | {
            "input": {"messages": [{"role": "user", "content": f"How many llamas are on the farm A{'a' * count}?"}]}
        }))  # fmt: skip
        assert len(state["messages"]) == count
