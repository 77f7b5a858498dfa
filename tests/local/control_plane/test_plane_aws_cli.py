"""The AWS CLI uses the control plane: its own argument files, paginators and error texts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::123456789012:role/Bedrock"
SMALL = "us.meta.llama3-1-8b-instruct-v1:0"


@pytest.fixture
def aws(plane, tmp_path):
    """Function: arguments → (exit code, JSON or None, stderr) of the AWS CLI, against a running endpoint."""
    beside = Path(sys.executable).with_name("aws")
    program = [sys.executable, str(beside)] if beside.exists() else [shutil.which("aws")]
    if program[-1] is None:
        pytest.skip("the AWS CLI is not installed")
    url = plane(quotas={"Minimum number of records per batch inference job": 1}).server.endpoint_url
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ENDPOINT_URL": url,
    }

    def run(*arguments):
        command = [*program, *arguments, "--output", "json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr

    return run


def test_the_cli_reads_and_submits(aws, s3):
    code, identity, err = aws("sts", "get-caller-identity")
    assert (code, identity and identity["Account"]) == (0, "123456789012"), err
    source = s3("in/a.jsonl", [{"modelInput": {"prompt": "Hi"}}])
    job = {
        "jobName": "from-cli",
        "roleArn": ROLE,
        "modelId": SMALL,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": source}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{s3.uri}/out"}},
    }
    code, made, err = aws("bedrock", "create-model-invocation-job", "--cli-input-json", json.dumps(job))
    assert code == 0, err
    code, listed, err = aws("bedrock", "list-model-invocation-jobs", "--name-contains", "cli")
    assert listed["invocationJobSummaries"][0]["jobArn"] == made["jobArn"], err


@pytest.mark.slow  # each start of the CLI takes a second
def test_the_cli_pages_and_shows_errors(aws):
    code, quotas, err = aws(
        "service-quotas", "list-service-quotas", "--service-code", "bedrock", "--page-size", "20"
    )
    assert code == 0, err
    assert len(quotas["Quotas"]) > 20
    code, models, err = aws("bedrock", "list-foundation-models", "--by-provider", "meta")
    assert code == 0, err
    assert all(model["providerName"] == "Meta" for model in models["modelSummaries"])
    code, _, err = aws("bedrock", "get-imported-model", "--model-identifier", "nope")
    assert code != 0
    assert "(ResourceNotFoundException)" in err
