"""`langchain.mcp` in place of langchain-mcp-adapters: what an environment with ``langchain[mcp]`` has."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llama_bedrock.agents import mcp

PROGRAM = Path(__file__).with_name("mcp_program.py")
SERVER = """
try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server
from mcp.types import ToolAnnotations

server = Server("farm")
count = 0

@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def tick() -> int:
    "Count one further."
    global count
    count += 1
    return count

@server.tool()
def count_llamas(farm: str) -> str:
    "Count the llamas of a farm."
    return f"{len(farm)} llamas on {farm}"

server.run()
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["langchain.mcp", "langchain-mcp-adapters"])
def test_tools_are_called_from_sync_and_async_code(way, tmp_path, beside):
    # beside the packages of this environment, whose mcp is of another version
    path = beside("langchain[mcp]>=1.5") if way == "langchain.mcp" else ""
    script = tmp_path / "farm.py"
    script.write_text(SERVER)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(script), way],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip().endswith("all calls came"), done.stderr[-3000:]


def test_where_neither_can_be_imported_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(mcp, "_langchain_adapter", lambda: None)
    monkeypatch.setitem(sys.modules, "langchain_mcp_adapters.client", None)
    with pytest.raises(ImportError, match=r"pip install .*\[agents,mcp\]"):
        mcp.load_mcp_tools_sync({"farm": {"transport": "stdio", "command": "farm"}})


def test_a_variable_that_is_not_set_is_no_text_of_its_own_name(monkeypatch):
    monkeypatch.delenv("FARM_TOKEN", raising=False)
    server = {"command": sys.executable, "args": ["-c", ""], "env": {"TOKEN": "key ${FARM_TOKEN}"}}

    async def opened():
        async with mcp.open_mcp_session("farm", server):
            pass

    for way in (lambda: mcp.load_mcp_tools_sync({"farm": server}), lambda: asyncio.run(opened())):
        with pytest.raises(ValueError, match="MCP server 'farm': env TOKEN needs the variable FARM_TOKEN"):
            way()
