"""Answers without a server are those of the server: one table, sync and async, both ways side by side."""

import asyncio
import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.local import LocalBedrock
from llama_bedrock.local.engines import load_engine
from llama_bedrock.local.in_process import InProcessClient

MODEL = "meta.llama3-3-70b-instruct-v1:0"
ASKED = {
    "plain": ({}, "Who are you?"),
    "cut at its most tokens": ({"max_tokens": 3}, "Who are you?"),
    "stopped": ({"stop": ["engine"]}, "Who are you?"),
    "letters of other scripts": ({}, "Qui êtes-vous ? 日本語 \N{ROCKET}"),
    "a long prompt, counted in a thread": ({}, "The pump hums at 50 Hz. " * 3_000),
    "latency that the model does not have": ({"latency": "optimized"}, "Who are you?"),
    "a guardrail that is not there": ({"guardrails": {"id": "nosuch", "version": "1"}}, "Who are you?"),
    "too long": ({"context_check": "off"}, "word " * 200_000),
}


@pytest.fixture(scope="module")
def server():
    with LocalBedrock() as running:
        yield running


def models(server, settings):
    """The same model twice: without a server, and at one."""
    client = InProcessClient(load_engine("extractive"), "us-east-2")
    shared = {"model": MODEL, "region_name": "us-east-2", **settings}
    yield ChatLlamaBedrock(**shared, client=client, endpoint_url=client.meta.endpoint_url)
    yield ChatLlamaBedrock(
        **shared, endpoint_url=server.endpoint_url, aws_access_key_id="local", aws_secret_access_key="local"
    )


def seen(answer):
    """What must not differ: all but times and the number of the request."""
    if isinstance(answer, LlamaBedrockError):
        return type(answer), answer.code, answer.message
    assert isinstance(answer, AIMessage)
    facts = {
        k: v for k, v in answer.response_metadata.items() if k not in ("request_id", "invocation_metrics")
    }
    assert answer.response_metadata["request_id"]
    return answer.content, answer.usage_metadata, facts


def outcome(call):
    try:
        return call()
    except LlamaBedrockError as error:
        return error


def streamed(llm, text):
    total = None
    for chunk in llm.stream(text):
        total = chunk if total is None else total + chunk
    return AIMessage(**total.model_dump(exclude={"type", "tool_call_chunks", "chunk_position", "id"}))


@pytest.mark.parametrize("case", ASKED)
def test_it_answers_as_the_server_does(server, case):
    settings, text = ASKED[case]
    here, there = models(server, settings)
    expected = seen(outcome(lambda: there.invoke(text)))
    assert seen(outcome(lambda: here.invoke(text))) == expected
    assert seen(outcome(lambda: asyncio.run(here.ainvoke(text)))) == expected
    assert seen(outcome(lambda: streamed(here, text))) == seen(outcome(lambda: streamed(there, text)))


async def test_a_synchronous_call_inside_a_loop_does_not_wait_for_it(server):
    here, there = models(server, {})
    expected = await there.ainvoke("Who are you?")
    assert seen(here.invoke("Who are you?")) == seen(expected)
    assert seen(await here.ainvoke("Who are you?")) == seen(expected)


@pytest.mark.slow
def test_a_question_imports_neither_a_server_nor_an_aws_client(tmp_path):
    (tmp_path / "pump.md").write_text("The pump hums at 50 Hz.\n", "utf-8")
    program = (
        "import sys\n"
        "from llama_bedrock.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(sorted({'aiohttp', 'boto3', 'botocore.session'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "ask", "--local", str(tmp_path), "What hums at 50 Hz?"],
        env={"PATH": "", "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "pump hums" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
