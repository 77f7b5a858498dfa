"""The values that settings with a fixed choice take. Imports nothing, so that every layer may use them."""

from __future__ import annotations

from typing import Literal

Dialect = Literal["pythonic", "json"]
"""How a tool call is written: ``[f(a=1)]`` or ``{"name": "f", "parameters": {"a": 1}}``."""

SpecialTokens = Literal["escape", "error", "allow"]
"""What to do with control tokens in text of others."""

Latency = Literal["standard", "optimized"]
"""Bedrock's latency classes."""

ServiceTier = Literal["priority", "default", "flex", "reserved"]
"""Bedrock's service tiers; Llama is served in ``"default"`` only."""

ImportFormat = Literal["bedrock", "openai-completion", "openai-chat"]
"""Body formats of imported models (Bedrock user guide, "Invoke your imported model")."""

ContextCheck = Literal["raise", "warn", "off"]
"""What to do before a call whose prompt is longer than the model's window."""

StructuredOutputMethod = Literal["json_schema", "function_calling", "json_mode"]
"""How an object is asked for: as JSON, as the arguments of a call, or as JSON of any shape."""
