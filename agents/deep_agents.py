"""What deepagents is told about Llama: it finds these functions by the entry points of this distribution.

Source: deepagents 0.7, ``deepagents/profiles/_builtin_profiles.py``: each entry point of the groups
``deepagents.provider_profiles`` and ``deepagents.harness_profiles`` is called once, without arguments.
"""

from __future__ import annotations

from llama_bedrock._extras import require
from llama_bedrock.agents.guards.invalid_call_guard import InvalidCallGuard
from llama_bedrock.agents.guards.loop_guard import LoopGuard
from llama_bedrock.catalog import CATALOG


def register_provider_profile() -> None:
    """Have ``create_deep_agent(model="llama_bedrock:…")`` say what to write.

    deepagents makes a model of a text by LangChain's ``init_chat_model``, which knows a fixed list of
    providers.
    """
    deepagents = require("deepagents", "agents")
    deepagents.register_provider_profile("llama_bedrock", deepagents.ProviderProfile(pre_init=_refuse))


def register_harness_profile() -> None:
    """Give deep agents on Llama, and their subagents, the guards against unreadable and repeated calls.

    deepagents looks a model up by its provider, which for every model on Bedrock is the same, and its id: so
    each id is registered. An ARN hides the model; there the guards are given by hand.
    """
    deepagents = require("deepagents", "agents")
    profile = deepagents.HarnessProfile(extra_middleware=lambda: [InvalidCallGuard(), LoopGuard()])
    for info in CATALOG.values():
        for model_id in (info.model_id, *info.profile_ids):
            deepagents.register_harness_profile(f"amazon_bedrock:{model_id}", profile)


def _refuse(spec: str) -> None:
    model = spec.partition(":")[2]
    raise ValueError(
        f"LangChain's init_chat_model cannot make {spec!r}: pass the model itself, "
        f'create_deep_agent(model=ChatLlamaBedrock(model="{model}"), …)'
    )
