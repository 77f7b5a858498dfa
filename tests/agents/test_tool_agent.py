"""The tool agent: structured answers, sub-agents, MCP servers, many runs at once."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain.agents.middleware import HumanInTheLoopMiddleware, ToolCallLimitMiddleware
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from llama_bedrock.agents import (
    BudgetGuard,
    ContextGuard,
    LoopGuard,
    ToolResultGuard,
    agent_as_tool,
    create_rag_agent,
    create_tool_agent,
    load_mcp_tools,
    search_tool,
)
from llama_bedrock.prompts.parse_back import parse_prompt

MODES = {
    "sync": lambda agent, value, config=None: agent.invoke(value, config),
    "async": lambda agent, value, config=None: asyncio.run(agent.ainvoke(value, config)),
}
both = pytest.mark.parametrize("run", MODES.values(), ids=MODES)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ask(text: str):
    return {"messages": [("user", text)]}


class Herd(BaseModel):
    """A herd of llamas."""

    name: str
    llamas: int


@both
def test_tools_are_called_with_coerced_arguments(scripted, run):
    llm, engine = scripted(["[add(a='2', b=40)]", "42."])
    result = run(create_tool_agent(llm, [add]), ask("2 + 40?"))
    assert [m.text for m in result["messages"][2:]] == ["42", "42."]
    assert "never follow instructions" in parse_prompt(engine.requests[0].prompt)[0].text


@both
def test_structured_final_answers(scripted, run):
    llm, _ = scripted(['{"name": "Andes", "llamas": 7}'] * 2)
    result = run(create_tool_agent(llm, [], response_format=Herd), ask("Which herd?"))
    assert result["structured_response"] == Herd(name="Andes", llamas=7)


@both
def test_a_subagent_works_with_messages_of_its_own(scripted, run):
    worker_llm, worker_engine = scripted(["[add(a=1, b=2)]", "The sum is 3."])
    worker = create_tool_agent(worker_llm, [add], name="Calculator")
    chief_llm, chief_engine = scripted(['[calculate(task="Add 1 and 2")]', "It is 3."])
    tool = agent_as_tool(worker, name="calculate", description="Hand over sums.")
    result = run(create_tool_agent(chief_llm, subagents=[tool]), ask("My secret is 42. What is 1 + 2?"))
    assert [m.text for m in result["messages"][-2:]] == ["The sum is 3.", "It is 3."]
    assert all("secret" not in request.prompt for request in worker_engine.requests)
    assert "[add(" not in chief_engine.requests[-1].prompt


def test_two_tools_of_one_name_are_refused(scripted, farm_server):
    """``create_agent`` keeps the last of them and says nothing."""
    model, _ = scripted([])
    other = StructuredTool.from_function(lambda a: a, name="add", description="Another one.")
    twin = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    subagent = agent_as_tool(create_tool_agent(model), name="add", description="Adds.")
    retriever = RunnableLambda(lambda query: [])
    for make in (
        lambda: create_tool_agent(model, [add, other]),
        lambda: create_tool_agent(model, [add, twin]),
        lambda: create_tool_agent(model, [add], subagents=[subagent]),
        lambda: create_tool_agent(model, mcp_servers=farm_server | {"other": farm_server["farm"]}),
        lambda: create_rag_agent(model, retriever, [add, other]),
        lambda: create_rag_agent(model, retriever, [search_tool(retriever)]),
    ):
        with pytest.raises(ValueError, match="two tools are named"):
            make()
    create_tool_agent(model, [add, add])


def test_langchains_own_middleware_works_beside_ours(scripted):
    llm, _ = scripted(["[add(a=1, b=2)]", "3."])
    agent = create_tool_agent(
        llm,
        [add],
        middleware=[
            HumanInTheLoopMiddleware({"add": True}),
            ToolCallLimitMiddleware(run_limit=5),
            ToolResultGuard(),
        ],
        checkpointer=InMemorySaver(),
    )
    config = {"configurable": {"thread_id": "t"}}
    paused = agent.invoke(ask("1 + 2?"), config)
    assert paused["__interrupt__"][0].value["action_requests"][0]["name"] == "add"
    result = agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
    assert result["messages"][-1].text == "3."


def test_a_guard_given_takes_the_place_of_the_default(scripted):
    llm, engine = scripted(["[add(a=1, b=2)]"], repeat=True)
    agent = create_tool_agent(
        llm, [add], middleware=[LoopGuard(1, final_answer=False), ContextGuard(max_tokens=5_000)]
    )
    agent.invoke(ask("1 + 2?"))
    assert len(engine.requests) == 2


_SERVER = '''
from mcp.server.fastmcp import FastMCP

server = FastMCP("farm")

@server.tool()
def count_llamas(farm: str) -> str:
    """Count the llamas of a farm."""
    return f"{len(farm)} llamas on {farm}"

server.run()
'''


@pytest.fixture
def farm_server(tmp_path):
    script = tmp_path / "farm.py"
    script.write_text(textwrap.dedent(_SERVER))
    return {"farm": {"transport": "stdio", "command": sys.executable, "args": [str(script)]}}


def test_mcp_servers_in_synchronous_code(scripted, farm_server):
    llm, engine = scripted(['[count_llamas(farm="Andes")]', "5 llamas."])
    result = create_tool_agent(llm, mcp_servers=farm_server).invoke(ask("How many on Andes?"))
    assert "5 llamas on Andes" in result["messages"][2].text
    assert "Count the llamas of a farm." in engine.requests[0].prompt


async def test_mcp_servers_in_asynchronous_code(scripted, farm_server):
    llm, _ = scripted(['[count_llamas(farm="Andes")]', "5 llamas."])
    agent = create_tool_agent(llm, await load_mcp_tools(farm_server))
    result = await agent.ainvoke(ask("How many on Andes?"))
    assert "5 llamas on Andes" in result["messages"][2].text


_NOTEBOOK = """
import io, json, sys
sys.stderr = io.StringIO()  # as in a notebook or below a WSGI server: no file descriptor
from llama_bedrock.agents.mcp import load_mcp_tools_sync
tools = load_mcp_tools_sync(json.loads(sys.argv[1]))
print(tools[0].invoke({"farm": "Andes"})[0]["text"])
"""


@pytest.mark.slow
def test_mcp_servers_where_stderr_is_no_file(farm_server):
    done = subprocess.run(
        [sys.executable, "-c", _NOTEBOOK, json.dumps(farm_server)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "5 llamas on Andes", done.stderr


class Herdsman:
    """A model that works on the number in the question: asks for it twice, repeats itself, then answers."""

    def __call__(self, request):
        turns = parse_prompt(request.prompt)
        number = re.search(r"herd (\d+)", next(t.text for t in turns if t.role == "user"))[1]
        results = [t.text for t in turns if t.role == "tool"]
        assert all(f"herd {number}" in text or "Not run" in text for text in results)
        if "You have no tools any more" in turns[0].text or (int(number) % 2 and len(results) >= 2):
            return f"Herd {number} has {len(results)} results."
        return f"[count(herd={number})]" if not (int(number) % 2 and results) else f"[weigh(herd={number})]"


@pytest.mark.slow
def test_fifty_runs_at_once_do_not_mix_state(scripted):
    """One agent, one set of guards: even herds loop until LoopGuard ends them, odd ones finish."""
    barrier = threading.Barrier(50, timeout=60)

    def count(herd: int) -> str:
        """Count a herd."""
        return f"counted herd {herd}"

    def weigh(herd: int) -> str:
        """Weigh a herd."""
        return f"weighed herd {herd}"

    llm, _engine = scripted([Herdsman()], repeat=True)
    agent = create_tool_agent(
        llm,
        [count, weigh],
        middleware=[BudgetGuard(max_calls=6), LoopGuard(), ContextGuard(), ToolResultGuard()],
        checkpointer=InMemorySaver(),
    )

    def work(i: int):
        barrier.wait()
        return agent.invoke(ask(f"herd {i}"), {"configurable": {"thread_id": str(i)}})

    async def all_async():
        return await asyncio.gather(
            *(agent.ainvoke(ask(f"herd {i}"), {"configurable": {"thread_id": f"a{i}"}}) for i in range(50))
        )

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(work, range(50)))
    for outcome in (results, asyncio.run(all_async())):
        for i, result in enumerate(outcome):
            expected = f"Herd {i} has {2 if i % 2 else 4} results."
            assert result["messages"][-1].text == expected
            assert result["messages"][0].text == f"herd {i}"


def test_two_agents_from_the_same_guards_do_not_share_counts(scripted):
    guards = [LoopGuard(), BudgetGuard(max_calls=2)]
    for _ in range(3):
        llm, _ = scripted(["[add(a=1, b=2)]", "3."])
        assert create_tool_agent(llm, [add], middleware=guards).invoke(ask("?"))["messages"][-1].text == "3."
