"""Guards of this library beside LangChain's own middleware: people who approve, retries, fallbacks, limits,
PII.

Run: python examples/10_middleware.py [--local]
"""

from _shared import connect
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolRetryMiddleware,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llama_bedrock.agents import BudgetGuard, ContextGuard, LoopGuard, ToolResultGuard, create_tool_agent


def send_mail(to: str, text: str) -> str:
    """Send a mail to somebody."""
    return f"Sent to {to}."


def main() -> None:
    thread = {"configurable": {"thread_id": "1"}}
    with connect(temperature=0, max_tokens=300) as llm:
        guards = [
            LoopGuard(max_repeats=3),  # ends runs that go in circles
            BudgetGuard(max_usd=0.05, max_seconds=120),  # by the catalogue's prices
            ToolResultGuard(max_tokens=2_000),  # short, harmless, marked results
            ContextGuard(fraction=0.8),  # never more than the window holds
            HumanInTheLoopMiddleware({"send_mail": True}),  # a person approves what writes
            ModelRetryMiddleware(max_retries=2),
            ToolRetryMiddleware(max_retries=2),
            ModelFallbackMiddleware(llm),  # put another model here
            ModelCallLimitMiddleware(run_limit=20),
            PIIMiddleware("credit_card", strategy="redact"),
            SummarizationMiddleware(llm, trigger=("tokens", 50_000)),
            TodoListMiddleware(),
        ]
        agent = create_tool_agent(llm, [send_mail], middleware=guards, checkpointer=InMemorySaver())
        ask = 'Send a mail to amaru@example.org with the text "The llamas are fine".'
        paused = agent.invoke({"messages": [("user", ask)]}, thread)
        for interrupt in paused.get("__interrupt__", ()):
            print("waits for approval:", interrupt.value["action_requests"][0])
            paused = agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), thread)
        print(paused["messages"][-1].text)


if __name__ == "__main__":
    main()
