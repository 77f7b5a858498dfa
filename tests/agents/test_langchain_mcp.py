"""`langchain.mcp` in place of langchain-mcp-adapters: what an environment with ``langchain[mcp]`` has."""

import asyncio
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
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


URL = "http://127.0.0.1:9/mcp"
UNSET = [
    ({"command": sys.executable, "args": ["-c", ""], "env": {"TOKEN": "key ${FARM_TOKEN}"}}, "env TOKEN"),
    ({"transport": "streamable_http", "url": URL, "headers": {"Key": "Bearer ${FARM_TOKEN}"}}, "headers Key"),
    ({"transport": "sse", "url": URL, "headers": {"Key": "${env:FARM_TOKEN}"}}, "headers Key"),
    ({"transport": "streamable_http", "url": URL + "?key=${FARM_TOKEN}"}, "url"),
]


@pytest.mark.parametrize(("server", "what"), UNSET)
def test_a_variable_that_is_not_set_is_no_text_of_its_own_name(server, what, monkeypatch):
    monkeypatch.delenv("FARM_TOKEN", raising=False)

    async def opened():
        async with mcp.open_mcp_session("farm", server):
            pass

    for way in (lambda: mcp.load_mcp_tools_sync({"farm": server}), lambda: asyncio.run(opened())):
        with pytest.raises(ValueError, match=f"MCP server 'farm': {what} needs the variable FARM_TOKEN"):
            way()


def test_what_is_no_variable_is_not_sent_as_it_stands():
    server = {"transport": "streamable_http", "url": URL, "headers": {"Key": "${input:token}"}}
    with pytest.raises(ValueError, match=r"headers Key has \$\{input:token\}, which is no variable"):
        mcp.load_mcp_tools_sync({"farm": server})


def test_variables_reach_a_server_in_its_headers_and_its_address(monkeypatch):
    monkeypatch.setenv("FARM_TOKEN", "wool")
    monkeypatch.delenv("FARM_PATH", raising=False)
    asked = []

    class Farm(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.headers["Key"]))
            self.send_error(404)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Farm) as farm:
        threading.Thread(target=farm.serve_forever, daemon=True).start()
        server = {
            "transport": "streamable_http",
            "url": f"http://127.0.0.1:{farm.server_port}/${{FARM_PATH:-barn}}",
            "headers": {"Key": "Bearer ${FARM_TOKEN}"},
        }
        with pytest.raises(BaseException, match=r".+"):  # groups of exceptions among them
            mcp.load_mcp_tools_sync({"farm": server})
        farm.shutdown()
    assert set(asked) == {("/barn", "Bearer wool")}
