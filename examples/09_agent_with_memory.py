"""A tool agent with memory in SQLite, a structured answer and a sub-agent. A second process could go on with
it.

Run: python examples/09_agent_with_memory.py [--local]
"""

import tempfile
from pathlib import Path

from _shared import connect
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel

from llama_bedrock.agents import agent_as_tool, create_tool_agent


def herd_size(farm: str) -> int:
    """Number of llamas on a farm."""
    return len(farm) * 7


def weather(city: str) -> str:
    """Current weather of a city."""
    return f"Sunny and 18 °C in {city}."


class Report(BaseModel):
    """A report about a farm."""

    farm: str
    llamas: int


def main() -> None:
    database = Path(tempfile.mkdtemp()) / "memory.db"  # use a file of your own to keep it
    thread = {"configurable": {"thread_id": "amaru"}}
    with connect(temperature=0, max_tokens=300) as llm:
        forecaster = agent_as_tool(
            create_tool_agent(llm, [weather], name="Forecaster"),
            name="ask_forecaster",
            description="Ask the weather forecaster about the weather of a city.",
        )
        for question in ("How many llamas are on the farm Andes?", "What is the weather in Cusco?"):
            with SqliteSaver.from_conn_string(str(database)) as memory:  # opened anew: nothing else is kept
                agent = create_tool_agent(llm, [herd_size], subagents=[forecaster], checkpointer=memory)
                result = agent.invoke({"messages": [("user", question)]}, thread)
                print(f"> {question}\n{result['messages'][-1].text}\n")
        print(f"{len(result['messages'])} messages are in {database.name}")
        reporter = create_tool_agent(llm, response_format=Report)
        asked = {"messages": [("user", "Farm: Andes. Llamas: 35.")]}
        print(repr(reporter.invoke(asked)["structured_response"]))


if __name__ == "__main__":
    main()
