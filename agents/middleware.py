"""Middleware for any LangChain agent: ``create_agent(…, middleware=[LoopGuard(),
BudgetGuard(max_usd=0.10)])``.
"""

from llama_bedrock.agents.guards.budget_guard import BudgetExceededError, BudgetGuard
from llama_bedrock.agents.guards.context_guard import ContextGuard
from llama_bedrock.agents.guards.invalid_call_guard import InvalidCallGuard
from llama_bedrock.agents.guards.loop_guard import LoopGuard
from llama_bedrock.agents.guards.tool_result_guard import ToolResultGuard

__all__ = [
    "BudgetExceededError",
    "BudgetGuard",
    "ContextGuard",
    "InvalidCallGuard",
    "LoopGuard",
    "ToolResultGuard",
]
