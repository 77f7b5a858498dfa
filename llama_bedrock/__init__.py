"""Meta Llama on Amazon Bedrock as a first-class LangChain chat model, with RAG and agents built on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_bedrock._lazy_names import lazy_names
from llama_bedrock.version import __version__

if TYPE_CHECKING:
    from llama_bedrock.catalog import CATALOG, LlamaLifecycleWarning, ModelInfo, ResolvedModel, resolve_model
    from llama_bedrock.chat_model import ChatLlamaBedrock
    from llama_bedrock.completion import LlamaBedrock
    from llama_bedrock.errors import LlamaBedrockError
    from llama_bedrock.guardrails import Guardrails
    from llama_bedrock.observability import EMFMetrics
    from llama_bedrock.prompts.rendered_prompt import RenderedPrompt
    from llama_bedrock.routing.escalate import Escalate
    from llama_bedrock.routing.lanes import TargetHealth
    from llama_bedrock.routing.spread import Spread
    from llama_bedrock.sqlite_cache import SQLiteCache
    from llama_bedrock.tracking import ImportedModelCost, track_usage
    from llama_bedrock.transport.connection import Timeout
    from llama_bedrock.transport.limiter import AdaptiveConcurrency

# Imported when first used: a program that needs the catalogue does not pay for the chat model.
_HOMES = {
    ".catalog": ["CATALOG", "LlamaLifecycleWarning", "ModelInfo", "ResolvedModel", "resolve_model"],
    ".chat_model": ["ChatLlamaBedrock"],
    ".completion": ["LlamaBedrock"],
    ".errors": ["LlamaBedrockError"],
    ".guardrails": ["Guardrails"],
    ".observability": ["EMFMetrics"],
    ".prompts.rendered_prompt": ["RenderedPrompt"],
    ".routing.escalate": ["Escalate"],
    ".routing.lanes": ["TargetHealth"],
    ".routing.spread": ["Spread"],
    ".sqlite_cache": ["SQLiteCache"],
    ".tracking": ["ImportedModelCost", "track_usage"],
    ".transport.connection": ["Timeout"],
    ".transport.limiter": ["AdaptiveConcurrency"],
}

__all__ = [
    "CATALOG",
    "AdaptiveConcurrency",
    "ChatLlamaBedrock",
    "EMFMetrics",
    "Escalate",
    "Guardrails",
    "ImportedModelCost",
    "LlamaBedrock",
    "LlamaBedrockError",
    "LlamaLifecycleWarning",
    "ModelInfo",
    "RenderedPrompt",
    "ResolvedModel",
    "SQLiteCache",
    "Spread",
    "TargetHealth",
    "Timeout",
    "__version__",
    "resolve_model",
    "track_usage",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
