"""A conversation resumes after a kill in the middle of a tool call; finished calls are not repeated."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

# What both processes run: an agent whose first turn makes two calls at once. The second hangs while the file
# "hang" exists; every call is logged. argv: folder, endpoint, mode, new|resume
_PROGRAM = r'''
import asyncio, json, pathlib, sys, time, warnings
warnings.simplefilter("ignore")
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.agents import BudgetGuard, create_tool_agent

folder, endpoint, mode, action = pathlib.Path(sys.argv[1]), *sys.argv[2:]

def log(line):
    with open(folder / "calls.log", "a") as file:
        file.write(line + "\n")

def send_mail(to: str) -> str:
    """Send a mail."""
    log(f"mail {to}")
    return f"sent to {to}"

def count_llamas(farm: str) -> str:
    """Count llamas."""
    log(f"count {farm}")
    while (folder / "hang").exists():
        time.sleep(0.05)
    return f"7 llamas on {farm}"

llm = ChatLlamaBedrock(
    model="us.meta.llama3-3-70b-instruct-v1:0", region_name="us-west-2", endpoint_url=endpoint, api_key="test"
)
value = {"messages": [("user", "Mail Amaru and count Andes.")]} if action == "new" else None
config = {"configurable": {"thread_id": "t"}}

def make(saver):
    tools, guards = [send_mail, count_llamas], [BudgetGuard(max_calls=5)]
    return create_tool_agent(llm, tools, checkpointer=saver, middleware=guards)

def run():
    with SqliteSaver.from_conn_string(str(folder / "memory.db")) as saver:
        return make(saver).invoke(value, config)

async def arun():
    async with AsyncSqliteSaver.from_conn_string(str(folder / "memory.db")) as saver:
        return await make(saver).ainvoke(value, config)

result = run() if mode == "sync" else asyncio.run(arun())
print(json.dumps([message.text for message in result["messages"]]))
'''


def start(folder, endpoint, mode, action):
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    arguments = [sys.executable, str(program), str(folder), endpoint, mode, action]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def calls(folder) -> list[str]:
    log = folder / "calls.log"
    return log.read_text().splitlines() if log.exists() else []


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def mail_is_saved(folder) -> bool:
    """Whether the finished call's result has reached the database."""
    with SqliteSaver.from_conn_string(str(folder / "memory.db")) as saver:
        saved = saver.get_tuple({"configurable": {"thread_id": "t"}})
        return saved is not None and any(
            "sent to Amaru" in str(write) for write in saved.pending_writes or ()
        )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_kill_in_the_middle_of_a_tool_call_resumes_without_repeating_finished_calls(
    scripted, tmp_path, mode
):
    llm, engine = scripted(['[send_mail(to="Amaru"), count_llamas(farm="Andes")]', "Mail sent, 7 llamas."])
    (tmp_path / "hang").touch()
    first = start(tmp_path, llm.endpoint_url, mode, "new")
    try:
        wait_until(
            lambda: sorted(calls(tmp_path)) == ["count Andes", "mail Amaru"] or first.poll() is not None
        )
        assert first.poll() is None, first.communicate()[1]
        wait_until(lambda: mail_is_saved(tmp_path))
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
    (tmp_path / "hang").unlink()
    second = start(tmp_path, llm.endpoint_url, mode, "resume")
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert json.loads(out.splitlines()[-1]) == [
        "Mail Amaru and count Andes.",
        "",
        "sent to Amaru",
        "7 llamas on Andes",
        "Mail sent, 7 llamas.",
    ]
    assert sorted(calls(tmp_path)) == ["count Andes", "count Andes", "mail Amaru"]  # the mail went out once
    assert len(engine.requests) == 2  # the model was not asked again for the first turn


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_conversation_goes_on_in_a_new_process_like_agent(scripted, tmp_path, mode):
    """Two agents that share nothing but the database file."""
    from llama_bedrock.agents import create_tool_agent

    path, config = str(tmp_path / "memory.db"), {"configurable": {"thread_id": "t"}}
    llm, engine = scripted(["Hello, Amaru.", "You are Amaru."])

    def say(text):
        with SqliteSaver.from_conn_string(path) as saver:
            return create_tool_agent(llm, checkpointer=saver).invoke({"messages": [("user", text)]}, config)

    async def asay(text):
        async with AsyncSqliteSaver.from_conn_string(path) as saver:
            agent = create_tool_agent(llm, checkpointer=saver)
            return await agent.ainvoke({"messages": [("user", text)]}, config)

    for text in ("I am Amaru.", "Who am I?"):
        result = say(text) if mode == "sync" else asyncio.run(asay(text))
    assert [m.text for m in result["messages"]] == [
        "I am Amaru.",
        "Hello, Amaru.",
        "Who am I?",
        "You are Amaru.",
    ]
    assert "I am Amaru." in engine.requests[1].prompt
