"""Middleware for any LangChain agent: ``create_agent(…, middleware=[LoopGuard(),
BudgetGuard(max_usd=0.10)])``.
"""

from llama_bedrock.agents.budget_guard import BudgetExceededError, BudgetGuard
from llama_bedrock.agents.context_guard import ContextGuard
from llama_bedrock.agents.loop_guard import LoopGuard
from llama_bedrock.agents.tool_result_guard import ToolResultGuard

__all__ = ["BudgetExceededError", "BudgetGuard", "ContextGuard", "LoopGuard", "ToolResultGuard"]
