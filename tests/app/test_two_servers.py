"""Two servers behind a load balancer: conversations in one PostgreSQL, and no state of their own."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack

import httpx
import pytest

from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
from tests.app.conftest import KEY

pytestmark = pytest.mark.slow


@pytest.fixture
def bedrock():
    """A Llama that counts the questions it sees, slowly."""

    def says(request):
        count = len(re.findall(r"<.start_header_id.>user<.end_header_id.>", request.prompt))
        return [f"Question {count}.", *[" Yes."] * 30]

    with LocalBedrock(ScriptedEngine([says], repeat=True), token_delay=0.1) as server:
        yield server


@pytest.fixture
def server(postgres, bedrock, aws_credentials, tmp_path):
    """Function: starts a server of its own → (client, process)."""
    with ExitStack() as stack:

        def start():
            environment = os.environ | {
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.endpoint_url,
                "LLAMA_BEDROCK_KEY": KEY,
                "LLAMA_BEDROCK_CONVERSATIONS": postgres,
                "XDG_DATA_HOME": str(tmp_path / "nothing"),
            }
            program = "from llama_bedrock.cli.main import main; main()"
            command = [sys.executable, "-c", program, "ui", "--bedrock", "--no-browser", "--port=0"]
            process = stack.enter_context(
                subprocess.Popen(
                    command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.kill)
            address = process.stdout.readline().partition("/?key")[0]
            assert address, process.stderr.read()
            bearer = {"Authorization": f"Bearer {KEY}"}
            client = httpx.Client(base_url=address, headers=bearer, trust_env=False, timeout=100)
            return stack.enter_context(client), process

        yield start
    assert not (tmp_path / "nothing").exists()


def asked(client, question, *, until=None):
    """The names and data of the events of an answer, up to one of them."""
    events, name = [], ""
    with client.stream("POST", "/api/ask", json={"thread": "herd", "question": question}) as answer:
        for line in answer.iter_lines():
            kind, _, value = line.partition(": ")
            if kind == "event":
                name = value
            elif kind == "data":
                events.append((name, json.loads(value)))
                if until is not None and name == "text":
                    until()
                    until = None
    return events


def texts(client):
    return [
        message["text"] for message in client.get("/api/thread", params={"name": "herd"}).json()["messages"]
    ]


def test_a_conversation_goes_on_at_the_other_server(server):
    (one, first), (other, _) = server(), server()

    def look_from_the_other():
        seen = other.get("/api/thread", params={"name": "herd"}).json()
        assert seen["running"]  # and the turn is not taken for one that a stopped server left
        refused = other.post("/api/ask", json={"thread": "herd", "question": "At the same time?"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conversation_busy")

    events = asked(one, "How many llamas?", until=look_from_the_other)
    assert events[-1][0] == "done"
    whole = "Question 1." + " Yes." * 30
    assert texts(one) == texts(other) == ["How many llamas?", whole]
    assert [thread["name"] for thread in other.get("/api/threads").json()["threads"]] == ["herd"]
    assert asked(other, "And now?")[-1][1]["messages"][-1]["text"].startswith("Question 2.")

    # A server that dies in the middle of an answer leaves nothing locked: the question is taken back.
    with pytest.raises(httpx.TransportError):
        asked(one, "Will you live?", until=first.kill)
    deadline = time.monotonic() + 60
    while other.get("/api/thread", params={"name": "herd"}).json()["running"] and time.monotonic() < deadline:
        time.sleep(0.1)  # PostgreSQL has to notice that the connection is gone
    assert len(texts(other)) == 4
    assert asked(other, "And now?")[-1][1]["messages"][-1]["text"].startswith("Question 3.")
    assert other.delete("/api/thread", params={"name": "herd"}).status_code == 204
    assert texts(other) == []
