"""import, train, deploy and migrate-plan at the command line, against the local control plane."""

import csv
import json

import boto3
import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app
from llama_bedrock.local import Account, LocalBedrock, ModelState
from tests.control.conftest import ROLE, write_tiny_llama

LLAMA33 = "meta.llama3-3-70b-instruct-v1:0"


@pytest.fixture
def cli(bucket, s3_endpoint, monkeypatch, tmp_path):
    """Function: arguments → the result of the program, for which AWS is on this machine."""
    account = Account(
        pace=0.01, wake_seconds=0.01, s3_endpoint_url=s3_endpoint, models={LLAMA33: ModelState("active")}
    )
    monkeypatch.chdir(tmp_path)
    with LocalBedrock(account=account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        yield lambda *args: CliRunner().invoke(app, [*map(str, args)])


def test_a_folder_is_checked_imported_and_found_again(cli, bucket, tmp_path):
    folder = write_tiny_llama(tmp_path / "llama")
    checked = cli("import", folder, "--check")
    assert (checked.exit_code, "prompt format llama3.1, float16" in checked.stdout) == (0, True)
    options = ("--name", "tiny", "--role-arn", ROLE, "--s3", f"{bucket}/t", "--region", "us-west-2")
    done = cli("import", folder, *options)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("arn:aws:bedrock:us-west-2:123456789012:imported-model/")
    assert "upload 100 %" in done.stderr
    again = json.loads(cli("import-model", folder, *options, "--json").stdout)
    assert (again["arn"], again["new"], again["prompt_format"]) == (done.stdout.strip(), False, "llama3.1")
    (folder / "tokenizer.json").unlink()
    broken = cli("import", folder, "--check", "--json")
    assert (broken.exit_code, json.loads(broken.stdout)["ok"]) == (2, False)
    assert "would fail, and nothing was uploaded" in cli("import", folder, *options).stderr
    assert cli("import", folder).exit_code == 2


def test_examples_are_trained_and_deployed(cli, bucket, tmp_path):
    data = tmp_path / "train.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([("prompt", "completion"), *((f"q{n}", f"a{n}") for n in range(100))])
    checked = cli("train", data, "--base", LLAMA33, "--check", "--write", tmp_path / "o.jsonl")
    assert (checked.exit_code, "100 examples, about" in checked.stdout) == (0, True)
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 100
    (tmp_path / "tests.txt").write_text("q7\n")
    leaked = cli("train", data, "--base", LLAMA33, "--test-questions", tmp_path / "tests.txt")
    assert (leaked.exit_code, "train.csv, line 9: it holds the test question 'q7'" in leaked.stdout) == (
        2,
        True,
    )
    where = ("--role-arn", ROLE, "--output", f"{bucket}/out", "--region", "us-west-2")
    done = cli("train", data, "--base", LLAMA33, "--name", "support", "--epochs", 2, *where)
    assert done.exit_code == 0, done.stderr
    arn = done.stdout.strip()
    assert ":custom-model/" in arn
    hosted = json.loads(cli("deploy", arn, "--name", "v1", "--region", "us-west-2", "--json").stdout)
    assert (hosted["prompt_format"], hosted["model_arn"]) == ("llama3.3", arn)
    buy = ("deploy", arn, "--name", "own", "--units", 1, "--commitment", "OneMonth", "--region", "us-west-2")
    refused = cli(*buy)
    assert refused.exit_code == 2
    assert "This is a purchase: 1 model unit for" in refused.stderr
    assert "committed until" in refused.stderr
    listed = boto3.client("bedrock", region_name="us-west-2").list_provisioned_model_throughputs()
    assert listed["provisionedModelSummaries"] == []
    assert ":provisioned-model/" in cli(*buy, "--yes").stdout
    assert cli("deploy", arn, "--name", "v2", "--commitment", "OneMonth").exit_code == 2


@pytest.mark.slow
def test_a_purchase_without_a_known_price_asks_for_it(cli, terminal):
    child = terminal("deploy", LLAMA33, "--name", "own", "--units", 2, "--region", "us-west-2")
    child.expect("price unknown")
    child.expect("USD for an hour of a unit")
    child.sendline("24")
    child.expect("24.00 USD an hour and unit")
    child.expect("35,040 USD a month")
    child.expect("Buy it")
    child.sendline("n")
    child.expect("nothing was bought")


def test_a_project_is_looked_through(cli, tmp_path):
    (tmp_path / "main.tf").write_text('model = "meta.llama3-1-405b-instruct-v1:0"\n')
    shown = cli("migrate-plan", tmp_path)
    assert shown.exit_code == 0
    for text in ("main.tf:1", "ended", "2026-07-07", LLAMA33, "4.80", "1.44"):
        assert text in shown.stdout
    (use,) = json.loads(cli("migrate-plan", tmp_path, "--json", "--input-tokens", 0).stdout)["uses"]
    assert (use["cost"], use["successor_cost"], use["line"]) == (2.4, 0.72, 1)
    (tmp_path / "main.tf").write_text("")
    assert "no Llama of Bedrock is named in 1 file\n" in cli("migrate-plan", tmp_path / "main.tf").stderr
