"""Every Llama that Amazon Bedrock has offered: facts with source and date, and ids and ARNs made sense of."""

from __future__ import annotations

from llama_bedrock.catalog.lifecycle import LlamaLifecycleWarning, lifecycle_message, warn_lifecycle
from llama_bedrock.catalog.model_info import PROMPT_FORMATS, ModelInfo, Parameter, Price
from llama_bedrock.catalog.models_file import CATALOG
from llama_bedrock.catalog.profile import model_profile
from llama_bedrock.catalog.resolve import ResolvedModel, resolve_model
from llama_bedrock.prompts.formats import PromptFormat

__all__ = [
    "CATALOG",
    "PROMPT_FORMATS",
    "LlamaLifecycleWarning",
    "ModelInfo",
    "Parameter",
    "Price",
    "PromptFormat",
    "ResolvedModel",
    "lifecycle_message",
    "model_profile",
    "resolve_model",
    "warn_lifecycle",
]
