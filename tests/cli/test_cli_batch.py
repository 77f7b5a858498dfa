"""`batch run`: a file of prompts in, a file of answers out."""

import json

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app
from llama_bedrock.local import Account, LocalBedrock
from llama_bedrock.testing import ScriptedEngine


def run(*arguments):
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


def test_a_file_is_answered_and_the_figures_are_told(tmp_path, llama):
    source = tmp_path / "in.jsonl"
    source.write_text('"one"\n{broken\n')
    llama("First.")
    done = run("run", source, "--json")
    assert done.exit_code == 1  # one record failed
    told = json.loads(done.stdout)
    assert (told["answered"], told["failed"], told["records"]) == (1, 1, 2)
    first, second = map(json.loads, (tmp_path / "in.jsonl.answers.jsonl").read_text().splitlines())
    assert first["text"] == "First."
    assert "line 2 is no JSON" in second["error"]["message"]


def test_bad_input_is_one_line(tmp_path, llama):
    llama("First.")
    (tmp_path / "in.txt").write_text("a")
    wrong = run("run", tmp_path / "in.txt")
    assert wrong.exit_code == 2
    assert ".jsonl" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1
    assert run("run", tmp_path / "missing.jsonl").exit_code == 2


@pytest.mark.filterwarnings("ignore::llama_bedrock.LlamaLifecycleWarning")
def test_a_job_from_submission_to_results(tmp_path, bucket, monkeypatch):
    (tmp_path / "in.jsonl").write_text('{"id": "a", "prompt": "one"}\n{"id": "b", "prompt": "two"}\n')
    few = {"Minimum number of records per batch inference job": 1}
    account = Account(pace=0.01, quotas=few)
    with LocalBedrock(ScriptedEngine(["First."], repeat=True), account=account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", server.endpoint_url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.endpoint_url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", server.endpoint_url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        role = "arn:aws:iam::123456789012:role/batch"
        model = "us.meta.llama3-3-70b-instruct-v1:0"
        submitted = run("submit", tmp_path / "in.jsonl", "--s3", bucket, "--role-arn", role, "--model", model)
        assert submitted.exit_code == 0, submitted.stderr
        (arn,) = submitted.stdout.split()
        assert "2 records" in submitted.stderr
        waited = run("status", arn, "--wait")
        assert waited.stdout == "Completed: 2 of 2 records\n"
        assert json.loads(run("status", arn, "--json").stdout)["ended"]
        found = run("results", arn)
        assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == ["a", "b"]
        assert run("results", arn, "-o", tmp_path / "out.jsonl").exit_code == 0
        assert (tmp_path / "out.jsonl").read_text() == found.stdout
        assert run("retry", arn).stdout == ""
        assert run("cancel", arn).stdout.startswith("Completed")
    assert run("status", "nonsense").exit_code == 2


def test_an_estimate_needs_no_credentials(tmp_path):
    (tmp_path / "in.jsonl").write_text('"one two three"\n"four"\n{\n')
    model = ("--model", "us.meta.llama3-3-70b-instruct-v1:0", "--region", "us-east-1")
    told = json.loads(
        run("estimate", tmp_path / "in.jsonl", *model, "--requests-per-minute", 1, "--json").stdout
    )
    assert (told["records"], told["unreadable"], told["most_live_minutes"]) == (3, 1, 2)
    assert told["batch_most_usd"] == pytest.approx(told["live_most_usd"] / 2)
    assert "batch: under $0.0001 to $" in run("estimate", tmp_path / "in.jsonl", *model).stdout
