"""Clients that are not ours use the endpoint as if it were Bedrock: langchain-aws and the AWS CLI."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llama_bedrock.local import ErrorResponse, LocalBedrock

pytestmark = pytest.mark.slow

MODEL = "us.meta.llama3-1-70b-instruct-v1:0"
AWS_CLI = Path(sys.executable).with_name("aws")


@pytest.fixture
def chat_bedrock(server, aws_credentials):
    langchain_aws = pytest.importorskip("langchain_aws")
    return langchain_aws.ChatBedrock(
        model=MODEL, region="us-east-1", endpoint_url=server.endpoint_url, temperature=0
    )


def test_chat_bedrock_invokes(chat_bedrock, hello):
    message = chat_bedrock.invoke("What is a llama?")
    assert message.content == "Hello world!"
    assert message.usage_metadata["output_tokens"] == 4
    assert hello.requests[0].model_id == MODEL
    assert "What is a llama?" in hello.requests[0].prompt


def test_chat_bedrock_streams(chat_bedrock):
    chunks = list(chat_bedrock.stream("What is a llama?"))
    assert "".join(chunk.text for chunk in chunks) == "Hello world!"
    assert sum(1 for chunk in chunks if chunk.text) == 4


async def test_chat_bedrock_streams_asynchronously(chat_bedrock):
    assert "".join([chunk.text async for chunk in chat_bedrock.astream("Hi")]) == "Hello world!"


def test_chat_bedrock_finds_the_endpoint_in_the_environment(server, aws_credentials, monkeypatch):
    langchain_aws = pytest.importorskip("langchain_aws")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.endpoint_url)
    assert langchain_aws.ChatBedrock(model=MODEL, region="us-east-1").invoke("Hi").content == "Hello world!"


@pytest.fixture
def aws_cli(server, tmp_path):
    """A function that runs ``aws bedrock-runtime invoke-model``: gives the process and the answer's file."""
    if not AWS_CLI.exists():
        pytest.skip("the AWS CLI is not installed beside this Python")
    answer = tmp_path / "answer.json"

    def run(body):
        environment = {
            "PATH": str(AWS_CLI.parent),
            "HOME": str(tmp_path),
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": server.endpoint_url,
            "AWS_MAX_ATTEMPTS": "1",
        }
        # fmt: off
        command = [
            sys.executable, str(AWS_CLI), "bedrock-runtime", "invoke-model",
            "--model-id", MODEL, "--body", json.dumps(body), str(answer),
        ]
        # fmt: on
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return process, answer

    return run


def test_the_aws_cli_invokes(aws_cli):
    process, answer = aws_cli({"prompt": "Hi", "max_gen_len": 20})
    assert process.returncode == 0, process.stderr
    assert json.loads(answer.read_text())["generation"] == "Hello world!"
    assert json.loads(process.stdout)["contentType"] == "application/json"


def test_the_aws_cli_shows_bedrocks_errors(aws_cli):
    process, _ = aws_cli({"prompt": "Hi", "top_k": 1})
    assert process.returncode != 0
    assert "(ValidationException)" in process.stderr
    assert "extraneous key [top_k] is not permitted" in process.stderr


def test_langchains_retries_see_a_throttled_call_as_such(hello, aws_credentials):
    langchain_aws = pytest.importorskip("langchain_aws")
    from botocore.config import Config

    with LocalBedrock(hello, faults=[ErrorResponse("ThrottlingException").first(2)]) as server:
        config = Config(retries={"total_max_attempts": 3, "mode": "standard"})
        llm = langchain_aws.ChatBedrock(
            model=MODEL, region="us-east-1", endpoint_url=server.endpoint_url, config=config
        )
        assert llm.invoke("Hi").content == "Hello world!"
        assert server.stats.requests == 3
