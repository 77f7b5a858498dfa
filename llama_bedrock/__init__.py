"""Meta Llama on Amazon Bedrock as a first-class LangChain chat model, with RAG and agents built on it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from llama_bedrock.version import __version__

if TYPE_CHECKING:
    from llama_bedrock.catalog import CATALOG, LlamaLifecycleWarning, ModelInfo, ResolvedModel, resolve_model
    from llama_bedrock.chat_model import ChatLlamaBedrock
    from llama_bedrock.completion import LlamaBedrock
    from llama_bedrock.errors import LlamaBedrockError
    from llama_bedrock.guardrails import Guardrails
    from llama_bedrock.prompts.rendered_prompt import RenderedPrompt
    from llama_bedrock.sqlite_cache import SQLiteCache
    from llama_bedrock.tracking import ImportedModelCost, track_usage
    from llama_bedrock.transport.connection import Timeout
    from llama_bedrock.transport.limiter import AdaptiveConcurrency

# Imported when first used: a program that needs the catalogue does not pay for the chat model.
_HOMES = {
    "AdaptiveConcurrency": "transport.limiter",
    "CATALOG": "catalog",
    "ChatLlamaBedrock": "chat_model",
    "Guardrails": "guardrails",
    "ImportedModelCost": "tracking",
    "LlamaBedrock": "completion",
    "LlamaBedrockError": "errors",
    "LlamaLifecycleWarning": "catalog",
    "ModelInfo": "catalog",
    "RenderedPrompt": "prompts.rendered_prompt",
    "ResolvedModel": "catalog",
    "SQLiteCache": "sqlite_cache",
    "Timeout": "transport.connection",
    "resolve_model": "catalog",
    "track_usage": "tracking",
}

__all__ = [
    "CATALOG",
    "AdaptiveConcurrency",
    "ChatLlamaBedrock",
    "Guardrails",
    "ImportedModelCost",
    "LlamaBedrock",
    "LlamaBedrockError",
    "LlamaLifecycleWarning",
    "ModelInfo",
    "RenderedPrompt",
    "ResolvedModel",
    "SQLiteCache",
    "Timeout",
    "__version__",
    "resolve_model",
    "track_usage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
