"""Middleware that keeps an agent within bounds: loops, budgets, context, tool results."""
