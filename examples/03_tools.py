"""Tools: the model asks for calls, also while it streams; a forced call; results go back to it.

Run: python examples/03_tools.py [--local]
"""

from _shared import connect
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.tools import tool


@tool
def weather(city: str) -> str:
    """Current weather of a city."""
    return f"Sunny and 18 °C in {city}."


@tool
def herd_size(farm: str) -> int:
    """Number of llamas on a farm."""
    return len(farm) * 7


TOOLS = {one.name: one for one in (weather, herd_size)}


def main() -> None:
    with connect(temperature=0) as llm:
        model = llm.bind_tools(list(TOOLS.values()))
        messages: list[AnyMessage] = [HumanMessage("What is the weather in Cusco?")]
        asked = model.invoke(messages)
        messages.append(asked)
        for call in asked.tool_calls:
            print(f"{call['name']}({call['args']})")
            messages.append(TOOLS[call["name"]].invoke(call))
        print(model.invoke(messages).text)

        print("\nStreamed:")
        for chunk in model.stream("How many llamas are on the farm Andes?"):
            for delta in chunk.tool_call_chunks:
                print(delta["name"] or "", delta["args"] or "", sep="", end="", flush=True)

        forced = llm.bind_tools(list(TOOLS.values()), tool_choice="herd_size").invoke(
            "Hello from the farm Inti"
        )
        print("\n\nForced:", forced.tool_calls[0]["name"], forced.tool_calls[0]["args"])


if __name__ == "__main__":
    main()
