"""Run by test_langchain_mcp.py: MCP tools from sync and async code, at once, in an agent, and in a session."""

import asyncio
import sys

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.agents import create_tool_agent, load_mcp_tools
from llama_bedrock.agents.mcp import _langchain_adapter, load_mcp_tools_sync
from llama_bedrock.app.conversations.tool_approval import is_read_only
from llama_bedrock.cli.session.agent_tools import mcp_sessions
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

assert (_langchain_adapter() is not None) is (sys.argv[2] == "langchain.mcp")
SERVER = {"farm": {"transport": "stdio", "command": sys.executable, "args": [sys.argv[1]]}}


def text(content):
    return content if isinstance(content, str) else content[0]["text"]


async def from_both_worlds():
    [tick, count] = await load_mcp_tools(SERVER)
    assert is_read_only(tick)
    assert not is_read_only(count)
    pending = [asyncio.to_thread(count.invoke, {"farm": "a"}), count.ainvoke({"farm": "bb"})]
    assert [text(said) for said in await asyncio.gather(*pending)] == ["1 llamas on a", "2 llamas on bb"]


async def one_session():
    async with mcp_sessions([f"{sys.executable} {sys.argv[1]}"]) as [session]:
        await session.ping()
        [tick, _] = session.tools
        assert [text(await tick.ainvoke({})) for _ in range(2)] == ["1", "2"]


asyncio.run(from_both_worlds())
asyncio.run(one_session())
assert text(load_mcp_tools_sync(SERVER)[1].invoke({"farm": "Andes"})) == "5 llamas on Andes"
with LocalBedrock(engine=ScriptedEngine(['[count_llamas(farm="Andes")]', "5 llamas."])) as bedrock:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    llm = ChatLlamaBedrock(model="meta.llama3-1-8b-instruct-v1:0", endpoint_url=bedrock.endpoint_url, **keys)
    result = create_tool_agent(llm, mcp_servers=SERVER).invoke({"messages": [("user", "How many?")]})
    assert "5 llamas on Andes" in result["messages"][2].text
print("all calls came")
