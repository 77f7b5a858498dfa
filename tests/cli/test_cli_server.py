"""`ui` and `api` in processes of their own: what they print, who gets in, and how they end."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

PROGRAM = [sys.executable, "-c", "from llama_bedrock.cli.main import main; main()"]


@contextmanager
def started(*arguments):
    """The process, and the line it prints when it takes requests."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_api_serves_documents_and_ends_on_sigterm(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text("The herd of Oruro has 412 llamas.")
    monkeypatch.setenv("LLAMA_BEDROCK_KEY", "a key of my own")
    with started("api", str(tmp_path), "--local") as (process, line):
        assert line.startswith("export OPENAI_BASE_URL=http://127.0.0.1:")
        address = line.split()[1].partition("=")[2]
        headers = {"Authorization": "Bearer a key of my own"}
        question = {
            "model": "documents",
            "messages": [{"role": "user", "content": "How many llamas has the herd of Oruro?"}],
        }
        answer = httpx.post(
            f"{address}/chat/completions", json=question, headers=headers, trust_env=False, timeout=60
        )
        assert "412 llamas" in answer.json()["choices"][0]["message"]["content"]
        assert httpx.get(f"{address}/models", trust_env=False).status_code == 401
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0
    lines = [json.loads(text) for text in log.splitlines() if text.startswith("{")]
    assert [(entry["path"], entry["status"]) for entry in lines] == [
        ("/v1/chat/completions", 200),
        ("/v1/models", 401),
    ]
    assert lines[0]["model"] == "documents"
    assert "a key of my own" not in log


def test_ui_prints_an_address_with_a_key_of_this_run():
    with started("ui", "--local", "--no-browser") as (_, line):
        address, _, key = line.partition("/?key=")
        assert len(key) >= 32
        assert httpx.get(f"{address}/v1/models", trust_env=False).status_code == 401
        ids = httpx.get(f"{address}/v1/models?key={key}", trust_env=False).json()["data"]
        assert ids[0]["id"] == "meta.llama3-3-70b-instruct-v1:0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "set a key of your own"),
        (["no-such-folder"], "no-such-folder"),
        (["--alias", "support"], "--alias wants NAME=ARN"),
        (["--alias", "support=arn:aws:bedrock:us-east-1:123456789012:imported-model/a"], "prompt_format"),
        (["--key", "short"], "at least 8 characters"),
        (["--host", "203.0.113.1", "--key", "long enough"], "cannot listen on 203.0.113.1"),
    ],
)
def test_bad_options_are_one_line(arguments, said, monkeypatch, capsys):
    from llama_bedrock.cli.main import app

    monkeypatch.delenv("LLAMA_BEDROCK_KEY", raising=False)
    assert app(["api", "--local", "--port", "0", *arguments], standalone_mode=False)
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "Traceback" not in error
